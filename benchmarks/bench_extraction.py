"""Feature extraction from picture files: images/s beside decoding alone and the network alone.

    python benchmarks/bench_extraction.py [--backbone resnet32] [--workers 1] [--json]

Pictures are JPEGs of 500 × 375, as ImageNet's usually are. Whichever of decoding and the network
is slower bounds extraction; the share of that bound is what is measured, for a case in which the
network is far slower (224 pixels) and one in which both are near each other (32 pixels). On a CPU
each needs a core of its own: one worker decodes and the network has one thread, so two cores in
all. The three kinds take turns, so that a drift of the machine's speed meets all of them.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from everyclass.data import DataConfig, DecodedSource, EncodedSet, load_dataset
from everyclass.nn import Classifier, build_classifier
from everyclass.stages import extract_views, image_batches
from everyclass.training import autocast, choose_device, choose_precision

CASES = {224: 1.0, 32: 4.0}  # size, and how many times the images
BATCH, ROUNDS, FILES = 32, 3, 128


def write_pictures(folder: Path, count: int) -> None:
    """Smooth pictures with some texture, and a list in which every file stands several times."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(FILES):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)).astype(int)
        pixels = (pixels + rng.normal(0, 8, pixels.shape)).clip(0, 255).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=90)
        (folder / f"{number}.jpg").write_bytes(stream.getvalue())
    for number in range(count):
        lines.append(f"{number % FILES}.jpg {number % 2}\n")
    (folder / "list.txt").write_text("".join(lines))


def rate(count: int, work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def measure(size: int, count: int, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    write_pictures(folder, count)
    data = load_dataset(DataConfig(f"list:{folder / 'list.txt'},size={size}"))
    assert isinstance(data.train, EncodedSet)
    device = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    model: Classifier = build_classifier(options.backbone, 2, seed=0).eval()
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    source = image_batches(data, data.train, device, workers=options.workers)
    assert isinstance(source, DecodedSource)
    batches = torch.arange(count).split(BATCH)
    one = torch.rand(BATCH, 3, size, size, device=device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def network() -> None:
        for rows in batches:
            with autocast(device, precision):
                model.backbone(one[: len(rows)]).float().cpu()

    def everything() -> None:
        extract_views(
            model,
            source,
            torch.from_numpy(data.train.labels),
            num_views=1,
            device=device,
            precision=precision,
            class_names=data.class_names,
            batch_size=BATCH,
        )

    kinds: dict[str, Callable[[], Any]] = {
        "decoding": lambda: [None for _ in source.pixels(batches)],
        "network": network,
        "extraction": everything,
    }
    network()
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, work in kinds.items():
            rates[kind].append(rate(count, work))
    shares = [
        both / min(decoding, alone) for decoding, alone, both in zip(*rates.values(), strict=True)
    ]
    medians = {kind: statistics.median(values) for kind, values in rates.items()}
    slower = min(("decoding", "network"), key=lambda kind: medians[kind])
    return {"size": size, "images_per_second": medians, "bottleneck": slower,
            "share_of_the_slower": statistics.median(shares)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnet32", help="ours, or any of timm")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for size, times in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(size, int(times * options.images), options, Path(folder)))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for case in found:
        rates = ", ".join(f"{k} {v:,.0f}" for k, v in case["images_per_second"].items())
        print(
            f"{case['size']:>4} pixels: {rates} images/s; the {case['bottleneck']} bounds it; "
            f"{case['share_of_the_slower']:.0%} of that (target: 90 %)"
        )


if __name__ == "__main__":
    main()
