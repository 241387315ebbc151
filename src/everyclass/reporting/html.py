"""One HTML file that shows a report, and needs nothing outside itself."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.metadata
from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everyclass.artifacts import atomic_write, cache_folder
from everyclass.errors import EveryclassError, RunFailedError, first_line
from everyclass.reporting import formats
from everyclass.reporting.calibration import reliability_chart, reliability_rows
from everyclass.reporting.cards import worst_cards
from everyclass.reporting.charts import MOST_BARS, MOST_NAMES, counts_chart
from everyclass.reporting.confused import pair_rows
from everyclass.reporting.data import Report
from everyclass.reporting.explorer import bars_chart, class_columns, lines_chart
from everyclass.reporting.needed import needed_images
from everyclass.reporting.numbers import number_rows
from everyclass.reporting.rows import BINS, GROUPS, ClassRow, recall_rows
from everyclass.reporting.slopes import slope_chart
from everyclass.reporting.words import ALONE, Sentence, called, how_tested, words_of

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

__all__ = ["render_report", "write_report"]

MOST_CHANGES = 10
PAGE = 50  # rows of the table of classes that are written out where there are many
# What the page's own script needs to know too.
CONSTANTS = {
    "GROUPS": GROUPS,
    "MOST_BARS": MOST_BARS,
    "MOST_NAMES": MOST_NAMES,
    "BINS": BINS,
    "PAGE": PAGE,
}


def render_report(report: Report) -> str:
    """Return the report as one HTML page; the same report gives the same page.

    Scripts, styles, pictures and data are inside, a Content-Security-Policy forbids everything
    else, and names of classes and files are text wherever they stand. Without JavaScript only the
    charts are missing, and of more than 200 classes all but the worst 50.

    Raises:
        RunFailedError: Altair, which draws the charts, finds no home folder.
    """
    from markupsafe import Markup

    rows = report.class_rows()
    table = sorted(_table_rows(report), key=_worst_first)
    reliability = reliability_rows(report)
    scripts = [_vega(), _text("report.js")]
    return _template().render(
        report=report,
        words=words_of(report),
        numbers=number_rows(report),
        table=table if len(table) <= MOST_BARS else table[:PAGE],
        most_bars=MOST_BARS,
        page=PAGE,
        constants=CONSTANTS,
        payers=report.payers(MOST_CHANGES),
        risers=report.risers(MOST_CHANGES),
        cards=worst_cards(report),
        pairs=pair_rows(report),
        reliability=reliability,
        needed=needed_images(report),
        charts=_charts(report, rows, reliability),
        columns=class_columns(report),
        how_tested=how_tested,
        alone=ALONE,
        called=lambda name: _said(called(report, name)),
        title_of=lambda name: name.capitalize() if report.is_rescue else name,
        policy=_policy(scripts),
        style=Markup(_text("report.css")),
        scripts=[Markup(script) for script in scripts],
    )


def write_report(path: str | Path, report: Report) -> Path:
    """Write the report, whole or not at all, and return where it is.

    Raises:
        OutputError: no permission, no space, or no such folder.
        RunFailedError: Altair, which draws the charts, finds no home folder.
    """
    path = Path(path)
    # A lone surrogate, as JSON may hold one in a class name, has no UTF-8 form.
    page = render_report(report).encode("utf-8", errors="replace")
    with atomic_write(path) as stream:
        stream.write(page)
    return path


def _charts(
    report: Report, rows: list[ClassRow], reliability: Sequence[Any]
) -> dict[str, dict[str, Any]]:
    """Specifications; their schema is checked in the tests, for it takes longer than all else."""
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):
        charts = _drawn(report, rows, reliability)
        return {name: _specification(chart) for name, chart in charts.items()}


def _drawn(report: Report, rows: list[ClassRow], reliability: Sequence[Any]) -> dict[str, Any]:
    charts: dict[str, Any] = {}
    if report.class_counts is not None:
        charts["counts"] = counts_chart(rows)
    if report.evaluations:
        charts["bars"] = bars_chart(report)
        if len(rows) > MOST_BARS:
            charts["lines"] = lines_chart(report)
    if report.shown and report.baseline:
        for name, changed in (("risers", report.risers), ("payers", report.payers)):
            if changed(1):
                charts[name] = slope_chart(
                    changed(MOST_CHANGES), old=report.baseline, new=report.shown
                )
    if reliability:
        charts["reliability"] = reliability_chart(reliability)
    return charts


def _specification(chart: Any) -> dict[str, Any]:
    import altair as alt

    with alt.theme.enable("default"):  # whatever theme the caller's notebook has chosen
        specification: dict[str, Any] = chart.to_dict(validate=False)
    del specification["$schema"]  # an address, which nothing here needs
    specification["background"] = "transparent"
    return specification


def _table_rows(report: Report) -> list[dict[str, Any]]:
    """What the table of every class shows of each, beside the row itself."""
    comparison = report.comparison
    sure = {} if comparison is None else dict.fromkeys(comparison.rose, "rose")
    sure |= {} if comparison is None else dict.fromkeys(comparison.paid, "paid")
    each = {
        name: {row["index"]: row for row in recall_rows(None, e, report.class_counts, report.names)}
        for name, e in report.each()
    }
    limits = None if comparison is None else comparison.interval
    return [
        {
            **row,
            "recalls": [(n, rows[row["index"]]) for n, rows in each.items()],
            "limits": None if limits is None else limits[row["index"]].tolist(),
            "sure": sure.get(row["index"], ""),
        }
        for row in report.class_rows()
    ]


def _worst_first(row: Any) -> tuple[bool, float, float]:
    recall = row["recall_old"] if row["recall_new"] is None else row["recall_new"]
    return recall is None, recall or 0.0, row["recall_old"] or 0.0


def _said(sentence: Sentence) -> Markup:
    from markupsafe import Markup, escape

    names = [Markup("<bdi>{}</bdi>").format(name) for name in sentence.names]
    return escape(sentence.text).format(*names)


@functools.cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("everyclass.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(formats, name) for name in formats.__all__}
    environment.filters["said"] = _said
    return environment.get_template("report.html.j2")


@functools.cache
def _vega() -> str:
    """The JavaScript of Vega in the version that Altair writes specifications for."""
    import vl_convert

    try:
        import altair as alt
    except RuntimeError as error:  # of Path.home(), which it asks for on being imported
        raise RunFailedError(
            f"Altair, which draws the charts, cannot be imported: {first_line(error)}; set HOME to "
            "a folder, such as HOME=/tmp."
        ) from error

    wanted = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    version = wanted if wanted in vl_convert.get_vegalite_versions() else None
    package = importlib.metadata.version("vl-convert-python")
    kept = cache_folder() / "charts" / f"vega-{version}-{package}.js"
    try:
        return kept.read_text(encoding="utf-8")
    except (OSError, ValueError):
        script: str = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]
    script = script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    with suppress(EveryclassError), atomic_write(kept) as stream:  # bundling takes seconds
        stream.write(script.encode())
    return script


@functools.cache
def _text(name: str) -> str:
    return resources.files("everyclass.reporting").joinpath(name).read_text(encoding="utf-8")


def _policy(scripts: list[str]) -> str:
    """Forbid everything but these scripts, styles and pictures inside: no network at all."""
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
