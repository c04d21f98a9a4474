"""The fitter on its own points: recovery, refusals in one line, intervals that contain the truth."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitting.allocate import allocate, optimum, within_reach
from fitting.errors import InputError
from fitting.fit import FitStatus, fit_law
from fitting.points import Points
from fitting.predict import predict
from fitting.proof import judge
from fitting.read import read_points
from fitting.show import si
from fitting.solve import solve

TRUE = {"E": 1.7, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.37}


def law_points(n, d, noise=0.0, seed=0) -> Points:
    n, d = np.asarray(n, float), np.asarray(d, float)
    loss = TRUE["E"] + TRUE["A"] * n ** -TRUE["alpha"] + TRUE["B"] * d ** -TRUE["beta"]
    loss = loss * np.exp(noise * np.random.default_rng(seed).normal(size=len(n)))
    return Points(n, d, loss, 6 * n * d, tuple(map(str, range(len(n)))), "made", "n", "6ND")


def grid_points(noise=0.0, seed=0) -> Points:
    n, d = np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 6))
    return law_points(n.ravel(), d.ravel(), noise, seed)


def run_cli(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "fitting", *arguments], capture_output=True, text=True, timeout=120)


def write_csv(path: Path, header: list[str], rows: list[list]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def test_fit_recovers_the_law_that_made_the_points():
    fit = fit_law(grid_points(), resamples=100)
    assert fit.status is FitStatus.CONVERGED
    for name, value in TRUE.items():
        assert fit.constants[name] == pytest.approx(value, rel=1e-6)


def test_interval_contains_what_the_law_says_beyond_the_points():
    fit = fit_law(grid_points(noise=0.003), resamples=1000)
    truth = law_points([1e10], [1e12]).loss[0]
    predicted = predict(fit, np.asarray([1e10]), np.asarray([1e12]))
    assert predicted.low[0] < truth < predicted.high[0]
    assert predicted.high[0] / predicted.low[0] > 1.02  # two decades out, discrepancy alone is 2% either side
    near = predict(fit, np.asarray([1e9]), np.asarray([1e11]))
    assert near.high[0] / near.low[0] < predicted.high[0] / predicted.low[0]


def test_one_ray_of_tokens_per_parameter_is_not_identified():
    """Eight runs, all at D = 20 N, equal exponents: any split between A and B fits as well."""
    n = np.geomspace(1e6, 1e9, 8)
    loss = 1.7 + 300 * n**-0.35
    points = Points(n, 20 * n, loss, 120 * n**2, tuple("abcdefgh"), "ray", "n", "6ND")
    fit = fit_law(points, resamples=100)
    assert fit.status is FitStatus.NOT_IDENTIFIED
    assert "vary N and D independently" in fit.sentence


@pytest.mark.parametrize(("share", "words"), [(0.0, "none of 108 starts reached"), (0.01, "only 1 of 108 starts")])
def test_an_optimum_that_hardly_a_start_reaches_is_not_called_converged(share, words):
    fit = fit_law(grid_points(noise=0.003), resamples=100)
    assert fit.status is FitStatus.CONVERGED
    x = fit.inputs(fit.points.columns())
    best = solve(fit.law, x, np.log(fit.points.loss), fit.theta[None])
    proof = dataclasses.replace(fit.proof, best_basin_share=share)
    status, sentence = judge(fit.points, fit.law, x, np.log(fit.points.loss), best, proof)
    assert status is FitStatus.POORLY_CONDITIONED
    assert sentence.startswith(words)


def test_clusters_are_resampled_together():
    points = grid_points(noise=0.003)
    clustered = Points(
        points.n_params,
        points.d_tokens,
        points.loss,
        points.flops,
        tuple(str(i % 6) for i in range(36)),
        "c",
        "n",
        "6ND",
    )
    assert fit_law(clustered, resamples=100).resampled == "6 clusters"


def test_published_optimum_at_the_gopher_budget():
    """N*, D* of 5.76e23 FLOPs for four published constant sets (their papers and code)."""
    sets = {
        (1.69337368, 406.401018, 410.722827, 0.33917084, 0.2849083): (4.036e10, 2.379e12),
        (1.69, 406.4, 410.7, 0.34, 0.28): (3.219e10, 2.982e12),
        (1.8172, 482.01, 2085.43, 0.3478, 0.3658): (7.225e10, 1.329e12),
    }
    for (e, a, b, alpha, beta), expected in sets.items():
        constants = {"E": e, "A": a, "B": b, "alpha": alpha, "beta": beta}
        assert optimum(constants, 5.76e23) == pytest.approx(expected, rel=1e-3)


@settings(deadline=None, max_examples=50)
@given(st.floats(0.1, 1.0), st.floats(0.1, 1.0), st.floats(1.0, 1e4), st.floats(1.0, 1e4), st.floats(1e15, 1e27))
def test_closed_form_optimum_is_the_minimum_along_the_isoflop(alpha, beta, a, b, flops):
    constants = {"E": 1.0, "A": a, "B": b, "alpha": alpha, "beta": beta}
    n, d = optimum(constants, flops)
    assert 6 * n * d == pytest.approx(flops, rel=1e-9)

    def loss(size):
        return a * size**-alpha + b * (flops / 6 / size) ** -beta

    assert loss(n) <= loss(n * 1.01)
    assert loss(n) <= loss(n / 1.01)


def test_allocation_intervals_contain_the_closed_form_truth():
    fit = fit_law(grid_points(noise=0.002), resamples=500)
    plan = allocate(fit, np.asarray([1e24]))
    assert plan is not None
    n, d = optimum(TRUE, 1e24)
    assert plan.n_params.low[0] < n < plan.n_params.high[0]
    assert plan.d_tokens.low[0] < d < plan.d_tokens.high[0]


# -- files and the command line; damaged ones are in test_damaged.py


GOOD = [[n, d, 2 + n**-0.3 + 5 * d**-0.3] for n in (1e6, 1e7, 1e8) for d in (1e8, 1e9, 1e10)]
HEADER = ["n_params", "d_tokens", "loss"]


def test_where_takes_comparisons_and_nothing_else(tmp_path):
    path = write_csv(tmp_path / "points.csv", HEADER, GOOD)
    assert len(read_points([path], where="n_params < 5e7 and not d_tokens == 1e8")) == 4
    for expression in ("__import__('os').system('true')", "n_params.size", "size > 3", "n_params <"):
        with pytest.raises(InputError, match="--where"):
            read_points([path], where=expression)


def test_runs_that_are_not_done_are_left_out_and_said(tmp_path):
    rows = [[*row, "done"] for row in GOOD] + [[1e6, 1e8, 9.0, "diverged"]]
    points = read_points([write_csv(tmp_path / "p.csv", [*HEADER, "status"], rows)])
    assert len(points) == len(GOOD)
    assert points.excluded == ("1 run with status diverged",)


@pytest.mark.parametrize(
    "arguments",
    [["--points", "/no/such.csv"], ["--points", "pyproject.toml"], ["--law", "magic"], ["--flops", "-1"]],
)
def test_the_command_line_prints_one_line_and_exits_with_2(tmp_path, arguments):
    path = write_csv(tmp_path / "points.csv", HEADER, GOOD)
    done = run_cli("fit", *(arguments if "--points" in arguments else ["--points", path, *arguments]))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: ")


def test_predict_writes_one_row_a_target(tmp_path):
    train = write_csv(tmp_path / "train.csv", ["N", "D", "L"], GOOD)
    targets = write_csv(tmp_path / "targets.csv", ["N", "D"], [[1e9, 1e10], [1e9, 1e11], [1e7, 1e9]])
    out = tmp_path / "pred.csv"
    flags = ["--n-column", "N", "--d-column", "D", "--loss-column", "L", "--law", "chinchilla"]
    done = run_cli("predict", "--points", train, "--targets", targets, "--out", str(out), *flags)
    assert done.returncode == 0, done.stderr
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["n_params"]) for row in rows] == [1e9, 1e9, 1e7]
    for row in rows:
        assert float(row["loss_lo90"]) <= float(row["loss"]) <= float(row["loss_hi90"])
        truth = 2 + float(row["n_params"]) ** -0.3 + 5 * float(row["d_tokens"]) ** -0.3
        assert float(row["loss"]) == pytest.approx(truth, rel=1e-4)


def test_fit_json_is_the_whole_record(tmp_path):
    path = write_csv(tmp_path / "points.csv", HEADER, GOOD)
    out = tmp_path / "fit.json"
    done = run_cli("fit", "--points", path, "--json", "--out", str(out), "--resamples", "200")
    record = json.loads(done.stdout)
    written = json.loads(out.read_text())
    planner = written.pop("planner")  # the draws, which `plan --fit` reads and nobody wants to see printed
    assert written == record
    assert len(planner["single"]["draws"]["alpha"]) >= 200
    assert record["status"] == "converged"
    assert set(record["constants"]) == {"E", "A", "B", "alpha", "beta"}
    assert record["points"]["sha256"] == read_points([path]).digest
    assert record["definitions"]["C"] == "6ND"


@pytest.mark.parametrize(
    ("value", "text"), [(999_936, "1M"), (1234, "1.23k"), (2.5e13, "25T"), (5, "5"), (3e16, "3e+16")]
)
def test_counts_are_written_with_suffixes(value, text):
    assert si(value) == text


def test_an_optimum_that_runs_off_stops_at_one_parameter_and_one_token():
    """alpha/beta of 1/3000 or 3000 with A = B: G = (alpha/beta)^(1/(alpha+beta)) is 10^-1000 or 10^1000."""
    with np.errstate(over="ignore", under="ignore"):
        starved = optimum({"A": 1.0, "B": 1.0, "alpha": 1e-6, "beta": 3e-3}, 6e12)[0]
        flooded = optimum({"A": 1.0, "B": 1.0, "alpha": 3e-3, "beta": 1e-6}, 6e12)[0]
    budget = np.asarray(6e12)
    assert within_reach(starved, budget) == pytest.approx((1.0, 1e12))
    assert within_reach(flooded, budget) == pytest.approx((1e12, 1.0))
    assert within_reach(np.asarray(1e6), budget) == pytest.approx((1e6, 1e6))
