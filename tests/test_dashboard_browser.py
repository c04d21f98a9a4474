"""The dashboard in a real browser: every tab, every control, live runs, downloads, and no request to anybody else."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import ROOT
from sample_store import write_sample
from test_figures import a_record

from results.store import Store

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
PATIENCE = 120_000  # milliseconds; CI shares two cores

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no chromium on this machine"),
    pytest.mark.xdist_group("dashboard"),
]


@contextlib.contextmanager
def serving(store: Path, *arguments: str) -> Iterator[str]:
    """`python -m results dashboard` of a store; its address."""
    line = [sys.executable, "-m", "results", "dashboard", "--store", str(store), "--port", "0", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        found = re.search(r"http://[^\s?]+", said)
        assert found, said + (server.stderr.read() if server.stderr else "")
        try:
            yield found.group(0).rstrip("/")
        finally:
            server.terminate()
        assert "Traceback" not in (server.stderr.read() if server.stderr else "")


class Visitor:
    """A page that remembers what the browser said and asked for."""

    def __init__(self, browser, address: str, **options):
        self.address = address
        self.context = browser.new_context(accept_downloads=True, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.waiting, self.heard = 0, 0.0
        for event, change in (("request", 1), ("requestfinished", -1), ("requestfailed", -1)):
            self.page.on(event, lambda request, change=change: self._count(change))

    def _count(self, change: int) -> None:
        self.waiting, self.heard = self.waiting + change, time.monotonic()

    def settled(self) -> None:
        """Waits until what was set off has been answered."""
        self.heard = time.monotonic()
        while self.waiting > 0 or time.monotonic() - self.heard < 0.4:
            self.page.wait_for_timeout(50)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.address}/{path}")
        self.page.wait_for_selector("main h1, main .empty")

    def wait(self, expression: str, arg: object = None) -> None:
        self.page.wait_for_function(expression, arg=arg)

    def drawn(self, name: str) -> None:
        """Waits until the figure of this title holds a trace."""
        self.wait(
            """title => {
                const figure = document.querySelector(`figure[data-title="${title}"]`);
                return figure && figure.querySelector(".main-svg .trace, .contour") !== null;
            }""",
            arg=name,
        )

    def figure(self, name: str):
        return self.page.locator(f'figure[data-title="{name}"]')

    def choose(self, label: str, option: str) -> None:
        """One option of a drop-down list."""
        self.page.get_by_role("group", name=label, exact=True).locator("button, .dash-dropdown").first.click()
        self.page.get_by_role("option", name=option, exact=True).or_(
            self.page.locator(".dash-dropdown-option", has_text=option)
        ).first.click()
        self.page.keyboard.press("Escape")

    def slide(self, label: str, key: str, times: int) -> None:
        """By the keyboard, as somebody without a mouse would."""
        thumb = self.page.get_by_role("group", name=label, exact=True).get_by_role("slider").first
        thumb.focus()
        for _ in range(times):
            thumb.press(key)

    def open_first_run(self) -> None:
        """By the table; the run stays chosen from then on."""
        self.page.locator(".ag-row [col-id=status]").first.click()
        self.page.get_by_role("heading", name=re.compile(r"^Run [0-9a-f]{16}$")).wait_for()

    def finish(self) -> None:
        assert self.said == []
        hosts = {urlsplit(url).hostname for url in self.asked if not url.startswith(("data:", "blob:"))}
        assert hosts == {"127.0.0.1"}
        self.context.close()


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = tmp_path_factory.mktemp("browser") / "store"
    write_sample(store)
    with serving(store) as found:
        yield found


@pytest.fixture
def visit(browser, address: str) -> Iterator[Visitor]:
    visitor = Visitor(browser, address, viewport={"width": 1280, "height": 900})
    yield visitor
    visitor.finish()


FIGURES = {
    "sweep": ["Runs by status", "Loss curves"],
    "law": [
        "Loss surface",
        "IsoFLOP slices",
        "Loss against compute",
        "Envelope (approach 1)",
        "Drift with the compute cut",
        "Profile likelihoods",
        "Predicted against measured",
        "Error of the law against N",
        "Error of the law against D",
        "Error of the law against C",
        "Bootstrap cloud",
    ],
    "plan": [
        "Loss of the best run for each budget",
        "Runs of equal loss",
        "What a loss costs",
        "What the uncertainty comes from",
    ],
    "forecasts": ["Error against span", "Calibration", "Forecasts against truth"],
    "compare": ["Compute multiplier", "Both frontiers"],
    "compression": ["Bits per byte against compute", "Archive ratio against compute", "Bits per byte by source"],
}


@pytest.mark.parametrize("tab", FIGURES)
def test_a_tab_draws_all_its_figures_in_both_themes_at_both_widths(visit: Visitor, tab: str):
    page = visit.page
    ground = "() => getComputedStyle(document.querySelector('.js-plotly-plot .main-svg')).backgroundColor"
    for width, theme, paper in ((1280, "light", "rgb(255, 255, 255)"), (400, "dark", "rgb(27, 34, 43)")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        if width == 1280:
            visit.open(tab)
        for name in FIGURES[tab]:
            visit.drawn(name)
        visit.wait(f"() => ({ground})() === '{paper}'")
        visit.wait("() => document.documentElement.scrollWidth <= window.innerWidth")
        visit.wait(
            "() => [...document.querySelectorAll('.js-plotly-plot')].every(d => d.scrollWidth <= d.clientWidth + 1)"
        )
    assert tab == "sweep" or page.evaluate("() => [...document.querySelectorAll('.why')].every(d => !d.textContent)")
    assert page.locator("[data-title=Share], [data-title*='Share chart']").count() == 0


def test_a_click_on_a_mark_shows_the_run_and_its_command(visit: Visitor):
    visit.open("sweep")
    visit.drawn("Runs by status")
    visit.figure("Runs by status").locator(".js-plotly-plot").evaluate(
        """graph => {
            const trace = graph._fullData.findIndex((one) => one.name.startsWith("failed"));
            const point = {curveNumber: trace, pointNumber: 0, x: 1, y: 1, customdata: "bad-failed"};
            const drawn = {data: graph.data[trace], fullData: graph._fullData[trace]};
            graph.emit("plotly_click", {points: [{...point, ...drawn}]});
        }"""
    )
    visit.page.get_by_role("heading", name="Run bad-failed").wait_for()
    assert visit.page.get_by_text("MemoryError in step 3").first.is_visible()
    visit.drawn("Course of the run")
    visit.wait("() => location.search.includes('run=bad-failed')")
    visit.open("sweep?run=squa-11")
    visit.page.get_by_role("heading", name="Run squa-11").wait_for()
    assert "python -m sweep data=python_source" in visit.page.locator(".command code").first.inner_text()


def test_hostile_text_is_shown_as_text(visit: Visitor):
    visit.open("sweep?run=bad-hostile")
    visit.page.get_by_role("heading", name="Run bad-hostile").wait_for()
    assert visit.page.get_by_text("<script>alert(1)</script>").first.is_visible()
    assert visit.page.locator("img[src*=evil]").count() == 0
    visit.open("sweep?run=<script>alert(1)</script>&group=evil&columns=evil")
    visit.page.get_by_text("No run is called '<script>").wait_for()


def test_the_table_filters_sorts_groups_and_chooses_columns(visit: Visitor):
    visit.open("sweep")
    cells = visit.page.locator(".ag-center-cols-container .ag-row")
    cells.first.wait_for()
    visit.page.get_by_label("status Filter Input").fill("failed")
    visit.wait("() => document.querySelectorAll('.ag-center-cols-container .ag-row').length === 2")
    visit.page.get_by_label("status Filter Input").fill("")
    visit.page.locator(".ag-header-cell[col-id=loss] .ag-header-cell-label").click()
    visit.wait("() => document.querySelector('.ag-header-cell[col-id=loss]').ariaSort === 'ascending'")
    visit.choose("columns of the table", "optimiser")
    visit.page.locator(".ag-header-cell[col-id=optimiser]").first.wait_for(state="attached")
    visit.choose("group the table by", "MLP")
    visit.page.locator(".ag-header-cell[col-id=best]").first.wait_for()
    visit.wait("() => document.querySelectorAll('.ag-center-cols-container .ag-row').length === 2")
    visit.wait("() => location.search.includes('group=mlp')")


def test_ticked_runs_are_drawn_against_any_axis_in_any_unit(visit: Visitor):
    visit.open("sweep?show=chosen")
    visit.figure("Loss curves").get_by_text("Tick runs in the table below").wait_for()
    visit.page.locator(".ag-row .ag-selection-checkbox").first.wait_for()
    boxes = visit.page.locator(".ag-row .ag-selection-checkbox input")
    boxes.nth(5).click()
    boxes.nth(6).click()
    visit.drawn("Loss curves")
    graph = "document.querySelector(`figure[data-title='Loss curves'] .js-plotly-plot`)"
    visit.wait(f"() => {graph}.data.filter((trace) => trace.mode === 'lines').length === 2")
    visit.choose("curves against", "seconds in training")
    visit.choose("loss in", "bits per byte")
    visit.wait(f"() => {graph}.layout.xaxis.title.text === 'seconds in training'")
    visit.wait(f"() => {graph}.layout.yaxis.title.text === 'loss (bits/byte)'")
    visit.slide("smoothing (rows of a curve)", "ArrowRight", 3)
    visit.wait("() => location.search.includes('smooth=11')")


def test_a_cut_refits_and_its_url_reproduces_the_view(visit: Visitor):
    visit.open("law?law=chinchilla")
    visit.drawn("Predicted against measured")
    whole = visit.page.locator("main .cards").first.inner_text()
    visit.slide("fit only runs up to this compute", "PageDown", 6)
    visit.wait("before => document.querySelector('main .cards').innerText !== before", arg=whole)
    visit.page.get_by_text("These are the runs above the cut.").wait_for()
    visit.wait("() => location.search.includes('cut=')")
    visit.settled()
    there = visit.page.url
    cards = visit.page.locator("main .cards").first.inner_text()
    visit.page.goto("about:blank")
    visit.page.goto(there)
    visit.wait("before => document.querySelector('main .cards')?.innerText === before", arg=cards)


def test_every_other_control_of_the_law_redraws(visit: Visitor):
    visit.open("law")
    visit.drawn("Bootstrap cloud")
    visit.choose("cloud of", "E and beta")
    axis = "document.querySelector(`figure[data-title='Bootstrap cloud'] .js-plotly-plot`)?.layout.xaxis?.title.text"
    visit.wait(f"() => {axis} === 'E (nats/token)'")
    visit.choose("law", "chinchilla")
    visit.page.get_by_text("L(N, D) = E + A/N^alpha + B/D^beta, from 32 runs").wait_for()
    visit.choose("other laws beside it", "gamma")
    visit.page.get_by_role("heading", name="Laws side by side").wait_for()
    visit.choose("N counts", "all")
    visit.figure("Loss surface").get_by_text("non-embedding parameters").wait_for()


def test_a_plan_follows_its_sliders(visit: Visitor):
    visit.open("plan")
    visit.drawn("What a loss costs")
    before = visit.page.locator("main .cards").first.inner_text()
    visit.slide("budget: compute, times the dearest run", "ArrowRight", 4)
    visit.wait("before => document.querySelector('main .cards').innerText !== before", arg=before)
    visit.choose("chip", "a100-80gb")
    visit.page.get_by_text("hours of a100-80gb").first.wait_for()
    visit.slide("MFU", "ArrowRight", 30)
    visit.slide("dollars per chip-hour", "ArrowRight", 20)
    visit.slide("tokens to be served in its life", "ArrowRight", 8)
    visit.page.get_by_text("to serve", exact=False).first.wait_for()
    visit.slide("unique tokens of text there are", "ArrowRight", 4)
    visit.choose("pilots before it may cost", "3.0% of it")
    visit.page.get_by_text("python -m sweep -m model.n=").first.wait_for()
    visit.page.get_by_placeholder("such as 5e3").fill("nonsense")
    visit.page.get_by_placeholder("such as 5e3").press("Enter")
    visit.page.get_by_placeholder("such as 1e18").fill("1e99")
    visit.page.get_by_placeholder("such as 1e18").press("Enter")
    visit.page.get_by_text("--flops is 1e+99").first.wait_for()


def test_forecasts_and_comparisons_follow_their_choices(visit: Visitor):
    visit.open("forecasts")
    visit.drawn("Forecasts against truth")
    visit.choose("forecasts of", "chinchilla")
    visit.wait("() => location.search.includes('law=chinchilla')")
    visit.page.get_by_text("OUTSIDE").first.wait_for()
    visit.open("compare")
    visit.drawn("Compute multiplier")
    visit.choose("B", "mlp: squared_relu")
    visit.page.get_by_text("A and B are the same").wait_for()


def test_a_figure_is_downloaded_in_four_ways(visit: Visitor, tmp_path: Path):
    visit.open("law?theme=dark")
    visit.drawn("Loss surface")
    content = {}
    for kind in ("PNG", "SVG", "CSV", "HTML"):
        with visit.page.expect_download() as waiting:
            visit.page.get_by_role("button", name=f"Loss surface as {kind}").click()
        assert waiting.value.suggested_filename == f"loss-surface.{kind.lower()}"
        content[kind] = Path(waiting.value.path()).read_bytes()
    assert content["PNG"].startswith(b"\x89PNG")
    assert content["SVG"].lstrip().startswith(b"<svg")
    lines = content["CSV"].decode().splitlines()
    assert lines[0] == "trace,x,y,z,y_low,y_high,x_low,x_high,says,x_axis,y_axis"
    assert sum(line.startswith("runs,") for line in lines) == 32
    assert sum(line.startswith("loss of the law (nats/token),") for line in lines) == 3600
    alone = tmp_path / "figure.html"
    alone.write_bytes(content["HTML"])
    visit.page.goto(alone.as_uri())
    visit.page.wait_for_selector("#figure .main-svg")
    visit.asked = [url for url in visit.asked if not url.startswith("file:")]


def test_the_theme_button_turns_and_everything_is_reached_by_keyboard(visit: Visitor):
    visit.open("compression")
    visit.drawn("Bits per byte by source")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Sweep"
    button = visit.page.get_by_role("button", name="theme")
    button.focus()
    visit.page.keyboard.press("Enter")
    visit.page.keyboard.press("Enter")
    visit.wait("() => document.documentElement.dataset.theme === 'dark'")
    visit.wait("() => getComputedStyle(document.querySelector('.main-svg')).backgroundColor === 'rgb(27, 34, 43)'")
    visit.wait("() => location.search.includes('theme=dark')")
    visit.page.get_by_role("link", name="Law").focus()
    visit.page.keyboard.press("Enter")
    visit.drawn("Loss surface")


def test_no_such_tab_says_which_there_are(visit: Visitor):
    visit.open("nonsense")
    visit.page.get_by_text("is none of sweep, law, plan").wait_for()


@pytest.mark.parametrize("runs", [0, 1])
def test_stores_with_next_to_nothing_show_something_useful(browser, tmp_path: Path, runs: int):
    store = Store(tmp_path / "store")
    for record in [a_record(status="running", loss=None, bpb=None)][:runs]:
        store.write(record)
    with serving(tmp_path / "store") as found:
        visitor = Visitor(browser, found, viewport={"width": 1280, "height": 900})
        for tab in FIGURES:
            visitor.open(tab)
            visitor.page.locator("main .card").first.wait_for()
            visitor.wait("() => document.querySelectorAll('.dash-spinner, ._dash-loading').length === 0")
        visitor.finish()


def test_a_token_opens_it_and_nothing_else_does(browser, tmp_path: Path):
    token = "a-token-of-some-length"
    write_sample(tmp_path / "store", [a_record()])
    with serving(tmp_path / "store", "--token", token) as found:
        page = browser.new_page()
        assert page.goto(found).status == 401
        page.goto(f"{found}/sweep?token={token}")
        page.wait_for_selector("main h1")
        assert "token" not in page.url
        page.close()


def test_a_real_sweep_is_seen_live_and_zoom_and_choice_stay(browser, text_folder: Path, tmp_path: Path):
    store = tmp_path / "store"
    grid = [
        "data=text",
        f"data.path={text_folder}",
        "data.tokenizer=bytes",
        "data.sequence=32",
        "data.eval_tokens=2048",
    ]
    grid += [
        "-m",
        "model.n=5e3,1e4",
        "data.tokens=2e5,4e5,6e5",
        "schedule=cosine",
        f"store={store}",
        "launcher.price=2",
    ]
    with serving(store) as found:
        visitor = Visitor(browser, found, viewport={"width": 1280, "height": 900})
        visitor.open("sweep")
        visitor.page.get_by_text("This page follows it").wait_for()
        line = [sys.executable, "-m", "sweep", *grid]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(line, stdout=subprocess.DEVNULL, cwd=tmp_path, env=env) as sweep:
            visitor.page.get_by_text(re.compile(r"\d of 6 runs done, [12] running")).wait_for()
            visitor.drawn("Runs by status")
            visitor.drawn("Loss curves")
            graph = visitor.figure("Loss curves").locator(".nsewdrag").first
            box = graph.bounding_box()
            assert box is not None
            x, y = box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3
            visitor.page.mouse.move(x, y)
            visitor.page.mouse.down()
            visitor.page.mouse.move(x + 120, y + 120, steps=5)
            visitor.page.mouse.up()
            shown = "document.querySelector(`figure[data-title='Loss curves'] .js-plotly-plot`)"
            zoomed = visitor.page.evaluate(f"{shown}._fullLayout.xaxis.range")
            visitor.open_first_run()
            visitor.page.get_by_text(re.compile(r"^6 done\.$")).wait_for()
            assert sweep.wait(60) == 0
        visitor.wait(f"() => {shown}.data.filter((trace) => trace.mode === 'markers').length === 6")
        assert visitor.page.evaluate(f"{shown}._fullLayout.xaxis.range") == pytest.approx(zoomed)
        assert "run=" in visitor.page.url
        assert visitor.page.get_by_text(re.compile(r"^\$0\.0\d of about \$0\.0\d$")).first.is_visible()
        # A tab that is left and opened again shows all of its data: its empty axes are no zoom of anybody.
        visitor.page.get_by_role("link", name="Forecasts").click()
        visitor.page.get_by_role("heading", name="Forecasts", exact=True).wait_for()
        visitor.page.get_by_role("link", name="Sweep").click()
        visitor.drawn("Loss curves")
        visitor.wait(f"() => {shown}.data.filter((trace) => trace.mode === 'markers').length === 6")
        low, high = visitor.page.evaluate(f"{shown}._fullLayout.xaxis.range")
        assert 2 < low < high < 6  # log10 of tokens, 1,024 .. 6e5; axes without data are -1 .. 6
        visitor.finish()
