"""Slopes: from where to where the recall of the classes goes that moved most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from everyclass.reporting.charts import (
    GROUP_COLOURS,
    OLD_COLOUR,
    TEXT_COLOUR,
    Width,
    inline,
    styled,
)
from everyclass.reporting.formats import percent_range, told_apart
from everyclass.reporting.rows import ClassRow

if TYPE_CHECKING:
    import altair as alt

__all__ = ["slope_chart", "spread"]

_GAP = 0.062  # between two labels, as a share of the height
_HEAD = 20  # characters of a name over the chart, where 120 pixels are
_TITLE = 40  # and in a tooltip
UNGROUPED = GROUP_COLOURS["many"]


def slope_chart(
    rows: Sequence[ClassRow],
    *,
    old: str = "old",
    new: str = "new",
    width: Width = "container",
    height: int = 300,
) -> alt.LayerChart:
    """Draw a line per class from its recall before to its recall after, the name beside it.

    Args:
        rows: a dozen classes, such as those that paid most.
        old: what the classifier before is called.
        new: what the classifier after is called.
        width: pixels, or "container" on a page.
        height: pixels.
    """
    import altair as alt

    recalls = [r for row in rows for r in (row["recall_old"] or 0, row["recall_new"] or 0)]
    low, high = max(0.0, min(recalls) - 0.05), min(1.0, max(recalls) + 0.05)
    data = inline(_values(rows, low, high))
    room = alt.Scale(domain=[low - 0.02, high + 0.02], nice=False, zero=False)
    across = alt.Scale(domain=[-0.24, 2.25], nice=False, zero=False)
    x = alt.X("side:Q", axis=None, scale=across)
    y = alt.Y("recall:Q", title=None, scale=room, axis=None)
    groups = alt.Scale(domain=["", *GROUP_COLOURS], range=[UNGROUPED, *GROUP_COLOURS.values()])
    colour = alt.Color("group:N", scale=groups, legend=None)
    # Of two lines of a tooltip with the same title one would be lost.
    before, after = told_apart(old, new, _TITLE)
    tooltip = [
        alt.Tooltip("class:N", title="class"),
        alt.Tooltip("before:N", title=f"recall, {before}"),
        alt.Tooltip("after:N", title=f"recall, {after}"),
        alt.Tooltip("points:Q", title="change in points", format="+.1f"),
        alt.Tooltip("support:Q", title="test images", format=","),
    ]
    base = alt.Chart(data).encode(x=x, y=y, tooltip=tooltip)
    sides = alt.Chart(inline([{"side": 0}, {"side": 1}])).encode(x=x)
    over = told_apart(old, new, _HEAD)
    heads = alt.Chart(inline([{"side": side, "head": name} for side, name in enumerate(over)]))
    above = alt.YValue(-10)  # type: ignore[no-untyped-call]
    is_old, is_new = "datum.side === 0", "datum.side === 1"
    beside = base.encode(
        x=alt.X("beside:Q", axis=None, scale=across), y=alt.Y("label:Q", axis=None, scale=room)
    )
    return styled(
        alt.LayerChart(
            layer=[
                sides.mark_rule(color="#d5d9df"),
                base.mark_rule(color=OLD_COLOUR, strokeWidth=0.8).encode(
                    x2=alt.X2("beside:Q"), y2=alt.Y2("label:Q")
                ),
                base.mark_line(strokeWidth=2, opacity=0.85).encode(
                    detail=alt.Detail("class:N"), color=colour
                ),
                base.transform_filter(is_old).mark_point(
                    size=42, filled=True, opacity=1, color=OLD_COLOUR
                ),
                base.transform_filter(is_new)
                .mark_point(size=60, filled=True, opacity=1)
                .encode(color=colour),
                beside.transform_filter(is_old)
                .mark_text(align="right", dx=-3, color=TEXT_COLOUR, fontSize=11)
                .encode(text=alt.Text("short:N")),
                beside.transform_filter(is_new)
                .mark_text(align="left", dx=3, color=TEXT_COLOUR, fontSize=12, limit=175)
                .encode(text=alt.Text("text:N")),
                heads.mark_text(align="center", color=TEXT_COLOUR, fontSize=12, limit=120).encode(
                    x=x, y=above, text=alt.Text("head:N")
                ),
            ],
            width=width,
            height=height,
            description=f"Recall of single classes, from {before} to {after}.",
        )
    )


def _values(rows: Sequence[ClassRow], low: float, high: float) -> list[dict[str, Any]]:
    sides = [
        (key, spread([row[key] or 0 for row in rows], low, high))
        for key in ("recall_old", "recall_new")
    ]
    return [
        {
            "class": row["class"],
            "group": row["group"],
            "support": row["support"],
            "points": 100 * (row["change"] or 0),
            "before": _with_interval(row["recall_old"], row["interval_old"]),
            "after": _with_interval(row["recall_new"], row["interval_new"]),
            "side": side,
            "beside": (-0.1, 1.1)[side],
            "recall": row[key],  # type: ignore[literal-required]
            "label": labels[i],
            "short": f"{100 * (row[key] or 0):.0f}",  # type: ignore[literal-required]
            "text": f"{100 * (row[key] or 0):.0f}  {row['class']}",  # type: ignore[literal-required]
        }
        for i, row in enumerate(rows)
        for side, (key, labels) in enumerate(sides)
    ]


def _with_interval(recall: float | None, limits: Sequence[float] | None) -> str:
    return f"{100 * (recall or 0):.1f}%" + (f"  [{percent_range(limits)}]" if limits else "")


def spread(values: Sequence[float], low: float = 0.0, high: float = 1.0) -> list[float]:
    """Move labels apart that would stand on each other, and keep them between low and high.

    Args:
        values: where they would stand; more than fit are set as far apart as there is room for.
        low, high: the ends of the axis.

    Example:
        >>> [round(y, 2) for y in spread([0.5, 0.5, 0.9])]
        [0.47, 0.53, 0.9]
    """
    gap = (high - low) * min(_GAP, 1 / max(1, len(values) - 1))
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    blocks: list[tuple[float, int]] = []  # the sum of where its members wish it to start; members
    for i in order:
        block = (values[i], 1)
        while blocks and _end(blocks[-1], gap, low, high) > _start(block, gap, low, high):
            wished, members = blocks.pop()
            # Each member wishes its own value less its place in the block.
            block = (wished + block[0] - gap * members * block[1], members + block[1])
        blocks.append(block)
    found, placed = [0.0] * len(values), iter(order)
    for block in blocks:
        start = _start(block, gap, low, high)
        for place in range(block[1]):
            found[next(placed)] = start + gap * place
    return found


def _start(block: tuple[float, int], gap: float, low: float, high: float) -> float:
    wished, members = block
    return max(low, min(wished / members, high - gap * (members - 1)))


def _end(block: tuple[float, int], gap: float, low: float, high: float) -> float:
    return _start(block, gap, low, high) + gap * block[1]
