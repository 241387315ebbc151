"""The page in a browser, where playwright and Debian's chromium are installed."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everyclass.artifacts import ClassCounts, Predictions
from everyclass.reporting import Judged, Report, report_of, write_report

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

DRAWN = (
    "document.querySelectorAll('.chart svg').length == document.querySelectorAll('.chart').length"
)


def wait(page: Any, condition: str) -> None:
    """Until it is true; the page's policy forbids the eval that playwright's own waiting needs."""
    for _ in range(300):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"still not so: {condition}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a report; whatever the page complains about, asks for or says aloud fails the test."""
    pages: list[Any] = []
    said: list[str] = []
    asked: list[str] = []

    def open_page(report: Report, width: int = 1280, **options: Any) -> Any:
        path = write_report(tmp_path / "report.html", report)
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            wait(page, DRAWN)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert said == []
    assert {address.split(":")[0] for address in asked} <= {"file", "data"}
    assert sum(address.startswith("file:") for address in asked) == len(pages)


def compared(classes: int, name: str = "class {}", images: int = 4) -> Report:
    """Two classifiers with scores, ids and pictures, whose names are what is asked for."""
    random = np.random.default_rng(0)
    names = tuple(name.format(c) for c in range(classes))
    labels = np.repeat(np.arange(classes), images)
    counts = ClassCounts(np.sort(random.integers(1, 500, classes))[::-1].copy(), names=names)
    ids = np.array([f"{name.format(i)}.png" for i in range(len(labels))])
    judged = {}
    for called, share in ((f"old {name.format(0)}", 0.4), (f"new {name.format(1)}", 0.6)):
        right = random.random(len(labels)) < share
        top = np.where(right, labels, (labels + 1) % classes)
        judged[called] = Judged.of(
            Predictions(labels, predicted=top, class_names=names, class_counts=counts, ids=ids)
        )
    picture = np.full((8, 8, 3), 99, dtype=np.uint8)
    return report_of(
        judged,
        title=name.format("title"),
        settings={name.format("key"): name.format("value")},
        images=lambda rows: [picture if row % 2 else None for row in rows],
    )


EVIL = "<img src=x onerror=alert({})>"


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("classes", [10, 8142])
def test_charts_are_drawn_without_network_complaint_or_sideways_scrolling(
    opened: Callable[..., Any], classes: int, scheme: str, width: int
) -> None:
    page = opened(compared(classes, EVIL), width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".chart svg").first.bounding_box()["width"] > 0.8 * (width - 60)
    assert page.locator("img[src=x], [onerror]").count() == 0
    assert page.get_by_text("<img src=x onerror=alert(title)>").count()


