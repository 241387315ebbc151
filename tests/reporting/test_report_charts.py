"""The charts are valid, readable at any number of classes, and can be saved as pictures."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass.artifacts import ClassCounts
from everyclass.metrics import evaluate
from everyclass.reporting import Report, recall_chart, recall_rows
from everyclass.reporting.calibration import reliability_chart
from everyclass.reporting.charts import GROUP_COLOURS, OLD_COLOUR, counts_chart
from everyclass.reporting.explorer import bars_chart, lines_chart
from everyclass.reporting.slopes import slope_chart, spread


def drawn(chart: Any) -> list[dict[str, Any]]:
    """The rows behind a chart."""
    (rows,) = chart.to_dict()["datasets"].values()
    return list(rows)


def test_recall_chart_draws_one_column_per_class(report: Report) -> None:
    rows = drawn(recall_chart(report.class_rows(), new="ensemble"))
    assert [row["class"] for row in rows] == ["truck", "cat", "lynx", "yeti"]
    assert [row["series"] for row in rows][:2] == ["ensemble: many", "ensemble: medium"]
    assert rows[0]["points"] == pytest.approx(-10)


@pytest.mark.parametrize("classes", [50, 300])
def test_recall_chart_without_training_images_shows_every_class(classes: int) -> None:
    labels = np.arange(classes)
    said = evaluate(labels=labels, predicted=labels)
    chart = recall_chart(recall_rows(said, said, None), old="a", new="b")
    rows = drawn(chart)
    assert sum(row.get("classes", 1) for row in rows) == classes
    assert {row["series"] for row in rows} == {"b"}
    text = json.dumps(chart.to_dict())
    assert f'"title": "{classes} classes"' in text
    assert '"domain": ["a", "b"]' in text


def test_recall_chart_sorts_rows_itself(report: Report) -> None:
    rows = drawn(recall_chart(report.class_rows()[::-1]))
    assert [row["class"] for row in rows] == ["truck", "cat", "lynx", "yeti"]


@pytest.mark.parametrize("classes", [2, 10, 100, 1000, 8142])
def test_charts_stay_small(report_of: Callable[..., Report], classes: int) -> None:
    rows = report_of([f"class {c}" for c in range(classes)]).class_rows()
    for chart in (recall_chart(rows), counts_chart(rows)):
        text = json.dumps(chart.to_dict(), allow_nan=False)
        assert len(text) < 100_000


def test_charts_are_as_wide_as_what_holds_them(report: Report) -> None:
    rows = report.class_rows()
    for chart in (recall_chart(rows), counts_chart(rows), slope_chart(report.risers())):
        specification = chart.to_dict()
        assert specification["width"] == "container"
        assert specification["description"]


def test_classes_without_training_images_have_no_bar() -> None:
    rows = recall_rows(None, None, ClassCounts([1000, 0, 10]))
    bars = {row["class"]: row["images"] for row in drawn(counts_chart(rows))}
    assert bars == {"class 0": 1000, "class 1": 0.7, "class 2": 10}  # 0.7 is where bars start
    equal = drawn(counts_chart(recall_rows(None, None, ClassCounts([5, 5]))))
    assert [row["images"] for row in equal] == [5, 5]


def test_saved_as_svg_and_png(report: Report, tmp_path: Path) -> None:
    chart = recall_chart(report.class_rows(), old="CE", new="CE + GML", width=600)
    chart.save(str(tmp_path / "figure2.svg"))
    chart.save(str(tmp_path / "figure2.png"))
    svg = (tmp_path / "figure2.svg").read_text(encoding="utf-8")
    assert "CE + GML: many" in svg
    assert all(colour in svg for colour in GROUP_COLOURS.values())
    assert (tmp_path / "figure2.png").read_bytes().startswith(b"\x89PNG")


def test_colours_are_apart_from_white_and_from_black() -> None:
    for colour in (OLD_COLOUR, *GROUP_COLOURS.values()):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 3
        assert (luminance + 0.05) / 0.05 >= 3


def test_charts_that_the_page_fills_are_valid(report: Report) -> None:
    """The page itself leaves the check out, which would take longer than all else."""
    for chart in (bars_chart(report), lines_chart(report)):
        specification = chart.to_dict(validate=True)
        assert {
            layer.get("data", specification["data"])["name"] for layer in specification["layer"]
        } == {"rows"}
    rows = [
        {"classifier": "m", "images": 9, "confidence": 0.5, "right": 0.4, "low": 0.2, "high": 0.7}
    ]
    assert reliability_chart(rows).to_dict(validate=True)["layer"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "place",
    [
        "experiments/2026-11-cifar100-lt-ir100-resnet32/{}/test.npz",
        "experiments/2026-11-cifar100-lt-ir100-resnet32-{}",
        "{}-of-an-experiment-with-cifar100-lt-ir100-resnet32",
        "w" * 60 + "{}" + "w" * 60,
    ],
)
def test_classifiers_of_slopes_are_told_apart(report: Report, place: str) -> None:
    old, new = place.format("a"), place.format("b")
    chart = slope_chart(report.risers(2), old=old, new=new).to_dict()
    titles = [line["title"] for line in chart["layer"][1]["encoding"]["tooltip"]]
    assert len(set(titles)) == 5
    heads = [row["head"] for rows in chart["datasets"].values() for row in rows if "head" in row]
    assert len(heads) == len(set(heads)) == 2
    assert max(map(len, heads)) <= 20  # of which the chart cuts none
    named = ("first", "second") if place.startswith("w") else ("a", "b")
    for name, head, title in zip(named, heads, titles[1:], strict=False):
        assert name in re.split(r"\W", head), head
        assert name in re.split(r"\W", title), title


def test_labels_of_slopes_do_not_overlap_and_stay_in_order() -> None:
    wished = [0.5, 0.5, 0.5, 0.98, 1.0, 0.0]
    found = spread(wished)
    order = sorted(range(6), key=lambda i: (wished[i], i))
    placed = [found[i] for i in order]
    assert min(b - a for a, b in itertools.pairwise(placed)) > 0.06
    assert 0 <= placed[0] <= placed[-1] <= 1
    assert sum(found[:3]) / 3 == pytest.approx(0.5)
    crowded = spread([0.5] * 40)  # more than fit: as far apart as there is room for
    assert (min(crowded), max(crowded)) == (0, pytest.approx(1))
