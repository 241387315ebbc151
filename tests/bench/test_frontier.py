"""The frontier: what no other method beats, as text and as a picture."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_results import certificate_of

from everyclass import ClassCounts
from everyclass.bench import Result, figure_text, load_table, save_figure, table_rows
from everyclass.bench.frontier import on_frontier
from everyclass.bench.results import result_path
from everyclass.errors import InputError
from everyclass.reporting import pareto_chart

NUMBER = st.integers(0, 5).map(lambda i: i / 5)
FRONTIER = replace(load_table("frontier"), test=None)  # with test images of our own
POINTS = st.lists(st.fixed_dictionaries({"accuracy": NUMBER, "lowest_recall": NUMBER}), max_size=9)


def store(results: Path, result: str, right: list[int]) -> None:
    """A result with so many of ten right in each class, the others given to the next class."""
    (row,) = [row for row in FRONTIER.rows if row.result == result]
    labels = np.repeat(np.arange(len(right)), 10)
    predicted = np.where(np.arange(len(labels)) % 10 < np.repeat(right, 10), labels, labels + 1)
    predicted %= len(right)
    counts = ClassCounts([50] * len(right))
    made = Result(labels, predicted, counts, certificate_of(FRONTIER, row))
    made.save(result_path(results, FRONTIER.data, result, 0))


@given(POINTS)
def test_what_is_on_it_is_beaten_by_nothing(points: list[dict[str, float]]) -> None:
    pairs = [(p["accuracy"], p["lowest_recall"]) for p in points]
    for (a, w), best in zip(pairs, on_frontier(points, "lowest_recall"), strict=True):
        beaten = any((x > a and y >= w) or (x >= a and y > w) for x, y in pairs)
        assert best is not beaten


def test_what_has_no_numbers_is_not_on_it() -> None:
    points = [{"accuracy": None, "lowest_recall": None}, {"accuracy": 0.0, "lowest_recall": 0.0}]
    assert on_frontier(points, "lowest_recall") == [False, True]


def test_rows_are_those_of_the_tables_each_once() -> None:
    frontier = [row.result for row in FRONTIER.rows]
    assert len(set(frontier)) == len(frontier)
    for name in ("table3", "table6", "table8", "table9"):
        assert {row.result for row in load_table(name).rows} <= set(frontier)


def test_the_most_accurate_come_first_and_the_frontier_is_marked(tmp_path: Path) -> None:
    store(tmp_path, "ce", [10, 10, 1])
    store(tmp_path, "bsce", [7, 6, 6])
    store(tmp_path, "ce-gml", [7, 7, 6])
    text = figure_text(FRONTIER, table_rows(FRONTIER, tmp_path), tmp_path)
    marks = {line.split("  ")[0]: line.count("←") for line in text.splitlines()[3:6]}
    assert marks == {"CE": 2, "CE + GML": 2, "BSCE": 0}
    assert list(marks) == ["CE", "CE + GML", "BSCE"]  # 70, 67 and 63 %


def test_the_picture_names_ours_and_the_papers(tmp_path: Path) -> None:
    store(tmp_path, "ce", [10, 10, 1])
    save_figure(FRONTIER, tmp_path / "frontier.svg", tmp_path)
    drawn = (tmp_path / "frontier.svg").read_text()
    assert ">CE</text>" in drawn
    assert ">PaCo + GML (Ensemble)</text>" in drawn


def test_names_of_points_that_are_near_do_not_cover_each_other(tmp_path: Path) -> None:
    places = {
        "first": (0.1, 0.503),
        "second": (0.11, 0.5),
        "third": (0.12, 0.496),
        "far": (0.3, 0.4),
    }
    points = [
        {"panel": "lowest", "method": name, "source": "ours", "best": True, "runs": 1}
        | {"x": x, "x_low": x, "x_high": x, "y": y, "y_low": y - 0.1, "y_high": y + 0.1}
        for name, (x, y) in places.items()
    ]
    pareto_chart(points, ["lowest"], y="accuracy").save(tmp_path / "drawn.svg")
    drawn = (tmp_path / "drawn.svg").read_text()
    heights = [
        float(re.search(rf'translate\([\d.]+,([\d.]+)\)"[^>]*>{name}</text>', drawn)[1])  # type: ignore[index]
        for name in places
    ]
    assert min(abs(a - b) for a, b in combinations(heights, 2)) > 9


def test_without_results_it_says_how_to_make_them(tmp_path: Path) -> None:
    assert "bench run" in figure_text(FRONTIER, table_rows(FRONTIER, tmp_path), tmp_path)
    with pytest.raises(InputError, match="frontier has no results to draw"):
        save_figure(FRONTIER, tmp_path / "frontier.svg", tmp_path)
    assert not list(tmp_path.iterdir())
