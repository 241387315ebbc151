"""How often a change is recommended where none can help: refusals of `adjust` and of `auto`.

    python benchmarks/refusals.py [--seeds N] [--results FOLDER] [--docs docs/strategies.md]

The logits are the exact posterior of Gaussian classes under a uniform prior, and the objective is
mean recall: no bias can be better, whatever the validation samples say. And ten classifiers that
guess alike are compared with an eleventh: one of them looks best. A test at 5 % should recommend a
change in at most 5 of 100.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.adjustment import adjust, deal
from everyclass.artifacts import write_json
from everyclass.stages.choosing.candidates import Candidate
from everyclass.stages.choosing.choice import choose
from pages import into_page

CLASSES = 8
NAME = "refusals.py"


def posterior(size: int, seed: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    means = 1.1 * np.random.default_rng(7).normal(size=(CLASSES, 6))
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), size)
    x = means[labels] + generator.normal(size=(len(labels), 6))
    return x @ means.T - 0.5 * (means**2).sum(axis=1), labels


def of_adjust(size: int, seeds: int) -> float:
    changed = 0
    for seed in range(seeds):
        logits, labels = posterior(size, seed)
        found = adjust(logits=logits, labels=labels, class_weights=[1.0] * CLASSES, seed=seed)
        changed += found.method != "none"
    return changed / seeds


def of_choice(size: int, seeds: int) -> float:
    changed = 0
    nothing: Any = None
    for seed in range(seeds):
        generator = np.random.default_rng(seed)
        labels = np.repeat(np.arange(CLASSES), size)
        candidates = []
        for name in ("none", *["gml"] * 10):
            right = generator.random(len(labels)) < 0.6
            guess = generator.integers(0, CLASSES, len(labels))
            candidates.append(Candidate(name, np.where(right, labels, guess), nothing, nothing))
        fold_of = deal(labels, 5, seed)
        choice = choose(candidates, labels, fold_of, CLASSES, decided_on="", seed=seed)
        changed += choice.verdict.use != "old"
    return changed / seeds


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| validation images a class | `adjust`, any bias | the best of ten that guess alike |"
    ]
    lines += ["|---|---|---|"]
    for row in rows:
        lines.append(f"| {row['size']} | {row['adjust']:.1%} | {row['choice']:.1%} |")
    return "\n".join([*lines, "", f"({rows[0]['seeds']} simulations each.)"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    options = parser.parse_args()
    rows = []
    for size in (5, 12, 30):
        changed = of_adjust(size, options.seeds), of_choice(size, options.seeds)
        rows.append({"size": size, "seeds": options.seeds, "adjust": changed[0]})
        rows[-1]["choice"] = changed[1]
        print(rows[-1], flush=True)
    write_json(options.results / "refusals.json", {"rows": rows})
    if options.docs is not None:
        into_page(options.docs, NAME, table(rows))


if __name__ == "__main__":
    main()
