"""Running class means against the exact objective, where a batch holds few images of a class.

    python benchmarks/compare_estimators.py                  # minutes on two cores
    python benchmarks/compare_estimators.py --out benchmarks/results/estimators.json

Long-tailed Gaussian classes, far more of them than a batch has images. Every way of retraining is
judged by the exact objective with its penalty on all training images, relative to its minimum, and
by recall on as many new images of every class. "exact" is L-BFGS; "batch" takes p̄_c from the batch
alone; "running" follows it over batches. All SGD runs see each row as often.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from everyclass import Features
from everyclass.artifacts import birth_certificate
from everyclass.metrics import harmonic_mean, per_class_recall
from everyclass.stages import MinibatchSettings, Objective
from everyclass.stages.retraining.exact_solver import fit_exact
from everyclass.stages.retraining.minibatch_solver import fit_minibatches
from everyclass.stages.retraining.standardised import standardise

RATES = (0.3, 0.1, 0.03)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, nargs="*", default=[200, 1000])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[64, 256, 1024])
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for classes in args.classes:
        for row in compare(classes, args.width, args.epochs, args.batch_sizes):
            rows.append({"classes": classes, **row})
            print(line(rows[-1]), flush=True)
    if args.out:
        settings = {"width": args.width, "epochs": args.epochs, "rates": RATES}
        text = json.dumps({"settings": settings, "rows": rows, **birth_certificate()}, indent=1)
        args.out.write_text(text + "\n")


def compare(classes: int, width: int, epochs: int, sizes: list[int]) -> Any:
    train, test = draw(classes, width)
    counts = torch.from_numpy(train.class_counts.counts.copy()).float()
    data = standardise(train.views, train.labels)
    objective = Objective("gml", counts)
    penalty = 0.25 / classes

    def judged(fit: Any) -> dict[str, float]:
        start = time.process_time()
        weight, bias = fit()
        seconds = time.process_time() - start
        logits = torch.addmm(bias, data.features, weight.T)
        value, _ = objective.value_and_gradient(logits, data.labels)
        said = data.head(weight, bias).logits(test.features).argmax(axis=1)
        recall = per_class_recall(test.labels, said, classes)
        return {
            "objective": float(value + penalty / 2 * weight.square().sum()),
            "harmonic_mean": harmonic_mean(recall),
            "balanced_accuracy": float(recall.mean()),
            "cpu_seconds": seconds,
        }

    exact = judged(lambda: fit_exact(data, objective, penalty))
    yield {"way": "exact", "batch_size": None, "rate": None, "excess": 0.0, **exact}
    for size in sizes:
        for way in ("batch", "running"):
            tried = []
            for rate in RATES:  # the best by the objective itself, for both alike
                fit = partial(
                    fit_minibatches,
                    data,
                    objective,
                    penalty,
                    MinibatchSettings(epochs, size, rate),
                    running=way == "running",
                )
                try:
                    found = judged(fit)
                except Exception as error:  # diverged
                    print(f"{way} {size} {rate}: {error}")
                    continue
                tried.append({"way": way, "batch_size": size, "rate": rate, **found})
            best = min(tried, key=lambda row: row["objective"])
            yield {**best, "excess": best["objective"] / exact["objective"] - 1}


def draw(classes: int, width: int) -> tuple[Features, Features]:
    """200 to 2 images per class for training, 10 of each for judging."""
    generator = np.random.default_rng(0)
    means = generator.normal(size=(classes, width))
    counts = np.geomspace(200, 2, classes).round().astype(int)

    def sample(labels: Any) -> Features:
        noise = 1.5 * generator.normal(size=(len(labels), width))
        return Features((means[labels] + noise).astype(np.float32), labels)

    return sample(np.repeat(np.arange(classes), counts)), sample(np.repeat(np.arange(classes), 10))


def line(row: dict[str, Any]) -> str:
    size = "all images" if row["batch_size"] is None else f"batch {row['batch_size']:>4}"
    return (
        f"C={row['classes']:<5} {row['way']:<8} {size:<11} objective {row['objective']:.4f}"
        f" (+{row['excess']:.1%})  harmonic mean {row['harmonic_mean']:.1%}"
        f"  balanced accuracy {row['balanced_accuracy']:.1%}  {row['cpu_seconds']:.0f} s CPU"
    )


if __name__ == "__main__":
    main()
