"""From what is known about a class to the cause of its errors: the rules, and their thresholds.

The rules are asked in the order of :func:`cause_of`; docs/diagnosis.md says how often each is right
on problems whose truth is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Cause, ClassDiagnosis
from everyclass.metrics.power import further_images

__all__ = ["THRESHOLDS", "Case", "Pair", "cause_of", "is_few", "pair_of"]

# A class is worse than the others if its recall is shown to be this much below their mean: fewer
# points are not worth a repair (the width of Wilson's interval of 380 images at a recall of 0.5).
MATERIAL = 0.05
# An interval wider than half of the scale says nothing; evaluations call it "too few to say".
WIDEST = 0.5
# A class that is wrong more often than right fails, however bad the others are.
FAILS_BELOW = 0.5
# "Few" training images, after Liu et al. 2019 (OLTR) and the paper's tables; and no more than this
# share of the median class's, for where every class has few, they do not single one out.
FEW, FEW_SHARE = 20, 0.5
# Suspect labels are the cause if they make up two fifths of the errors (of flipped labels, three
# in five are found, or more: docs/diagnosis.md) or a tenth of the training images, if most of the
# others are right, and if there are some: of three images chance makes a pattern.
SUSPECT_OF_ERRORS, SUSPECT_OF_TRAINING, SUSPECT_REST, SUSPECT_LEAST = 0.4, 0.1, 0.5, 4
# Two classes are a confusable pair if one takes half of the other's errors, each takes a tenth of
# what lies between them, and fewer than four in five of these are told apart (two Gaussians 1.7
# standard deviations apart; guessing gives one half).
PAIR_OF_ERRORS, PAIR_EACH_WAY, PAIR_APART, PAIR_LEAST = 0.5, 0.1, 0.8, 5
TELLING = 10  # held-out images from which on their share is worth a word
# A head repairs a class if it closes half of the gap to the others' mean.
CLOSED = 0.5

THRESHOLDS = {
    "material": MATERIAL,
    "widest_interval": WIDEST,
    "fails_below": FAILS_BELOW,
    "few_training_images": FEW,
    "few_of_median": FEW_SHARE,
    "suspect_of_errors": SUSPECT_OF_ERRORS,
    "suspect_of_training": SUSPECT_OF_TRAINING,
    "pair_of_errors": PAIR_OF_ERRORS,
    "pair_each_way": PAIR_EACH_WAY,
    "pair_told_apart": PAIR_APART,
    "gap_closed": CLOSED,
}

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Images of two classes that were given to one of the two.

    Attributes:
        right, lost: of the class: given to it, and to the other.
        other_right, gained: of the other: given to it, and to the class.
    """

    right: int
    lost: int
    other_right: int
    gained: int

    @property
    def apart(self) -> float:
        """Share of these images that are told apart, both classes weighing alike."""
        own, other = self.right + self.lost, self.other_right + self.gained
        return (self.right / own + self.other_right / other) / 2

    @property
    def is_confused(self) -> bool:
        """Whether the two are hardly told apart, and the errors go both ways.

        Where they go one way only, the border between the two may just be in the wrong place.
        """
        own, other = self.right + self.lost, self.other_right + self.gained
        return (
            min(own, other) >= PAIR_LEAST
            and min(self.lost / own, self.gained / other) >= PAIR_EACH_WAY
            and self.apart <= PAIR_APART
        )


def pair_of(labels: Ints, predicted: Ints, c: int, other: int) -> Pair:
    """Count the images of two classes that were given to one of the two."""
    own, others = predicted[labels == c], predicted[labels == other]
    return Pair(
        int((own == c).sum()),
        int((own == other).sum()),
        int((others == other).sum()),
        int((others == c).sum()),
    )


def is_few(count: int | None, typical: float | None) -> bool:
    """Whether a class has few training images, for itself and beside the median class."""
    return count is not None and count <= FEW and count <= FEW_SHARE * (typical or 0)


@dataclass(frozen=True, eq=False)
class Case:
    """A class whose cause is asked for.

    Attributes:
        known: the facts about it; cause and reason are not looked at.
        worse: whether it is shown to be worse than the others.
        others: their mean recall.
        level: of tests.
        name: what a class is called in a sentence.
        typical_count: training images of the median class, or None.
        suspect_test, suspect_train: how many of its images have a suspect label.
        looked_at_train: how many of its training images were looked at for that.
        others_held_out: mean recall of the others under the retrained head, on held-out images.
        trusted: whether held-out images are like test images, for this class.
        what: the held-out images.
        pair, pair_held_out: with the class that takes most of its errors.
        partner_few: whether that class has few training images.
    """

    known: ClassDiagnosis
    worse: bool
    others: float
    level: float
    name: Callable[[int], str]
    typical_count: float | None = None
    suspect_test: int = 0
    suspect_train: int = 0
    looked_at_train: int = 0
    others_held_out: float | None = None
    trusted: bool = False
    what: str = ""
    pair: Pair | None = None
    pair_held_out: Pair | None = None
    partner_few: bool = False

    @property
    def few(self) -> bool:
        """Whether the class has few training images."""
        return is_few(self.known.training_count, self.typical_count)

    @property
    def closes_the_gap(self) -> bool:
        """Whether the retrained head is shown to close most of the gap to the others."""
        reach = self.known.reachable
        if reach is None or self.others_held_out is None or not self.trusted:
            return False
        gain = reach.recall - reach.old
        gap = max(0.0, self.others_held_out - reach.old)
        return reach.p_value <= self.level and gain >= max(MATERIAL, CLOSED * gap)

    @property
    def stays_behind(self) -> bool:
        """Whether the retrained head is shown to leave the class behind the others."""
        reach = self.known.reachable
        if reach is None or self.others_held_out is None or not self.trusted:
            return False
        return reach.interval[1] < self.others_held_out - MATERIAL


