"""Two classifiers on the same images: who rose, who paid, who is undecided."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._comparison_values import comparison_values
from everyclass.artifacts._files import read_json, write_json
from everyclass.artifacts._printing import NAME_WIDTH, percent, points, points_range
from everyclass.artifacts._text import cells, padded, printable, some
from everyclass.errors import FileFormatError

__all__ = ["Comparison"]

_TITLE_WIDTH = 400  # of what A and B are called: of paths the ends differ


@dataclass(frozen=True, eq=False)
class Comparison:
    """What changes from A to B, in fractions; every difference is B − A.

    The classes are those that the labels hold; classes without images are in ``untestable``.

    Attributes:
        names: what A and B are called.
        num_samples, num_classes, num_scored: images; classes; classes with at least one image.
        numbers: by name (``accuracy``, …, ``worst_10``) a mapping with ``a``, ``b``,
            ``difference``, ``interval`` and ``p_value`` (None where the interval is the test).
        rose, paid: classes whose change is significant after correction, largest change first.
        untestable: classes without test images.
        support, both_right, only_a, only_b: (C,) images; those that both, only A, only B get right.
        difference: (C,) of recall, NaN for a class without images.
        interval: (C, 2) its limits, each class for itself.
        p_value, adjusted_p_value: (C,) mid-p McNemar; corrected for the number of classes.
        images_needed: (C,) more test images that would decide an undecided class if its difference
            is what it seems; infinite without a difference, NaN where decided.
        settings: confidence, correction, power, replicates, seed, and tests corrected for.
        class_names: where known.
    """

    names: tuple[str, str]
    num_samples: int
    num_classes: int
    num_scored: int
    numbers: dict[str, dict[str, Any]]
    rose: tuple[int, ...]
    paid: tuple[int, ...]
    untestable: tuple[int, ...]
    support: npt.NDArray[np.int64]
    both_right: npt.NDArray[np.int64]
    only_a: npt.NDArray[np.int64]
    only_b: npt.NDArray[np.int64]
    difference: npt.NDArray[np.float64]
    interval: npt.NDArray[np.float64]
    p_value: npt.NDArray[np.float64]
    adjusted_p_value: npt.NDArray[np.float64]
    images_needed: npt.NDArray[np.float64]
    settings: dict[str, Any]
    class_names: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        a, b = self.names
        return (
            f"Comparison({a!r} with {b!r} on {self.num_samples:,} images: {len(self.rose)} of "
            f"{self.num_scored:,} classes rose, {len(self.paid)} paid)"
        )

    @property
    def undecided(self) -> tuple[int, ...]:
        """Classes with images that neither rose nor paid, the lowest difference first."""
        order = np.argsort(self.difference, kind="stable")
        decided = {*self.rose, *self.paid, *self.untestable}
        return tuple(c for c in order.tolist() if c not in decided)

    def class_label(self, index: int) -> str:
        """A class's name, or its number where names are not known."""
        return self.class_names[index] if self.class_names else str(index)

    def _shown(self, index: int) -> str:
        """A class's name as a terminal can show it, in a column of bounded width."""
        return printable(self.class_label(index), NAME_WIDTH)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON; NaN and infinity become null when written."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "the comparison") -> Comparison:
        """Rebuild from :meth:`to_dict`'s values; unknown keys of newer versions are passed over.

        Raises:
            FileFormatError: a needed key is missing, or holds something else; or these are the
                values of several comparisons.
        """
        several = values.get("comparisons")
        if isinstance(several, list):
            raise FileFormatError(
                f"{where} holds {len(several)} comparisons; give Comparison.from_dict each of "
                "those in its 'comparisons'."
            )
        needed = [f.name for f in fields(cls) if f.default is MISSING]
        try:
            return cls(**comparison_values(values, needed))
        except ValueError as error:
            raise FileFormatError(f"{where} is damaged or incomplete: {error}.") from error

    def save(self, path: str | Path) -> None:
        """Write as JSON, atomically."""
        write_json(path, {"format": 1, **self.to_dict()})

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Read what :meth:`save` wrote.

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not a comparison, or several.
        """
        return cls.from_dict(read_json(path, "comparison"), str(path))

    def __str__(self) -> str:
        return self.table(most=20)

    def _repr_html_(self) -> str:
        """What changed, as a notebook shows it."""
        from everyclass.reporting import comparison_html

        return comparison_html(self)

    def table(self, most: int | None = None) -> str:
        """A plain-text table: who paid first, then who rose, then who is undecided.

        Args:
            most: how many classes to list; all if None.
        """
        a, b = (printable(name, _TITLE_WIDTH) for name in self.names)
        level = self.settings["confidence"]
        lines = [
            f"A  {a}",
            f"B  {b}",
            f"{self.num_samples:,} images, {self.num_scored} of {self.num_classes} classes; "
            f"{100 * level:g} % intervals of B − A in points",
            "",
            f"{'':<17}       A       B   B − A  {'interval':<15}      p",
            *(self._number(name, value) for name, value in self.numbers.items()),
            "",
            f"{len(self.paid)} paid, {len(self.rose)} rose, {len(self.undecided)} undecided "
            f"({self._rule()})",
            "intervals are of one class alone; p is corrected for all"
            if self.settings["correction"] != "none"
            else "neither intervals nor p are corrected for the number of classes",
        ]
        if self.untestable:
            names = [self.class_label(c) for c in self.untestable]
            lines.append(f"no test images: {some(names, most=10)}")
        room = self.num_classes if most is None else most
        shown: list[tuple[str, tuple[int, ...], int]] = []
        for kind in ("paid", "rose", "undecided"):
            classes = getattr(self, kind)
            share = room if most is None or kind == "undecided" else min(room, round(most / 2))
            shown.append((kind, classes[:share], len(classes[share:])))
            room -= len(classes[:share])
        width = max([5, *(cells(self._shown(c)) for _, classes, _ in shown for c in classes)])
        lines += ["", self._header(width)]
        for kind, classes, left_out in shown:
            lines += [self._row(c, kind, width) for c in classes]
            if left_out:
                verb = "are undecided" if kind == "undecided" else kind
                lines.append(f"… and {left_out} more that {verb}")
        return "\n".join(lines)

    def _rule(self) -> str:
        level = f"{100 * (1 - self.settings['confidence']):g} %"
        return {
            "holm": f"Holm: the chance that any of them is named wrongly is at most {level}",
            "bh": f"Benjamini-Hochberg: at most {level} of those named are wrong on average",
            "none": f"not corrected: {level} of unchanged classes are named wrongly",
        }[self.settings["correction"]]

    def _number(self, name: str, value: dict[str, Any]) -> str:
        p = value["p_value"]
        return (
            f"{name.replace('_', ' ') + (' %' if name.startswith('worst') else ''):<17}  "
            f"{percent(value['a'])}  {percent(value['b'])}  {points(value['difference'])}  "
            f"{points_range(value['interval']):<15}  {'–' if p is None else _p(p):>5}"
        )

    def _header(self, width: int) -> str:
        return (
            f"{'class':<{width}}  {'':<9}       A       B   B − A  {'interval':<15}      p"
            "  images  broken  fixed  more images"
        )

    def _row(self, c: int, kind: str, width: int) -> str:
        n, both = self.support[c], self.both_right[c]
        recalls = percent((both + self.only_a[c]) / n), percent((both + self.only_b[c]) / n)
        needed = self.images_needed[c]
        more = "" if np.isnan(needed) else "–" if np.isinf(needed) else f"about {needed:,.0f}"
        return (
            f"{padded(self._shown(c), width)}  {kind:<9}  {recalls[0]}  {recalls[1]}  "
            f"{points(self.difference[c])}  {points_range(self.interval[c]):<15}  "
            f"{_p(self.adjusted_p_value[c]):>5}  {n:>6,}  {self.only_a[c]:>6,}  "
            f"{self.only_b[c]:>5,}  {more}"
        ).rstrip()


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}"
