"""How weak the penalty of a new head may become: held-out recall under each, on several data sets.

    EVERYCLASS_DATA=… python benchmarks/compare_penalties.py [--run RUN] [--out FILE]

Features of networks that know their training images by heart look separable to any cross-fitting,
which then wants no penalty at all. So the weakest penalty that cross-fitting may choose is set
here, on held-out images and texts. Penalties are in units of 1/C, since GML counts a class as one.

The data: digits (the images between training and test part), the texts of banking77, clinc150 and
trec made long-tailed (tf-idf; a quarter of the training part held out), each under a small network
trained until it fits; and the features that compare_retraining.py keeps in a run's folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from everyclass.artifacts import write_json
from everyclass.metrics import evaluate
from everyclass.stages import Retraining, retrain
from problems import Problem, long_tailed_problems, of_a_run

SHARES = (4.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03, 0.01, 0.001)


def problems(run: Path | None) -> Iterator[Problem]:
    for make in long_tailed_problems().values():
        yield make()
    if run is not None:
        yield of_a_run(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run with features-train.npz, features-rest.npz")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    rows = []
    for problem in problems(options.run):
        name, train, rest, known = problem.name, problem.train, problem.val, problem.known
        print(f"{name}: {len(train):,} training samples, {len(rest):,} held out, {known:.1%} known")
        for share in SHARES:
            head = retrain(train, Retraining(penalty=share / train.num_classes))
            held = evaluate(labels=rest.labels, logits=head.logits(rest.views[0]))
            rows.append({"data": name, "known": known, "share": share, **held.summary()})
            print(
                f"  penalty {share:>6g} / C   G {held.geometric_mean:6.2%}  "
                f"H {held.harmonic_mean:6.2%}  lowest {held.lowest_recall:6.2%}",
                flush=True,
            )
    if options.out is not None:
        write_json(options.out, {"rows": rows})


if __name__ == "__main__":
    main()
