"""docs/planning.md is what its benchmark prints; the page of a plan opens offline and draws what the plan says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from fitting.__main__ import app
from fitting.chips import chip_named
from fitting.planner.make import make_plan
from fitting.planner.own_runs import OwnRuns
from fitting.planner.plan import Plan
from fitting.planner.published import published
from fitting.planner.request import Request
from fitting.planner.token_cost import SixN
from results.figures.plan_causes import plan_causes
from results.figures.plan_cost import plan_cost
from results.figures.plan_frontier import plan_frontier
from results.figures.plan_iso_loss import plan_iso_loss
from results.plan_page import plan_page

CHROMIUM = Path("/usr/bin/chromium")


def made(**request) -> Plan:
    return make_plan(Request(**request), published("besiroglu"), chip_named("h100"), OwnRuns(), SixN())


def test_the_tables_are_the_benchmarks():
    spec = importlib.util.spec_from_file_location("plan_benchmark", ROOT / "benchmarks" / "plan.py")
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    text = (ROOT / "docs" / "planning.md").read_text()
    for title, table in benchmark.tables().items():
        assert f"### {title}\n\n{table}\n" in text, f"run python benchmarks/plan.py and put its table under {title!r}"


def test_the_frontier_passes_through_the_plan():
    plan = made(flops=1e23)
    drawn = plan_frontier(plan)
    curve = next(trace for trace in drawn.data if trace.name == "L*(C), extrapolated")
    row = min(range(len(curve.x)), key=lambda i: abs(curve.x[i] - 1e23))
    assert curve.x[row] == pytest.approx(1e23)
    assert curve.y[row] == pytest.approx(plan.loss.value, rel=1e-9)


def test_the_plan_lies_on_its_curve_of_equal_loss_where_the_budget_touches_it():
    plan = made(flops=1e23)
    law = published("besiroglu").surfaces["besiroglu"]
    for trace in plan_iso_loss(plan).data:
        if trace.name == "equal loss":
            losses = law.loss(trace.x, trace.y)
            assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-9)
    own = [iso for iso in plan.frontier.iso if iso.loss == pytest.approx(plan.loss.value)]
    assert len(own) == 1
    assert (6 * own[0].n_params * own[0].d_tokens).min() == pytest.approx(1e23, rel=1e-3)


def test_the_cost_curve_is_the_bill():
    plan = made(flops=1e23, mfu=0.4, price=2.0)
    curve = next(trace for trace in plan_cost(plan).data if trace.name.startswith("compute-optimal"))
    assert plan.bill.dollars is not None
    row = min(range(len(curve.x)), key=lambda i: abs(curve.x[i] - plan.bill.dollars.value))
    assert curve.x[row] == pytest.approx(plan.bill.dollars.value, rel=1e-9)
    assert plan.bill.dollars.value == pytest.approx(2.0 * 1e23 / (0.4 * 989e12 * 3600))


def test_shares_of_the_uncertainty_are_shares():
    plan = made(loss=2.0)
    for causes in (plan.causes, plan.bill.causes):
        assert sum(causes.values()) == pytest.approx(1.0, abs=1e-5)
    bars = [value for trace in plan_causes(plan).data for value in trace.x]
    assert 0 < min(bars) <= max(bars) <= 1


def test_caveats_come_first_on_the_page():
    html = plan_page(made(flops=1e28))
    assert "EXTRAPOLATION OF" in html
    assert html.index("Read this first") < html.index("The bill")


def test_out_writes_the_page(tmp_path):
    out = tmp_path / "plan.html"
    arguments = ["plan", "--law-constants", "besiroglu", "--flops", "1e22", "--out", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    html = out.read_text()
    assert html.startswith("<!doctype html>")
    assert html.count('class="drawing"') == 4


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason="no chromium on this machine")
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_opens_offline_in_a_browser(tmp_path, width):
    sync = pytest.importorskip("playwright.sync_api")
    path = tmp_path / "plan.html"
    path.write_text(plan_page(made(flops=1e23, serve_tokens=1e12, unique_tokens=1e12)))
    with sync.sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=quiet)
        page = browser.new_page(viewport={"width": width, "height": 900})
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("#figure-4 .main-svg .trace", state="attached")
        fits = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.close()
    assert said == []
    assert all(url.startswith(("file://", "data:", "blob:")) for url in asked)
    assert fits
