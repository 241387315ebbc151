"""Bytes from anybody: nothing is run, no memory is taken on trust, no foreign exception escapes."""

from __future__ import annotations

import json
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everyclass.artifacts import (
    Adjustment,
    ClassCounts,
    Evaluation,
    Features,
    Head,
    Predictions,
    PredictionStream,
    Run,
    load_class_names,
    load_safetensors,
    read_npz,
    save_safetensors,
    write_npz,
)
from everyclass.errors import EveryclassError, FileFormatError, MissingFileError
from everyclass.metrics import EvaluationState, evaluate

LOGITS = np.linspace(-2, 2, 40, dtype=np.float32).reshape(10, 4)
LABELS = np.arange(10) % 4
NAMES = ("ant", "bee", "cat", "dog")
LOADERS: dict[str, Callable[[Path], Any]] = {
    "features.npz": Features.load,
    "packed.npz": Features.load,
    "head.npz": Head.load,
    "head.safetensors": Head.load,
    "predictions.npz": Predictions.load,
    "predictions.safetensors": Predictions.load,
    "predictions.csv": Predictions.load,
    "predictions.parquet": Predictions.load,
    "stream.npz": lambda path: list(PredictionStream(path, values=12)),
    "packed-stream.npz": lambda path: list(PredictionStream(path, values=12)),
    "stream.npy": lambda path: list(PredictionStream(path, scores="logits", labels=beside(path))),
    "stream.safetensors": lambda path: list(PredictionStream(path, values=12)),
    "stream.csv": lambda path: list(PredictionStream(path)),
    "stream.parquet": lambda path: list(PredictionStream(path, values=12)),
    "state.npz": EvaluationState.load,
    "counts.csv": ClassCounts.load,
    "counts.json": ClassCounts.load,
    "counts.npz": ClassCounts.load,
    "names.txt": load_class_names,
    "names.json": load_class_names,
    "evaluation.json": Evaluation.load,
    "adjustment.json": Adjustment.load,
    "adjustment.npz": Adjustment.load,
    "run/config.json": lambda path: Run.open(path.parent),
}
# What is plain text may still say something when its end is missing.
MAY_BE_CUT = {
    "predictions.csv",
    "stream.csv",
    "counts.csv",
    "names.txt",
    "evaluation.json",
    "adjustment.json",
    "run/config.json",
}


def beside(path: Path) -> Path:
    """A file of good labels."""
    np.save(path.with_name("labels.npy"), LABELS)
    return path.with_name("labels.npy")


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one valid file for each loader."""
    folder = tmp_path_factory.mktemp("valid")
    head = Head(LOGITS[:4], [0.0, 1.0, 2.0, 3.0], "cosine", 16.0)
    features = Features(LOGITS, LABELS, head, NAMES, np.arange(10))
    features.save(folder / "features.npz")
    with np.load(folder / "features.npz") as arrays:
        np.savez_compressed(folder / "packed.npz", **arrays)
    head.save(folder / "head.npz")
    head.save(folder / "head.safetensors")
    predictions = Predictions(LABELS, LOGITS, class_names=NAMES, class_counts=[9, 5, 2, 1])
    predictions.save(folder / "predictions.npz")
    save_safetensors(
        folder / "predictions.safetensors", {"labels": LABELS, "logits": LOGITS}, {"by": "test"}
    )
    rows = zip(LABELS.tolist(), LABELS.tolist(), strict=True)
    (folder / "predictions.csv").write_text(
        "labels,predicted\n" + "".join(f"{a},{b}\n" for a, b in rows)
    )
    table = {"labels": LABELS, **{f"logit_{c}": LOGITS[:, c] for c in range(4)}}
    pq.write_table(pa.table(table), folder / "predictions.parquet")
    for ending in ("npz", "safetensors", "csv", "parquet"):
        shutil.copy(folder / f"predictions.{ending}", folder / f"stream.{ending}")
    with np.load(folder / "predictions.npz") as arrays:
        np.savez_compressed(folder / "packed-stream.npz", **arrays)
    np.save(folder / "stream.npy", LOGITS)
    state = EvaluationState()
    state.update(predictions)
    state.save(folder / "state.npz")
    ClassCounts([9, 5, 2, 1], NAMES).save(folder / "counts.csv")
    (folder / "counts.json").write_text(json.dumps(dict(zip(NAMES, [9, 5, 2, 1], strict=True))))
    np.savez(folder / "counts.npz", class_counts=[9, 5, 2, 1], class_names=np.array(NAMES))
    (folder / "names.txt").write_text("\n".join(NAMES))
    (folder / "names.json").write_text(json.dumps(NAMES))
    evaluate(predictions).save(folder / "evaluation.json")
    adjustment = Adjustment([1.0, 2.0, 1.0, 0.5], LOGITS[0], "bias", {"penalty": 1.0}, NAMES)
    for ending in ("json", "npz"):
        adjustment.save(folder / f"adjustment.{ending}")
    Run.start(folder / "run", {"method": "ce", "seed": 0})
    return folder


def load(name: str, data: bytes, folder: Path) -> bool:
    """Whether the loader takes these bytes; any exception but ours gets out and fails the test."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    message = None
    try:
        LOADERS[name](path)
    except EveryclassError as error:
        message = str(error)
    assert message is None or str(folder) in message, "the message does not name the file"
    return message is None


