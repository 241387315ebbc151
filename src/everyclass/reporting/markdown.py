"""The report as a short comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from everyclass.artifacts import atomic_write, escaped
from everyclass.metrics import GateResult
from everyclass.reporting.data import Report
from everyclass.reporting.formats import (
    exact_percent,
    intervals_of,
    number,
    of_classes,
    percent,
    percent_range,
    points,
    points_range,
    sentence,
)
from everyclass.reporting.marks import COMMENT_MARK
from everyclass.reporting.numbers import number_rows
from everyclass.reporting.words import ALONE, Sentence, how_tested, words_of

__all__ = ["render_comment", "write_comment"]

_TITLES = {
    "lowest_recall": "Lowest recall",
    "worst_10": "Worst 10% of classes",
    "harmonic_mean": "Harmonic mean",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "calibration_error": "Calibration error",
}
_MOST = 8
_WIDTH = 60


def render_comment(report: Report, gates: Sequence[GateResult] = ()) -> str:
    """Return a comment in GitHub's Markdown: verdict, costs, headline numbers, who paid, who rose.

    Names of classes and files stand as code, so that they are neither markup, nor links, nor
    mentions.

    Args:
        report: what is said.
        gates: what ``--fail-if`` found, to be listed.
    """
    words = words_of(report)
    lines = [COMMENT_MARK, f"### {_said(words.headline)}", ""]
    lines += [" ".join(map(_said, words.lead)), ""] if words.lead else []
    lines += [" ".join(map(_said, words.reason)), ""]
    if gates:
        failed = sum(result.failed for result in gates)
        verdict = f"{failed} of {len(gates)} gates failed" if failed else "All gates passed"
        lines += [f"**{verdict}**", ""]
        lines += [
            f"- {'❌' if r.failed else '✅'} {_code(f'{r.gate.text} is {r}', 160)}" for r in gates
        ]
        lines.append("")
    lines += _table(report)
    lines += _moved(report)
    judged = report.evaluations.get(report.judged or "")
    if judged is not None and not report.shown:
        worst = [int(c) for c in judged.worst_first()[:_MOST]]
        said = [f"{_code(report.names[c])} {percent(judged.per_class_recall[c])}" for c in worst]
        lines += [f"**Worst classes:** {', '.join(said)}", ""]
    return "\n".join(lines).rstrip() + "\n"


def write_comment(path: str | Path, report: Report, gates: Sequence[GateResult] = ()) -> Path:
    """Write the comment, whole or not at all, and return where it is.

    Raises:
        OutputError: no permission, no space, or no such folder.
    """
    path = Path(path)
    with atomic_write(path) as stream:
        stream.write(render_comment(report, gates).encode("utf-8", errors="replace"))
    return path


def _table(report: Report) -> list[str]:
    if not report.evaluations:
        return []
    shown = report.shown
    heads = [_cell(name) for name in report.classifiers]
    heads += [f"change, {_cell(shown)}"] if shown else []
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'--:|' * len(heads)}"]
    for row in number_rows(report):
        if row["key"] not in _TITLES:
            continue
        cells = []
        for name in report.classifiers:
            cell = row["cells"][name]
            limits = f" [{percent_range(cell['interval'])}]" if cell["interval"] else ""
            star = "\\*" if cell["floored"] else ""
            cells.append(f"{percent(cell['value'])}{star}{limits}")
        if shown:
            cell = row["cells"][shown]
            between = cell["difference_interval"]
            said = f" ({points_range(between)})" if between else ""
            cells.append(f"**{points(cell['difference'])}**{said}")
        lines.append(f"| {_TITLES[row['key']]} | {' | '.join(cells)} |")
    notes = f"{sentence(intervals_of(report.confidence) + 's')}" if report.has_intervals else ""
    if any(report.floored().values()):
        floor = exact_percent(report.evaluations[report.classifiers[0]].zero_floor)
        notes += f" \\* Recalls below {floor} count as {floor} in these means."
    return [*lines, "", *([f"<sub>{notes.strip()}</sub>", ""] if notes else [])]


def _moved(report: Report) -> list[str]:
    comparison = report.comparison
    if comparison is None:
        return []
    lines = []
    for kind, classes in (("paid", comparison.paid), ("rose", comparison.rose)):
        if not classes:
            lines += [f"**No class significantly {kind}.**", ""]
            continue
        said = [
            f"{_code(report.names[c])} {points(float(comparison.difference[c]))} "
            f"({points_range(comparison.interval[c].tolist())})"
            for c in classes[:_MOST]
        ]
        more = f" and {number(len(classes) - _MOST)} more" if len(classes) > _MOST else ""
        heading = f"**{of_classes(len(classes))} significantly {kind}:**"
        lines += [f"{heading} {', '.join(said)}{more}", ""]
    undecided = len(comparison.undecided)
    told = f"Of {of_classes(undecided)} it cannot be told. " if undecided else ""
    notes = f"{told}Significant: {how_tested(comparison)}. {ALONE}"
    return [*lines, f"<sub>{notes}</sub>", ""]


def _said(said: Sentence) -> str:
    # Names that are classifiers' or classes' are code; a reason in words of ours stays text.
    return said.text.format(*map(_code, said.names))


def _code(text: str, most: int = _WIDTH) -> str:
    """Any text as a span of code, on one line and of bounded length."""
    text = " ".join(escaped(text).split())
    text = text if len(text) <= most else text[: most - 1] + "…"
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _cell(name: str | None) -> str:
    """The same within a table, where a stroke would end the cell."""
    return _code(name or "").replace("|", "\\|")