@pytest.mark.parametrize(
    "name",
    [
        "</script><script>alert({})</script>",
        "<!--<script>{}",
        "javascript:alert({})",
        "'\"><svg onload=alert({})>",
        "{{{{ constructor {} }}}}",
        "datum.x{}",
        "\u202e{}",
        "{}" + "x" * 10_000,
    ],
)
def test_injections_stay_text(opened: Callable[..., Any], name: str) -> None:
    page = opened(compared(12, name), 390)
    page.locator("#find").fill("<")
    page.locator("#find").fill("")
    page.locator("#explorer .hover_marks path").first.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    page.locator("#table-of-classes summary").click()
    page.get_by_role("button", name="Tested on").click()
    assert page.locator("svg svg, .classes script, .cards script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def column(page: Any, head: str, cell: int) -> list[str]:
    page.locator(".classes thead").get_by_role("button", name=head, exact=True).click()
    return list(
        page.locator(f".classes tbody tr > :nth-child({cell})").evaluate_all(
            "cells => cells.map(cell => cell.firstChild.textContent)"
        )
    )


def test_the_table_of_classes_can_be_sorted(opened: Callable[..., Any], report: Report) -> None:
    page = opened(report)
    page.locator("#table-of-classes summary").click()
    assert column(page, "Trained on", 2) == ["5", "10", "50", "200"]
    assert column(page, "Trained on", 2) == ["200", "50", "10", "5"]
    assert column(page, "Change", 8) == ["−10.0", "+20.0", "+50.0", "–"]
    assert column(page, "Change", 8) == ["+50.0", "+20.0", "−10.0", "–"]
    assert column(page, "Class", 1) == ["cat", "lynx", "truck", "yeti"]
    assert page.locator(".classes th[aria-sort]").count() == 1


def test_the_page_redraws_the_table_as_it_was_written(
    opened: Callable[..., Any], report: Report
) -> None:
    page = opened(report)
    rows = "[...document.querySelectorAll('.classes tbody tr')].map(row => row.outerHTML)"
    written = page.evaluate(rows)
    page.locator("#find").fill("no such class")
    wait(page, "!document.querySelector('.classes tbody tr')")
    page.locator("#find").fill("")
    wait(page, "document.querySelector('.classes tbody tr')")
    assert page.evaluate(rows) == written


def bars(page: Any) -> list[str]:
    """The classes that are drawn, from left to right."""
    return list(
        page.locator("#explorer .hover_marks path").evaluate_all(
            "marks => marks.map(m => [m.getBoundingClientRect().left, m.__data__.datum.class])"
            ".sort((a, b) => a[0] - b[0]).map(([, name]) => name)"
        )
    )


def test_search_groups_and_order_reach_the_chart(
    opened: Callable[..., Any], report: Report
) -> None:
    page = opened(report)

    def drawn(*names: str) -> None:
        for _ in range(100):
            if bars(page) == list(names):
                return
            page.wait_for_timeout(50)
        assert bars(page) == list(names)

    drawn("truck", "cat", "lynx", "yeti")
    page.locator("#order").select_option("name")
    drawn("cat", "lynx", "truck", "yeti")
    page.locator("#order").select_option("rose")
    drawn("lynx", "cat", "truck", "yeti")
    page.locator("[name=group][value='2']").uncheck()
    drawn("cat", "truck")
    assert page.locator("#count").inner_text() == "2 of 4 classes"
    page.locator("#find").fill("TRU")
    drawn("truck")
    page.get_by_role("button", name="Show all").click()
    drawn("lynx", "cat", "truck", "yeti")
    page.locator("#against").select_option(label="Retrained")
    page.locator("#order").select_option("low")
    drawn("lynx", "cat", "truck", "yeti")
    assert page.locator("#explorer .names").inner_text().startswith("retrained")


def test_hovering_tells_a_class(opened: Callable[..., Any], report: Report) -> None:
    page = opened(report)
    page.locator("#explorer .hover_marks path").nth(0).hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    text = page.locator("#vg-tooltip-element").inner_text()
    for part in ("truck", "200", "many", "90.0% [", "80.0% [", "−10.0"):
        assert part in text


def test_a_click_into_the_overview_opens_its_classes(opened: Callable[..., Any]) -> None:
    page = opened(compared(500))
    page.locator("#explorer .hover_marks path").nth(3).click()
    wait(page, "document.getElementById('bars-words').hidden === false")
    number = int(page.locator("#count").inner_text().split()[0])
    assert 5 <= number <= 12
    wait(page, f"document.querySelectorAll('#explorer .hover_marks path').length == {number}")


def test_8142_classes_are_quick(opened: Callable[..., Any]) -> None:
    """Few elements to be painted first; a sort costs the page's thread less than 100 ms."""
    page = opened(compared(8142, "Genus species {}", images=3))
    assert page.evaluate("document.querySelectorAll('*').length") < 5000
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # whatever else runs

    def milliseconds(work: str) -> float:
        def spent() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))

        before = spent()
        page.evaluate(work)
        page.wait_for_timeout(300)
        return 1000 * (spent() - before)

    page.locator("#table-of-classes summary").click()
    page.wait_for_timeout(300)
    sorts = [
        milliseconds(f"document.querySelector('[data-column={each}]').click()")
        for each in ("name", "trained", "change", "recall-1", "support")
    ]
    assert sorted(sorts)[2] < 100, sorts
    orders = [
        milliseconds(
            f"(box => {{ box.value = '{each}'; box.dispatchEvent(new Event('change')) }})"
            "(document.getElementById('order'))"
        )
        for each in ("name", "paid", "low", "trained", "rose")
    ]
    assert sorted(orders)[2] < 100, orders
    assert page.locator(".classes tbody tr").count() == 50
    page.get_by_role("button", name="Next").click()
    assert page.locator("#place").inner_text() == "51–100 of 8,142"


