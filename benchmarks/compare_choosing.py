"""What to choose by, where few validation images of each class are there to choose on.

    EVERYCLASS_DATA=… python benchmarks/compare_choosing.py --run RUN [--only NAME,…]
        [--docs docs/experiments.md]

The validation data of each problem (`problems.py`) are split, six times: candidates are fitted and
chosen on a small part, with about 3 or 8 images of a class but two at least, and judged on the rest
by the harmonic mean of smoothed recall. Nothing of the test set is read. What is asked is how far
the choice stays behind the best candidate, on average, when choosing by the harmonic mean itself
and by the geometric one. Candidates are offsets of the old head (methods and their settings); these
and a head retrained with GML; and such heads under several penalties. Kept in
benchmarks/results/choosing.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compare_strategies import makers
from everyclass.adjustment import (
    ClassObjective,
    HeldOut,
    cross_fit_methods,
    deal,
    methods_for,
    score,
)
from everyclass.artifacts import read_json, write_json
from everyclass.stages import Retraining
from everyclass.stages.retraining.retraining import penalties_to_try, retrain
from pages import into_page
from problems import Problem

GOAL = ClassObjective("harmonic_mean")
RULES = tuple(map(ClassObjective, ("harmonic_mean", "geometric_mean")))
IMAGES = (3, 8)
MANY = 25  # offsets only, of the data sets that have so many
SPLITS = 6
Row = dict[str, Any]
Integers = npt.NDArray[np.int64]


def small_part(labels: Integers, images: int, seed: int) -> npt.NDArray[np.bool_]:
    """A few images of each class, in proportion, two at least and half at most."""
    generator = np.random.default_rng(seed)
    there = np.bincount(labels)
    share = images / np.median(there[there > 0])
    inside = np.zeros(len(labels), dtype=bool)
    for c in np.flatnonzero(there):
        rows = generator.permutation(np.flatnonzero(labels == c))
        inside[rows[: min(len(rows) // 2, max(2, round(share * len(rows))))]] = True
    return inside


def methods(said: list[Integers], problem: Problem, images: int, seed: int) -> Iterator[Row]:
    """Choosing a method and its setting; without retraining and with."""
    old = problem.train.head
    assert old is not None
    logits, labels = old.logits(problem.val.views[0]), problem.val.labels
    inside = small_part(labels, images, seed)
    counts = problem.train.class_counts.counts
    samples = HeldOut(logits[inside], labels[inside], np.log(counts / counts.sum()), old)
    fold_of = deal(samples.labels, 5, seed)

    def on_the_rest(predicted: npt.NDArray[Any]) -> float:
        return score(labels[~inside], predicted, len(counts), GOAL)

    nothing = logits.argmax(axis=1)
    on_part = [score(samples.labels, each[inside], len(counts), GOAL) for each in said]
    retrained = said[int(np.argmax(on_part))]
    for by in RULES:
        found = cross_fit_methods(samples, GOAL, methods_for(samples), fold_of, by=by)
        chosen_by = [
            score(samples.labels, said, len(counts), by)
            for said in (nothing[inside], *(each.predicted for each in found), retrained[inside])
        ]
        there = [
            on_the_rest(nothing[~inside]),
            *(
                on_the_rest(each.fit(samples, GOAL).apply(logits[~inside]).argmax(axis=1))
                for each in found
            ),
            on_the_rest(retrained[~inside]),
        ]
        for of, end in (("offsets", -1), ("offsets and GML", None)):
            got = there[int(np.argmax(chosen_by[:end]))]
            yield {"of": of, "by": by.name, "got": got, "best": max(there[:end])}


def penalties(said: list[Integers], problem: Problem, images: int, seed: int) -> Iterator[Row]:
    """Choosing the penalty of a retrained head."""
    labels, classes = problem.val.labels, problem.val.num_classes
    inside = small_part(labels, images, seed)
    there = [score(labels[~inside], each[~inside], classes, GOAL) for each in said]
    for by in RULES:
        chosen_by = [score(labels[inside], each[inside], classes, by) for each in said]
        got = there[int(np.argmax(chosen_by))]
        yield {"of": "penalties", "by": by.name, "got": got, "best": max(there)}


def many_images(problem: Problem) -> list[Row]:
    """Offsets chosen on many images of a class."""
    said = [np.zeros_like(problem.val.labels)]  # no retrained head among the candidates
    return [
        {"data": problem.name, "images": MANY, "split": seed, **row}
        for seed in range(SPLITS)
        for row in methods(said, problem, MANY, seed)
        if row["of"] == "offsets"
    ]


def run_problem(problem: Problem) -> list[Row]:
    tried = penalties_to_try(Retraining(), problem.train.num_classes, held_out=True)
    heads = [retrain(problem.train, Retraining(penalty=penalty)) for penalty in tried]
    said = [head.logits(problem.val.views[0]).argmax(axis=1) for head in heads]
    return [
        {"data": problem.name, "images": images, "split": seed, **row}
        for images in IMAGES
        for seed in range(SPLITS)
        for choosing in (methods, penalties)
        for row in choosing(said, problem, images, seed)
    ]


def table(rows: list[Row]) -> str:
    """Points of harmonic mean behind the best candidate, means over splits."""

    def behind(**which: Any) -> float:
        of = [r for r in rows if all(r[key] == value for key, value in which.items())]
        return 100 * float(np.mean([r["best"] - r["got"] for r in of])) if of else np.nan

    kinds = list(dict.fromkeys((r["of"], r["images"]) for r in rows))
    lines = [
        "| data | " + " | ".join(f"{of}, about {images} images" for of, images in kinds) + " |",
        "|---|" + "---|" * len(kinds),
    ]
    for data in dict.fromkeys(r["data"] for r in rows):
        cells = [
            " → ".join(f"{behind(data=data, of=of, images=images, by=by.name):.1f}" for by in RULES)
            for of, images in kinds
        ]
        lines.append(f"| {data} | " + " | ".join(cells) + " |")
    cells = [
        " → ".join(f"**{behind(of=of, images=images, by=by.name):.1f}**" for by in RULES)
        for of, images in kinds
    ]
    whole = "\n".join([*lines, "| mean | " + " | ".join(cells) + " |"])
    return whole.replace("nan → nan", "–")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run with features-{train,rest,test}.npz")
    parser.add_argument("--only", help="names of problems, with commas; or none")
    parser.add_argument("--many", action="store_true", help=f"only offsets, on {MANY} images")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/choosing.json"))
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    options = parser.parse_args()
    rows: list[Row] = read_json(options.out)["rows"] if options.out.is_file() else []
    wanted = None if options.only is None else options.only.split(",")
    for name, make in makers(options.run).items():
        if wanted is None or name in wanted:
            if options.many:
                kept = [r for r in rows if (r["data"], r["images"]) != (name, MANY)]
                rows = kept + many_images(make())
            else:
                kept = [r for r in rows if r["data"] != name or r["images"] == MANY]
                rows = kept + run_problem(make())
            write_json(options.out, {"rows": rows})
    print(table(rows))
    if options.docs is not None:
        into_page(options.docs, "compare_choosing.py", table(rows))


if __name__ == "__main__":
    main()
