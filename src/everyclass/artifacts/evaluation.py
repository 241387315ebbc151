"""The numbers that a classifier is judged by, and how they are kept."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._evaluation_values import evaluation_values
from everyclass.artifacts._files import read_json, write_json
from everyclass.artifacts._printing import NAME_WIDTH, TOO_FEW, percent, percent_range, too_wide
from everyclass.artifacts._text import cells, padded, printable, some
from everyclass.artifacts.class_counts import ClassCounts
from everyclass.errors import EveryclassError, FileFormatError, first_line

__all__ = ["Evaluation"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Every number of one classifier on one labelled set; fractions, never percent.

    A class without test samples has no recall: it is NaN (null in files), stands in
    ``untestable``, and is left out of every mean. The set of classes scored is fixed by the labels,
    never by the predictions.

    Attributes:
        num_samples, num_classes, num_scored: images; classes; classes with at least one image.
        accuracy: fraction of images right (eq. 4).
        balanced_accuracy: mean recall over the scored classes.
        geometric_mean, harmonic_mean: of recall (eqs. 6 and 5), none less than ``zero_floor``.
        zero_floor, zeros_replaced: that floor, and how many classes count as it: those at zero, and
            of more than 1 / ``zero_floor`` images those that are hardly ever right.
        lowest_recall: the smallest recall, never replaced by the floor.
        lowest_classes: the classes that have it.
        worst: mean recall of the worst 1, 5 and 10 % of classes (at least one), by percent.
        recall_quantiles: of recall over classes, by level.
        groups: mean recall of many / medium / few under both rules, or None without counts.
        never_predicted: scored classes that no image was given to.
        untestable: classes without test samples.
        support, predicted_count: (C,) images of, and images given to, each class.
        per_class_recall, per_class_precision, per_class_f1: (C,), NaN where undefined.
        class_names, class_counts: where known.
        top5_accuracy, negative_log_likelihood, brier_score: with scores only, else None, as are:
        calibration_error, classwise_calibration_error, geometric_mean_loss: the likelihood and
            this loss are infinite (null in files) where a true class got 0.
        lowest_if_equal: the lowest recall to expect if every class truly had the mean recall.
        intervals: ``[low, high]`` under the same names as the numbers that recalls give, nested as
            those are; ``per_class_recall`` is a list in class order, None for a class without test
            samples. None in files of older versions.
        interval_settings: their confidence, replicates and seed.
    """

    num_samples: int
    num_classes: int
    num_scored: int
    accuracy: float
    balanced_accuracy: float
    geometric_mean: float
    harmonic_mean: float
    zero_floor: float
    zeros_replaced: int
    lowest_recall: float
    lowest_classes: tuple[int, ...]
    worst: dict[str, float]
    recall_quantiles: dict[str, float]
    groups: dict[str, dict[str, float | None]] | None
    never_predicted: tuple[int, ...]
    untestable: tuple[int, ...]
    support: npt.NDArray[np.int64]
    predicted_count: npt.NDArray[np.int64]
    per_class_recall: npt.NDArray[np.float64]
    per_class_precision: npt.NDArray[np.float64]
    per_class_f1: npt.NDArray[np.float64]
    class_names: tuple[str, ...] | None = None
    class_counts: ClassCounts | None = None
    top5_accuracy: float | None = None
    negative_log_likelihood: float | None = None
    brier_score: float | None = None
    calibration_error: float | None = None
    classwise_calibration_error: float | None = None
    geometric_mean_loss: float | None = None
    lowest_if_equal: float | None = None
    intervals: dict[str, Any] | None = None
    interval_settings: dict[str, Any] | None = None

    def summary(self) -> dict[str, float]:
        """The five headline numbers, as fractions."""
        names = (
            "accuracy",
            "balanced_accuracy",
            "geometric_mean",
            "harmonic_mean",
            "lowest_recall",
        )
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON; NaN becomes null when written."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.class_counts is not None:
            values["class_counts"] = self.class_counts.counts
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "the evaluation") -> Evaluation:
        """Rebuild from :meth:`to_dict`'s values; unknown keys of newer versions are passed over.

        Raises:
            FileFormatError: a needed key is missing, or holds something else.
        """
        needed = {f.name for f in fields(cls) if f.default is MISSING}
        try:
            return cls(**evaluation_values(values, needed))
        except (ValueError, EveryclassError) as error:
            raise FileFormatError(
                f"{where} is damaged or incomplete: {first_line(error)}."
            ) from error

    def save(self, path: str | Path) -> None:
        """Write as JSON, atomically."""
        write_json(path, {"format": 1, **self.to_dict()})

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read what :meth:`save` wrote.

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not an evaluation.
        """
        return cls.from_dict(read_json(path, "evaluation"), str(path))

    def class_label(self, index: int) -> str:
        """A class's name, or its number where names are not known."""
        return self.class_names[index] if self.class_names else str(index)

    def _shown(self, index: int) -> str:
        """A class's name as a terminal can show it, in a column of bounded width."""
        return printable(self.class_label(index), NAME_WIDTH)

    def worst_first(self) -> npt.NDArray[np.int64]:
        """The scored classes: never predicted first, then by rising recall."""
        scored = np.flatnonzero(self.support > 0)
        never = np.isin(scored, self.never_predicted)
        return scored[np.lexsort((scored, self.per_class_recall[scored], ~never))]

    def __repr__(self) -> str:
        return (
            f"Evaluation({self.num_samples:,} images, {self.num_scored:,} of "
            f"{self.num_classes:,} classes: lowest recall {self.lowest_recall:.1%}, harmonic "
            f"mean {self.harmonic_mean:.1%}, accuracy {self.accuracy:.1%})"
        )

    def __str__(self) -> str:
        return self.table(most=20)

    def _repr_html_(self) -> str:
        """Headline numbers and the ten worst classes, as a notebook shows them."""
        from everyclass.reporting import evaluation_html

        return evaluation_html(self)

    def table(self, most: int | None = None) -> str:
        """A plain-text table, worst classes first.

        Args:
            most: how many classes to list; all if None.
        """
        least = f"{self.zero_floor:g}"
        recalls = "1 recall" if self.zeros_replaced == 1 else f"{self.zeros_replaced} recalls"
        floor = f"({recalls} below {least} counted as {least})"
        if self.intervals:  # which are far too wide for a mean of classes that are known
            floor += "; dead or unlucky, the intervals of both means allow for either"
        level = (self.interval_settings or {}).get("confidence")
        brackets = f"; {100 * level:g} % intervals in brackets" if level else ""
        lines = [
            f"{self.num_samples:,} images, {self.num_scored} of {self.num_classes} classes "
            f"scored{brackets}",
            self._headline("lowest_recall", self._lowest()),
            self._headline("harmonic_mean", floor if self.zeros_replaced else ""),
            self._headline("geometric_mean"),
            self._headline("balanced_accuracy"),
            self._headline("accuracy"),
        ]
        if self.never_predicted:
            never = [self.class_label(c) for c in self.never_predicted]
            lines.append(f"never predicted    {len(never)}: {some(never, most=10)}")
        if self.untestable:
            names = [self.class_label(c) for c in self.untestable]
            lines.append(f"no test images     {len(names)}: {some(names, most=10)} (not scored)")
        order = self.worst_first()
        shown = order if most is None else order[:most]
        return "\n".join([*lines, "", *self._rows(shown, len(order) - len(shown))])

    def _headline(self, name: str, more: str = "") -> str:
        limits = percent_range((self.intervals or {}).get(name))
        line = f"{name.replace('_', ' '):<17}  {percent(getattr(self, name))}  {limits:<13}  {more}"
        return line.rstrip()

    def _lowest(self) -> str:
        names = some([self.class_label(c) for c in self.lowest_classes], most=5)
        if self.lowest_if_equal is None:
            return names
        return f"{names} ({100 * self.lowest_if_equal:.1f} % to expect if all were equally good)"

    def _rows(self, shown: npt.NDArray[np.int64], left_out: int) -> list[str]:
        width = max([5, *(cells(self._shown(int(c))) for c in shown)])
        limits = (self.intervals or {}).get("per_class_recall")
        between = f"  {'interval':<{len(TOO_FEW)}}" if limits else ""
        lines = [f"{'class':<{width}}  recall{between}  precision  images  given  trained on"]
        for c in shown:
            trained = f"{self.class_counts.counts[c]:>10,}" if self.class_counts else f"{'–':>10}"
            if limits:
                said = TOO_FEW if too_wide(limits[c]) else percent_range(limits[c])
                between = f"  {said:<{len(TOO_FEW)}}"
            lines.append(
                f"{padded(self._shown(int(c)), width)}  {percent(self.per_class_recall[c])}"
                f"{between}     {percent(self.per_class_precision[c])}  {self.support[c]:>6,}"
                f"  {self.predicted_count[c]:>5,}  {trained}"
            )
        if left_out:
            lines.append(f"… and {left_out} classes with higher recall")
        return lines
