"""`everyclass split` on tables of every kind."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from everyclass import Features, Head

Command = Callable[..., Any]
LABELS = ["cat"] * 40 + ["dog"] * 20 + ["lynx"] * 3 + ["emu"]
GROUPS = [f"{i // 2:03d}" for i in range(63)] + ["emu"]


def written(path: Path) -> Path:
    """64 rows: a label, a group of two rows, a zero-padded number, a text with a comma."""
    columns = {
        "labels": LABELS,
        "patient": GROUPS,
        "code": [f"{i:05d}" for i in range(64)],
        "note": [f'row {i}, "so"\nsaid' for i in range(64)],
    }
    if path.suffix == ".csv":
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.table(columns), path)
    else:
        np.savez(
            path,
            labels=np.array(LABELS),
            patient=np.array(GROUPS),
            code=np.array(columns["code"]),
            features=np.arange(2 * 64 * 3).reshape(2, 64, 3),
            class_names=np.array(["cat", "dog", "emu", "lynx"]),
        )
    return path


def arrays_of(path: Path) -> dict[str, Any]:
    with np.load(path) as stored:
        return dict(stored)


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    if path.suffix == ".csv":
        with path.open(newline="") as stream:
            return [tuple(row) for row in csv.reader(stream)][1:]
    if path.suffix == ".parquet":
        return [tuple(row.values()) for row in pyarrow.parquet.read_table(path).to_pylist()]
    arrays = arrays_of(path)
    assert arrays["class_names"].tolist() == ["cat", "dog", "emu", "lynx"]
    features = arrays["features"].transpose(1, 0, 2).reshape(-1, 6).tolist()
    names = ("labels", "patient", "code")
    return list(zip(*(arrays[n].tolist() for n in names), map(tuple, features), strict=True))


@pytest.mark.parametrize("ending", ["csv", "parquet", "npz"])
def test_every_row_goes_to_one_part_unchanged(
    ending: str, everyclass: Command, tmp_path: Path
) -> None:
    table = written(tmp_path / f"t.{ending}")
    options = ("--val", "0.2", "--test", "0.2", "--group-column", "patient", "--seed", "1")
    done = everyclass("split", table, *options, "--out", tmp_path / "parts")
    assert done.code == 0, done.err
    parts = {n: rows_of(tmp_path / "parts" / f"{n}.{ending}") for n in ("train", "val", "test")}
    assert sorted(row for rows in parts.values() for row in rows) == sorted(rows_of(table))
    patients = [{row[1] for row in rows} for rows in parts.values()]
    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]
    assert not patients[1] & patients[2]
    assert "1 classes cannot be judged here, no rows: emu" in done.out
    said = json.loads((tmp_path / "parts" / "split.json").read_text())
    assert said["images"] == {name: len(rows) for name, rows in parts.items()}
    assert "emu" in said["missing"]["test"]
    assert said["counts"]["cat"]["train"] == sum(row[0] == "cat" for row in parts["train"])


def test_what_a_split_writes_can_be_split_again(everyclass: Command, tmp_path: Path) -> None:
    notes = [f"row {i}\rof an old file" for i in range(64)]
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("labels", "note"), *zip(LABELS, notes, strict=True)])
    table = tmp_path / "t.csv"
    for folder in ("parts", "again"):
        done = everyclass("split", table, "--val", "0.25", "--out", tmp_path / folder)
        assert done.code == 0, done.err
        table = tmp_path / folder / "train.csv"
    assert set(rows_of(table)) < set(zip(LABELS, notes, strict=True))


def test_a_features_file_with_its_head(everyclass: Command, tmp_path: Path) -> None:
    draw = np.random.default_rng(0).normal
    head = Head(draw(size=(4, 3)), draw(size=4), "cosine", 16.0)
    labels = np.arange(64) % 4
    Features(draw(size=(64, 3)), labels, head, ("cat", "dog", "emu", "lynx")).save(
        tmp_path / "f.npz"
    )
    done = everyclass("split", tmp_path / "f.npz", "--val", "0.25", "--out", tmp_path / "parts")
    assert done.code == 0, done.err
    for name, rows in {"train": 48, "val": 16}.items():
        part = Features.load(tmp_path / "parts" / f"{name}.npz")
        assert len(part) == rows
        assert part.class_names == ("cat", "dog", "emu", "lynx")
        assert part.head is not None
        np.testing.assert_array_equal(part.head.weight, head.weight)
        assert (part.head.kind, part.head.scale) == ("cosine", 16.0)


def test_a_column_about_heads_is_a_column(everyclass: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", labels=np.array(LABELS), head_girth=np.arange(64))
    done = everyclass("split", tmp_path / "t.npz", "--out", tmp_path / "parts")
    assert done.code == 0, done.err
    parts = [arrays_of(tmp_path / "parts" / f"{name}.npz") for name in ("train", "val")]
    assert sorted(np.concatenate([part["head_girth"] for part in parts])) == list(range(64))


def test_a_part_that_cannot_take_its_place(everyclass: Command, tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv")
    (tmp_path / "parts" / "val.csv").mkdir(parents=True)
    everyclass("split", table, "--out", tmp_path / "parts", "--overwrite").refused(
        f"Cannot write {tmp_path / 'parts' / 'val.csv'}: ", code=1
    )
    assert not [path for path in (tmp_path / "parts").iterdir() if path.name.startswith(".")]


def test_json_and_the_part_that_is_not_asked_for(everyclass: Command, tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv")
    done = everyclass("split", table, "--out", tmp_path / "parts", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["images"].keys() == {"train", "val"}
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == [
        "split.json",
        "train.csv",
        "val.csv",
    ]


def test_results_are_not_overwritten_unasked(everyclass: Command, tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv")
    out = ("--out", tmp_path / "parts")
    assert everyclass("split", table, *out).code == 0
    before = (tmp_path / "parts" / "val.csv").read_bytes()
    everyclass("split", table, *out, "--seed", "5").refused("is not empty", "--overwrite")
    assert (tmp_path / "parts" / "val.csv").read_bytes() == before
    assert everyclass("split", table, *out, "--seed", "5", "--overwrite").code == 0
    assert (tmp_path / "parts" / "val.csv").read_bytes() != before


def test_a_part_of_an_earlier_split_is_removed(everyclass: Command, tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv")
    out = ("--out", tmp_path / "parts", "--overwrite")
    assert everyclass("split", table, *out, "--test", "0.3").code == 0
    assert (tmp_path / "parts" / "test.csv").exists()
    assert everyclass("split", table, *out).code == 0
    assert not (tmp_path / "parts" / "test.csv").exists()  # whose rows are training rows now


def text(content: str | bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "t.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def arrays(**values: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        np.savez(folder / "t.npz", **values)
        return folder / "t.npz"

    return make


BAD: dict[str, tuple[Callable[[Path], Path], tuple[str, ...], tuple[str, ...]]] = {
    "no such column": (
        text("y,x\na,1\n"),
        (),
        ("no column 'labels'; it has y, x", "--labels-column"),
    ),
    "no such group": (
        text("labels,x\na,1\nb,2\n"),
        ("--group-column", "patient"),
        ("no column 'patient'", "--group-column"),
    ),
    "an empty label": (text("labels,x\na,1\n,2\n"), (), ("'labels' is empty in row 1",)),
    "a short row": (text("labels,x\na,1\nb\n"), (), ("row 1 has 1 values and the header has 2",)),
    "a column twice": (text("labels,labels\na,1\nb,1\n"), (), ("two columns of the same name",)),
    "an open quote": (text('labels,x\n"a,1\n'), (), ("not a readable csv file",)),
    "no text": (text(b"labels,x\n\xff\xfe,1\n"), (), ("no UTF-8 text in line 2",)),
    "semicolons": (text(b"labels;x\na;1\n"), (), ("separated by semicolons",)),
    "a header only": (text("labels,x\n"), (), ("no rows below its header",)),
    "nothing": (text(""), (), ("no rows below its header",)),
    "shares": (
        text("labels\na\nb\n"),
        ("--val", "0.6", "--test", "0.4"),
        ("leave something to train on",),
    ),
    "one group": (
        text("labels,g\na,1\nb,1\n"),
        ("--group-column", "g"),
        ("t.csv: All rows are in one group",),
    ),
    "another kind of file": (
        lambda f: (f / "t.txt").write_text("labels\na\n") and f / "t.txt",
        (),
        ("is no table; a .csv, .parquet or .npz file is needed",),
    ),
    "no parquet": (
        lambda f: (f / "t.parquet").write_text("labels\na\n") and f / "t.parquet",
        (),
        ("not a readable parquet file",),
    ),
    "an array of other length": (
        arrays(labels=np.arange(4), features=np.zeros((3, 2))),
        (),
        ("'features' has shape (3, 2) and there are 4 labels",),
    ),
    "pickles": (
        arrays(labels=np.array([{}, {}], dtype=object)),
        (),
        ("pickled Python objects",),
    ),
    "float labels": (
        arrays(labels=np.array([0.5, 1.5])),
        (),
        ("t.npz: labels must be whole numbers or text",),
    ),
    "no file": (lambda f: f / "no.csv", (), ("There is no table at",)),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(case: str, everyclass: Command, tmp_path: Path) -> None:
    make, options, words = BAD[case]
    out = tmp_path / "parts"
    everyclass("split", make(tmp_path), *options, "--out", out).refused(*words)
    assert not (out / "train.csv").exists()
    assert not (out / "split.json").exists()
