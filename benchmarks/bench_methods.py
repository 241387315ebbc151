"""Training speed of whole methods: this library's loop against the usual way of writing them.

    python benchmarks/bench_methods.py [METHOD ...] [--json]

Of any method that trains a network on views that Pillow makes here too. Teachers look as they do in
training, but know nothing.

The usual way is a DataLoader with one worker per core that makes each view with Pillow, and eager
float32 with the images in torch's usual layout. Both train ResNet-32 by the method's own recipe on
1,024 images of 32 × 32, in processes of their own that take turns. Images/s over whole epochs,
after one that warms up.
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

EPOCHS, ROUNDS, IMAGES, CLASSES = 3, 3, 1024, 100
METHODS = ("ce", "mixup", "ce-modern", "paco", "proco")


def parts(method: str) -> tuple[Any, Any, Any]:
    """Recipe, learner and labels of a method."""
    import torch

    from everyclass import ClassCounts, get_method
    from everyclass.nn import build_classifier
    from everyclass.training import Recipe

    recipe = get_method(method)
    assert isinstance(recipe, Recipe)
    labels = torch.arange(IMAGES) % CLASSES

    def network(of: Recipe) -> Any:
        return build_classifier(of.backbone or "resnet32", CLASSES, seed=0, head=of.head)

    given: dict[str, Any] = {} if recipe.mixing is None else {"mixing": recipe.mixing}
    taught_by = [each for each in recipe.teachers if isinstance(each, Recipe)]
    if taught_by:
        given["teachers"] = [network(each).eval() for each in taught_by]
    loss = recipe.loss(ClassCounts.from_labels(labels))
    return recipe, recipe.learner(network(recipe), loss, **given), labels


def usual(method: str) -> list[float]:
    os.environ["CC"] = "none"  # torch's layers: without a compiler there are no kernels of ours
    import torch
    from torch.utils.data import DataLoader, Dataset

    recipe, learner, labels = parts(method)
    views = [pillow_view(name) for name in (recipe.augmentation, *recipe.other_views)]

    class Views(Dataset[Any]):
        def __len__(self) -> int:
            return IMAGES

        def __getitem__(self, row: int) -> Any:
            return [view(row) for view in views], labels[row]

    loader = DataLoader(
        Views(),
        recipe.batch_size,
        shuffle=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
    )
    generator = torch.Generator()
    trained = [p for p in learner.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, 0.01, momentum=0.9, weight_decay=recipe.weight_decay)
    rates = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for images, target in loader:
            loss, _ = learner(images, target, generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rates.append(IMAGES / (time.perf_counter() - start))
    return rates[1:]


def ours(method: str) -> list[float]:
    import torch

    from everyclass.data import BatchAugmentation, get_augmentation
    from everyclass.training import Schedule, SgdSettings, choose_precision, fit

    recipe, learner, labels = parts(method)
    device = torch.device("cpu")
    images = BatchAugmentation(
        torch.from_numpy(pictures()), transforms=(), mean=MEAN, std=STD, device=device
    )
    names = (recipe.augmentation, *recipe.other_views)
    rates: list[float] = []
    fit(
        learner,
        [
            images.with_transforms(get_augmentation(name, crop_padding=4, flip=True))
            for name in names
        ],
        labels,
        SgdSettings(
            schedule=Schedule(epochs=EPOCHS, learning_rate=0.01),
            batch_size=recipe.batch_size,
            weight_decay=recipe.weight_decay,
        ),
        device=device,
        precision=choose_precision("auto", device),
        on_epoch=lambda log: rates.append(IMAGES / log.seconds),
    )
    return rates[1:]


def bessel() -> list[float]:
    """Seconds that one step of ProCo spends on Bessel functions, forward and back."""
    import torch

    from everyclass.losses import log_bessel
    from everyclass.methods import proco

    order = proco.WIDTH / 2 - 1
    images = proco.RECIPE.batch_size
    # Of each contrastive view: every image with every class, and the classes themselves.
    moved = (10 + 90 * torch.rand(images, CLASSES, dtype=torch.float64)).requires_grad_()
    classes = moved[0].detach().clone()
    seconds = []
    for _ in range(30):
        start = time.perf_counter()
        for _ in proco.RECIPE.other_views:
            (log_bessel(order, moved) - log_bessel(order, classes)).sum().backward()
        seconds.append(time.perf_counter() - start)
    return seconds


def measured(who: str, method: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--worker", who, method]
    said: dict[str, Any] = json.loads(
        subprocess.run(command, check=True, capture_output=True).stdout
    )
    return said


def compared(method: str) -> dict[str, Any]:
    rounds = [(measured("usual", method), measured("ours", method)) for _ in range(ROUNDS)]
    rates = [[statistics.median(side["figures"]) for side in pair] for pair in rounds]
    ratios = [fast / slow for slow, fast in rates]
    shares = {}
    if method == "proco":
        from everyclass.methods.proco import RECIPE

        step = RECIPE.batch_size / statistics.median(fast for _, fast in rates)
        shares["bessel_share"] = statistics.median(measured("bessel", method)["figures"]) / step
    return {
        "method": method,
        **shares,
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
    parser.add_argument("methods", nargs="*", default=METHODS, help="default: all")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        who, method = options.worker
        figures = bessel() if who == "bessel" else {"usual": usual, "ours": ours}[who](method)
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"figures": figures, "peak_mib": own / 1024}))
        return
    rows = [compared(method) for method in options.methods]
    if options.json:
        from everyclass.artifacts import birth_certificate

        print(json.dumps({"rows": rows, **birth_certificate()}, indent=1))
        return
    print(f"{'method':<10} {'usual':>7} {'ours':>7} {'ratio':>6} {'min':>6} {'max':>6}  peak MiB")
    for row in rows:
        print(
            f"{row['method']:<10} {row['usual']:>7.0f} {row['ours']:>7.0f} {row['ratio']:>6.2f} "
            f"{row['ratio_min']:>6.2f} {row['ratio_max']:>6.2f}  {row['peak_mib']:.0f} "
            f"(usual: {row['usual_peak_mib']:.0f} and workers)"
        )
        if "bessel_share" in row:
            print(f"{'':<10} of a step {row['bessel_share']:.1%} for Bessel functions")


if __name__ == "__main__":
    main()
