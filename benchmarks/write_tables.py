"""Table 3, the table beyond it and the frontier into README, from the stored predictions.

    python benchmarks/write_tables.py

`everyclass bench show table3 --format markdown`, `bench show beyond --format markdown` and
`bench show frontier --out FILE` print and draw the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from everyclass.bench import load_table, save_figure, table_rows, table_text
from pages import into_page

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TABLES = ("table3", "beyond")


def text(name: str) -> str:
    """A table; of table 3 the rows that are the paper's, and ours to unfold beneath."""
    table = load_table(name)
    rows = table_rows(table, RESULTS)
    if name != "table3":
        return table_text(table, rows, "markdown")
    paper = [row for row in rows if not row["extra"]]
    ours = [row for row in rows if row["extra"]]
    beneath = replace(table, title=f"{table.title}: rows of ours")
    return "\n\n".join(
        (
            table_text(table, paper, "markdown"),
            "<details>",
            "<summary>Rows that the paper does not have</summary>",
            table_text(beneath, ours, "markdown"),
            "</details>",
        )
    )


def main() -> None:
    for name in TABLES:
        into_page(ROOT / "README.md", f"{Path(__file__).name} {name}", text(name))
    save_figure(load_table("frontier"), ROOT / "docs" / "images" / "frontier.svg", RESULTS)


if __name__ == "__main__":
    main()
