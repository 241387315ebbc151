"""Pretraining speed: the library's loop against a plain eager fp32 loop of the same network.

    python benchmarks/bench_training.py [--compile] [--json]

Both train ResNet-32 on 32 × 32 images, batch 128, in processes of their own that take turns, so
that a drift of the machine's speed meets both. The plain loop augments nothing: its batches are
ready before the clock starts.
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

STEPS = 8
BATCH = 128
ROUNDS = 3


def plain() -> list[float]:
    """Images/s of the usual loop: torch's layers, eager, float32, default layout and allocator."""
    os.environ["CC"] = "none"  # without a compiler there are no kernels of ours
    import torch
    import torch.nn.functional as F

    from everyclass.nn import build_classifier

    model = build_classifier("resnet32", 100, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=2e-4)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(0, 100, (BATCH,))
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(STEPS):
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
        rates.append(STEPS * BATCH / (time.perf_counter() - start))
    return rates[1:]


def ours(compile_: bool, precision: str) -> list[float]:
    """Images/s of `fit`, augmentation included."""
    import torch

    from everyclass.data import BatchAugmentation, get_augmentation
    from everyclass.nn import build_classifier
    from everyclass.training import Schedule, SgdSettings, Supervised, choose_precision, fit

    device = torch.device("cpu")
    count = STEPS * BATCH
    images = BatchAugmentation(
        torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        transforms=get_augmentation("basic", crop_padding=4, flip=True),
        device=device,
    )
    rates: list[float] = []
    fit(
        Supervised(build_classifier("resnet32", 100, seed=0), torch.nn.CrossEntropyLoss()),
        [images],
        torch.randint(0, 100, (count,)),
        SgdSettings(schedule=Schedule(epochs=3)),
        device=device,
        precision=choose_precision(precision, device),
        compile=compile_,
        on_epoch=lambda log: rates.append(count / log.seconds),
    )
    return rates[1:]


WORKERS = {
    "plain fp32": plain,
    "ours": lambda: ours(False, "auto"),
    "ours fp32": lambda: ours(False, "fp32"),
    "ours compiled": lambda: ours(True, "auto"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compile", action="store_true", help="measure the compiled loop too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        rates = WORKERS[options.worker]()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"rates": rates, "peak_mib": peak}))
        return
    names = [name for name in WORKERS if options.compile or name != "ours compiled"]
    rates: dict[str, list[float]] = {name: [] for name in names}
    ratios: dict[str, list[float]] = {name: [] for name in names}
    peaks: dict[str, float] = {}
    for _ in range(ROUNDS):
        here = {}
        for name in names:
            command = [sys.executable, __file__, "--worker", name]
            said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            here[name] = statistics.median(said["rates"])
            rates[name] += said["rates"]
            peaks[name] = max(peaks.get(name, 0), said["peak_mib"])
        for name in names:
            ratios[name].append(here[name] / here["plain fp32"])
    rows = [
        {
            "loop": name,
            "images_per_second": statistics.median(rates[name]),
            "ratio": statistics.median(ratios[name]),
            "ratio_min": min(ratios[name]),
            "ratio_max": max(ratios[name]),
            "peak_mib": peaks[name],
        }
        for name in names
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'loop':<15} {'images/s':>9} {'ratio':>6} {'min':>6} {'max':>6} {'peak MiB':>9}")
    for row in rows:
        print(
            f"{row['loop']:<15} {row['images_per_second']:>9.0f} {row['ratio']:>6.2f} "
            f"{row['ratio_min']:>6.2f} {row['ratio_max']:>6.2f} {row['peak_mib']:>9.0f}"
        )


if __name__ == "__main__":
    main()
