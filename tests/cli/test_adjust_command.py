"""`everyclass adjust` on predictions that anybody may have made, and `rescue --strategy`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass import Adjustment, ClassCounts, Head, Predictions, adjust, evaluate
from everyclass.cli.named_weights import named_weights
from everyclass.errors import InputError

Command = Callable[..., Any]
COUNTS = [200, 60, 20, 6]
NAMES = ("cat", "dog", "fox", "lynx")


def predictions(sizes: list[int], seed: int, **options: Any) -> Predictions:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(4), sizes))
    means = 1.5 * np.random.default_rng(1).normal(size=(4, 5))
    x = means[labels] + generator.normal(size=(len(labels), 5))
    logits = x @ means.T - 0.5 * (means**2).sum(axis=1) + np.log(np.array(COUNTS) / sum(COUNTS))
    return Predictions(labels, 2 * logits, class_names=NAMES, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    predictions([40] * 4, seed=1).save(tmp_path / "val.npz")
    predictions([80] * 4, seed=2).save(tmp_path / "test.npz")
    ClassCounts(COUNTS, NAMES).save(tmp_path / "counts.csv")
    return tmp_path


def ask(everyclass: Command, folder: Path, *more: Any) -> Any:
    return everyclass(
        "adjust", folder / "val.npz", folder / "test.npz", "--out", folder / "out.npz", "-q", *more
    )


def listing(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_whole_job(everyclass: Command, folder: Path) -> None:
    done = ask(everyclass, folder, "--counts", folder / "counts.csv")
    assert done.code == 0, done.err
    assert done.err == ""
    assert "harmonic mean " in done.out
    assert "Tried, by harmonic mean: none " in done.out
    assert f"Next: everyclass evaluate {folder / 'out.npz'}" in done.out
    found = Adjustment.load(folder / "out.adjustment.json")
    adjusted = Predictions.load(folder / "out.npz")
    before = Predictions.load(folder / "test.npz")
    assert before.logits is not None
    np.testing.assert_array_equal(adjusted.logits, found.apply(before.logits))
    assert adjusted.class_names == NAMES
    assert evaluate(adjusted).harmonic_mean > evaluate(before).harmonic_mean + 0.02
    # The same from Python gives the same.
    same = adjust(Predictions.load(folder / "val.npz"), class_counts=COUNTS)
    assert np.array_equal(same.bias, found.bias)
    assert same.method == found.method


def test_as_json(everyclass: Command, folder: Path) -> None:
    done = ask(everyclass, folder, "--method", "bias", "--json")
    said = json.loads(done.out)
    assert said["objective"] == "harmonic_mean"
    assert said["samples"] == 160
    assert said["out"] == str(folder / "out.npz")
    assert 0 <= said["certain"] <= 1


def test_what_to_do_next_can_be_pasted(everyclass: Command, folder: Path) -> None:
    done = everyclass(
        "adjust", folder / "val.npz", folder / "test.npz", "--out", folder / "my out.npz"
    )
    assert f"Next: everyclass evaluate '{folder / 'my out.npz'}'" in done.out


def test_the_adjustment_may_be_put_elsewhere(everyclass: Command, folder: Path) -> None:
    done = ask(everyclass, folder, "--method", "bias", "--adjustment", folder / "a.npz")
    assert done.code == 0
    assert Adjustment.load(folder / "a.npz").method == "bias"
    assert "out.adjustment.json" not in listing(folder)


def test_what_a_class_is_worth(everyclass: Command, folder: Path) -> None:
    plain = json.loads(ask(everyclass, folder, "--method", "bias", "--json").out)
    assert plain["objective"] == "harmonic_mean"
    done = ask(everyclass, folder, "--method", "bias", "--weight", "lynx=50", "--overwrite")
    assert done.out.startswith("bias: weighted mean ")
    recall = evaluate(Predictions.load(folder / "out.npz")).per_class_recall
    assert recall[3] > 0.9
    other = ask(
        everyclass, folder, "--method", "bias", "--objective", "lowest_recall", "--overwrite"
    )
    assert other.out.startswith("bias: lowest recall ")


@pytest.mark.parametrize("prior", [None, "uniform", "file", "estimated"])
def test_probabilities_for_a_prior(everyclass: Command, folder: Path, prior: str | None) -> None:
    ClassCounts([1, 1, 1, 7], NAMES).save(folder / "there.csv")
    said = {None: (), "file": ("--prior", folder / "there.csv")}.get(prior, ("--prior", prior))
    predictions([20, 20, 20, 140], seed=3).save(folder / "test.npz")
    done = ask(everyclass, folder, "--method", "prior", "--counts", folder / "counts.csv", *said)
    assert done.code == 0, done.err
    assert done.out.startswith("Calibrated probabilities under ")
    after = evaluate(Predictions.load(folder / "out.npz"))
    before = evaluate(Predictions.load(folder / "test.npz"))
    assert after.negative_log_likelihood < before.negative_log_likelihood
    if prior not in (None, "uniform"):
        uniform = adjust(
            Predictions.load(folder / "val.npz"), class_counts=COUNTS, method="prior"
        ).adjust(Predictions.load(folder / "test.npz"))
        assert after.negative_log_likelihood < evaluate(uniform).negative_log_likelihood


def test_a_head_for_tau_norm(everyclass: Command, folder: Path) -> None:
    Head(np.random.default_rng(0).normal(size=(4, 5)), np.zeros(4)).save(folder / "head.npz")
    done = ask(everyclass, folder, "--method", "tau_norm", "--head", folder / "head.npz")
    assert done.out.startswith("tau_norm: ")


def test_weights_by_name() -> None:
    assert named_weights(["lynx=5", "a=b=2"], ("lynx", "cat", "a=b"), 3).tolist() == [5, 1, 2]
    assert named_weights(["1=0.5"], None, 3).tolist() == [1, 0.5, 1]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("lnyx=5", "'lnyx=5' is for no class; did you mean 'lynx'"),
        ("7=5", "'7=5' is for no class"),
        ("lynx", "'lynx' is for no class"),
        ("lynx=much", "'lynx=much' has no number"),
    ],
)
def test_weights_of_no_class(said: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        named_weights([said], ("lynx", "cat"), 2)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--method", "biases"], ["method must be one of", "did you mean 'bias'"]),
        (["--method", "additive"], ["additive needs the training samples", "--counts"]),
        (["--method", "tau_norm"], ["tau_norm needs the last layer", "--head"]),
        (["--objective", "f1"], ["objective must be one of harmonic_mean"]),
        (["--objective", "weighted_mean"], ["class_weights (--weight) go with"]),
        (["--weight", "lnyx=5"], ["'lnyx=5' is for no class", "'lynx'"]),
        (["--weight", "lynx=-5"], ["must not be negative"]),
        (["--objective", "worst_mean", "--worst-percent", "0"], ["worst_percent"]),
        (["--folds", "1"], ["folds must be 2 or more"]),
        (["--min-samples", "0"], ["min_samples must be 1 or more"]),
        (["--prior", "estimated"], ["prior goes with the method 'prior'"]),
        (["--method", "prior", "--prior", "none.csv"], ["none.csv"]),
        (["--counts", "none.csv"], ["none.csv"]),
    ],
)
def test_refused(everyclass: Command, folder: Path, more: list[str], words: list[str]) -> None:
    before = listing(folder)
    ask(everyclass, folder, *more).refused(*words)
    assert listing(folder) == before


def test_files_that_are_of_no_use(everyclass: Command, folder: Path) -> None:
    before = listing(folder)
    val = Predictions.load(folder / "val.npz")
    assert val.logits is not None
    probs = np.exp(val.logits)
    probs /= probs.sum(axis=1, keepdims=True)

    def refused(*words: str, **arrays: Any) -> None:
        np.savez(folder / "val.npz", **arrays)
        ask(everyclass, folder).refused(*words)

    refused("these are probabilities; give", labels=val.labels, probs=probs)
    refused("these are predicted classes", labels=val.labels, predicted=val.labels)
    refused("pass them as probs", "val.npz", labels=val.labels, logits=probs)
    refused("outside 0..3", labels=val.labels + 1, logits=val.logits)
    refused("are of class 2", labels=np.full(160, 2), logits=val.logits)
    refused("The logits have 4 classes and the adjustment has 3",
            labels=val.labels % 3, logits=val.logits[:, :3])  # fmt: skip
    names = np.array(["cat", "fox", "dog", "lynx"])
    refused("Class 1 is 'dog'", labels=val.labels, logits=val.logits, class_names=names)
    ClassCounts([1, 2, 3]).save(folder / "counts.csv")
    val.save(folder / "val.npz")
    ask(everyclass, folder, "--counts", folder / "counts.csv").refused("counts.csv")
    assert listing(folder) == before


def test_nothing_that_is_read_or_was_written_is_replaced(everyclass: Command, folder: Path) -> None:
    content = (folder / "test.npz").read_bytes()
    for more in ([], ["--overwrite"]):
        everyclass(
            "adjust", folder / "val.npz", folder / "test.npz", "--out", folder / "test.npz", *more
        ).refused("test.npz is read and would be replaced")
    assert (folder / "test.npz").read_bytes() == content
    ask(everyclass, folder, "--adjustment", folder / "out.npz").refused("would be written twice")
    assert ask(everyclass, folder, "--method", "bias").code == 0
    ask(everyclass, folder, "--method", "bias").refused("out.npz is there already", "--overwrite")
    assert ask(everyclass, folder, "--method", "bias", "--overwrite").code == 0


@pytest.mark.parametrize("option", ["--out", "--adjustment"])
def test_both_files_are_written_or_none(everyclass: Command, folder: Path, option: str) -> None:
    (folder / "file").write_text("not a folder")
    before = listing(folder)
    ask(everyclass, folder, option, folder / "file" / "x.npz").refused(
        "file is a file, not a folder"
    )
    assert listing(folder) == before
    (folder / "x.npz").mkdir()
    ask(everyclass, folder, "--overwrite", option, folder / "x.npz").refused("x.npz is a folder; n")
    assert listing(folder) == before | {"x.npz"}
    # A folder that is not there is made.
    new = folder / "new" / "er" / "x.npz"
    assert ask(everyclass, folder, "--method", "bias", option, new).code == 0
    assert new.is_file()


def test_the_file_has_to_be_an_npz(everyclass: Command, folder: Path) -> None:
    done = everyclass(
        "adjust", folder / "val.npz", folder / "test.npz", "--out", folder / "out.csv", "-q"
    )
    done.refused("out.csv", ".npz")


# --- rescue --strategy ----------------------------------------------------------------------------


def test_rescue_by_a_strategy(everyclass: Command, files: Path) -> None:
    done = everyclass(
        "rescue", files / "train.npz", "--head", files / "head.npz", "--val", files / "val.npz",
        "--test", files / "test.npz", "--out", files / "out", "--strategy", "auto",
        "--penalty", "0.01", "-q",
    )  # fmt: skip
    assert done.code == 0, done.err
    said = json.loads((files / "out" / "evaluation.json").read_text())
    assert said["strategy"]["asked"] == "auto"
    names = [each["name"] for each in said["candidates"]]
    assert names[0] == "none"
    assert {"bias", "class_weighted", "balanced_softmax", "gml", "ensemble"} <= set(names)
    for name in names:
        assert f"\n{name} " in done.out
    assert "accuracy" in done.out
    assert "calibration error" in done.out


def test_strategies_that_are_refused(everyclass: Command, files: Path) -> None:
    def rescue(*more: str) -> Any:
        return everyclass("rescue", files / "train.npz", "--out", files / "out", "-q", *more)

    rescue("--strategy", "atuo").refused("strategy must be one of gml, auto", "did you mean 'auto'")
    rescue("--strategy", "auto", "--objective", "cross_entropy").refused("leave one out")
    assert not (files / "out" / "evaluation.json").exists()
