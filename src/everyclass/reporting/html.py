"""One HTML file that shows a rescue, and needs nothing outside itself."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everyclass.artifacts import atomic_write
from everyclass.reporting.charts import (
    MOST_BARS,
    change_chart,
    counts_chart,
    recall_chart,
)
from everyclass.reporting.data import ClassRow, RescueReport

if TYPE_CHECKING:
    import jinja2

__all__ = ["render_report", "write_report"]

MOST_CHANGES = 15


def render_report(report: RescueReport) -> str:
    """Return the report as one HTML page; the same report gives the same page.

    Scripts, styles and data are inside, a Content-Security-Policy forbids everything else, and
    names of classes are text wherever they stand. Without JavaScript only the charts are missing.
    """
    from markupsafe import Markup

    rows = report.class_rows()
    scripts = [_vega(), _text("report.js")]
    return _template().render(
        report=report,
        use=report.verdict["use"],
        shown=report.shown,
        old=report.evaluations.get("old"),
        new=report.evaluations[report.shown] if report.shown else None,
        rows=sorted(rows, key=_worst_first),
        risers=report.risers(MOST_CHANGES),
        payers=report.payers(MOST_CHANGES),
        charts=_charts(report, rows),
        most_bars=MOST_BARS,
        policy=_policy(scripts),
        style=Markup(_text("report.css")),
        scripts=[Markup(script) for script in scripts],
    )


def write_report(path: str | Path, report: RescueReport) -> Path:
    """Write the report, whole or not at all, and return where it is.

    Raises:
        OutputError: no permission, no space, or no such folder.
    """
    path = Path(path)
    # A lone surrogate, as JSON may hold one in a class name, has no UTF-8 form.
    page = render_report(report).encode("utf-8", errors="replace")
    with atomic_write(path) as stream:
        stream.write(page)
    return path


def _charts(report: RescueReport, rows: list[ClassRow]) -> dict[str, dict[str, Any]]:
    charts = {"counts": counts_chart(rows)}
    if report.shown:
        new = report.shown
        charts["recall"] = recall_chart(rows, new=new, legend=False)
        for name, changed in (("risers", report.risers), ("payers", report.payers)):
            if changed(1):
                charts[name] = change_chart(changed(MOST_CHANGES), new=new)
    return {name: _specification(chart) for name, chart in charts.items()}


def _specification(chart: Any) -> dict[str, Any]:
    import altair as alt

    with alt.theme.enable("default"):  # whatever theme the caller's notebook has chosen
        specification: dict[str, Any] = chart.to_dict()
    del specification["$schema"]  # an address, which nothing here needs
    specification["background"] = "transparent"
    return specification


def _worst_first(row: ClassRow) -> tuple[bool, float, float]:
    recall = row["recall_new"]
    return recall is None, recall or 0.0, row["recall_old"] or 0.0


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
    environment.filters |= {"percent": _percent, "points": _points, "sentence": _sentence}
    return environment.get_template("report.html.j2")


@functools.cache
def _vega() -> str:
    """The JavaScript of Vega in the version that Altair writes specifications for."""
    import altair as alt
    import vl_convert

    wanted = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    version = wanted if wanted in vl_convert.get_vegalite_versions() else None
    script: str = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


@functools.cache
def _text(name: str) -> str:
    return resources.files("everyclass.reporting").joinpath(name).read_text(encoding="utf-8")


def _policy(scripts: list[str]) -> str:
    """Forbid everything but these scripts and the styles: no network, no other script."""
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def _points(value: float | None) -> str:
    if value is None:
        return "–"
    text = f"{100 * value:+.1f}"
    return "±0.0" if text in ("+0.0", "-0.0") else text.replace("-", "\N{MINUS SIGN}")


def _sentence(text: str) -> str:
    text = text.strip()
    end = "" if text.endswith((".", "!", "?")) else "."
    return f"{text[:1].upper()}{text[1:]}{end}" if text else ""
