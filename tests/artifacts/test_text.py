"""Names from outside in a terminal: they take their columns, and steer nothing."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from everyclass.artifacts import (
    ClassCounts,
    Predictions,
    did_you_mean,
    padded,
    printable,
    quoted,
    some,
)
from everyclass.errors import InputError
from everyclass.metrics import compare, evaluate

HOSTILE = {
    "colour": "\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "clear": "\x1b[2J\x9b2J",
    "new row": "cat\n99.9%",
    "over": "cat\rdog\b\b",
    "turned": "\u202egnp.exe",
    "isolate": "\u2066a\u2069\u2069",
    "unseen": "a\u200b\ufeff\u2060b",
    "lines": "a\u2028b\u2029c\x85d",
    "half": "\ud83d",
    "long": "x" * 10_000,
    "wide": "猫" * 10_000,
    "heap": "z" + "\u0335\u0489" * 5000,
    "html": "<script>alert(1)</script>",
    "arabic": "قطة",
    "hebrew": "חתול 7",
    "emoji": "👨\u200d👩\u200d👧 🇩🇪",
    "persian": "می\u200cخواهم",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str) -> None:
    shown = printable(HOSTILE[name], 40)
    isolates = shown.count("\u2068"), shown.count("\u2069")
    assert isolates in ((0, 0), (1, 1))
    bare = shown.strip("\u2068\u2069")
    assert not [c for c in bare if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert not [c for c in bare if unicodedata.category(c) == "Cf" and c not in "\u200c\u200d"]
    assert cell_len(bare) <= 40
    assert len(bare) <= 120
    assert shown.encode()
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "cat"),
        ("käse", "käse"),
        ("猫", "猫"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb", "a\\nb"),
        ("\u202e", "\\u202e"),
        ("\ud83d", "\\ud83d"),
        ("قطة", "\u2068قطة\u2069"),
        ("👨\u200d👩", "👨\u200d👩"),
        ("<b>", "<b>"),
        ("a\xa0b", "a\xa0b"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert quoted(text) == f"'{shown}'"


@given(st.text(), st.integers(2, 50))
def test_any_text_fits(text: str, most: int) -> None:
    bare = printable(text, most).strip("\u2068\u2069")
    assert cell_len(bare) <= most
    escaped = printable(text).strip("\u2068\u2069")
    if cell_len(escaped) <= most and len(text) <= most:
        assert bare == escaped


def test_columns_are_filled_by_width_not_by_length() -> None:
    assert padded("猫", 4) == "猫  "
    assert padded("e\u0301", 3) == "e\u0301  "
    assert padded("toolong", 3) == "toolong"
    assert some(["a", "b", "\x07"], most=2) == "a, b and 1 more"
    assert some(["\x07"]) == "\\x07"


def test_the_table_of_hostile_names_keeps_its_rows_and_columns() -> None:
    names = tuple(name for key, name in HOSTILE.items() if key != "half")
    labels = np.arange(len(names)).repeat(2)
    table = evaluate(labels=labels, predicted=np.zeros_like(labels), class_names=names).table()
    lines = table.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("class "))
    rows = lines[start + 1 :]
    assert len(rows) == len(names)
    ends = {cell_len(row.replace("\u2068", "").replace("\u2069", "")) for row in lines[start:]}
    assert len(ends) == 1
    assert max(map(cell_len, lines)) < 500
    for row in rows:
        assert row.count("%") == (2 if "\\x1b[31mred" in row else 1) or "99.9%" in row


def test_a_comparison_of_hostile_names_keeps_its_rows_and_columns() -> None:
    names = tuple(name for key, name in HOSTILE.items() if key != "half")
    labels = np.arange(len(names)).repeat(2)
    old = Predictions(labels, predicted=labels, class_names=names)
    new = Predictions(labels, predicted=np.zeros_like(labels), class_names=names)
    table = compare(old, new, names=(HOSTILE["new row"], HOSTILE["clear"])).table()
    assert not {"\x1b", "\x9b", "\x07", "\r", "\u202e"} & set(table)
    lines = table.split("\n")
    assert lines[:2] == ["A  cat\\n99.9%", "B  \\x1b[2J\\x9b2J"]
    start = next(i for i, line in enumerate(lines) if line.startswith("class "))
    rows = [row.replace("\u2068", "").replace("\u2069", "") for row in lines[start + 1 :]]
    assert len(rows) == len(names)
    assert len({cell_len(row[: row.index("  undecided  ")]) for row in rows}) == 1


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("cta", ["dog", "cat"], "; did you mean 'cat'?"),
        (130, ["13"], "; did you mean '13'?"),
        ("xyz", ["dog", "cat"], "."),
        ("cat", [], "."),
        ("ca\x1b", ["cat\x1b"], "; did you mean 'cat\\x1b'?"),
        ("a" * 100_000, ["a" * 100_000], "."),  # at once
        ("x", map(str, itertools.count()), "."),  # of 10,000 names at most
    ],
)
def test_what_could_have_been_meant(word: object, known: Iterable[str], said: str) -> None:
    assert did_you_mean(word, known) == said


def test_half_a_character_is_no_name() -> None:
    with pytest.raises(InputError, match=r"The class name '\\ud83d' is no text"):
        evaluate(labels=[0, 1], predicted=[0, 0], class_names=("a", HOSTILE["half"]))


def test_messages_about_hostile_names_are_short_and_harmless() -> None:
    twice = "\x1b[31m" + "x" * 10_000
    for cause in (
        lambda: evaluate(labels=[0, 1], predicted=[0, 0], class_names=(twice, twice)),
        lambda: ClassCounts.of({twice: 1, "b": 2}, names=["a", "b"]),
    ):
        with pytest.raises(InputError) as caught:
            cause()
        assert len(str(caught.value)) < 300
        assert "\x1b" not in str(caught.value)
