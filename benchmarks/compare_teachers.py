"""What several networks know together, judged on held-out images: the teachers of `distilled`.

    EVERYCLASS_DATA=… python benchmarks/compare_teachers.py RUN … [--student RUN …] [--docs PAGE]

Runs of one data set that has `--val rest`. Each network speaks under its own head, its logits
balanced by the class frequencies where its method is not, and under a head retrained by GML on one
view; then all of them together, as the mean of probabilities and as the mean of logits, and all but
one, and those that are its teachers, alone and with one more, and students of theirs. The test set
is not read. Everything is printed from benchmarks/results/teachers.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from compare_recipes import NUMBERS
from everyclass.artifacts import Run, read_json, write_json
from everyclass.methods import get_method
from everyclass.metrics import evaluate
from everyclass.progress import progress
from everyclass.stages import extract_run, retrain
from everyclass.training import Recipe
from pages import into_page

# Their heads know nothing of class frequencies.
UNBALANCED = {"ce", "focal", "ldam", "mixup", "shike-features"}
RESULTS = Path(__file__).parent / "results" / "teachers.json"


def said_by(run: Run) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """The held-out labels, and the logits of the network's own head and of a retrained one."""
    train, rest, _ = extract_run(run, num_views=1, val="rest", show=progress)
    assert rest is not None
    assert train.head is not None
    own = np.asarray(train.head.logits(rest.views[0]), dtype=np.float64)
    if run.config["method"].removesuffix("-modern") in UNBALANCED:
        own -= np.log(train.class_counts.counts)
    retrained = np.asarray(retrain(train).logits(rest.views[0]), dtype=np.float64)
    return rest.labels, {"own head": own, "GML": retrained}


def teachers_of(name: str) -> set[str]:
    """The names of the recipes that a student learns from."""
    recipe = get_method(name)
    assert isinstance(recipe, Recipe)
    return {teacher.name for teacher in recipe.teachers}


def rows(runs: list[Run], students: list[Run]) -> dict[str, dict[str, float]]:
    """Each network alone, all together, all but one, the teachers, and students of theirs."""
    logits: dict[str, dict[str, NDArray[Any]]] = {}
    labels: NDArray[Any] | None = None
    for run in runs:
        its_labels, logits[run.folder.name] = said_by(run)
        labels = its_labels if labels is None else labels
        if not np.array_equal(labels, its_labels):
            raise SystemExit(f"{run.folder} was trained on other data than {runs[0].folder}.")

    def judged(scores: NDArray[Any]) -> dict[str, float]:
        found = evaluate(labels=labels, logits=scores).summary()
        return {number: found[number] for number in NUMBERS}

    names = list(logits)
    made = {}
    for head in ("own head", "GML"):
        said = {name: log_softmax(logits[name][head], axis=1) for name in names}
        made |= {f"{name}, {head}": judged(said[name]) for name in names}
        everybody = list(said.values())
        made[f"mean of probabilities, {head}"] = judged(logsumexp(everybody, axis=0))
        made[f"mean of logits, {head}"] = judged(np.mean(everybody, axis=0))

    def mean_of(some: list[str]) -> dict[str, float]:
        return judged(np.mean([said[name] for name in some], axis=0))

    for name in names:
        others = [other for other in names if other != name]
        made[f"mean of logits, GML, without {name}"] = mean_of(others)
    methods = {run.folder.name: f"{run.config['method']}-under-gml" for run in runs}
    for student in ("distilled", "distilled-again"):
        teaching = [name for name in names if methods[name] in teachers_of(student)]
        ours = f"mean of logits, GML, of {student}'s teachers"
        if teaching:
            made[ours] = mean_of(teaching)
        for name in names:
            if name not in teaching and student == "distilled":
                made[f"{ours} and {name}"] = mean_of([*teaching, name])
    for run in students:
        made[f"{run.folder.name}, own head"] = judged(said_by(run)[1]["own head"])
    return made


def table(stored: dict[str, dict[str, float]]) -> str:
    """Mean recall / G / H / lowest in percent, one line per network or mean."""
    lines = ["| | mean | G | H | lowest |", "|---|---|---|---|---|"]
    for name, row in stored.items():
        lines.append(f"| {name} | {' | '.join(f'{100 * row[n]:.1f}' for n in NUMBERS)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*", help="none: only print what is stored")
    parser.add_argument("--student", type=Path, nargs="+", default=[], help="learned from them")
    parser.add_argument("--docs", type=Path, help="page to write the table into")
    options = parser.parse_args()
    if options.runs:
        students = [Run.open(folder) for folder in options.student]
        write_json(RESULTS, rows([Run.open(folder) for folder in options.runs], students))
    text = table(read_json(RESULTS))
    print(text)
    if options.docs is not None:
        into_page(options.docs, Path(__file__).name, text)


if __name__ == "__main__":
    main()
