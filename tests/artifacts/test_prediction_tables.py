"""Tables as people have them: columns beside the scores, ids called id, names spelt in two ways."""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from everyclass.artifacts import Predictions, PredictionStream
from everyclass.errors import FileFormatError, InputError

NAMES = ("ant", "bee", "cat")
LABELS = np.array([0, 1, 0, 1, 1, 0])  # no image of a cat
LOGITS = np.random.default_rng(0).normal(size=(6, 3))
SCORES = dict(zip(NAMES, LOGITS.T, strict=True))
WORDS = np.array(NAMES)[LABELS]
COUNTED = np.arange(6) * 100


def table(path: Path, columns: dict[str, Any]) -> Path:
    if path.suffix == ".csv":
        pa.csv.write_csv(pa.table(columns), path)
    else:
        pq.write_table(pa.table(columns), path)
    return path


def text(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([*lines, ""]))
    return path


# --- columns that are no classes ------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("labels", [WORDS, LABELS], ids=["names", "numbers"])
@pytest.mark.parametrize(
    "column",
    ["index", "Unnamed: 0", "", "Confidence", "max_prob", "Image ID", "y_true", "label-id", "fold"],
)
def test_what_stands_beside_scores_is_no_class(
    column: str, labels: Any, ending: str, tmp_path: Path
) -> None:
    columns = {column: COUNTED, "labels": labels, **SCORES}
    path = table(tmp_path / f"p.{ending}", columns)
    for kind in ("logits", "probs"):
        with pytest.raises(
            FileFormatError,
            match=rf"the column '{column}' is no class, as no label is called so; say which "
            r"columns are classes with class_names \(--class-names\), or leave others out",
        ):
            Predictions.load(path, scores=kind)
    said = Predictions.load(path, scores="logits", class_names=NAMES)
    np.testing.assert_array_equal(said.logits, LOGITS)
    assert said.labels.tolist() == LABELS.tolist()


def test_text_is_no_score_whatever_its_column_is_called(tmp_path: Path) -> None:
    columns = {"question": ["why?"] * 6, "asked": [True] * 6, "labels": WORDS, **SCORES}
    for name in ("p.csv", "p.parquet"):
        path = table(tmp_path / name, columns)
        with pytest.raises(FileFormatError, match="columns 'question', 'asked' are no classes, as"):
            Predictions.load(path, scores="logits")


def test_classes_may_be_called_anything(tmp_path: Path) -> None:
    """A class without images has a column, and a class called 'text' is one if a label is."""
    columns = {"labels": WORDS, **SCORES}
    for name in ("p.csv", "p.parquet"):
        assert Predictions.load(table(tmp_path / name, columns), scores="logits").num_classes == 3
    odd = {"text": LOGITS[:, 0], "Index": LOGITS[:, 1], "other": LOGITS[:, 2]}
    path = table(tmp_path / "p.csv", {"labels": np.array(["text", "Index"])[LABELS], **odd})
    for said in (Predictions.load(path, scores="logits"), *PredictionStream(path, scores="logits")):
        assert said.class_names == ("text", "Index", "other")
        assert said.labels.tolist() == LABELS.tolist()


def test_a_score_that_cannot_be_is_named_by_its_column(tmp_path: Path) -> None:
    half = np.full(6, 0.5)
    columns = {"labels": WORDS, "ant": half, "bee": half, "cat": COUNTED}
    path = table(tmp_path / "p.csv", columns)
    with pytest.raises(InputError, match=r"probs\[1, 2\] \(class 'cat'\) is 100, outside 0\.\.1"):
        Predictions.load(path, scores="probs")
    columns = {"labels": WORDS, **SCORES, "cat": np.full(6, np.nan)}
    with pytest.raises(InputError, match=r"logits\[0, 2\] \(class 'cat'\) is nan; 6 of 18"):
        Predictions.load(table(tmp_path / "p.csv", columns), scores="logits")


# --- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("column", ["ids", "id", "ID"])
def test_ids_may_be_called_id(column: str, ending: str, tmp_path: Path) -> None:
    for rest, asked in (
        ({"predicted": WORDS}, {}),
        (SCORES, {"scores": "logits"}),
        (SCORES, {"scores": "logits", "class_names": NAMES}),
    ):
        path = table(tmp_path / f"p.{ending}", {column: COUNTED, "labels": WORDS, **rest})
        ids = Predictions.load(path, **asked).ids
        assert ids is not None
        assert ids.tolist() == COUNTED.tolist()


