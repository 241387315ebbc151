"""Weight decay of the modern family, on held-out images of CIFAR100-LT, in short trainings.

    EVERYCLASS_DATA=… python benchmarks/compare_weight_decay.py [--epochs 50] [--docs PAGE]

Trains CE with AutoAugment and Cutout under each weight decay, on the schedule of `ce-modern` cut to
so many epochs, and judges the network as it is trained and with a head retrained by GML on the
held-out images (`--val rest`); the test set chooses nothing. Stopped at any point it goes on.
Everything is printed from benchmarks/results/weight-decay.json.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from compare_retraining import judged
from everyclass.artifacts import read_json, write_json
from everyclass.data import DataConfig
from everyclass.methods import get_method
from everyclass.progress import progress
from everyclass.stages import extract_run, pretrain, rescue
from everyclass.training import Recipe
from pages import into_page

DECAYS = (2e-4, 5e-4, 1e-3)
VIEWS = 2  # as good as ten: compare_views.py
NUMBERS = ("balanced_accuracy", "geometric_mean", "harmonic_mean", "lowest_recall")
RESULTS = Path(__file__).parent / "results" / "weight-decay.json"


def judged_under(decay: float, epochs: int) -> dict[str, Any]:
    """Train, retrain, and what both say of the held-out images."""
    recipe = get_method("ce-modern")
    assert isinstance(recipe, Recipe)
    run = pretrain(
        replace(recipe, weight_decay=decay),
        DataConfig(),
        epochs=epochs,
        out=Path("runs") / f"weight-decay-{decay:g}-{epochs}-epochs",
        show=progress,
    )
    train, rest, _ = extract_run(run, num_views=VIEWS, val="rest", show=progress)
    assert rest is not None
    found = rescue(train)
    said: dict[str, Any] = {"decay": decay, "epochs": epochs}
    for name, head in (("as trained", found.old), ("GML", found.retrained)):
        summary = judged(head, rest).summary()
        said[name] = {number: summary[number] for number in NUMBERS}
    return said


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| weight decay | epochs | as trained: mean / G / H / lowest | with GML |",
        "|---|---:|---|---|",
    ]
    for row in rows:
        cells = [
            " / ".join(f"{100 * row[name][number]:.1f}" for number in NUMBERS)
            for name in ("as trained", "GML")
        ]
        lines.append(f"| {row['decay']:g} | {row['epochs']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--epochs", type=int, default=50, help="0: only print what is stored")
    parser.add_argument("--docs", type=Path, help="page to write the table into")
    options = parser.parse_args()
    rows = read_json(RESULTS)["rows"] if RESULTS.is_file() else []
    done = {(row["decay"], row["epochs"]) for row in rows}
    for decay in DECAYS:
        if options.epochs and (decay, options.epochs) not in done:
            rows.append(judged_under(decay, options.epochs))
            write_json(RESULTS, {"rows": rows})
    print(table(rows))
    if options.docs is not None:
        into_page(options.docs, Path(__file__).name, table(rows))


if __name__ == "__main__":
    main()
