"""Gates for people, for JUnit's readers and for GitHub."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from rich.cells import cell_len

from everyclass.metrics import evaluate, judge_gates, read_gates
from everyclass.reporting import gate_table, github_annotations, junit_xml

HOSTILE = "<b>&\"'\x1b]]>\n::error::owned\x00%0A\u202e"
NAMES = ("cat", HOSTILE, "قطة")
SAID = evaluate(labels=[0, 0, 1, 2], predicted=[0, 1, 1, 0], class_names=NAMES)


def quote(name: str) -> str:
    return name.replace("\\", "\\\\").replace("'", "\\'")


TEXTS = ["recall['cat'] < 0.4", f"recall['{quote(HOSTILE)}'] > 50%", "lowest_recall < 0.1"]


def lost(name: str) -> None:
    raise AssertionError(name)


@pytest.fixture
def results() -> tuple:
    return judge_gates(SAID, read_gates(TEXTS), lost)


def test_the_table(results: tuple) -> None:
    lines = gate_table(results).splitlines()
    assert lines[0] == "gates (fail if)"
    assert [line.split()[0] for line in lines[1:]] == ["pass", "FAIL", "FAIL"]
    assert lines[1].endswith("  0.5 (interval 0.0945 to 0.905; 1 of 2 images)")
    assert lines[3].endswith("; \u2068قطة\u2069)")
    assert len({line.index(value) for line, value in zip(lines[1:], ("0.5 (", "1 (", "0 ("),
                                                         strict=True)}) == 1  # fmt: skip
    assert not {"\x1b", "\x00", "\u202e"} & set("".join(lines))


def test_wide_names_keep_the_columns() -> None:
    said = evaluate(labels=[0, 1], predicted=[0, 1], class_names=["猫" * 5, "b"])
    texts = [f"recall['{'猫' * 5}'] < 0.4", "lowest_recall < 0.1"]
    lines = gate_table(judge_gates(said, read_gates(texts), lost)).splitlines()[1:]
    assert {cell_len(line[: line.index("  1 (")]) for line in lines} == {32}


def test_junit_is_xml_with_a_case_a_gate(results: tuple) -> None:
    root = ElementTree.fromstring(junit_xml(results))
    assert root.tag == "testsuites"
    (suite,) = root
    assert {k: suite.get(k) for k in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "2",
        "errors": "0",
    }
    cases = suite.findall("testcase")
    assert [c.get("name") for c in cases][::2] == [f"fail if {t}" for t in TEXTS[::2]]
    assert [c.find("failure") is not None for c in cases] == [False, True, True]
    failure = cases[2].find("failure")
    assert failure is not None
    assert failure.get("message") == failure.text
    assert str(failure.text).startswith("lowest_recall < 0.1 is 0 (interval 0 to ")
    assert str(failure.text).endswith("; \u2068قطة\u2069)")
    (hostile,) = [f for f in cases[1] if f.tag == "failure"]
    assert "<b>&" in str(hostile.text)
    assert "\x1b" not in str(hostile.text)


def test_github_takes_each_failure_as_one_command(results: tuple) -> None:
    lines = github_annotations(results).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("::error title=everyclass gate failed::recall['<b>&")
    assert "%0A::error::owned" in lines[0]
    assert "%250A" in lines[0]
    assert "50%25 is 1" in lines[0]
    assert lines[1].startswith("::error title=everyclass gate failed::lowest_recall < 0.1 is 0")
    assert lines[2] == "::notice title=everyclass::1 gate passed"
    assert not {"\x1b", "\x00", "\u202e"} & set("".join(lines))


def test_nothing_to_say() -> None:
    assert github_annotations(()) == ""
    (suite,) = ElementTree.fromstring(junit_xml(()))
    assert list(suite) == []
