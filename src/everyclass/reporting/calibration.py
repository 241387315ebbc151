"""The reliability diagram: how often a classifier is right when it says how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from everyclass.metrics import recall_intervals
from everyclass.reporting.charts import (
    GROUP_COLOURS,
    OLD_COLOUR,
    TEXT_COLOUR,
    Width,
    inline,
    styled,
)
from everyclass.reporting.data import Report

if TYPE_CHECKING:
    import altair as alt

__all__ = ["ReliabilityRow", "reliability_chart", "reliability_rows"]


class ReliabilityRow(TypedDict):
    """Images that a classifier is about equally sure of; fractions, and Wilson's interval."""

    classifier: str
    images: int
    confidence: float
    right: float
    low: float
    high: float


def reliability_rows(report: Report) -> list[ReliabilityRow]:
    """The bins with images, of the first and of the shown classifier, where scores are known."""
    rows: list[ReliabilityRow] = []
    for name in dict.fromkeys(n for n in (report.baseline, report.shown) if n):
        bins = report.reliability.get(name)
        if bins is None:
            continue
        images, summed, right = bins.T
        counts = np.rint(images).astype(np.int64)
        limits = recall_intervals(
            np.rint(right).astype(np.int64), counts, confidence=report.confidence or 0.95
        )
        rows += [
            {
                "classifier": name,
                "images": int(counts[b]),
                "confidence": float(summed[b] / images[b]),
                "right": float(right[b] / images[b]),
                "low": float(limits[b, 0]),
                "high": float(limits[b, 1]),
            }
            for b in np.flatnonzero(counts)
        ]
    return rows


def reliability_chart(
    rows: Sequence[ReliabilityRow], *, width: Width = "container", height: int = 320
) -> alt.LayerChart:
    """Draw how often the predicted class is right, by how sure the classifier is of it.

    Args:
        rows: of :func:`reliability_rows`, of two classifiers at most.
        width: pixels, or "container" on a page.
        height: pixels.
    """
    import altair as alt

    names = list(dict.fromkeys(row["classifier"] for row in rows))
    # A lone classifier is drawn in colour; beside another the first is the grey one.
    colours = [OLD_COLOUR, GROUP_COLOURS["many"]][-len(names) :]
    percent = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1], labelFlush=False)
    scale = alt.Scale(domain=[0, 1], nice=False)
    x = alt.X("confidence:Q", title="probability of the predicted class", axis=percent, scale=scale)
    y = alt.Y("right:Q", title="how often it is right", axis=percent, scale=scale)
    data = inline(rows)
    base = alt.Chart(data).encode(
        x=x,
        color=alt.Color("classifier:N", scale=alt.Scale(domain=names, range=colours), legend=None),
        tooltip=[
            alt.Tooltip("classifier:N"),
            alt.Tooltip("images:Q", format=","),
            alt.Tooltip("confidence:Q", title="mean probability", format=".1%"),
            alt.Tooltip("right:Q", title="right", format=".1%"),
            alt.Tooltip("low:Q", title="interval from", format=".1%"),
            alt.Tooltip("high:Q", title="to", format=".1%"),
        ],
    )
    ends = inline([{"confidence": 0, "right": 0}, {"confidence": 1, "right": 1}])
    size = alt.Size("images:Q", scale=alt.Scale(range=[20, 220]), legend=None)
    return styled(
        alt.LayerChart(
            layer=[
                alt.Chart(ends)
                .mark_line(color=TEXT_COLOUR, strokeDash=[4, 4], strokeWidth=1)
                .encode(x=x, y=y),
                base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(
                    y=alt.Y("low:Q", title="how often it is right", scale=scale, axis=percent),
                    y2=alt.Y2("high:Q"),
                ),
                base.mark_line(strokeWidth=1.5).encode(y=y),
                base.mark_point(filled=True, opacity=1).encode(y=y, size=size),
            ],
            width=width,
            height=height,
            description="How often the predicted class is right, by its probability.",
        )
    )
