"""README's table is what the stored predictions say today."""

from __future__ import annotations

from manual_pages import ROOT

from everyclass.bench import load_table, table_rows, table_text


def test_readme_shows_the_stored_results() -> None:
    table = load_table("table3")
    rows = table_rows(table, ROOT / "benchmarks" / "results")
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, rest = page.partition("<!-- write_tables.py -->\n")
    shown, end, _ = rest.partition("\n<!-- end of write_tables.py -->")
    assert end
    assert shown == table_text(table, rows, "markdown"), "python benchmarks/write_tables.py"
