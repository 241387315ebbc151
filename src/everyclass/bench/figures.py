"""Figures from stored predictions: as text, as a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from everyclass.artifacts import atomic_write
from everyclass.bench.frontier import frontier_chart, frontier_text
from everyclass.bench.results import DEFAULT_RESULTS, Result, load_results
from everyclass.bench.show import percent, table_rows
from everyclass.bench.tables import Table
from everyclass.errors import InputError

if TYPE_CHECKING:
    import altair as alt

__all__ = ["figure_chart", "figure_text", "save_figure"]


def figure_text(table: Table, rows: list[dict[str, Any]], results: Path = DEFAULT_RESULTS) -> str:
    """What a figure draws: recall class by class, most training images first, or the frontier.

    Args:
        table: a figure.
        rows: of :func:`everyclass.bench.table_rows`.
        results: folder with stored results.
    """
    if table.figure == "frontier":
        return frontier_text(table, rows)
    stored = _stored(table, results)
    if not stored:
        return f"{table.title}\n\nNo results yet: everyclass bench run {table.name}"
    counts = next(iter(stored.values()))[0].class_counts
    names = counts.names or tuple(str(c) for c in range(counts.num_classes))
    width = max(5, *(len(name) for name in names))
    columns = [(row["method"], row["per_class_recall"]) for row in rows]
    heads = "  ".join(f"{method:>6}" for method, _ in columns)
    lines = [table.title, "", f"{'class':<{width}}  trained on  {heads}"]
    for c in np.argsort(-counts.counts, kind="stable"):
        cells = [
            f"{percent(None if recall is None else recall[c]):>{max(6, len(method))}}"
            for method, recall in columns
        ]
        lines.append(f"{names[c]:<{width}}  {counts.counts[c]:>10,}  " + "  ".join(cells))
    return "\n".join(lines)


def figure_chart(table: Table, results: Path = DEFAULT_RESULTS) -> alt.TopLevelMixin:
    """Draw the figure: two classifiers over each other, each under the other, or the frontier.

    Raises:
        InputError: the rows of a pair have no seed in common, or no row has a result.
    """
    if table.figure == "frontier":
        return frontier_chart(table, table_rows(table, results))
    stored = _stored(table, results)
    if table.figure == "pair":
        stored = _same_seed({row.method: stored.get(row.method, []) for row in table.rows[:2]})
    if not stored:
        raise InputError(
            f"{table.name} has no results to draw; make them: everyclass bench run {table.name}"
        )
    from everyclass.reporting import recall_chart, recall_rows, recalls_chart

    first = {method: runs[0] for method, runs in stored.items()}
    counts = next(iter(first.values())).class_counts
    if table.figure == "each":
        recalls = {
            method: np.mean([run.evaluation.per_class_recall for run in runs], axis=0)
            for method, runs in stored.items()
        }
        return recalls_chart(recalls, counts)
    (old, before), (new, after) = first.items()
    rows = recall_rows(before.evaluation, after.evaluation, counts)
    chart: alt.TopLevelMixin = recall_chart(rows, old=old, new=new, width=900).properties(
        title=f"{table.title}, seed {before.certificate['seed']}"
    )
    return chart


def _same_seed(stored: dict[str, list[Result]]) -> dict[str, list[Result]]:
    """The run of each row under the first seed that all have; none if there is no such seed."""
    seeds = [{int(run.certificate["seed"]) for run in runs} for runs in stored.values()]
    common = set.intersection(*seeds)
    if not common:
        return {}
    return {
        method: [run for run in runs if int(run.certificate["seed"]) == min(common)]
        for method, runs in stored.items()
    }


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


def _stored(table: Table, results: Path) -> dict[str, list[Result]]:
    """The results of each row that has any."""
    return {method: runs for method, runs in load_results(results, table).items() if runs}
