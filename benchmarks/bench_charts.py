"""The chart of 8,142 classes by four libraries: size of a page without a network, time to write.

    pip install bokeh plotly
    python benchmarks/bench_charts.py [--json] [--keep FOLDER]

Each draws recall before and after of every class, with the name on hover, and everything that the
page needs inside it. "SVG" is a template of our own, with a title element in each mark for
the name. The time is of this process and of all its threads; the first chart of a library
includes what it loads once.
The report draws neighbouring classes together until one looks closer, and is all there;
its time is from predictions to page. Pages that are kept can be timed in a browser by
`python benchmarks/time_pages.py FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 8142


def classes() -> dict[str, Any]:
    random = np.random.default_rng(0)
    old = np.clip(0.8 - 0.5 * np.arange(CLASSES) / CLASSES + random.normal(0, 0.15, CLASSES), 0, 1)
    new = np.clip(old + random.normal(0.08, 0.1, CLASSES), 0, 1)
    names = [f"Genus{c // 7} species{c}" for c in range(CLASSES)]
    return {"name": names, "old": old.round(3).tolist(), "new": new.round(3).tolist()}


def altair_page(rows: dict[str, Any]) -> str:
    import altair as alt
    import vl_convert

    values = [
        {"rank": c, "name": rows["name"][c], "old": rows["old"][c], "new": rows["new"][c]}
        for c in range(CLASSES)
    ]
    base = alt.Chart(alt.InlineData(values=values)).encode(x="rank:Q", tooltip=["name:N", "new:Q"])
    chart = alt.LayerChart(
        layer=[
            base.mark_point(size=8, color="grey").encode(y="old:Q"),
            base.mark_point(size=8).encode(y="new:Q"),
        ]
    ).properties(width=1000, height=320)
    return str(vl_convert.vegalite_to_html(chart.to_dict(), bundle=True))


def bokeh_page(rows: dict[str, Any]) -> str:
    from bokeh.embed import file_html
    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure
    from bokeh.resources import INLINE

    source = ColumnDataSource({"rank": list(range(CLASSES)), **rows})
    drawn = figure(width=1000, height=320, tooltips=[("class", "@name"), ("recall", "@new")])
    drawn.scatter("rank", "old", source=source, size=3, color="grey")
    drawn.scatter("rank", "new", source=source, size=3)
    return str(file_html(drawn, INLINE, "bokeh"))


def plotly_page(rows: dict[str, Any]) -> str:
    import plotly.graph_objects as go

    drawn = go.Figure()
    for name, colour in (("old", "grey"), ("new", "blue")):
        drawn.add_scattergl(
            y=rows[name], text=rows["name"], mode="markers", marker={"size": 3, "color": colour}
        )
    return str(drawn.to_html(include_plotlyjs=True, full_html=True))


def svg_page(rows: dict[str, Any]) -> str:
    import jinja2

    template = jinja2.Template(
        "<!DOCTYPE html><svg viewBox='0 0 1000 320'>{% for name, old, new in rows %}"
        "<g><title>{{ name }} {{ new }}</title>"
        "<circle r='1.5' cx='{{ '%.1f'|format(loop.index0 / 8.2) }}'"
        " cy='{{ '%.1f'|format(320 - 320 * old) }}' fill='grey'/><circle r='1.5' cx='"
        "{{ '%.1f'|format(loop.index0 / 8.2) }}' cy='{{ '%.1f'|format(320 - 320 * new) }}'/></g>"
        "{% endfor %}</svg>",
        autoescape=True,
    )
    return template.render(rows=zip(rows["name"], rows["old"], rows["new"], strict=True))


def report_page(rows: dict[str, Any]) -> str:
    """The whole report, chart, table and all, of the same classes."""
    from everyclass.artifacts import Predictions
    from everyclass.reporting import Judged, render_report, report_of

    labels = np.repeat(np.arange(CLASSES), 3)
    random = np.random.default_rng(0)
    judged = {}
    for name in ("old", "new"):
        right = random.random(len(labels)) < np.repeat(rows[name], 3)
        predicted = np.where(right, labels, (labels + 1) % CLASSES)
        judged[name] = Judged.of(
            Predictions(labels, predicted=predicted, class_names=tuple(rows["name"]))
        )
    return render_report(report_of(judged, title="8,142 classes", settings={}))


PAGES: dict[str, Callable[[dict[str, Any]], str]] = {
    "Altair + vl-convert": altair_page,
    "Bokeh": bokeh_page,
    "plotly": plotly_page,
    "SVG": svg_page,
    "the report (overview)": report_page,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--keep", type=Path, help="a folder to write the pages to")
    options = parser.parse_args()
    rows, found = classes(), []
    for name, make in PAGES.items():
        try:
            times = []
            for _ in range(2):
                start = time.process_time()
                page = make(rows)
                times.append(time.process_time() - start)
        except ImportError as error:
            print(f"{name}: not installed ({error.name})")
            continue
        found.append(
            {"library": name, "bytes": len(page.encode()), "first_s": times[0], "again_s": times[1]}
        )
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{name.split()[0].lower()}.html").write_text(page, encoding="utf-8")
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for each in found:
        print(
            f"{each['library']:<22} {each['bytes'] / 1e6:6.2f} MB  "
            f"{each['first_s']:6.2f} s first  {each['again_s']:6.2f} s again"
        )


if __name__ == "__main__":
    main()