# --- colours, paper, keyboard ---------------------------------------------------------------------


def test_dark_and_light_by_the_system_and_by_the_button(
    opened: Callable[..., Any], report: Report
) -> None:
    page = opened(report, color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    button = page.get_by_role("button", name="Dark")
    assert button.get_attribute("aria-pressed") == "true"
    contrary = "b => getComputedStyle(b).color === getComputedStyle(document.body).backgroundColor"
    assert button.evaluate(contrary)  # it looks pressed
    button.click()
    assert not button.evaluate(contrary)
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert page.evaluate(paper) == dark != "rgb(255, 255, 255)"


CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b]
    .map((c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const low = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest('svg, script, style, noscript') || !e.getClientRects().length) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push([e.tagName, e.className, e.textContent.trim().slice(0, 30), ratio]);
  }
  return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(opened: Callable[..., Any], scheme: str) -> None:
    page = opened(compared(20), color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate(CONTRAST) == []


def test_paper_gets_the_tables_and_light_colours(
    opened: Callable[..., Any], report: Report
) -> None:
    page = opened(report, color_scheme="dark")
    assert page.pdf().startswith(b"%PDF")
    table = page.locator("#table-of-classes")
    assert not table.evaluate("details => details.open")  # closed again
    page.emulate_media(media="print")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert not page.locator("#controls").is_visible()
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert table.evaluate("details => details.open")


def test_the_keyboard_reaches_everything(opened: Callable[..., Any], report: Report) -> None:
    page = opened(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    assert page.locator(".skip").bounding_box()["width"] > 50  # seen once it has the focus
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"theme", "find", "order", "against", "scroll"} <= reached
    page.locator("#table-of-classes summary").focus()
    page.keyboard.press("Enter")
    page.locator("[data-column=change]").focus()
    page.keyboard.press("Enter")
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Change")


def test_a_screen_reader_finds_its_way(opened: Callable[..., Any]) -> None:
    page = opened(compared(20))
    for role in ("banner", "main", "navigation", "contentinfo", "search"):
        assert page.get_by_role(role).count() == 1, role
    assert page.locator("h1").count() == 1
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(h => +h.tagName[1])")
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    for chart in page.locator(".chart").all():
        assert chart.get_attribute("role") == "img"
        assert chart.get_attribute("aria-label")
    unnamed = page.locator("input, select, button, [role=region]").evaluate_all(
        "all => all.filter(e => !(e.labels?.length || e.textContent.trim() || e.ariaLabel "
        "|| e.getAttribute('aria-labelledby'))).map(e => e.outerHTML)"
    )
    assert unnamed == []
    targets = page.locator("nav a").evaluate_all("all => all.map(a => a.hash.slice(1))")
    assert all(page.locator(f"#{target}").count() == 1 for target in targets)
    pictures = page.locator("img").evaluate_all("all => all.map(i => i.alt)")
    assert pictures
    assert all(text.startswith("taken for class") for text in pictures)


def test_without_javascript_the_words_stand_alone(
    opened: Callable[..., Any], report: Report
) -> None:
    page = opened(report, java_script_enabled=False)
    text = page.locator("body").inner_text()
    assert "Use the ensemble" in text
    assert "The charts need JavaScript" in text
    assert not page.locator("#controls").is_visible()
    page.locator("#table-of-classes summary").click()
    assert page.locator(".classes tbody tr").count() == 4
