"""How much GML should weigh beside label-aware smoothing, on held-out images of MiSLAS networks.

    EVERYCLASS_DATA=… python benchmarks/compare_gml_weight.py RUN [RUN …] [--docs PAGE]

Runs of mislas on a data set that has `--val rest`. Heads are fitted to smoothing + weight · GML,
and to either alone, under penalties around those that rescue chooses, and judged on the held-out
images; the test set is not read. Everything is computed from benchmarks/results/gml-weight.json,
which holds what each head said.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from compare_retraining import cached_features, judged
from compare_strategies import into_page
from everyclass.artifacts import Run, read_json, write_json
from everyclass.stages import Retraining, retrain

WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0)
SHARES = (0.25, 0.125, 0.0625, 0.03)  # of 1 / C
NUMBERS = ("geometric_mean", "harmonic_mean", "lowest_recall")
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
            rows.append({"way": name, "share": share, **{n: found[n] for n in NUMBERS}})
            print(run.folder.name, rows[-1], flush=True)
    return rows


def table(stored: dict[str, list[dict[str, Any]]]) -> str:
    """Geometric mean / harmonic mean / lowest recall in percent, means over the networks."""
    lines = [
        f"| objective | {' | '.join(f'penalty {share:g} / C' for share in SHARES)} |",
        "|---" * (1 + len(SHARES)) + "|",
    ]
    for name in ways(1.0):
        cells = []
        for share in SHARES:
            found = np.array(
                [
                    [row[number] for number in NUMBERS]
                    for rows in stored.values()
                    for row in rows
                    if (row["way"], row["share"]) == (name, share)
                ]
            )
            g, h, lowest = 100 * found.mean(axis=0)
            cells.append(f"{g:.1f} / {h:.1f} / {lowest:.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--docs", type=Path, help="page to write the table into")
    options = parser.parse_args()
    stored = read_json(RESULTS) if RESULTS.is_file() else {}
    for folder in options.runs:
        stored[folder.name] = rows_of(Run.open(folder))
        write_json(RESULTS, stored)
    print(table(stored))
    if options.docs is not None:
        into_page(options.docs, Path(__file__).name, table(stored))


if __name__ == "__main__":
    main()
