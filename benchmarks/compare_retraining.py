"""Which way of retraining a head is best on held-out images: the comparison behind the defaults.

    python benchmarks/compare_retraining.py RUN [--out FILE]

Takes a finished run of a data set that has `--val rest`: images of the training distribution that
no training used. Each way is judged on those, class by class; the test set is not read.
Features are kept in RUN/features-*.npz, so that a second call starts at once.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from everyclass.artifacts import Evaluation, Features, Head, Run, write_json
from everyclass.metrics import evaluate
from everyclass.progress import progress
from everyclass.stages import (
    Ensemble,
    MinibatchSettings,
    Retraining,
    extract_run,
    fit_temperature,
    rescue,
    retrain,
)

PENALTIES = (1e-3, 3e-4, 1e-4)
VIEWS = 10


def cached_features(run: Run) -> tuple[Features, Features]:
    """Training and held-out features; those of the test set are kept for other scripts."""
    paths = [run.folder / f"features-{part}.npz" for part in ("train", "rest", "test")]
    if not all(path.is_file() for path in paths):
        parts = extract_run(run, num_views=VIEWS, val="rest", show=progress)
        for part, path in zip(parts, paths, strict=True):
            assert part is not None
            part.save(path)
    return Features.load(paths[0]), Features.load(paths[1])


def judged(classifier: Head | Ensemble, rest: Features) -> Evaluation:
    return evaluate(labels=rest.labels, logits=classifier.logits(rest.views[0]))


def candidates() -> dict[str, tuple[int, Retraining]]:
    """Name → views and settings; one thing changes at a time."""
    ways: dict[str, tuple[int, Retraining]] = {}
    for penalty in (1e-2, 3e-3, *PENALTIES):
        ways[f"exact, 10 views, penalty {penalty:g}"] = (10, Retraining(penalty=penalty))
    for penalty in PENALTIES:
        for views in (1, 2, 5):
            ways[f"exact, {views} views, penalty {penalty:g}"] = (
                views,
                Retraining(penalty=penalty),
            )
        for solver in ("minibatch", "running"):
            for batch in (128, 512):
                ways[f"{solver}, batch {batch}, 10 views, penalty {penalty:g}"] = (
                    10,
                    Retraining(
                        solver=solver,  # type: ignore[arg-type]
                        penalty=penalty,
                        minibatch=MinibatchSettings(batch_size=batch),
                    ),
                )
        for objective in ("balanced_softmax", "cross_entropy"):
            ways[f"exact {objective}, 10 views, penalty {penalty:g}"] = (
                10,
                Retraining(objective=objective, penalty=penalty),  # type: ignore[arg-type]
            )
    for rate in (0.02, 0.5):
        ways[f"minibatch, batch 512, 10 views, rate {rate:g}, penalty 0.0003"] = (
            10,
            Retraining(
                solver="minibatch", penalty=3e-4, minibatch=MinibatchSettings(learning_rate=rate)
            ),
        )
    return ways


def numbers(name: str, evaluation: Evaluation, seconds: float) -> dict[str, Any]:
    return {"way": name, **evaluation.summary(), "seconds": seconds}


def show(row: dict[str, Any]) -> None:
    print(
        f"{row['way']:<48} G {row['geometric_mean']:6.2%}  H {row['harmonic_mean']:6.2%}  "
        f"lowest {row['lowest_recall']:6.2%}  mean {row['balanced_accuracy']:6.2%}  "
        f"{row['seconds']:6.1f} s",
        flush=True,
    )


def temperatures(train: Features, rest: Features) -> list[dict[str, Any]]:
    """The ensemble under temperatures that saw the held-out images, and that did not."""
    blind = rescue(train)
    old, new = blind.old, blind.retrained
    seen_old = fit_temperature(old.logits(rest.views[0]), rest.labels)
    seen_new = fit_temperature(new.logits(rest.views[0]), rest.labels)
    rows = []
    for rule, t_old, t_new in (
        ("both 1", 1.0, 1.0),
        ("cross-fitted", blind.ensemble.t_old, blind.ensemble.t_new),
        ("fitted on the held-out images", seen_old, seen_new),
    ):
        row = numbers(f"ensemble, {rule}", judged(Ensemble(old, new, t_old, t_new), rest), 0.0)
        rows.append({**row, "t_old": t_old, "t_new": t_new})
    chosen = blind.settings["retraining"]["penalty"]
    rows.append(
        {
            **numbers("exact, penalty by cross-fitting", judged(new, rest), 0.0),
            "penalty": chosen,
            "verdict": blind.verdict.to_dict(),
        }
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    run = Run.open(options.run)
    train, rest = cached_features(run)
    assert train.head is not None
    rows = [numbers("old head", judged(train.head, rest), 0.0)]
    show(rows[0])
    for name, (views, settings) in candidates().items():
        start = time.perf_counter()
        head = retrain(train.first_views(views), settings)
        rows.append(numbers(name, judged(head, rest), time.perf_counter() - start))
        show(rows[-1])
    for row in temperatures(train, rest):
        rows.append(row)
        show(row)
    if options.out is not None:
        write_json(options.out, {"run": run.config, "held_out": len(rest), "rows": rows})


if __name__ == "__main__":
    main()
