"""Table 3 and the frontier into README, from the stored predictions.

    python benchmarks/write_tables.py

`everyclass bench show table3 --format markdown` and `bench show frontier --out FILE` print and draw
the same.
"""

from __future__ import annotations

from pathlib import Path

from everyclass.bench import load_table, save_figure, table_rows, table_text
from pages import into_page

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    table = load_table("table3")
    text = table_text(table, table_rows(table, RESULTS), "markdown")
    into_page(ROOT / "README.md", Path(__file__).name, text)
    save_figure(load_table("frontier"), ROOT / "docs" / "images" / "frontier.svg", RESULTS)


if __name__ == "__main__":
    main()
