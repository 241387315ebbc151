"""README's table and picture are what the stored predictions say today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from manual_pages import ROOT

from everyclass.bench import load_table, save_figure, table_rows, table_text

RESULTS = ROOT / "benchmarks" / "results"


def test_readme_shows_the_stored_results() -> None:
    table = load_table("table3")
    rows = table_rows(table, RESULTS)
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, rest = page.partition("<!-- write_tables.py -->\n")
    shown, end, _ = rest.partition("\n<!-- end of write_tables.py -->")
    assert end
    assert shown == table_text(table, rows, "markdown"), "python benchmarks/write_tables.py"


def test_readme_draws_the_stored_results(tmp_path: Path) -> None:
    save_figure(load_table("frontier"), tmp_path / "frontier.svg", RESULTS)
    number = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
    shown, today = (
        (folder / "frontier.svg").read_text(encoding="utf-8")
        for folder in (ROOT / "docs" / "images", tmp_path)
    )
    assert re.sub(number, "", shown) == re.sub(number, "", today), "benchmarks/write_tables.py"
    places = [[float(n) for n in re.findall(number, svg)] for svg in (shown, today)]
    assert places[0] == pytest.approx(places[1], abs=0.01)  # another processor rounds otherwise
