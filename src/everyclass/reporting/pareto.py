"""Two numbers against each other, with intervals, and the frontier of what is best in both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from everyclass.reporting.charts import GROUP_COLOURS, OLD_COLOUR, TEXT_COLOUR, styled

if TYPE_CHECKING:
    import altair as alt

__all__ = ["pareto_chart"]

OURS = GROUP_COLOURS["many"]
RAISED, LINE = 7, 13  # pixels of a label above its point, and above the next label


def pareto_chart(
    points: Sequence[Mapping[str, Any]],
    panels: Sequence[str],
    *,
    y: str,
    width: int = 400,
    height: int = 380,
) -> alt.HConcatChart:
    """Draw a panel per number: ours with intervals and a line along the frontier, others in grey.

    Args:
        points: ``panel``, ``method``, ``source`` ("ours", "paper"), ``best`` (on the frontier),
            ``x`` and ``y`` as fractions; ours also ``runs`` and ``x_low``, ``x_high``, ``y_low``,
            ``y_high``.
        panels: the panels' numbers, from left to right.
        y: what the upward number is.
        width, height: of a panel, in pixels.
    """
    import altair as alt

    charts = [
        _panel([p for p in points if p["panel"] == panel], panel, y, width, height)
        for panel in panels
    ]
    return styled(alt.hconcat(*charts, spacing=30))


def _panel(
    points: Sequence[Mapping[str, Any]], title: str, y: str, width: int, height: int
) -> alt.LayerChart:
    import altair as alt

    ours = [dict(p) for p in points if p["source"] == "ours"]
    paper = [dict(p) for p in points if p["source"] == "paper"]
    best = sorted((p for p in ours if p["best"]), key=lambda p: p["x"])
    seen = [p[end] for p in ours for end in ("y_low", "y_high")]
    _place_labels(best, pixels_per_unit=height / max(max(seen) - min(seen), 1e-9))
    across = alt.X("x:Q", title=title, axis=alt.Axis(format=".0%", labelFlush=False))
    upward = alt.Y("y:Q", title=y, axis=alt.Axis(format=".0%"), scale=alt.Scale(zero=False))
    tooltip = [
        alt.Tooltip("method:N"),
        alt.Tooltip("source:N", title="whose"),
        alt.Tooltip("runs:Q", title="runs"),
        alt.Tooltip("x:Q", title=title, format=".1%"),
        alt.Tooltip("y:Q", title=y, format=".1%"),
    ]
    colours = alt.Scale(domain=["ours", "paper"], range=[OURS, OLD_COLOUR])
    colour = alt.Color("source:N", title=None, scale=colours)
    mine = alt.Chart(alt.InlineData(values=ours)).encode(x=across, y=upward, tooltip=tooltip)
    theirs = alt.Chart(alt.InlineData(values=paper)).encode(x=across, y=upward, tooltip=tooltip)
    along = alt.Chart(alt.InlineData(values=best)).encode(x=across, y=upward)
    thin: dict[str, Any] = {"color": OURS, "opacity": 0.3, "strokeWidth": 1}
    return alt.LayerChart(
        layer=[
            mine.mark_rule(**thin).encode(x=alt.X("x_low:Q", title=title), x2="x_high:Q"),
            mine.mark_rule(**thin).encode(y=alt.Y("y_low:Q", title=y), y2="y_high:Q"),
            along.mark_line(interpolate="step-before", color=OURS, opacity=0.6, strokeDash=[4, 3]),
            theirs.mark_point(shape="square", size=36, filled=False).encode(color=colour),
            mine.mark_circle(size=60, opacity=1).encode(color=colour),
            along.mark_text(align="left", dx=7, fontSize=11, color=OURS).encode(
                y=alt.Y("label_y:Q", title=y), text="method:N"
            ),
            theirs.mark_text(align="left", dx=6, dy=3, fontSize=9, color=TEXT_COLOUR).encode(
                text="method:N"
            ),
        ],
        width=width,
        height=height,
    )


def _place_labels(best: list[dict[str, Any]], pixels_per_unit: float) -> None:
    """Put each label above its point, or below the label before it if that is too near."""
    free = math.inf
    for point in best:
        point["label_y"] = min(point["y"] + RAISED / pixels_per_unit, free)
        free = point["label_y"] - LINE / pixels_per_unit
