"""How much GML should weigh beside label-aware smoothing, on held-out images of MiSLAS networks.

    EVERYCLASS_DATA=… python benchmarks/compare_gml_weight.py RUN [RUN …] [--docs PAGE]

Runs of mislas on a data set that has `--val rest`. Heads are fitted to smoothing + weight · GML,
and to either alone, under penalties around those that rescue chooses, and judged on the held-out
images; the test set is not read. Everything is computed from benchmarks/results/gml-weight.json,
which holds what each head said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compare_retraining import cached_features, judged
from compare_views import NUMBERS, command, table_by_penalty
from everyclass.artifacts import Run
from everyclass.stages import Retraining, retrain

WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0)
SHARES = (0.25, 0.125, 0.0625, 0.03)  # of 1 / C
RESULTS = Path(__file__).parent / "results" / "gml-weight.json"


def ways(penalty: float) -> dict[str, Retraining]:
    """Name → settings."""
    both = {
        f"smoothing + {weight:g} · GML": Retraining(
            objective="gml_and_smoothing", gml_weight=weight, penalty=penalty * (1 + weight)
        )
        for weight in WEIGHTS
    }
    return {
        "smoothing alone": Retraining(objective="smoothing", penalty=penalty),
        **both,
        "GML alone": Retraining(objective="gml", penalty=penalty),
    }


def rows_of(run: Run) -> list[dict[str, Any]]:
    """One row per way and penalty, which is per unit of loss, so that sums are not less held."""
    train, rest = cached_features(run)
    rows = []
    for share in SHARES:
        for name, settings in ways(share / train.num_classes).items():
            found = judged(retrain(train, settings), rest).summary()
            rows.append({"objective": name, "share": share, **{n: found[n] for n in NUMBERS}})
            print(run.folder.name, rows[-1], flush=True)
    return rows


def table(stored: dict[str, list[dict[str, Any]]]) -> str:
    """One line per way."""
    return table_by_penalty(stored, "objective", ways(1.0), SHARES)


if __name__ == "__main__":
    command(str(__doc__), __file__, RESULTS, rows_of, table)
