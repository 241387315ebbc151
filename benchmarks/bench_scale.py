"""Retraining at the shapes of ImageNet-LT and iNaturalist: share of the peak, memory, processes.

    python benchmarks/bench_scale.py                      # everything; an hour on two cores
    python benchmarks/bench_scale.py share --rows 0.1     # a tenth of the rows
    python benchmarks/bench_scale.py memory --steps 20
    python benchmarks/bench_scale.py --out benchmarks/results/scale.json

share       One epoch of retraining as a share of the matrix-multiply peak. The peak is measured in
            the same minute: products of a batch and a head, one before each epoch and one after.
            A row costs 4 · d · C operations, half for its logits and half for the gradient.
memory      A whole rescue (retrain, calibrate, ensemble, decide, judge, report) of float16 features
            in a folder, with iNaturalist's shape, in a process of its own whose peak is read from
            the kernel. Memory does not depend on the number of steps; --steps ends an epoch early.
judging     Evaluation of two classifiers and the report, for 8,142 classes, seconds.
processes   The same steps by one process and by two, each with one thread: of the exact solver,
            whose processes meet once per pass, and of SGD, where they meet at every batch.

Features are synthetic: speed and memory do not depend on what they hold.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

SHAPES = {  # images, width, classes
    "imagenet-lt": (115_846, 2048, 1000),
    "inaturalist2018": (437_513, 2048, 8142),
    "imagenet-21k": (14_000_000, 2048, 21_000),
}
MOST_ROWS = 437_513  # of what is held here; an epoch's cost per row is what is measured
VALIDATION = 24_426
BATCH = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["share", "memory", "judging", "processes"])
    parser.add_argument("--rows", type=float, default=1.0, help="share of each shape's rows")
    parser.add_argument("--epochs", type=int, default=1, help="of imagenet-lt; the paper has 30")
    parser.add_argument("--precision", default="fp32", help="of share: fp32, or bf16 where it pays")
    parser.add_argument("--steps", type=int, help="of the epoch of memory")
    parser.add_argument("--shapes", nargs="*", default=["imagenet-lt", "inaturalist2018"])
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        found = WORKERS[args.worker](args)
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(found))
        return
    from everyclass.artifacts import birth_certificate

    found = {}
    for part in args.parts:
        found[part] = PARTS[part](args)
        print(part, json.dumps(found[part], indent=1), flush=True)
    if args.out:
        asked = {"rows": args.rows, "steps": args.steps, "load": os.getloadavg()[0]}
        whole = {"asked": asked, **found, **birth_certificate()}
        args.out.write_text(json.dumps(whole, indent=1) + "\n")


# --- share of the peak ----------------------------------------------------------------------------


def share(args: argparse.Namespace) -> list[dict[str, Any]]:
    return [share_of(name, args) for name in args.shapes]


def share_of(name: str, args: argparse.Namespace) -> dict[str, Any]:
    from everyclass.stages import MinibatchSettings
    from everyclass.stages.retraining.minibatch_solver import fit_minibatches
    from everyclass.stages.retraining.standardised import standardised

    images, width, classes = SHAPES[name]
    rows = max(BATCH, int(args.rows * min(images, MOST_ROWS)))
    train = drawn(rows, width, classes)
    start = time.perf_counter()
    data = standardised(train)
    preparing = time.perf_counter() - start
    objective = gml(classes, images)
    settings = MinibatchSettings(1, BATCH, precision=args.precision)
    shares, spent, peaks = [], preparing, []
    peak = peak_of(width, classes, args.precision)
    for _ in range(args.epochs if name == "imagenet-lt" else 1):
        start = time.perf_counter()
        fit_minibatches(data, objective, 1e-5, settings, running=True)
        seconds = time.perf_counter() - start
        after = peak_of(width, classes, args.precision)
        work = 4 * (rows // BATCH * BATCH) * width * classes
        shares.append(work / seconds / ((peak + after) / 2))
        spent += seconds
        peaks.append((peak + after) / 2)
        peak = after
    return {
        "shape": name,
        "rows": rows,
        "width": width,
        "classes": classes,
        "precision": args.precision,
        "threads": torch.get_num_threads(),
        "preparing_seconds": preparing,
        "epoch_seconds": seconds,
        "peak_gflops": peak / 1e9,
        "share_of_peak": shares,
        "median_share": float(np.median(shares)),
        "share_with_preparing": work * len(shares) / spent / float(np.mean(peaks)),
    }


def peak_of(width: int, classes: int, precision: str, seconds: float = 2.0) -> float:
    """Operations per second of the product that makes logits."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(BATCH, width).to(dtype), torch.randn(width, classes).to(dtype)
    out = torch.empty(BATCH, classes, dtype=dtype)
    torch.mm(a, b, out=out)
    start, times = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        torch.mm(a, b, out=out)
        times += 1
    return 2 * times * BATCH * width * classes / (time.perf_counter() - start)


