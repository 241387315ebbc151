"""What the ensemble costs at inference: ResNet-50 with its own last layer and with the ensemble's.

    python benchmarks/bench_ensemble.py [--device cuda] [--batch 8] [--rounds 15] [--json]

The two networks share everything but the last layer and take turns, batch by batch, so that a drift
of the machine's speed meets both. Times are of the processor on a CPU (one thread), of the wall
clock with the device waited for elsewhere. The ratio is the median over rounds; what the two last
layers take by themselves is measured too, many times over, because the difference of two whole
networks is mostly noise. Needs torchvision.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CLASSES = 1000


def networks(device: torch.device) -> tuple[nn.Module, nn.Module]:
    """ResNet-50, and a copy whose last layer is the ensemble of it and another head."""
    from torchvision.models import resnet50

    from everyclass import Ensemble, Head
    from everyclass.nn import head_of_module
    from everyclass.stages import fold_head

    torch.manual_seed(0)
    model = resnet50().eval()
    old = head_of_module(model.fc)
    assert old is not None
    draw = np.random.default_rng(0).normal
    new = Head(draw(size=old.weight.shape) / 50, draw(size=CLASSES) / 50)
    return model.to(device), fold_head(model, old, Ensemble(old, new, 1.5, 0.8)).to(device)


def seconds(call: Callable[[], Any], device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    if device.type != "cpu":
        torch.cuda.synchronize()
    start = clock()
    call()
    if device.type != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def layer_seconds(layer: nn.Module, features: Tensor, device: torch.device) -> float:
    """Median seconds of the layer alone."""
    for _ in range(5):
        layer(features)
    return statistics.median(seconds(lambda: layer(features), device) for _ in range(200))


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    plain, ensemble = networks(device)
    images = torch.randn(options.batch, 3, 224, 224, device=device)
    features = torch.randn(options.batch, 2048, device=device)
    for model in (plain, ensemble):
        model(images)
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(options.rounds):
        order = (0, 1) if number % 2 else (1, 0)
        for which in order:
            model = (plain, ensemble)[which]
            times[which].append(seconds(lambda m=model: m(images), device))  # type: ignore[misc]
    ratios = [b / a for a, b in zip(*times, strict=True)]
    last = [layer_seconds(m.fc, features, device) for m in (plain, ensemble)]
    network = statistics.median(times[0])
    row = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "one CPU thread",
        "batch": options.batch,
        "network_ms": 1000 * network,
        "ratio": statistics.median(ratios),
        "last_layer_ms": 1000 * last[0],
        "ensemble_layer_ms": 1000 * last[1],
        "share_of_network": (last[1] - last[0]) / network,
    }
    if options.json:
        print(json.dumps(row, indent=2))
        return
    print(
        f"{row['device']}, batch {row['batch']}: ResNet-50 {row['network_ms']:.1f} ms; with the "
        f"ensemble {row['ratio'] - 1:+.2%} (median of {options.rounds} rounds).\n"
        f"Last layer {row['last_layer_ms']:.3f} ms, of the ensemble "
        f"{row['ensemble_layer_ms']:.3f} ms: {row['share_of_network']:+.2%} of the network."
    )


if __name__ == "__main__":
    main()
