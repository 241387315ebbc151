"""What a verdict does not tell by itself, said in it."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from everyclass.artifacts import ClassCounts, Features, StoredFeatures, some
from everyclass.stages.choosing.deciding import Verdict
from everyclass.stages.choosing.strategies import REMEDY

__all__ = ["warn_of_known_rows", "with_doubts"]

LOSS_WORTH_SAYING = 0.02


def with_doubts(
    verdict: Verdict,
    counts: ClassCounts,
    unjudged: list[int],
    accuracy: tuple[float, float],
    *,
    train: Features,
    val: Features | None,
) -> Verdict:
    """Say what accuracy a change costs, which classes had no image to decide on, and other doubts.

    Args:
        verdict: what was decided.
        counts: training images per class, with the classes' names.
        unjudged: classes that no image that decided is of.
        accuracy: on the images that decided, before and after.
        train, val: what the rescue was given; validation rows may be training rows.
    """
    doubts = []
    if verdict.use == "old" and val is None and not verdict.reason.endswith(REMEDY):
        doubts.append(REMEDY)
    before, after = accuracy
    if verdict.use != "old" and before - after > LOSS_WORTH_SAYING:
        doubts.append(f"; accuracy falls from {before:.1%} to {after:.1%}")
    if unjudged:
        count = "1 class has" if len(unjudged) == 1 else f"{len(unjudged):,} classes have"
        named = some([counts.describe(c) for c in unjudged])
        doubts.append(f"; {count} no image to decide on: {named}")
    if val is not None and (share := _share_of_known_rows(val, train)) > 0.5:
        doubts.append(
            f"; {share:.0%} of the validation rows are training rows, number by number, so expect "
            "much lower numbers on new images"
        )
    return replace(verdict, reason=verdict.reason + "".join(doubts))


def warn_of_known_rows(test: Features, **parts: Features | None) -> None:
    """Warn where test rows are rows of another part: what they say holds for no new image."""
    for name, part in parts.items():
        if part is None:
            continue
        share = _share_of_known_rows(test, part)
        if share > 0.5:
            warnings.warn(
                f"{share:.0%} of the test rows are {name} rows, number by number, so what is said "
                "of the test set holds for no new image; give features of images that neither the "
                "network nor the rescue has seen.",
                stacklevel=3,
            )


def _share_of_known_rows(new: Features, known: Features, *, looked_at: int = 100) -> float:
    """The share of rows that stand among known ones, number by number.

    Args:
        new: whose rows are looked for.
        known: features that they may stand among; those in a folder are not looked through.
        looked_at: so many rows, spread evenly.
    """
    if isinstance(known, StoredFeatures) or isinstance(new, StoredFeatures):
        return 0.0
    rows, among = new.views[0], known.views[0]
    looked = rows[np.unique(np.linspace(0, len(rows) - 1, looked_at).astype(int))]
    # Behind a ReLU most rows are alike, 0, in many a column.
    telling = int(np.argmax([len(np.unique(column)) for column in looked.T]))
    told = among[:, telling]
    found = [bool((among[told == row[telling]] == row).all(axis=1).any()) for row in looked]
    return float(np.mean(found))