def test_ids_go_before_id_and_classes_before_both(tmp_path: Path) -> None:
    columns = {"id": COUNTED, "ids": COUNTED + 1, "labels": WORDS, "predicted": WORDS}
    said = Predictions.load(table(tmp_path / "p.csv", columns))
    assert said.ids is not None
    assert said.ids.tolist() == (COUNTED + 1).tolist()
    columns = {"id": LOGITS[:, 0], "ego": LOGITS[:, 1], "labels": np.array(["id", "ego"])[LABELS]}
    path = table(tmp_path / "p.csv", columns)
    said = Predictions.load(path, scores="logits", class_names=["id", "ego"])
    assert said.ids is None
    assert said.num_classes == 2


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_fractions_called_id_are_scores_of_that_class(ending: str, tmp_path: Path) -> None:
    languages = ("en", "de", "id")
    scores = dict(zip(languages, LOGITS.T, strict=True))
    columns = {"labels": np.array(languages)[[0, 1, 2, 2, 1, 0]], **scores}
    said = Predictions.load(table(tmp_path / f"p.{ending}", columns), scores="logits")
    assert said.class_names == languages
    assert said.ids is None
    np.testing.assert_array_equal(said.logits, LOGITS)
    columns["ids"] = COUNTED
    said = Predictions.load(table(tmp_path / f"q.{ending}", columns), scores="logits")
    assert said.ids is not None
    assert (said.num_classes, said.ids.tolist()) == (3, COUNTED.tolist())


def test_an_id_that_stands_twice_says_which_column_is_meant(tmp_path: Path) -> None:
    path = table(tmp_path / "p.csv", {"id": COUNTED // 500, "labels": WORDS, "predicted": WORDS})
    with pytest.raises(InputError, match=r"'0' stands in rows 0 and 1; .* column 'ids', or 'id'"):
        Predictions.load(path)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["Ant,ant", "Bee,bee"],
            "predicted class 'ant' is no label and differs from the label 'Ant",
        ),
        (["ant,ant", "bee,bee "], "'bee ' is no label and differs from the label 'bee' by case or"),
        (["ant,ant", "bee  x,bee x"], "'bee x' is no label and differs from the label 'bee  x'"),
        (["ant,ant", "ant ,ant"], "the labels 'ant' and 'ant ' differ by blanks only; spell them"),
        (
            ["ant,cat", "bee,dog"],
            "no predicted class is a label: labels are ant, bee, and predicted",
        ),
        (["ant,ant", "labels,predicted", "bee,bee"], "row 1 is the header again; remove that line"),
        (["0,1", "labels,predicted", "1,1"], "row 1 is the header again; remove that line"),
    ],
)
def test_a_name_spelt_otherwise_is_no_new_class(
    rows: list[str], message: str, tmp_path: Path
) -> None:
    path = text(tmp_path / "p.csv", "labels,predicted", *rows)
    for read in (Predictions.load, lambda p: list(PredictionStream(p))):
        with pytest.raises(FileFormatError, match=rf"p\.csv: .*{message}"):
            read(path)


def test_predicted_names_need_not_be_labels(tmp_path: Path) -> None:
    path = text(tmp_path / "p.csv", "labels,predicted", "ant,ant", "bee,cat")
    assert Predictions.load(path).class_names == NAMES
    path = text(tmp_path / "p.csv", "labels,predicted", "A,A", "a,a", "b,A")  # letters
    assert Predictions.load(path).class_names == ("A", "a", "b")
    path = text(tmp_path / "p.csv", "labels,predicted", "A,a", "b,a")
    assert Predictions.load(path, class_names=["A", "a", "b"]).top.tolist() == [1, 1]
    columns = {"labels": ["labels", "x"], "predicted": ["predicted", "x"]}
    assert Predictions.load(table(tmp_path / "p.parquet", columns)).num_classes == 3


TENS = pa.array([10, 2, 10, 9], pa.int32())


