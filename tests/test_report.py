"""The report: one offline file that says something useful about any store, and shows hostile names as text."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs
from test_figures import a_forecast, a_grid, a_record, a_target

from fitting.errors import InputError
from results.record import RunRecord
from results.report import write_report
from results.sealed import forecast_text
from results.store import Store

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>&\"'\x1b[31m%{y}"


def a_store(path: Path, records: list[RunRecord]) -> Store:
    store = Store(path)
    for record in records:
        store.write(record)
    for record in records:
        rows = [
            {
                "step": step,
                "tokens": step * record.d_tokens / 20,
                "loss": 6.0 - step / 10,
                "learning_rate": 0.01,
                "gradient_norm": 1.0,
                "seconds": float(step),
                "attempt": 1,
            }
            for step in range(1, 21)
        ]
        store.write_curve(record.run_id, rows)
    return store


def written(store: Store, out: Path, run_ids: list[str] | None = None) -> str:
    """The report without plotly.js, which holds addresses and tags of its own."""
    html = write_report(store, out, run_ids).read_text()
    return html.replace(get_plotlyjs(), "[plotly.js]")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a full grid, a target with its sealed forecast, and runs in every other status."""
    folder = tmp_path_factory.mktemp("full")
    others = [
        a_record("bad-diverged", status="diverged", loss=None, bpb=None, sentence="loss not finite at step 7"),
        a_record("bad-failed", status="failed", loss=None, sentence="MemoryError in step 3"),
        a_record("bad-running", status="running", loss=None, sentence="in training"),
    ]
    Store(folder / "store").seal(a_forecast())
    store = a_store(folder / "store", [*a_grid(), a_target(), *others])
    (store.path / "runs" / "torn.parquet").write_bytes(b"PAR1 torn")
    (store.path / "forecasts" / "torn.json").write_text('{"run_id": "x"')
    return write_report(store, folder / "report.html")


def test_report_holds_plotly_once_and_loads_nothing_from_elsewhere(full: Path):
    html = full.read_text()
    assert html.count(get_plotlyjs()) == 1
    rest = html.replace(get_plotlyjs(), "")
    assert not re.search(r"""(src|href|action|data)\s*=\s*["']?\s*(https?:)?//""", rest, re.IGNORECASE)
    assert not re.search(r"@import|url\(|fetch\(|import\(", rest)
    assert "default-src 'none'" in rest
    assert rest.count("showSendToCloud") == 1
    assert '"showSendToCloud": false' in rest


def test_report_says_what_was_run_the_law_the_forecast_and_the_next_budget(full: Path):
    html = full.read_text()
    for words in (
        "19 runs + 1 target",
        "17 done, 1 diverged, 1 failed, 1 running",
        " with E = ",
        "Sealed 50.0 s before the run started.",
        "At 10x the dearest fitted run",
        "At 100x the dearest fitted run",
        "loss not finite at step 7",
        "MemoryError in step 3",
        "abcdef0123456789",
        "condition number",
        "left out of the fit",
        "points hash",
    ):
        assert words in html, words
    assert len(re.findall(r"^draw\(|;draw\(|\ndraw\('figure-", html)) >= 10


def test_report_names_damaged_files(full: Path):
    html = full.read_text()
    assert "torn.parquet" in html
    assert "torn.json" in html
    assert "2 files could not be read" in html


def test_report_can_be_read_by_others(full: Path):
    assert stat.S_IMODE(full.stat().st_mode) & stat.S_IRUSR
    assert stat.S_IMODE(full.stat().st_mode) != 0o600
    assert not list(full.parent.glob(".report-*"))


@pytest.mark.parametrize("made", [True, False])
def test_report_on_an_empty_store_says_how_to_fill_it(tmp_path: Path, made: bool):
    if made:
        (tmp_path / "store" / "runs").mkdir(parents=True)
    html = written(Store(tmp_path / "store"), tmp_path / "report.html")
    assert "nothing yet" in html
    assert "python -m sweep" in html
    assert "[plotly.js]" not in html  # nothing to draw: 5 MB less


def test_report_on_one_run_draws_it_and_says_what_a_law_needs(tmp_path: Path):
    html = written(a_store(tmp_path / "store", [a_record()]), tmp_path / "report.html")
    assert "1 run<" in html
    assert "A law needs 8 finished runs" in html
    assert "no forecast" in html
    assert html.count("<figcaption>") == 2


def test_report_on_one_run_that_has_just_begun(tmp_path: Path):
    record = a_record(status="running", loss=None, bpb=None, loss_se=None, tokens_per_second=None, finished_at=None)
    store = Store(tmp_path / "store")
    store.write(record)
    html = written(store, tmp_path / "report.html")
    assert "1 running" in html
    assert "<figcaption>" not in html


def test_report_on_a_forecast_whose_run_failed(tmp_path: Path):
    Store(tmp_path / "store").seal(a_forecast())
    store = a_store(tmp_path / "store", [a_record(), a_target(status="failed", loss=None, bpb=None)])
    html = written(store, tmp_path / "report.html")
    assert "the run has no loss: failed" in html


def test_report_can_be_narrowed_to_some_runs_and_names_the_missing(tmp_path: Path):
    store = a_store(tmp_path / "store", [a_record("run-1"), a_record("run-2", d=6e6)])
    html = written(store, tmp_path / "report.html", ["run-2", "run-9"])
    assert ">run-2<" in html
    assert ">run-1<" not in html
    assert "not in the store: run-9" in html


def test_hostile_names_are_shown_as_text(tmp_path: Path):
    hostile = a_record(
        "run-1", sweep=HOSTILE, sentence=HOSTILE, corpus=HOSTILE, host=HOSTILE, git_commit=HOSTILE, status=HOSTILE
    )
    store = a_store(tmp_path / "store", [hostile, a_target(role=HOSTILE)])
    store.write(a_record("run-2", role=HOSTILE, tokenizer=HOSTILE))
    store.files.write("forecasts/x.json", forecast_text(a_forecast(law=HOSTILE, points_sha256=HOSTILE)).encode())
    html = written(store, tmp_path / "report.html")
    assert "alert(1)" in html
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "\x1b" not in html
    assert html.count("<script") == html.count("</script>") == 3


def test_a_path_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path):
    store = Store(tmp_path / "store")
    for path in (tmp_path, tmp_path / "nowhere" / "report.html", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match=r"^report [^\n]+$"):
            write_report(store, path)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason="no chromium on this machine")
@pytest.mark.parametrize("width", [1280, 400])
def test_report_opens_offline_in_a_browser(full: Path, width: int):
    sync = pytest.importorskip("playwright.sync_api")
    quiet = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=quiet)
        page = browser.new_page(viewport={"width": width, "height": 900})
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(full.as_uri())
        wanted = page.locator(".drawing").count()
        page.wait_for_selector(f"#figure-{wanted} .main-svg .trace", state="attached")
        rendered = page.evaluate(
            "[...document.querySelectorAll('.drawing')].map(d => d.querySelectorAll('.main-svg .trace').length)"
        )
        fits = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        inside = "d => d.querySelector('.main-svg').clientWidth <= d.clientWidth"
        wide = page.evaluate(f"[...document.querySelectorAll('.drawing')].every({inside})")
        browser.close()
    assert said == []
    assert all(url.startswith(("file://", "data:", "blob:")) for url in asked)
    assert wanted >= 10
    assert min(rendered) > 0
    assert fits
    assert wide
