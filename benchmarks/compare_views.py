"""How many views of each training image a head needs, judged on held-out images of some networks.

    EVERYCLASS_DATA=… python benchmarks/compare_views.py RUN [RUN …] [--docs docs/experiments.md]

Runs of a data set that has `--val rest`. A head is fitted to the first 1, 2, 5 and 10 views, under
penalties around those that rescue chooses, and judged on the held-out images; the test set is not
read. Everything is computed from benchmarks/results/views.json, which holds what each head said.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare_retraining import VIEWS, cached_features, judged
from everyclass.artifacts import Run, read_json, write_json
from everyclass.stages import Retraining, retrain
from pages import into_page

COUNTS = (1, 2, 5, VIEWS)
SHARES = (0.125, 0.0625, 0.03)  # of 1 / C
NUMBERS = ("geometric_mean", "harmonic_mean", "lowest_recall")
RESULTS = Path(__file__).parent / "results" / "views.json"


def rows_of(run: Run) -> list[dict[str, Any]]:
    """One row per number of views and penalty."""
    train, rest = cached_features(run)
    rows = []
    for views in COUNTS:
        for share in SHARES:
            head = retrain(train.first_views(views), Retraining(penalty=share / train.num_classes))
            found = judged(head, rest).summary()
            rows.append({"views": views, "share": share, **{n: found[n] for n in NUMBERS}})
            print(run.folder.name, rows[-1], flush=True)
    return rows


def table(stored: dict[str, list[dict[str, Any]]]) -> str:
    """One line per number of views."""
    return table_by_penalty(stored, "views", COUNTS, SHARES)


def table_by_penalty(
    stored: dict[str, list[dict[str, Any]]], key: str, lines: Iterable[Any], shares: Sequence[float]
) -> str:
    """Geometric mean / harmonic mean / lowest recall in percent, means over the networks."""
    text = [
        f"| {key} | {' | '.join(f'penalty {share:g} / C' for share in shares)} |",
        "|---" * (1 + len(shares)) + "|",
    ]
    for line in lines:
        cells = []
        for share in shares:
            found = [
                [row[name] for name in NUMBERS]
                for rows in stored.values()
                for row in rows
                if (row[key], row["share"]) == (line, share)
            ]
            g, h, lowest = 100 * np.mean(found, axis=0)
            cells.append(f"{g:.1f} / {h:.1f} / {lowest:.1f}")
        text.append(f"| {line} | {' | '.join(cells)} |")
    return "\n".join(text)


def command(
    doc: str,
    script: str,
    results: Path,
    rows_of: Callable[[Run], list[dict[str, Any]]],
    table: Callable[[dict[str, list[dict[str, Any]]]], str],
) -> None:
    """Judge the runs that are named, keep what was found, and print all of it."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--docs", type=Path, help="page to write the table into")
    options = parser.parse_args()
    stored = read_json(results) if results.is_file() else {}
    for folder in options.runs:
        stored[folder.name] = rows_of(Run.open(folder))
        write_json(results, stored)
    print(table(stored))
    if options.docs is not None:
        into_page(options.docs, Path(script).name, table(stored))


if __name__ == "__main__":
    command(str(__doc__), __file__, RESULTS, rows_of, table)
