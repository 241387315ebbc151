"""`everyclass evaluate` on predictions that anybody may have made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from scipy.special import softmax

from everyclass import Evaluation, Predictions, evaluate
from everyclass.artifacts import json_text

Command = Callable[..., Any]
LABELS = np.repeat([0, 1, 2], [8, 5, 3])
LOGITS = np.random.default_rng(0).normal(size=(16, 3)) + 2 * np.eye(3)[LABELS]
PROBS = softmax(LOGITS, axis=1)
PREDICTED = LOGITS.argmax(axis=1)
NAMES = ("cat", "dog", "lynx")


def numbered(prefix: str, scores: np.ndarray) -> dict[str, Any]:
    return {"labels": LABELS, **{f"{prefix}_{c}": scores[:, c] for c in range(3)}}


def named(scores: np.ndarray) -> dict[str, Any]:
    labels = [NAMES[c] for c in LABELS]
    return {"labels": labels, "ids": np.arange(16), **dict(zip(NAMES, scores.T, strict=True))}


def write(path: Path, columns: dict[str, Any]) -> Path:
    table = pa.table(columns)
    if path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    else:
        pa.parquet.write_table(table, path)
    return path


FORMS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "npz logits": (lambda f: save(f / "p.npz", logits=LOGITS), ()),
    "npz probs": (lambda f: save(f / "p.npz", probs=PROBS), ()),
    "csv logits": (lambda f: write(f / "p.csv", numbered("logit", LOGITS)), ()),
    "csv probs": (lambda f: write(f / "p.csv", numbered("prob", PROBS)), ()),
    "csv names": (lambda f: write(f / "p.csv", named(LOGITS)), ("--scores", "logits")),
    "parquet probs": (lambda f: write(f / "p.parquet", numbered("prob", PROBS)), ()),
    "parquet names": (lambda f: write(f / "p.parquet", named(PROBS)), ("--scores", "probs")),
}


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **{"labels": LABELS, **arrays})
    return path


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def read_json(text: str) -> Any:
    return json.loads(text, parse_constant=refuse_constant)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_numbers(form: str, everyclass: Command, tmp_path: Path) -> None:
    make, options = FORMS[form]
    done = everyclass("evaluate", make(tmp_path), *options, "--json")
    assert done.code == 0, done.err
    assert done.err == ""
    said = read_json(done.out)
    expected = evaluate(labels=LABELS, logits=LOGITS)
    assert said["per_class_recall"] == expected.per_class_recall.tolist()
    for name in ("accuracy", "harmonic_mean", "negative_log_likelihood", "calibration_error"):
        assert said[name] == pytest.approx(getattr(expected, name), rel=1e-9)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predicted_classes_in_columns_of_other_names(
    ending: str, everyclass: Command, tmp_path: Path
) -> None:
    path = write(
        tmp_path / f"p.{ending}", {"truth": LABELS, "said": PREDICTED, "junk": PROBS[:, 0]}
    )
    options = ("--labels-column", "truth", "--predicted-column", "said")
    done = everyclass("evaluate", path, *options, "--json")
    assert done.code == 0, done.err
    said = read_json(done.out)
    assert said["accuracy"] == (LABELS == PREDICTED).mean()
    assert said["negative_log_likelihood"] is None


def test_the_table_begins_with_the_worst(everyclass: Command, tmp_path: Path) -> None:
    predicted = np.where(LABELS == 2, 0, LABELS)
    np.savez(tmp_path / "p.npz", labels=LABELS, predicted=predicted, class_names=np.array(NAMES))
    done = everyclass("evaluate", tmp_path / "p.npz")
    assert done.code == 0, done.err
    assert "never predicted    1: lynx" in done.out
    rows = done.out[done.out.index("class ") :].splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["lynx", "cat", "dog"]


def test_twenty_classes_unless_all_are_asked_for(everyclass: Command, tmp_path: Path) -> None:
    labels = np.arange(50).repeat(2)
    np.savez(tmp_path / "p.npz", labels=labels, predicted=labels)
    short = everyclass("evaluate", tmp_path / "p.npz").out
    assert "and 30 classes with higher recall" in short
    whole = everyclass("evaluate", tmp_path / "p.npz", "--all").out
    assert len(whole.splitlines()) == len(short.splitlines()) + 29


def test_counts_give_groups(everyclass: Command, tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text("class,count\ndog,50\ncat,500\nlynx,5\n")
    np.savez(tmp_path / "p.npz", labels=LABELS, predicted=PREDICTED, class_names=np.array(NAMES))
    done = everyclass("evaluate", tmp_path / "p.npz", "--counts", tmp_path / "counts.csv", "--json")
    assert done.code == 0, done.err
    said = read_json(done.out)
    assert said["class_counts"] == [500, 50, 5]
    recall = said["per_class_recall"]
    assert said["groups"]["paper"] == {"many": recall[0], "medium": recall[1], "few": recall[2]}


def test_classes_without_images_are_listed_and_not_scored(
    everyclass: Command, tmp_path: Path
) -> None:
    np.savez(tmp_path / "p.npz", labels=[0, 0, 2], logits=[[2, 0, 0], [0, 2, 0], [0, 0, 2]])
    said = read_json(everyclass("evaluate", tmp_path / "p.npz", "--json").out)
    assert said["per_class_recall"] == [0.5, None, 1.0]
    assert said["untestable"] == [1]
    assert said["num_scored"] == 2
    assert said["balanced_accuracy"] == 0.75


def test_the_zero_floor_is_named(everyclass: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", labels=[0, 1], predicted=[0, 0])
    path = tmp_path / "p.npz"
    said = read_json(everyclass("evaluate", path, "--zero-floor", "0.01", "--json").out)
    assert said["geometric_mean"] == pytest.approx(0.1)
    assert said["lowest_recall"] == 0.0
    assert "1 recall below 0.001 counted as 0.001" in everyclass("evaluate", path).out


# --- bad input ------------------------------------------------------------------------------------


def counts_file(path: Path, text: str) -> tuple[str, Path]:
    (path / "counts.csv").write_text(text)
    return "--counts", path / "counts.csv"


def predicted_file(path: Path, **arrays: Any) -> Path:
    return save(path / "p.npz", **{"predicted": PREDICTED, **arrays})


Make = Callable[[Path], tuple[Any, ...]]
BAD: dict[str, tuple[Make, tuple[str, ...]]] = {
    "probabilities as logits": (
        lambda f: (save(f / "p.npz", logits=PROBS),),
        ("p.npz", "sums to one", "pass them as probs"),
    ),
    "logits as probabilities": (
        lambda f: (save(f / "p.npz", probs=LOGITS),),
        ("p.npz", "outside 0..1", "pass them as logits"),
    ),
    "positive logits as probabilities": (
        lambda f: (save(f / "p.npz", probs=np.abs(LOGITS) / 10),),
        ("p.npz", "sums to", "must sum to 1"),
    ),
    "probabilities as logits in a table": (
        lambda f: (write(f / "p.csv", named(PROBS)), "--scores", "logits"),
        ("p.csv", "pass them as probs"),
    ),
    "logits as probabilities in a table": (
        lambda f: (write(f / "p.parquet", named(LOGITS)), "--scores", "probs"),
        ("p.parquet", "pass them as logits"),
    ),
    "labels outside": (
        lambda f: (save(f / "p.npz", logits=LOGITS, labels=LABELS + 1),),
        ("labels[13] is 3, outside 0..2 (at least 3 such)",),
    ),
    "negative labels": (
        lambda f: (predicted_file(f, labels=LABELS - 1),),
        ("labels[0] is -1",),
    ),
    "float labels": (
        lambda f: (predicted_file(f, labels=LABELS / 2),),
        ("labels must be integers",),
    ),
    "float predictions": (
        lambda f: (predicted_file(f, predicted=PREDICTED / 2),),
        ("predicted must be integers",),
    ),
    "NaN": (
        lambda f: (save(f / "p.npz", logits=np.where(LOGITS[4, 1] == LOGITS, np.nan, LOGITS)),),
        ("logits[4, 1] is nan",),
    ),
    "nothing": (
        lambda f: (predicted_file(f, labels=np.empty(0, int), predicted=np.empty(0, int)),),
        ("empty",),
    ),
    "lengths": (
        lambda f: (save(f / "p.npz", logits=LOGITS[:-1]),),
        ("labels has 16 entries where 15 are needed",),
    ),
    "one class": (
        lambda f: (predicted_file(f, labels=np.zeros(16, int), predicted=np.zeros(16, int)),),
        ("one class only",),
    ),
    "nothing predicted": (
        lambda f: (save(f / "p.npz"),),
        ("none of the arrays logits, probs, predicted",),
    ),
    "no labels": (
        lambda f: (write(f / "p.csv", {"y": LABELS, "predicted": PREDICTED}),),
        ("no column 'labels'", "it has y, predicted", "--labels-column"),
    ),
    "no scores": (
        lambda f: (write(f / "p.csv", named(LOGITS)),),
        ("--predicted-column", "logits or probs, with scores (--scores)"),
    ),
    "a score column is missing": (
        lambda f: (write(f / "p.csv", {"labels": LABELS, "logit_0": LABELS, "logit_2": LABELS}),),
        ("no column 'logit_1'",),
    ),
    "an empty cell": (
        lambda f: ((f / "p.csv").write_text("labels,predicted\n0,1\n,0\n") and f / "p.csv",),
        ("'labels' is empty in row 1",),
    ),
    "text for csv": (lambda f: ((f / "p.csv").write_text("") or f / "p.csv",), ("p.csv",)),
    "no parquet": (
        lambda f: ((f / "p.parquet").write_text("labels\n0") and f / "p.parquet",),
        ("not a readable parquet file",),
    ),
    "no npz": (
        lambda f: ((f / "p.npz").write_text("labels\n0") and f / "p.npz",),
        ("not a readable .npz file",),
    ),
    "pickles": (
        lambda f: (predicted_file(f, ids=np.array([{}] * 16, dtype=object)),),
        ("pickled Python objects",),
    ),
    "no file": (lambda f: (f / "nothing.csv",), ("no predictions file at", "nothing.csv")),
    "a folder": (lambda f: (f,), ("is a folder",)),
    "counts too short": (
        lambda f: (save(f / "p.npz", logits=LOGITS), *counts_file(f, "class,count\n0,5\n1,5\n")),
        ("class_counts has 2 entries and there are 3 classes",),
    ),
    "counts negative": (
        lambda f: (predicted_file(f), *counts_file(f, "class,count\n0,5\n1,-5\n2,3\n")),
        ("counts.csv", "-5", "negative"),
    ),
    "counts of other classes": (
        lambda f: (
            predicted_file(f, class_names=np.array(NAMES)),
            *counts_file(f, "class,count\ncat,5\ndog,5\nfox,3\n"),
        ),
        ("counts.csv", "missing ['lynx']", "unknown ['fox']"),
    ),
    "counts that are none": (
        lambda f: (predicted_file(f), *counts_file(f, "class,count\n0,many\n")),
        ("counts.csv", "class,count"),
    ),
    "a floor of zero": (
        lambda f: (predicted_file(f), "--zero-floor", "0"),
        ("zero_floor must lie between 0 and 1",),
    ),
    "unknown scores": (
        lambda f: (predicted_file(f), "--scores", "percent"),
        ("scores (--scores) must be logits or probs; got 'percent'",),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(case: str, everyclass: Command, tmp_path: Path) -> None:
    make, words = BAD[case]
    arguments = make(tmp_path)
    everyclass("evaluate", *arguments).refused(*words)
    everyclass("evaluate", *arguments, "--json").refused(*words)


def test_what_is_saved_can_be_evaluated(everyclass: Command, tmp_path: Path) -> None:
    Predictions(LABELS, logits=LOGITS, class_names=NAMES).save(tmp_path / "p.npz")
    assert "lynx" in everyclass("evaluate", tmp_path / "p.npz").out


def test_all_numbers_in_a_file(everyclass: Command, tmp_path: Path) -> None:
    path, out = save(tmp_path / "p.npz", logits=LOGITS), tmp_path / "e.json"
    done = everyclass("evaluate", path, "--out", out, "--confidence", 0.8)
    assert done.code == 0, done.err
    found = Evaluation.load(out)
    wanted = evaluate(Predictions.load(path), confidence=0.8)
    assert found.to_dict()["intervals"] == json.loads(json_text(wanted.intervals or {}))
    assert everyclass("report", out, "--out", tmp_path / "r.html").code == 0
    assert everyclass("evaluate", path, "--out", out).code == 0  # it may be made again
    out.write_text("{}")
    everyclass("evaluate", path, "--out", out).refused("is no evaluation")
    everyclass("evaluate", path, "--out", tmp_path / "e.csv").refused("has to end in .json")
    everyclass("evaluate", path, "--confidence", 2).refused("confidence")
