"""Why the worst classes of a classifier fail."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from everyclass.artifacts._diagnosis_values import diagnosis_values
from everyclass.artifacts._files import read_json, write_json
from everyclass.artifacts._printing import NAME_WIDTH, percent_range
from everyclass.artifacts._text import printable, some
from everyclass.artifacts.class_diagnosis import ClassDiagnosis
from everyclass.errors import FileFormatError, first_line

__all__ = ["CAUSES", "Diagnosis"]

# What each cause is called, and what it asks for.
CAUSES = {
    "fine": "not shown to be worse than the others",
    "too_few_test_images": "too few test images to say",
    "suspect_labels": "suspect labels",
    "confusable_pair": "a confusable pair",
    "fixable_by_the_head": "fixable by the head",
    "too_few_training_images": "too few training images",
    "not_fixable_by_the_head": "not fixable by the head",
    "undecided": "undecided",
}


@dataclass(frozen=True)
class Diagnosis:
    """Why the worst classes fail, worst first; fractions, never percent.

    Attributes:
        classes: those that were looked at, in order of recall.
        num_samples, num_classes, num_scored: test images; classes; classes with test images.
        mean_recall: over the scored classes.
        untestable: classes without test images, about which nothing can be said.
        unknown: what was not known, and what would tell, one sentence each.
        held_out: what ``reachable`` was shown on, or None.
        settings: confidence and thresholds.
        class_names: where known.

    Example:
        >>> found = Diagnosis((), 10, 2, 2, 0.9)
        >>> Diagnosis.from_dict(found.to_dict()) == found
        True
    """

    classes: tuple[ClassDiagnosis, ...]
    num_samples: int
    num_classes: int
    num_scored: int
    mean_recall: float
    untestable: tuple[int, ...] = ()
    unknown: tuple[str, ...] = ()
    held_out: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        causes = ", ".join(f"{self.class_label(c.index)}: {c.cause}" for c in self.classes[:3])
        more = ", …" if len(self.classes) > 3 else ""
        return f"Diagnosis({len(self.classes)} of {self.num_classes:,} classes; {causes}{more})"

    def class_label(self, index: int) -> str:
        """A class's name, or its number where names are not known."""
        return self.class_names[index] if self.class_names else str(index)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**values, "classes": [each.to_dict() for each in self.classes]}

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "the diagnosis") -> Diagnosis:
        """Rebuild from :meth:`to_dict`'s values; unknown keys of newer versions are passed over.

        Raises:
            FileFormatError: a needed key is missing, or holds something else.
        """
        needed = [f.name for f in fields(cls) if f.default is f.default_factory is MISSING]
        try:
            return cls(**diagnosis_values(values, needed))
        except ValueError as error:
            raise FileFormatError(
                f"{where} is damaged or incomplete: {first_line(error)}."
            ) from error

    def save(self, path: str | Path) -> None:
        """Write as JSON, atomically."""
        write_json(path, {"format": 1, **self.to_dict()})

    @classmethod
    def load(cls, path: str | Path) -> Diagnosis:
        """Read what :meth:`save` wrote.

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not a diagnosis.
        """
        return cls.from_dict(read_json(path, "diagnosis"), str(path))

    def __str__(self) -> str:
        level = self.settings.get("confidence")
        brackets = f"; {100 * level:g} % intervals in brackets" if level else ""
        lines = [
            f"{self.num_samples:,} images, {self.num_scored} of {self.num_classes} classes scored, "
            f"mean recall {self.mean_recall:.1%}{brackets}"
        ]
        if self.untestable:
            names = [self.class_label(c) for c in self.untestable]
            lines.append(f"no test images: {some(names, most=10)}")
        lines += [f"not known: {sentence}" for sentence in self.unknown]
        for each in self.classes:
            lines += ["", *self._lines(each)]
        return "\n".join(lines)

    def _lines(self, of: ClassDiagnosis) -> list[str]:
        trained = "" if of.training_count is None else f", trained on {of.training_count:,}"
        lines = [
            f"{self._shown(of.index)}: {CAUSES[of.cause]}",
            f"  {of.reason}",
            f"  recall      {of.recall:.1%} {percent_range(of.interval)}, "
            f"{of.right:,} of {of.support:,} images{trained}",
        ]
        if of.taken_by:
            lines.append(f"  taken by    {self._pairs(of.taken_by)}")
        if of.takes_from:
            lines.append(f"  takes from  {self._pairs(of.takes_from)}")
        if of.nearest:
            near = [f"{self._shown(c)} ({distance:.1f})" for c, distance in of.nearest[:4]]
            lines.append(f"  nearest     {', '.join(near)}")
        if of.calibration is not None:
            lines.append(
                f"  believes    {of.calibration.true_class:.1%} in this class on its images, "
                f"{of.calibration.confidence:.1%} in what it predicts"
            )
        if of.reachable is not None:
            lines.append(f"  head        {self._reach(of)}")
        if of.suspect:
            rows = [f"{s.part} row {s.row} ({self._shown(s.looks_like)})" for s in of.suspect]
            lines.append(f"  suspect     {len(rows):,} images: {some(rows, most=4, width=80)}")
        if of.examples:
            lines.append(f"  errors      {self._errors(of)}")
        return lines

    def _reach(self, of: ClassDiagnosis) -> str:
        reach = of.reachable
        assert reach is not None
        shown = "" if reach.shown is None else f"; {reach.shown:.1%} of what it was shown"
        return (
            f"{reach.old:.1%} → {reach.recall:.1%} {percent_range(reach.interval)} of "
            f"{reach.images:,} held-out images{shown}"
        )

    def _errors(self, of: ClassDiagnosis) -> str:
        said = []
        for each in of.examples[:4]:
            sure = "" if each.probability is None else f" {each.probability:.0%}"
            said.append(f"row {each.row} as {self._shown(each.predicted)}{sure}")
        return ", ".join(said)

    def _pairs(self, pairs: tuple[tuple[int, int], ...]) -> str:
        more = f" and {len(pairs) - 4} more" if len(pairs) > 4 else ""
        return ", ".join(f"{self._shown(c)} {images:,}" for c, images in pairs[:4]) + more

    def _shown(self, index: int) -> str:
        return printable(self.class_label(index), NAME_WIDTH)
