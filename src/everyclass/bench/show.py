"""Ours beside the paper's, recomputed from stored predictions."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Evaluation, atomic_write
from everyclass.bench.results import DEFAULT_RESULTS, load_results
from everyclass.bench.tables import NUMBERS, Row, Table
from everyclass.errors import InputError

if TYPE_CHECKING:
    import altair as alt

__all__ = ["figure_chart", "figure_text", "save_figure", "table_rows", "table_text"]


def table_rows(table: Table, results: Path = DEFAULT_RESULTS) -> list[dict[str, Any]]:
    """A table's rows: means over the stored runs, and the paper's numbers.

    Args:
        table: which one.
        results: folder with stored results; it may be missing.

    Returns:
        One dict per row with ``method``, ``n``, the four numbers as fractions (None without
        runs), and ``paper`` with the same keys (None where the paper gives none).
    """
    return [_row(row, table, results) for row in table.rows]


def _row(row: Row, table: Table, results: Path) -> dict[str, Any]:
    evaluations = [r.evaluation for r in load_results(results, table.data, row.result)]
    means = {
        name: float(np.mean([getattr(e, name) for e in evaluations])) if evaluations else None
        for name in NUMBERS
    }
    return {
        "method": row.method,
        "n": len(evaluations),
        **means,
        "paper": {name: row.paper.get(name) for name in NUMBERS},
        "extra": row.extra,
        "zeros_replaced": sum(e.zeros_replaced for e in evaluations),
        **({"per_class_recall": _mean_recall(evaluations)} if table.figure else {}),
    }


def _mean_recall(evaluations: list[Evaluation]) -> npt.NDArray[np.float64] | None:
    return np.mean([e.per_class_recall for e in evaluations], axis=0) if evaluations else None


def figure_text(table: Table, rows: list[dict[str, Any]], results: Path = DEFAULT_RESULTS) -> str:
    """Per-class recall of each row in percent, classes in order of their training images."""
    stored = load_results(results, table.data, table.rows[0].result)
    if not stored:
        return f"{table.title}\n\nNo results yet: everyclass bench run {table.name}"
    counts = stored[0].class_counts
    names = counts.names or tuple(str(c) for c in range(counts.num_classes))
    width = max(5, *(len(name) for name in names))
    heads = [row["method"] for row in rows]
    lines = [table.title, "", f"{'class':<{width}}  trained on  " + "  ".join(heads)]
    for c in np.argsort(-counts.counts, kind="stable"):
        recalls = [row["per_class_recall"] for row in rows]
        cells = [
            f"{_percent(None if recall is None else recall[c]):>{len(head)}}"
            for head, recall in zip(heads, recalls, strict=True)
        ]
        lines.append(f"{names[c]:<{width}}  {counts.counts[c]:>10,}  " + "  ".join(cells))
    return "\n".join(lines)


def figure_chart(table: Table, results: Path = DEFAULT_RESULTS) -> alt.LayerChart:
    """Recall of each class under the first row and the second, as the paper draws it.

    Raises:
        InputError: one of the two rows has no result.
    """
    from everyclass.reporting import RescueReport, recall_chart

    pair = [load_results(results, table.data, row.result) for row in table.rows[:2]]
    if not all(pair):
        raise InputError(
            f"{table.name} has no results to draw; make them: everyclass bench run {table.name}"
        )
    before, after = (stored[0].evaluation for stored in pair)
    report = RescueReport(
        title=table.title,
        verdict={"use": "retrained", "reason": "", "decided_on": ""},
        evaluations={"old": before, "retrained": after},
        class_counts=pair[0][0].class_counts,
        settings={},
        created="",
    )
    old, new = (row.method for row in table.rows[:2])
    return recall_chart(report.class_rows(), old=old, new=new, width=900)


def save_figure(table: Table, path: str | Path, results: Path = DEFAULT_RESULTS) -> None:
    """Write :func:`figure_chart` as ``.svg``, ``.png`` or an ``.html`` that needs no network.

    Raises:
        InputError: another ending, or no result to draw.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    kind: Any = path.suffix.lower().removeprefix(".")
    if kind not in ("svg", "png", "html"):
        raise InputError(f"A figure is written as .svg, .png or .html; got {path.name!r}.")
    drawn = io.BytesIO() if kind == "png" else io.StringIO()
    figure_chart(table, results).save(drawn, format=kind, inline=kind == "html")
    content = drawn.getvalue()
    with atomic_write(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def table_text(table: Table, rows: list[dict[str, Any]]) -> str:
    """Rows as a plain-text table in percent; * marks means with a recall of zero replaced."""
    width = max(len(row["method"]) for row in rows)
    head = f"{'':<{width}}   n   " + "  ".join(f"{name:^15}" for name in _TITLES)
    under = f"{'':<{width}}       " + "  ".join(f"{'ours   paper':^15}" for _ in _TITLES)
    lines = [table.title, "", head, under]
    for row in rows:
        cells = []
        for name in NUMBERS:
            floored = row["zeros_replaced"] and name in ("geometric_mean", "harmonic_mean")
            ours = _percent(row[name]) + ("*" if floored else " ")
            cells.append(f"{ours:>7} {_percent(row['paper'][name]):>6} ")
        lines.append(f"{row['method']:<{width}}  {row['n'] or '–':>2}   " + "  ".join(cells))
    if any(row["zeros_replaced"] for row in rows):
        lines += ["", "* a recall of zero counts as 0.001 in these means"]
    return "\n".join(lines)


_TITLES = ("accuracy", "geometric mean", "harmonic mean", "lowest recall")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"
