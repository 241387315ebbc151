"""How often the intervals hold the truth, and how often the tests see what is not there.

    python benchmarks/coverage.py [--show] [--out benchmarks/results/coverage.json]

Recalls are drawn from nine distributions, images from binomials; the intervals of `evaluate` are
computed and compared with the true numbers. For the tests, two classifiers whose errors overlap are
drawn that differ in every class and not in the number tested. What concerns one class is not
simulated: it is a sum over binomial probabilities. Some minutes on one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from everyclass import metrics
from everyclass.metrics.paired_lowest import worst_difference
from everyclass.metrics.paired_means import linear_difference, mean_differences
from everyclass.metrics.pairing import Outcomes

CLASSES = {10: 80, 100: 40, 1000: 10}  # and how many trials
TESTED = {10: 200, 100: 60}
IMAGES = (3, 10, 30, 100, 500, "3 to 500")
NUMBERS = ("accuracy", "balanced_accuracy", "geometric_mean", "harmonic_mean", "lowest_recall")
UNEQUAL = 2000
REPLICATES, FLOOR = 250, 1e-3


def recalls(name: str, classes: int, generator: np.random.Generator) -> np.ndarray:
    here = np.arange(classes)
    return {
        "all 0.8": lambda: np.full(classes, 0.8),
        "beta(8, 2)": lambda: generator.beta(8, 2, classes),
        "uniform 0.2 to 1": lambda: generator.uniform(0.2, 1, classes),
        "5 % dead": lambda: np.where(
            here < max(1, classes // 20), 0, generator.beta(8, 2, classes)
        ),
        "beta(1.5, 1.5)": lambda: generator.beta(1.5, 1.5, classes),
        "beta(40, 1)": lambda: generator.beta(40, 1, classes),
        "10 % at 0.3, else 0.8": lambda: np.where(here < classes // 10, 0.3, 0.8),
        "one at 0.02, else 0.7": lambda: np.where(here < 1, 0.02, 0.7),
        "10 % at 0.02, else 0.7": lambda: np.where(here < classes // 10, 0.02, 0.7),
    }[name]()


RECALLS = ("all 0.8", "beta(8, 2)", "uniform 0.2 to 1", "5 % dead", "beta(1.5, 1.5)",
           "beta(40, 1)", "10 % at 0.3, else 0.8", "one at 0.02, else 0.7",
           "10 % at 0.02, else 0.7")  # fmt: skip


def supports(images: int | str, classes: int, generator: np.random.Generator) -> np.ndarray:
    if isinstance(images, int):
        return np.full(classes, images)
    return np.round(np.exp(generator.uniform(np.log(3), np.log(500), classes))).astype(np.int64)


def truth(p: np.ndarray, n: np.ndarray) -> dict[str, float]:
    worst = {f"worst {w} %": metrics.worst_mean(p, w) for w in (1, 5, 10)}
    return {
        "accuracy": float(p @ n / n.sum()),
        "balanced_accuracy": float(p.mean()),
        "geometric_mean": metrics.geometric_mean(np.maximum(p, FLOOR)),
        "harmonic_mean": metrics.harmonic_mean(np.maximum(p, FLOOR)),
        "lowest_recall": float(p.min()),
        **worst,
    }


def simulated(
    name: str, classes: int, images: int | str, trials: int, seed: int
) -> dict[str, dict[str, float]]:
    """Shares of trials in which the truth lay below and above each interval, and mean widths."""
    generator = np.random.default_rng([seed, classes, RECALLS.index(name), IMAGES.index(images)])
    sums: dict[str, np.ndarray] = {}
    for trial in range(trials):
        p, n = recalls(name, classes, generator), supports(images, classes, generator)
        k = generator.binomial(n, p)
        found = metrics.recall_uncertainty(k, n, replicates=REPLICATES, seed=trial)
        limits = {key: found[key] for key in NUMBERS}
        limits |= {f"worst {w} %": found["worst"][str(w)] for w in (1, 5, 10)}
        for key, true in truth(p, n).items():
            low, high = limits[key]
            outcome = [true < low - 1e-9, true > high + 1e-9, high - low]
            sums[key] = sums.get(key, np.zeros(3)) + outcome
    return {
        key: dict(zip(("below", "above", "width"), (value / trials).tolist(), strict=True))
        for key, value in sums.items()
    }


def worst_of_unequal(trials: int, seed: int) -> dict[str, float]:
    """The worst 10 %, all nearly dead, where half have five images and half two thousand."""
    generator = np.random.default_rng([seed, trials])
    p = np.repeat([0.0078, 0.01, 0.8], [50, 50, 900])
    n = np.repeat([5, 2000, 20], [50, 50, 900])
    true, sums = metrics.worst_mean(p, 10), np.zeros(3)
    for _ in range(trials):
        low, high = metrics.worst_mean_interval(generator.binomial(n, p), n, 10)
        sums += [true < low - 1e-9, true > high + 1e-9, high - low]
    shares = dict(zip(("below", "above", "width"), (sums / trials).tolist(), strict=True))
    return {"trials": trials} | shares


def of_one_class(images: int, method: str) -> dict[str, float]:
    """Exact coverage over recalls 0.005, 0.015, …, 0.995: mean and lowest."""
    p = np.arange(0.005, 1, 0.01)
    k = np.arange(images + 1)
    low, high = metrics.recall_intervals(k, np.full(images + 1, images), method=method).T
    inside = (low <= p[:, None]) & (p[:, None] <= high)
    covered = (stats.binom.pmf(k, images, p[:, None]) * inside).sum(axis=1)
    return {"mean": float(covered.mean()), "lowest": float(covered.min())}


def without_difference(
    name: str, classes: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """True recalls of A and B, and the numbers that are the same for both."""
    a = generator.beta(8, 3, classes)
    if name == "permuted":
        every = [*PAIRED, "lowest_recall", "worst 10 %"]
        return a, generator.permutation(a), every
    if name == "flat, same mean":
        return np.full(classes, a.mean()), a, ["balanced_accuracy"]
    if name == "flat, same geometric mean":
        return np.full(classes, metrics.geometric_mean(a)), a, ["geometric_mean"]
    if name == "flat, same harmonic mean":
        return np.full(classes, metrics.harmonic_mean(a)), a, ["harmonic_mean"]
    lowest = np.where(np.arange(classes) == 0, 0.5, 0.95)
    return np.full(classes, 0.5), lowest, ["lowest_recall"]


PAIRED = ("balanced_accuracy", "geometric_mean", "harmonic_mean")
SAME = ("permuted", "flat, same mean", "flat, same geometric mean", "flat, same harmonic mean",
        "flat, same lowest")  # fmt: skip


def tested(name: str, classes: int, images: int, trials: int, seed: int) -> dict[str, float]:
    """Shares of trials in which a 5 % test sees a difference that is not there."""
    generator = np.random.default_rng([seed, classes, SAME.index(name), images])
    seen: dict[str, int] = {}
    for trial in range(trials):
        a, b, numbers = without_difference(name, classes, generator)
        overlap = generator.choice([0.0, 0.7])
        both = (1 - overlap) * a * b + overlap * np.minimum(a, b)
        shares = np.stack([1 - a - b + both, b - both, a - both, both], axis=1)
        outcomes = Outcomes(generator.multinomial(images, np.clip(shares, 0, 1)), None)
        found = {"balanced_accuracy": linear_difference(outcomes, np.ones(classes))}
        if set(numbers) & {"geometric_mean", "harmonic_mean"}:
            found |= mean_differences(outcomes, replicates=REPLICATES, seed=trial)
        if "lowest_recall" in numbers:
            found["lowest_recall"] = worst_difference(outcomes)
            found["worst 10 %"] = worst_difference(outcomes, 10)
        for key in numbers:
            d = found[key]
            wrong = not d.low <= 0 <= d.high if d.p_value is None else d.p_value <= 0.05
            seen[key] = seen.get(key, 0) + wrong
    return {key: value / trials for key, value in seen.items()}


def mid_p_error() -> list[dict[str, float]]:
    """Exact errors of the mid-p McNemar test at 5 %, by images and share that differ."""
    found = []
    for images in (10, 30, 100, 300):
        for share in (0.02, 0.05, 0.1, 0.2, 0.4):
            m = np.arange(images + 1)
            error = 0.0
            for total, chance in zip(m, stats.binom.pmf(m, images, share), strict=True):
                a = np.arange(total + 1)
                wrong = metrics.mid_p_mcnemar(a, total - a) <= 0.05
                error += chance * stats.binom.pmf(a, total, 0.5)[wrong].sum()
            found.append({"images": images, "differ": share, "error": error})
    return found


def tests_table(rows: list[dict[str, Any]]) -> str:
    """Errors in percent, averaged over images and pairs, the largest cell beside."""
    lines = ["| number | classes | error | largest cell |", "|---|---|---|---|"]
    for key in (*PAIRED, "lowest_recall", "worst 10 %"):
        for classes in TESTED:
            cells = [r["errors"][key] for r in rows
                     if r["classes"] == classes and key in r["errors"]]  # fmt: skip
            mean, most = 100 * np.mean(cells), 100 * max(cells)
            lines.append(f"| {key.replace('_', ' ')} | {classes} | {mean:.1f} | {most:.1f} |")
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """Coverage in percent, averaged over the distributions of recall."""
    keys = [*NUMBERS, "worst 10 %"]
    lines = ["| classes | images a class | " + " | ".join(k.replace("_", " ") for k in keys) + " |"]
    lines.append("|---" * (len(keys) + 2) + "|")
    cells = {key: [1 - r[key]["below"] - r[key]["above"] for r in rows] for key in keys}
    for classes in CLASSES:
        for images in IMAGES:
            here = [
                i for i, r in enumerate(rows) if (r["classes"], r["images"]) == (classes, images)
            ]
            means = [f"{100 * np.mean([cells[k][i] for i in here]):.1f}" for k in keys]
            lines.append(f"| {classes:,} | {images} | " + " | ".join(means) + " |")
    means = [f"**{100 * np.mean(cells[key]):.1f}**" for key in keys]
    return "\n".join([*lines, "| all | all | " + " | ".join(means) + " |"])


def shown(result: dict[str, Any]) -> str:
    """Every table of docs/intervals.md."""
    lines = ["| images | " + " | ".join(next(iter(result["of_one_class"].values()))) + " |"]
    lines.append("|---" * (lines[0].count("|") - 1) + "|")
    for method, by_images in result["of_one_class"].items():
        cells = [f"{100 * v['mean']:.1f} ({100 * v['lowest']:.1f})" for v in by_images.values()]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    errors = [100 * cell["error"] for cell in result["mid_p_mcnemar"]]
    mcnemar = f"| a class, mid-p McNemar (exact) | 1 | {np.mean(errors):.1f} | {max(errors):.1f} |"
    tests = tests_table(result["tests"]) + "\n" + mcnemar
    unequal = result["worst_of_unequal"]
    missed = (
        f"worst 10 % of unequal classes, {unequal['trials']:,} trials: the truth lay below in "
        f"{100 * unequal['below']:.1f} %, above in {100 * unequal['above']:.1f} %"
    )
    return "\n\n".join([table(result["intervals"]), missed, "\n".join(lines), tests])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/coverage.json"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print what --out holds")
    options = parser.parse_args()
    if options.show:
        print(shown(json.loads(options.out.read_text())))
        return
    start, rows, pairs = time.perf_counter(), [], []
    for classes, trials in CLASSES.items():
        for images in IMAGES:
            for name in RECALLS:
                found = simulated(name, classes, images, trials, options.seed)
                cell = {"classes": classes, "images": images, "recalls": name, "trials": trials}
                rows.append(cell | found)
        print(f"{classes} classes: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    for classes, trials in TESTED.items():
        for images in (5, 20, 100):
            for name in SAME:
                errors = tested(name, classes, images, trials, options.seed)
                cell = {"classes": classes, "images": images, "pair": name, "trials": trials}
                pairs.append(cell | {"errors": errors})
    print(f"tests: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    one = {
        method: {str(n): of_one_class(n, method) for n in (2, 3, 10, 30, 100, 500)}
        for method in ("wilson", "exact")
    }
    result = {"confidence": 0.95, "intervals": rows,
              "worst_of_unequal": worst_of_unequal(UNEQUAL, options.seed),
              "of_one_class": one, "tests": pairs, "mid_p_mcnemar": mid_p_error()}  # fmt: skip
    short = json.loads(json.dumps(result), parse_float=lambda text: round(float(text), 5))
    options.out.write_text(json.dumps(short) + "\n")
    print(shown(short))


if __name__ == "__main__":
    main()
