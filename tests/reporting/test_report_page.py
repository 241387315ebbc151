"""The page: what it says, that it is harmless and whole, and that it is quick to write."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everyclass.artifacts import ClassCounts
from everyclass.errors import InputError, OutputError
from everyclass.reporting import (
    Report,
    holds_report,
    html,
    render_comment,
    render_report,
    write_report,
)
from everyclass.reporting.charts import GROUP_COLOURS, OLD_COLOUR
from everyclass.reporting.words import words_of

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!-- <script> -->",
    "\"double\" & 'single' &lt;",
    "{{ 7 * 7 }} {% raw %} ${x}",
    "javascript:alert(1)",
    "https://example.org/a.png",
    "קטע בעברית",
    "🐱 emoji",
    "w" * 300,
]


class Page(HTMLParser):
    """Tags with their attributes, text by tag, and the content of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.names: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))
        if tag == "bdi":
            self.names.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)
        elif "style" not in self._open:
            self.text += data
            if self._open and self._open[-1] == "bdi":
                self.names[-1] += data

    @property
    def words(self) -> str:
        """All text, each stretch of white space as one blank."""
        return " ".join(self.text.split())

    @property
    def charts(self) -> list[dict[str, Any]]:
        """The specifications of the charts."""
        return [values for values in self.data if "layer" in values]

    @property
    def data(self) -> list[dict[str, Any]]:
        """All data blocks: the charts, and the columns of every class."""
        return [json.loads(text) for kind, text in self.scripts if kind == "application/json"]


def test_a_manager_reads_cost_first_then_gain(report: Report) -> None:
    words = Page(render_report(report)).words
    assert "Use the ensemble of the old and the retrained classifier." in words
    assert "It costs 1 of 3 classes some recall, 10.0 points on average." in words
    assert "the recall of the worst class rises from 0.0% to 50.0%" in words
    assert "accuracy rises from 57.9% to 68.4%" in words
    assert "The gain is certain." in words
    assert "Decided on validation data." in words
    assert "the most: truck, from 90.0% to 80.0%." in words
    assert "the most: lynx, from 0.0% to 50.0%." in words
    assert "Mean recall of classes with many training images falls from 90.0% to 80.0%." in words
    assert "Classes never predicted: 1 → 0." in words
    assert words.index("What the ensemble costs") < words.index("What the ensemble gives")
    order = [
        "Use the ensemble",
        "What the ensemble costs",
        "Below each number its 95% interval",
        "Recall of every class Find",
        "Who paid and who rose",
        "The worst classes of the ensemble",
        "Classes never predicted Classes",
        "Test images still needed",
        "Training images per class",
        "Classes that cannot be judged",
        "How it was made Birth certificate",
    ]
    places = [words.index(part) for part in order]
    assert places == sorted(places)


def test_replaced_zeros_are_marked_and_explained(report: Report) -> None:
    words = Page(render_report(report)).words
    assert "0.3%*" in words
    assert "is counted as 0.1% there: 1 class of old." in words
    better = {**report.evaluations, "old": report.evaluations["retrained"]}
    words = Page(render_report(replace(report, evaluations=better))).words
    assert "is counted as" not in words
    assert "%*" not in words


def test_a_falling_accuracy_is_a_cost(report: Report) -> None:
    swapped = {"old": report.evaluations["ensemble"], "ensemble": report.evaluations["old"]}
    words = Page(render_report(replace(report, evaluations=swapped))).words
    assert "points on average, and accuracy falls from 68.4% to 57.9%. The recall" in words


def test_a_falling_worst_class_is_a_cost_and_nothing_in_return(report: Report) -> None:
    swapped = {"old": report.evaluations["ensemble"], "ensemble": report.evaluations["old"]}
    report = replace(report, evaluations=swapped)
    assert report.worst_fell
    words = words_of(report)
    falls = "The recall of the worst class falls from 50.0% to 0.0%."
    assert falls in [line.text for line in words.lead]
    assert falls in [line.text for line in words.costs]
    page = Page(render_report(report)).words
    assert "In return" not in page
    gains = page.index("What the ensemble gives")
    assert page.index("50.0% to 0.0%", page.index("What the ensemble costs")) < gains
    assert "50.0% → 0.0%" not in page
    assert "1 class of 3 gains recall" in page


