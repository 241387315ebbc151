"""The charts, as Altair specifications made from plain rows.

All of them take the width of what holds them, carry tooltips, and use three colours that
colour-blind readers tell apart (Okabe and Ito) and that stand out from white and from black. A
page may still restyle them: Vega writes each colour into the SVG as it stands here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import ClassCounts
from everyclass.reporting.rows import ClassRow, bin_rows

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "GROUP_COLOURS",
    "MOST_BARS",
    "MOST_NAMES",
    "OLD_COLOUR",
    "TEXT_COLOUR",
    "Width",
    "counts_chart",
    "hover",
    "inline",
    "recall_axis",
    "recall_chart",
    "recalls_chart",
    "styled",
]

MOST_BARS = 200
MOST_NAMES = 30
GROUP_COLOURS = {"many": "#0072b2", "medium": "#009e73", "few": "#d55e00"}
OLD_COLOUR = "#868e99"
TEXT_COLOUR = "#5f6773"
LINE_COLOUR = "#d5d9df"
FLOOR_ON_LOG = 0.7  # where bars start on a logarithmic axis, so that one image has a bar

_Chart = TypeVar("_Chart", bound="alt.LayerChart | alt.FacetChart | alt.HConcatChart")
Width = int | Literal["container"]


def recall_chart(
    rows: Sequence[ClassRow],
    *,
    old: str = "old",
    new: str = "new",
    width: Width = "container",
    height: int = 320,
    legend: bool = True,
) -> alt.LayerChart:
    """Draw recall of every class before and after, most training images first (figures 1 and 2).

    Where training images are not known, classes stay in their order and have one colour.

    Up to 200 classes: a wide grey bar is the recall before, a narrow coloured one after. More:
    neighbouring classes are taken together; a line is their mean recall, and the shade below it
    reaches down to the mean of their worst tenth.

    Args:
        rows: all classes, as :meth:`Report.class_rows` gives them.
        old: what the classifier before is called.
        new: what the classifier after is called.
        width: pixels, or "container" on a page; give pixels to save a picture.
        height: pixels.
        legend: whether the chart itself explains its colours.

    Returns:
        A chart; ``recall_chart(rows, width=900).save("figure2.svg")`` writes it.
    """
    import altair as alt

    rows = _most_first(rows)
    colours = {old: OLD_COLOUR}
    if any(row["group"] for row in rows):
        colours |= {_series(new, group): colour for group, colour in GROUP_COLOURS.items()}
    else:
        colours[_series(new, "")] = GROUP_COLOURS["many"]
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    shown = alt.Legend(title=None) if legend else None
    layers = _recall_bars if len(rows) <= MOST_BARS else _recall_lines
    return styled(
        layers(
            rows,
            old,
            new,
            alt.ColorDatum(old),
            alt.Color("series:N", scale=scale, legend=shown),
        ).properties(
            width=width,
            height=height,
            description=f"Recall per class of two classifiers, {old} and {new}; {_order_of(rows)}.",
        )
    )


def recalls_chart(
    recalls: Mapping[str, npt.NDArray[np.floating[Any]]],
    class_counts: ClassCounts,
    *,
    width: int = 900,
    height: int = 90,
) -> alt.FacetChart:
    """Draw recall of every class under several classifiers, one below the other (figure 1).

    Args:
        recalls: per-class recall in class order, by what the classifier is called.
        class_counts: training images per class; most come first.
        width, height: pixels of each.
    """
    import altair as alt

    order = np.argsort(-class_counts.counts, kind="stable")
    groups = class_counts.groups()
    values = [
        {
            "classifier": name,
            "rank": rank,
            "class": class_counts.describe(int(c)),
            "training_count": int(class_counts.counts[c]),
            "group": str(groups[c]),
            "recall": None if np.isnan(recall[c]) else float(recall[c]),
        }
        for name, recall in recalls.items()
        for rank, c in enumerate(order)
    ]
    title = f"{len(order):,} classes, most training images first"
    axis = alt.Axis(title=title, labels=False, ticks=False, grid=False)
    bars = (
        alt.Chart(inline(values))
        .mark_bar()
        .encode(
            x=alt.X("rank:O", axis=axis, scale=alt.Scale(paddingInner=0.08)),
            y=recall_axis("recall"),
            color=_group_colour(),
            tooltip=["class:N", "training_count:Q", alt.Tooltip("recall:Q", format=".1%")],
        )
        .properties(width=width, height=height)
    )
    header = alt.Header(
        title=None,
        labelOrient="top",
        labelAnchor="start",
        labelFontWeight="bold",
        labelFontSize=13,
    )
    chart: alt.FacetChart = bars.facet(
        row=alt.Row("classifier:N", sort=list(recalls), header=header), spacing=6
    )
    return styled(chart)


def _recall_bars(
    rows: Sequence[ClassRow], old: str, new: str, grey: Any, colour: Any
) -> alt.LayerChart:
    import altair as alt

    values = [
        {**_plain(row), "points": _points(row), "series": _series(new, row["group"])}
        for row in rows
    ]
    base = alt.Chart(inline(values)).encode(x=_class_axis(rows))
    narrow = alt.RelativeBandSize(band=0.5)
    return alt.LayerChart(
        layer=[
            base.mark_bar().encode(y=recall_axis("recall_old"), color=grey),
            base.mark_bar(width=narrow).encode(y=recall_axis("recall_new"), color=colour),
            hover(base.encode(tooltip=_class_tooltip(old, new))),
        ]
    )


def _recall_lines(
    rows: Sequence[ClassRow], old: str, new: str, grey: Any, colour: Any
) -> alt.LayerChart:
    import altair as alt

    values = [{**row, "series": _series(new, row["group"])} for row in _bin_values(rows)]
    base = alt.Chart(inline(values))
    line = base.encode(x=_rank_axis("middle", rows))
    mean_old, mean_new = recall_axis("mean_old"), recall_axis("mean_new")
    return alt.LayerChart(
        layer=[
            line.mark_area(opacity=0.28).encode(y=mean_old, y2=alt.Y2("worst_old:Q"), color=grey),
            line.mark_area(opacity=0.22).encode(y=mean_new, y2=alt.Y2("worst_new:Q"), color=colour),
            line.mark_line(point={"size": 16}, strokeWidth=1.5).encode(y=mean_old, color=grey),
            line.mark_line(point={"size": 24}, strokeWidth=2).encode(y=mean_new, color=colour),
            hover(
                base.encode(
                    x=_rank_axis("start", rows), x2=alt.X2("stop:Q"), tooltip=_bin_tooltip(old, new)
                )
            ),
        ]
    )


def counts_chart(
    rows: Sequence[ClassRow], *, width: Width = "container", height: int = 180
) -> alt.LayerChart:
    """Draw training images per class, most first; on a logarithmic axis where they differ much.

    Args:
        rows: all classes, as :meth:`Report.class_rows` gives them.
        width: pixels, or "container" on a page.
        height: pixels.
    """
    import altair as alt

    rows = _most_first(rows)
    counts = [row["training_count"] or 0 for row in rows]
    uneven = max(counts) > 20 * max(1, min(counts))
    floor = FLOOR_ON_LOG if uneven else 0
    if len(rows) <= MOST_BARS:
        values = [{**_plain(row), "images": max(row["training_count"] or 0, floor)} for row in rows]
        base = alt.Chart(inline(values)).encode(x=_class_axis(rows))
        title, tooltip = "training images", _class_tooltip("", "")[:3]
    else:
        values = [{**row, "images": max(row["mean_images"], floor)} for row in _bin_values(rows)]
        base = alt.Chart(inline(values)).encode(x=_rank_axis("start", rows), x2=alt.X2("stop:Q"))
        title, tooltip = "training images (mean)", _bin_tooltip("", "")[:3]
    scale = alt.Scale(type="log", domainMin=floor, nice=False) if uneven else alt.Scale()
    axis = alt.Axis(format=",d", tickCount=4)
    if uneven:
        axis.values = [10**power for power in range(len(str(max(counts))))]
    y = alt.Y("images:Q", title=title, scale=scale, axis=axis)
    return styled(
        alt.LayerChart(
            layer=[
                base.mark_bar().encode(y=y, y2=alt.Y2Datum(floor), color=_group_colour()),
                hover(base.encode(tooltip=tooltip)),
            ],
            width=width,
            height=height,
            description="Training images per class, most first.",
        )
    )


def _series(new: str, group: str) -> str:
    """What the legend calls the classes of a group; where there are no groups, the classifier."""
    return f"{new}: {group}" if group else new


def _plain(row: ClassRow) -> dict[str, Any]:
    """What the chart shows of a row."""
    return {key: value for key, value in row.items() if not key.startswith("interval")}


def _points(row: ClassRow) -> float | None:
    return None if row["change"] is None else 100 * row["change"]


def _most_first(rows: Sequence[ClassRow]) -> list[ClassRow]:
    return sorted(rows, key=lambda row: -(row["training_count"] or 0))


def _bin_values(rows: Sequence[ClassRow]) -> list[dict[str, Any]]:
    return [
        {
            **row,
            "classes": row["stop"] - row["start"],
            "images_range": f"{row['most_images']:,} to {row['fewest_images']:,}",
        }
        for row in bin_rows(rows)
    ]


def _group_colour() -> alt.Color:
    import altair as alt

    scale = alt.Scale(domain=list(GROUP_COLOURS), range=list(GROUP_COLOURS.values()))
    return alt.Color("group:N", scale=scale, legend=None)


def recall_axis(field: str) -> alt.Y:
    """Recall from 0 to 1, whatever the rows hold."""
    import altair as alt

    percent = alt.Axis(format=".0%", tickCount=5)
    return alt.Y(f"{field}:Q", title="recall", scale=alt.Scale(domain=[0, 1]), axis=percent)


def _class_axis(rows: Sequence[ClassRow]) -> alt.X:
    import altair as alt

    if len(rows) <= MOST_NAMES:
        axis = alt.Axis(title=None, labelAngle=-40, labelLimit=110, labelOverlap=False)
    else:
        axis = alt.Axis(title=_order_of(rows), labels=False)
    axis.ticks = axis.grid = False
    return alt.X(
        "class:N", sort=None, scale=alt.Scale(paddingInner=0.08, paddingOuter=0.04), axis=axis
    )


def _rank_axis(field: str, rows: Sequence[ClassRow]) -> alt.X:
    import altair as alt

    axis = alt.Axis(title=_order_of(rows), labels=False, ticks=False, grid=False)
    scale = alt.Scale(domain=[0, len(rows)], nice=False)
    return alt.X(f"{field}:Q", scale=scale, axis=axis)


def _order_of(rows: Sequence[ClassRow]) -> str:
    if all(row["training_count"] is None for row in rows):
        return f"{len(rows):,} class{'' if len(rows) == 1 else 'es'}"
    most, fewest = rows[0]["training_count"] or 0, rows[-1]["training_count"] or 0
    if most == fewest:
        return f"{len(rows):,} classes of {most:,} training images each"
    return f"{len(rows):,} classes, from {most:,} training images down to {fewest:,}"


def hover(base: alt.Chart) -> alt.Chart:
    """Catch the pointer over the whole height: thin and low bars cannot be hit."""
    import altair as alt

    column: alt.Chart = base.mark_bar(opacity=0, color=TEXT_COLOUR)
    top, bottom = alt.YValue(0), alt.Y2Value("height")  # type: ignore[no-untyped-call]
    return column.encode(y=top, y2=bottom).properties(name="hover")


def _class_tooltip(old: str, new: str) -> list[alt.Tooltip]:
    import altair as alt

    return [
        alt.Tooltip("class:N", title="class"),
        alt.Tooltip("training_count:Q", title="training images", format=","),
        alt.Tooltip("group:N", title="group"),
        alt.Tooltip("support:Q", title="test images", format=","),
        alt.Tooltip("recall_old:Q", title=f"recall, {old}", format=".1%"),
        alt.Tooltip("recall_new:Q", title=f"recall, {new}", format=".1%"),
        alt.Tooltip("points:Q", title="change in points", format="+.1f"),
    ]


def _bin_tooltip(old: str, new: str) -> list[alt.Tooltip]:
    import altair as alt

    return [
        alt.Tooltip("classes:N", title="classes"),
        alt.Tooltip("images_range:N", title="training images"),
        alt.Tooltip("group:N", title="group"),
        alt.Tooltip("mean_old:Q", title=f"mean recall, {old}", format=".1%"),
        alt.Tooltip("mean_new:Q", title=f"mean recall, {new}", format=".1%"),
        alt.Tooltip("worst_old:Q", title=f"worst tenth, {old}", format=".1%"),
        alt.Tooltip("worst_new:Q", title=f"worst tenth, {new}", format=".1%"),
        alt.Tooltip("lowest_class:N", title=f"lowest, {new}"),
        alt.Tooltip("lowest_new:Q", title="its recall", format=".1%"),
    ]


def inline(rows: Sequence[Any]) -> alt.InlineData:
    """Rows inside a chart, as a tuple: lists Altair copies whenever it copies the chart."""
    import altair as alt

    return alt.InlineData(values=tuple(rows))


def styled(chart: _Chart) -> _Chart:
    """The chart itself, with quiet axes in colours that a page can restyle."""
    import altair as alt

    quiet: dict[str, Any] = {"labelColor": TEXT_COLOUR, "titleColor": TEXT_COLOUR}
    # At once: each of Altair's configure_… methods copies the whole chart.
    chart.config = alt.Config(
        font="system-ui, sans-serif",
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            **quiet,
            gridColor=LINE_COLOUR,
            domainColor=LINE_COLOUR,
            tickColor=LINE_COLOUR,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=10,
        ),
        axisY=alt.AxisConfig(domain=False, ticks=False),
        legend=alt.LegendConfig(
            **quiet, orient="top", labelFontSize=12, symbolType="square", symbolOpacity=1
        ),
    )
    return chart
