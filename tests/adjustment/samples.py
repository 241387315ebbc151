"""Validation samples whose best adjustment is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from everyclass.adjustment import HeldOut

COUNTS = np.geomspace(400, 5, 8).round().astype(int)
PRIOR = COUNTS / COUNTS.sum()


def draw(
    sizes: Sequence[int], seed: int, temperature: float = 1.0, wrong: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the exact posterior under the training prior PRIOR, and labels.

    The classes are Gaussians; ``temperature`` multiplies the logits, as a network does that is too
    sure of itself; ``wrong`` is added to the logits, as by a head that is off.
    """
    classes = len(sizes)
    generator = np.random.default_rng(seed)
    means = 1.1 * np.random.default_rng(7).normal(size=(classes, 6))
    labels = generator.permutation(np.repeat(np.arange(classes), sizes))
    x = means[labels] + generator.normal(size=(len(labels), 6))
    prior = COUNTS[:classes] / COUNTS[:classes].sum()
    logits = x @ means.T - 0.5 * (means**2).sum(axis=1) + np.log(prior)
    if wrong is not None:
        logits = logits + np.asarray(wrong)
    return temperature * logits, labels


def held_out(
    sizes: Sequence[int], seed: int = 0, *, counts: bool = True, **options: object
) -> HeldOut:
    logits, labels = draw(sizes, seed, **options)  # type: ignore[arg-type]
    prior = np.log(COUNTS[: len(sizes)] / COUNTS[: len(sizes)].sum())
    return HeldOut(logits, labels, prior if counts else None)