def test_the_level_is_that_of_the_intervals(report: Report) -> None:
    def at(level: float) -> Report:
        again = {
            name: replace(e, interval_settings={**(e.interval_settings or {}), "confidence": level})
            for name, e in report.evaluations.items()
        }
        return replace(report, evaluations=again)

    page, comment = Page(render_report(at(0.9))).words, render_comment(at(0.9))
    assert "Below each number its 90% interval" in page
    assert "the thin line its 90% interval" in page
    assert "<sub>90% intervals." in comment
    assert "95%" not in page.split("Recall of every class")[0] + comment
    mixed = {**report.evaluations, "old": at(0.9).evaluations["old"]}
    with pytest.raises(InputError, match=r"of 'old' have a confidence of 0\.9 and those of"):
        replace(report, evaluations=mixed)
    without = {name: replace(e, intervals=None) for name, e in mixed.items()}
    page = Page(render_report(replace(report, evaluations=without))).words
    assert "95%" not in page
    assert "Below each number its difference from old in points" in page
    assert "intervals." not in render_comment(replace(report, evaluations=without))


def test_nothing_but_zeros_leads_with_how_many(report: Report) -> None:
    evaluations = {**report.evaluations, "ensemble": report.evaluations["old"]}
    words = Page(render_report(replace(report, evaluations=evaluations))).words
    assert "No class loses recall." in words
    assert "The number of classes that are never recognised stays at 1" in words
    assert "No class gains recall." in words


def test_no_change_recommended_shows_what_was_tried(report: Report) -> None:
    verdict = {"use": "old", "reason": "nothing is gained", "decided_on": "validation data"}
    words = Page(render_report(replace(report, verdict=verdict))).words
    assert "Keep the classifier you have. No change is recommended." in words
    assert "Tried and not recommended: the ensemble" in words
    assert "What the ensemble would cost" in words


def test_without_a_test_set_it_says_how_to_give_one(report: Report) -> None:
    page = Page(render_report(replace(report, evaluations={})))
    assert "No labelled test data was given" in page.words
    assert "--test test.npz" in page.words
    assert "Before and after" not in page.words
    assert len(page.charts) == 1  # the training images
    assert page.names == ["Cats and trucks", "truck", "cat", "lynx", "yeti"]


def test_two_classifiers_make_two_columns(report: Report) -> None:
    evaluations = {name: report.evaluations[name] for name in ("old", "retrained")}
    verdict = {**report.verdict, "use": "retrained"}
    page = Page(render_report(replace(report, verdict=verdict, evaluations=evaluations)))
    assert "Use the retrained classifier." in page.words
    assert "nsemble" not in page.words
    assert "Measure Old Retrained recommended" in page.words.replace("Retrainedr", "Retrained r")
    assert len(Page(render_report(report)).charts) == 4


def test_untestable_classes_are_listed_and_have_no_number(report: Report) -> None:
    words = Page(render_report(report)).words
    assert "1 class has no test image and is left out of every number above: yeti." in words
    assert "yeti5few0––––" in words


def test_every_chart_has_words(report: Report) -> None:
    charts = [a for _, a in Page(render_report(report)).tags if "data-chart" in a]
    assert len(charts) == 4
    assert all(a["role"] == "img" and a["aria-label"] for a in charts)


def test_hostile_names_are_text(report_of: Callable[..., Report]) -> None:
    settings = {"<b>key</b>": "<script>alert(2)</script>"}
    title = "</title><script>alert(3)</script>"
    report = report_of(HOSTILE, title=title, settings=settings)
    assert_harmless(report)


# Surrogates have no HTML, and the parser of the tests reads CR as the standard says.
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=15)
@given(st.lists(NAMES, min_size=2, max_size=5, unique=True))
def test_any_names_are_text(report_of: Callable[..., Report], names: list[str]) -> None:
    assert_harmless(report_of(names))


def assert_harmless(report: Report) -> None:
    plain = Page(
        render_report(replace(report, class_counts=ClassCounts(report.class_counts.counts)))
    )
    page = Page(render_report(report))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in plain.tags}
    assert [kind for kind, _ in page.scripts] == [kind for kind, _ in plain.scripts]
    assert not any(key.startswith("on") for _, a in page.tags for key in a)
    assert set(report.names) <= set(page.names)
    data = [rows for chart in page.charts for rows in chart.get("datasets", {}).values()]
    in_charts = {row["class"] for rows in data for row in rows if "class" in row}
    assert in_charts <= set(report.names)
    assert [block["names"] for block in page.data if "names" in block] == [list(report.names)]


