"""Table 3, the table beyond it and the frontier into README, from the stored predictions.

    python benchmarks/write_tables.py

`everyclass bench show table3 --format markdown`, `bench show beyond --format markdown` and
`bench show frontier --out FILE` print and draw the same.
"""

from __future__ import annotations

from pathlib import Path

from everyclass.bench import load_table, save_figure, table_rows, table_text
from pages import into_page

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TABLES = ("table3", "beyond")


def main() -> None:
    for name in TABLES:
        table = load_table(name)
        text = table_text(table, table_rows(table, RESULTS), "markdown")
        into_page(ROOT / "README.md", f"{Path(__file__).name} {name}", text)
    save_figure(load_table("frontier"), ROOT / "docs" / "images" / "frontier.svg", RESULTS)


if __name__ == "__main__":
    main()