@pytest.mark.parametrize("name", LOADERS)
def test_the_whole_file_is_taken(name: str, valid: Path, tmp_path: Path) -> None:
    assert load(name, (valid / name).read_bytes(), tmp_path)


@pytest.mark.parametrize("name", LOADERS)
def test_truncated(name: str, valid: Path, tmp_path: Path) -> None:
    data = (valid / name).read_bytes()
    step = max(1, len(data) // 97)
    taken = [end for end in range(0, len(data), step) if load(name, data[:end], tmp_path)]
    assert taken == [] or name in MAY_BE_CUT


@pytest.mark.parametrize("name", LOADERS)
@given(junk=st.binary(max_size=64), keep=st.integers(0, 16))
def test_random_bytes(name: str, junk: bytes, keep: int, valid: Path, tmp_path: Path) -> None:
    beginning = (valid / name).read_bytes()[:keep]
    load(name, beginning + junk, tmp_path)


@pytest.mark.parametrize("name", LOADERS)
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255), width=st.integers(1, 4))
def test_changed_bytes(
    name: str, place: float, change: int, width: int, valid: Path, tmp_path: Path
) -> None:
    data = bytearray((valid / name).read_bytes())
    start = int(place * len(data))
    for i in range(start, min(start + width, len(data))):
        data[i] ^= change
    load(name, bytes(data), tmp_path)


