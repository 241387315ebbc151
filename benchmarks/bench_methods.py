"""Training speed of whole methods: this library's loop against the usual way of writing them.

    python benchmarks/bench_methods.py [--json]

The usual way is a DataLoader with one worker per core that makes each view with Pillow, and eager
float32. Both train ResNet-32 on 1,024 images of 32 × 32, batch 128, in processes of their own that
take turns. Images/s over whole epochs, after one that warms up.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

from bench_augmentation import MEAN, STD, pictures, pillow_view

BATCH, EPOCHS, ROUNDS, IMAGES = 128, 3, 3, 1024
METHODS = {"ce": ("basic", False), "mixup": ("basic", True), "ce-modern": ("autoaugment", False)}


def usual(method: str) -> list[float]:
    import torch
    import torch.nn.functional as F
    from torch.utils.data import DataLoader, Dataset

    from everyclass.nn import build_classifier

    name, mixes = METHODS[method]
    view, labels = pillow_view(name), torch.randint(0, 100, (IMAGES,))

    class Views(Dataset[Any]):
        def __len__(self) -> int:
            return IMAGES

        def __getitem__(self, row: int) -> Any:
            return view(row), labels[row]

    workers = os.cpu_count() or 1
    loader = DataLoader(Views(), BATCH, shuffle=True, num_workers=workers, persistent_workers=True)
    model = build_classifier("resnet32", 100, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=2e-4)
    rates = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for images, target in loader:
            if mixes:
                weight = float(torch.distributions.Beta(1.0, 1.0).sample())
                partner = torch.randperm(len(images))
                logits = model(weight * images + (1 - weight) * images[partner])
                loss = weight * F.cross_entropy(logits, target)
                loss = loss + (1 - weight) * F.cross_entropy(logits, target[partner])
            else:
                loss = F.cross_entropy(model(images), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rates.append(IMAGES / (time.perf_counter() - start))
    return rates[1:]


def ours(method: str) -> list[float]:
    import torch

    from everyclass.data import BatchAugmentation, Mixup, get_augmentation
    from everyclass.nn import build_classifier
    from everyclass.training import Schedule, Supervised, TrainingSettings, choose_precision, fit

    name, mixes = METHODS[method]
    device = torch.device("cpu")
    images = BatchAugmentation(
        torch.from_numpy(pictures()),
        transforms=get_augmentation(name, crop_padding=4, flip=True),
        mean=MEAN,
        std=STD,
        device=device,
    )
    rates: list[float] = []
    fit(
        Supervised(
            build_classifier("resnet32", 100, seed=0),
            torch.nn.CrossEntropyLoss(),
            mixing=Mixup() if mixes else None,
        ),
        [images],
        torch.randint(0, 100, (IMAGES,)),
        TrainingSettings(Schedule(epochs=EPOCHS), precision=choose_precision("auto", device)),
        device=device,
        on_epoch=lambda log: rates.append(IMAGES / log.seconds),
    )
    return rates[1:]


def measured(who: str, method: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--worker", who, method]
    said: dict[str, Any] = json.loads(
        subprocess.run(command, check=True, capture_output=True).stdout
    )
    return said


def compared(method: str) -> dict[str, Any]:
    rounds = [(measured("usual", method), measured("ours", method)) for _ in range(ROUNDS)]
    rates = [[statistics.median(side["rates"]) for side in pair] for pair in rounds]
    ratios = [fast / slow for slow, fast in rates]
    return {
        "method": method,
        "usual": statistics.median(slow for slow, _ in rates),
        "ours": statistics.median(fast for _, fast in rates),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "peak_mib": max(pair[1]["peak_mib"] for pair in rounds),
        "usual_peak_mib": max(pair[0]["peak_mib"] for pair in rounds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        who, method = options.worker
        rates = usual(method) if who == "usual" else ours(method)
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"rates": rates, "peak_mib": own / 1024}))
        return
    rows = [compared(method) for method in METHODS]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'method':<10} {'usual':>7} {'ours':>7} {'ratio':>6} {'min':>6} {'max':>6}  peak MiB")
    for row in rows:
        print(
            f"{row['method']:<10} {row['usual']:>7.0f} {row['ours']:>7.0f} {row['ratio']:>6.2f} "
            f"{row['ratio_min']:>6.2f} {row['ratio_max']:>6.2f}  {row['peak_mib']:.0f} "
            f"(usual: {row['usual_peak_mib']:.0f} and workers)"
        )


if __name__ == "__main__":
    main()
