"""Retraining speed: cached features against the frozen network, and the exact solver against
scikit-learn's.

    python benchmarks/bench_retraining.py [--json]

The features have the shape of CIFAR100-LT's: 10,847 images, 64 features, 100 classes, ratio 100.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
import warnings

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from everyclass.artifacts import Features
from everyclass.data import long_tailed_counts
from everyclass.nn import build_classifier
from everyclass.stages import MinibatchSettings, Objective, Retraining, retrain
from everyclass.stages.retraining.exact_solver import fit_exact
from everyclass.stages.retraining.standardised import standardise
from everyclass.training import autocast, choose_precision, keep_large_buffers

VIEWS, EPOCHS, BATCH, WIDTH = 10, 20, 512, 64
PENALTY = 1e-3
ROUNDS = 3


def made_features() -> Features:
    counts = long_tailed_counts(500, 100, 100)
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(100), counts)
    centres = generator.normal(size=(100, WIDTH)) * 0.35
    noise = generator.normal(size=(VIEWS, len(labels), WIDTH))
    return Features(np.maximum(centres[labels] + noise, 0).astype(np.float32), labels)


def network_seconds(images: int) -> float:
    """Seconds for the frozen network to see ``images`` images, from a sample of them."""
    device = torch.device("cpu")
    precision = choose_precision("auto", device)
    model = build_classifier("resnet32", 100, seed=0).eval().to(memory_format=torch.channels_last)
    batch = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(device, precision):
        model.backbone(batch)
        start = time.perf_counter()
        for _ in range(4):
            model.backbone(batch)
    return (time.perf_counter() - start) / (4 * BATCH) * images


def timed(function: object) -> tuple[float, object]:
    start = time.perf_counter()
    value = function()  # type: ignore[operator]
    return time.perf_counter() - start, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    keep_large_buffers()
    features = made_features()
    rows = len(features) * VIEWS * EPOCHS
    settings = Retraining(
        solver="minibatch",
        penalty=PENALTY,
        minibatch=MinibatchSettings(epochs=EPOCHS, batch_size=BATCH),
    )
    counts = torch.from_numpy(features.class_counts.counts.copy()).float()
    plain = standardise(features.views[:1], features.labels)
    n = len(features)

    def objective(weight: torch.Tensor, bias: torch.Tensor) -> float:
        logits = plain.features.double() @ weight.double().T + bias.double()
        loss = torch.nn.functional.cross_entropy(logits, plain.labels)
        return float(loss + PENALTY / 2 * weight.double().square().sum())

    def sklearn_fit() -> LogisticRegression:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(C=1 / (PENALTY * n), max_iter=1000)
            return model.fit(plain.features.numpy(), plain.labels.numpy())

    runs: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, function in {
            "minibatch GML, 20 epochs × 10 views": lambda: retrain(features, settings),
            "frozen network, the same rows": None,
            "exact cross entropy": lambda: fit_exact(
                plain, Objective("cross_entropy", counts), PENALTY
            ),
            "scikit-learn's LogisticRegression": sklearn_fit,
            "exact GML": lambda: fit_exact(plain, Objective("gml", counts), PENALTY),
        }.items():
            seconds = network_seconds(rows) if function is None else timed(function)[0]
            runs.setdefault(name, []).append(seconds)
    seconds = {name: statistics.median(values) for name, values in runs.items()}
    ours = objective(*fit_exact(plain, Objective("cross_entropy", counts), PENALTY))
    theirs = sklearn_fit()
    reference = objective(torch.from_numpy(theirs.coef_), torch.from_numpy(theirs.intercept_))
    result = {
        "seconds": seconds,
        "rows": rows,
        "network_over_minibatch": seconds["frozen network, the same rows"]
        / seconds["minibatch GML, 20 epochs × 10 views"],
        "building_the_cache_seconds": seconds["frozen network, the same rows"] / EPOCHS,
        "exact_over_sklearn": seconds["exact cross entropy"]
        / seconds["scikit-learn's LogisticRegression"],
        "objective_ours": ours,
        "objective_sklearn": reference,
        "objective_relative_difference": (ours - reference) / reference,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in seconds.items():
        print(f"{name:<38} {value:9.2f} s")
    print(f"network / retraining on the cache      {result['network_over_minibatch']:9.1f} ×")
    print(f"building the cache                     {result['building_the_cache_seconds']:9.2f} s")
    print(f"exact solver / scikit-learn            {result['exact_over_sklearn']:9.2f} ×")
    print(f"objective, ours − scikit-learn         {result['objective_relative_difference']:9.1e}")
    print(f"peak memory                            {result['peak_mib']:9.0f} MiB")


if __name__ == "__main__":
    main()
