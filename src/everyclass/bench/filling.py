"""The commands that make the results that a table lacks."""

from __future__ import annotations

from typing import Any

from everyclass.bench.show import shown_rows
from everyclass.bench.tables import Table

__all__ = ["filling_commands"]


def filling_commands(table: Table, rows: list[dict[str, Any]], *, empty: bool = False) -> list[str]:
    """One command for each network that is missing, with all the rows that rest on it.

    Args:
        table: which one.
        rows: of :func:`everyclass.bench.table_rows`.
        empty: whether networks count on which nothing rests that is shown, see
            :func:`everyclass.bench.table_text`.

    Returns:
        Lines for a shell; none where no row is empty.
    """
    shown = {row["method"] for row in shown_rows(rows, empty=empty)}
    lacking: dict[tuple[str, str], list[str]] = {}
    asked_for: set[tuple[str, str]] = set()
    for row, found in zip(table.rows, rows, strict=True):
        if not found["n"] and row.pretraining is not None:
            network = (row.pretraining, row.precision)
            lacking.setdefault(network, []).append(row.result)
            if row.method in shown:
                asked_for.add(network)
    commands = [
        f"everyclass bench run {table.name} --methods {','.join(results)}"
        for network, results in lacking.items()
        if network in asked_for
    ]
    if commands and "imbalance_ratio" not in table.data:  # pictures that everybody gets themselves
        return [f"everyclass data check {table.data['name']}", *commands]
    return commands
