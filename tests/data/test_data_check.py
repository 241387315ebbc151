"""A look at a data set before training finds everything that does not fit, and says all of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from picture_trees import a_picture

from everyclass.data import (
    PUBLISHED,
    DataConfig,
    check_data,
    count_published,
    find_repeats,
    load_dataset,
    missing_lists,
    open_every_part,
    parse_spec,
)
from everyclass.errors import (
    FileFormatError,
    InputError,
    MissingFileError,
    OutputExistsError,
    RunFailedError,
)


def write_list(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def stand_in(name: str, part: str) -> list[str]:
    """A list with as many lines of each class as the published one has."""
    counts = PUBLISHED[name].counts_of(part)
    assert counts is not None
    return [f"{part}/{c:04}/{i}.jpg {c}" for c, n in enumerate(counts) for i in range(n)]


# --- the same picture, otherwise spelt ------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures ``x/a.jpg`` and ``y/a.jpg``; ``link`` leads to ``x/deep``."""
    for folder in ("x", "y"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        (tmp_path / folder / "a.jpg").write_bytes(a_picture(0, 0))
    (tmp_path / "link").symlink_to(tmp_path / "x" / "deep")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("spelt", ["{}/x/a.jpg", "./x//a.jpg", "y/../x/a.jpg", "link/../a.jpg"])
def test_a_picture_in_two_parts_is_found_however_it_is_spelt(spelt: str, pictures: Path) -> None:
    write_list(pictures / "train.txt", "x/a.jpg 0")
    write_list(pictures / "test.txt", f"{spelt.format(pictures)} 0")
    with pytest.raises(InputError, match=r"1 picture is in the training images and in the test"):
        load_dataset(DataConfig("list:train.txt,test=test.txt"))
    write_list(pictures / "both.txt", "x/a.jpg 0", f"{spelt.format(pictures)} 0")
    (again,) = find_repeats(load_dataset(DataConfig("list:both.txt")))
    assert (again.pictures, again.two_classes) == (1, 0)
    assert again.example == os.path.realpath(pictures / "x" / "a.jpg")


def test_what_lies_behind_a_link_is_another_picture(pictures: Path) -> None:
    """Folded as text, ``link/../a.jpg`` would be ``a.jpg``, which is a picture of its own."""
    (pictures / "a.jpg").write_bytes(a_picture(1, 1))
    write_list(pictures / "train.txt", "link/../a.jpg 0")
    write_list(pictures / "test.txt", "a.jpg 0", "y/a.jpg 0")
    opened = load_dataset(DataConfig("list:train.txt,test=test.txt"))
    assert (len(opened.train), len(opened.test)) == (1, 2)


# --- what a check finds ---------------------------------------------------------------------------


def test_every_part_is_opened_once_and_what_is_wrong_with_it_is_said(tmp_path: Path) -> None:
    train = write_list(tmp_path / "train.txt", "a.jpg 0", "b.jpg 1")
    val = write_list(tmp_path / "val.txt", "a.jpg 0")
    with pytest.raises(InputError, match="in the training images and in the val images"):
        open_every_part(f"list:{train},val={val}")
    with pytest.raises(MissingFileError):
        open_every_part(f"list:{train},val={tmp_path}/none.txt")
    assert open_every_part(f"list:{train}").val is None


def test_everything_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "good.jpg").write_bytes(a_picture(0, 0))
    train = write_list(
        tmp_path / "train.txt", "good.jpg 0", "./good.jpg 3", "no.jpg 1", "./no.jpg 1", "c.jpg 4"
    )
    test = write_list(tmp_path / "test.txt", "d.jpg 1", "./d.jpg 3")
    found = check_data(f"list:{train},test={test}", decode=True, workers=0)
    counts = {each.part: each for each in found.counts}
    train_counts, test_counts = counts["train"], counts["test"]
    assert (train_counts.classes, train_counts.empty, train_counts.smallest) == (4, 1, 1)
    assert (test_counts.classes, test_counts.empty) == (2, 3)
    assert {each.part: (each.pictures, each.two_classes) for each in found.repeats} == {
        "train": (2, 1),
        "test": (1, 1),
    }
    assert found.bad is not None
    assert {Path(place).name for place in found.bad.found} == {"no.jpg", "c.jpg", "d.jpg"}
    first, second, last = found.problems
    assert first.startswith("1 train image is there under more than one class, such as")
    assert second.startswith("1 test image is there under more than one class, such as")
    assert "pictures cannot be used, the first of them" in last
    assert found.wrong == (first, second)
    with pytest.raises(FileFormatError) as raised:
        found.raise_problems()
    assert str(raised.value).splitlines() == list(found.problems)


