"""The commands that make the results that a table lacks."""

from __future__ import annotations

from typing import Any

from everyclass.bench.tables import Table

__all__ = ["filling_commands"]

MADE_HERE = ("cifar10-lt", "cifar100-lt", "digits-lt")


def filling_commands(table: Table, rows: list[dict[str, Any]], *, empty: bool = False) -> list[str]:
    """One command for each network that is missing, with all the rows that rest on it.

    Args:
        table: which one.
        rows: of :func:`everyclass.bench.table_rows`.
        empty: whether networks count on which no row of the paper rests.

    Returns:
        Lines for a shell; none where no row is empty.
    """
    lacking: dict[tuple[str, str], list[str]] = {}
    in_paper: set[tuple[str, str]] = set()
    for row, shown in zip(table.rows, rows, strict=True):
        if not shown["n"] and row.pretraining is not None:
            network = (row.pretraining, row.precision)
            lacking.setdefault(network, []).append(row.result)
            if not row.extra:
                in_paper.add(network)
    commands = [
        f"everyclass bench run {table.name} --methods {','.join(results)}"
        for network, results in lacking.items()
        if empty or network in in_paper
    ]
    if commands and table.data["name"] not in MADE_HERE:
        return [f"everyclass data check {table.data['name']}", *commands]
    return commands
