"""python docs/pictures.py STORE: the pictures of the README, taken from a real store with Debian's Chromium.

docs/dashboard.png is the law tab of the live dashboard, docs/report.png the top of the report, both at 1280 pixels;
docs/context.png is one figure of the report.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from results.report import write_report
from results.store import Store

CHROMIUM = "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
DOCS = Path(__file__).resolve().parent
VIEW = "law?law=chinchilla"  # what the picture of the dashboard shows
TALL = 1300  # pixels
SETTLED = 1500  # milliseconds


def main(store: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": TALL}, device_scale_factor=1)
        with tempfile.TemporaryDirectory() as folder:
            page.goto(write_report(Store(store), Path(folder) / "report.html").as_uri())
            take(page, "report.png", figures=6)
            page.locator("figure", has_text="Use of context").screenshot(path=DOCS / "context.png")
        line = [sys.executable, "-m", "results", "dashboard", "--store", store, "--port", "0"]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found
            page.goto(found.group(0) + VIEW)
            take(page, "dashboard.png", figures=11)
            server.terminate()
        browser.close()


def take(page: Page, name: str, figures: int) -> None:
    """Once so many figures are drawn."""
    drawn = "f.querySelector('.main-svg .trace, .contour')"
    shown = f"[...document.querySelectorAll('figure')].filter(f => {drawn}).length"
    page.wait_for_function(f"() => {shown} >= {figures}", timeout=120_000)
    page.wait_for_timeout(SETTLED)
    page.screenshot(path=DOCS / name)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