def test_bad_pictures_alone_are_no_wrong_lists(tmp_path: Path) -> None:
    train = write_list(tmp_path / "train.txt", "no.jpg 0")
    found = check_data(f"list:{train}", decode=True, bad_list=tmp_path / "bad.csv", workers=0)
    assert found.wrong == ()
    said = r"1 picture cannot be used, .*no\.jpg \(no such file\); all are listed in .*bad\.csv"
    with pytest.raises(RunFailedError, match=said):
        found.raise_problems()
    assert (tmp_path / "bad.csv").read_text() == f"path,reason\n{tmp_path}/no.jpg,no such file\n"
    (tmp_path / "no.jpg").write_bytes(a_picture(0, 0))
    found = check_data(f"list:{train}", decode=True, bad_list=tmp_path / "bad.csv", workers=0)
    found.raise_problems()
    assert found.bad is not None
    assert (len(found.bad), found.problems) == (0, ())
    assert not (tmp_path / "bad.csv").exists()
    assert check_data("digits-lt").problems == ()


@pytest.mark.parametrize("key", ["", "test", "names", "link"])
def test_a_list_of_bad_pictures_is_no_file_of_the_data(key: str, tmp_path: Path) -> None:
    """Not even where it looks like one."""
    train = write_list(tmp_path / "train.csv", "path,reason", "a.jpg,0", "b.jpg,0")
    test = write_list(tmp_path / "test.csv", "path,reason", "c.jpg,0")
    names = write_list(tmp_path / "names.txt", "path,reason", "1")
    data = f"table:{train},test={test},names={names},label=reason"
    place = {"": train, "test": test, "names": names, "link": tmp_path / "link.csv"}[key]
    if key == "link":
        place.symlink_to(train)
    before = place.read_text()
    with pytest.raises(InputError, match="is read and would be replaced"):
        check_data(data, decode=True, bad_list=place, workers=0)
    assert place.read_text() == before
    picture = tmp_path / "a.jpg"
    picture.write_bytes(a_picture(0, 0))
    with pytest.raises(OutputExistsError, match="is no list of bad pictures"):
        check_data(data, decode=True, bad_list=picture, workers=0)
    assert picture.read_bytes() == a_picture(0, 0)


def test_what_a_specification_names() -> None:
    spec = parse_spec("list:a/train.txt,val=v.txt,names=n.txt,root=/pictures")
    assert spec.files == [Path("a/train.txt"), Path("v.txt"), Path("n.txt")]
    assert parse_spec("imagenet-lt,test=t.txt").files == [Path("t.txt")]


# --- published sets -------------------------------------------------------------------------------


@pytest.mark.parametrize("decode", [False, True])
def test_lists_that_are_missing_and_wrong_are_all_named(decode: bool, tmp_path: Path) -> None:
    facts = PUBLISHED["places-lt"]
    write_list(tmp_path / facts.lists["val"], *stand_in("places-lt", "val"))
    (val,) = count_published(facts, [tmp_path])
    assert missing_lists(facts, [val]) == {
        "train": "Places_LT_train.txt",
        "test": "Places_LT_test.txt",
    }
    write_list(tmp_path / facts.lists["test"], *stand_in("places-lt", "test")[1:])
    found = check_data("places-lt", root=tmp_path, decode=decode)
    assert [each.part for each in found.counts] == ["val"]
    assert found.counts[0].empty == 0
    assert found.bad is None
    wrong, missing = found.problems
    assert "has 36,499 of 36,500 pictures" in wrong
    assert missing.startswith("Places-LT lacks Places_LT_train.txt: lines 'path label', 62,500 of")
    assert str(tmp_path / "lists") in missing
    assert found.wrong == found.problems