def drawn(rows: int, width: int, classes: int) -> Any:
    """Features that are drawn once and tilted: a good enough stand-in for speed."""
    from everyclass import Features

    generator = np.random.default_rng(0)
    block = generator.standard_normal((4096, width), dtype=np.float32).astype(np.float16)
    features = np.empty((rows, width), np.float16)
    for start in range(0, rows, len(block)):
        part = features[start : start + len(block)]
        part[:] = np.roll(block, start // len(block), axis=1)[: len(part)]
    return Features(features, np.arange(rows) % classes)


def gml(classes: int, images: int) -> Any:
    from everyclass.stages import Objective

    return Objective("gml", torch.full((classes,), images / classes))


# --- memory of a whole rescue ---------------------------------------------------------------------


def memory(args: argparse.Namespace) -> dict[str, Any]:
    return in_process("memory", args)


def memory_worker(args: argparse.Namespace) -> dict[str, Any]:
    from everyclass import Features, Head, Retraining, rescue
    from everyclass.artifacts import FeatureFolder
    from everyclass.stages import MinibatchSettings
    from everyclass.stages.retraining import standardised as rows_module

    images, width, classes = SHAPES["inaturalist2018"]
    images = int(args.rows * images)
    validation = int(args.rows * VALIDATION)
    generator = np.random.default_rng(0)
    means = generator.standard_normal((classes, width), dtype=np.float32)
    head = Head(means / width, np.zeros(classes))
    with tempfile.TemporaryDirectory() as place:
        for name, count in (("train", images), ("val", validation)):
            folder = FeatureFolder(f"{place}/{name}", num_images=count, num_features=width)
            for chunk in folder.missing():
                labels = np.array(folder.rows(chunk)) % classes
                noise = 6 * generator.standard_normal((len(labels), width), dtype=np.float32)
                folder.write(chunk, means[labels] + noise, labels)
            folder.finish(head=head)
        if args.steps:
            whole = rows_module.Streamed.batches
            rows_module.Streamed.batches = lambda *a: islice(whole(*a), args.steps)  # type: ignore[method-assign,assignment]
        settings = Retraining(solver="running", penalty=1e-5, minibatch=MinibatchSettings(1, BATCH))
        peak_before = peak_of(width, classes, "fp32")
        start = time.perf_counter()
        train, val = (Features.load(f"{place}/{name}") for name in ("train", "val"))
        result = rescue(train, val=val, retraining=settings)
        rescued = time.perf_counter() - start
        result.save(f"{place}/out", val)
        seconds = time.perf_counter() - start
        peak_after = peak_of(width, classes, "fp32")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "images": images,
        "validation": validation,
        "width": width,
        "classes": classes,
        "steps": args.steps or images // BATCH,
        "steps_of_an_epoch": images // BATCH,
        "features_gib": (images + validation) * width * 2 / 2**30,
        "training_logits_would_be_gib": images * classes * 4 / 2**30,
        "peak_gib": peak / 2**30,
        "rescue_seconds": rescued,
        "seconds": seconds,
        "peak_gflops": (peak_before + peak_after) / 2e9,
        "verdict": result.verdict.use,
    }


