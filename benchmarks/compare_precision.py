"""Heads retrained with bfloat16 products beside float32 ones, on held-out images.

    EVERYCLASS_DATA=… python benchmarks/compare_precision.py --run RUN
        [--only NAME,…] [--docs docs/scale.md]

Both are fitted by the same SGD with running class means, in three orders of rows, and judged on the
validation data of each problem (`problems.py`), which chose nothing; the test set is not read.
Where the hardware does not multiply bfloat16 it is emulated: the numbers are the same, the time is
not. Kept in benchmarks/results/precision.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from compare_strategies import makers
from everyclass.artifacts import Features, read_json, write_json
from everyclass.metrics import evaluate
from everyclass.stages import MinibatchSettings, Retraining, retrain
from pages import into_page
from problems import Problem

PRECISIONS = ("fp32", "bf16")
SEEDS = (0, 1, 2)
SHARE = 0.25  # of the penalty in units of 1 / C
Row = dict[str, Any]


def run_problem(problem: Problem) -> list[Row]:
    whole, val = problem.train, problem.val
    train = Features(whole.views[:2], whole.labels, whole.head, whole.class_names)
    rows = []
    for seed in SEEDS:
        for precision in PRECISIONS:
            settings = Retraining(
                solver="running",
                penalty=SHARE / train.num_classes,
                minibatch=MinibatchSettings(precision=precision),  # type: ignore[arg-type]
            )
            head = retrain(train, settings, seed=seed)
            judged = evaluate(labels=val.labels, logits=head.logits(val.views[0]))
            rows.append(
                {"data": problem.name, "seed": seed, "precision": precision, **judged.summary()}
            )
    return rows


def table(rows: list[Row]) -> str:
    lines = [
        "| data | accuracy | geometric mean | harmonic mean | lowest recall |",
        "|---|---|---|---|---|",
    ]
    for data in dict.fromkeys(row["data"] for row in rows):
        cells = []
        for key in ("accuracy", "geometric_mean", "harmonic_mean", "lowest_recall"):
            means = [
                np.mean([r[key] for r in rows if (r["data"], r["precision"]) == (data, precision)])
                for precision in PRECISIONS
            ]
            cells.append(f"{100 * means[0]:.1f} / {100 * means[1]:.1f}")
        lines.append(f"| {data} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run with features-{train,rest,test}.npz")
    parser.add_argument("--only", help="names of problems, with commas; or none")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/precision.json"))
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    options = parser.parse_args()
    rows: list[Row] = read_json(options.out)["rows"] if options.out.is_file() else []
    wanted = None if options.only is None else options.only.split(",")
    for name, make in makers(options.run).items():
        if wanted is None or name in wanted:
            rows = [r for r in rows if r["data"] != name] + run_problem(make())
            write_json(options.out, {"rows": rows})
    print(table(rows))
    if options.docs is not None:
        into_page(options.docs, "compare_precision.py", table(rows))


if __name__ == "__main__":
    main()
