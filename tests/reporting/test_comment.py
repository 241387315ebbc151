"""The comment on a pull request: short, complete, and no markup, link or mention from names."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from everyclass.artifacts import Predictions
from everyclass.metrics import evaluate, judge_gates, read_gates
from everyclass.reporting import (
    Judged,
    Report,
    holds_report,
    render_comment,
    render_report,
    report_of,
    write_comment,
)

LABELS = np.repeat([0, 1, 2], 60)


def made(names: tuple[str, ...] = ("cat", "dog", "lynx"), **called: str) -> Report:
    old = np.where(LABELS == 2, 0, LABELS)
    new = np.where((LABELS == 0) & (np.arange(180) < 15), 1, LABELS)
    judged = {
        called.get(name, name): Judged.of(Predictions(LABELS, predicted=p, class_names=names))
        for name, p in (("old", old), ("new", new))
    }
    return report_of(judged, title="T", settings={})


def test_verdict_cost_numbers_payers_risers() -> None:
    text = render_comment(made())
    parts = [
        "### `new` serves the weak classes better than `old`, but 1 class significantly pays.",
        "It costs 1 of 3 classes some recall",
        "| | `old` | `new` | change, `new` |",
        "| Lowest recall | 0.0% [",
        "| Accuracy | 66.7% [",
        "**1 class significantly paid:** `cat` −25.0 (",
        "**1 class significantly rose:** `lynx` +100.0 (",
        "Of 1 class it cannot be told.",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "\\*" in text  # a zero was replaced, and a star alone would be markup


def test_gates_are_listed() -> None:
    report = made()
    gates = read_gates(["lowest_recall < 5%", "recall['cat'] < 90%"])
    results = judge_gates(report.evaluations["new"], gates, pytest.fail)
    text = render_comment(report, results)
    assert "**1 of 2 gates failed**" in text
    assert "- ✅ `lowest_recall < 5% is" in text
    assert "- ❌ `recall['cat'] < 90% is 0.75" in text
    assert "**All gates passed**" in render_comment(report, results[:1])


HOSTILE = [
    "@everyone",
    "#1",
    "`code` ``more``",
    "`",
    "**bold** [link](https://example.org) ![img](x)",
    "<img src=x onerror=alert(1)>",
    "a | b",
    "two\nlines\r\n# head",
    "\u202egnp.exe",
    "{} {0} {name}",
    "w" * 10_000,
    "| --- |",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_nothing_but_code(name: str) -> None:
    text = render_comment(made((name, "dog", "lynx"), new=name))
    plain = render_comment(made())
    assert text.count("\n") == plain.count("\n")
    assert len(text) < len(plain) + 1_000
    bare = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "CODE", text)  # spans of code, as CommonMark says
    for sign in ("@", "#1", "<img", "](", "**bold", "\u202e", "{", "`"):
        assert sign not in bare
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {5}


def test_one_classifier_lists_its_worst_classes() -> None:
    report = made()
    alone = replace(report, evaluations={"new": report.evaluations["new"]}, comparisons={})
    text = render_comment(alone)
    assert "**Worst classes:** `cat` 75.0%" in text
    assert "change" not in text


def test_a_small_floor_is_no_zero() -> None:
    said = evaluate(labels=LABELS, predicted=np.zeros(180, dtype=int), zero_floor=1e-4)
    report = report_of({"m": Judged(said)}, title="T", settings={})
    assert "Recalls below 0.01% count as 0.01% in these means" in render_comment(report)
    assert "a recall below 0.01% is counted as 0.01% there" in render_report(report)


def test_written_whole(tmp_path: Path) -> None:
    path = write_comment(tmp_path / "c.md", made())
    assert path.read_text(encoding="utf-8") == render_comment(made())
    assert [p.name for p in tmp_path.iterdir()] == ["c.md"]
    assert holds_report(path)


def test_a_long_comment_is_known_again(tmp_path: Path) -> None:
    text = render_comment(made()).rstrip()
    mark, rest = text.split("\n", 1)
    assert rest.startswith("### ")
    path = tmp_path / "c.md"
    more = "x" * 100_000
    for written in (f"{text}\n{more}\n", f"{rest}\n{more}\n\n{mark}\n", f"{rest}\r\n{mark}\r\n"):
        path.write_text(written, newline="")  # as now, and as earlier versions
        assert holds_report(path)
    path.write_text(f"Mine, about {mark} and more.")
    assert not holds_report(path)
