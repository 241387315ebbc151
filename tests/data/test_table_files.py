"""Parts of tables: every column with one entry per label is cut, whatever it is called."""

from __future__ import annotations

import csv
import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from everyclass.artifacts import Features, Head
from everyclass.data import TableFile
from everyclass.errors import FileFormatError


def part_of(path: Path, rows: list[int], total: int) -> dict[str, np.ndarray]:
    return dict(np.load(io.BytesIO(TableFile.load(path).part(np.array(rows), total))))


def test_columns_with_the_names_of_a_head_are_columns(tmp_path: Path) -> None:
    columns = {name: np.arange(4) for name in ("labels", "weight", "bias", "scale", "kind")}
    np.savez(tmp_path / "t.npz", **columns)
    part = part_of(tmp_path / "t.npz", [3, 1], 4)
    assert {name: values.tolist() for name, values in part.items()} == {
        name: [3, 1] for name in columns
    }


def test_labels_of_another_name_change_nothing_about_that(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", species=np.arange(4), weight=np.arange(4))
    assert part_of(tmp_path / "t.npz", [2], 4)["weight"].tolist() == [2]


@pytest.mark.parametrize("classes", [3, 4])  # as many as rows, too
def test_a_head_and_single_values_stay_whole(tmp_path: Path, classes: int) -> None:
    head = Head(np.ones((classes, 2)), np.arange(classes), "cosine", 16.0)
    names = tuple("abcd"[:classes])
    Features(np.ones((4, 2)), np.arange(4) % classes, head, names).save(tmp_path / "f.npz")
    (tmp_path / "part.npz").write_bytes(TableFile.load(tmp_path / "f.npz").part(np.arange(2), 4))
    part = Features.load(tmp_path / "part.npz")
    assert (len(part), part.class_names) == (2, names)
    assert part.head is not None
    assert part.head.bias.tolist() == list(range(classes))
    np.savez(tmp_path / "t.npz", labels=np.arange(4), scale=np.array(2.0))
    assert part_of(tmp_path / "t.npz", [1], 4)["scale"] == 2.0


def test_what_has_no_entry_per_label_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", labels=np.arange(4), weight=np.ones((3, 2)))
    with pytest.raises(FileFormatError, match=r"'weight' has shape \(3, 2\) and there are 4"):
        part_of(tmp_path / "t.npz", [1], 4)


@pytest.mark.parametrize("cell", ["one\rother", "one\r\nother", "one\nother", 'a "b", c'])
def test_a_part_of_a_csv_file_says_the_same(cell: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(
        '"odd ""name""",labels\n"{}",0\nplain,1\n'.format(cell.replace('"', '""')).encode()
    )
    for rows in ([0, 1], [0]):
        (tmp_path / "part.csv").write_bytes(TableFile.load(tmp_path / "t.csv").part(rows, 2))
        part = TableFile.load(tmp_path / "part.csv")
        assert part.columns == ['odd "name"', "labels"]
        assert part.content == [[cell, "0"], ["plain", "1"]][: len(rows)]


def test_a_part_of_a_plain_csv_file_has_its_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b'x,labels\n007,a\n"so, ""said""\nhe",b\n')
    part = TableFile.load(tmp_path / "t.csv").part(np.array([0, 1]), 2)
    assert part == (tmp_path / "t.csv").read_bytes()


def test_one_long_cell_does_not_make_all_long(tmp_path: Path) -> None:
    lines = "".join(f"c{row % 3},t{row}\n" for row in range(50_000))
    (tmp_path / "t.csv").write_text(f"labels,text\n{lines}c0,{'x' * 8000}\n")
    tracemalloc.start()
    column = TableFile.load(tmp_path / "t.csv").column("text", "--group-column")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert column[[0, -1]].tolist() == ["t0", "x" * 8000]
    assert peak < 60e6


def test_an_array_may_have_any_name(tmp_path: Path) -> None:
    names = {"labels", "file", "allow_pickle"}
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        for name in names:
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.arange(4))
    part = part_of(tmp_path / "t.npz", [3, 1], 4)
    assert set(part) == names
    assert all(values.tolist() == [3, 1] for values in part.values())


def test_a_cell_may_be_of_any_length(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("label,text\na," + "x" * 200_000 + "\n")
    table = TableFile.load(tmp_path / "t.csv")
    assert len(table.column("text", "--column")[0]) == 200_000
    assert csv.field_size_limit() < 200_000  # that of others stays


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"label;path\na;b\n", "separated by semicolons; write the table with commas"),
        ("label,path\nkäse,b\n".encode("cp1252"), "no UTF-8 text in line 2; save it as UTF-8"),
        ("label,path\na,b\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(FileFormatError, match=said):
        TableFile.load(tmp_path / "t.csv")
