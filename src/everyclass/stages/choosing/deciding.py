"""Which classifier to use: a claim of gain has to survive a test, else nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from everyclass.metrics import draw_paired_recalls, harmonic_mean, per_class_recall

__all__ = ["ClassifierName", "Verdict", "decide"]

ClassifierName = Literal["old", "retrained", "ensemble"]
DRAWS = 2000
PRIOR = 0.25
LEVEL = 0.05
_CHUNK_VALUES = 1 << 22  # gamma variates held at a time


@dataclass(frozen=True)
class Verdict:
    """Which classifier to use, why, and what that was decided on.

    Attributes:
        use: "old" means: no change recommended.
        reason: one sentence for a person.
        decided_on: "validation data" or "cross-fitting on the training features".
        compared: the classifier that the old one was compared with, whether or not it is used.
    """

    use: ClassifierName
    reason: str
    decided_on: str
    compared: ClassifierName

    def __str__(self) -> str:
        if self.use == "old":
            return f"No change recommended: {self.reason} (decided on {self.decided_on})."
        return f"Use the {self.use} classifier: {self.reason} (decided on {self.decided_on})."

    def to_dict(self) -> dict[str, str]:
        """As plain values, for ``evaluation.json``."""
        return asdict(self)


def decide(
    labels: npt.NDArray[np.int64],
    predicted: Mapping[ClassifierName, npt.NDArray[np.int64]],
    num_classes: int,
    *,
    decided_on: str,
    seed: int = 0,
) -> Verdict:
    """Choose by the harmonic mean of recall; a change has to be significant.

    The candidate with the highest harmonic mean is compared with the old classifier on the same
    images: for each class the shares of images that both, only one, or neither get right are drawn
    from their posterior (Dirichlet, ¼ each before any image, which is Jeffreys' prior for either
    recall). A resampling of the images would be certain of what six images of a class say; this is
    not. The change is recommended if at least 95 % of the draws have a positive difference; of two
    candidates, whose better one looks better than it is, 97.5 %.

    Args:
        labels: (n,) true classes of images that the candidates were not fitted to.
        predicted: (n,) classes by classifier; "old" and at least one other.
        num_classes: C.
        decided_on: what the images are, for the verdict.
        seed: of the draws.
    """
    means = {
        name: harmonic_mean(per_class_recall(labels, classes, num_classes))
        for name, classes in predicted.items()
    }
    candidates = [name for name in predicted if name != "old"]
    best = max(candidates, key=lambda name: means[name])
    differences = _drawn_differences(
        predicted["old"] == labels, predicted[best] == labels, labels, num_classes, seed
    )
    share = float((differences > 0).mean())
    numbers = f"harmonic mean of recall {means['old']:.1%} → {means[best]:.1%}"
    level = LEVEL / len(candidates)
    if means[best] > means["old"] and share >= 1 - level:
        low, high = np.quantile(differences, [level, 1 - level])
        reason = f"{numbers}, a gain of {100 * low:.1f} to {100 * high:.1f} points"
        return Verdict(best, reason, decided_on, best)
    reason = f"the gain is not certain enough ({best}: {numbers})"
    return Verdict("old", reason, decided_on, best)


def _drawn_differences(
    old_right: npt.NDArray[np.bool_],
    new_right: npt.NDArray[np.bool_],
    labels: npt.NDArray[np.int64],
    num_classes: int,
    seed: int,
) -> npt.NDArray[np.float64]:
    """(DRAWS,) differences of harmonic means."""
    outcome = 2 * old_right + new_right
    table = np.bincount(labels * 4 + outcome, minlength=4 * num_classes).reshape(-1, 4)
    table = table[table.sum(axis=1) > 0]
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK_VALUES // table.size)
    parts = []
    for start in range(0, DRAWS, step):  # one after the other they are what they are at once
        draws = min(step, DRAWS - start)
        old, new = draw_paired_recalls(table, PRIOR, draws, generator)
        means = stats.hmean(np.stack([new, old]), axis=-1)
        parts.append(means[0] - means[1])
    return np.concatenate(parts)
