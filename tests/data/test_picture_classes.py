"""Which class a picture is said to be of: numbers, names, and files that name them otherwise."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from picture_trees import write_tree

from everyclass.data import DataConfig, load_dataset
from everyclass.errors import FileFormatError, InputError, MissingFileError


def refused(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_dataset(DataConfig(name))


def write_list(folder: Path, *lines: str) -> Path:
    path = folder / f"list-{len(list(folder.iterdir()))}.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def write_table(path: Path, *labels: str) -> Path:
    rows = "".join(f"{path.stem}{row}.jpg,{label}\n" for row, label in enumerate(labels))
    path.write_text(f"path,label\n{rows}")
    return path


# --- numbers, or names ----------------------------------------------------------------------------


def test_class_numbers_of_a_table_that_once_had_an_empty_cell(tmp_path: Path) -> None:
    tree = tmp_path
    write_tree(tree, {"train": [5, 3, 2]})
    lines = (tree / "train.txt").read_text().split()
    paths, labels = lines[::2], [int(label) for label in lines[1::2]]
    floats = pa.table({"path": paths, "label": [float(label) for label in labels]})
    pq.write_table(floats, tmp_path / "t.parquet")
    rows = [f"{path},{label}.0" for path, label in zip(paths, labels, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows]))
    for name in ("t.parquet", "t.csv"):
        opened = load_dataset(DataConfig(f"table:{tmp_path / name},root={tree}"))
        assert opened.train.labels.tolist() == labels
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows, "x.jpg,1.5"]))
    refused(
        f"table:{tmp_path / 't.csv'},root={tree}", FileFormatError, "row 10, has the label '1.5'"
    )


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("-1", "column 'label', row 2, has the label '-1'; it must be a class number"),
        ("1e0", "row 2, has the label '1e0'"),
        ("nan", "row 2, has the label 'nan'"),
        ("\u0663", "row 2, has the label"),
        ("9" * 5000, "row 2, has the label '9999"),
        ("  ", "column 'label' is empty in row 2"),
    ],
)
def test_class_numbers_of_a_table_never_become_names(
    label: str, message: str, tmp_path: Path
) -> None:
    rows = ["path,label", "a.jpg,0", "b.jpg, 3 ", f"c.jpg,{label}"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    refused(f"table:{tmp_path / 't.csv'}", FileFormatError, message)
    (tmp_path / "t.csv").write_text("\n".join(rows[:-1]))
    opened = load_dataset(DataConfig(f"table:{tmp_path / 't.csv'}"))
    assert opened.train.labels.tolist() == [0, 3]


@pytest.mark.parametrize("labels", [[0, -1], [0.0, 1e20], [0.0, float("nan")], [0, 2**63 - 1]])
def test_a_column_of_numbers_holds_class_numbers(labels: list[float], tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": ["a", "b"], "label": labels}), tmp_path / "t.parquet")
    refused(f"table:{tmp_path / 't.parquet'}", FileFormatError, "row 1, has the label")


def test_class_names_have_no_spaces_around_them(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\na.jpg, cat\nb.jpg,cat\nc.jpg,3\n")
    assert load_dataset(DataConfig(f"table:{tmp_path / 't.csv'}")).class_names == ("3", "cat")


def test_one_long_class_name_does_not_make_all_long(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", *["cat", "dog"] * 10_000, "x" * 8000)
    tracemalloc.start()
    data = load_dataset(DataConfig(f"table:{table}"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert data.class_counts.counts.tolist() == [10_000, 10_000, 1]
    assert peak < 40e6


# --- names of files -------------------------------------------------------------------------------


def test_tables_that_hold_no_paths(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", path=np.array(["a", "b"]), label=np.array([0]))
    refused(f"table:{tmp_path / 't.npz'}", FileFormatError, "is no table of pictures")
    offsets, text = pa.py_buffer(b"\0\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xff\xfe")
    broken = pa.Array.from_buffers(pa.string(), 1, [None, offsets, text])
    pq.write_table(pa.table({"path": broken, "label": [0]}), tmp_path / "t.parquet")
    refused(f"table:{tmp_path / 't.parquet'}", FileFormatError, "column 'path' cannot be read")


def test_names_of_files_that_are_no_text(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"cat")
    os.mkdir(folder)
    try:
        with open(os.path.join(folder, b"caf\xe9.jpg"), "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes no other names than UTF-8")
    refused(f"folder:{tmp_path}", FileFormatError, "a file whose name is no UTF-8.*rename it")
    refused(f"folder:{'x' * 5000}", MissingFileError, "no folder")
    (tmp_path / "l.txt").write_text("a\0b/c.jpg 0\n")
    nul = f"list:{tmp_path / 'l.txt'}"
    assert len(load_dataset(DataConfig(f"{nul},test={write_list(tmp_path, 'd.jpg 0')}")).test) == 1


# --- which class is which -------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["table", "folder"])
def test_a_file_of_the_same_names_says_their_order(form: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("dog\nfox\ncat\n")
    if form == "table":
        train = write_table(tmp_path / "a.csv", "cat", "dog", "fox", "cat")
        name = f"table:{train},test={write_table(tmp_path / 'b.csv', 'dog', 'cat')}"
    else:
        for part, kinds in {"train": ("cat", "dog", "fox"), "test": ("cat", "dog")}.items():
            for kind in kinds:
                for number in range(2 if kinds[0] == kind else 1):
                    place = tmp_path / part / kind / f"{number}.jpg"
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.touch()
        name = f"folder:{tmp_path}"
    for given, names in (
        ("", ("cat", "dog", "fox")),
        (f",names={tmp_path / 'names.txt'}", ("dog", "fox", "cat")),
    ):
        data = load_dataset(DataConfig(name + given))
        assert data.class_names == names
        counts = dict(zip(names, data.class_counts.counts.tolist(), strict=True))
        assert counts == {"cat": 2, "dog": 1, "fox": 1}
        assert {names[label] for label in data.test.labels} == {"cat", "dog"}


def test_a_file_of_other_names_renames_in_the_order_of_the_own_names(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", "n02", "n01", "n03")
    file = tmp_path / "names.txt"
    named = f"table:{table},names={file}"
    file.write_text("tench\ngoldfish\nshark\n")
    data = load_dataset(DataConfig(named))
    assert [data.class_names[label] for label in data.train.labels] == [
        "goldfish",
        "tench",
        "shark",
    ]
    file.write_text("n01\ngoldfish\nn03\n")
    assert load_dataset(DataConfig(named)).class_names == ("n01", "goldfish", "n03")
    file.write_text("n03\nn01\nn20\n")
    refused(named, InputError, "has 'n01', which table-t brings along as a class, and 'n20'")
    file.write_text("n01\nn02\nn03\nn04\n")
    refused(named, InputError, "has 4 names, and table-t brings along 3 of its own, such as 'n01'")


def test_class_numbers_are_named_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("dog\ncat\nfox\n")
    name = f"list:{write_list(tmp_path, 'a.jpg 0', 'b.jpg 1')},names={tmp_path / 'names.txt'}"
    assert load_dataset(DataConfig(name)).class_names == ("dog", "cat", "fox")
    (tmp_path / "names.txt").write_text("dog\ncat\n")
    more = name.replace("list-1", "list-2")
    write_list(tmp_path, "a.jpg 0", "b.jpg 2")
    refused(more, InputError, "has class 2 and only 2 class names")


def test_labels_beyond_the_names_that_a_set_brings_along(tmp_path: Path) -> None:
    def write(part: str, names: list[str], labels: list[int]) -> None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        described = {"huggingface": json.dumps({"info": {"features": features}})}
        table = pa.table({"image": [b"x"] * len(labels), "label": labels})
        pq.write_table(table.replace_schema_metadata(described), tmp_path / f"{part}.parquet")

    write("train", ["cat", "dog", "fox"], [0, 1, 2])
    write("test", ["dog", "cat"], [0, 1])
    data = load_dataset(DataConfig(f"hf:{tmp_path}"))
    assert [data.class_names[label] for label in data.test.labels] == ["dog", "cat"]
    write("test", ["dog", "cat"], [0, 2])
    message = "the test images have class 2 and bring only 2 class names along"
    refused(f"hf:{tmp_path}", FileFormatError, message)
    write("test", ["dog", "cow"], [0, 1])
    refused(f"hf:{tmp_path}", FileFormatError, "class 'cow', which no training image has")
    write("train", ["cat", "dog"], [0, 2])
    refused(f"hf:{tmp_path}", FileFormatError, "the train images have class 2")


def test_files_of_one_part_number_their_classes_alike(tmp_path: Path) -> None:
    def write(number: int, names: list[str] | None) -> None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        described = {"huggingface": json.dumps({"info": {"features": features}})}
        table = pa.table({"image": [b"x", b"y"], "label": [0, 1]})
        path = tmp_path / f"train-{number}.parquet"
        pq.write_table(table.replace_schema_metadata(described if names else None), path)

    write(0, None)
    write(1, ["cat", "dog"])
    write(2, ["cat", "dog"])
    data = load_dataset(DataConfig(f"hf:{tmp_path}"))
    assert (data.class_names, len(data.train)) == (("cat", "dog"), 6)
    write(2, ["dog", "cat"])
    message = r"train-2\.parquet numbers its classes otherwise .* class 0 is 'dog' here and 'cat'"
    refused(f"hf:{tmp_path}", FileFormatError, message)
    write(2, ["cat", "dog", ""])
    refused(f"hf:{tmp_path}", FileFormatError, "class 2 is '' here and '' there")


@pytest.mark.parametrize("part", ["val", "test"])
def test_classes_that_training_does_not_know(part: str, tmp_path: Path) -> None:
    train = write_table(tmp_path / "a.csv", "cat", "dog")
    other = write_table(tmp_path / "b.csv", "cat", "cow", "dog", "emu")
    message = f"the {part} images have the class 'cow', which no training image has .2 such"
    refused(f"table:{train},{part}={other}", FileFormatError, message)
    train = write_list(tmp_path, "a.jpg 0", "b.jpg 2")
    other = write_list(tmp_path, "c.jpg 0", "d.jpg 1")
    message = f"the {part} images have the class '1', which no training image has"
    refused(f"list:{train},{part}={other}", FileFormatError, message)
    other = write_list(tmp_path, "c.jpg 0", "d.jpg 7")
    refused(f"list:{train},{part}={other}", FileFormatError, "have the class '7'")
    for kind in ("cat", "dog"):
        (tmp_path / "train" / kind).mkdir(parents=True)
        (tmp_path / part / kind).mkdir(parents=True)
        (tmp_path / part / kind / "1.jpg").touch()
    (tmp_path / "train" / "cat" / "1.jpg").touch()
    refused(f"folder:{tmp_path}", FileFormatError, "have the class 'dog', which no training image")
