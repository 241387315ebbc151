"""GML against cross entropy: time of forward + backward, and memory above the logits.

    python benchmarks/bench_losses.py            # seconds; a minute on a busy machine
    python benchmarks/bench_losses.py --json > benchmarks/results/losses.json

Each allocator has a process of its own, in which the two losses take turns, so that whatever else
the machine does meets both. "tuned" is everyclass.training.allocator.keep_large_buffers, which the
training loop calls. A ratio is the median over the turns. Memory is the peak of the resident set
in a fresh process, less what it was with the logits in place, as a multiple of their size.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHAPES = {(512, 1000): 300, (4096, 8142): 15}
LOSSES = ("cross_entropy", "gml")
ALLOCATORS = ("default", "tuned")
CLEAR_PEAK = Path("/proc/self/clear_refs")  # Linux only


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(worker(*args.worker)))
        return
    times = [row for allocator in ALLOCATORS for row in in_process("time", allocator)]
    memory = [
        {"rows": n, "classes": c, "loss": loss, **in_process("memory", loss, str(n), str(c))}
        for n, c in SHAPES
        for loss in LOSSES
        if CLEAR_PEAK.exists()
    ]
    result = {"machine": machine(), "times": times, "memory": memory}
    print(json.dumps(result, indent=1) if args.json else table(result))


def in_process(*job: str) -> Any:
    command = [sys.executable, __file__, "--worker", *job]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def worker(kind: str, *args: str) -> Any:
    if kind == "memory":
        loss, n, c = args
        return measure_memory(loss, int(n), int(c))
    if args[0] == "tuned":
        from everyclass.training.allocator import keep_large_buffers

        if not keep_large_buffers():
            return []
    return [measure_time(args[0], n, c, turns) for (n, c), turns in SHAPES.items()]


def steps(n: int, c: int) -> tuple[Any, dict[str, Callable[[], None]]]:
    import torch

    from everyclass.losses import GMLLoss

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n, c, generator=generator).requires_grad_()
    labels = torch.randint(c, (n,), generator=generator)
    loss_fn = GMLLoss(torch.randint(1, 1000, (c,), generator=generator))

    def step(loss: Callable[[Any, Any], Any]) -> Callable[[], None]:
        def run() -> None:
            logits.grad = None
            loss(logits, labels).backward()

        return run

    return logits, {"cross_entropy": step(torch.nn.CrossEntropyLoss()), "gml": step(loss_fn)}


def measure_time(allocator: str, n: int, c: int, turns: int) -> dict[str, Any]:
    logits, todo = steps(n, c)
    seconds: dict[str, list[float]] = {name: [] for name in todo}
    for turn in range(turns + 3):
        for name, step in todo.items():
            logits.grad = None
            start = time.perf_counter()
            step()
            if turn >= 3:  # the first turns fill caches and start threads
                seconds[name].append(time.perf_counter() - start)
    pairs = zip(seconds["gml"], seconds["cross_entropy"], strict=True)
    return {
        "allocator": allocator,
        "rows": n,
        "classes": c,
        "turns": turns,
        **{f"{name}_ms": statistics.median(s) * 1e3 for name, s in seconds.items()},
        "ratio": statistics.median(ours / theirs for ours, theirs in pairs),
    }


def measure_memory(loss: str, n: int, c: int) -> dict[str, float]:
    steps(8, 8)[1][loss]()  # what is taken once per process is taken here
    logits, todo = steps(n, c)
    size = logits.numel() * logits.element_size()
    CLEAR_PEAK.write_text("5")  # the peak starts again from here
    before = status("VmRSS")
    todo[loss]()
    return {"above_logits": (status("VmHWM") - before) / size}


def status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def machine() -> dict[str, Any]:
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }


def table(result: dict[str, Any]) -> str:
    lines = [", ".join(f"{key} {value}" for key, value in result["machine"].items()), ""]
    lines.append(f"{'allocator':10}{'logits':>14}{'CE ms':>10}{'GML ms':>10}{'GML / CE':>10}")
    lines += [
        f"{row['allocator']:10}{row['rows']:>7} × {row['classes']:<4}"
        f"{row['cross_entropy_ms']:10.2f}{row['gml_ms']:10.2f}{row['ratio']:10.2f}"
        for row in result["times"]
    ]
    lines += ["", f"{'loss':14}{'logits':>14}   peak memory above the logits, × their size"]
    lines += [
        f"{row['loss']:14}{row['rows']:>7} × {row['classes']:<4}{row['above_logits']:10.2f}"
        for row in result["memory"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
