"""Whatever is saved is read back as it was, in every format that an artifact has."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from everyclass.artifacts import (
    Adjustment,
    ClassCounts,
    Evaluation,
    Features,
    Head,
    Predictions,
    save_safetensors,
)
from everyclass.errors import InputError
from everyclass.metrics import evaluate

# NumPy's fixed-width strings lose trailing NUL characters, and UTF-8 has no lone surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
SAFE_FLOATS = {"allow_nan": False, "allow_infinity": False}


def assert_same(got: Any, wanted: Any, what: str = "value") -> None:
    """Equal to the last bit, type and dtype included."""
    assert type(got) is type(wanted), what
    if is_dataclass(wanted):
        for field in fields(wanted):
            assert_same(getattr(got, field.name), getattr(wanted, field.name), field.name)
    elif isinstance(wanted, np.ndarray):
        assert got.dtype == wanted.dtype, what
        np.testing.assert_array_equal(got, wanted, err_msg=what, strict=True)
    else:
        assert got == wanted, what


def names_of(count: int, text: st.SearchStrategy[str] = TEXT) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(text, min_size=count, max_size=count, unique=True).map(tuple)


@st.composite
def heads(draw: st.DrawFn, width: int | None = None) -> Head:
    classes = draw(st.integers(1, 5))
    width = width or draw(st.integers(1, 4))
    numbers = st.floats(width=32, **SAFE_FLOATS)
    kind = draw(st.sampled_from(["linear", "cosine"]))
    scale = 1.0 if kind == "linear" else draw(st.floats(1e-3, 1e3))
    return Head(
        draw(arrays(np.float32, (classes, width), elements=numbers)),
        draw(arrays(np.float32, classes, elements=numbers)),
        kind,
        scale,
    )


@st.composite
def ids_for(draw: st.DrawFn, count: int) -> np.ndarray | None:
    kind = draw(st.sampled_from(["none", "int", "text"]))
    if kind == "none":
        return None
    if kind == "int":
        numbers = st.integers(-(2**63), 2**63 - 1)
        return draw(arrays(np.int64, count, elements=numbers, unique=True))
    return np.array(draw(st.lists(TEXT, min_size=count, max_size=count, unique=True)))


@st.composite
def feature_sets(draw: st.DrawFn) -> Features:
    count, width = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    views = draw(st.sampled_from([(), (1,), (3,)]))
    bits = draw(st.sampled_from([16, 32]))
    values = draw(
        arrays(
            f"f{bits // 8}",
            (*views, count, width),
            elements=st.floats(width=bits, **SAFE_FLOATS),
        )
    )
    head = draw(st.none() | heads(width))
    classes = head.num_classes if head else draw(st.integers(1, 5))
    labels = draw(arrays(np.int64, count, elements=st.integers(0, classes - 1)))
    named = draw(st.booleans())
    names = draw(names_of(classes)) if named else None
    return Features(values, labels, head, names, draw(ids_for(count)))


@given(feature_sets())
def test_features_in_an_npz(tmp_path: Path, features: Features) -> None:
    path = tmp_path / "features.npz"
    features.save(path)
    assert_same(Features.load(path), features)


@given(heads(), st.sampled_from(["head.npz", "head.safetensors", "H.SAFETENSORS", "H.NPZ"]))
def test_heads_in_both_formats(tmp_path: Path, head: Head, name: str) -> None:
    head.save(tmp_path / name)
    assert_same(Head.load(tmp_path / name), head)


@pytest.mark.parametrize("name", ["x.csv", "x.safetensors", "x.pt", "x.npz.gz", "x"])
def test_what_would_not_be_read_back_is_not_written(tmp_path: Path, name: str) -> None:
    head = Head(np.eye(2), np.zeros(2))
    of_npz: list[Any] = [Features(np.eye(2), [0, 1]), Predictions([0, 1], predicted=[0, 1])]
    for artifact in of_npz if name.endswith("safetensors") else [*of_npz, head]:
        with pytest.raises(InputError, match=rf"{re.escape(name)} has to end in .*\.npz, which"):
            artifact.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    for artifact in (*of_npz, head):
        artifact.save(tmp_path / "X.NPZ")
        type(artifact).load(tmp_path / "X.NPZ")


@st.composite
def adjustments(draw: st.DrawFn) -> Adjustment:
    classes = draw(st.integers(1, 5))
    values = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-1, 1), TEXT)
    return Adjustment(
        draw(arrays(np.float64, classes, elements=st.floats(1e-3, 1e3))),
        draw(arrays(np.float64, classes, elements=st.floats(-1e3, 1e3))),
        draw(st.sampled_from(["bias", "by hand", "τ"])),
        draw(st.dictionaries(TEXT, st.one_of(values, st.lists(values, max_size=3)), max_size=3)),
        draw(st.one_of(st.none(), names_of(classes))),
    )


@given(adjustments(), st.sampled_from(["a.json", "a.npz"]))
def test_adjustments_in_both_formats(tmp_path: Path, adjustment: Adjustment, name: str) -> None:
    adjustment.save(tmp_path / name)
    assert_same(Adjustment.load(tmp_path / name), adjustment)


def test_a_head_without_a_bias_gets_zeros(tmp_path: Path) -> None:
    np.savez(tmp_path / "head.npz", weight=np.ones((3, 2)))
    head = Head.load(tmp_path / "head.npz")
    assert (head.kind, head.scale, head.bias.tolist()) == ("linear", 1.0, [0.0, 0.0, 0.0])


@st.composite
def score_arrays(draw: st.DrawFn, kind: str, count: int, classes: int, dtype: str) -> np.ndarray:
    if kind == "logits":
        bits = np.dtype(dtype).itemsize * 8
        elements = st.floats(-64, 64, width=bits, **SAFE_FLOATS)
        logits = draw(arrays(dtype, (count, classes), elements=elements))
        logits[0, 0] = 7  # no probability
        return logits
    parts = draw(arrays(np.int64, (count, classes), elements=st.integers(0, 50)))
    parts[:, draw(st.integers(0, classes - 1))] += 1
    return (parts / parts.sum(axis=1, keepdims=True)).astype(dtype)


@st.composite
def prediction_sets(draw: st.DrawFn) -> Predictions:
    count, classes = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    label = st.integers(0, classes - 1)
    labels = draw(arrays(np.int64, count, elements=label))
    kind = draw(st.sampled_from(["logits", "probs", "predicted"]))
    if kind == "predicted":
        said = draw(arrays(np.int64, count, elements=label))
    else:
        dtype = draw(st.sampled_from(["f2", "f4", "f8"]))
        said = draw(score_arrays(kind, count, classes, dtype))
    counts = draw(st.none() | st.lists(st.integers(0, 10**12), min_size=classes, max_size=classes))
    if kind == "predicted" and counts is None:
        assume(max(labels.max(), said.max()) == classes - 1)
    names = draw(st.none() | names_of(classes))
    return Predictions(
        labels,
        **{kind: said},
        class_names=names,
        class_counts=None if counts is None else ClassCounts(counts, names),
        ids=draw(ids_for(count)),
    )


@given(prediction_sets())
def test_predictions_in_an_npz(tmp_path: Path, predictions: Predictions) -> None:
    path = tmp_path / "predictions.npz"
    predictions.save(path)
    assert_same(Predictions.load(path), predictions)
    assert Predictions.load(path).num_classes == predictions.num_classes


@given(prediction_sets())
def test_predictions_in_safetensors_which_holds_no_text(
    tmp_path: Path, predictions: Predictions
) -> None:
    path = tmp_path / "predictions.safetensors"
    kind = "predicted" if predictions.scores is None else "logits"
    kind = "probs" if predictions.probs is not None else kind
    stored = {"labels": predictions.labels, kind: getattr(predictions, kind)}
    if predictions.class_counts is not None:
        stored["class_counts"] = predictions.class_counts.counts
    save_safetensors(path, stored, {})
    got = Predictions.load(path, class_names=predictions.class_names)
    ids = predictions.ids
    wanted = Predictions(
        predictions.labels,
        **{kind: getattr(predictions, kind)},
        class_names=predictions.class_names,
        class_counts=predictions.class_counts,
    )
    assert_same(got, wanted)
    assert ids is None or got.ids is None


def write_table(path: Path, columns: dict[str, list[Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
        return path
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


# A table's text is read by type: a name such as "7" or "true" would not stay text.
WORD = st.text("abcdefgé ,\"'", min_size=1, max_size=5).map("_{}".format)
ENDINGS = st.sampled_from(["table.csv", "table.parquet"])


@st.composite
def tables(draw: st.DrawFn) -> tuple[Path, dict[str, list[Any]], dict[str, Any], Predictions]:
    """A table's name and columns, how to ask for it, and what it says."""
    count, classes = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    names = draw(names_of(classes, WORD))
    label = st.integers(0, classes - 1)
    labels = draw(arrays(np.int64, count, elements=label))
    form = draw(st.sampled_from(["indices", "names", "logit_", "prob_", "logits", "probs"]))
    by_name = form == "names" or (form in ("logits", "probs") and draw(st.booleans()))
    true = [names[c] for c in labels] if by_name else labels.tolist()
    labels_column = draw(st.sampled_from(["labels", "truth"]))
    columns: dict[str, list[Any]] = {labels_column: true}
    asked: dict[str, Any] = {} if labels_column == "labels" else {"labels_column": "truth"}
    said: dict[str, Any] = {}
    if form in ("indices", "names"):
        predicted = draw(arrays(np.int64, count, elements=label))
        predicted_column = draw(st.sampled_from(["predicted", "guess"]))
        columns[predicted_column] = [names[c] for c in predicted] if by_name else predicted.tolist()
        asked |= {} if predicted_column == "predicted" else {"predicted_column": "guess"}
        asked["class_names"] = said["class_names"] = names
        said["predicted"] = predicted
    else:
        kind = {"logit_": "logits", "prob_": "probs"}.get(form, form)
        scores = draw(score_arrays(kind, count, classes, "f8"))
        numbered = form.endswith("_")
        order = draw(st.permutations(range(classes)))
        for c in order:
            columns[f"{form}{c}" if numbered else names[c]] = scores[:, c].tolist()
        said[kind] = scores
        if not numbered:
            asked |= {"scores": kind, "class_names": names}
            said["class_names"] = names
    if draw(st.booleans()):
        ids = [f"_{i}" for i in range(count)]
        columns["ids"] = ids
        said["ids"] = np.array(ids)
    return Path(draw(ENDINGS)), columns, asked, Predictions(labels, **said)


