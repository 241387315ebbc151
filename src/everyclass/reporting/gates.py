"""What gates said, for people, for JUnit's readers, and for GitHub's pull requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from everyclass.artifacts import cells, escaped, padded, printable
from everyclass.metrics import GateResult

__all__ = [
    "gate_table",
    "github_annotations",
    "holds_junit",
    "junit_xml",
    "refusal_as_github",
    "refusal_as_junit",
]

_LOOKED_AT = 1 << 10  # bytes

# XML 1.0 has no way to write these, not even as references.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def gate_table(results: Sequence[GateResult]) -> str:
    """One line a gate: verdict, condition, value."""
    texts = [printable(result.gate.text, 80) for result in results]
    width = max(map(cells, texts), default=0)
    lines = [
        f"{'FAIL' if result.failed else 'pass'}  {padded(text, width)}  {result}"
        for text, result in zip(texts, results, strict=True)
    ]
    return "\n".join(["gates (fail if)", *lines])


def junit_xml(results: Sequence[GateResult]) -> bytes:
    """A JUnit file with one test case a gate."""
    counts = {
        "tests": str(len(results)),
        "failures": str(sum(result.failed for result in results)),
        "errors": "0",
    }
    root, suite = _suite(counts)
    for result in results:
        case = _case(suite, f"fail if {result.gate.text}")
        said = _xml_text(f"{result.gate.text} is {result}")
        if result.failed:
            ElementTree.SubElement(case, "failure", {"type": "gate", "message": said}).text = said
        else:
            ElementTree.SubElement(case, "system-out").text = said
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def refusal_as_junit(reason: str) -> bytes:
    """The same where nothing could be judged, so that no earlier file says that all is well."""
    root, suite = _suite({"tests": "1", "failures": "0", "errors": "1"})
    said = _xml_text(reason)
    case = _case(suite, "judge the predictions")
    ElementTree.SubElement(case, "error", {"type": "input", "message": said}).text = said
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def holds_junit(file: Path) -> bool:
    """Whether a file is a JUnit report, of whatever tests."""
    with open(file, "rb") as stream:
        return b"<testsuite" in stream.read(_LOOKED_AT)


def _suite(counts: dict[str, str]) -> tuple[ElementTree.Element, ElementTree.Element]:
    root = ElementTree.Element("testsuites", counts)
    return root, ElementTree.SubElement(root, "testsuite", {"name": "everyclass", **counts})


def _case(suite: ElementTree.Element, name: str) -> ElementTree.Element:
    named = {"classname": "everyclass.gate", "name": _xml_text(name)}
    return ElementTree.SubElement(suite, "testcase", named)


def _xml_text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def github_annotations(results: Sequence[GateResult]) -> str:
    """Workflow commands that GitHub Actions turns into annotations: errors, and one notice."""
    lines = [
        f"::error title={_property('everyclass gate failed')}::"
        + _message(f"{result.gate.text} is {result}")
        for result in results
        if result.failed
    ]
    passed = len(results) - len(lines)
    if passed:
        what = "1 gate" if passed == 1 else f"{passed} gates"
        lines.append(f"::notice title={_property('everyclass')}::{_message(what + ' passed')}")
    return "\n".join(lines)


def refusal_as_github(reason: str) -> str:
    """The annotation where nothing could be judged."""
    return f"::error title={_property('everyclass cannot judge this')}::{_message(reason)}"


def _message(text: str) -> str:
    # The three escapes of the format; what else is unprintable must not reach the log either.
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped(text, isolates=True)


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
