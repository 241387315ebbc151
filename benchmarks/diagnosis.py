"""How often `diagnose` names the cause, on problems in which one class fails and it is known why.

    python benchmarks/diagnosis.py [--seeds 20] [--feature-seeds 20] [--show]

Eight Gaussians in twelve dimensions, all equally far apart, one of which fails for one reason
(tests/stages/failing_classes.py draws them); what is said with labels alone, with scores, with
training features, and with validation features besides. The other classes are as they should be:
whatever is said about them but "fine" is counted too. Most of the time goes into cross-fitting,
so features can be given less seeds.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "stages"))
from failing_classes import CAUSES, Failing, failing

import everyclass as ec

# Besides the plain problem of each cause, those that are harder.
HARDER: dict[str, dict[str, Any]] = {
    "healthy, classes nearer": {"cause": "fine", "apart": 3.5},
    "a third of the labels flipped, classes nearer": {"cause": "suspect_labels", "apart": 3.5},
    "a fifth of the labels flipped": {"cause": "suspect_labels", "flips": 0.2},
    "a pair, one a third of the other": {"cause": "confusable_pair", "smaller": 0.33},
}
KNOWLEDGE = ("labels", "scores", "features", "validation")


def said(problem: Failing, knowledge: str) -> ec.Diagnosis:
    if knowledge == "labels":
        return ec.diagnose(problem.labels_only)
    if knowledge == "scores":
        return ec.diagnose(problem.predictions)
    val = problem.val if knowledge == "validation" else None
    return ec.diagnose(problem.predictions, train=problem.train, test=problem.test, val=val)


def tried(name: str, seeds: int, with_features: int) -> dict[str, Any]:
    """How often each cause was named, by what was known; and how good suspect rows are."""
    setting = dict(HARDER.get(name, {"cause": name}))
    cause = setting.pop("cause")
    named = {kind: collections.Counter[str]() for kind in KNOWLEDGE}
    others = {kind: collections.Counter[str]() for kind in KNOWLEDGE}
    flipped = found = right = 0
    for seed in range(seeds):
        problem = failing(cause, seed, **setting)
        for kind in KNOWLEDGE if seed < with_features else KNOWLEDGE[:2]:
            classes = said(problem, kind).classes
            for each in classes:
                one_of_two = cause == "confusable_pair" and each.index == 1
                if not one_of_two:
                    (others if each.index else named)[kind][each.cause] += 1
            if kind == "scores" and cause == "suspect_labels":
                rows = [s.row for c in classes if c.index == 0 for s in c.suspect or ()]
                flipped += int(problem.flipped.sum())
                found += len(rows)
                right += int(problem.flipped[rows].sum())
        print(name, seed, flush=True)
    result: dict[str, Any] = {"truth": cause, "setting": setting, "named": named, "others": others}
    if flipped:
        result["suspect"] = {"flipped": flipped, "found": found, "right": right}
    return result


def show(results: dict[str, Any]) -> str:
    lines = ["| problem | labels | scores | training features | and validation |", "|" + "---|" * 5]
    for name, each in results["problems"].items():
        cells = []
        for kind in KNOWLEDGE:
            by = sorted(each["named"][kind].items(), key=lambda pair: -pair[1])
            cells.append(", ".join(f"{cause.replace('_', ' ')} {n}" for cause, n in by))
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--feature-seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/diagnosis.json"))
    parser.add_argument("--show", action="store_true", help="only print what is stored")
    arguments = parser.parse_args()
    if not arguments.show:
        seeds = (arguments.seeds, arguments.feature_seeds)
        results: dict[str, Any] = {"seeds": seeds[0], "feature_seeds": seeds[1]}
        results["problems"] = {}
        for name in (*CAUSES, *HARDER):
            results["problems"][name] = tried(name, *seeds)
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    print(show(json.loads(arguments.out.read_text())))


if __name__ == "__main__":
    main()
