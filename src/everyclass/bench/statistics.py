"""Tables of data sets: counted from the lists and files at hand, beside the paper's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from everyclass.bench.tables import Table
from everyclass.errors import DataNotFoundError, FileFormatError

__all__ = ["STATISTICS", "statistics_rows", "statistics_text"]

STATISTICS = ("classes", "train", "val", "test", "largest", "smallest", "imbalance_ratio")


def statistics_rows(table: Table, data_root: Path | None = None) -> list[dict[str, Any]]:
    """Count the data sets of a table; lists are checked against what is published about them.

    Args:
        table: one of data sets.
        data_root: folder to look in before ``EVERYCLASS_DATA`` and the cache.

    Returns:
        One dict per row with ``method``, each of ``STATISTICS`` (None where the files are not at
        hand), ``missing`` (the parts that are not, as a sentence), ``refused`` (what is wrong with
        a file at hand, None of which is counted then) and ``paper``.
    """
    return [
        {
            "method": row.method,
            **dict.fromkeys(STATISTICS),
            "missing": "",
            "refused": "",
            **_counted_or_refused(row.result, data_root),
            "paper": {name: row.paper.get(name) for name in STATISTICS},
        }
        for row in table.rows
    ]


def _counted_or_refused(name: str, data_root: Path | None) -> dict[str, Any]:
    try:
        return _counted(name, data_root)
    except FileFormatError as error:
        return {"refused": str(error)}


def _counted(name: str, data_root: Path | None) -> dict[str, Any]:
    # Torch comes along with the room of data, and showing other tables does without.
    from everyclass import data as sets

    published = sets.PUBLISHED.get(name)
    if published is None:
        try:
            parts = sets.count_parts(sets.load_dataset(sets.DataConfig(name), root=data_root))
        except DataNotFoundError:
            return {"missing": f"{name}: everyclass data get {name.removesuffix('-lt')}"}
        missing: dict[str, str] = {}
    else:
        parts = sets.count_published(published, sets.search_roots(data_root))
        missing = sets.missing_lists(published, parts)
    found: dict[str, Any] = {each.part: each.images for each in parts}
    if parts:
        found["classes"] = max(each.classes for each in parts)
    train = next((each for each in parts if each.part == "train"), None)
    if train is not None:
        found |= {"largest": train.largest, "smallest": train.smallest}
        found["imbalance_ratio"] = train.largest / train.smallest
    return {**found, "missing": f"{name}: {', '.join(missing.values())}" if missing else ""}


def statistics_text(table: Table, rows: list[dict[str, Any]]) -> str:
    """Rows as a table: what was counted, and the published number behind it where there is one.

    Args:
        table: one of data sets.
        rows: of :func:`statistics_rows`.
    """
    heads = ["", *(name.replace("_", " ") for name in STATISTICS)]
    body = [[row["method"], *(_cell(row, name) for name in STATISTICS)] for row in rows]
    widths = [max(len(line[i]) for line in [heads, *body]) for i in range(len(heads))]
    lines = [table.title, "(in brackets: as published)", ""]
    for line in [heads, *body]:
        first, *others = (
            f"{text:<{w}}" if i == 0 else f"{text:>{w}}"
            for i, (text, w) in enumerate(zip(line, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    missing = [row["missing"] for row in rows if row["missing"]]
    if missing:
        lines += ["", "Not at hand, and so not counted:", *(f"  {text}" for text in missing)]
        lines += ["Where lists belong: everyclass data check imagenet-lt"]
    refused = [row["refused"] for row in rows if row["refused"]]
    if refused:
        lines += ["", "Not what was published, and so not counted:"]
        lines += [f"  {text}" for text in refused]
    return "\n".join(lines)


def _cell(row: dict[str, Any], name: str) -> str:
    ours, paper = row[name], row["paper"][name]
    text = "–" if ours is None else f"{ours:,.0f}"
    return text if paper is None else f"{text} ({paper:,.0f})"
