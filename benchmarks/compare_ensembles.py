"""How firm a penalty serves an ensemble, judged on held-out images of networks that know the rare.

    EVERYCLASS_DATA=… python benchmarks/compare_ensembles.py RUN [RUN …] [--docs PAGE]

Runs of a data set that has `--val rest`. A head is retrained under each penalty and averaged with
the old one, both calibrated on the training images alone, as `rescue` does it; the old head, the
new one and the ensemble are judged on the held-out images, and the test set is not read.
Everything is printed from benchmarks/results/ensembles.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compare_recipes import NUMBERS
from compare_retraining import cached_features, judged
from compare_views import command
from everyclass.artifacts import Run
from everyclass.stages import Retraining, rescue

SHARES = (0.25, 0.125, 0.0625, 0.03)  # of 1 / C
RESULTS = Path(__file__).parent / "results" / "ensembles.json"


def rows_of(run: Run) -> list[dict[str, Any]]:
    """The old head, then a new one and its ensemble under each penalty."""
    train, rest = cached_features(run)
    rows: list[dict[str, Any]] = []
    for share in SHARES:
        found = rescue(train, retraining=Retraining(penalty=share / train.num_classes))
        heads = {"old head": found.old, "new head": found.retrained, "ensemble": found.ensemble}
        for name, classifier in heads.items():
            if name == "old head" and rows:
                continue  # the same whatever the penalty
            summary = judged(classifier, rest).summary()
            penalty = None if name == "old head" else share
            rows.append({"head": name, "share": penalty, **{n: summary[n] for n in NUMBERS}})
            print(run.folder.name, rows[-1], flush=True)
    return rows


def table(stored: dict[str, list[dict[str, Any]]]) -> str:
    """Mean recall / G / H / lowest in percent, one line per network and head."""
    shares = [f"penalty {share:g} / C" for share in SHARES]
    lines = [f"| | {' | '.join(shares)} |", "|---" * (1 + len(shares)) + "|"]
    for network, rows in stored.items():
        for head in ("old head", "new head", "ensemble"):
            cells = [
                " / ".join(f"{100 * row[n]:.1f}" for n in NUMBERS)
                for row in rows
                if row["head"] == head
            ]
            empty = [""] * (len(shares) - len(cells))
            lines.append(f"| {network}, {head} | {' | '.join([*cells, *empty])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    command(str(__doc__), __file__, RESULTS, rows_of, table)
