"""How long Chromium takes to show a page: first paint, and the work until all is there.

    pip install playwright
    python benchmarks/time_pages.py FOLDER_OR_PAGES...

The thread's time is processor time, which other work on the machine changes little; first paint
is by the clock. Median of three.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

QUIET = 4000  # milliseconds after which all is drawn


def timed(browser: Any, path: Path) -> tuple[float, float]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(path.resolve().as_uri())
    page.wait_for_timeout(QUIET)
    paints = page.evaluate("performance.getEntriesByType('paint').map(e => e.startTime)")
    metrics = session.send("Performance.getMetrics")["metrics"]
    work = next(m["value"] for m in metrics if m["name"] == "TaskDuration")
    page.close()
    return min(paints, default=float("nan")), 1000 * work


def main() -> None:
    from playwright.sync_api import sync_playwright

    given = [Path(argument) for argument in sys.argv[1:]]
    pages = [
        p for each in given for p in (sorted(each.glob("*.html")) if each.is_dir() else [each])
    ]
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for path in pages:
            paint, work = (
                statistics.median(x)
                for x in zip(*(timed(browser, path) for _ in range(3)), strict=True)
            )
            print(f"{path.name:<16} first paint {paint:5.0f} ms   thread {work:5.0f} ms")
        browser.close()


if __name__ == "__main__":
    main()
