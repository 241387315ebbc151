"""Whether `rescue --strategy auto` finds what is best, and refuses where nothing helps.

    EVERYCLASS_DATA=… python benchmarks/compare_strategies.py --run RUN
        [--only NAME,…] [--strategies NAME,…] [--results FOLDER] [--docs docs/strategies.md]

On each problem (`problems.py`) every single strategy is used whatever its verdict says, and auto
as its verdict says, with validation data and without. All are judged on the test set, which chooses
nothing. What each predicted there is kept in FOLDER/strategies-NAME.npz and all numbers are
computed from that; --docs writes the table into a page. --only makes some of the problems, which
takes minutes each, and leaves the results of the others as they are; `--only none` only computes.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.adjustment import ClassObjective, drawn_objectives, score
from everyclass.artifacts import read_json, read_npz, write_json, write_npz
from everyclass.metrics import harmonic_mean, per_class_recall
from everyclass.progress import silent
from everyclass.stages import STRATEGIES, RescueResult, rescue
from pages import into_page
from problems import (
    Problem,
    balanced_text,
    long_tailed_problems,
    natural_images,
    natural_text,
    of_a_run,
    one_bad_class,
)

SINGLE = tuple(name for name in STRATEGIES if name not in ("auto", "offsets"))
WITHOUT = ("additive", "bias", "class_weighted", "balanced_softmax", "gml", "ensemble")
Row = dict[str, Any]


def makers(run: Path | None) -> dict[str, Callable[[], Problem]]:
    of_run = {} if run is None else {run.name: functools.partial(of_a_run, run)}
    return {
        **of_run,
        **long_tailed_problems(),
        "goemotions": natural_text,
        "caltech101": natural_images,
        "one-bad-class": one_bad_class,
        "clinc150-balanced": balanced_text,
    }


def judged(problem: Problem, strategy: str, val: str) -> tuple[dict[str, npt.NDArray[Any]], Row]:
    """Predictions on the test set and, where they did not decide, on the validation data."""
    start = time.perf_counter()
    held_out = problem.val if val == "given" else None
    result = rescue(problem.train, val=held_out, strategy=strategy, show=silent)
    # A single strategy is used whatever its verdict: that is what it is to be compared with.
    which: Any = result.verdict.use
    if strategy != "auto":
        which = "ensemble" if strategy == "ensemble" else "retrained"
    said = {f"{val}.{strategy}": result.predict(problem.test, which).top}
    if held_out is None:
        said[f"on_validation.{strategy}"] = result.predict(problem.val, which).top
    return said, about(result, time.perf_counter() - start)


def about(result: RescueResult, seconds: float) -> Row:
    old = result.candidates[0]
    (best,) = [each for each in result.candidates if each["name"] == result.best][:1]
    assert result.cost is not None
    return {
        "chosen": result.chosen,
        "best": result.best,
        "setting": best["setting"],
        "verdict": result.verdict.to_dict(),
        "decided": {"before": old["score"], "after": best["score"]},
        "cost": result.cost.to_dict(),
        "seconds": round(seconds, 1),
    }


def run_problem(
    problem: Problem, folder: Path, old: list[Row], strategies: list[str] | None
) -> list[Row]:
    """Rows of a problem; those of strategies that are not asked for stay as they are."""
    name = problem.name
    path = folder / f"strategies-{name}.npz"
    assert problem.train.head is not None
    said: dict[str, npt.NDArray[Any]] = {
        **(read_npz(path) if path.is_file() else {}),
        "labels": problem.test.labels,
        "on_validation.labels": problem.val.labels,
        "none": problem.test.head.logits(problem.test.views[0]).argmax(axis=1),  # type: ignore[union-attr]
    }
    rows = []
    counts = problem.train.class_counts.counts
    for val in ("given", "none"):
        for strategy in ("auto", *(SINGLE if val == "given" else WITHOUT)):
            if strategies is not None and strategy not in strategies:
                rows += [r for r in old if (r["validation"], r["strategy"]) == (val, strategy)]
                continue
            predicted, row = judged(problem, strategy, val)
            said |= predicted
            rows.append({"data": name, "validation": val, "strategy": strategy, **row})
            recall = per_class_recall(said["labels"], predicted[f"{val}.{strategy}"], len(counts))
            h = harmonic_mean(recall)
            print(f"{name:<24} {val:<6} {strategy:<17} {row['chosen']:<17} H {h:6.2%}", flush=True)
    write_npz(path, {key: value.astype(np.uint8) for key, value in said.items()})
    about_data = {
        "data": name,
        "classes": len(counts),
        "training": len(problem.train),
        "smallest": int(counts.min()),
        "largest": int(counts.max()),
        "validation": len(problem.val),
        "test": len(problem.test),
        "known": problem.known,
    }
    return [about_data, *rows]


def numbers(data: Row, rows: list[Row], said: dict[str, npt.NDArray[Any]], val: str) -> Row:
    """Test numbers of every strategy on one problem, and of auto against the best single one."""
    labels = said["labels"].astype(np.int64)
    classes = data["classes"]

    def recall(key: str) -> npt.NDArray[np.float64]:
        return per_class_recall(labels, said[key].astype(np.int64), classes)

    keys = {"none": "none"} | {
        row["strategy"]: f"{val}.{row['strategy']}" for row in rows if row["validation"] == val
    }
    tested = {
        name: {
            "harmonic_mean": harmonic_mean(recall(key)),
            "lowest_recall": float(np.nanmin(recall(key))),
            "balanced_accuracy": float(np.nanmean(recall(key))),
        }
        for name, key in keys.items()
    }
    best = max((n for n in tested if n != "auto"), key=lambda n: tested[n]["harmonic_mean"])
    predicted = [said[keys[name]].astype(np.int64) for name in ("auto", best)]
    drawn = drawn_objectives(labels, (predicted[0], predicted[1]), classes, ClassObjective())
    low, high = np.quantile(drawn[0], [0.025, 0.975])
    behind = np.quantile(drawn[1] - drawn[0], [0.025, 0.975])
    gap = tested[best]["harmonic_mean"] - tested["auto"]["harmonic_mean"]
    return {
        "data": data["data"],
        "validation": val,
        "best_single": best,
        "auto_interval": [float(low), float(high)],
        "behind": gap,
        "behind_interval": behind.tolist(),
        "within_its_interval": bool(gap <= (high - low) / 2),
        "tested": tested,
    }


def table(results: Row) -> str:
    lines = [
        "| data (classes; images of a class; known by heart) | validation | auto takes | auto H "
        "(95 %) | lowest | old H | best single | its H | auto behind, points (95 %) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    about = {row["data"]: row for row in results["data"]}
    chosen = {
        (row["data"], row["validation"]): row["chosen"]
        for row in results["rows"]
        if row["strategy"] == "auto"
    }
    for each in results["compared"]:
        data, tested = about[each["data"]], each["tested"]
        val = f"{data['validation']:,}" if each["validation"] == "given" else "none"
        low, high = each["auto_interval"]
        behind = each["behind_interval"]
        best = each["best_single"]
        lines.append(
            f"| {data['data']} ({data['classes']}; {data['smallest']}–{data['largest']}; "
            f"{data['known']:.0%}) | {val} | {chosen[each['data'], each['validation']]} | "
            f"{tested['auto']['harmonic_mean']:.1%} ({low:.1%}–{high:.1%}) | "
            f"{tested['auto']['lowest_recall']:.0%} | {tested['none']['harmonic_mean']:.1%} | "
            f"{best} | {tested[best]['harmonic_mean']:.1%} | {100 * each['behind']:.1f} "
            f"({100 * behind[0]:.1f} to {100 * behind[1]:.1f}) |"
        )
    given = [e for e in results["compared"] if e["validation"] == "given"]
    names = ["auto", "none", *SINGLE]
    lines += [
        "",
        "Test harmonic mean / lowest recall of every strategy, with validation data, in %:",
    ]
    lines += ["", "| strategy | " + " | ".join(e["data"] for e in given) + " |"]
    lines += ["|---|" + "---|" * len(given)]
    for name in names:
        cells = [
            f"{100 * e['tested'][name]['harmonic_mean']:.1f} / "
            f"{100 * e['tested'][name]['lowest_recall']:.0f}"
            for e in given
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *table_of_held_out(results)])


def table_of_held_out(results: Row) -> list[str]:
    """What strategies without validation data give on those data, which they did not see."""
    data = [name for name, found in results["held_out"].items() if "gml" in found]
    lines = [
        "Strategies that see training features only, on the validation data, which they do not "
        "see; harmonic mean of smoothed recall in %:",
        "",
        "| strategy | " + " | ".join(data) + " |",
        "|---|" + "---|" * len(data),
    ]
    for name in ("auto", *WITHOUT):
        cells = [f"{100 * results['held_out'][d][name]:.1f}" for d in data]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def on_held_out(data: Row, said: dict[str, npt.NDArray[Any]]) -> dict[str, float]:
    if "on_validation.labels" not in said:
        return {}
    labels = said["on_validation.labels"].astype(np.int64)
    return {
        name: score(
            labels,
            said[f"on_validation.{name}"].astype(np.int64),
            data["classes"],
            ClassObjective(),
        )
        for name in ("auto", *WITHOUT)
        if f"on_validation.{name}" in said
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run with features-{train,rest,test}.npz")
    parser.add_argument("--only", help="names of problems, with commas; or none")
    parser.add_argument("--strategies", help="names of strategies to run again, with commas")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--docs", type=Path, help="page whose table is written anew")
    options = parser.parse_args()
    path = options.results / "strategies.json"
    results = read_json(path) if path.is_file() else {"data": [], "rows": []}
    wanted = None if options.only is None else options.only.split(",")
    again = None if options.strategies is None else options.strategies.split(",")
    order = list(makers(options.run))
    for name, make in makers(options.run).items():
        if wanted is not None and name not in wanted:
            continue
        old = [row for row in results["rows"] if row["data"] == name]
        about_data, *rows = run_problem(make(), options.results, old, again)
        for key, new in (("data", [about_data]), ("rows", rows)):
            results[key] = [r for r in results[key] if r["data"] != about_data["data"]] + new
    results["data"].sort(key=lambda row: [*order, row["data"]].index(row["data"]))
    results["compared"] = [
        numbers(
            data,
            [row for row in results["rows"] if row["data"] == data["data"]],
            read_npz(options.results / f"strategies-{data['data']}.npz"),
            val,
        )
        for val in ("given", "none")
        for data in results["data"]
    ]
    results["held_out"] = {
        data["data"]: on_held_out(
            data, read_npz(options.results / f"strategies-{data['data']}.npz")
        )
        for data in results["data"]
    }
    write_json(path, results)
    if options.docs is not None:
        into_page(options.docs, "compare_strategies.py", table(results))
    for each in results["compared"]:
        verdict = "within" if each["within_its_interval"] else "BEHIND by more than"
        print(f"{each['data']:<24} validation {each['validation']:<6} {verdict} its interval")


if __name__ == "__main__":
    main()
