"""CIFAR in each of its forms gives the published split; whatever is not CIFAR says so."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from claimed_sizes import png_that_claims
from hypothesis import given
from hypothesis import strategies as st

from everyclass.data import Dataset, check_data, load_dataset
from everyclass.data.cifar import CIFAR10, CIFAR100, load_cifar_lt, published_order
from everyclass.data.registry import DataConfig
from everyclass.errors import DataNotFoundError, FileFormatError, InputError, MissingFileError

ALL = np.arange(400)
MIXED = np.random.default_rng(9).permutation(400)


def first_of_ratio_ten(small: Any) -> np.ndarray:
    """The rows that a file of the ratio-10 split holds, in its order."""
    return small.published_split(10.0)


FORMS: dict[str, Callable[[Any, Path], object]] = {
    "npz": lambda small, root: small.write_npz(root),
    "npz in a folder": lambda small, root: small.write_npz(root / small.facts.name),
    "npz without names": lambda small, root: small.write_npz(root, class_names=None),
    "parquet": lambda small, root: small.write_parquet(root, ALL, ()),
    "parquet, mixed rows": lambda small, root: small.write_parquet(root, MIXED, ("index",)),
    "parquet with order": lambda small, root: small.write_parquet(root, MIXED),
    "parquet in WebP": lambda small, root: small.write_parquet(root, ALL, (), image_format="WebP"),
    "parquet without names": lambda small, root: small.write_parquet(root, ALL, (), named=False),
}


def assert_published_split(small: Any, dataset: Dataset, ratio: float, profile: str) -> None:
    rows = small.published_split(ratio, profile)
    assert dataset.train.index.tolist() == rows.tolist()  # the same rows in the same order
    np.testing.assert_array_equal(dataset.train.images, small.images[rows])
    np.testing.assert_array_equal(dataset.train.labels, small.labels[rows])
    np.testing.assert_array_equal(dataset.test.images, small.test_images)
    np.testing.assert_array_equal(dataset.test.labels, small.test_labels)
    assert dataset.train.images.dtype == np.uint8
    assert dataset.name == f"{small.facts.name}-lt"
    assert dataset.num_classes == 10
    assert dataset.class_counts.counts.sum() == len(rows)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_published_split(form: str, small: Any, tmp_path: Path) -> None:
    FORMS[form](small, tmp_path)
    for ratio, profile in ((8.0, "step"), (5.0, "exp")):
        dataset = load_cifar_lt(small.facts, imbalance_ratio=ratio, profile=profile, root=tmp_path)
        assert_published_split(small, dataset, ratio, profile)
    names = tuple("0123456789") if "without names" in form else small.names
    assert dataset.class_names == names


def test_pickles_of_every_age_give_the_published_split(
    small: Any, tmp_path: Path, dump: Any
) -> None:
    small.write_pickles(tmp_path, dump)
    dataset = load_cifar_lt(small.facts, imbalance_ratio=10.0, root=tmp_path)
    assert_published_split(small, dataset, 10.0, "exp")
    assert dataset.class_names == small.names


def test_the_pickles_of_these_tests_are_pickles(
    small: Any, tmp_path: Path, python2_dump: Any
) -> None:
    small.write_pickles(tmp_path, python2_dump)
    batch = tmp_path / small.facts.folder / small.facts.test_batch
    plain = pickle.loads(batch.read_bytes(), encoding="bytes")
    pixels = plain[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(pixels, small.test_images)
    assert plain[small.facts.label_key.encode()] == small.test_labels.tolist()


@pytest.mark.parametrize("places", [["root"], ["environment"], ["cache"], ["root", "environment"]])
def test_the_places_are_tried_in_order(
    places: list[str], small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERYCLASS_DATA", str(tmp_path / "environment"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folders = {place: tmp_path / place for place in ("root", "environment")}
    folders["cache"] = tmp_path / "cache" / "everyclass"
    for i, place in enumerate(places):  # which one it was shows in the first pixel
        images = small.images.copy()
        images[:, 0, 0, 0] = i
        small.write_npz(folders[place], train_images=images)
    folders["root"].mkdir(exist_ok=True)
    dataset = load_cifar_lt(small.facts, imbalance_ratio=10.0, root=tmp_path / "root")
    assert set(dataset.train.images[:, 0, 0, 0]) == {0}


def test_data_that_are_nowhere_list_the_places_and_the_command(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERYCLASS_DATA", str(tmp_path / "environment"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "root").mkdir()
    with pytest.raises(DataNotFoundError) as caught:
        load_cifar_lt(small.facts, root=tmp_path / "root")
    message = str(caught.value)
    name = small.facts.name
    places = [tmp_path / "root", tmp_path / "environment", tmp_path / "cache" / "everyclass"]
    found = [message.index(f"  {place}: {name}/train-*.parquet") for place in places]
    assert found == sorted(found)
    assert f"everyclass data get {name}\n" in message
    assert "EVERYCLASS_DATA" in message
    assert isinstance(caught.value, FileNotFoundError)


def test_a_named_root_that_is_not_there_is_refused_whatever_the_environment_has(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.write_npz(tmp_path / "environment")
    monkeypatch.setenv("EVERYCLASS_DATA", str(tmp_path / "environment"))
    named = f"There is no folder {tmp_path / 'root'} to look for data in"
    with pytest.raises(MissingFileError, match=f"^{re.escape(named)}.*--data-root"):
        load_cifar_lt(small.facts, root=tmp_path / "root")
    assert load_cifar_lt(small.facts, imbalance_ratio=10.0).num_classes == small.facts.num_classes


@pytest.mark.parametrize("data", ["digits-lt", "cifar10-lt", "imagenet-lt", "folder:."])
def test_a_root_that_is_not_there_is_refused_of_every_data_set(data: str, tmp_path: Path) -> None:
    for load in (partial(load_dataset, DataConfig(data)), partial(check_data, data)):
        for root in (tmp_path / "root", str(tmp_path / "root")):
            with pytest.raises(MissingFileError, match=re.escape(str(tmp_path / "root"))):
                load(root=root)


def test_a_folder_of_parquet_files_alone_is_known_by_its_columns(
    small: Any, tmp_path: Path
) -> None:
    folder = small.write_parquet(tmp_path, ALL, ()).rename(tmp_path / "hub")
    dataset = load_cifar_lt(small.facts, imbalance_ratio=10.0, root=folder)
    assert_published_split(small, dataset, 10.0, "exp")
    other = {"cifar10": CIFAR100, "cifar100": CIFAR10}[small.facts.name]
    with pytest.raises(DataNotFoundError, match=f"{other.name} was not found"):
        load_cifar_lt(other, root=folder)


# Parts of CIFAR ----------------------------------------------------------------------------------


def test_a_part_gives_every_ratio_that_lies_in_it_and_says_so_beyond(
    small: Any, tmp_path: Path
) -> None:
    small.write_parquet(tmp_path, first_of_ratio_ten(small))
    for ratio in (10.0, 15.0, 40.0):
        dataset = load_cifar_lt(small.facts, imbalance_ratio=ratio, root=tmp_path)
        assert_published_split(small, dataset, ratio, "exp")
    kept = np.bincount(small.labels[small.published_split(5.0)])
    held = np.bincount(small.labels[first_of_ratio_ten(small)])
    worst = int(np.argmax(kept - held))
    with pytest.raises(InputError) as caught:
        load_cifar_lt(small.facts, imbalance_ratio=5.0, root=tmp_path)
    assert (
        f"The exp split of ratio 5 needs {kept[worst]} images of class {worst} "
        f"('name-{worst}') and the file at hand holds {held[worst]}: it is a part of "
        f"{small.facts.name}. Get the whole set with: everyclass data get {small.facts.name}, and "
        "name its folder with data_root (--data-root), or use a larger ratio."
    ) in str(caught.value)
    with pytest.raises(InputError, match="The step split of ratio 10 needs 40 images"):
        load_cifar_lt(small.facts, imbalance_ratio=10.0, profile="step", root=tmp_path)


@pytest.mark.parametrize("columns", [(), ("index",)])
def test_a_part_without_order_gives_no_split(
    columns: tuple[str, ...], small: Any, tmp_path: Path
) -> None:
    rows = first_of_ratio_ten(small)
    small.write_parquet(tmp_path, rows, columns)
    with pytest.raises(FileFormatError, match=r"no column 'order'") as caught:
        load_cifar_lt(small.facts, imbalance_ratio=20.0, root=tmp_path)
    assert f"holds {len(rows):,} images where the whole training set has 400" in str(caught.value)


def test_a_part_as_npz_gives_no_split(small: Any, tmp_path: Path) -> None:
    rows = first_of_ratio_ten(small)
    small.write_npz(tmp_path, train_images=small.images[rows], train_labels=small.labels[rows])
    with pytest.raises(FileFormatError, match="where the whole training set has 400"):
        load_cifar_lt(small.facts, imbalance_ratio=20.0, root=tmp_path)


# The held-out images -----------------------------------------------------------------------------


@pytest.mark.parametrize("part", [False, True])
def test_the_rest_is_what_the_ratio_ten_split_has_more(
    part: bool, small: Any, tmp_path: Path
) -> None:
    rows = first_of_ratio_ten(small) if part else ALL
    small.write_parquet(tmp_path, rows)
    dataset = load_cifar_lt(small.facts, imbalance_ratio=40.0, val="rest", root=tmp_path)
    assert dataset.val is not None
    train, rest = set(dataset.train.index), set(dataset.val.index)
    assert train.isdisjoint(rest)
    assert train | rest == set(small.published_split(10.0))
    np.testing.assert_array_equal(dataset.val.images, small.images[dataset.val.index])
    np.testing.assert_array_equal(dataset.val.labels, small.labels[dataset.val.index])
    plain = load_cifar_lt(small.facts, imbalance_ratio=40.0, root=tmp_path)
    assert plain.val is None
    assert plain.train.fingerprint == dataset.train.fingerprint


def test_where_no_rest_is_left(small: Any, tmp_path: Path) -> None:
    small.write_npz(tmp_path)
    for ratio in (10.0, 2.0):
        with pytest.raises(InputError, match="leaves nothing of the ratio-10 split for val='rest'"):
            load_cifar_lt(small.facts, imbalance_ratio=ratio, val="rest", root=tmp_path)


# The published order -----------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "largest"), [(10, 5000), (100, 500)])
def test_the_published_order_of_50_000_labels(classes: int, largest: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(classes), largest))
    order = published_order(labels, classes)
    np.random.seed(0)
    for c in range(classes):
        rows = np.where(labels == c)[0]
        np.random.shuffle(rows)
        assert order[rows].tolist() == list(range(largest))


def test_the_first_shuffle_begins_as_it_is_known_to() -> None:
    order = published_order(np.zeros(500, dtype=np.int64), 1)
    assert np.argsort(order)[:10].tolist() == [90, 254, 283, 445, 461, 15, 316, 489, 159, 153]


@given(st.floats(1, 40), st.floats(1, 40))
def test_a_larger_ratio_keeps_a_prefix_of_every_class(one: float, two: float) -> None:
    from everyclass.data import long_tailed_counts

    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 40))
    order = published_order(labels, 10)
    small, large = max(one, two), min(one, two)
    for c in range(10):
        of_class = np.flatnonzero(labels == c)
        kept = [
            of_class[order[of_class] < long_tailed_counts(40, 10, ratio)[c]]
            for ratio in (small, large)
        ]
        assert set(kept[0]) <= set(kept[1])
    state = np.random.get_state()[1]
    published_order(labels, 10)
    assert (np.random.get_state()[1] == state).all()  # nobody else's generator is touched


# What is not CIFAR -------------------------------------------------------------------------------


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def image_cell(row: int, data: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        cells = table["img"].to_pylist()
        cells[row] = data
        kind = table.schema.field("img").type
        return table.set_column(0, "img", pa.array(cells, kind))

    return change


def of_size(width: int, height: int) -> dict[str, Any]:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ({"bytes": b"no image", "path": None}, "cannot identify"),
        ({"bytes": b"", "path": None}, "cannot identify"),
        ({"bytes": None, "path": "a.png"}, ""),
        (None, ""),
        (of_size(1, 1), "it has 1 × 1 pixels"),
        (of_size(32, 1), "it has 32 × 1 pixels"),
        (of_size(33, 32), "it has 33 × 32 pixels"),
        ({"bytes": png_that_claims(20_000, 20_000), "path": None}, ""),
        ({"bytes": of_size(32, 32)["bytes"][:60], "path": None}, ""),
    ],
)
def test_an_undecodable_image_is_named_by_row(
    cell: Any, reason: str, small: Any, tmp_path: Path
) -> None:
    folder = small.write_parquet(tmp_path, first_of_ratio_ten(small)[:20])
    file = folder / "train-00000-of-00001.parquet"
    rewrite(file, image_cell(7, cell))
    with pytest.raises(FileFormatError, match=r"the image in row 7 cannot be decoded") as caught:
        load_cifar_lt(small.facts, imbalance_ratio=40.0, root=tmp_path)
    assert str(file) in str(caught.value)
    assert reason in str(caught.value)


def with_column(name: str, values: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        return table.set_column(at, name, pa.array(values(len(table))))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.rename_columns(["picture", *t.column_names[1:]]),
            r"it has picture, .*, index",
        ),
        (
            lambda t: t.rename_columns(["img", "class", *t.column_names[2:]]),
            "it has img, class, in",
        ),
        (with_column("index", lambda n: [-1] * n), r"index\[0\] is -1"),
        (with_column("index", lambda n: ["a"] * n), "index must be integers"),
        (with_column("order", lambda n: [0.5] * n), "order must be integers"),
        (with_column("order", lambda n: [-5] * n), r"order\[0\] is -5"),
    ],
)
def test_columns_that_are_wrong(change: Any, message: str, small: Any, tmp_path: Path) -> None:
    folder = small.write_parquet(tmp_path, ALL[:20])
    file = folder / "train-00000-of-00001.parquet"
    rewrite(file, change)
    with pytest.raises(FileFormatError, match=message) as caught:
        load_cifar_lt(small.facts, imbalance_ratio=40.0, root=tmp_path)
    assert str(file) in str(caught.value)


def test_labels_and_names_beyond_the_classes(small: Any, tmp_path: Path) -> None:
    folder = small.write_parquet(tmp_path, ALL[:20])
    rewrite(
        folder / "train-00000-of-00001.parquet", with_column(small.label_column, lambda n: [10] * n)
    )
    with pytest.raises(FileFormatError, match=r"label\[0\] is 10, outside 0\.\.9"):
        load_cifar_lt(small.facts, root=tmp_path)
    small.write_parquet(tmp_path, ALL[:20])
    short = b'{"info": {"features": {"%s": {"names": ["a"]}}}}' % small.label_column.encode()
    rewrite(
        folder / "train-00000-of-00001.parquet",
        lambda t: t.replace_schema_metadata({"huggingface": short}),
    )
    with pytest.raises(FileFormatError, match="1 class names and 10 classes"):
        load_cifar_lt(small.facts, root=tmp_path)


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b"{}", b'{"info": {"features": 3}}', b"\xff", b"[" * 100_000]
)
def test_a_description_that_describes_nothing(text: bytes, small: Any, tmp_path: Path) -> None:
    folder = small.write_parquet(tmp_path, first_of_ratio_ten(small))
    rewrite(
        folder / "train-00000-of-00001.parquet",
        lambda t: t.replace_schema_metadata({"huggingface": text}),
    )
    dataset = load_cifar_lt(small.facts, imbalance_ratio=20.0, root=tmp_path)
    assert dataset.class_names == tuple("0123456789")


def test_parquet_files_that_are_none(small: Any, tmp_path: Path) -> None:
    folder = small.write_parquet(tmp_path, ALL[:20])
    (folder / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(FileFormatError, match=r"train-\*\.parquet and no test-\*\.parquet"):
        load_cifar_lt(small.facts, root=tmp_path)
    file = folder / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-40])
    for root in (tmp_path, folder.rename(tmp_path / "hub")):
        if root == tmp_path:
            root = tmp_path / "again"
            small.write_parquet(root, ALL[:20])
            again = root / small.facts.name / file.name
            again.write_bytes(again.read_bytes()[:-40])
        with pytest.raises(FileFormatError, match="is not a readable parquet file"):
            load_cifar_lt(small.facts, root=root)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_labels": None}, "needs train_images, train_labels, test_images, test_labels; it"),
        ({"train_images": np.zeros((400, 3072), np.uint8)}, r"uint8 of shape \(n, 32, 32, 3\)"),
        ({"train_images": np.zeros((400, 32, 32, 3), np.float32)}, "got float32 of shape"),
        ({"train_labels": np.zeros((400, 1), int)}, "train_labels must be one-dimensional"),
        ({"train_labels": np.full(400, 10)}, r"train_labels\[0\] is 10, outside 0\.\.9"),
        ({"train_labels": np.zeros(400)}, "train_labels must be integers"),
        ({"test_labels": np.zeros(3, int)}, "test_labels has 3 entries where 20 are needed"),
        ({"class_names": np.array(["a", "b"])}, "2 class names and 10 classes"),
        ({"class_names": np.array("a")}, "class_names must be one-dimensional"),
    ],
)
def test_npz_files_that_are_none(
    changes: dict[str, Any], message: str, small: Any, tmp_path: Path
) -> None:
    path = small.write_npz(tmp_path, **changes)
    with pytest.raises(FileFormatError, match=message) as caught:
        load_cifar_lt(small.facts, root=tmp_path)
    assert str(path) in str(caught.value)


def test_pickles_that_are_none(small: Any, tmp_path: Path, python2_dump: Any) -> None:
    small.write_pickles(tmp_path, python2_dump)
    facts, folder = small.facts, tmp_path / small.facts.folder
    batch, meta = folder / facts.batches[0], folder / facts.names_file
    good = batch.read_bytes()
    rows = np.zeros((2, 3072), np.uint8)

    def says(message: str, path: Path, value: Any) -> None:
        before = path.read_bytes()
        path.write_bytes(value if isinstance(value, bytes) else python2_dump(value))
        with pytest.raises(FileFormatError, match=message) as caught:
            load_cifar_lt(facts, imbalance_ratio=20.0, root=tmp_path)
        assert str(path) in str(caught.value)
        path.write_bytes(before)

    says("needs 'data' of 3,072 columns", batch, {"data": rows[:, :300]})
    says("needs 'data' of 3,072 columns", batch, {"data": [1, 2]})
    says(f"no '{facts.label_key}'", batch, {"data": rows})
    says("has 1 entries where 2 are needed", batch, {"data": rows, facts.label_key: [0]})
    says(r"\[1\] is 99, outside 0\.\.9", batch, {"data": rows, facts.label_key: [0, 99]})
    says("must be integers", batch, {"data": rows, facts.label_key: ["a", "b"]})
    says("holds a list; a dict is needed", batch, [1, 2])
    says(f"no list '{facts.names_key}'", meta, {"other": ["a"]})
    says("2 class names and 10 classes", meta, {facts.names_key: ["a", "b"]})
    for end in range(0, len(good), len(good) // 40):
        says("is not a readable CIFAR batch", batch, good[:end])
    half = {"data": rows, facts.label_key: [0, 1]}
    before = batch.read_bytes()
    batch.write_bytes(python2_dump(half))
    with pytest.raises(FileFormatError, match="images where the whole training set has 400"):
        load_cifar_lt(facts, root=tmp_path)
    batch.write_bytes(before)
    (folder / facts.test_batch).unlink()
    with pytest.raises(MissingFileError, match=f"no data batch at .*{facts.test_batch}"):
        load_cifar_lt(facts, root=tmp_path)


def test_a_data_set_that_nobody_knows() -> None:
    with pytest.raises(InputError, match="no data set 'cifar'; there are cifar10-lt, cifar100-lt"):
        load_dataset(DataConfig("cifar"))