@pytest.mark.parametrize("name", LOADERS)
def test_missing_file_and_folder_instead(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        LOADERS[name](tmp_path / name)
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(MissingFileError):
        LOADERS[name](tmp_path / name)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("array", ["labels", "features", "class_names", "ids", "head_kind"])
def test_pickled_objects_are_refused_and_not_run(array: str, tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    path = tmp_path / "features.npz"
    arrays = {"features": np.ones((1, 2)), "labels": np.array([0])}
    np.savez(path, **{**arrays, array: np.array([Payload(marker)], dtype=object)})
    np.load(path, allow_pickle=True)[array]  # the payload is live
    assert marker.exists()
    marker.unlink()
    for load_it in (Features.load, Predictions.load, Head.load, read_npz):
        with pytest.raises(FileFormatError, match="pickled Python objects in"):
            load_it(path)
    assert not marker.exists()


def test_objects_are_not_written_either(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'labels' holds Python objects"):
        write_npz(tmp_path / "a.npz", {"labels": np.array([None], dtype=object)})
    assert list(tmp_path.iterdir()) == []


def npz_with(path: Path, header: str, data: bytes = b"", compression: int = 0) -> Path:
    """An .npz whose only member has this header, right to the byte otherwise."""
    text = header.encode("latin1")
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    with zipfile.ZipFile(path, "w", compression) as archive:
        magic = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
        archive.writestr("features.npy", magic + text + data)
    return path


def header(shape: str, dtype: str = "<f8") -> str:
    return f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"


def test_a_good_header_is_good(tmp_path: Path) -> None:
    path = npz_with(tmp_path / "a.npz", header("(2,)"), bytes(16))
    assert read_npz(path)["features"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ("(1000000000000,)", "<f8"),
        ("(1000000, 1000000)", "<f8"),
        ("(4294967296, 4294967296)", "<f8"),
        ("(-1000000, -1000000)", "<f8"),
        ("(1000000000000,)", "<U0"),
        ("(1000000000000,)", "|V0"),
        ("(3,)", "<U1000000"),
    ],
)
def test_claims_of_terabytes_are_refused_before_memory_is_taken(
    shape: str, dtype: str, tmp_path: Path
) -> None:
    path = npz_with(tmp_path / "a.npz", header(shape, dtype), bytes(64))
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=r"claims [\d,]+ bytes and the archive holds"):
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = 1 << 22
    path = npz_with(
        tmp_path / "a.npz", header(f"({values},)"), bytes(8 * values), zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 1 << 16
    assert read_npz(path)["features"].size == values  # with memory enough it is only an archive
    monkeypatch.setattr("everyclass.artifacts._archives.free_memory", lambda: 8 * values - 1)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=r"unpacks to 33,554,432 bytes, more than the"):
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_many_members_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, {str(i): np.zeros(100) for i in range(10)})
    monkeypatch.setattr("everyclass.artifacts._archives.free_memory", lambda: 8000)
    assert len(read_npz(path)) == 10
    monkeypatch.setattr("everyclass.artifacts._archives.free_memory", lambda: 7999)
    with pytest.raises(FileFormatError, match="8,000 bytes"):
        read_npz(path)


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,",
        "{'descr': '<f8', 'fortran_order': False, 'shape': " + "(" * 500,
        "{'descr': ('",
        "{[]: 1}",
        "{'descr': 3, 1: 2}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': [('a', '<i4', (100000000, 1000000000))], 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
        "__import__('os').abort()",
    ],
)
def test_headers_that_no_array_has(text: str, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError):
        read_npz(npz_with(tmp_path / "a.npz", text, bytes(64)))


def test_a_deflated_member_that_does_not_unpack(valid: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=1000)
    np.savez_compressed(tmp_path / "a.npz", features=values)
    data = (tmp_path / "a.npz").read_bytes()
    for start in range(80, len(data) - 200, 401):
        (tmp_path / "b.npz").write_bytes(data[:start] + b"\xff" * 8 + data[start + 8 :])
        with pytest.raises(FileFormatError):
            read_npz(tmp_path / "b.npz")


