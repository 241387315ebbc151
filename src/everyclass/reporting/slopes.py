"""Slopes: from where to where the recall of the classes goes that moved most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from everyclass.reporting.charts import GROUP_COLOURS, OLD_COLOUR, TEXT_COLOUR, Width, styled
from everyclass.reporting.formats import percent_range
from everyclass.reporting.rows import ClassRow

if TYPE_CHECKING:
    import altair as alt

__all__ = ["slope_chart", "spread"]

_GAP = 0.062  # between two labels, as a share of the height
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

    values = _values(rows, old, new)
    data = alt.InlineData(values=values)
    x = alt.X(
        "side:Q",
        axis=None,
        scale=alt.Scale(domain=[-0.24, 2.25], nice=False, zero=False),
    )
    y = alt.Y(
        "recall:Q",
        title=None,
        scale=alt.Scale(domain=[-0.02, 1.02], nice=False),
        axis=None,
    )
    groups = alt.Scale(
        domain=["", *GROUP_COLOURS], range=[UNGROUPED, *GROUP_COLOURS.values()]
    )
    colour = alt.Color("group:N", scale=groups, legend=None)
    tooltip = [
        alt.Tooltip("class:N", title="class"),
        alt.Tooltip("before:N", title=f"recall, {old}"),
        alt.Tooltip("after:N", title=f"recall, {new}"),
        alt.Tooltip("points:Q", title="change in points", format="+.1f"),
        alt.Tooltip("support:Q", title="test images", format=","),
    ]
    base = alt.Chart(data).encode(x=x, y=y, tooltip=tooltip)
    sides = alt.Chart(alt.InlineData(values=[{"side": 0}, {"side": 1}])).encode(x=x)
    heads = alt.Chart(alt.InlineData(values=[{"side": 0, "head": old}, {"side": 1, "head": new}]))
    is_old, is_new = "datum.side === 0", "datum.side === 1"
    label = base.encode(y=alt.Y("label:Q", scale=alt.Scale(domain=[-0.02, 1.02], nice=False)))
    return styled(
        alt.LayerChart(
            layer=[
                sides.mark_rule(color="#d5d9df"),
                base.mark_line(strokeWidth=2, opacity=0.85).encode(detail="class:N", color=colour),
                base.transform_filter(is_old).mark_point(
                    size=42, filled=True, opacity=1, color=OLD_COLOUR
                ),
                base.transform_filter(is_new)
                .mark_point(size=60, filled=True, opacity=1)
                .encode(color=colour),
                label.transform_filter(is_old)
                .mark_text(align="right", dx=-9, color=TEXT_COLOUR, fontSize=11)
                .encode(text="short:N"),
                label.transform_filter(is_new)
                .mark_text(align="left", dx=9, color=TEXT_COLOUR, fontSize=12, limit=175)
                .encode(text="text:N"),
                heads.mark_text(align="center", color=TEXT_COLOUR, fontSize=12, limit=120).encode(
                    x=x, y=alt.value(-10), text="head:N"
                ),
            ]
        ).properties(
            width=width,
            height=height,
            description=f"Recall of single classes, from {old} to {new}.",
        )
    )


def _values(rows: Sequence[ClassRow], old: str, new: str) -> list[dict[str, Any]]:
    sides = (("recall_old", spread([row["recall_old"] or 0 for row in rows])),
             ("recall_new", spread([row["recall_new"] or 0 for row in rows])))  # fmt: skip
    return [
        {
            "class": row["class"],
            "group": row["group"],
            "support": row["support"],
            "points": 100 * (row["change"] or 0),
            "before": _with_interval(row["recall_old"], row["interval_old"]),
            "after": _with_interval(row["recall_new"], row["interval_new"]),
            "side": side,
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


def spread(values: Sequence[float], gap: float = _GAP) -> list[float]:
    """Move labels apart that would stand on each other, and keep them between 0 and 1.

    Args:
        values: where they would stand; more than fit are set as far apart as there is room for.
        gap: the least distance.

    Example:
        >>> [round(y, 2) for y in spread([0.5, 0.5, 0.9], gap=0.1)]
        [0.45, 0.55, 0.9]
    """
    if not values:
        return []
    gap = min(gap, 1 / max(1, len(values) - 1))
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    blocks: list[list[float]] = []  # [sum of wished starts, members]; a start is where it begins
    for i in order:
        blocks.append([values[i], 1])
        while len(blocks) > 1 and _start(blocks[-2], gap) + gap * blocks[-2][1] > _start(
            blocks[-1], gap
        ):
            wished, members = blocks.pop()
            last = blocks[-1]
            last[0] += wished - gap * last[1] * members
            last[1] += members
    placed, found = iter(order), [0.0] * len(values)
    for block in blocks:
        start = _start(block, gap)
        for place in range(int(block[1])):
            found[next(placed)] = start + gap * place
    return found


def _start(block: Sequence[float], gap: float) -> float:
    """Where a block of labels begins that stands around what its members wish, inside 0..1."""
    wished, members = block
    # Each member wishes value − gap × its place in the block; the mean of these is the best start.
    return min(max(wished / members, 0.0), 1.0 - gap * (members - 1))