@pytest.mark.parametrize(
    ("ending", "cells"),
    [
        ("csv", TENS),
        ("parquet", TENS),
        ("parquet", TENS.cast(pa.uint8())),
        ("parquet", TENS.dictionary_encode()),
    ],
    ids=["csv", "parquet", "unsigned", "dictionary"],
)
def test_numbers_that_are_names_are_found_by_name(ending: str, cells: Any, tmp_path: Path) -> None:
    """Whatever the order of columns and names, and whether each class has an image."""
    of_class = {name: np.full(4, float(name)) for name in ("1", "10", "2", "9")}
    wanted = [1, 2, 1, 3]

    path = table(tmp_path / f"scores.{ending}", {"labels": cells, **of_class})
    for said in (Predictions.load(path, scores="logits"), *PredictionStream(path, scores="logits")):
        assert said.class_names == ("1", "10", "2", "9")
        assert said.labels.tolist() == wanted

    path = table(tmp_path / f"predicted.{ending}", {"labels": cells, "predicted": cells})
    said = Predictions.load(path, class_names=["1", "10", "2", "9"])
    assert (said.labels.tolist(), said.top.tolist()) == (wanted, wanted)
    with pytest.raises(
        FileFormatError, match=r"row 1 of 'labels' is '2', which is no class; .* 9, 10"
    ):
        Predictions.load(path, class_names=["9", "10"])
    # Names that are no numbers leave integers what they are.
    names = [f"n{i}" for i in range(11)]
    assert Predictions.load(path, class_names=names).labels.tolist() == TENS.to_pylist()


def test_numbers_and_words_go_together_where_numbers_are_names(tmp_path: Path) -> None:
    columns = {"labels": [7, 8, 7], "predicted": ["8", "8", "none"]}
    for name in ("p.csv", "p.parquet"):
        path = table(tmp_path / name, columns)
        said = Predictions.load(path, class_names=["none", "7", "8"])
        assert (said.labels.tolist(), said.top.tolist()) == ([1, 2, 1], [2, 2, 0])


# --- what other programs call a csv ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("labels;predicted\nant;bee\n", "separated by semicolons; write the table with commas"),
        ("labels;ant;bee\nant;0,25;0,75\n", "separated by semicolons.* numbers with points"),
        ("labels\tpredicted\nant\tbee\n", "separated by tabs"),
        ("labels,predicted\nant,bee\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ],
)
def test_tables_of_other_forms_are_named(content: str | bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileFormatError, match=said):
        Predictions.load(path)


def test_cells_may_have_line_breaks_however_long_the_file(tmp_path: Path) -> None:
    rows = 40_000
    with open(tmp_path / "t.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "labels", "predicted"])
        ticket = 'Hello,\n\n"it\nfails", ticket '
        writer.writerows([f"{ticket}{i}", "ab"[i % 2], "a"] for i in range(rows))
    assert (tmp_path / "t.csv").stat().st_size > 1 << 20
    said = Predictions.load(tmp_path / "t.csv")
    assert (len(said), said.labels[-2:].tolist()) == (rows, [0, 1])


def test_ids_of_any_kind(tmp_path: Path) -> None:
    large = [1, 2**63 + 5, 2**63 + 6]
    columns = {"labels": [0, 1, 0], "predicted": [0, 1, 1]}
    written = {
        "numbers": pa.array(large, pa.uint64()),
        "categories": pa.array(["a", "b", "c"]).dictionary_encode(),
        "one long": pa.array(["a" * 5000, "b", "c"]),
    }
    for name, ids in written.items():
        pq.write_table(pa.table({**columns, "ids": ids}), tmp_path / f"{name}.parquet")
        said = Predictions.load(tmp_path / f"{name}.parquet")
        assert said.ids is not None
        assert said.ids.tolist() == ids.to_pylist()
    np.savez(tmp_path / "big.npz", **columns, ids=np.array([5, 6, 7], ">i8"))
    assert Predictions.load(tmp_path / "big.npz").ids.tolist() == [5, 6, 7]  # type: ignore[union-attr]
    np.savez(tmp_path / "half.npz", **columns, ids=np.array(["a\udce9.jpg", "b", "c"]))
    with pytest.raises(InputError, match=r"The id 'a\\udce9\.jpg' is no text"):
        Predictions.load(tmp_path / "half.npz")


def test_one_long_id_does_not_make_all_long(tmp_path: Path) -> None:
    rows = 20_000
    lines = ["ids,labels,predicted", "x" * 5000 + ",0,0", *(f"{i},1,0" for i in range(rows))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    tracemalloc.start()
    pieces = list(PredictionStream(tmp_path / "t.csv"))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(map(len, pieces)) == rows + 1
    assert most < 40 << 20  # as NumPy's text they would take 400 MB


def test_numbers_as_class_names_are_refused_of_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", labels=[1, 2, 1], predicted=[1, 1, 2])
    with pytest.raises(InputError, match="class_names holds numbers, 1, 2, 3"):
        Predictions.load(tmp_path / "p.npz", class_names=np.array([1, 2, 3]))  # type: ignore[arg-type]
