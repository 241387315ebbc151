"""Ours beside the paper's, recomputed from stored predictions."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console
from rich.table import Table as Grid

from everyclass.artifacts import Evaluation
from everyclass.bench.results import DEFAULT_RESULTS, Result, load_results
from everyclass.bench.tables import NUMBERS, Row, Table

__all__ = ["TableStyle", "percent", "shown_rows", "table_rows", "table_text"]

TableStyle = Literal["text", "markdown", "latex"]


def table_rows(table: Table, results: Path = DEFAULT_RESULTS) -> list[dict[str, Any]]:
    """A table's rows: means over the stored runs, and the paper's numbers.

    Args:
        table: which one.
        results: folder with stored results; it may be missing.

    Returns:
        One dict per row with ``method``, ``n``, the four numbers as fractions (None without
        runs), each with its standard deviation over the runs as ``<number>_sd`` (None below two
        runs), ``paper`` with the same four keys (None where the paper gives none), and
        ``intervals`` with them too: the 95 % interval of a single run that its test images allow,
        limits averaged over the runs (None without runs).

    Raises:
        InputError: a stored result does not fit its row.
    """
    stored = load_results(results, table)
    return [_row(row, table, stored[row.method]) for row in table.rows]


def shown_rows(rows: list[dict[str, Any]], *, empty: bool = False) -> list[dict[str, Any]]:
    """The rows that have a result or one of the paper's numbers; of a table without either, all.

    Args:
        rows: of :func:`table_rows`.
        empty: whether the others are shown too.
    """
    known = [row for row in rows if row["n"] or set(row["paper"].values()) != {None}]
    return rows if empty or not known else known


def _row(row: Row, table: Table, runs: list[Result]) -> dict[str, Any]:
    evaluations = [result.evaluation for result in runs]
    values = {name: [getattr(e, name) for e in evaluations] for name in NUMBERS}
    means = {name: float(np.mean(v)) if v else None for name, v in values.items()}
    spreads = {
        f"{name}_sd": float(np.std(v, ddof=1)) if len(v) > 1 else None for name, v in values.items()
    }
    return {
        "method": row.method,
        "n": len(evaluations),
        **means,
        **spreads,
        "paper": {name: row.paper.get(name) for name in NUMBERS},
        "intervals": {name: _mean_limits(evaluations, name) for name in NUMBERS},
        "extra": row.extra,
        "zeros_replaced": sum(e.zeros_replaced for e in evaluations),
        **(
            {"per_class_recall": _mean_recall(evaluations)}
            if table.figure in ("pair", "each")
            else {}
        ),
    }


def _mean_recall(evaluations: list[Evaluation]) -> npt.NDArray[np.float64] | None:
    return np.mean([e.per_class_recall for e in evaluations], axis=0) if evaluations else None


def _mean_limits(evaluations: list[Evaluation], name: str) -> list[float] | None:
    limits = [(e.intervals or {})[name] for e in evaluations]
    return np.mean(limits, axis=0).tolist() if limits else None


def table_text(
    table: Table,
    rows: list[dict[str, Any]],
    style: TableStyle = "text",
    *,
    empty: bool = False,
    width: int | None = None,
) -> str:
    """Rows as a table in percent: ours, the paper's, the difference, in Markdown in one cell.

    Beside ours stands the standard deviation over the runs, or in brackets the interval of the only
    run. Where the paper has none of the rows, ours stand alone.

    Args:
        table: which one.
        rows: of :func:`table_rows`.
        style: "text" for a terminal, "markdown", or "latex" (a ``tabular``).
        empty: whether rows without results and without the paper's numbers are shown too.
        width: characters of a line of text; what needs more is put below each other. None: no end.
    """
    shown = shown_rows(rows, empty=empty)
    beside = any(value is not None for row in shown for value in row["paper"].values())
    body = [_cells(row, beside=beside) for row in shown]
    notes = []
    if any(row["zeros_replaced"] for row in shown):
        notes = ["* recalls below 0.001 count as 0.001 in these means"]
    if any(row["n"] == 1 for row in shown):
        notes.append("[ ] 95 % interval of the only run, from its test images")
    if len(shown) < len(rows):
        notes.append(f"{len(rows) - len(shown)} more rows of ours have no results yet (--all)")
    columns = ("", " paper", " Δ") if beside else ("",)
    heads = ["", "n", *(f"{title}{column}" for title in _TITLES for column in columns)]
    if style == "markdown":
        heads = ["", "n", *_TITLES]
        aligned = ["---"] + ["--:"] * (len(heads) - 1)
        lines = [f"**{table.title}**", "", _piped(heads), _piped(aligned)]
        rows_below = [_piped(_beneath(cells, len(columns))) for cells in body]
        return "\n".join([*lines, *rows_below, *(f"\n{_starred(note)}" for note in notes)])
    if style == "latex":
        aligned_right = "r" * (len(heads) - 1)
        lines = [f"% {table.title}", rf"\begin{{tabular}}{{l{aligned_right}}}", r"\toprule"]
        lines += [_ampersands(heads), r"\midrule", *map(_ampersands, body), r"\bottomrule"]
        return "\n".join([*lines, r"\end{tabular}", *(f"% {note}" for note in notes)])
    lines = [table.title, *_side_by_side(heads, body, len(columns), width)]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _side_by_side(
    heads: list[str], body: list[list[str]], columns: int, width: int | None
) -> list[str]:
    """The four numbers of so many columns, as many beside each other as a line has room for."""
    lines: list[str] = []
    for numbers in (4, 2, 1):
        lines = []
        wide = columns * numbers
        for start in range(2, len(heads), wide):
            lines += ["", *_grid(heads, body, [0, 1, *range(start, start + wide)])]
        if width is None or max(map(len, lines)) <= width:
            break
    return lines


def _grid(heads: list[str], body: list[list[str]], columns: list[int]) -> list[str]:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index in columns:  # "accuracy paper" is under "accuracy": "paper" will do
        justify: Literal["left", "right"] = "right" if index else "left"
        grid.add_column(heads[index].rpartition(" ")[2], justify=justify, no_wrap=True)
    for cells in body:
        grid.add_row(*(cells[index] for index in columns))
    stream = io.StringIO()
    Console(file=stream, width=500, color_system=None).print(grid)
    return [line.rstrip() for line in stream.getvalue().splitlines() if line.strip()]


def _cells(row: dict[str, Any], *, beside: bool) -> list[str]:
    """A row's cells, ours alone or beside the paper's."""
    cells = [row["method"], str(row["n"] or _NONE)]
    for name in NUMBERS:
        ours, paper, spread = row[name], row["paper"][name], row[f"{name}_sd"]
        floored = row["zeros_replaced"] and name in ("geometric_mean", "harmonic_mean")
        both = ours is not None and paper is not None
        cells.append(
            percent(ours)
            + ("*" if floored else "")
            + (_range(row["intervals"][name]) if spread is None else f" ± {100 * spread:.2f}")
        )
        if beside:
            cells += [percent(paper), f"{100 * (ours - paper):+.2f}" if both else _NONE]
    return cells


def _beneath(cells: list[str], columns: int) -> list[str]:
    """The paper's number and the difference under ours, as a page has room for four columns."""
    stacked = cells[:2]
    for start in range(2, len(cells), columns):
        ours, *paper = cells[start : start + columns]
        said = f"<br>paper {paper[0]}" if paper and paper[0] != _NONE else ""
        stacked.append(ours + said + (f" ({paper[1]})" if said and paper[1] != _NONE else ""))
    return stacked


def _range(limits: list[float] | None) -> str:
    return "" if limits is None else f" [{100 * limits[0]:.1f}–{100 * limits[1]:.1f}]"


def _piped(cells: list[str]) -> str:
    return f"| {' | '.join(map(_starred, cells))} |"


def _starred(text: str) -> str:
    """Stars are emphasis in Markdown, and a list at the beginning of a line."""
    return text.replace("*", r"\*")


def _ampersands(cells: list[str]) -> str:
    text = " & ".join(cells).replace("%", r"\%").replace("±", r"$\pm$").replace("–", "--")
    return text.replace("τ", r"$\tau$").replace("Δ", r"$\Delta$").replace("*", "$^*$") + r" \\"


_TITLES = ("accuracy", "G-mean", "H-mean", "lowest")
_NONE = "–"


def percent(value: float | None) -> str:
    """A fraction as a number of percent with two digits; a dash for None."""
    return _NONE if value is None else f"{100 * value:.2f}"