@given(tables())
def test_predictions_in_every_form_of_a_table(tmp_path: Path, table: tuple[Any, ...]) -> None:
    name, columns, asked, wanted = table
    path = write_table(tmp_path / name, columns)
    assert_same(Predictions.load(path, **asked), wanted)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "T.CSV", "T.PARQUET"])
def test_names_of_classes_need_no_list_and_sort_by_alphabet(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    columns = {"labels": ["owl", "cat", "owl"], "predicted": ["cat", "cat", "dog"]}
    if name.lower().endswith("csv"):
        path.write_text("labels,predicted\nowl,cat\ncat,cat\nowl,dog\n")
    else:
        pq.write_table(pa.table(columns), path)
    got = Predictions.load(path)
    assert got.class_names == ("cat", "dog", "owl")
    assert (got.labels.tolist(), got.top.tolist()) == ([2, 0, 2], [0, 0, 1])


def test_columns_named_as_classes_are_the_classes(tmp_path: Path) -> None:
    path = write_table(
        tmp_path / "t.csv", {"labels": ["dog"], "cat": [0.25], "dog": [0.25], "elk": [0.5]}
    )
    got = Predictions.load(path, scores="probs")
    assert (got.class_names, got.labels.tolist()) == (("cat", "dog", "elk"), [1])


def test_class_names_choose_and_order_the_columns(tmp_path: Path) -> None:
    columns = {"labels": [1], "cat": [0.25], "file": ["a.png"], "dog": [0.75]}
    path = write_table(tmp_path / "t.csv", columns)
    got = Predictions.load(path, scores="probs", class_names=["dog", "cat"])
    assert got.class_names == ("dog", "cat")
    assert got.probs is not None
    assert got.probs.tolist() == [[0.75, 0.25]]


def test_columns_that_nobody_asked_for_may_have_gaps(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("labels,predicted,weight\n0,0,\n1,0,0.5\n")
    assert Predictions.load(path).top.tolist() == [0, 0]


@st.composite
def class_counts(draw: st.DrawFn) -> ClassCounts:
    counts = draw(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=6))
    numbers = st.integers(0, 12).map(str)
    names = draw(st.none() | names_of(len(counts), TEXT | numbers))
    return ClassCounts(counts, names)


@given(class_counts())
@example(ClassCounts([1, 2], ("1", "0")))
@example(ClassCounts([1, 2], ("0", "00")))
@example(ClassCounts([1, 2, 3, 4], ("a\rb", "a\nb", "a\r\nb", 'a,"b')))
@example(ClassCounts([5, 6], ("10", "11")))
def test_class_counts_in_a_csv(tmp_path: Path, counts: ClassCounts) -> None:
    path = tmp_path / "counts.csv"
    counts.save(path)
    assert_same(ClassCounts.load(path), counts)
    if counts.names is not None:
        backwards = counts.names[::-1]
        reordered = ClassCounts.load(path, names=backwards)
        assert (reordered.names, reordered.counts.tolist()) == (
            backwards,
            counts.counts.tolist()[::-1],
        )


@pytest.mark.parametrize(
    "text",
    [
        "class,count\n1,20\n0,10\n2,30\n",
        "count,class\n20,1\n10,0\n30,2\n",
        "\ufeffclass,count\r\n1,20\r\n0,10\r\n2,30\r\n",
        "class,name,count\n1,dog,20\n0,cat,10\n2,elk,30\n",
    ],
)
def test_counts_by_index_may_stand_in_any_order(tmp_path: Path, text: str) -> None:
    (tmp_path / "counts.csv").write_bytes(text.encode())
    assert ClassCounts.load(tmp_path / "counts.csv").counts.tolist() == [10, 20, 30]


@given(prediction_sets())
@example(
    Predictions([0, 1, 1], probs=[[0.5, 0.5, 0], [1, 0, 0], [1, 0, 0]], class_counts=[9, 0, 1])
)
def test_evaluations_in_json(tmp_path: Path, predictions: Predictions) -> None:
    path = tmp_path / "evaluation.json"
    wanted = evaluate(predictions)
    wanted.save(path)
    got = Evaluation.load(path)
    if wanted.class_counts is not None:  # names are kept once
        assert got.class_counts is not None
        assert_same(got.class_counts.counts, wanted.class_counts.counts)
    for field in fields(Evaluation):
        if field.name != "class_counts":
            assert_same(getattr(got, field.name), getattr(wanted, field.name), field.name)
    plain = json.loads(path.read_text(), parse_constant=pytest.fail)  # no NaN, no Infinity
    undefined = [c for c, value in enumerate(plain["per_class_recall"]) if value is None]
    assert undefined == list(wanted.untestable)


def test_an_infinite_loss_is_no_missing_loss(tmp_path: Path) -> None:
    wanted = evaluate(labels=[0, 1], probs=[[1.0, 0.0], [1.0, 0.0]])
    assert wanted.negative_log_likelihood == wanted.geometric_mean_loss == np.inf
    wanted.save(tmp_path / "e.json")
    got = Evaluation.load(tmp_path / "e.json")
    assert got.negative_log_likelihood == got.geometric_mean_loss == np.inf
    evaluate(labels=[0, 1], predicted=[0, 0]).save(tmp_path / "e.json")
    assert Evaluation.load(tmp_path / "e.json").negative_log_likelihood is None


def test_keys_of_a_newer_version_are_passed_over(tmp_path: Path) -> None:
    values = evaluate(labels=[0, 1], predicted=[0, 0]).to_dict()
    assert Evaluation.from_dict({**values, "format": 2, "of_tomorrow": [1]}).accuracy == 0.5
