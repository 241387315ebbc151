"""The commands that make the results that a table lacks."""

from __future__ import annotations

from typing import Any

from everyclass.bench.tables import Table

__all__ = ["filling_commands"]

MADE_HERE = ("cifar10-lt", "cifar100-lt", "digits-lt")


def filling_commands(table: Table, rows: list[dict[str, Any]]) -> list[str]:
    """One command for each network that is missing, with all the rows that rest on it.

    Args:
        table: which one.
        rows: of :func:`everyclass.bench.table_rows`.

    Returns:
        Lines for a shell; none where no row is empty.
    """
    lacking: dict[tuple[str, str], list[str]] = {}
    for row, shown in zip(table.rows, rows, strict=True):
        if not shown["n"] and row.pretraining is not None:
            lacking.setdefault((row.pretraining, row.precision), []).append(row.result)
    commands = [
        f"everyclass bench run {table.name} --methods {','.join(results)}"
        for results in lacking.values()
    ]
    if commands and table.data["name"] not in MADE_HERE:
        return [f"everyclass data check {table.data['name']}", *commands]
    return commands
