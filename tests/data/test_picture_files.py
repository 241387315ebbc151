"""Pictures in lists, tables, folders, parquet files and shards are the same pictures."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import signal
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from picture_trees import a_picture, write_tree
from torch.utils.data import DataLoader

from everyclass.data import (
    DATASETS,
    PUBLISHED,
    BadPictures,
    BatchAugmentation,
    DataConfig,
    Dataset,
    DecodedSource,
    EncodedSet,
    count_parts,
    find_bad_pictures,
    get_augmentation,
    load_dataset,
    open_every_part,
    parse_spec,
)
from everyclass.data.augmentation import CropAndFlip, RandAugment, RandomResizedCrop, Transform
from everyclass.data.pictures import SavedDataset
from everyclass.errors import (
    FileFormatError,
    InputError,
    MissingFileError,
    MissingLibraryError,
    OutputExistsError,
    RunFailedError,
)

COUNTS = {"train": [5, 3, 2], "test": [2, 2, 2]}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    write_tree(root, COUNTS)
    return root


def source(
    images: EncodedSet, data: Dataset, *names: str, workers: int = 0, policy: str = "fail"
) -> DecodedSource:
    assert data.cut is not None
    return DecodedSource(
        images,
        cut=data.cut,
        augmentations=[
            get_augmentation(name, crop_padding=None, flip=True) for name in names or ("basic",)
        ],
        mean=data.mean,
        std=data.std,
        device=torch.device("cpu"),
        bad=BadPictures(policy),
        workers=workers,
    )


def pixels(name: str) -> tuple[list[int], np.ndarray]:
    data = load_dataset(DataConfig(name))
    assert isinstance(data.train, EncodedSet)
    (batch,) = source(data.train, data).pixels([torch.arange(len(data.train))])
    return data.train.labels.tolist(), batch[1].numpy()


def write_forms(tree: Path, to: Path) -> dict[str, str]:
    """The training images in every form, and how to name each."""
    lines = [line.split() for line in (tree / "train.txt").read_text().splitlines()]
    with open(to / "t.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([["path", "label"], *lines])
    with open(to / "named.csv", "w", newline="") as stream:
        rows = [[path, Path(path).parent.name] for path, _ in lines]
        csv.writer(stream).writerows([["file", "kind"], *rows])
    cells = [{"bytes": (tree / path).read_bytes(), "path": path} for path, _ in lines]
    table = pa.table({"image": cells, "label": [int(label) for _, label in lines]})
    (to / "hf").mkdir()
    pq.write_table(table.slice(0, 4), to / "hf" / "train-0.parquet", row_group_size=3)
    pq.write_table(table.slice(4), to / "hf" / "train-1.parquet", row_group_size=2)
    for shard, part in enumerate((lines[:6], lines[6:])):
        with tarfile.open(to / f"s-{shard:03}.tar", "w") as archive:
            for number, (path, label) in enumerate(part):
                for ending, content in (
                    ("jpg", (tree / path).read_bytes()),
                    ("cls", label.encode()),
                ):
                    member = tarfile.TarInfo(f"{number:04}.{ending}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return {
        "table": f"table:{to / 't.csv'},root={tree},size=16",
        "names": f"table:{to / 'named.csv'},root={tree},image=file,label=kind,size=16",
        "folder": f"folder:{tree / 'train'},size=16",
        "hf": f"hf:{to / 'hf'},size=16",
        "range": f"shards:{to}/s-{{000..001}}.tar,size=16",
        "star": f"shards:{to}/s-*.tar,size=16",
    }


def test_every_form_gives_the_same_pictures(tree: Path, tmp_path: Path) -> None:
    labels, wanted = pixels(f"list:{tree / 'train.txt'},size=16")
    assert labels == [0] * 5 + [1] * 3 + [2] * 2
    assert wanted.shape == (10, 16, 16, 3)
    for form, name in write_forms(tree, tmp_path).items():
        found_labels, found = pixels(name)
        order = np.argsort(found.reshape(10, -1).sum(1)) if form == "folder" else slice(None)
        same = np.argsort(wanted.reshape(10, -1).sum(1)) if form == "folder" else slice(None)
        assert np.array_equal(found[order], wanted[same]), form
        assert sorted(found_labels) == labels, form


def test_a_saved_hugging_face_dataset(tree: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    paths = [line.split() for line in (tree / "train.txt").read_text().splitlines()]
    made = datasets.Dataset.from_dict(
        {"image": [str(tree / p) for p, _ in paths], "label": [int(y) for _, y in paths]}
    ).cast_column("image", datasets.Image())
    datasets.DatasetDict(train=made).save_to_disk(str(tmp_path / "saved"))
    _, wanted = pixels(f"list:{tree / 'train.txt'},size=16")
    assert np.array_equal(pixels(f"hf:{tmp_path / 'saved'},size=16")[1], wanted)


def test_saved_rows_without_a_picture_are_skipped(tree: Path) -> None:
    data = load_dataset(DataConfig(f"list:{tree / 'train.txt'},size=16"))
    cells = [
        {"bytes": a_picture(0, 0), "path": None},
        None,
        {"bytes": None, "path": None},
        {"bytes": None, "path": str(tree / "train" / "class00" / "1.jpg")},
        {"bytes": None, "path": str(tree / "none.jpg")},
        {"bytes": None, "path": "a\0b.jpg"},
        {"bytes": 3, "path": "a.jpg"},
    ]
    rows = [{"image": cell} for cell in cells]
    labels = np.zeros(len(rows), dtype=np.int64)
    images = EncodedSet(SavedDataset(rows, "image", tree), labels, np.arange(len(rows)))
    reader = source(images, data, policy="skip")
    ((kept, _),) = reader.plain([torch.arange(len(rows))])
    assert kept.tolist() == [0, 3]
    assert {place[-5:]: reason for place, reason in reader.bad.found.items()} == {
        "row 1": "the row is empty",
        "row 2": "the row is empty",
        "row 4": "no such file",
        "row 5": "no path of a file (embedded null byte)",
        "row 6": "the row is empty",
    }
    with pytest.raises(FileFormatError, match="row 1 cannot be used: the row is empty"):
        list(source(images, data).plain([torch.arange(2)]))


def test_saved_datasets_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dataset_dict.json").write_text("[]")

    def damaged(*_: Any) -> None:
        raise TypeError("list indices must be integers\nor slices")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_from_disk=damaged))
    refused(f"hf:{tmp_path}", FileFormatError, "save_to_disk writes: list indices.*save the set ag")
    numbers = SimpleNamespace(
        column_names=["image", "label"], features={"label": None}, cast_column=damaged
    )
    library = SimpleNamespace(
        load_from_disk=lambda _: numbers, ClassLabel=str, Image=lambda decode: None
    )
    monkeypatch.setitem(sys.modules, "datasets", library)
    refused(f"hf:{tmp_path}", FileFormatError, "column image holds no pictures: .*image=COLUMN")
    monkeypatch.setitem(sys.modules, "datasets", None)
    refused(f"hf:{tmp_path}", MissingLibraryError, "pip install datasets")


# --- other names of the validation images ---------------------------------------------------------


VALIDATION = ("val", "validation", "valid")


def parquet_of(tree: Path, part: str, to: Path) -> None:
    """One picture of each class of a part of the tree."""
    files = [next((tree / part / f"class{c:02}").iterdir()) for c in range(3)]
    cells = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    to.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": cells, "label": [0, 1, 2]}), to)


def test_labels_in_parquet_may_be_names(tree: Path, tmp_path: Path) -> None:
    parquet_of(tree, "train", tmp_path / "train-0.parquet")
    table = pq.read_table(tmp_path / "train-0.parquet").replace_schema_metadata(None)
    labels = table["label"].to_pylist()
    place = table.schema.get_field_index("label")

    def write(cells: Any) -> None:
        pq.write_table(table.set_column(place, "label", cells), tmp_path / "train-0.parquet")

    names = pa.array([f"z{9 - c}" for c in labels])
    for cells in (names, names.dictionary_encode()):
        write(cells)
        data = load_dataset(DataConfig(f"hf:{tmp_path}"))
        assert data.class_names == tuple(sorted(set(names.to_pylist())))
        assert [data.class_names[c] for c in data.train.labels] == names.to_pylist()
    write(pa.array([labels[0], None, *labels[2:]]))
    refused(f"hf:{tmp_path}", FileFormatError, "the column label is empty in row 1")
    write(names)
    parquet_of(tree, "train", tmp_path / "train-1.parquet")
    refused(f"hf:{tmp_path}", FileFormatError, "class names in the column label, and .* numbers")


@pytest.mark.parametrize("called", VALIDATION)
@pytest.mark.parametrize("pattern", ["data/{}-00000-of-00001.parquet", "{}/0.parquet"])
def test_validation_images_of_hugging_face(
    called: str, pattern: str, tree: Path, tmp_path: Path
) -> None:
    parquet_of(tree, "train", tmp_path / pattern.format("train"))
    parquet_of(tree, "test", tmp_path / pattern.format(called))
    data = load_dataset(DataConfig(f"hf:{tmp_path},size=16", val="rest"))
    assert data.val is not None
    assert (len(data.train), len(data.val), len(data.test)) == (3, 3, 0)
    assert load_dataset(DataConfig(f"hf:{tmp_path},size=16")).val is None


@pytest.mark.parametrize("called", VALIDATION)
def test_validation_images_in_folders(called: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": [3, 2], called: [1, 1], "test": [2, 2]})
    data = load_dataset(DataConfig(f"folder:{tmp_path},size=16", val="rest"))
    assert data.val is not None
    assert (len(data.train), len(data.val), len(data.test)) == (5, 2, 4)


def test_a_look_at_everything_takes_validation_images_that_are_not_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": [3, 2], "val": [1, 1], "test": [2, 2]})
    parts = [each.part for each in count_parts(open_every_part(f"folder:{tmp_path},size=16"))]
    assert parts == ["train", "val", "test"]
    write_tree(tmp_path / "train", {"sub": [1, 1]})
    with pytest.raises(MissingFileError):  # what is wrong with a part is not passed over
        open_every_part(f"folder:{tmp_path},size=16,val={tmp_path / 'nothing'}")
    without = open_every_part(f"folder:{tmp_path / 'train' / 'sub'},size=16")
    assert [each.part for each in count_parts(without)] == ["train"]


@pytest.mark.parametrize(
    ("name", "key"), [("inat2018,val=v.txt", "val"), ("places-lt,image=i", "image")]
)
def test_published_sets_take_no_keys_of_other_forms(name: str, key: str) -> None:
    with pytest.raises(InputError, match=f"takes no {key}="):
        DataConfig(name)


def test_of_several_names_the_first_counts(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": [3, 2], "valid": [1, 1], "validation": [2, 2]})
    data = f"folder:{tmp_path},size=16"
    assert len(load_dataset(DataConfig(data, val="rest")).val or "") == 4
    write_tree(tmp_path, {"val": [3, 3]})
    assert len(load_dataset(DataConfig(data, val="rest")).val or "") == 6
    named = f"{data},val={tmp_path / 'valid'}"
    assert len(load_dataset(DataConfig(named, val="rest")).val or "") == 2


@pytest.mark.parametrize("called", VALIDATION)
def test_validation_images_of_a_saved_dataset(called: str, tree: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    def saved(part: str) -> Any:
        files = [next((tree / part / f"class{c:02}").iterdir()) for c in range(3)]
        rows = {"image": [str(file) for file in files], "label": [0, 1, 2]}
        return datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())

    parts = {"train": saved("train"), called: saved("test")}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    data = load_dataset(DataConfig(f"hf:{tmp_path / 'saved'},size=16", val="rest"))
    assert data.val is not None
    assert (len(data.train), len(data.val)) == (3, 3)


# --- parts under other names, and folders that have none ------------------------------------------


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training.parquet", "testing.parquet"),
        ("train_00.parquet", "test_00.parquet"),
        ("Train/0.parquet", "Test/0.parquet"),
    ],
)
def test_other_names_of_parquet_files(train: str, test: str, tree: Path, tmp_path: Path) -> None:
    parquet_of(tree, "train", tmp_path / train)
    parquet_of(tree, "test", tmp_path / test)
    data = load_dataset(DataConfig(f"hf:{tmp_path},size=16"))
    assert isinstance(data.train, EncodedSet)
    assert (len(data.train), len(data.test)) == (3, 3)
    assert data.train.place(0) == f"{tmp_path / train}: row 0"


@pytest.mark.parametrize(
    "files",
    [
        ("trn.parquet", "test.parquet"),
        ("Train-0.parquet", "Test-0.parquet"),
        ("train0.parquet", "validation0.parquet"),
        ("cats.parquet", "dev.parquet"),
        ("cats_train.parquet", "cats_test.parquet"),
        ("data/test-0.parquet",),
    ],
)
def test_judged_parquet_files_are_not_trained_on(
    files: tuple[str, ...], tree: Path, tmp_path: Path
) -> None:
    for file in files:
        parquet_of(tree, "train", tmp_path / file)
    message = "and no train, .* call the training files train-"
    refused(f"hf:{tmp_path}", MissingFileError, message)


def test_parquet_files_of_any_name_are_read_where_a_part_is_asked_for(
    tree: Path, tmp_path: Path
) -> None:
    parquet_of(tree, "train", tmp_path / "a" / "cats.parquet")
    parquet_of(tree, "test", tmp_path / "b" / "test-0.parquet")
    data = load_dataset(DataConfig(f"hf:{tmp_path / 'a'},test={tmp_path / 'b'},size=16"))
    assert (len(data.train), len(data.test)) == (3, 3)


@pytest.mark.parametrize(("train", "test"), [("training", "testing"), ("Train", "TEST")])
def test_other_names_of_folders(train: str, test: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {train: [3, 2], test: [2, 2]})
    data = load_dataset(DataConfig(f"folder:{tmp_path},size=16"))
    assert data.class_names == ("class00", "class01")
    assert (len(data.train), len(data.test)) == (5, 4)


@pytest.mark.parametrize(
    ("parts", "found"), [(("cats", "test"), "test"), (("trainset", "testset", "devset"), "devset")]
)
def test_judged_folders_are_no_classes(parts: tuple[str, ...], found: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {part: [2, 2] for part in parts})
    message = f"has {found}.* and no train, .* call the training images' folder train"
    refused(f"folder:{tmp_path}", MissingFileError, message)


def test_one_part_in_two_spellings(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": [3, 2]})
    try:
        (tmp_path / "Train").mkdir()
    except FileExistsError:
        pytest.skip("this file system does not tell Train from train")
    refused(f"folder:{tmp_path}", InputError, "has Train and train, which are both.*rename one")


@pytest.mark.parametrize("classes", [("bus", "car", "train"), ("invalid", "valid")])
def test_a_class_may_have_the_name_of_a_part(classes: tuple[str, ...], tmp_path: Path) -> None:
    for part in (tmp_path / "a", tmp_path / "b"):
        for label, name in enumerate(classes):
            (part / name / ".ipynb_checkpoints").mkdir(parents=True)
            (part / name / "1.jpg").write_bytes(a_picture(label, 1))
        (part / ".ipynb_checkpoints").mkdir()  # which is no class
    data = load_dataset(DataConfig(f"folder:{tmp_path / 'a'},test={tmp_path / 'b'}"))
    assert data.class_names == classes
    assert (len(data.train), len(data.test)) == (len(classes), len(classes))


def test_parts_without_classes_are_no_classes(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1.jpg").write_bytes(a_picture(0, 1))
    message = "train has no pictures in folders of classes"
    refused(f"folder:{tmp_path}", FileFormatError, message)
    (tmp_path / "labels").mkdir()
    (tmp_path / "test").mkdir()
    refused(f"folder:{tmp_path}", FileFormatError, message)


def test_what_jupyter_and_macs_leave_is_no_picture(tmp_path: Path) -> None:
    for label, name in enumerate(("cat", "dog")):
        for folder in (tmp_path / name, tmp_path / "__MACOSX" / name):
            folder.mkdir(parents=True)
        (tmp_path / name / "1.jpg").write_bytes(a_picture(label, 1))
        (tmp_path / name / "._1.jpg").write_bytes(b"a Mac's")
        (tmp_path / "__MACOSX" / name / "1.jpg").write_bytes(b"a Mac's")
        (tmp_path / name / ".ipynb_checkpoints").mkdir()
        (tmp_path / name / ".ipynb_checkpoints" / "1-checkpoint.jpg").write_bytes(a_picture(0, 1))
    data = load_dataset(DataConfig(f"folder:{tmp_path}"))
    assert (data.class_names, data.class_counts.counts.tolist()) == (("cat", "dog"), [1, 1])
    (tmp_path / "dog" / "1.jpg").write_bytes(b"damaged since")
    with pytest.raises(FileFormatError, match=r"dog/1\.jpg cannot be read as a picture"):
        data.pictures(data.train, [0, 1])


def test_a_link_to_its_own_folder_is_followed_once(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "1.jpg").write_bytes(a_picture(0, 1))
    (tmp_path / "cat" / "self").symlink_to(".")
    (tmp_path / "dog" / "again").symlink_to("deep")
    (tmp_path / "cat" / "dogs").symlink_to(tmp_path / "dog")  # links are followed
    data = load_dataset(DataConfig(f"folder:{tmp_path}"))
    assert isinstance(data.train, EncodedSet)
    assert [data.train.name(row) for row in range(len(data.train))] == [
        "cat/deep/1.jpg",
        "cat/dogs/again/1.jpg",
        "dog/again/1.jpg",
    ]


# --- what an opened set says of itself ------------------------------------------------------------


def test_parts_names_counts_and_ranges(tree: Path) -> None:
    data = load_dataset(DataConfig(f"folder:{tree}"))
    assert data.class_names == ("class00", "class01", "class02")
    assert (len(data.train), len(data.test), data.val) == (10, 6, None)
    assert data.class_counts.counts.tolist() == [5, 3, 2]
    assert [(p.part, p.images, p.largest, p.smallest) for p in count_parts(data)] == [
        ("train", 10, 5, 2),
        ("test", 6, 2, 2),
    ]
    assert isinstance(data.train, EncodedSet)
    part = data.train.take(np.arange(3, 7))
    assert [part.name(i) for i in range(4)] == [data.train.name(i) for i in range(3, 7)]
    assert part.labels.tolist() == [0, 0, 1, 1]


def test_the_fingerprint_is_of_names_and_labels_wherever_the_folder_is(
    tree: Path, tmp_path: Path
) -> None:
    write_tree(tmp_path, COUNTS)
    first, moved = (
        load_dataset(DataConfig(f"list:{root / 'train.txt'}")).train for root in (tree, tmp_path)
    )
    assert first.fingerprint == moved.fingerprint
    assert first.fingerprint != first.take(np.arange(9)).fingerprint


# --- batches --------------------------------------------------------------------------------------


def test_workers_change_nothing_and_a_seed_says_everything(tree: Path) -> None:
    data = load_dataset(DataConfig(f"list:{tree / 'train.txt'},size=16"))
    assert isinstance(data.train, EncodedSet)
    batches = torch.randperm(10, generator=torch.Generator().manual_seed(1)).split(4)

    def views(workers: int, seed: int) -> list[torch.Tensor]:
        found = source(data.train, data, "jitter", "contrastive-jitter", workers=workers)
        generator = torch.Generator().manual_seed(seed)
        got = list(found.augmented(batches, generator))
        assert [rows.tolist() for rows, _ in got] == [rows.tolist() for rows in batches]
        return [view for _, both in got for view in both]

    alone, shared, other = views(0, 0), views(2, 0), views(0, 1)
    assert len(alone) == 6
    assert alone[0].shape == (4, 3, 16, 16)
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))
    assert not torch.equal(alone[0], other[0])
    assert not torch.equal(alone[0], alone[1])


def test_other_views_have_another_identity(tree: Path) -> None:
    data = load_dataset(DataConfig(f"list:{tree / 'train.txt'},size=16"))
    assert isinstance(data.train, EncodedSet)

    def identity(*transforms: Transform) -> dict[str, Any]:
        made = DecodedSource(
            data.train,
            cut=data.cut,
            augmentations=[transforms],
            mean=data.mean,
            std=data.std,
            device=torch.device("cpu"),
            bad=BadPictures("fail"),
        ).identity()
        assert json.loads(json.dumps(made)) == made
        return made

    views = [
        (RandomResizedCrop((0.08, 1.0)), RandAugment(1, 1)),
        (RandomResizedCrop((0.08, 1.0)), RandAugment(6, 30)),
        (RandomResizedCrop((0.2, 1.0)), RandAugment(1, 1)),
        (RandomResizedCrop((0.08, 1.0), (0.5, 2.0)), RandAugment(1, 1)),
        (RandAugment(1, 1), RandomResizedCrop((0.08, 1.0))),
        (CropAndFlip(1, False),),
        (CropAndFlip(4, True),),
        (),
    ]
    found = [identity(*transforms) for transforms in views]
    assert all(found.count(one) == 1 for one in found)
    assert identity(RandomResizedCrop((0.08, 1)), RandAugment(1, 1)) == found[0]


def test_plain_batches_are_normalised_pixels(tree: Path) -> None:
    data = load_dataset(DataConfig(f"list:{tree / 'train.txt'},size=16"))
    assert isinstance(data.train, EncodedSet)
    rows = torch.tensor([7, 0])
    reader = source(data.train, data)
    ((_, raw),) = reader.pixels([rows])
    ((kept, batch),) = reader.plain([rows])
    memory = BatchAugmentation(
        raw, transforms=(), mean=data.mean, std=data.std, device=torch.device("cpu")
    )
    assert kept.tolist() == [7, 0]
    assert torch.equal(batch, memory.plain(torch.arange(2)))


# --- what is wrong with pictures ------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    lists = write_tree(tmp_path, COUNTS)
    paths = [line.split()[0] for line in lists["train"].read_text().splitlines()]
    (tmp_path / paths[1]).unlink()
    (tmp_path / paths[4]).write_bytes(a_picture(0, 4)[:200])
    (tmp_path / paths[6]).write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_skipping_leaves_out_lists_and_counts(damaged: Path, workers: int) -> None:
    data = load_dataset(DataConfig(f"list:{damaged / 'train.txt'},size=16"))
    assert isinstance(data.train, EncodedSet)
    reader = source(data.train, data, workers=workers, policy="skip")
    kept = [rows.tolist() for rows, _ in reader.plain(torch.arange(10).split(4))]
    assert kept == [[0, 2, 3], [5, 7], [8, 9]]
    assert len(reader.bad) == 3
    reasons = {path[-13:]: reason for path, reason in reader.bad.found.items()}
    assert reasons["class00/1.jpg"] == "no such file"
    assert reasons["class01/1.jpg"] == "no picture of a known kind"
    assert "3 bad pictures left out" in reader.bad.sentence()
    reader.bad.save(damaged / "bad.csv")
    rows = list(csv.DictReader((damaged / "bad.csv").read_text().splitlines()))
    assert {row["path"] for row in rows} == set(reader.bad.found)


def test_a_list_of_bad_pictures_of_an_earlier_pass_is_removed(tmp_path: Path) -> None:
    bad = BadPictures("skip")
    bad.add("a.jpg", "no such file")
    bad.save(tmp_path / "bad.csv")
    assert (tmp_path / "bad.csv").read_text() == "path,reason\na.jpg,no such file\n"
    BadPictures("skip").save(tmp_path / "bad.csv")
    assert not list(tmp_path.iterdir())
    BadPictures("skip").save(tmp_path / "bad.csv")  # and there may be none
    (tmp_path / "folder").mkdir()
    BadPictures("skip").save(tmp_path / "folder")
    BadPictures("skip").save(Path(os.devnull))
    assert (tmp_path / "folder").is_dir()
    assert Path(os.devnull).exists()


@pytest.mark.parametrize("content", [b"a.jpg 0\n", b"path,reason,label\n", b"", b"\xff\xfe"])
def test_no_other_file_becomes_a_list_of_bad_pictures(content: bytes, tmp_path: Path) -> None:
    none, one = BadPictures("skip"), BadPictures("skip")
    one.add("a.jpg", "no such file")
    place = tmp_path / "mine.txt"
    place.write_bytes(content)
    for bad in (none, one):
        with pytest.raises(OutputExistsError, match=r"mine\.txt is there and is no list of bad"):
            bad.save(place)
    assert place.read_bytes() == content
    with pytest.raises(OutputExistsError):
        one.save(tmp_path)


def test_failing_names_the_first_and_the_way_out(damaged: Path) -> None:
    data = load_dataset(DataConfig(f"list:{damaged / 'train.txt'},size=16"))
    assert isinstance(data.train, EncodedSet)
    reader = source(data.train, data)
    with pytest.raises(MissingFileError, match=r"1\.jpg cannot be used: no such file.*skip"):
        list(reader.plain([torch.arange(10)]))
    with pytest.raises(FileFormatError, match=r"4\.jpg cannot be used: .*[Tt]runcated"):
        list(reader.plain([torch.tensor([0, 4])]))


def test_looking_at_everything_finds_them_all(damaged: Path) -> None:
    data = load_dataset(DataConfig(f"list:{damaged / 'train.txt'},test={damaged / 'test.txt'}"))
    assert len(find_bad_pictures(data, workers=0)) == 3


def test_what_is_no_file_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with open(tmp_path / "huge.jpg", "wb") as stream:
        stream.truncate(1 << 40)
    names = ("pipe", "folder", "huge")
    (tmp_path / "l.txt").write_text("".join(f"{name}.jpg 0\n" for name in names) + "x.jpg 1\n")
    (tmp_path / "x.jpg").write_bytes(a_picture(1, 1))
    data = load_dataset(DataConfig(f"list:{tmp_path / 'l.txt'}"))
    found = find_bad_pictures(data, workers=0).found
    assert [found[str(tmp_path / f"{name}.jpg")][:15] for name in names] == [
        "no regular file",
        "no regular file",
        "1,099,511,627,7",
    ]


class _Deadly:
    """Pictures that kill who reads them."""

    def __len__(self) -> int:
        return 4

    def read(self, row: int) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    def place(self, row: int) -> str:
        return str(row)

    name = place


def test_a_killed_worker_ends_the_work_with_a_word(tree: Path) -> None:
    data = load_dataset(DataConfig(f"list:{tree / 'train.txt'},size=16"))
    deadly = EncodedSet(_Deadly(), np.zeros(4, dtype=np.int64), np.arange(4))
    with pytest.raises(RunFailedError, match="was killed, perhaps for lack of memory"):
        list(source(deadly, data, workers=1).plain(torch.arange(4).split(2)))


def test_a_worker_that_is_killed_at_the_start_does_too(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(loader: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    data = load_dataset(DataConfig(f"list:{tree / 'train.txt'},size=16"))
    assert isinstance(data.train, EncodedSet)
    monkeypatch.setattr(DataLoader, "__iter__", killed)
    with pytest.raises(RunFailedError, match="was killed, perhaps for lack of memory"):
        list(source(data.train, data, workers=1).plain(torch.arange(4).split(2)))


def test_nothing_to_be_read_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("a.jpg 0\nb.jpg 1\n")
    data = load_dataset(DataConfig(f"list:{tmp_path / 'l.txt'}"))
    assert isinstance(data.train, EncodedSet)
    for read in ("plain", "augmented"):
        pictures = source(data.train, data, policy="skip")
        rest = () if read == "plain" else (torch.Generator().manual_seed(0),)
        with pytest.raises(InputError, match="None of the pictures can be read"):
            list(getattr(pictures, read)([torch.arange(2)], *rest))
    assert len(find_bad_pictures(data, workers=0)) == 2


# --- files that are wrong -------------------------------------------------------------------------


def refused(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_dataset(DataConfig(name))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg\n", r"line 1 is 'a\.jpg'"),
        ("a.jpg 0\nb.jpg one\n", "line 2"),
        ("a.jpg -1\n", "line 1 has the label '-1'; it must be a class number"),
        ("a.jpg 0\nb.jpg 12345678901234567890\n", "line 2 has the label '12345678901234567890'"),
        ("a.jpg 30000000\n", r"label\[0\] is 30000000, outside 0\.\.9999999"),
        (f"a.jpg {'9' * 5000}\n", "line 1 has the label '99999"),
        ("\n\n", "is empty"),
        (b"\xff\xfe\x00", "not a readable list"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "l.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(f"list:{path}", FileFormatError, message)


def test_paths_with_spaces_and_commas(tmp_path: Path) -> None:
    (tmp_path / "my pictures").mkdir()
    (tmp_path / "my pictures" / "a b.jpg").write_bytes(a_picture(0, 0))
    (tmp_path / "one, two.txt").write_text("my pictures/a b.jpg 0\n")
    labels, found = pixels(f"list:{tmp_path}/one, two.txt,size=8")
    assert labels == [0]
    assert found.shape == (1, 8, 8, 3)


def test_what_is_judged_must_not_be_trained_on(tree: Path) -> None:
    both = f"list:{tree / 'train.txt'},test={tree / 'train.txt'}"
    refused(both, InputError, "10 pictures are in the training images and in the test images")
    otherwise_spelt = tree / "again.txt"
    otherwise_spelt.write_text(
        "".join(f"./{line}\n" for line in (tree / "train.txt").read_text().splitlines())
    )
    both = f"list:{tree / 'train.txt'},val={otherwise_spelt}"
    refused(both, InputError, "10 pictures are in the training images and in the val images")
    both = f"list:{tree / 'train.txt'},val={tree / 'test.txt'},test={tree / 'test.txt'}"
    refused(both, InputError, "in the validation images and in the test images.*leave one of them")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("list:", "does not say where"),
        ("lists:a.txt", "begins with 'lists'"),
        ("list:a.txt,tets=b", "no key 'tets'.*did you mean 'test'"),
        ("list:a.txt,size=big", "size=big"),
        (f"list:a.txt,size={'9' * 5000}", "size=9999999999999999999… must be a number of pixels"),
        ("list:a.txt,image=i", "list: takes no image=; it takes val, test, root, size, names"),
        ("list:a.txt,train=b.txt", "takes no train=.* stand behind the colon"),
        ("folder:a,root=b", "folder: takes no root=; it takes val, test, size, names"),
        ("hf:a,root=b", "hf: takes no root=.* image, label"),
        ("shards:a,label=b", "shards: takes no label="),
        ("cifar100-lt,foo=1", r"cifar100-lt takes no keys such as foo=.*\(--data-root\)"),
        ("cifar100-lt,root=/x", r"cifar100-lt takes no keys such as root=.*\(--data-root\)"),
        ("list:a.txt,root=a,root=b", "give root= once"),
        ("imagenet", "no data set 'imagenet'; there are cifar10-lt"),
        ("list", "no data set 'list'; there are cifar10-lt.* pictures in files as list:…, table:…"),
        ("list,root=/x", "no data set 'list,root=/x'"),
        ("", "no data set ''"),
    ],
)
def test_specifications_that_say_nothing(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(DataConfig(name))


@pytest.mark.parametrize("name", ["nonsense", "list", "folder", "cifar100"])
def test_a_specification_of_nothing_known_is_refused_where_it_is_read(name: str) -> None:
    with pytest.raises(InputError, match=f"no data set '{name}'"):
        parse_spec(name)
    with pytest.raises(InputError, match=f"no data set '{name}'"):
        DataConfig(name)


def test_a_named_set_is_a_specification() -> None:
    for name in (*DATASETS, *PUBLISHED):
        spec = parse_spec(name)
        assert (spec.kind, spec.where, dict(spec.options), spec.files) == (name, "", {}, [])


@pytest.mark.parametrize("name", ["cifar100-lt", "cifar10-lt", "digits-lt", "imagenet-lt"])
def test_validation_images_are_the_rest_or_none(name: str) -> None:
    with pytest.raises(InputError, match=r"val \(--val\) must be 'none' or 'rest'; got 'some'"):
        DataConfig(name, val="some")


@pytest.mark.parametrize("ratio", [100, 5])
def test_counts_that_are_known_beforehand(ratio: float) -> None:
    config = DataConfig("digits-lt", ratio)
    known = config.known_counts
    assert known is not None
    assert known.counts.tolist() == load_dataset(config).class_counts.counts.tolist()
    large = DataConfig("imagenet-lt").known_counts
    assert large is not None
    assert (large.num_classes, large.counts.sum()) == (1000, 115_846)
    assert DataConfig("inat2018").known_counts is None
    assert DataConfig("list:a.txt").known_counts is None


def test_what_is_long_tailed_by_nature_is_not_made_so(tree: Path) -> None:
    with pytest.raises(InputError, match="taken as it is; leave out imbalance_ratio"):
        DataConfig(f"list:{tree / 'train.txt'}", imbalance_ratio=10)
    with pytest.raises(InputError, match=r"bad_images .* must be 'fail'.* or 'skip'"):
        DataConfig("imagenet-lt", bad_images="ignore")
    assert parse_spec("imagenet-lt,root=/x").slug == "imagenet-lt"


def test_shards_that_are_none(tmp_path: Path) -> None:
    def shard(*members: tuple[str, bytes]) -> str:
        with tarfile.open(tmp_path / "s.tar", "w") as archive:
            for name, content in members:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return f"shards:{tmp_path / 's.tar'}"

    refused(shard(("a.jpg", b"x")), FileFormatError, "'a' has a picture and no label")
    refused(shard(("a.cls", b"1")), FileFormatError, "'a' has a label and no picture")
    refused(shard(("a.jpg", b"x"), ("a.cls", b"dog")), FileFormatError, "a.cls has the label 'dog'")
    refused(shard(("a.jpg", b"x"), ("a.cls", b"9" * 30)), FileFormatError, "at most 8 digits")
    refused(shard(("a.jpg", b"x"), ("a.cls", b"30000000")), FileFormatError, "outside 0..9999999")
    twice = shard(("a.jpg", b"x"), ("a.cls", b"1"), ("a.cls", b"2"))
    refused(twice, FileFormatError, "'a' has two labels")
    refused(
        shard(("caf\udce9.jpg", b"x"), ("caf\udce9.cls", b"1")), FileFormatError, "name is no UTF-8"
    )
    refused(shard(), FileFormatError, "no pictures inside")
    refused(f"shards:{tmp_path}/t-{{0..2}}.tar", MissingFileError, "3 of 3 shards are not there")
    refused(f"shards:{tmp_path}/t-{{5..3}}.tar", InputError, "range is empty, as 5 is beyond 3")
    refused(f"shards:{tmp_path}/t-{{0..{'9' * 5000}}}.tar", MissingFileError, "no shards")
    refused(f"shards:{tmp_path}/t**.tar", MissingFileError, "no shards")
    refused(f"shards:{'x' * 5000}", MissingFileError, "no shards")
    whole = shard(("a.cls", b"1"), ("a.jpg", bytes(5000)))
    content = (tmp_path / "s.tar").read_bytes()
    (tmp_path / "s.tar").write_bytes(content[:3000])
    refused(whole, FileFormatError, "ends inside 'a.jpg'|not a plain tar file")
    four = shard(("a.cls", b"1"), ("a.jpg", b"x"), ("b.cls", b"1"), ("b.jpg", b"x"))
    content = (tmp_path / "s.tar").read_bytes()
    (tmp_path / "s.tar").write_bytes(content[: 4 * 512])  # a header and a block of each of a's two
    refused(four, FileFormatError, "has no end; it was cut off: get it anew")
    (tmp_path / "z.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    refused(f"shards:{tmp_path / 'z.tar'}", FileFormatError, "not a plain tar file")


def test_a_folder_of_a_class_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path, COUNTS)
    closed = tmp_path / "train" / "class01"
    real = os.scandir

    def scandir(path: Any) -> Any:  # root may read everything
        if str(path) == str(closed):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    message = f"{closed} cannot be read: Permission denied.*take the folder out"
    refused(f"folder:{tmp_path / 'train'}", FileFormatError, message)


def test_tables_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    refused(f"hf:{tmp_path / 'hf'}", MissingFileError, "nothing that save_to_disk wrote")
    pq.write_table(pa.table({"x": [1], "label": [0]}), tmp_path / "hf" / "train-0.parquet")
    refused(f"hf:{tmp_path / 'hf'}", FileFormatError, "no column image or img.*it has x, label")
    pq.write_table(pa.table({"image": [b"x"], "QQQQ": [0]}), tmp_path / "hf" / "train-0.parquet")
    raw = (tmp_path / "hf" / "train-0.parquet").read_bytes()
    (tmp_path / "hf" / "train-0.parquet").write_bytes(raw.replace(b"QQQQ", b"\xff\xfe\xff\xfe"))
    refused(f"hf:{tmp_path / 'hf'}", FileFormatError, "not a readable parquet file: 'utf-8' codec")
    (tmp_path / "hf" / "train-0.parquet").write_bytes(b"PAR1")
    refused(f"hf:{tmp_path / 'hf'}", FileFormatError, "not a readable parquet file")
