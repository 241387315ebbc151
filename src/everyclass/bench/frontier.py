"""The frontier: which methods no other beats in accuracy and for the worst classes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from everyclass.bench.show import percent
from everyclass.bench.tables import Table

if TYPE_CHECKING:
    import altair as alt

__all__ = ["WORST", "frontier_chart", "frontier_text", "on_frontier"]

# What stands for the worst classes, each against accuracy.
WORST = {"harmonic_mean": "harmonic mean of recall", "lowest_recall": "lowest recall"}


def on_frontier(points: Sequence[Mapping[str, Any]], worst: str) -> list[bool]:
    """Whether each point is on the frontier: no other is as good in both numbers and better in one.

    Args:
        points: with ``accuracy`` and ``worst``; one without numbers is on no frontier.
        worst: "harmonic_mean" or "lowest_recall".

    Example:
        >>> points = [dict(accuracy=a, lowest_recall=w) for a, w in [(0.5, 0.1), (0.4, 0.1)]]
        >>> on_frontier(points, "lowest_recall")
        [True, False]
    """
    pairs = [(p["accuracy"], p[worst]) for p in points]
    known = [pair for pair in pairs if None not in pair]
    return [
        None not in pair
        and not any(o != pair and o[0] >= pair[0] and o[1] >= pair[1] for o in known)
        for pair in pairs
    ]


def frontier_text(table: Table, rows: Sequence[Mapping[str, Any]]) -> str:
    """Methods with results, most accurate first, and whether each is on a frontier.

    Args:
        table: the frontier.
        rows: of :func:`everyclass.bench.table_rows`.
    """
    rows = sorted((row for row in rows if row["n"]), key=lambda row: -row["accuracy"])
    if not rows:
        return f"{table.title}\n\nNo results yet: everyclass bench run {table.name}"
    marks = {worst: on_frontier(rows, worst) for worst in WORST}
    width = max(len(row["method"]) for row in rows)
    lines = [table.title, "", f"{'':<{width}}   n  {'accuracy':<18}  {'H-mean':<18}  lowest"]
    for place, row in enumerate(rows):
        cells = [
            _cell(row, name) + ("  ←" if name in marks and marks[name][place] else "")
            for name in ("accuracy", *WORST)
        ]
        said = "  ".join(f"{cell:<18}" for cell in cells).rstrip()
        lines.append(f"{row['method']:<{width}}  {row['n']:>2}  {said}")
    lines += ["", "← nothing here is as accurate and better in this number, or the other way round"]
    return "\n".join([*lines, "[ ] 95 % interval that the test images allow a single run"])


def frontier_chart(table: Table, rows: Sequence[Mapping[str, Any]]) -> alt.TopLevelMixin:
    """Draw accuracy against harmonic mean and against lowest recall, ours and the paper's.

    Args:
        table: the frontier.
        rows: of :func:`everyclass.bench.table_rows`.

    Raises:
        InputError: no row has a result.
    """
    from everyclass.errors import InputError
    from everyclass.reporting import pareto_chart

    found = [row for row in rows if row["n"]]
    if not found:
        raise InputError(
            f"{table.name} has no results to draw; make them: everyclass bench run {table.name}"
        )
    points = []
    for worst, title in WORST.items():
        ours = on_frontier(found, worst)
        points += [
            {
                "panel": title,
                "method": row["method"],
                "runs": row["n"],
                "source": "ours",
                "best": best,
                "x": row[worst],
                "y": row["accuracy"],
                "x_low": row["intervals"][worst][0],
                "x_high": row["intervals"][worst][1],
                "y_low": row["intervals"]["accuracy"][0],
                "y_high": row["intervals"]["accuracy"][1],
            }
            for row, best in zip(found, ours, strict=True)
        ]
        points += [
            {
                "panel": title,
                "method": row["method"],
                "source": "paper",
                "best": False,
                "x": row["paper"][worst],
                "y": row["paper"]["accuracy"],
            }
            for row in rows
            if row["paper"][worst] is not None and row["paper"]["accuracy"] is not None
        ]
    return pareto_chart(points, list(WORST.values()), y="accuracy")


def _cell(row: Mapping[str, Any], name: str) -> str:
    low, high = row["intervals"][name]
    return f"{percent(row[name])} [{100 * low:.1f}–{100 * high:.1f}]"
