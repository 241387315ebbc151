"""Acceptance 6 of the first issue: a rescue leaves the best head alone."""

from __future__ import annotations

from gaussians import Gaussians

from everyclass import rescue


def test_the_best_head_is_left_alone() -> None:
    """Balanced classes and the Bayes head; on at least 9 of 10 seeds, with every default."""
    uses = []
    for seed in range(10):
        classes = Gaussians(5, 4, seed=seed)
        train = classes.draw([50] * 5, seed=seed + 100).with_head(classes.bayes_head())
        uses.append(rescue(train, seed=seed).verdict.use)
    assert uses.count("old") >= 9, uses
