"""Tables 2, 4 and 5: the paper's rows, ours empty, what fills them; data sets counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from everyclass.bench import filling_commands, load_table, table_rows, table_text
from everyclass.bench.run import run_table
from everyclass.cli import main
from everyclass.data import PUBLISHED
from everyclass.errors import DataNotFoundError
from everyclass.methods import get_method
from everyclass.training import Recipe


@pytest.mark.parametrize(
    ("name", "data", "first", "count"),
    [
        ("table4", "imagenet-lt", ("43.90", "23.25", "1.25", "0.00"), 9),
        ("table5", "places-lt", ("28.71", "12.11", "0.73", "0.00"), 7),
    ],
)
def test_the_papers_rows_stand_beside_empty_ones_of_ours(
    name: str, data: str, first: tuple[str, ...], count: int, tmp_path: Path
) -> None:
    table = load_table(name)
    rows = table_rows(table, tmp_path)
    of_paper = [row for row in rows if not row["extra"]]
    assert len(of_paper) == count
    assert all(None not in row["paper"].values() for row in of_paper)
    line = next(line for line in table_text(table, rows).splitlines() if line.startswith(" CE "))
    assert tuple(word for word in line.split()[2:] if word != "–") == first
    commands = filling_commands(table, rows, empty=True)
    assert commands[0] == f"everyclass data check {data}"
    assert f"everyclass bench run {name} --methods ce,ce-gml,ce-gml-ensemble" in commands
    named = {result for c in commands[1:] for result in c.split()[-1].split(",")}
    assert named == {row.result for row in table.rows}  # every row has a recipe, and a command


@pytest.mark.parametrize("name", ["table4", "table5"])
def test_every_row_has_a_recipe_of_its_data_set(name: str) -> None:
    table = load_table(name)
    for method in {row.pretraining for row in table.rows}:
        assert method is not None
        recipe = get_method(method, table.data["name"])
        assert isinstance(recipe, Recipe)
        while recipe.start is not None:
            recipe = recipe.start
        assert recipe.backbone is not None
        assert recipe.backbone.startswith(("resnext50", "resnet50", "resnet152"))
        assert recipe.augmentation in ("jitter", "jitter-randaugment", "contrastive-jitter")


def test_without_pictures_a_run_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVERYCLASS_DATA", raising=False)
    with pytest.raises(DataNotFoundError, match="ImageNet-LT's train list was not found"):
        run_table(load_table("table4"), methods=["ce"], results=tmp_path, runs=tmp_path)


def test_data_sets_are_counted_from_the_lists_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EVERYCLASS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    facts = PUBLISHED["places-lt"]
    for part in ("train", "test"):
        counts = facts.counts_of(part)
        assert counts is not None
        lines = [f"{part}/{c}/{i}.jpg {c}\n" for c, n in enumerate(counts) for i in range(n)]
        (tmp_path / facts.lists[part]).write_text("".join(lines))
    show: Callable[..., Any] = lambda *more: main(  # noqa: E731
        ["bench", "show", "table2", "--data-root", str(tmp_path), *more]
    )
    with pytest.raises(SystemExit) as done:
        show("--format", "json")
    assert done.value.code in (0, None)
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    places = rows["Places-LT"]
    assert (places["classes"], places["train"], places["test"]) == (365, 62_500, 36_500)
    assert places["imbalance_ratio"] == places["paper"]["imbalance_ratio"] == 996
    assert places["val"] is None
    assert rows["ImageNet-LT"]["train"] is None
    with pytest.raises(SystemExit):
        show()
    text = capsys.readouterr().out
    assert "62,500 (62,500)" in text
    assert "imagenet-lt: ImageNet_LT_train.txt" in text
    short = tmp_path / facts.lists["test"]
    short.write_text("\n".join(short.read_text().splitlines()[1:]))
    with pytest.raises(SystemExit) as done:
        show()
    assert done.value.code == 1
    said = capsys.readouterr()
    assert "36,499 of 36,500 pictures, 1 are missing" in said.out
    assert "imagenet-lt: ImageNet_LT_train.txt" in said.out  # the others are counted all the same
    assert "1 of 4 data sets is not as published" in said.err
