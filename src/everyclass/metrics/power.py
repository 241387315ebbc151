"""How many test images of a class it takes to say something."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from everyclass.errors import InputError
from everyclass.metrics.intervals import checked_tail, recall_intervals

__all__ = ["further_images", "images_to_decide", "paired_power", "samples_needed"]

_MOST = 10_000_000


def samples_needed(
    *,
    recall: float,
    half_width: float | None = None,
    lift: float | None = None,
    broken: float | None = None,
    power: float = 0.8,
    confidence: float = 0.95,
    classes: int = 1,
) -> int:
    r"""Test images of one class for an interval of ± ``half_width``, or to see a ``lift``.

    *Half-width*: that of Wilson's interval around ``recall``. *Lift*: of a paired comparison on the
    same images by the mid-p McNemar test; the smallest number of images that shows it with this
    power, by adding up binomial probabilities. It depends on how many images the new classifier
    gets wrong that the old one had right.

    Args:
        recall: of the class, a fraction; with ``lift``, of the old classifier.
        half_width: fraction, more than 0 and less than 0.5.
        lift: new recall less old one, not 0; a negative one is a loss to be noticed.
        broken: with ``lift``, share of images right before and wrong after. Default: as many as if
            the two erred independently, which asks for more images than two similar classifiers
            need.
        power: with ``lift``, probability of seeing it.
        confidence: of the interval; one minus the level of the test.
        classes: with ``lift``, how many are tested at once; the level is divided by it, as Holm's
            first step does.

    Returns:
        Number of images.

    Raises:
        InputError: neither or both of half_width and lift, half_width with what goes with lift, or
            a value out of range.

    Example:
        >>> samples_needed(recall=0.9, half_width=0.05)
        141
        >>> samples_needed(recall=0.5, lift=0.15, broken=0.05)
        81
    """
    tail = checked_tail(confidence)
    if (half_width is None) == (lift is None):
        raise InputError("Give samples_needed either half_width (--half-width) or lift (--lift).")
    if not 0 <= recall <= 1:
        raise InputError(f"recall must lie between 0 and 1; got {recall}.")
    if classes < 1:
        raise InputError(f"classes must be 1 at least; got {classes}.")
    checked_power(power)
    if half_width is not None:
        for name, given in (
            ("broken", broken is not None),
            ("power", power != 0.8),  # the default
            ("classes", classes != 1),
        ):
            if given:
                raise InputError(
                    f"{name} (--{name}) goes with lift (--lift), which compares two classifiers; "
                    "an interval of ± half_width is of one class of one classifier. Leave it out, "
                    "or ask for a lift."
                )
        return _for_interval(recall, half_width, float(stats.norm.isf(tail)) ** 2)
    assert lift is not None
    fixed, broken = _discordant(recall, lift, broken)
    return _for_lift(fixed, broken, 2 * tail / classes, power)


@functools.lru_cache(maxsize=8192)
def further_images(
    right: int, support: int, *, confidence: float = 0.95, half_width: float = 0.1
) -> int:
    """How many more test images of a class make Wilson's interval of its recall narrow enough.

    Its recall is taken to be (right + ½) / (support + 1), so that a class with no error, or with
    nothing right, is not taken for one that never has any.

    Args:
        right: images of the class that were given to it.
        support: images of the class; it may have none.
        confidence: of the interval.
        half_width: half of the interval's width.

    Returns:
        Number of images; 0 where the interval is narrow enough already.

    Example:
        >>> further_images(3, 3), further_images(0, 0)
        (40, 93)
    """
    needed = samples_needed(
        recall=(right + 0.5) / (support + 1), half_width=half_width, confidence=confidence
    )
    if support:
        ((low, high),) = recall_intervals([right], [support], confidence=confidence)
        if high - low <= 2 * half_width:
            return 0
    return max(1, needed - support)


def images_to_decide(
    fixed: Any, broken: Any, *, level: float = 0.05, power: float = 0.8
) -> npt.NDArray[np.float64]:
    r"""Images of a class that a paired comparison needs, by formula, for many classes at once.

    :math:`n = (z_{\alpha/2} \sqrt{s} + z_\beta \sqrt{s - d^2})^2 / d^2` with s = fixed + broken and
    d = fixed − broken (Connor 1987); a few percent more than :func:`samples_needed`.

    Args:
        fixed: (C,) shares of images that only the new classifier gets right; NaN without images.
        broken: (C,) shares that only the old one gets right.
        level: of the two-sided test.
        power: probability of seeing the difference.

    Returns:
        (C,) images; infinite where both shares are equal, NaN where there is none.

    Raises:
        InputError: shares that are none, or a level or power outside 0..1.

    Example:
        >>> images_to_decide([0.20, 0.1], [0.05, 0.1]).round(1)
        array([84.8,  inf])
    """
    fixed, broken = np.asarray(fixed, dtype=np.float64), np.asarray(broken, dtype=np.float64)
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, such as 0.05; got {level}.")
    checked_power(power)
    if (
        fixed.shape != broken.shape
        or (np.minimum(fixed, broken) < 0).any()
        or (fixed + broken > 1 + 1e-9).any()
    ):
        raise InputError(
            "fixed and broken must be shares of the same images, one per class each: 0 at least, "
            "and together 1 at most."
        )
    s, d = fixed + broken, fixed - broken
    reach = stats.norm.isf(level / 2) * np.sqrt(s)
    reach = reach + stats.norm.isf(1 - power) * np.sqrt(np.maximum(s - d * d, 0))
    return np.asarray(np.where(d == 0, np.inf, (reach / np.where(d == 0, 1, d)) ** 2))


def paired_power(n: int, fixed: float, broken: float, *, level: float = 0.05) -> float:
    """Probability that the two-sided mid-p McNemar test sees a difference in n images.

    Args:
        n: images.
        fixed: share of images that only the new classifier gets right.
        broken: share that only the old one gets right.
        level: of the test.

    Example:
        >>> round(paired_power(81, 0.20, 0.05), 2)
        0.8
    """
    s = fixed + broken
    reach = 9 * math.sqrt(n * s * (1 - s)) + 9
    m = np.arange(max(0, math.floor(n * s - reach)), min(n, math.ceil(n * s + reach)) + 1)
    # The largest number on the rarer side that the test rejects at, one too many to begin with.
    most = stats.binom.isf(1 - level / 2, m, 0.5) + 1
    for _ in range(3):
        p = 2 * stats.binom.cdf(most, m, 0.5) - stats.binom.pmf(most, m, 0.5)
        most = most - ((p > level) | (2 * most >= m))
    share = fixed / s
    rejected = stats.binom.cdf(most, m, share) + stats.binom.cdf(most, m, 1 - share)
    return float(stats.binom.pmf(m, n, s) @ rejected)


def checked_power(power: float) -> None:
    """Refuse what is no probability of seeing something.

    Raises:
        InputError: not between 0 and 1.
    """
    if not 0 < power < 1:
        raise InputError(f"power must lie between 0 and 1, such as 0.8; got {power}.")


def _for_interval(recall: float, half_width: float, z2: float) -> int:
    if not 0 < half_width < 0.5:
        raise InputError(f"half_width must be more than 0 and less than 0.5; got {half_width}.")
    # Wilson's half-width² = h², a quadratic equation in n.
    h2 = half_width**2
    linear = z2 * (recall * (1 - recall) - 2 * h2)
    root = math.sqrt(linear**2 + h2 * z2**2 * (1 - 4 * h2))
    return _checked((linear + root) / (2 * h2))


def _for_lift(fixed: float, broken: float, level: float, power: float) -> int:
    high = _checked(float(images_to_decide(fixed, broken, level=level, power=power)))
    while paired_power(high, fixed, broken, level=level) < power:
        high *= 2
    low = 0  # the power rises from here to there, but for steps far smaller than it matters
    while high - low > 1:
        middle = (low + high) // 2
        enough = paired_power(middle, fixed, broken, level=level) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def _discordant(recall: float, lift: float, broken: float | None) -> tuple[float, float]:
    new = recall + lift
    if lift == 0 or not -1e-12 <= new <= 1 + 1e-12:
        raise InputError(
            f"lift must not be 0 and must leave the recall within 0..1; got {lift} from {recall}."
        )
    if broken is None:
        broken = recall * max(0.0, 1 - new)
    fixed = lift + broken
    if broken < 0 or broken > recall + 1e-12 or fixed < -1e-12 or fixed > 1 - recall + 1e-12:
        raise InputError(
            f"broken must leave both shares possible: {broken} broken of recall {recall} and "
            f"{fixed:.3g} fixed of the other {1 - recall:.3g}."
        )
    return max(fixed, 0.0), broken


def _checked(images: float) -> int:
    if images > _MOST:
        raise InputError(
            f"That takes {images:,.0f} images of one class; ask for a wider interval or a larger "
            "lift."
        )
    return max(1, math.ceil(round(images, 9)))
