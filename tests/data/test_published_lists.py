"""Lists of published sets are checked against the published counts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from everyclass.data import (
    PUBLISHED,
    DataConfig,
    count_published,
    load_dataset,
    read_published,
)
from everyclass.errors import DataNotFoundError, FileFormatError, InputError

NAMED = os.environ.get("EVERYCLASS_DATA")  # before a fixture takes it away
PARTS = [(name, part) for name in ("imagenet-lt", "places-lt") for part in PUBLISHED[name].lists]


def stand_in(name: str, part: str) -> list[str]:
    """A list with as many lines of each class as the published one has."""
    counts = PUBLISHED[name].counts_of(part)
    assert counts is not None
    return [f"{part}/{c:04}/{i}.jpg {c}\n" for c, n in enumerate(counts) for i in range(n)]


def refused(path: Path, lines: list[str], name: str, part: str, message: str) -> None:
    path.write_text("".join(lines))
    with pytest.raises(FileFormatError, match=message):
        read_published(PUBLISHED[name], [], parts=[part], named={part: str(path)})


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_a_list_with_the_published_counts_is_taken(name: str, part: str, tmp_path: Path) -> None:
    facts = PUBLISHED[name]
    folder = tmp_path / "lists"
    folder.mkdir()
    lines = stand_in(name, part)
    (folder / facts.lists[part]).write_text("".join(lines))
    (found,) = count_published(facts, [tmp_path])
    assert (found.part, found.images, found.classes) == (
        part,
        facts.totals[part],
        facts.num_classes,
    )
    if part == "train":
        wanted = {"imagenet-lt": (1280, 5), "places-lt": (4980, 5)}[name]
        assert (found.largest, found.smallest) == wanted


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_any_list_with_a_line_removed_is_refused(name: str, part: str, tmp_path: Path) -> None:
    lines = stand_in(name, part)
    rng = np.random.default_rng(0)
    for row in (0, len(lines) - 1, int(rng.integers(len(lines)))):
        left = [*lines[:row], *lines[row + 1 :]]
        refused(tmp_path / "l.txt", left, name, part, "1 are missing in 1 class, most of them")


def test_other_lists_that_do_not_fit(tmp_path: Path) -> None:
    lines = stand_in("places-lt", "test")
    path, place = tmp_path / "l.txt", ("places-lt", "test")
    refused(path, [*lines, "x.jpg 3\n"], *place, "1 are too many")
    moved = [*lines[:-1], lines[-1].replace(" 364", " 0")]
    refused(path, moved, *place, "2 classes have other numbers.*class 0, 101 for 100")
    refused(path, [*lines[:-1], "x.jpg 365\n"], *place, "names class 365 in picture 36499")
    refused(path, [lines[1], *lines[1:]], *place, r"test/0000/1\.jpg twice")
    swapped = [lines[0].replace(" 0", " 364"), *lines[1:-1], lines[-1].replace(" 364", " 0")]
    refused(path, swapped, *place, r"0000/ holds .* class 364, and picture 1, test/0000/1\.jpg")
    elsewhere = [lines[0].replace("test", "val"), *lines[1:]]
    refused(path, elsewhere, *place, "pictures are in 366 folders")


def test_inaturalist_is_known_by_its_totals(tmp_path: Path) -> None:
    facts = PUBLISHED["inat2018"]
    sizes = np.full(8142, 53)
    sizes[: 437_513 - sizes.sum()] += 1
    sizes[0] += 437_513 - sizes.sum()
    lines = [f"{c}/{i}.jpg {c}\n" for c, n in enumerate(sizes) for i in range(n)]
    path = tmp_path / facts.lists["train"]
    path.write_text("".join(lines))
    (found,) = count_published(facts, [tmp_path])
    assert (found.images, found.classes) == (437_513, 8142)
    refused(tmp_path / "l.txt", lines[:-1], "inat2018", "train", "437,512 of 437,513")


def test_what_is_missing_and_where_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVERYCLASS_DATA", raising=False)
    config = DataConfig("places-lt")
    with pytest.raises(
        DataNotFoundError, match=r"(?s)train list.*62,500 lines.*lists/Places_LT_train"
    ):
        load_dataset(config, root=tmp_path)
    facts = PUBLISHED["places-lt"]
    for part, name in facts.lists.items():
        (tmp_path / name).write_text("".join(stand_in("places-lt", part)))
    with pytest.raises(DataNotFoundError, match=r"places365/train/0000/0\.jpg"):
        load_dataset(config, root=tmp_path)
    picture = tmp_path / "places365" / "train" / "0000" / "0.jpg"
    picture.parent.mkdir(parents=True)
    picture.touch()
    data = load_dataset(DataConfig("places-lt", val="rest"), root=tmp_path)
    assert (len(data.train), len(data.test), data.num_classes) == (62_500, 36_500, 365)
    assert data.val is not None
    assert data.class_names[:2] == ("airfield", "airplane_cabin")
    with pytest.raises(InputError, match="no validation images"):
        load_dataset(DataConfig(f"list:{tmp_path / facts.lists['train']}", val="rest"))


def official() -> Path:
    if not NAMED or not (Path(NAMED) / "lists" / "Places_LT_train.txt.xz").is_file():
        pytest.skip("EVERYCLASS_DATA does not name a folder with the official lists")
    return Path(NAMED)


def test_the_official_lists() -> None:
    root = official()
    assert [c.part for c in count_published(PUBLISHED["places-lt"], [root])] == [
        "train",
        "val",
        "test",
    ]
    assert [c.part for c in count_published(PUBLISHED["imagenet-lt"], [root])] == ["val", "test"]
    assert [c.images for c in count_published(PUBLISHED["inat2018"], [root])] == [24_426]


def test_a_part_of_the_imagenet_list_is_refused_with_what_is_missing() -> None:
    path = official() / "lists" / "ImageNet_LT_train_partial.txt.xz"
    with pytest.raises(FileFormatError, match="97,187 of 115,846 pictures, 18,659 are missing"):
        read_published(PUBLISHED["imagenet-lt"], [], parts=["train"], named={"train": str(path)})
