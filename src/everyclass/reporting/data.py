"""What the report says, as plain values: worded in ``words``, drawn in ``charts``, put on a page
in ``html``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import ClassCounts, Comparison, Diagnosis, Evaluation, quoted, some
from everyclass.errors import InputError
from everyclass.reporting.formats import percent
from everyclass.reporting.rows import ClassRow, class_names, level_of, recall_rows
from everyclass.reporting.thumbnails import Example

__all__ = ["Classifier", "Effect", "Report"]

Classifier = Literal["old", "retrained", "ensemble"]


@dataclass(frozen=True)
class Effect:
    """What a new classifier does to the classes that it moves in one direction.

    Attributes:
        classes: how many there are.
        mean_change: their mean change of recall, a signed fraction; 0 if there are none.
        largest: the class that moves most, or None.
        shown: how many of them are shown to move, or None where that was not tested.
    """

    classes: int
    mean_change: float
    largest: ClassRow | None
    shown: int | None = None


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that a report shows: of a rescue, or of any classifiers on the same images.

    Attributes:
        title: what was judged.
        verdict: of a rescue: ``use`` ("old", "retrained" or "ensemble"), ``reason`` (a sentence)
            and ``decided_on`` (the data that it was decided on). None for any other classifiers.
        evaluations: by what the classifier is called. The first is the one that the others are
            compared with. Of a rescue: "old" and at least one other, or empty without test data.
        class_counts: training images per class, with the classes' names, where known.
        settings: how the run was made; may be nested.
        created: when, in ISO form.
        show: the classifier that is set against the first; see :attr:`shown`.
        comparisons: of the first with others, by their names, where single images are known.
        pairs: by classifier: (true class, predicted class, images), most frequent first.
        reliability: by classifier: (15, 3), see :meth:`EvaluationState.reliability`.
        examples: of the worst classes by index: images that :attr:`judged` gets wrong.
        diagnosis: why the worst classes of :attr:`judged` fail, where that was looked into.
        candidates: what a rescue compared, with numbers on the images that decided.

    Raises:
        InputError: an unknown classifier, evaluations on different test data or classes, with
            another ``zero_floor`` or with intervals of another confidence, or a verdict for a
            classifier that was not evaluated.

    Example:
        >>> counts = ClassCounts([90, 9], names=("cat", "lynx"))
        >>> verdict = {"use": "old", "reason": "Nothing is gained.", "decided_on": "validation"}
        >>> Report("Cats", verdict, {}, counts, {"seed": 0}, "2026-11-23T18:00:00").shown
    """

    title: str
    verdict: Mapping[str, str] | None
    evaluations: Mapping[str, Evaluation]
    class_counts: ClassCounts | None
    settings: Mapping[str, Any]
    created: str
    show: str | None = None
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    pairs: Mapping[str, Sequence[tuple[int, int, int]]] = field(default_factory=dict)
    reliability: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    examples: Mapping[int, Sequence[Example]] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    candidates: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        if self.verdict is not None:
            self._check_verdict(self.verdict)
        elif not self.evaluations:
            raise InputError("A report needs at least one evaluation.")
        if self.show is not None and self.show not in self.evaluations:
            raise InputError(f"{self.show!r} is to be shown and was not evaluated.")
        self._check_classes()

    def _check_verdict(self, verdict: Mapping[str, str]) -> None:
        known = get_args(Classifier)
        use = verdict.get("use", "nothing")
        if use not in known:
            raise InputError(f"verdict['use'] must be one of {', '.join(known)}; got {use!r}.")
        for key in ("reason", "decided_on"):
            if key not in verdict:
                raise InputError(f"verdict has no {key!r}; it is printed under the verdict.")
        if not self.evaluations:
            return
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

    def _check_classes(self) -> None:
        first = self.baseline
        for key, evaluation in self.evaluations.items():
            counts = self.class_counts
            if counts is not None and evaluation.num_classes != counts.num_classes:
                raise InputError(
                    f"The evaluation of {key!r} has {evaluation.num_classes} classes and "
                    f"class_counts has {counts.num_classes}."
                )
            if counts is not None:
                self._check_names(key, evaluation.class_names, counts.names)
            if first:
                self._check_same(key, evaluation, first, self.evaluations[first])
        self._check_levels()

    def _check_names(
        self, key: str, own: tuple[str, ...] | None, counted: tuple[str, ...] | None
    ) -> None:
        """Refuse training images of other classes, or in another order."""
        if own is None or counted is None or own == counted:
            return
        pairs = enumerate(zip(own, counted, strict=True))
        c = next(c for c, (mine, theirs) in pairs if mine != theirs)
        raise InputError(
            f"The evaluation of {key!r} calls class {c} {quoted(own[c])} and class_counts calls it "
            f"{quoted(counted[c])}; give the counts of the same classes in the same order."
        )

    def _check_levels(self) -> None:
        """Refuse intervals of several confidences side by side."""
        levels = {repr(key): level_of(e) for key, e in self.evaluations.items()}
        for key, found in self.comparisons.items():
            levels[f"the comparison with {key!r}"] = found.settings.get("confidence")
        known = [(what, level) for what, level in levels.items() if level is not None]
        for what, level in known[1:]:
            if level != known[0][1]:
                raise InputError(
                    f"The intervals of {known[0][0]} have a confidence of {known[0][1]:g} and "
                    f"those of {what} one of {level:g}; make them with the same confidence "
                    "(evaluate --confidence)."
                )

    def _check_same(self, key: str, new: Evaluation, first: str, old: Evaluation) -> None:
        """Refuse other classes, or in another order, other images of them, and another floor."""
        if new.class_names and old.class_names and new.class_names != old.class_names:
            raise InputError(
                f"{key!r} has the classes {some(new.class_names, most=5)} and {first!r} has "
                f"{some(old.class_names, most=5)}; give evaluations of the same classes in the "
                "same order."
            )
        if not np.array_equal(new.support, old.support):
            such = ""
            if len(new.support) == len(old.support):
                c = int(np.flatnonzero(new.support != old.support)[0])
                such = f", such as {new.support[c]} and {old.support[c]} of {self.names[c]}"
            raise InputError(
                f"{key!r} and {first!r} were evaluated on different test data: their images "
                f"per class differ{such}; evaluate both on the same."
            )
        if new.zero_floor != old.zero_floor:
            raise InputError(
                f"{key!r} counts no recall less than {new.zero_floor:g} and {first!r} none less "
                f"than {old.zero_floor:g}; their means can only be compared with the same "
                "zero_floor (evaluate --zero-floor)."
            )

    @property
    def confidence(self) -> float | None:
        """Of the intervals; None where no evaluation has any, or none says of what confidence."""
        levels = (level_of(evaluation) for evaluation in self.evaluations.values())
        return next((level for level in levels if level is not None), None)

    @property
    def has_intervals(self) -> bool:
        """Whether a number of an evaluation has an interval."""
        return any(e.intervals is not None for e in self.evaluations.values())

    @property
    def is_rescue(self) -> bool:
        """Whether the classifiers are those of a rescue, and a verdict was given."""
        return self.verdict is not None

    @property
    def classifiers(self) -> list[str]:
        """Those that were evaluated; of a rescue in the order old, retrained, ensemble."""
        if self.is_rescue:
            return [key for key in get_args(Classifier) if key in self.evaluations]
        return list(self.evaluations)

    @property
    def baseline(self) -> str | None:
        """The classifier that the others are compared with."""
        return next(iter(self.classifiers), None)

    @property
    def others(self) -> list[str]:
        """The classifiers that are compared with the first."""
        return self.classifiers[1:]

    @property
    def shown(self) -> str | None:
        """The classifier that is set against the first one, or None where there is no other.

        ``show``; else of a rescue the recommended one, or the last that was tried where the
        verdict is to keep the old one; else the other with the highest harmonic mean of recall.
        """
        if not self.others:
            return None
        if self.show is not None and self.show != self.baseline:
            return self.show
        if self.verdict is None:
            return max(self.others, key=lambda name: self.evaluations[name].harmonic_mean)
        return self.classifiers[-1] if self.verdict["use"] == "old" else self.verdict["use"]

    @property
    def judged(self) -> str | None:
        """The classifier whose worst classes are looked at: the one that is to be used."""
        if self.verdict is not None and self.verdict["use"] == "old":
            return self.baseline
        return self.shown or self.baseline

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """What each class is called on the page."""
        known = next(iter(self.evaluations.values()), None)
        if self.class_counts is not None and self.class_counts.names is not None:
            given: tuple[str, ...] | None = self.class_counts.names
        else:
            given = None if known is None else known.class_names
        number = self.class_counts.num_classes if self.class_counts else known.num_classes  # type: ignore[union-attr]
        return class_names(given, number)

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.names)

    @functools.cached_property
    def groups(self) -> npt.NDArray[np.str_] | None:
        """(C,) many, medium or few, by the paper's rule; None where all are in one, or unknown."""
        if self.class_counts is None:
            return None
        groups = self.class_counts.groups("paper")
        return groups if len(set(groups.tolist())) > 1 else None

    @property
    def comparison(self) -> Comparison | None:
        """The paired comparison of the first and the shown classifier, where there is one."""
        return self.comparisons.get(self.shown or "")

    @functools.cached_property
    def _rows(self) -> list[ClassRow]:
        old, new = self.evaluations.get(self.baseline or ""), self.evaluations.get(self.shown or "")
        return recall_rows(old, new, self.class_counts, self.names)

    def class_rows(self) -> list[ClassRow]:
        """Every class, most training images first: recall of the first and the shown classifier."""
        return list(self._rows)

    def risers(self, most: int | None = None) -> list[ClassRow]:
        """Classes whose recall rose, largest gain first; of equal ones, most test images first."""
        rows = [row for row in self._rows if (row["change"] or 0) > 0]
        return sorted(rows, key=lambda row: (-(row["change"] or 0), -(row["support"] or 0)))[:most]

    def payers(self, most: int | None = None) -> list[ClassRow]:
        """Classes whose recall fell, largest loss first; of equal ones, most test images first."""
        rows = [row for row in self._rows if (row["change"] or 0) < 0]
        return sorted(rows, key=lambda row: (row["change"] or 0, -(row["support"] or 0)))[:most]

    def gain(self) -> Effect:
        """What the shown classifier gives to the classes that rise."""
        found = self.comparison
        return _effect(self.risers(), None if found is None else len(found.rose))

    def cost(self) -> Effect:
        """What the shown classifier takes from the classes that pay."""
        found = self.comparison
        return _effect(self.payers(), None if found is None else len(found.paid))

    @property
    def worst_fell(self) -> bool:
        """Whether the worst class has less under the shown classifier than under the first one."""
        return self._worst_change() < 0

    @property
    def worst_rose(self) -> bool:
        """Whether it has more."""
        return self._worst_change() > 0

    def _worst_change(self) -> float:
        """Of the lowest recall, as it is printed; of the classes above zero where all is zero."""
        old, new = self.evaluations.get(self.baseline or ""), self.evaluations.get(self.shown or "")
        if old is None or new is None:
            return 0
        if old.lowest_recall or new.lowest_recall:
            same = percent(old.lowest_recall) == percent(new.lowest_recall)
            return 0 if same else new.lowest_recall - old.lowest_recall
        zeros = self.zeros()
        return zeros[self.baseline or ""] - zeros[self.shown or ""]

    def each(self) -> Iterator[tuple[str, Evaluation]]:
        """Every classifier with its evaluation, in their order."""
        return ((name, self.evaluations[name]) for name in self.classifiers)

    def never_predicted(self) -> dict[str, list[str]]:
        """Names of the scored classes that no test image was given to, by classifier."""
        return {name: [self.names[c] for c in e.never_predicted] for name, e in self.each()}

    def zeros(self) -> dict[str, int]:
        """How many classes have a recall of zero, by classifier."""
        return {name: int((e.per_class_recall == 0).sum()) for name, e in self.each()}

    def floored(self) -> dict[str, int]:
        """How many classes count as the floor in harmonic and geometric mean, by classifier."""
        return {name: e.zeros_replaced for name, e in self.each()}

    def untestable(self) -> list[str]:
        """Names of the classes without a test image."""
        first = self.evaluations.get(self.baseline or "")
        return [] if first is None else [self.names[c] for c in first.untestable]

    def setting_rows(self) -> list[tuple[str, str]]:
        """How the run was made: names of nested settings joined by dots, values as text."""
        return list(_flat(self.settings))


def _effect(rows: Sequence[ClassRow], shown: int | None) -> Effect:
    if not rows:
        return Effect(0, 0.0, None, shown)
    mean = float(np.mean([row["change"] for row in rows]))
    return Effect(len(rows), mean, rows[0], shown)


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
