"""What a rescue costs, from ImageNet-LT to ImageNet-21k: bytes, operations, hours, money.

    python benchmarks/cost_model.py
    python benchmarks/cost_model.py --gpu-tflops 60 --cpu-gflops 100 --dollars-per-gpu-hour 2
    python benchmarks/cost_model.py --measured benchmarks/results/rescue_seconds.json

Counted, not measured: the shapes give operations and bytes; the speeds are assumptions to replace
by your own. bench_scale.py measures what share of a machine's peak retraining reaches; its part
`memory` measures whole rescues, whose seconds --measured puts beside those counted.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BATCH = 2048  # of bench_scale.py


@dataclass(frozen=True)
class Data:
    """A data set, and the network that the paper or its successors use on it.

    Attributes:
        images, classes: of the training set.
        backbone: its name, with 10⁹ multiply-adds for one image of 224 × 224 as torchvision
            states them beside its weights.
        gmacs: those.
        epochs: of training that network.
        width: of its features.
    """

    name: str
    images: int
    classes: int
    backbone: str
    gmacs: float
    epochs: int
    width: int = 2048


SETS = (
    Data("ImageNet-LT", 115_846, 1000, "ResNeXt-50", 4.23, 180),
    Data("Places-LT", 62_500, 365, "ResNet-152", 11.51, 30),
    Data("iNaturalist 2018", 437_513, 8142, "ResNet-50", 4.09, 200),
    Data("ImageNet-21k", 14_000_000, 21_000, "ResNet-50", 4.09, 90),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu-tflops", type=float, default=60.0, help="sustained, of one GPU")
    parser.add_argument("--cpu-gflops", type=float, default=100.0, help="sustained, of one machine")
    parser.add_argument("--dollars-per-gpu-hour", type=float, default=2.0)
    parser.add_argument("--dollars-per-cpu-hour", type=float, default=0.1)
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=30, help="of retraining")
    parser.add_argument("--measured", type=Path, help="points of bench_scale.py memory --out")
    args = parser.parse_args()
    print(compared(json.loads(args.measured.read_text())) if args.measured else table(args))


def table(args: argparse.Namespace) -> str:
    lines = [
        "| | " + " | ".join(data.name for data in SETS) + " |",
        "|---|" + "---:|" * len(SETS),
    ]
    for title, cell in ROWS:
        lines.append(f"| {title} | " + " | ".join(cell(data, args) for data in SETS) + " |")
    return "\n".join(lines)


def features_bytes(data: Data, views: int) -> int:
    return 2 * views * data.images * data.width


def logits_bytes(data: Data, views: int) -> int:
    return 4 * views * data.images * data.classes


def retraining_work(data: Data, views: int) -> int:
    """One pass: half for the logits, half for the gradient."""
    return 4 * views * data.images * data.width * data.classes


def rescue_work(images: int, validation: int, width: int, classes: int, steps: int) -> int:
    """One pass of retraining; then old and new head answer for every training and held-out image,
    the held-out ones three times: to choose by, to calibrate and to judge.
    """
    answers = 4 * (images + 3 * validation) * width * classes
    return 4 * steps * BATCH * width * classes + answers


def compared(measured: dict[str, Any]) -> str:
    """Counted and measured, of whole rescues with one pass of retraining."""
    lines = [
        "| rows × classes | seconds, counted | seconds, measured | ratio | peak memory |",
        "|---|---:|---:|---:|---:|",
    ]
    for point in measured["points"]:
        sizes = [point[name] for name in ("images", "validation", "width", "classes", "steps")]
        counted = rescue_work(*sizes) / point["peak_gflops"] / 1e9
        seconds = point["rescue_seconds"]
        lines.append(
            f"| {point['images']:,} × {point['classes']:,} | {counted:.0f} | {seconds:.0f} "
            f"| {seconds / counted:.2f} | {point['peak_gib']:.1f} GiB |"
        )
    return "\n".join(lines)


def extraction_work(data: Data, views: int) -> float:
    return 2e9 * data.gmacs * views * data.images


def pretraining_work(data: Data) -> float:
    """Backward takes twice what forward takes."""
    return 3 * extraction_work(data, 1) * data.epochs


def giga(value: float) -> str:
    return f"{value / 1e9:,.1f} GB"


def tera(value: float) -> str:
    return f"{value / 1e12:,.1f}"


def hours(seconds: float) -> str:
    return f"{seconds / 3600:,.2f} h" if seconds < 36_000 else f"{seconds / 3600:,.0f} h"


def dollars(seconds: float, rate: float) -> str:
    return f"${seconds / 3600 * rate:,.2f}"


ROWS = (
    ("training images × classes", lambda d, a: f"{d.images:,} × {d.classes:,}"),
    ("network", lambda d, a: d.backbone),
    ("features, float16", lambda d, a: giga(features_bytes(d, a.views))),
    ("all logits, never held", lambda d, a: giga(logits_bytes(d, a.views))),
    ("head and its momentum, float32", lambda d, a: giga(8 * d.width * d.classes)),
    ("pretraining, 10¹² operations", lambda d, a: tera(pretraining_work(d))),
    ("extraction, 10¹² operations", lambda d, a: tera(extraction_work(d, a.views))),
    ("retraining, 10¹² per epoch", lambda d, a: tera(retraining_work(d, a.views))),
    ("pretraining on one GPU", lambda d, a: hours(pretraining_work(d) / a.gpu_tflops / 1e12)),
    (
        "… in money",
        lambda d, a: dollars(pretraining_work(d) / a.gpu_tflops / 1e12, a.dollars_per_gpu_hour),
    ),
    (
        "extraction on one GPU",
        lambda d, a: hours(extraction_work(d, a.views) / a.gpu_tflops / 1e12),
    ),
    (
        "… in money",
        lambda d, a: dollars(
            extraction_work(d, a.views) / a.gpu_tflops / 1e12, a.dollars_per_gpu_hour
        ),
    ),
    (
        "retraining on the CPU",
        lambda d, a: hours(a.epochs * retraining_work(d, a.views) / a.cpu_gflops / 1e9),
    ),
    (
        "… in money",
        lambda d, a: dollars(
            a.epochs * retraining_work(d, a.views) / a.cpu_gflops / 1e9, a.dollars_per_cpu_hour
        ),
    ),
)

if __name__ == "__main__":
    main()
