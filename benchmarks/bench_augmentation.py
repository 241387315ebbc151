"""Augmentation speed: batches of views on one core against the usual Pillow loop over images.

    python benchmarks/bench_augmentation.py [--json]

The Pillow loop does what torchvision's transforms do, image by image: draw, augment, to a float
tensor, normalise, stack; with Python's random numbers, which are faster than torch's there. Both
make batches of 128 views of 32 × 32 on one thread, in processes of their own that take turns, so
that a drift of the machine's speed meets both. Rates are images per second of processor time. The
other pipelines, and mixing on top of crop and flip, are measured without a counterpart.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BATCH = 128
BATCHES = 12
ROUNDS = 3
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
NAMES = ("basic", "rotation", "autoaugment", "contrastive")
OTHERS = ("randaugment", "contrastive-less-blur", "contrastive-no-blur", "mixup", "cutmix")


def pictures() -> np.ndarray:
    """(1024, 32, 32, 3) uint8: smooth ones, because noise has unusual histograms."""
    from PIL import Image

    coarse = np.random.default_rng(0).integers(0, 256, (1024, 6, 6, 3), dtype=np.uint8)
    size = (32, 32)
    return np.stack([Image.fromarray(x).resize(size, Image.Resampling.BICUBIC) for x in coarse])


# --- image by image -------------------------------------------------------------------------------


def basic(image: Any) -> Any:
    from PIL import Image, ImageOps

    x, y = random.randint(0, 8), random.randint(0, 8)
    image = ImageOps.expand(image, 4).crop((x, y, x + 32, y + 32))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


def rotation(image: Any) -> Any:
    return basic(image).rotate(random.uniform(-15, 15))


def policy_step(image: Any, name: str, p: float, level: int) -> Any:
    from PIL import Image, ImageEnhance, ImageOps

    if random.random() >= p:
        return image
    sign, share = random.choice([-1, 1]), level / 9
    affine, cubic = Image.Transform.AFFINE, Image.Resampling.BICUBIC
    shift, grey = sign * share * 150 / 331 * 32, (128, 128, 128)
    match name:
        case "shear-y":
            matrix = (1, 0, 0, 0.3 * sign * share, 1, 0)
            return image.transform(image.size, affine, matrix, cubic, fillcolor=grey)
        case "translate-x":
            return image.transform(image.size, affine, (1, 0, shift, 0, 1, 0), fillcolor=grey)
        case "translate-y":
            return image.transform(image.size, affine, (1, 0, 0, 0, 1, shift), fillcolor=grey)
        case "rotate":
            return image.rotate(30 * share, fillcolor=grey)
        case "posterize":
            return ImageOps.posterize(image, round(8 - 4 * share))
        case "solarize":
            return ImageOps.solarize(image, 256 * (1 - share))
        case "autocontrast" | "equalize" | "invert":
            return getattr(ImageOps, name)(image)
        case _:
            return getattr(ImageEnhance, name.title())(image).enhance(1 + 0.9 * sign * share)


def autoaugment(image: Any) -> Any:
    from everyclass.data.augmentation.policies import POLICIES

    image = basic(image)
    for step in random.choice(POLICIES["cifar10"]):
        image = policy_step(image, *step)
    return image


def cutout(tensor: Any) -> Any:
    y, x = random.randrange(32), random.randrange(32)
    tensor[:, max(0, y - 8) : y + 8, max(0, x - 8) : x + 8] = 0
    return tensor


def hue(image: Any, turn: float) -> Any:
    from PIL import Image

    h, s, v = image.convert("HSV").split()
    turned = np.array(h) + np.uint8(int(turn * 255) % 256)
    return Image.merge("HSV", (Image.fromarray(turned), s, v)).convert("RGB")


def contrastive(image: Any, smallest: float = 0.2, blurred: float = 0.5) -> Any:
    from PIL import Image, ImageEnhance, ImageFilter

    while True:
        area, ratio = random.uniform(smallest, 1) * 1024, math.exp(random.uniform(-1, 1) * 0.2877)
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if w <= 32 and h <= 32:
            break
    x, y = random.randint(0, 32 - w), random.randint(0, 32 - h)
    image = image.crop((x, y, x + w, y + h)).resize((32, 32), Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.8:
        for step in random.sample(("Brightness", "Contrast", "Color", "hue"), 4):
            if step == "hue":
                image = hue(image, random.uniform(-0.1, 0.1))
            else:
                image = getattr(ImageEnhance, step)(image).enhance(random.uniform(0.6, 1.4))
    if random.random() < 0.2:
        image = image.convert("L").convert("RGB")
    if random.random() < blurred:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))
    return image


def contrastive_no_blur(image: Any) -> Any:
    return contrastive(image, smallest=0.08, blurred=0.0)


def pillow_view(name: str) -> Callable[[int], Any]:
    """Row → one random view, as a normalised tensor."""
    import torch
    from PIL import Image

    one: Callable[[Any], Any] = globals()[name.replace("-", "_")]
    images = pictures()
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]

    def view(row: int) -> Any:
        image = one(Image.fromarray(images[row]))
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(255)
        if name == "autoaugment":
            tensor = cutout(tensor)
        return tensor.sub_(mean).div_(std)

    return view


def by_pillow(name: str) -> Callable[[int], Any]:
    import torch

    view = pillow_view(name)
    return lambda number: torch.stack([view((number + i) % 1024) for i in range(BATCH)])


def by_us(name: str) -> Callable[[int], Any]:
    import torch

    from everyclass.data import BatchAugmentation, CutMix, Mixup, get_augmentation

    mixing = {"mixup": Mixup(), "cutmix": CutMix()}.get(name)
    batches = BatchAugmentation(
        torch.from_numpy(pictures()),
        transforms=get_augmentation("basic" if mixing else name, crop_padding=4, flip=True),
        mean=MEAN,
        std=STD,
        device=torch.device("cpu"),
    )
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(1024) % 100

    def batch(number: int) -> Any:
        rows = (number + torch.arange(BATCH)) % 1024
        images = batches.augmented(rows, generator)
        return images if mixing is None else mixing(images, labels[rows], generator)

    return batch


# --- measuring ------------------------------------------------------------------------------------


def work(who: str, name: str) -> dict[str, Any]:
    """Images per second of processor time, and the process's peak memory."""
    import torch

    from everyclass.training.allocator import keep_large_buffers

    torch.set_num_threads(1)
    keep_large_buffers()  # as the training loop does
    random.seed(0)
    batch = {"pillow": by_pillow, "ours": by_us}[who](name)
    batch(0)
    rates = []
    for number in range(BATCHES):
        start = time.process_time()
        batch(number * BATCH)
        rates.append(BATCH / (time.process_time() - start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rate": statistics.median(rates), "peak_mib": peak}


def compare(name: str) -> dict[str, Any]:
    said: dict[str, list[dict[str, Any]]] = {"pillow": [], "ours": []}
    for _ in range(ROUNDS):
        for who, results in said.items():
            command = [sys.executable, __file__, "--worker", who, name]
            output = subprocess.run(command, check=True, capture_output=True).stdout
            results.append(json.loads(output))
    ratios = [b["rate"] / a["rate"] for a, b in zip(*said.values(), strict=True)]
    return {
        "augmentation": name,
        "pillow_images_per_second": statistics.median(x["rate"] for x in said["pillow"]),
        "images_per_second": statistics.median(x["rate"] for x in said["ours"]),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "pillow_peak_mib": max(x["peak_mib"] for x in said["pillow"]),
        "peak_mib": max(x["peak_mib"] for x in said["ours"]),
    }


def measured(name: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--worker", "ours", name]
    said = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for _ in range(ROUNDS)
    ]
    return {
        "augmentation": name,
        "images_per_second": statistics.median(x["rate"] for x in said),
        "peak_mib": max(x["peak_mib"] for x in said),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(*options.worker)))
        return
    rows = [compare(name) for name in NAMES]
    others = [measured(name) for name in OTHERS]
    if options.json:
        from everyclass.artifacts import birth_certificate

        print(json.dumps({"rows": rows, "others": others, **birth_certificate()}, indent=1))
        return
    print(f"{'augmentation':<13} {'Pillow/s':>9} {'ours/s':>9} {'ratio':>6} {'min':>6} {'max':>6}")
    for row in rows:
        print(
            f"{row['augmentation']:<13} {row['pillow_images_per_second']:>9.0f} "
            f"{row['images_per_second']:>9.0f} {row['ratio']:>6.1f} {row['ratio_min']:>6.1f} "
            f"{row['ratio_max']:>6.1f}"
        )
    for row in others:
        print(f"{row['augmentation']:<23} {row['images_per_second']:>9.0f}")
    peak, pillow = (max(row[key] for row in rows) for key in ("peak_mib", "pillow_peak_mib"))
    print(f"Peak memory: {peak:.0f} MiB; the Pillow loop {pillow:.0f} MiB.")


if __name__ == "__main__":
    main()
