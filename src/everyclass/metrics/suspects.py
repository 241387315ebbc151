"""Images whose label is suspect, by what a classifier that was not fitted to them says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Predictions
from everyclass.metrics.recall import divide
from everyclass.metrics.scores import probabilities, row_blocks

__all__ = ["CLEAR", "EXCESS", "Certainty", "certainty_of", "judged_classes", "suspect_images"]

# What overlaps looks mislabelled too. A class's labels are judged only if the images of it that are
# right are nearly as clear as those of the median class, which two classes drawn from one Gaussian
# and a class with hardly any training images are far from, and if it has several times as many
# suspect images as the median class.
CLEAR, EXCESS = 0.8, 3.0

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Certainty:
    """What a classifier says about images, two probabilities each.

    Attributes:
        rows: (m,) of the images, in what they are a part of.
        labels: (m,) the classes that they are said to be of.
        top: (m,) the classes that they are given to.
        p_label, p_top: (m,) probabilities of these two.
    """

    rows: npt.NDArray[np.intp]
    labels: Ints
    top: Ints
    p_label: npt.NDArray[np.float64]
    p_top: npt.NDArray[np.float64]

    def renumbered(self, classes: npt.NDArray[np.intp]) -> Certainty:
        """The same where class i is called ``classes[i]``."""
        return replace(self, labels=classes[self.labels], top=classes[self.top])


def certainty_of(predictions: Predictions) -> Certainty | None:
    """The probabilities of the labels and of the predicted classes; None without scores.

    Example:
        >>> said = certainty_of(Predictions([0, 1], probs=[[0.9, 0.1], [0.8, 0.2]]))
        >>> said.p_label.tolist(), said.p_top.tolist()
        ([0.9, 0.2], [0.9, 0.8])
    """
    scores = predictions.scores
    if scores is None:
        return None
    labels, top = predictions.labels, predictions.top
    p_label, p_top = np.empty(len(labels)), np.empty(len(labels))
    for rows in row_blocks(scores):
        p, _ = probabilities(scores[rows], labels[rows], predictions.logits is not None)
        here = np.arange(len(p))
        p_label[rows], p_top[rows] = p[here, labels[rows]], p[here, top[rows]]
    return Certainty(np.arange(len(labels)), labels, top, p_label, p_top)


def suspect_images(said: Certainty, num_classes: int) -> npt.NDArray[np.bool_]:
    """Which labels are suspect, by confident learning (Northcutt, Jiang and Chuang 2021, eq. 1).

    The threshold of a class is the mean probability that its own images give it. A label is suspect
    if its own class's probability is below that class's threshold and the class that the image is
    given to reaches its own. Thresholds that differ by class allow for classes that the classifier
    is surer of than of others. The classifier must not have been fitted to these images.

    Args:
        said: of the images.
        num_classes: C.

    Returns:
        (m,) bool.
    """
    threshold = _mean_by_class(said.p_label, said.labels, num_classes)
    with np.errstate(invalid="ignore"):  # a class without images has no threshold
        below = said.p_label < threshold[said.labels]
        return np.asarray((said.top != said.labels) & below & (said.p_top >= threshold[said.top]))


def judged_classes(
    said: Certainty, suspect: npt.NDArray[np.bool_], num_classes: int
) -> npt.NDArray[np.bool_]:
    """Which classes' suspect labels are worth a look.

    The rule takes images of a class that cannot be told from another for wrongly labelled ones. So
    the images that are right have to be as clear as those of other classes, and more have to be
    suspect than in a class that merely has neighbours.

    Args:
        said: of the images.
        suspect: (m,) of the same images.
        num_classes: C.

    Returns:
        (C,) bool; false for a class without images, or of which none is right.
    """
    right = said.labels == said.top
    clear = _mean_by_class(said.p_label[right], said.labels[right], num_classes)
    share = _mean_by_class(suspect.astype(np.float64), said.labels, num_classes)
    if np.isnan(clear).all():
        return np.zeros(num_classes, dtype=bool)
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (clear >= CLEAR * np.nanmedian(clear)) & (share > EXCESS * np.nanmedian(share))
        )


def _mean_by_class(values: npt.NDArray[Any], labels: Ints, num_classes: int) -> npt.NDArray[Any]:
    sums = np.bincount(labels, values, minlength=num_classes)
    return divide(sums, np.bincount(labels, minlength=num_classes))
