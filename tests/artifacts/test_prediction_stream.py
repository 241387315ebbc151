"""Files of predictions in pieces: the same as at once, in every format, whatever their size."""

from __future__ import annotations

import json
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from scipy.special import softmax

from everyclass.artifacts import Predictions, PredictionStream, save_safetensors
from everyclass.errors import FileFormatError, InputError, InputTypeError, MissingFileError

ROWS, CLASSES = 1000, 4
GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, CLASSES, ROWS)
LOGITS = GENERATOR.normal(size=(ROWS, CLASSES))
PROBS = softmax(LOGITS, axis=1)
PREDICTED = LOGITS.argmax(axis=1)
NAMES = ("ant", "bee 2.0", "käse", "dog")
WORDS = np.array(NAMES)


def npz(path: Path, write: Callable[..., None] = np.savez, **arrays: Any) -> Path:
    write(path, **{"labels": LABELS, **arrays})
    return path


def npy(path: Path, array: Any, labels: Any = LABELS) -> Path:
    np.save(path, array)
    np.save(path.with_name("labels.npy"), labels)
    return path


def tensors(path: Path, **arrays: Any) -> Path:
    save_safetensors(path, {"labels": LABELS, **arrays}, {})
    return path


def table(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    if path.suffix == ".csv":
        pa.csv.write_csv(pa.table(columns), path)
    else:
        pq.write_table(pa.table(columns), path, **options)
    return path


def numbered(prefix: str, scores: np.ndarray) -> dict[str, Any]:
    return {"labels": LABELS, **{f"{prefix}{c}": scores[:, c] for c in range(CLASSES)}}


def named(scores: np.ndarray) -> dict[str, Any]:
    columns = dict(zip(NAMES, scores.T, strict=True))
    return {"ids": np.arange(ROWS), **columns, "labels": WORDS[LABELS]}


def lists(scores: np.ndarray, kind: Any) -> dict[str, Any]:
    return {"labels": LABELS, "logits": pa.array(scores.tolist(), kind)}


def words() -> dict[str, Any]:
    return {"labels": WORDS[LABELS], "predicted": WORDS[PREDICTED]}


Form = tuple[Callable[[Path], Path], dict[str, Any], str]
FORMS: dict[str, Form] = {
    "npz logits": (lambda f: npz(f / "p.npz", logits=LOGITS), {}, "logits"),
    "npz ids": (lambda f: npz(f / "p.npz", probs=PROBS, ids=np.arange(ROWS)), {}, "probs"),
    "npz predicted": (lambda f: npz(f / "p.npz", predicted=PREDICTED), {}, "predicted"),
    "npz columns": (lambda f: npz(f / "p.npz", probs=np.asfortranarray(PROBS)), {}, "probs"),
    "npz packed": (lambda f: npz(f / "p.npz", np.savez_compressed, logits=LOGITS), {}, "logits"),
    "npz scores": (lambda f: npz(f / "p.npz", scores=PROBS), {"scores": "probs"}, "probs"),
    "npy logits": (
        lambda f: npy(f / "p.npy", LOGITS),
        {"scores": "logits", "labels": "labels.npy"},
        "logits",
    ),
    "npy big-endian columns": (
        lambda f: npy(f / "p.npy", np.asfortranarray(PROBS.astype(">f8"))),
        {"scores": "probs", "labels": "labels.npy"},
        "probs",
    ),
    "npy predicted": (
        lambda f: npy(f / "p.npy", PREDICTED.astype("u1"), LABELS.astype("i2")),
        {"labels": "labels.npy"},
        "predicted",
    ),
    "safetensors": (lambda f: tensors(f / "p.safetensors", logits=LOGITS), {}, "logits"),
    "csv": (lambda f: table(f / "p.csv", numbered("logit_", LOGITS)), {}, "logits"),
    "csv names": (lambda f: table(f / "p.csv", words()), {"class_names": NAMES}, "predicted"),
    "csv named columns": (
        lambda f: table(f / "p.csv", named(PROBS)),
        {"scores": "probs", "class_names": NAMES},
        "probs",
    ),
    "parquet": (
        lambda f: table(f / "p.parquet", numbered("prob_", PROBS), row_group_size=300),
        {},
        "probs",
    ),
    "parquet named columns": (
        lambda f: table(f / "p.parquet", named(LOGITS)),
        {"scores": "logits", "class_names": NAMES},
        "logits",
    ),
    "parquet categories": (
        lambda f: table(
            f / "p.parquet",
            {k: pa.array(v).dictionary_encode() for k, v in words().items()},
        ),
        {"class_names": NAMES},
        "predicted",
    ),
    "parquet lists": (
        lambda f: table(f / "p.parquet", lists(LOGITS, pa.list_(pa.float64()))),
        {},
        "logits",
    ),
    "parquet lists of one length": (
        lambda f: table(f / "p.parquet", lists(LOGITS, pa.list_(pa.float64(), CLASSES))),
        {},
        "logits",
    ),
}
VALUES = {"logits": LOGITS, "probs": PROBS, "predicted": PREDICTED}


def made(form: str, folder: Path) -> tuple[Path, dict[str, Any], str]:
    make, asked, kind = FORMS[form]
    path = make(folder)
    if "labels" in asked:
        asked = {**asked, "labels": folder / asked["labels"]}
    return path, asked, kind


@pytest.mark.parametrize("values", [50, 1031, 5000])
@pytest.mark.parametrize("form", FORMS)
def test_pieces_are_the_whole(form: str, values: int, tmp_path: Path) -> None:
    path, asked, kind = made(form, tmp_path)
    whole = Predictions.load(path, **asked)
    stream = PredictionStream(path, **asked, values=values)
    parts = list(stream)
    assert [p.first_row for p in parts] == [*np.cumsum([0, *(len(p) for p in parts)])][:-1]
    if path.suffix != ".csv" and kind != "predicted":
        assert max(len(p) for p in parts) == min(ROWS, max(1, values // CLASSES))
    assert np.concatenate([p.labels for p in parts]).tolist() == LABELS.tolist()
    joined = np.concatenate([getattr(p, kind) for p in parts])
    np.testing.assert_array_equal(joined, VALUES[kind])
    np.testing.assert_array_equal(getattr(whole, kind), VALUES[kind])
    assert whole.labels.tolist() == LABELS.tolist()
    for said in (whole, *parts):
        assert said.class_names == asked.get("class_names")
    assert stream.done == stream.total or stream.unit == "MB"
    assert [len(p) for p in stream] == [len(p) for p in parts]  # it can be read again


def test_ids_of_a_csv_are_numbers_where_all_are(tmp_path: Path) -> None:
    for ids, kind in (([3, 17, -2], "i"), (["3", "17", "x"], "U"), (["03", "17", "1"], "U")):
        path = table(tmp_path / "p.csv", {"labels": [0, 1, 0], "predicted": [0, 0, 1], "ids": ids})
        got = Predictions.load(path).ids
        assert got is not None
        assert (got.dtype.kind, got.tolist()) == (kind, ids)


def test_classes_called_as_numbers_are_names_once_somebody_says_so(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("labels,predicted\n10,20\n20,20\n")
    said = Predictions.load(path, class_names=("20", "10"))
    assert (said.labels.tolist(), said.top.tolist()) == ([1, 0], [0, 0])
    assert Predictions.load(path).num_classes == 21  # and numbers of classes otherwise
    words = pa.table({"labels": ["7", "x"], "predicted": ["x", "x"]})
    pq.write_table(words, tmp_path / "p.parquet")  # which says itself that they are text
    assert Predictions.load(tmp_path / "p.parquet").class_names == ("7", "x")


def test_missing_values_are_empty_cells_only(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("labels,predicted\nNA,null\nnull,NA\nNA,N/A\n")
    assert Predictions.load(path).class_names == ("N/A", "NA", "null")


def test_of_two_kinds_of_scores_one_is_chosen(tmp_path: Path) -> None:
    both = {**numbered("logit_", LOGITS), **numbered("prob_", PROBS)}
    path = table(tmp_path / "p.csv", both)
    with pytest.raises(FileFormatError, match=r"columns of logits and probs; choose with scores"):
        Predictions.load(path)
    np.testing.assert_array_equal(Predictions.load(path, scores="probs").probs, PROBS)
    for name, make in (
        ("p.parquet", lambda f: table(f, numbered("logit_", LOGITS))),
        ("p.npz", lambda f: npz(f, logits=LOGITS)),
    ):
        with pytest.raises(FileFormatError, match=r"logits.* and scores .*says probs"):
            Predictions.load(make(tmp_path / name), scores="probs")


@pytest.mark.parametrize("make", [npz, tensors])
def test_of_several_arrays_one_is_chosen(make: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / ("p.npz" if make is npz else "p.safetensors")
    wrong = (PREDICTED + 1) % CLASSES

    def both_ways(**asked: Any) -> list[Predictions]:
        return [Predictions.load(path, **asked), *PredictionStream(path, values=900, **asked)]

    for kind in ("logits", "probs"):
        make(path, predicted=wrong, **{kind: VALUES[kind]})
        for asked in ({}, {"scores": kind}):
            whole, *parts = both_ways(**asked)
            np.testing.assert_array_equal(getattr(whole, kind), VALUES[kind])
            assert whole.predicted is None
            assert np.concatenate([part.top for part in parts]).tolist() == PREDICTED.tolist()

    make(path, logits=LOGITS, probs=PROBS, predicted=wrong)
    with pytest.raises(
        FileFormatError, match=r"p\.\w+ has arrays of logits and probs; choose with scores \(--sc"
    ):
        both_ways()
    for kind, other in (("logits", "probs"), ("probs", "logits")):
        for part in both_ways(scores=kind):
            assert getattr(part, kind) is not None
            assert getattr(part, other) is None
            assert part.predicted is None


def test_an_array_that_says_what_it_is_goes_before_one_called_scores(tmp_path: Path) -> None:
    path = npz(tmp_path / "p.npz", scores=PROBS, logits=LOGITS)
    np.testing.assert_array_equal(Predictions.load(path).logits, LOGITS)
    np.testing.assert_array_equal(Predictions.load(path, scores="logits").logits, LOGITS)
    np.testing.assert_array_equal(Predictions.load(path, scores="probs").probs, PROBS)


# --- rows are named, wherever they are ------------------------------------------------------------

BAD_LABELS = np.where(np.arange(ROWS) == 777, 9, LABELS)
BAD_LOGITS = np.where(np.arange(ROWS)[:, None] == 777, np.nan, LOGITS)
BAD_PROBS = np.where(np.arange(ROWS)[:, None] == 777, 0.5, PROBS)


@pytest.mark.parametrize("ending", ["npz", "safetensors", "csv", "parquet"])
@pytest.mark.parametrize(
    ("labels", "kind", "scores", "message"),
    [
        (BAD_LABELS, "logits", LOGITS, r"labels\[777\] is 9, outside 0\.\.3 \(at least 1 such\)"),
        (LABELS, "logits", BAD_LOGITS, r"logits\[777, 0\] is nan; at least 4 values are not fin"),
        (LABELS, "probs", BAD_PROBS, r"Row 777 of probs sums to 2 and must sum to 1 \(at least 1"),
        (LABELS, "probs", PROBS * 1.5, r"probs\[\d+, \d\] is 1\.\d+, outside 0\.\.1; if these are"),
    ],
)
def test_bad_rows_are_named_by_their_number_in_the_file(
    ending: str, labels: Any, kind: str, scores: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / f"p.{ending}"
    if ending in ("csv", "parquet"):
        table(path, {**numbered(kind[:-1] + "_", scores), "labels": labels})
    else:
        (npz if ending == "npz" else tensors)(path, labels=labels, **{kind: scores})
    with pytest.raises(InputError, match=rf"p\.{ending}: {message}"):
        list(PredictionStream(path, values=100))
    with pytest.raises(InputError, match=re.split("[;(]|at least", message)[0].rstrip(" \\")):
        Predictions.load(path)


def lines(path: Path, rows: list[str], header: str = "labels,predicted") -> Path:
    path.write_bytes("\n".join([header, *rows, ""]).encode("utf-8", "surrogateescape"))
    return path


@pytest.mark.parametrize(
    ("row", "header", "message"),
    [
        ("cat,1", "labels,predicted", "'labels' holds text .* needed: row 5000 is 'cat'"),
        ("1,1.5", "labels,predicted", r"'predicted' holds text .* needed: row 5000 is '1\.5'"),
        (",1", "labels,predicted", "'labels' is empty in row 5000"),
        ("0,x", "labels,logit_0", "'logit_0' holds text where .* needed: row 5000 is 'x'"),
        ("0,", "labels,logit_0", "'logit_0' is empty in row 5000"),
        ("0,nan", "labels,logit_0", r"logits\[5000, 0\] is nan"),
        ("1,1,1", "labels,predicted", r"not a readable csv file \(CSV parse error"),
        ("1,\udcff", "labels,ids,predicted", "is no UTF-8 text in row 5000"),
        ("1,99999999999999999999", "labels,predicted", "row 5000 is '99999999999999999999'"),
    ],
)
def test_a_bad_cell_far_into_a_csv(
    row: str, header: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everyclass.artifacts._tables._BLOCK", 1 << 10)
    more = ",0" if header.count(",") == 2 else ""
    label = 0 if "logit" in header else 1
    rows = [f"{i % 2},{i}{more}" if more else f"{i % 2 * label},{i % 2}" for i in range(6000)]
    rows[5000] = row + more
    path = lines(tmp_path / "p.csv", rows, header)
    with pytest.raises((FileFormatError, InputError), match=message) as caught:
        list(PredictionStream(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["ant,ant", "bee,3", "ant,ant"], "row 1 of 'predicted' is '3' and other rows hold names"),
        (["ant,ant", "2,bee"], "row 1 of 'labels' is '2' and other rows hold names; if it is a n"),
        (["ant,ant", "nan,ant"], "row 1 of 'labels' is 'nan' and other rows"),
        (["ant,ant", "1.0,ant"], r"row 1 of 'labels' is '1\.0' and other rows"),
        (["0,ant", "1,bee"], "labels are numbers and predicted classes are names"),
        (["ant,0", "bee,1"], "labels are names and predicted classes are numbers"),
        (["ant,ant", ",ant"], "'labels' is empty in row 1"),
        ([], "has no rows; at least one is needed"),
    ],
)
def test_mixed_labels_are_never_guessed(rows: list[str], message: str, tmp_path: Path) -> None:
    path = lines(tmp_path / "p.csv", rows)
    for read in (Predictions.load, lambda p: list(PredictionStream(p))):
        with pytest.raises(FileFormatError, match=message):
            read(path)


def test_labels_that_are_no_whole_numbers(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.csv", ["0.0,1", "1.5,0"])
    with pytest.raises(InputTypeError, match=r"p\.csv: labels must be integers 0\.\.C−1"):
        list(PredictionStream(path))
    for column in ([True, False], [None, 1], pa.array([0, 1], pa.timestamp("s")), [[0], [1]]):
        table(tmp_path / "p.parquet", {"labels": column, "predicted": [0, 1]})
        with pytest.raises((InputTypeError, FileFormatError), match="labels"):
            list(PredictionStream(tmp_path / "p.parquet"))


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        ([[1.0, 2.0], [1.0]], "row 1 of 'logits' has 1 values and row 0 has 2"),
        ([[1.0, 2.0], None], "'logits' is empty in row 1"),
        ([[1.0, None], [1.0, 2.0]], "'logits' has an empty value in row 0"),
        ([[], []], "logits is empty"),
    ],
)
def test_lists_that_are_no_scores(logits: list[Any], message: str, tmp_path: Path) -> None:
    column = pa.array(logits, pa.list_(pa.float64()))
    path = table(tmp_path / "p.parquet", {"labels": [0, 1], "logits": column})
    with pytest.raises((FileFormatError, InputError), match=message):
        list(PredictionStream(path))


# --- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["npz", "csv", "parquet"])
@pytest.mark.parametrize("ids", [np.arange(ROWS), np.array([f"img/{i}.png" for i in range(ROWS)])])
def test_an_image_that_stands_twice(ending: str, ids: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / f"p.{ending}"
    columns = {"labels": LABELS, "predicted": PREDICTED}

    def write(ids: np.ndarray) -> None:
        if ending == "npz":
            npz(path, predicted=PREDICTED, ids=ids)
        else:
            table(path, {**columns, "ids": ids})

    write(ids)
    assert len(Predictions.load(path)) == len(next(iter(PredictionStream(path)))) == ROWS
    ids = ids.copy()
    ids[900] = ids[41]
    write(ids)
    message = rf"p\.{ending}: the id '{ids[41]}' stands in rows 41 and 900; give each image once"
    with pytest.raises(InputError, match=message):
        Predictions.load(path)
    with pytest.raises(InputError, match=message):
        list(PredictionStream(path, values=64))


def test_ids_are_compared_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.append(np.arange(ROWS - 1), 0)
    path = npz(tmp_path / "p.npz", logits=LOGITS, ids=ids)
    monkeypatch.setattr("everyclass.artifacts._prediction_sources.RepeatedIds._MOST", 500)
    assert sum(len(part) for part in PredictionStream(path, values=400)) == ROWS


# --- hostile files --------------------------------------------------------------------------------


def read_all(path: Path, **asked: Any) -> None:
    for _ in PredictionStream(path, **asked):
        pass


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_pickles_in_npy_and_npz_are_not_run(tmp_path: Path) -> None:
    bad = np.array([Payload(tmp_path / "was-run")] * 2, dtype=object)
    np.save(tmp_path / "labels.npy", [0, 1])
    np.save(tmp_path / "p.npy", bad, allow_pickle=True)
    np.savez(tmp_path / "p.npz", labels=[0, 1], predicted=[0, 1], ids=bad)
    for path, asked in (
        (tmp_path / "p.npy", {"labels": tmp_path / "labels.npy"}),
        (tmp_path / "p.npz", {}),
    ):
        with pytest.raises(FileFormatError, match=r"holds pickled Python objects .*never load"):
            read_all(path, **asked)
    with pytest.raises(FileFormatError, match="holds pickled Python objects"):
        read_all(npy(tmp_path / "q.npy", PREDICTED), labels=tmp_path / "p.npy")
    assert not (tmp_path / "was-run").exists()


def npy_bytes(shape: str, dtype: str = "<f8", data: bytes = b"") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    "shape", ["(1000000000000, 4)", "(4294967296, 4294967296)", "(-1000000, -1000000)", "(-1, 4)"]
)
def test_arrays_that_claim_more_than_they_hold(shape: str, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", LABELS)
    (tmp_path / "p.npy").write_bytes(npy_bytes(shape, data=bytes(64)))
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / f"{compression}.npz", "w", compression) as archive:
            archive.writestr("labels.npy", npy_bytes("(8,)", "<i8", bytes(64)))
            archive.writestr("logits.npy", npy_bytes(shape, data=bytes(64)))
    tracemalloc.start()
    try:
        for name in ("p.npy", "0.npz", "8.npz"):
            with pytest.raises(FileFormatError, match=r"damaged|is not a readable"):
                read_all(
                    tmp_path / name,
                    scores="logits",
                    labels=tmp_path / "labels.npy" if name == "p.npy" else None,
                )
        assert tracemalloc.get_traced_memory()[1] < 1 << 21
    finally:
        tracemalloc.stop()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = npz(tmp_path / "p.npz", np.savez_compressed, logits=np.zeros((1 << 20, 4)))
    assert path.stat().st_size < 1 << 17
    monkeypatch.setattr("everyclass.artifacts._pieces.free_memory", lambda: 1 << 25)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=r"unpacks to 33,562,432 bytes, more than the 33"):
            read_all(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 21
    finally:
        tracemalloc.stop()


def test_reading_all_needs_memory_and_reading_in_pieces_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 400_000
    labels, logits = np.arange(rows) % 4, np.ones((rows, 4), dtype=np.float32)
    monkeypatch.setattr("everyclass.artifacts._prediction_arrays.free_memory", lambda: 1 << 22)
    for path in (
        npz(tmp_path / "p.npz", labels=labels, logits=logits),
        tensors(tmp_path / "p.safetensors", labels=labels, logits=logits),
    ):
        with pytest.raises(FileFormatError, match=r"unpacks to 9,600,000 bytes, more than the 4,1"):
            Predictions.load(path)
        tracemalloc.start()
        read_all(path, values=1 << 14)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 21


def safetensors(path: Path, entries: dict[str, Any], data: int, claimed: int | None = None) -> Path:
    text = json.dumps(entries).encode()
    length = len(text) if claimed is None else claimed
    path.write_bytes(length.to_bytes(8, "little") + text + bytes(data))
    return path


GOOD = {
    "labels": {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]},
    "predicted": {"dtype": "I64", "shape": [2], "data_offsets": [16, 32]},
}


@pytest.mark.parametrize(
    ("change", "claimed", "data"),
    [
        ({"predicted": {"dtype": "I64", "shape": [1 << 40], "data_offsets": [16, 32]}}, None, 32),
        ({"predicted": {"dtype": "I64", "shape": [4], "data_offsets": [0, 32]}}, None, 32),
        ({"predicted": {"dtype": "I64", "shape": [2], "data_offsets": [16, 1 << 40]}}, None, 32),
        ({"predicted": {"dtype": "I64", "shape": [-2], "data_offsets": [16, 32]}}, None, 32),
        ({"predicted": {"dtype": "PICKLE", "shape": [2], "data_offsets": [16, 32]}}, None, 32),
        ({"predicted": {"dtype": "BF16", "shape": [8], "data_offsets": [16, 32]}}, None, 32),
        ({}, 1 << 60, 32),
        ({}, 5, 32),
        ({}, None, 31),
        ({"predicted": "cbuiltins\nexec\n"}, None, 32),
    ],
)
def test_a_safetensors_header_that_lies(
    change: dict[str, Any], claimed: int | None, data: int, tmp_path: Path
) -> None:
    path = safetensors(tmp_path / "p.safetensors", {**GOOD, **change}, data, claimed)
    with pytest.raises((FileFormatError, InputError), match=r"p\.safetensors"):
        read_all(path)
    read_all(safetensors(path, GOOD, 32))  # which is good


def test_a_parquet_file_that_is_cut_or_damaged(tmp_path: Path) -> None:
    path = table(tmp_path / "p.parquet", numbered("logit_", LOGITS), row_group_size=100)
    data = path.read_bytes()
    for end in (0, 3, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(FileFormatError, match=r"readable parquet file .*save the table again"):
            read_all(path)
    path.write_bytes(data[:20000] + b"\xff" * 3000 + data[23000:])
    with pytest.raises((FileFormatError, InputError), match=r"p\.parquet"):
        read_all(path)


NPY = {"scores": "logits"}


@pytest.mark.parametrize(
    ("make", "asked", "message"),
    [
        (
            lambda f: npy(f, LOGITS),
            {},
            r"shape \(1000, 4\); say with scores",
        ),
        (lambda f: npy(f, LOGITS), NPY, "no array 'labels'; it has logits: .* with labels"),
        (
            lambda f: npy(f, PREDICTED),
            {**NPY, "labels": 1},
            "a predicted class; leave scores",
        ),
        (lambda f: npy(f, LOGITS[:9]), {**NPY, "labels": 1}, "labels has 1000 entries where 9 are"),
        (lambda f: npy(f, LOGITS[None]), {**NPY, "labels": 1}, "labels has 1000 entries where 1 a"),
        (lambda f: npy(f, LOGITS, LABELS / 2), {**NPY, "labels": 1}, "labels must be integers"),
        (lambda f: npy(f, np.array(3.0)), {**NPY, "labels": 1}, "labels has 1000 entries where 1"),
        (lambda f: npy(f, WORDS[LABELS]), {"labels": 1}, "predicted must be integers .* <U7"),
        (lambda f: npy(f, PREDICTED + 1j), {"labels": 1}, "predicted must be integers .* complex"),
        (
            lambda f: npy(f, LOGITS) and Path(f.write_bytes(f.read_bytes()[:-5]) and f),
            {**NPY, "labels": 1},
            "is damaged|is cut off",
        ),
        (
            lambda f: f.write_text("labels") and f,
            {**NPY, "labels": 1},
            r"not a readable \.npy file",
        ),
    ],
)
def test_npy_files_that_do_not_say_enough(
    make: Callable[[Path], Path], asked: dict[str, Any], message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "labels.npy", LABELS)
    path = make(tmp_path / "p.npy")
    if "labels" in asked:
        asked = {**asked, "labels": tmp_path / "labels.npy"}
    with pytest.raises((FileFormatError, InputError, InputTypeError), match=message) as caught:
        read_all(path, **asked)
    assert "p.npy" in str(caught.value)


def test_labels_in_two_places_or_in_none(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", LABELS)
    (tmp_path / "labels.txt").write_text("0\n1\n")
    labels = tmp_path / "labels.npy"
    path = npz(tmp_path / "p.npz", logits=LOGITS)
    with pytest.raises(FileFormatError, match="has labels of its own; leave labels"):
        read_all(path, labels=labels)
    np.savez(path, logits=LOGITS)
    with pytest.raises(FileFormatError, match=r"labels\.txt is no \.npy file"):
        read_all(path, labels=tmp_path / "labels.txt")
    with pytest.raises(MissingFileError, match=r"no labels file at .*nothing\.npy"):
        read_all(path, labels=tmp_path / "nothing.npy")
    read_all(path, labels=labels)
    path = table(tmp_path / "p.csv", {"labels": LABELS, "predicted": PREDICTED})
    with pytest.raises(InputError, match=r"holds its labels in a column; .* labels_column"):
        read_all(path, labels=labels)


def test_other_endings(tmp_path: Path) -> None:
    for name in ("p.txt", "p", "p.pkl", "p.csv.gz"):
        (tmp_path / name).write_text("labels,predicted\n0,0\n")
        with pytest.raises(FileFormatError, match=r"predictions are read from \.npz, \.npy, \.saf"):
            read_all(tmp_path / name)


def test_long_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{i:03}" + "x" * 10_000 for i in range(300)]  # a header of 3 MB
    scores = np.random.default_rng(0).normal(size=(5, 300))
    columns = {"labels": [names[0]] * 5, **dict(zip(names, scores.T, strict=True))}
    path = table(tmp_path / "p.csv", columns)
    np.testing.assert_array_equal(Predictions.load(path, scores="logits").logits, scores)
    monkeypatch.setattr("everyclass.artifacts._tables._LONGEST_LINE", 1 << 20)
    with pytest.raises(FileFormatError, match="is no table: a line has 1,048,576 bytes or more"):
        read_all(path)


def test_hostile_column_names_are_shown_harmlessly(tmp_path: Path) -> None:
    path = table(tmp_path / "p.csv", {"\x1b[31mred": [0], "x" * 10_000: [1], "<b>": [2]})
    with pytest.raises(
        FileFormatError, match=r"it has \\x1b\[31mred, x{39}…, <b>\. Name"
    ) as caught:
        read_all(path)
    assert len(str(caught.value)) < 500
