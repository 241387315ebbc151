"""Several files are parts of one set: no image of it may count twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from everyclass import Predictions, state_of_files
from everyclass.errors import InputError

LABELS = np.array([2, 0, 1, 1, 0, 0])


def saved(path: Path, labels: Any = LABELS, **arrays: Any) -> Path:
    said = {"predicted": np.roll(labels, 1), "class_names": ("ant", "bee", "cat"), **arrays}
    Predictions(labels, **said).save(path)
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return saved(tmp_path / "old.npz")


def test_a_file_is_given_once_by_whatever_name(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"old\.npz is given twice, .* name each file once"):
        state_of_files(old, old)
    (old.parent / "link.npz").symlink_to(old)
    monkeypatch.chdir(old.parent)
    for other in ("link.npz", f"..{os.sep}{old.parent.name}{os.sep}old.npz"):
        with pytest.raises(InputError, match=r"old\.npz and \S+\.npz are one file"):
            state_of_files("old.npz", other)


def test_a_state_is_given_once(old: Path) -> None:
    state = old.with_name("state.npz")
    state_of_files(old).save(state)
    with pytest.raises(InputError, match=r"state\.npz is given twice"):
        state_of_files(state, state)


@pytest.mark.parametrize("ids", [np.arange(10, 16), np.array(list("abcdef"))])
@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_an_image_stands_in_one_file_only(tmp_path: Path, ids: Any, ending: str) -> None:
    old = saved(tmp_path / "old.npz", ids=ids)

    def other(ids: Any) -> Path:
        path = tmp_path / f"new.{ending}"
        if ending == "npz":
            return saved(path, ids=ids)
        names = np.array(["ant", "bee", "cat"])[LABELS]
        csv.write_csv(pa.table({"ids": ids, "labels": names, "predicted": names}), path)
        return path

    repeated = ids[[3, 0, 1]].tolist()
    new = other(np.array([7, 8, 9, *repeated]) if ids.dtype.kind == "i" else [*"xyz", *repeated])
    with pytest.raises(
        InputError,
        match=rf"The image with the id '{ids[3]}' stands in \S+old\.npz \(row 3\) and in "
        rf"\S+new\.{ending} \(row 3\), .*: everyclass compare \S+old\.npz \S+new\.{ending};",
    ):
        state_of_files(old, new)
    # Other images are that, whatever their classes.
    new = other(np.arange(20, 26) if ids.dtype.kind == "i" else np.array(list("uvwxyz")))
    assert state_of_files(old, new).num_samples == 12
    # Within a file it is said as ever.
    twice = saved(tmp_path / "twice.npz", ids=ids[[0, 1, 2, 3, 4, 1]])
    with pytest.raises(InputError, match=r"twice\.npz: the id .* stands in rows 1 and 5; give"):
        state_of_files(twice, other(np.arange(20, 26)))


def test_two_classifiers_on_the_same_images_are_pointed_to_compare(old: Path) -> None:
    new = saved(old.with_name("new.npz"), predicted=LABELS)
    with pytest.warns(
        UserWarning,
        match=r"old\.npz and \S+new\.npz hold the same true classes in the same order, .*: "
        r"everyclass compare \S+old\.npz \S+new\.npz$",
    ):
        assert state_of_files(old, new).num_samples == 12


def test_parts_with_other_images_go_together(old: Path) -> None:
    parts = [
        saved(old.with_name("reversed.npz"), LABELS[::-1]),
        saved(old.with_name("shorter.npz"), LABELS[:5]),
        # Of one class each and as many images: a folder for each class gives such.
        saved(old.with_name("bees-0.npz"), np.array([1, 1, 1])),
        saved(old.with_name("bees-1.npz"), np.array([1, 1, 1])),
    ]
    assert state_of_files(old, *parts).num_samples == 23