def test_what_lies_beside_the_arrays_is_passed_over(valid: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **F)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("README.txt", "made by hand")
    assert read_npz(tmp_path / "a.npz").keys() == F.keys()


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **F)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        labels = archive.read("labels.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive, pytest.warns(match="Duplicate name"):
        archive.writestr("labels.npy", labels)
    for read in (read_npz, Predictions.load):
        with pytest.raises(FileFormatError, match="two arrays called 'labels'"):
            read(tmp_path / "a.npz")


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3"])
def test_safetensors_of_a_type_that_numpy_lacks(dtype: str, tmp_path: Path) -> None:
    size = 4 if dtype == "BF16" else 2
    text = json.dumps({"weight": {"dtype": dtype, "shape": [1, 2], "data_offsets": [0, size]}})
    text += " " * (-len(text) % 8)
    path = tmp_path / "head.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + bytes(size))
    with pytest.raises(FileFormatError, match=r"not a readable head file .*of float32 or float16"):
        Head.load(path)


def test_safetensors_that_claim_more_than_they_hold(tmp_path: Path) -> None:
    text = json.dumps(
        {"weight": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
    )
    path = tmp_path / "a.safetensors"
    for claimed in (len(text), 1 << 60):
        path.write_bytes(claimed.to_bytes(8, "little") + text.encode() + bytes(64))
        with pytest.raises(FileFormatError):
            load_safetensors(path)


@pytest.mark.parametrize(
    ("loader", "arrays", "message"),
    [
        (Features.load, {"labels": [0]}, "no array 'features'.*this has labels"),
        (Features.load, {"features": [[1.0]]}, "no array 'labels'"),
        (Features.load, {}, "this has nothing"),
        (Head.load, {"bias": [0.0]}, "no array 'weight'.*it has bias"),
        (Predictions.load, {"logits": [[1.0, 2.0]]}, "no array 'labels'.*it has logits"),
        (Predictions.load, {"labels": [0]}, "none of the arrays logits, probs, predicted"),
    ],
)
def test_missing_arrays_are_named(
    loader: Callable[[Path], Any], arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(FileFormatError, match=message):
        loader(tmp_path / "a.npz")


F, P = (
    {"features": np.ones((2, 2)), "labels": [0, 1]},
    {"logits": np.ones((2, 2)), "labels": [0, 1]},
)


@pytest.mark.parametrize(
    ("loader", "arrays"),
    [
        (Head.load, {"weight": np.array(1.0)}),
        (Head.load, {"weight": np.ones((2, 2)), "scale": np.array("abc")}),
        (Head.load, {"weight": np.ones((2, 2)), "scale": np.ones(2)}),
        (Head.load, {"weight": np.ones((2, 2)), "scale": np.nan}),
        (Head.load, {"weight": np.ones((2, 2)), "kind": np.array("quadratic")}),
        (Head.load, {"weight": np.ones((2, 2)), "bias": np.zeros(3)}),
        (Features.load, {**F, "class_names": np.array("ab")}),
        (Features.load, {**F, "class_names": np.array(3)}),
        (Features.load, {**F, "class_names": np.array([b"\xff\xfe", b"a"])}),
        (Features.load, {**F, "head_weight": np.ones((2, 3))}),
        (Features.load, {**F, "head_weight": np.ones((2, 2)), "head_scale": np.array("x")}),
        (Features.load, {**F, "ids": np.array([b"\xff", b"a"])}),
        (Predictions.load, {**P, "class_names": np.array(3)}),
        (Predictions.load, {**P, "class_names": np.array(["a", "a"])}),
        (Predictions.load, {**P, "class_counts": np.ones((2, 2), dtype=int)}),
        (Predictions.load, {**P, "probs": np.full((2, 2), 0.5)}),
    ],
)
def test_arrays_of_other_kinds_are_refused_by_the_file_s_name(
    loader: Callable[[Path], Any], arrays: dict[str, Any], tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(EveryclassError, match=r"a\.npz"):
        loader(tmp_path / "a.npz")


def test_a_stored_head_without_a_bias_has_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **F, head_weight=np.ones((2, 2)))
    head = Features.load(tmp_path / "a.npz").head
    assert head is not None
    assert head.bias.tolist() == [0.0, 0.0]


def test_names_and_ids_as_bytes_are_text(tmp_path: Path) -> None:
    words = np.array(["käse".encode(), b"b"])
    np.savez(tmp_path / "a.npz", **F, class_names=words, ids=words)
    features = Features.load(tmp_path / "a.npz")
    assert features.class_names == ("käse", "b")
    assert features.ids is not None
    assert features.ids.tolist() == ["käse", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,count\n", "one number per class"),
        ("", "one number per class"),
        ("class,number\n0,1\n", "header line 'class,count'"),
        ("class,count\n0,many\n", "whole number in each row"),
        ("class,count\n0,1.5\n", "whole number in each row"),
        ("class,count\n0\n", "whole number in each row"),
        ("count,class\n5\n", "a row is too short"),
        ("class,count\ncat,1,200\ndog,15\n", "a row is too long"),
        ("class,count,count\ncat,1,2\n", "its columns are class, count, count"),
        ("class,count\n0,1_0\n", "'1_0' is no whole number"),
        ("class;count\n0;1\n", "separated by semicolons"),
        ("class,count\n0,-1\n", r"class_counts\[0\] is -1"),
        ("class,count\n0,1\n2,1\n", r"keyed by class index and has \[0, 2\]"),
        ("class,count\ncat,1\ncat,2\n", "names a class twice"),
        ("class,count\n0," + "9" * 40, "whole numbers"),
        ("class,count\n" + "9" * 5000 + ",1\n0,2\n", None),
    ],
)
def test_count_files_that_are_none(text: str, message: str | None, tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(text)
    if message is None:  # a name, if a silly one
        assert ClassCounts.load(path).num_classes == 2
        return
    with pytest.raises(FileFormatError, match=message) as caught:
        ClassCounts.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_count_files_that_are_no_utf8(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes("class,count\nkäse,1\n".encode(encoding))
    with pytest.raises(FileFormatError, match="save it as UTF-8"):
        ClassCounts.load(tmp_path / "c.csv")


def test_counts_by_number_go_with_names_unless_these_are_numbers(tmp_path: Path) -> None:
    ClassCounts([1, 2]).save(tmp_path / "c.csv")
    counts = ClassCounts.load(tmp_path / "c.csv", names=("cat", "dog"))
    assert (counts.counts.tolist(), counts.names) == ([1, 2], ("cat", "dog"))
    swapped = ClassCounts.load(tmp_path / "c.csv", names=("1", "0"))
    assert (swapped.counts.tolist(), swapped.names) == ([2, 1], ("1", "0"))


def test_names_that_the_count_file_does_not_have(tmp_path: Path) -> None:
    ClassCounts([1, 2], ("cat", "dog")).save(tmp_path / "c.csv")
    with pytest.raises(FileFormatError, match=r"missing \['elk'\], unknown \['dog'\]"):
        ClassCounts.load(tmp_path / "c.csv", names=("cat", "elk"))


def damaged(**changes: Any) -> dict[str, Any]:
    values = evaluate(labels=[0, 1, 1], predicted=[0, 0, 1], class_counts=[5, 2]).to_dict()
    values = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
    return {**values, **changes}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"support": 5},
        damaged(support=None),
        damaged(support=[1, None]),
        damaged(support=["a", "b"]),
        damaged(per_class_recall=[0.5]),
        damaged(per_class_recall=[[0.5], [0.5, 1.0]]),
        damaged(per_class_recall="half"),
        damaged(never_predicted=3),
        damaged(accuracy="good"),
        damaged(accuracy=None),
        damaged(num_classes="two"),
        damaged(class_counts=[1, -2]),
        damaged(class_names=["a"], class_counts=[1, 2]),
        damaged(brier_score=0.5, negative_log_likelihood=[]),
    ],
)
def test_evaluations_that_are_none(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    path.write_text(json.dumps(values))
    with pytest.raises(FileFormatError, match=r"e\.json is damaged or incomplete"):
        Evaluation.load(path)


def test_the_undamaged_evaluation_is_one(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(json.dumps(damaged()))
    assert Evaluation.load(tmp_path / "e.json").lowest_recall == 0.5


@pytest.mark.parametrize("text", ["[]", "3", "null", '"a"', "{", "[" * 100_000, "\ud800"])
def test_json_that_is_no_object(text: str, tmp_path: Path) -> None:
    (tmp_path / "e.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(FileFormatError):
        Evaluation.load(tmp_path / "e.json")
