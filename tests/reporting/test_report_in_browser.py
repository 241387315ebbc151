"""The page in a browser, where playwright and Debian's chromium are installed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from everyclass.reporting import Report, write_report

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("classes", [10, 100, 8142])
def test_charts_are_drawn_without_network_complaint_or_sideways_scrolling(
    browser: Any,
    report_of: Callable[..., Report],
    tmp_path: Path,
    classes: int,
    scheme: str,
    width: int,
) -> None:
    names = [f"<img src=x onerror=alert({c})>" for c in range(classes)]
    path = write_report(tmp_path / "report.html", report_of(names))
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelectorAll('.chart svg').length == 4")
    assert said == []
    assert asked == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".chart svg").first.bounding_box()["width"] > 0.8 * (width - 60)
    page.close()


def test_the_table_of_classes_can_be_sorted(browser: Any, report: Report, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(write_report(tmp_path / "report.html", report).as_uri())
    page.locator("summary").click()

    def column(head: str, cell: int) -> list[str]:
        page.get_by_role("button", name=head).click()
        return list(page.locator(f".classes tbody tr > :nth-child({cell})").all_inner_texts())

    assert column("Trained on", 3) == ["5", "10", "50", "200"]
    assert column("Trained on", 3) == ["200", "50", "10", "5"]
    assert column("Change", 8) == ["−10.0", "+20.0", "+50.0", "–"]
    assert column("Change", 8) == ["+50.0", "+20.0", "−10.0", "–"]
    assert column("Class", 1) == ["cat", "lynx", "truck", "yeti"]
    page.close()


def test_paper_gets_the_table_and_light_colours(
    browser: Any, report: Report, tmp_path: Path
) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(write_report(tmp_path / "report.html", report).as_uri())
    page.wait_for_function("document.querySelectorAll('.chart svg').length == 4")
    assert page.pdf().startswith(b"%PDF")
    assert not page.locator("details").evaluate("details => details.open")  # closed again
    page.emulate_media(media="print")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.close()


def test_without_javascript_the_words_stand_alone(
    browser: Any, report: Report, tmp_path: Path
) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(write_report(tmp_path / "report.html", report).as_uri())
    text = page.locator("body").inner_text()
    assert "Use the ensemble" in text
    assert "The charts need JavaScript" in text
    page.close()
