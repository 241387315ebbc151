"""`everyclass compare` on files, and `everyclass plan`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass import Comparison, Predictions, compare

Command = Callable[..., Any]
LABELS = np.repeat([0, 1, 2], [80, 60, 40])
NAMES = ("cat", "dog", "lynx")


def predicted(recall: list[float]) -> np.ndarray:
    right = np.random.default_rng(0).random(180) < np.array(recall)[LABELS]
    return np.where(right, LABELS, (LABELS + 1) % 3)


OLD, NEW = predicted([0.95, 0.9, 0.1]), predicted([0.7, 0.9, 0.6])


def save(path: Path, said: np.ndarray, **more: Any) -> Path:
    arrays = {"labels": LABELS, "predicted": said, "class_names": np.array(NAMES), **more}
    np.savez(path, **arrays)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return save(tmp_path / "old.npz", OLD), save(tmp_path / "new.npz", NEW)


def test_the_table_begins_with_who_paid(everyclass: Command, pair: tuple[Path, Path]) -> None:
    done = everyclass("compare", *pair)
    assert done.code == 0, done.err
    assert done.err == ""
    rows = [line.split()[:2] for line in done.out.splitlines()[-3:]]
    assert rows == [["cat", "paid"], ["lynx", "rose"], ["dog", "undecided"]]
    assert "1 paid, 1 rose, 1 undecided" in done.out


def test_json_is_the_comparison(everyclass: Command, pair: tuple[Path, Path]) -> None:
    done = everyclass("compare", *pair, "--json", "--seed", "3", "--correction", "bh")
    assert done.code == 0, done.err
    found = Comparison.from_dict(json.loads(done.out))
    expected = compare(
        Predictions.load(pair[0]),
        Predictions.load(pair[1]),
        names=(str(pair[0]), str(pair[1])),
        seed=3,
        correction="bh",
    )
    assert found.numbers == expected.numbers
    assert (found.rose, found.paid) == (expected.rose, expected.paid) == ((2,), (0,))


def test_out_writes_a_file_that_can_be_read(
    everyclass: Command, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    done = everyclass("compare", *pair, "--out", tmp_path / "c.json")
    assert done.code == 0, done.err
    assert Comparison.load(tmp_path / "c.json").rose == (2,)
    assert "undecided" in done.out


def test_out_of_files_whose_names_are_no_utf8(everyclass: Command, tmp_path: Path) -> None:
    old = save(tmp_path / os.fsdecode(b"caf\xe9.npz"), OLD)
    new = save(tmp_path / "new.npz", NEW)
    done = everyclass("compare", old, new, "--out", tmp_path / "c.json")
    assert done.code == 0, done.err
    assert Comparison.load(tmp_path / "c.json").names == (str(old), str(new))


def test_only_a_comparison_is_replaced_by_one(
    everyclass: Command, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    third = save(tmp_path / "third.npz", OLD)
    out = tmp_path / "c.json"
    for files in (pair, (*pair, third), pair):  # one comparison, and a file of several
        assert everyclass("compare", *files, "--out", out).code == 0
    for content in ('{"precious": 1}', "precious", "[1]"):
        out.write_text(content)
        everyclass("compare", *pair, "--out", out).refused("c.json is there and is no comparison")
        assert out.read_text() == content


def test_several_with_a_baseline(
    everyclass: Command, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    third = save(tmp_path / "third.npz", predicted([0.9, 0.9, 0.3]))
    for files in ((pair[0], pair[1], third), (pair[0], third)):
        done = everyclass("compare", *files, "--baseline", pair[1], "--json")
        assert done.code == 0, done.err
        found = json.loads(done.out)["comparisons"]
        assert [c["names"] for c in found] == [
            [str(pair[1]), str(pair[0])],
            [str(pair[1]), str(third)],
        ]
    assert everyclass("compare", *files, "--baseline", pair[1]).out.count("\nB  ") == 2


def test_tables_of_names_in_any_order(everyclass: Command, tmp_path: Path) -> None:
    names = np.array(NAMES)
    for name, said, step in (("a", OLD, 1), ("b", NEW, -1)):
        rows = zip(range(180), names[LABELS], names[said], strict=True)
        text = ["ids,labels,predicted", *(",".join(map(str, row)) for row in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(text[:1] + text[1:][::step]) + "\n")
    done = everyclass("compare", tmp_path / "a.csv", tmp_path / "b.csv", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["rose"], found["paid"]) == ([2], [0])


BAD: dict[str, tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
    "a duplicate id": ({"ids": np.zeros(180, int)}, (), ("the id '0' stands in rows",)),
    "no common id": (
        {"ids": np.arange(180) + 1000},
        (),
        ("The ids do not match: 180 of", "such as 0"),
    ),
    "other labels": (
        {"labels": LABELS[::-1]},
        (),
        ("The image with id 0 is of class 'cat'", "'lynx'"),
    ),
    "fewer images": (
        {"labels": LABELS[:9], "predicted": OLD[:9], "ids": np.arange(9)},
        (),
        ("171 of", "are not in"),
    ),
    "another correction": (
        {},
        ("--correction", "sidak"),
        ("correction must be 'holm', 'bh' or 'none'; got 'sidak'",),
    ),
    "confidence in percent": ({}, ("--confidence", "95"), ("between 0 and 1, such as 0.95",)),
    "unknown scores": ({}, ("--scores", "x"), ("scores (--scores) must be logits or probs",)),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(case: str, everyclass: Command, tmp_path: Path) -> None:
    arrays, options, words = BAD[case]
    a = save(tmp_path / "a.npz", OLD, ids=np.arange(180))
    b = save(tmp_path / "b.npz", NEW, **{"ids": np.arange(180), **arrays})
    everyclass("compare", a, b, *options, "--out", tmp_path / "out.json").refused(*words)
    assert not (tmp_path / "out.json").exists()


def test_files_that_are_not_two(everyclass: Command, pair: tuple[Path, Path]) -> None:
    everyclass("compare", pair[0]).refused("two classifiers at least")
    everyclass("compare", pair[0], pair[0]).refused("The same file was given twice")
    again = pair[0].parent / ".." / pair[0].parent.name / pair[0].name
    everyclass("compare", pair[0], again).refused("The same file was given twice")
    everyclass("compare", pair[0], "no.npz").refused("There is no predictions file at no.npz")
    everyclass("compare", *pair, "--out", pair[0].parent).refused("name a file", code=1)


# --- plan -----------------------------------------------------------------------------------------


def test_plan_answers_one_question(everyclass: Command) -> None:
    done = everyclass("plan", "--recall", "0.8", "--half-width", "0.05")
    assert done.out.startswith("245 test images of the class: ± 5 points at recall 80 %")
    done = everyclass("plan", "--recall", "0.5", "--lift", "0.15", "--broken", "0.05", "--json")
    assert json.loads(done.out) == {"images": 81}
    done = everyclass("plan", "--recall", "0.5", "--lift", "-0.15", "--broken", "0.2")
    assert done.out.startswith("81 test images of the class: a change of -15 points")
    assert "(95 % level, one class tested)" in done.out
    done = everyclass("plan", "--recall", "0.5", "--lift", "0.15", "--classes", "1000")
    assert "(95 % level, 1,000 classes tested)" in done.out


def test_plan_without_a_question_is_a_table(everyclass: Command) -> None:
    done = everyclass("plan")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[2].split() == ["50%", "39", "93", "381", "1,064"]
    assert "30 % fixed, 5 % broken" in done.out
    rows = json.loads(everyclass("plan", "--json").out)
    assert {"recall": 0.9, "half_width": 0.05, "images": 141} in rows["half_widths"]
    more = json.loads(everyclass("plan", "--json", "--classes", "100").out)
    assert more["lifts"][0]["images"] > rows["lifts"][0]["images"]


def test_plan_refuses(everyclass: Command) -> None:
    everyclass("plan", "--half-width", "0.05").refused("plan needs --recall")
    everyclass("plan", "--broken", "0.02").refused("--broken goes with --recall and --lift")
    everyclass("plan", "--recall", "0.8").refused("either half_width (--half-width) or lift")
    everyclass("plan", "--recall", "80", "--half-width", "0.05").refused("between 0 and 1; got 80")
    everyclass("plan", "--recall", "0.8", "--lift", "0.5").refused("within 0..1; got 0.5 from 0.8")


def test_a_column_id_pairs_images_as_ids_does(everyclass: Command, tmp_path: Path) -> None:
    """Rows in another order within each class look like the same rows to whom reads no ids."""
    rng = np.random.default_rng(1)
    order = np.concatenate([rng.permutation(np.flatnonzero(label == LABELS)) for label in range(3)])

    def table(name: str, said: np.ndarray, rows: Any, column: str) -> Path:
        lines = [f"{row},{NAMES[LABELS[row]]},{NAMES[said[row]]}" for row in rows]
        (tmp_path / name).write_text("\n".join([f"{column},labels,predicted", *lines, ""]))
        return tmp_path / name

    a = table("a.csv", OLD, range(180), "id")
    said = [
        everyclass("compare", a, table("b.csv", NEW, rows, column), "--json")
        for rows, column in ((range(180), "id"), (order, "id"), (order, "ids"))
    ]
    assert [done.code for done in said] == [0, 0, 0], said[0].err
    assert said[0].out == said[1].out == said[2].out
    everyclass("compare", a, table("b.csv", NEW, range(179), "id")).refused("ids do not match")