def cause_of(case: Case) -> tuple[Cause, str]:
    """The first cause whose rule holds, and a sentence that names the evidence."""
    known = case.known
    low, high = known.interval
    if not case.worse and high >= FAILS_BELOW:
        if high - low > WIDEST:
            return "too_few_test_images", _too_few(case)
        return "fine", _fine(case)
    if known.training_count == 0:
        return "too_few_training_images", "It has no training image at all."
    for cause, rule in _RULES:
        reason = rule(case)
        if reason:
            return cause, reason
    return "undecided", _undecided(case)


def _fine(case: Case) -> str:
    if case.known.recall >= case.others:
        return f"Its recall is not below the others' mean of {case.others:.1%}."
    return (
        f"It is not shown to be more than {100 * MATERIAL:g} points below the others' mean of "
        f"{case.others:.1%}; the lowest of equally good classes may look like this."
    )


def _too_few(case: Case) -> str:
    known = case.known
    more = further_images(known.right, known.support, confidence=1 - case.level)
    return (
        f"{known.right} of {known.support} images right say little about the class; {more} more "
        "would make the interval of its recall 20 points wide."
    )


def _suspect(case: Case) -> str:
    known = case.known
    errors = known.support - known.right
    n = case.suspect_test
    rest = known.right / max(1, known.support - n)
    if rest < SUSPECT_REST:
        return ""
    if n >= max(SUSPECT_LEAST, SUSPECT_OF_ERRORS * errors):
        return (
            f"{n} of its {errors} errors are given to another class as surely as that class's own "
            f"images, while what is right is clear; without them its recall would be {rest:.1%}. "
            "Look at these images."
        )
    n, count = case.suspect_train, case.looked_at_train
    if n >= max(SUSPECT_LEAST, SUSPECT_OF_TRAINING * count):
        return (
            f"{n} of its {count} training images that were looked at are like another class's to a "
            "head that was not fitted to them, while what is right is clear. Look at these images."
        )
    return ""


def _confusable(case: Case) -> str:
    known = case.known
    if case.pair is None or not known.taken_by or case.few or case.partner_few:
        return ""
    other, images = known.taken_by[0]
    errors = known.support - known.right
    if images < PAIR_OF_ERRORS * errors:
        return ""
    decided = case.pair_held_out if case.trusted and case.pair_held_out else case.pair
    if not decided.is_confused:
        return ""
    said = f"{case.name(other)} takes {images} of its {errors} errors, and "
    if decided is case.pair:
        return said + (
            f"{case.pair.gained} of the other's images are given to it: of the images that lie "
            f"between the two, {decided.apart:.0%} are told apart (guessing gives 50%)."
        )
    return said + (
        f"a retrained head tells the two apart in {decided.apart:.0%} of held-out images (guessing "
        "gives 50%)."
    )


def _fixable(case: Case) -> str:
    reach = case.known.reachable
    if reach is None or not case.closes_the_gap:
        return ""
    few = ""
    if case.few:
        images = "image" if case.known.training_count == 1 else "images"
        few = f" It has only {case.known.training_count} training {images}; more would help too."
    return (
        f"A retrained head raises its recall from {reach.old:.1%} to {reach.recall:.1%} on "
        f"{reach.images:,} images of {case.what}, where the others' mean is "
        f"{case.others_held_out:.1%}.{few}"
    )


def _too_few_training(case: Case) -> str:
    if not case.few:
        return ""
    images = "image" if case.known.training_count == 1 else "images"
    return (
        f"It has {case.known.training_count} training {images} where the median class has "
        f"{case.typical_count:,.0f}{_so_far(case)}."
    )


def _not_fixable(case: Case) -> str:
    reach = case.known.reachable
    if reach is None or not case.stays_behind:
        return ""
    shown = "" if reach.shown is None else f", and {reach.shown:.1%} of those it was fitted to"
    return (
        f"A head retrained so that every class counts gets {reach.recall:.1%} of its "
        f"{reach.images:,} held-out images right{shown}; the others' mean is "
        f"{case.others_held_out:.1%}. Such a head does not tell it from other classes by these "
        "features."
    )


def _so_far(case: Case) -> str:
    reach = case.known.reachable
    if reach is None or not case.trusted or reach.images < TELLING:
        return ""
    return f"; a retrained head gets {reach.recall:.1%} of {reach.images:,} held-out ones right"


def _undecided(case: Case) -> str:
    reach = case.known.reachable
    said = f"It is worse than the others' mean of {case.others:.1%}, and "
    if not case.worse:
        said = "It is wrong more often than right, and "
    if reach is None:
        return said + "what a retrained head would reach is not known."
    if not case.trusted:
        return said + (
            f"{case.what} cannot say why: there the old head gets {reach.old:.1%} of this class "
            "right, so those images are unlike the test images."
        )
    return said + (
        f"{reach.images:,} held-out images do not decide whether a retrained head helps "
        f"({reach.old:.1%} → {reach.recall:.1%})."
    )


_RULES: tuple[tuple[Cause, Callable[[Case], str]], ...] = (
    ("suspect_labels", _suspect),
    ("confusable_pair", _confusable),
    ("fixable_by_the_head", _fixable),
    ("too_few_training_images", _too_few_training),
    ("not_fixable_by_the_head", _not_fixable),
)
