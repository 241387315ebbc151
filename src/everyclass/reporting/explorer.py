"""What the page needs to sort, search and filter every class: columns, and two empty charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Evaluation
from everyclass.reporting.charts import (
    GROUP_COLOURS,
    OLD_COLOUR,
    Width,
    hover,
    recall_axis,
    styled,
)
from everyclass.reporting.data import Report
from everyclass.reporting.rows import GROUPS, right_images

if TYPE_CHECKING:
    import altair as alt

__all__ = ["bars_chart", "class_columns", "lines_chart"]


def class_columns(report: Report) -> dict[str, Any]:
    """Every class as columns of plain values, in class order; the page makes rows of them.

    Returns:
        ``names``; ``trained`` and ``groups`` (places in ``GROUPS``), or None; ``support``;
        ``classifiers``: for each its ``name``, images ``right`` and ``low`` and ``high`` limits
        of recall in thousandths; ``changes`` by classifier: ``low``, ``high`` in thousandths and
        ``sure``: 1 rose, −1 paid, 0 undecided.
    """
    counts, first = report.class_counts, report.evaluations.get(report.baseline or "")
    return {
        "names": list(report.names),
        "trained": None if counts is None else counts.counts.tolist(),
        "groups": None
        if report.groups is None
        else [GROUPS.index(group) for group in report.groups.tolist()],
        "support": None if first is None else first.support.tolist(),
        "classifiers": [_classifier(name, e) for name, e in report.each()],
        "changes": {name: _change(comparison) for name, comparison in report.comparisons.items()},
        "first": report.baseline,
        "shown": report.shown,
        "titles": {n: n.capitalize() if report.is_rescue else n for n in report.classifiers},
    }


def _classifier(name: str, evaluation: Evaluation) -> dict[str, Any]:
    limits = (evaluation.intervals or {}).get("per_class_recall")
    return {
        "name": name,
        "right": right_images(evaluation).tolist(),
        "low": None if limits is None else [_thousandths(x, 0) for x in limits],
        "high": None if limits is None else [_thousandths(x, 1) for x in limits],
    }


def _thousandths(limits: Any, side: int) -> int | None:
    return None if limits is None else round(1000 * limits[side])


def _change(comparison: Any) -> dict[str, Any]:
    sure: npt.NDArray[np.int64] = np.zeros(comparison.num_classes, dtype=np.int64)
    sure[list(comparison.rose)] = 1
    sure[list(comparison.paid)] = -1
    limits = np.nan_to_num(1000 * comparison.interval)
    return {
        "low": np.rint(limits[:, 0]).astype(int).tolist(),
        "high": np.rint(limits[:, 1]).astype(int).tolist(),
        "sure": sure.tolist(),
    }


def bars_chart(report: Report, *, width: Width = "container", height: int = 320) -> alt.LayerChart:
    """One column per class, for up to 200 of them; rows come from the page, under ``rows``."""
    import altair as alt

    names = alt.param(name="names", value=False)
    axis = alt.Axis(
        title=None,
        labelAngle=-40,
        labelLimit=110,
        labelOverlap=False,
        labelExpr="names ? datum.value : ''",
        ticks=False,
        grid=False,
    )
    scale = alt.Scale(paddingInner=0.08, paddingOuter=0.04)
    base = alt.Chart(alt.NamedData(name="rows")).encode(
        x=alt.X("class:N", sort=alt.EncodingSortField("rank", op="min"), scale=scale, axis=axis)
    )
    old, new = recall_axis("old"), recall_axis("new")
    return styled(
        alt.LayerChart(
            layer=[
                base.mark_bar(color=OLD_COLOUR).encode(y=old),
                base.mark_bar(width=alt.RelativeBandSize(band=0.5)).encode(y=new, color=_colour()),
                base.mark_rule(strokeWidth=1, opacity=0.6, color="#333a44").encode(
                    y=recall_axis("low"), y2=alt.Y2("high:Q")
                ),
                _catcher(base, ["class", *_known(report)]),
            ]
        )
        .add_params(names)
        .properties(width=width, height=height, description="Recall of every class.")
    )


def lines_chart(report: Report, *, width: Width = "container", height: int = 320) -> alt.LayerChart:
    """Neighbouring classes taken together, for more than 200; rows come from the page."""
    import altair as alt

    axis = alt.Axis(title=None, labels=False, ticks=False, grid=False)
    base = alt.Chart(alt.NamedData(name="rows"))

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", axis=axis, scale=alt.Scale(nice=False, zero=True))

    line = base.encode(x=x("middle"))
    return styled(
        alt.LayerChart(
            layer=[
                line.mark_area(opacity=0.28, color=OLD_COLOUR).encode(
                    y=recall_axis("old"), y2=alt.Y2("worst_old:Q")
                ),
                line.mark_area(opacity=0.22).encode(
                    y=recall_axis("new"), y2=alt.Y2("worst_new:Q"), color=_colour()
                ),
                line.mark_line(
                    point={"size": 16, "color": OLD_COLOUR}, strokeWidth=1.5, color=OLD_COLOUR
                ).encode(y=recall_axis("old")),
                line.mark_line(point={"size": 24}, strokeWidth=2).encode(
                    y=recall_axis("new"), color=_colour()
                ),
                _catcher(
                    base.encode(x=x("start"), x2=alt.X2("stop:Q")),
                    ["classes", *_known(report), "lowest"],
                ),
            ],
            width=width,
            height=height,
            description="Recall of many classes.",
        )
    )


def _colour() -> alt.Color:
    import altair as alt

    scale = alt.Scale(
        domain=["", *GROUP_COLOURS], range=[GROUP_COLOURS["many"], *GROUP_COLOURS.values()]
    )
    return alt.Color("group:N", scale=scale, legend=None)


def _known(report: Report) -> list[str]:
    """What is known of a class, by the fields that the page fills."""
    fields = ["training images"] if report.class_counts is not None else []
    fields += ["group"] if report.groups is not None else []
    return [*fields, "test images", *(["from", "to", "change"] if report.shown else ["recall"])]


def _catcher(base: alt.Chart, fields: list[str]) -> alt.Chart:
    """What tells, over the whole height, of fields that the page fills."""
    import altair as alt

    tips = [alt.Tooltip(f"tip_{field.split()[0]}:N", title=field) for field in fields]
    return hover(base.encode(tooltip=tips))