def test_nothing_comes_from_elsewhere(report: Report) -> None:
    text = render_report(report)
    page = Page(text)
    for _, attributes in page.tags:
        assert not {"src", "srcset", "action", "data", "poster"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert not any("$schema" in chart for chart in page.charts)


def test_the_policy_allows_these_scripts_and_nothing_else(report: Report) -> None:
    page = Page(render_report(report))
    (policy,) = (a["content"] for _, a in page.tags if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy
    assert "unsafe-eval" not in policy
    run = [text for kind, text in page.scripts if kind == "module"]
    assert len(run) == 2
    for script in run:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.count("sha256-") == 2


def test_the_style_knows_the_colours_of_the_charts(report: Report) -> None:
    text = render_report(report)
    for colour in (OLD_COLOUR, *GROUP_COLOURS.values()):
        assert f'.chart [fill="{colour}"]' in text
        assert f'.chart [stroke="{colour}"]' in text


def test_the_script_has_its_numbers_from_the_page(report: Report) -> None:
    page = Page(render_report(report))
    assert html.CONSTANTS in [{**d, "GROUPS": tuple(d.get("GROUPS", ()))} for d in page.data]
    script = page.scripts[-1][1]
    for name in html.CONSTANTS:
        assert not re.search(rf"\b{name} = ", script)


def test_8142_classes_are_written_quickly_and_stay_small(
    report_of: Callable[..., Report], tmp_path: Path
) -> None:
    report = report_of([f"Genus{c // 7} species{c}" for c in range(8142)])
    html._vega()  # bundled once per process, in two seconds
    start = time.perf_counter()
    path = write_report(tmp_path / "report.html", report)
    assert time.perf_counter() - start < 5
    assert path.stat().st_size < 2_500_000
    text = path.read_text(encoding="utf-8")
    (columns,) = (block for block in Page(text).data if "names" in block)
    assert len(columns["names"]) == len(columns["support"]) == 8142
    assert 'id="table-of-classes" class="long"' in text


def test_the_same_report_gives_the_same_page(report: Report) -> None:
    pages = {render_report(replace(report)) for _ in range(2)}
    assert len(pages) == 1


def test_another_theme_of_the_caller_changes_nothing(report: Report) -> None:
    import altair as alt

    page = render_report(report)
    with alt.theme.enable("dark"):
        assert render_report(report) == page
        assert alt.theme.active == "dark"


def test_written_whole_or_not_at_all(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_report(str(tmp_path / "deep" / "report.html"), report)
    assert path == tmp_path / "deep" / "report.html"
    before = path.read_bytes()
    assert before.decode() == render_report(report)
    monkeypatch.setattr(html, "render_report", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(path, report)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    assert holds_report(path)


def test_a_folder_that_cannot_be_written_is_said(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        write_report(tmp_path / "file" / "report.html", report)


def test_half_a_character_is_refused_before_there_is_a_report(
    report_of: Callable[..., Report],
) -> None:
    with pytest.raises(InputError, match="holds half a character"):
        report_of(["a\ud800", "b"])


def test_importing_is_cheap() -> None:
    code = "import sys, everyclass.reporting; print(*sorted(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    loaded = set(answer.stdout.split())
    assert not {"torch", "altair", "vl_convert", "jinja2"} & loaded


def test_the_vega_that_is_inlined_fits_altair() -> None:
    import altair as alt
    import vl_convert

    wanted = re.sub(r"^v(\d+\.\d+).*", r"\1", alt.SCHEMA_VERSION)
    assert wanted in vl_convert.get_vegalite_versions()


WITHOUT_HOME = """
import pwd

def nobody(number):
    raise KeyError(number)

pwd.getpwuid = nobody
import everyclass as ec
from everyclass.artifacts import cache_folder

print(cache_folder().parent if cache_folder() == cache_folder() else "another")
print(cache_folder().parent.stat().st_mode & 0o077)
try:
    ec.report(ec.Predictions([0, 0, 1], predicted=[0, 1, 1]), "report.html")
except ec.errors.RunFailedError as error:
    print(error)
"""


def test_a_user_without_a_home_is_told_what_a_report_needs(tmp_path: Path) -> None:
    """As in a container with a user's number that has no entry."""
    pytest.importorskip("pwd")
    unknown = ("HOME", "XDG_CACHE_HOME")
    known = {name: value for name, value in os.environ.items() if name not in unknown}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HOME], cwd=tmp_path, capture_output=True, text=True,
        env={**known, "TMPDIR": str(tmp_path)}, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    cache, others, said = done.stdout.splitlines()
    assert Path(cache).parent == tmp_path
    assert others == "0"  # nobody else can put a kernel there
    assert not Path(cache).exists()
    assert "set HOME to a folder, such as HOME=/tmp" in said


def test_the_vega_script_is_bundled_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vl_convert

    bundled: list[Any] = []

    def bundle(**options: Any) -> str:
        bundled.append(options)
        return "let said = '</script>';"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(vl_convert, "javascript_bundle", bundle)
    make = html._vega.__wrapped__
    assert make() == make() == "let said = '<\\/script>';"
    assert len(bundled) == 1
    (kept,) = (tmp_path / "everyclass" / "charts").iterdir()
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("no folder")  # what cannot be kept is bundled again
    assert make() == make() == "let said = '<\\/script>';"
    assert len(bundled) == 3
