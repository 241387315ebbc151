"""What the report says, as plain values: derived here, drawn in ``charts``, put on a page in
``html``.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import ClassCounts, Evaluation
from everyclass.errors import InputError

__all__ = ["BinRow", "ClassRow", "Classifier", "Effect", "NumberRow", "RescueReport", "bin_rows"]

Classifier = Literal["old", "retrained", "ensemble"]

# "class" is a keyword, hence the functional form.
ClassRow = TypedDict(
    "ClassRow",
    {
        "class": str,
        "index": int,
        "group": str,
        "training_count": int,
        "support": int | None,
        "recall_old": float | None,
        "recall_new": float | None,
        "change": float | None,
    },
)
ClassRow.__doc__ = "One class: fractions, and None where a class has no test image."


class BinRow(TypedDict):
    """Neighbouring classes of one group, ``start`` to ``stop`` in the order of the rows.

    ``mean`` is over all of them, ``worst`` over the worst tenth; ``lowest`` is one class.
    """

    start: int
    stop: int
    middle: float
    group: str
    most_images: int
    fewest_images: int
    mean_images: float
    mean_old: float | None
    mean_new: float | None
    worst_old: float | None
    worst_new: float | None
    lowest_class: str | None
    lowest_new: float | None


class NumberRow(TypedDict):
    """One number of every classifier that was evaluated."""

    key: str
    values: dict[str, float | None]
    floored: dict[str, bool]
    classes: dict[str, list[str]]


@dataclass(frozen=True)
class Effect:
    """What a new classifier does to the classes that it moves in one direction.

    Attributes:
        classes: how many there are.
        mean_change: their mean change of recall, a signed fraction; 0 if there are none.
        largest: the class that moves most, or None.
    """

    classes: int
    mean_change: float
    largest: ClassRow | None


# Control characters, and those that turn the writing direction of what follows.
_UNPRINTABLE = dict.fromkeys((*range(32), *range(127, 160)), " ") | dict.fromkeys(
    (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
)
_SUMMARY = ("accuracy", "balanced_accuracy", "geometric_mean", "harmonic_mean", "lowest_recall")
_WORST = ("5", "10")
_GROUPS = ("many", "medium", "few")


@dataclass(frozen=True, eq=False)
class RescueReport:
    """Everything that a report of a rescue shows.

    Attributes:
        title: what was rescued.
        verdict: ``use`` ("old", "retrained" or "ensemble"), ``reason`` (a sentence) and
            ``decided_on`` (the data that it was decided on).
        evaluations: by classifier; "old" and at least one other, or empty without test data.
        class_counts: training images per class, with the classes' names.
        settings: how the run was made; may be nested.
        created: when, in ISO form.

    Raises:
        InputError: an unknown classifier, evaluations on different test data or classes, or a
            verdict for a classifier that was not evaluated.

    Example:
        >>> counts = ClassCounts([90, 9], names=("cat", "lynx"))
        >>> verdict = {"use": "old", "reason": "Nothing is gained.", "decided_on": "validation"}
        >>> RescueReport("Cats", verdict, {}, counts, {"seed": 0}, "2026-11-23T18:00:00").shown
    """

    title: str
    verdict: dict[str, str]
    evaluations: dict[str, Evaluation]
    class_counts: ClassCounts
    settings: dict[str, Any]
    created: str

    def __post_init__(self) -> None:
        known = get_args(Classifier)
        use = self.verdict.get("use", "nothing")
        if use not in known:
            raise InputError(f"verdict['use'] must be one of {', '.join(known)}; got {use!r}.")
        for key in ("reason", "decided_on"):
            if key not in self.verdict:
                raise InputError(f"verdict has no {key!r}; it is printed under the verdict.")
        if self.evaluations:
            self._check_evaluations(known, use)

    def _check_evaluations(self, known: Sequence[str], use: str) -> None:
        unknown = [key for key in self.evaluations if key not in known]
        if unknown:
            raise InputError(
                f"evaluations has {unknown[0]!r}; the keys must be among {', '.join(known)}."
            )
        if "old" not in self.evaluations or len(self.evaluations) < 2:
            raise InputError(
                "evaluations needs 'old' and at least one of retrained and ensemble, or nothing "
                f"at all; got {', '.join(self.evaluations)}."
            )
        if use not in self.evaluations:
            raise InputError(f"The verdict is to use {use!r}, which was not evaluated.")
        support = self.evaluations["old"].support
        for key, evaluation in self.evaluations.items():
            if evaluation.num_classes != self.class_counts.num_classes:
                raise InputError(
                    f"The evaluation of {key!r} has {evaluation.num_classes} classes and "
                    f"class_counts has {self.class_counts.num_classes}."
                )
            if not np.array_equal(evaluation.support, support):
                raise InputError(
                    f"{key!r} and 'old' were evaluated on different test data: their images per "
                    "class differ; evaluate both on the same."
                )

    @property
    def classifiers(self) -> list[str]:
        """The classifiers that were evaluated, in the order old, retrained, ensemble."""
        return [key for key in get_args(Classifier) if key in self.evaluations]

    @property
    def shown(self) -> str | None:
        """The new classifier that is set against the old one: the recommended one.

        Where the verdict is to keep the old one: what was tried, the ensemble before the retrained
        classifier. None without evaluations.
        """
        if not self.evaluations:
            return None
        if self.verdict["use"] != "old":
            return self.verdict["use"]
        return self.classifiers[-1]

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """What each class is called on the page."""
        return _names(self.class_counts)

    def class_rows(self) -> list[ClassRow]:
        """Every class, most training images first: recall of the old and the shown classifier."""
        new = self.evaluations[self.shown] if self.shown else None
        return recall_rows(self.evaluations.get("old"), new, self.class_counts)

    def risers(self, most: int | None = None) -> list[ClassRow]:
        """Classes whose recall rose, largest gain first; of equal ones, most test images first."""
        rows = [row for row in self.class_rows() if (row["change"] or 0) > 0]
        return sorted(rows, key=lambda row: (-(row["change"] or 0), -(row["support"] or 0)))[:most]

    def payers(self, most: int | None = None) -> list[ClassRow]:
        """Classes whose recall fell, largest loss first; of equal ones, most test images first."""
        rows = [row for row in self.class_rows() if (row["change"] or 0) < 0]
        return sorted(rows, key=lambda row: (row["change"] or 0, -(row["support"] or 0)))[:most]

    def gain(self) -> Effect:
        """What the shown classifier gives to the classes that rise."""
        return _effect(self.risers())

    def cost(self) -> Effect:
        """What the shown classifier takes from the classes that pay."""
        return _effect(self.payers())

    def number_rows(self) -> list[NumberRow]:
        """Before and after: the headline numbers, the worst classes, the groups, calibration."""
        if not self.evaluations:
            return []
        rows = [
            self._number(key, {n: getattr(e, key) for n, e in self._each()}) for key in _SUMMARY
        ]
        for percent in _WORST:
            values = {name: e.worst[percent] for name, e in self._each()}
            rows.append(self._number(f"worst_{percent}", values))
        groups = self.class_counts.groups("paper")
        for group in _GROUPS if len(set(groups)) > 1 else ():
            means = {name: _mean_recall(e, groups == group) for name, e in self._each()}
            if means["old"] is not None:
                rows.append(self._number(group, means))
        errors = {name: e.calibration_error for name, e in self._each()}
        if all(error is not None for error in errors.values()):
            rows.append(self._number("calibration_error", errors))
        return rows

    def _each(self) -> Iterator[tuple[str, Evaluation]]:
        return ((name, self.evaluations[name]) for name in self.classifiers)

    def _number(self, key: str, values: Mapping[str, float | None]) -> NumberRow:
        floored = key in ("geometric_mean", "harmonic_mean")
        return {
            "key": key,
            "values": dict(values),
            "floored": {name: floored and e.zeros_replaced > 0 for name, e in self._each()},
            "classes": {
                name: [self.names[c] for c in e.lowest_classes] if key == "lowest_recall" else []
                for name, e in self._each()
            },
        }

    def never_predicted(self) -> dict[str, list[str]]:
        """Names of the scored classes that no test image was given to, by classifier."""
        return {name: [self.names[c] for c in e.never_predicted] for name, e in self._each()}

    def zeros(self) -> dict[str, int]:
        """How many classes have a recall of zero, by classifier."""
        return {name: e.zeros_replaced for name, e in self._each()}

    def untestable(self) -> list[str]:
        """Names of the classes without a test image."""
        old = self.evaluations.get("old")
        return [] if old is None else [self.names[c] for c in old.untestable]

    def certainty(self) -> tuple[int, float]:
        """Test images of the median class, and how far off a recall from so many may be.

        The second is the largest half-width of Wilson's 95 % interval, a fraction.
        """
        support = self.evaluations["old"].support
        images = int(np.median(support[support > 0]))
        z = 1.96
        return images, z / (2 * math.sqrt(images + z * z))

    def setting_rows(self) -> list[tuple[str, str]]:
        """How the run was made: names of nested settings joined by dots, values as text."""
        return list(_flat(self.settings))


def recall_rows(
    old: Evaluation | None, new: Evaluation | None, class_counts: ClassCounts
) -> list[ClassRow]:
    """Every class, most training images first, with its recall before and after.

    Args:
        old, new: on the same test data; None leaves that recall open.
        class_counts: training images per class, with the classes' names.
    """
    counts = class_counts.counts
    groups, names = class_counts.groups("paper"), _names(class_counts)
    rows: list[ClassRow] = []
    for c in np.argsort(-counts, kind="stable").tolist():
        before, after = _recall(old, c), _recall(new, c)
        change = None if before is None or after is None else after - before
        rows.append(
            {
                "class": names[c],
                "index": c,
                "group": str(groups[c]),
                "training_count": int(counts[c]),
                "support": None if old is None else int(old.support[c]),
                "recall_old": before,
                "recall_new": after,
                "change": change,
            }
        )
    return rows


def bin_rows(rows: Sequence[ClassRow], bins: int = 60) -> list[BinRow]:
    """Take neighbouring classes together, about ``bins`` times and never across groups.

    Args:
        rows: classes, most training images first.
        bins: how many, roughly; a group that has classes always has one.
    """
    size = math.ceil(len(rows) / bins)
    found: list[BinRow] = []
    first = 0
    for group in _GROUPS:
        members = [row for row in rows if row["group"] == group]
        parts = math.ceil(len(members) / size)
        for part in range(parts):  # parts of nearly equal size
            start, stop = part * len(members) // parts, (part + 1) * len(members) // parts
            found.append(_bin(members[start:stop], group, first + start))
        first += len(members)
    return found


def _bin(rows: Sequence[ClassRow], group: str, start: int) -> BinRow:
    images = [row["training_count"] for row in rows]
    old = [row["recall_old"] for row in rows if row["recall_old"] is not None]
    new = [row["recall_new"] for row in rows if row["recall_new"] is not None]
    lowest = min(
        (row for row in rows if row["recall_new"] is not None),
        key=lambda row: row["recall_new"] or 0,
        default=None,
    )
    return {
        "start": start,
        "stop": start + len(rows),
        "middle": start + len(rows) / 2,
        "group": group,
        "most_images": max(images),
        "fewest_images": min(images),
        "mean_images": float(np.mean(images)),
        "mean_old": float(np.mean(old)) if old else None,
        "mean_new": float(np.mean(new)) if new else None,
        "worst_old": _worst_tenth(old),
        "worst_new": _worst_tenth(new),
        "lowest_class": None if lowest is None else lowest["class"],
        "lowest_new": None if lowest is None else lowest["recall_new"],
    }


def _worst_tenth(recall: Sequence[float]) -> float | None:
    return float(np.mean(sorted(recall)[: math.ceil(len(recall) / 10)])) if recall else None


def _names(class_counts: ClassCounts) -> tuple[str, ...]:
    """Distinct names in printable characters; ``class 7`` where one is a number or blank."""
    given = class_counts.names or ("",) * class_counts.num_classes
    names = [" ".join(name.translate(_UNPRINTABLE).split()) for name in given]
    names = [
        f"class {name or c}" if not name.strip("0123456789") else name
        for c, name in enumerate(names)
    ]
    often = Counter(names)
    return tuple(n if often[n] == 1 else f"{n} (index {c})" for c, n in enumerate(names))


def _recall(evaluation: Evaluation | None, index: int) -> float | None:
    if evaluation is None or np.isnan(evaluation.per_class_recall[index]):
        return None
    return float(evaluation.per_class_recall[index])


def _mean_recall(evaluation: Evaluation, members: npt.NDArray[np.bool_]) -> float | None:
    recall = evaluation.per_class_recall[members & (evaluation.support > 0)]
    return float(recall.mean()) if recall.size else None


def _effect(rows: Sequence[ClassRow]) -> Effect:
    if not rows:
        return Effect(0, 0.0, None)
    return Effect(len(rows), float(np.mean([row["change"] for row in rows])), rows[0])


def _flat(settings: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or value == {}:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_as_text(item) for item in value) or "–"
    return str(value)