# --- evaluation and report ------------------------------------------------------------------------


def judging(args: argparse.Namespace) -> dict[str, Any]:
    from everyclass import ClassCounts, Predictions, evaluate, report

    classes = SHAPES["inaturalist2018"][2]
    generator = np.random.default_rng(0)
    labels = np.arange(VALIDATION) % classes
    wrong = generator.integers(0, classes, VALIDATION)
    before, after = (np.where(generator.random(VALIDATION) < p, labels, wrong) for p in (0.6, 0.7))
    counts = ClassCounts(np.full(classes, 50))
    out: dict[str, Any] = {"classes": classes, "images": VALIDATION}
    with tempfile.TemporaryDirectory() as place:
        for attempt in ("first", "again"):  # the first one loads the chart library
            start, cpu = time.perf_counter(), time.process_time()
            evaluate(labels=labels, predicted=before)
            judged = time.perf_counter() - start
            both = {
                "old": Predictions(labels, predicted=before),
                "retrained": Predictions(labels, predicted=after),
            }
            report(both, Path(place) / "report.html", class_counts=counts)
            out[attempt] = {
                "seconds_of_one_evaluation": judged,
                "seconds": time.perf_counter() - start,
                "cpu_seconds": time.process_time() - cpu,
            }
    return out


# --- processes ------------------------------------------------------------------------------------


def processes(args: argparse.Namespace) -> dict[str, Any]:
    """Alternately, so that whatever else the machine does meets both."""
    rounds = [[in_process("processes", args, n) for n in (1, 2)] for _ in range(3)]
    out = {}
    for solver in ("exact", "running"):
        pairs = [[found[solver] for found in pair] for pair in rounds]
        one, two = np.median(pairs, axis=0).tolist()
        out[solver] = {"seconds_of_one": one, "seconds_of_two": two, "efficiency": one / (2 * two)}
    return out


def processes_worker(args: argparse.Namespace) -> dict[str, Any]:
    from everyclass.processes import barrier, joined, summed
    from everyclass.stages import MinibatchSettings
    from everyclass.stages.retraining.exact_solver import fit_exact
    from everyclass.stages.retraining.minibatch_solver import fit_minibatches
    from everyclass.stages.retraining.standardised import standardised

    torch.set_num_threads(1)
    images, width, classes = SHAPES["imagenet-lt"]
    rows = max(4 * BATCH, int(args.rows * images))
    objective = gml(classes, rows)
    with joined("cpu"):
        data = standardised(drawn(rows, width, classes))
        fits = {
            "exact": lambda: fit_exact(data, objective, 1e-5, max_iterations=2),
            "running": lambda: fit_minibatches(
                data, objective, 1e-5, MinibatchSettings(1, BATCH), running=True
            ),
        }
        seconds = {}
        for solver, fit in fits.items():
            summed(torch.zeros(1))
            barrier()
            start = time.perf_counter()
            fit()
            barrier()
            seconds[solver] = time.perf_counter() - start
        return seconds


def in_process(worker: str, args: argparse.Namespace, count: int = 1) -> dict[str, Any]:
    command = [sys.executable]
    if count > 1:
        command += ["-m", "torch.distributed.run", "--nproc-per-node", str(count), "--standalone"]
    command += [__file__, "--worker", worker, "--rows", str(args.rows)]
    if args.steps:
        command += ["--steps", str(args.steps)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(next(text for text in said.splitlines() if text.startswith("{")))


PARTS = {"share": share, "memory": memory, "judging": judging, "processes": processes}
WORKERS = {"memory": memory_worker, "processes": processes_worker}

if __name__ == "__main__":
    main()
