"""What rescue gives beside the usual remedies, on the same features of pretrained networks.

    EVERYCLASS_DATA=… python benchmarks/compare_remedies.py --features FOLDER
        [--only NAME,…] [--seeds 0,1,2] [--remedies NAME,…] [--docs docs/examples.md]

The features are those of `backbones.py`. Every remedy is fitted to the training part; whatever is
to be chosen for it (penalty, τ, strength of the weights) is chosen on the validation part, by the
harmonic mean of smoothed recall, as in rescue. The test part is predicted once by each. All softmax
regressions are fitted by one solver to the same standardised features; the objective is convex, so
another solver ends at the same place.

What each remedy predicted is kept in RESULTS/NAME.npz, and every number and the page's tables are
computed from that. What is there is not made again (but with --again); `--only none` only computes.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler

from backbones import NAMES, Parts, given_validation, load_parts
from everyclass.adjustment import ClassObjective, score
from everyclass.artifacts import Head, Predictions, read_json, read_npz, write_json, write_npz
from everyclass.metrics import compare, evaluate, log_probabilities
from everyclass.progress import silent
from everyclass.stages import RescueResult, rescue
from everyclass.stages.retraining.exact_solver import fit_exact
from everyclass.stages.retraining.standardised import standardise
from pages import into_page

PENALTIES = tuple(10.0 ** (-k / 2) for k in range(1, 12))
START = 4  # 0.003: in the middle; what is tried next goes where it gets better
TAUS = tuple(np.arange(0, 2.01, 0.1).tolist())
GOAL = ClassObjective("harmonic_mean")
REMEDIES = {
    "none": "the plain softmax head",
    "weights": "class weights 1 / n",
    "logit_adjustment": "logit adjustment, τ chosen",
    "oversampling": "RandomOverSampler",
    "smote": "SMOTE",
    "undersampling": "RandomUnderSampler",
    "tuned": "tuned logistic regression",
    "rescue": "everyclass.rescue",
    "rescue_anyway": "… whatever its verdict",
    "rescue_auto": '… strategy="auto"',
}
TITLES = {
    "rescue": "rescue",
    "rescue_anyway": "rescue, whatever its verdict,",
    "rescue_auto": 'rescue with `strategy="auto"`',
}
OURS = tuple(TITLES)
USUAL = ("weights", "logit_adjustment", "oversampling", "smote", "undersampling")
Array = npt.NDArray[Any]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Weighted:
    """Cross entropy with a weight per row, as an objective of the exact solver."""

    weights: torch.Tensor
    counts: torch.Tensor

    def value_and_gradient(
        self, logits: torch.Tensor, labels: torch.Tensor, whole: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.arange(len(labels))
        assert len(rows) == len(self.weights), "the solver cut the rows into blocks"
        torch.log_softmax(logits, dim=1, out=logits)
        value = -(self.weights * logits[rows, labels]).sum()
        residual = logits.exp_()
        residual[rows, labels] -= 1
        return value, residual.mul_(self.weights[:, None])


@dataclass(frozen=True, eq=False)
class Mixed:
    """Cross entropy of rows that are weighted means of the rows that are there.

    The logits of a mean of rows are the mean of their logits, so the products of the solver are
    those of the rows that are there, of which SMOTE makes several times as many.
    """

    means: scipy.sparse.csr_array
    labels: torch.Tensor
    counts: torch.Tensor

    def value_and_gradient(
        self, logits: torch.Tensor, labels: torch.Tensor, whole: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        mixed = torch.from_numpy(self.means @ logits.numpy())
        share = torch.full((len(mixed),), 1 / len(mixed))
        value, residual = Weighted(share, self.counts).value_and_gradient(mixed, self.labels, whole)
        return value, logits.copy_(torch.from_numpy(self.means.T @ residual.numpy()))


class SoftmaxRegression:
    """Softmax regressions on the same rows, a penalty each, fitted when asked for."""

    def __init__(
        self, x: Array, y: Array, weights: Array, classes: int, objective: Any = None
    ) -> None:
        self.data = standardise(x[None], y)
        share = torch.from_numpy((weights / weights.sum()).astype(np.float32))
        self.objective: Any = objective or Weighted(share, torch.ones(classes))
        self.fitted: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def head(self, index: int) -> Head:
        if index not in self.fitted:
            near = min(self.fitted, key=lambda i: abs(i - index), default=None)
            start = None if near is None else self.fitted[near]
            self.fitted[index] = fit_exact(
                self.data, self.objective, PENALTIES[index], start=start, tolerance=1e-3
            )
        return self.data.head(*self.fitted[index])

    def best(self, better: Callable[[Head], float], start: int = START) -> tuple[Head, Row]:
        """Under the penalty that does best, looked for on both sides of ``start``."""
        scores = {start: better(self.head(start))}
        while True:
            best = max(scores, key=lambda i: scores[i])
            sides = [i for i in (best + 1, best - 1) if 0 <= i < len(PENALTIES) and i not in scores]
            if not sides:
                setting = {"penalty": PENALTIES[best], "index": best, "score": scores[best]}
                return self.head(best), setting
            scores[sides[0]] = better(self.head(sides[0]))


def interpolations(sampler: Any, x: Array, y: Array) -> tuple[scipy.sparse.csr_array, Array]:
    """What SMOTE makes of these rows: the weights of its rows on them, and its labels.

    Columns that name a row within its class say afterwards what was mixed. They add the same to
    all distances within a class and next to nothing, so the neighbours are those without them.
    """
    place = np.empty(len(y), dtype=np.int64)
    starts = np.cumsum(np.bincount(y)) - np.bincount(y)
    order = np.argsort(y, kind="stable")
    place[order] = np.arange(len(y)) - starts[y[order]]
    name = np.zeros((len(y), int(place.max()) + 1), dtype=np.float32)
    name[np.arange(len(y)), place] = tiny = np.float32(1e-4)
    made, of_made = sampler.fit_resample(np.hstack([x, name]), y)
    weights = scipy.sparse.coo_array(made[:, x.shape[1] :] / tiny)
    columns = order[starts[of_made[weights.row]] + weights.col]
    shape = (len(of_made), len(y))
    means = scipy.sparse.csr_array((weights.data, (weights.row, columns)), shape=shape)
    assert np.allclose(means @ x, made[:, : x.shape[1]], atol=1e-3)
    return means, of_made


class Trial:
    """One split of one data set; a method per remedy gives test logits and what was chosen."""

    def __init__(self, parts: Parts, seed: int) -> None:
        self.train, self.val, self.test, self.seed = parts.train, parts.val, parts.test, seed
        self.x, self.y = parts.train.views[0].astype(np.float32), parts.train.labels
        self.classes = parts.train.num_classes
        self.counts = parts.train.class_counts.counts

    @functools.cached_property
    def plain(self) -> SoftmaxRegression:
        return SoftmaxRegression(self.x, self.y, np.ones(len(self.y)), self.classes)

    @functools.cached_property
    def weighted(self) -> SoftmaxRegression:
        return SoftmaxRegression(self.x, self.y, 1 / self.counts[self.y], self.classes)

    @functools.cached_property
    def old(self) -> tuple[Head, Row]:
        return self.plain.best(self.likelihood)

    def harmonic(self, logits: Array) -> float:
        return score(self.val.labels, logits.argmax(axis=1), self.classes, GOAL)

    def by_harmonic(self, head: Head) -> float:
        return self.harmonic(head.logits(self.val.views[0]))

    def likelihood(self, head: Head) -> float:
        p = log_probabilities(head.logits(self.val.views[0]), are_logits=True)
        return float(p[np.arange(len(self.val)), self.val.labels].mean())

    def tested(self, found: tuple[Head, Row], **more: Any) -> tuple[Array, Row]:
        return found[0].logits(self.test.views[0]), {**found[1], **more}

    def none(self) -> tuple[Array, Row]:
        return self.tested(self.old)

    def weights(self) -> tuple[Array, Row]:
        return self.tested(self.weighted.best(self.by_harmonic))

    def logit_adjustment(self) -> tuple[Array, Row]:
        log_prior = np.log(self.counts / self.counts.sum()).astype(np.float32)
        on_val, on_test = (self.old[0].logits(p.views[0]) for p in (self.val, self.test))
        scores = [self.harmonic(on_val - np.float32(tau) * log_prior) for tau in TAUS]
        tau = TAUS[int(np.argmax(scores))]
        return on_test - np.float32(tau) * log_prior, {"tau": tau, "score": max(scores)}

    def oversampling(self) -> tuple[Array, Row]:
        sampler = RandomOverSampler(random_state=self.seed)
        sampler.fit_resample(np.arange(len(self.y))[:, None], self.y)
        # A row drawn twice is a row of weight two: the same objective in a fraction of the time.
        drawn = np.bincount(sampler.sample_indices_, minlength=len(self.y))
        regression = SoftmaxRegression(self.x, self.y, drawn, self.classes)
        return self.tested(regression.best(self.by_harmonic))

    def smote(self) -> tuple[Array, Row]:
        neighbours = int(min(5, self.counts.min() - 1))
        sampler = SMOTE(k_neighbors=neighbours, random_state=self.seed)
        means, y = interpolations(sampler, self.x, self.y)
        mixed = Mixed(means, torch.from_numpy(y), torch.ones(self.classes))
        regression = SoftmaxRegression(self.x, self.y, self.y, self.classes, mixed)
        found = regression.best(self.by_harmonic)
        return self.tested(found, rows=len(y), neighbours=neighbours)

    def undersampling(self) -> tuple[Array, Row]:
        x, y = RandomUnderSampler(random_state=self.seed).fit_resample(self.x, self.y)
        regression = SoftmaxRegression(x, y, np.ones(len(y)), self.classes)
        return self.tested(regression.best(self.by_harmonic), rows=len(y))

    def tuned(self) -> tuple[Array, Row]:
        half = SoftmaxRegression(self.x, self.y, self.counts[self.y] ** -0.5, self.classes)
        by_power = {0.0: self.plain, 0.5: half, 1.0: self.weighted}
        found = {power: each.best(self.by_harmonic) for power, each in by_power.items()}
        power = max(found, key=lambda p: float(found[p][1]["score"]))
        return self.tested(found[power], power=power)

    @functools.cached_property
    def rescued(self) -> RescueResult:
        return self._rescue("gml")

    def rescue(self) -> tuple[Array, Row]:
        return self._of(self.rescued, self.rescued.verdict.use)

    def rescue_anyway(self) -> tuple[Array, Row]:
        """The better of retrained and ensemble on validation data, significant or not."""
        scores = {row["name"]: row["score"] for row in self.rescued.candidates}
        which = "ensemble" if scores["ensemble"] > scores["gml"] else "retrained"
        return self._of(self.rescued, which)

    def rescue_auto(self) -> tuple[Array, Row]:
        result = self._rescue("auto")
        return self._of(result, result.verdict.use)

    def _rescue(self, strategy: str) -> RescueResult:
        train = self.train.with_head(self.old[0])
        return rescue(train, val=self.val, strategy=strategy, seed=self.seed, show=silent)

    def _of(self, result: RescueResult, which: Any) -> tuple[Array, Row]:
        setting = {
            "use": which,
            "best": result.best,
            "verdict": str(result.verdict),
            "penalty": result.settings["retraining"]["penalty"],
            "scores": {row["name"]: row["score"] for row in result.candidates},
        }
        return result.classifier(which).logits(self.test.views[0]), setting


def run(trial: Trial, names: Sequence[str]) -> Iterator[tuple[str, Array, Row]]:
    """What each remedy predicts for the test part, and what was chosen for it."""
    for name in names:
        since = time.process_time()
        logits, setting = getattr(trial, name)()
        setting["cpu_seconds"] = round(time.process_time() - since, 1)
        yield name, logits.argmax(axis=1), setting


def about(name: str, parts: Parts) -> Row:
    counts = parts.train.class_counts.counts
    tested = np.bincount(parts.test.labels, minlength=len(counts))
    return {
        "data": name,
        "classes": len(counts),
        "training": len(parts.train),
        "smallest": int(counts.min()),
        "largest": int(counts.max()),
        "validation": len(parts.val),
        "test": len(parts.test),
        "fewest_tested": int(tested[tested > 0].min()),
    }


def numbers(data: Row, said: Mapping[str, Array]) -> Row:
    """Of each remedy on the test part, and of rescue less the remedy, image by image."""
    splits: dict[str, dict[int, Predictions]] = {remedy: {} for remedy in REMEDIES}
    names = tuple(map(str, range(data["classes"])))
    for key in said:
        seed, _, remedy = key.partition(".")
        if remedy in splits:
            predicted = said[key].astype(np.int64)
            labels = said["labels"].astype(np.int64)
            splits[remedy][int(seed)] = Predictions(labels, predicted=predicted, class_names=names)
    return {
        "data": data["data"],
        "splits": sorted(splits["none"]),
        "tested": {remedy: _tested(of_split) for remedy, of_split in splits.items() if of_split},
        **{f"{ours}_less": _gains(splits, ours) for ours in OURS},
    }


def _tested(of_split: Mapping[int, Predictions]) -> Row:
    judged = {split: evaluate(predictions) for split, predictions in sorted(of_split.items())}
    first = next(iter(judged.values()))
    assert first.intervals is not None
    return {
        "splits": len(judged),
        "by_split": [e.harmonic_mean for e in judged.values()],
        "interval": first.intervals["harmonic_mean"],
        "zeros": [e.zeros_replaced for e in judged.values()],
        **{
            key: float(np.mean([getattr(e, key) for e in judged.values()]))
            for key in ("harmonic_mean", "lowest_recall", "balanced_accuracy", "accuracy")
        },
    }


def _gains(splits: Mapping[str, Mapping[int, Predictions]], ours: str) -> Row:
    """Gain in harmonic mean of ours over each other remedy, on the splits that both have."""
    found: Row = {}
    for remedy, of_split in splits.items():
        both = sorted(set(of_split) & set(splits[ours]))
        if remedy in OURS or not both:
            continue
        gains = [compare(of_split[s], splits[ours][s]).numbers["harmonic_mean"] for s in both]
        found[remedy] = {
            "splits": len(both),
            "mean": float(np.mean([g["difference"] for g in gains])),
            "interval": list(gains[0]["interval"]),
            "certainly_better": sum(g["interval"][0] > 0 for g in gains),
            "certainly_worse": sum(g["interval"][1] < 0 for g in gains),
        }
    return found


def tables(results: Row) -> str:
    compared = results["compared"]
    about_data = {row["data"]: row for row in results["data"]}
    head = "| | " + " | ".join(each["data"] for each in compared) + " |"
    rule = "|---|" + "---|" * len(compared)
    lines = [
        "| data | classes | training samples a class | training / validation / test | splits |",
        "|---|---|---|---|---|",
    ]
    for each in compared:
        d = about_data[each["data"]]
        sizes = f"{d['training']:,} / {d['validation']:,} / {d['test']:,}"
        lines.append(
            f"| {d['data']} | {d['classes']} | {d['smallest']}–{d['largest']} | {sizes} | "
            f"{len(each['splits'])} |"
        )
    lines += [
        "",
        "Harmonic mean of test recall in %, mean over splits, with the 95 % interval of the first",
        "split; a star marks recalls below 0.001, which count as 0.001:",
        *("", head, rule),
    ]
    for remedy in _there(compared):
        cells = [_cell(each["tested"].get(remedy)) for each in compared]
        lines.append(f"| {REMEDIES[remedy]} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "The next tables subtract: gain in points of harmonic mean, mean over the splits that both",
        "have, and the paired 95 % interval of the first split. ▲ stands where an interval lies",
        "above zero, ▼ where it lies below, each with the number of such splits.",
    ]
    for ours in [r for r in OURS if r in _there(compared)]:
        lines += ["", f"Gain of {TITLES[ours]} over each:", "", head, rule]
        for remedy, title in REMEDIES.items():
            if remedy not in OURS:
                cells = [_gain(each[f"{ours}_less"].get(remedy)) for each in compared]
                lines.append(f"| {title} | " + " | ".join(cells) + " |")
    for key, title in (
        ("lowest_recall", "Lowest recall"),
        ("balanced_accuracy", "Mean recall"),
        ("accuracy", "Accuracy"),
    ):
        lines += ["", f"{title} in %, mean over splits:", "", head, rule]
        for remedy in _there(compared):
            cells = [
                f"{100 * each['tested'][remedy][key]:.1f}" if remedy in each["tested"] else "–"
                for each in compared
            ]
            lines.append(f"| {REMEDIES[remedy]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _there(compared: Sequence[Row]) -> list[str]:
    """The remedies that some data set has."""
    return [r for r in REMEDIES if any(r in each["tested"] for each in compared)]


def _cell(tested: Row | None) -> str:
    if tested is None:
        return "–"
    low, high = (100 * end for end in tested["interval"])
    star = "*" if any(tested["zeros"]) else ""
    return f"{100 * tested['harmonic_mean']:.1f}{star} ({low:.0f}–{high:.0f})"


def _gain(gain: Row | None) -> str:
    if gain is None:
        return "–"
    low, high = (100 * end for end in gain["interval"])
    marks = "".join(
        f" {sign}{gain[key]}"
        for sign, key in (("▲", "certainly_better"), ("▼", "certainly_worse"))
        if gain[key]
    )
    return f"{100 * gain['mean']:+.1f} ({low:+.1f} to {high:+.1f}){marks}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=Path, help="folder of cached features")
    parser.add_argument("--only", help="names of data sets, with commas; or none")
    parser.add_argument("--seeds", default="0,1,2", help="of the held-out parts, with commas")
    parser.add_argument("--remedies", help="names of remedies, with commas")
    parser.add_argument("--again", action="store_true", help="make again what is there already")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/remedies"))
    parser.add_argument("--docs", type=Path, help="page whose tables are written anew")
    options = parser.parse_args()
    path = options.results / "remedies.json"
    results = read_json(path) if path.is_file() else {"data": [], "rows": []}
    wanted = NAMES if options.only is None else options.only.split(",")
    remedies = list(REMEDIES) if options.remedies is None else options.remedies.split(",")
    for name in [n for n in NAMES if n in wanted]:
        arrays_path = options.results / f"{name}.npz"
        said: dict[str, Array] = read_npz(arrays_path) if arrays_path.is_file() else {}
        for seed in [0] if given_validation(name) else map(int, options.seeds.split(",")):
            parts = load_parts(name, options.features, seed)
            missing = [r for r in remedies if options.again or f"{seed}.{r}" not in said]
            said["labels"] = parts.test.labels
            for remedy, predicted, setting in run(Trial(parts, seed), missing):
                key = {"data": name, "seed": seed, "remedy": remedy}
                print(key, setting, flush=True)
                said[f"{seed}.{remedy}"] = predicted
                rows = [r for r in results["rows"] if not key.items() <= r.items()]
                results["rows"] = [*rows, {**key, **setting}]
                write_npz(arrays_path, {k: v.astype(np.uint8) for k, v in said.items()})
                write_json(path, results)
            others = [r for r in results["data"] if r["data"] != name]
            results["data"] = [*others, about(name, parts)]
            write_json(path, results)
    results["data"].sort(key=lambda row: NAMES.index(row["data"]))
    results["compared"] = [
        numbers(data, read_npz(options.results / f"{data['data']}.npz")) for data in results["data"]
    ]
    write_json(path, results)
    if options.docs is not None:
        into_page(options.docs, "compare_remedies.py", tables(results))
    for each in results["compared"]:
        if "rescue" not in each["tested"]:
            continue
        ours = each["tested"]["rescue"]["harmonic_mean"]
        over = each["rescue_less"]
        beaten = [r for r in USUAL if r in over and over[r]["mean"] > 0]
        print(f"{each['data']:<20} rescue {ours:.1%} is above {', '.join(beaten) or 'none'}")


if __name__ == "__main__":
    main()
