"""Speed of the intervals, against torchmetrics' BootStrapper and fairlearn's MetricFrame.

    pip install torchmetrics fairlearn
    python benchmarks/bench_intervals.py [--json]

The same predictions and one process, in turns; seconds of CPU of all threads, so that a busy
machine changes little. The others resample images, so they are given fewer replicates and their
time is scaled: a replicate costs the same however many there are. They give macro recall
(torchmetrics, NumPy) or recalls (fairlearn); ours is timed for the two means that are drawn, and
for every number of `evaluate`. 8,142 classes are timed alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from everyclass.metrics import evaluate, mean_recall_intervals, recall_uncertainty

ROUNDS, REPLICATES = 3, 1000
CASES = {10: 10_000, 100: 10_000, 1000: 50_000}  # classes, images


def predictions(classes: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.sort(generator.integers(0, classes, images))
    right = generator.random(images) < generator.beta(8, 3, classes)[labels]
    return labels, np.where(right, labels, generator.integers(0, classes, images))


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def torchmetrics_bootstrap(labels: np.ndarray, predicted: np.ndarray, replicates: int) -> None:
    import torch
    from torchmetrics.classification import MulticlassRecall
    from torchmetrics.wrappers import BootStrapper

    torch.manual_seed(0)
    classes = int(labels.max()) + 1
    metric = BootStrapper(
        MulticlassRecall(num_classes=classes, average="macro"),
        num_bootstraps=replicates,
        quantile=torch.tensor([0.025, 0.975]),
        sampling_strategy="multinomial",
    )
    metric.update(torch.from_numpy(predicted), torch.from_numpy(labels))
    metric.compute()


def fairlearn_bootstrap(labels: np.ndarray, predicted: np.ndarray, replicates: int) -> None:
    from fairlearn.metrics import MetricFrame
    from sklearn.metrics import accuracy_score

    # Accuracy within the group of a class is its recall.
    frame = MetricFrame(
        metrics=accuracy_score,
        y_true=labels,
        y_pred=predicted,
        sensitive_features=labels,
        n_boot=replicates,
        ci_quantiles=[0.025, 0.975],
        random_state=0,
    )
    assert len(frame.by_group_ci) == 2


def stratified_bootstrap(labels: np.ndarray, predicted: np.ndarray, replicates: int) -> None:
    """A loop that resamples the images of each class, as one would write it with NumPy."""
    generator = np.random.default_rng(0)
    right = labels == predicted
    by_class = [right[labels == c] for c in np.unique(labels)]
    means = np.empty((replicates, len(by_class)))
    for r in range(replicates):
        means[r] = [generator.choice(of_class, len(of_class)).mean() for of_class in by_class]
    np.quantile(means.mean(axis=1), [0.025, 0.975])


OTHERS = {
    "NumPy loop": (stratified_bootstrap, 10),
    "torchmetrics": (torchmetrics_bootstrap, 20),
    "fairlearn": (fairlearn_bootstrap, 2),
}


def compared(classes: int, images: int) -> list[dict[str, Any]]:
    labels, predicted = predictions(classes, images)
    support = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[labels == predicted], minlength=classes)
    recall_uncertainty(right, support)
    rows = []
    for name, (bootstrap, replicates) in OTHERS.items():
        bootstrap(labels, predicted, 2)  # what is imported and compiled once
        times = []
        for _ in range(ROUNDS):
            theirs = seconds(lambda: bootstrap(labels, predicted, replicates))  # noqa: B023
            drawn = seconds(lambda: mean_recall_intervals(right, support, replicates=REPLICATES))
            every = seconds(lambda: recall_uncertainty(right, support, replicates=REPLICATES))
            times.append((theirs / replicates * REPLICATES, drawn, every))
        row: dict[str, Any] = {"against": name, "classes": classes, "images": images}
        for key, place in (("theirs_s", 0), ("means_s", 1), ("all_s", 2)):
            row[key] = statistics.median(t[place] for t in times)
        for key, place in (("means_ratio", 1), ("all_ratio", 2)):
            row[key] = sorted(t[0] / t[place] for t in times)
        rows.append(row)
    return rows


def large() -> dict[str, float]:
    """8,142 classes as in iNaturalist 2018, with 3 and with 10 images each."""
    found = {}
    for images in (3, 10):
        generator = np.random.default_rng(0)
        labels = np.repeat(np.arange(8142), images)
        right = generator.random(len(labels)) < generator.beta(5, 3, 8142)[labels]
        predicted = np.where(right, labels, (labels + 1) % 8142)
        k, n = np.bincount(labels[right], minlength=8142), np.full(8142, images)
        draws = [seconds(lambda: mean_recall_intervals(k, n)) for _ in range(ROUNDS)]  # noqa: B023
        every = [seconds(lambda: recall_uncertainty(k, n)) for _ in range(ROUNDS)]  # noqa: B023
        whole = [seconds(lambda: evaluate(labels=labels, predicted=predicted))  # noqa: B023
                 for _ in range(ROUNDS)]  # fmt: skip
        for what, times in (("draws", draws), ("intervals", every), ("evaluate", whole)):
            found[f"{what}, {images} images"] = statistics.median(times)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of theirs, about groups without images
        rows = [row for case in CASES.items() for row in compared(*case)]
    times = large()
    if options.json:
        print(json.dumps({"ratios": rows, "8142_classes_s": times}, indent=2))
        return
    print("against       classes  images   theirs s  means  ratio (range)       all  ratio (range)")
    for r in rows:
        means, every = (
            f"{x[len(x) // 2]:,.0f} ({x[0]:,.0f}–{x[-1]:,.0f})"
            for x in (r["means_ratio"], r["all_ratio"])
        )
        print(
            f"{r['against']:<13} {r['classes']:>7,} {r['images']:>7,} {r['theirs_s']:>10.2f} "
            f"{r['means_s']:.3f}  {means:<18} {r['all_s']:.3f}  {every}"
        )
    for what, value in times.items():
        print(f"8,142 classes, {what}: {value:.2f} s")


if __name__ == "__main__":
    main()
