"""README's tables and picture are what the stored predictions say today."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from manual_pages import ROOT

from everyclass.bench import load_table, save_figure

RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.parametrize("name", ["table3", "beyond"])
def test_readme_shows_the_stored_results(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    written = runpy.run_path(str(ROOT / "benchmarks" / "write_tables.py"))["text"](name)
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, rest = page.partition(f"<!-- write_tables.py {name} -->\n")
    shown, end, _ = rest.partition(f"\n<!-- end of write_tables.py {name} -->")
    assert end
    assert shown == written, "python benchmarks/write_tables.py"


def test_readme_draws_the_stored_results(tmp_path: Path) -> None:
    save_figure(load_table("frontier"), tmp_path / "frontier.svg", RESULTS)
    shown, today = (
        # What each mark stands for; where it is drawn follows from a machine's fonts too.
        " ".join(re.findall('aria-label="([^"]*)"', (folder / "frontier.svg").read_text("utf-8")))
        for folder in (ROOT / "docs" / "images", tmp_path)
    )
    number = r"\d+(?:\.\d+)?(?:e-?\d+)?"
    assert "MiSLAS" in shown
    assert re.sub(number, "", shown) == re.sub(number, "", today), "benchmarks/write_tables.py"
    values = [[float(n) for n in re.findall(number, labels)] for labels in (shown, today)]
    assert values[0] == pytest.approx(values[1], abs=1e-3), "benchmarks/write_tables.py"
