"""What a lint says of finished runs: which of them decide, proven by full refits, and each flaw in one sentence."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from planned import app, runner
from test_fitting import HEADER, grid_points, write_csv

from fitting import influence
from fitting.errors import InputError
from fitting.fit import Fit, fit_law
from fitting.influence import influences
from fitting.planner.surface import Surface
from fitting.points import Points
from fitting.read import read_points

TARGET = 1e23


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit_law(grid_points(noise=0.004), resamples=200)


def told_by(points: Points) -> dict[str, float]:
    """L*(TARGET) and a of a fit of these points alone, from the start."""
    constants = fit_law(points, resamples=2).constants
    least = Surface.of(constants).least_loss(TARGET)
    exponent = constants["beta"] / (constants["alpha"] + constants["beta"])
    return {"L*(1e+23 FLOPs)": float(least), "a of N* ~ C^a": exponent}


def test_without_some_runs_the_law_is_the_full_fit_of_the_others(fitted, monkeypatch):
    monkeypatch.setattr("fitting.fit.RESTARTS", 32)
    found = influences(fitted, TARGET)
    assert [(one.quantity, one.runs) for one in found] == [(name, k) for name in told_by(fitted.points) for k in (1, 2)]
    for one in found:
        assert len(one.rows) == one.runs
        others = np.setdiff1d(np.arange(36), one.rows)
        assert one.without == pytest.approx(told_by(fitted.points.take(others))[one.quantity], rel=1e-7)
        assert one.low < one.value < one.high


def test_no_other_run_moves_the_law_more(fitted, monkeypatch):
    """Every run left out in turn, each by a fit of its own."""
    monkeypatch.setattr("fitting.fit.RESTARTS", 32)
    alone = [told_by(fitted.points.take(np.arange(36) != row)) for row in range(36)]
    for one in influences(fitted, TARGET):
        if one.runs == 1:
            moved = [abs(told[one.quantity] - one.value) for told in alone]
            assert one.rows == (int(np.argmax(moved)),)


def test_the_five_runs_that_besiroglu_et_al_leave_out_move_the_exponent_no_more_than_those_found(reference):
    """Of 245 (arXiv:2404.10102): with theirs a is 0.5646, without 0.5139; four of ours are theirs."""
    points = read_points([str(reference / "chinchilla.csv")])
    with (reference / "chinchilla.csv").open() as file:
        theirs = [row for row, line in enumerate(csv.DictReader(file)) if line["excluded_by_epoch"] == "1"]
    (one,) = [one for one in influences(fit_law(points, resamples=100), TARGET) if one.runs == 5 and one.value < 1]
    assert len({*one.rows} & {*theirs}) == 4
    assert one.value == pytest.approx(0.5646, abs=1e-4)
    assert 0.5125 < one.without <= 0.513900
    assert one.decides


def test_many_runs_are_ranked_by_one_newton_step(fitted, monkeypatch):
    exact = influences(fitted, TARGET)
    monkeypatch.setattr(influence, "MOST", 0)
    quick = influences(fitted, TARGET)
    assert [one.rows for one in quick if one.runs == 1] == [one.rows for one in exact if one.runs == 1]
    assert [one.without for one in quick if one.runs == 1] == [one.without for one in exact if one.runs == 1]


def test_clusters_are_left_out_whole_and_few_runs_have_no_influence(fitted):
    points = dataclasses.replace(fitted.points, cluster=tuple(f"shape {row // 3}" for row in range(36)))
    one = influences(fit_law(points, resamples=100), TARGET)[0]
    assert len(one.rows) == 3
    assert len({points.cluster[row] for row in one.rows}) == 1
    few = dataclasses.replace(points, cluster=tuple(str(row // 9) for row in range(36)))
    assert influences(fit_law(few, resamples=100), TARGET) == ()


def lint(path: str | Path, *flags: str) -> dict[str, dict]:
    """Findings by name; of two influences the last."""
    done = runner.invoke(app, ["lint", "--points", str(path), "--json", *flags])
    assert done.exit_code in (0, 1), done.output
    return {finding["name"]: finding for finding in json.loads(done.stdout)}


def table(points: Points, **columns) -> tuple[list[str], list[list]]:
    names = (*HEADER, *columns)
    return list(names), [
        list(row) for row in zip(points.n_params, points.d_tokens, points.loss, *columns.values(), strict=True)
    ]


def test_the_command_names_the_runs_that_decide(tmp_path):
    path = write_csv(tmp_path / "p.csv", *table(grid_points(noise=0.002)))
    found = lint(path, "--flops", "1e23")
    assert {finding["severity"] for finding in found.values()} <= {"note", "warning"}
    one = influences(fit_law(read_points([path]), resamples=400), TARGET)[2]
    sentence = found["influence of 1 run"]["sentence"]
    assert f"moves a of N* ~ C^a from {one.value:.4g} to {one.without:.4g}" in sentence
    assert f"loss {read_points([path]).loss[one.rows[0]]:.4g}" in sentence
    done = runner.invoke(app, ["lint", "--points", path])
    assert done.exit_code == 0
    assert "note: influence of 1 run: leaving out 1 run moves" in done.stdout


def test_copies_are_counted_and_seeds_are_none(tmp_path):
    header, rows = table(grid_points(noise=0.002))
    found = lint(write_csv(tmp_path / "p.csv", header, [*rows, *rows[:3]]))
    assert found["copies"]["sentence"].startswith("3 of 39 rows have the N, D and loss of another")
    again = [[*row, 0] for row in rows] + [[*row, 1] for row in rows[:3]]
    assert "copies" not in lint(write_csv(tmp_path / "s.csv", [*header, "seed"], again))


def test_checkpoints_taken_as_final_losses_are_said_however_the_file_tells(tmp_path):
    points = grid_points(noise=0.002)
    whole = points.d_tokens == points.d_tokens.max()
    ways = (
        {"portion_steps": np.where(whole, 1.0, 0.5)},
        {"current_steps": np.where(whole, 100, 50), "total_steps": np.full(36, 100)},
        {"run_id": [f"run of {n:g}" for n in points.n_params]},
    )
    for columns in ways:
        finding = lint(write_csv(tmp_path / "p.csv", *table(points, **columns)))["checkpoints"]
        assert finding["sentence"].startswith("30 of 36 rows are from within a run")
        assert "multipower" in finding["remedy"]
    apart = {"run_id": [f"run {row}" for row in range(36)], "portion_steps": np.ones(36)}
    assert "checkpoints" not in lint(write_csv(tmp_path / "p.csv", *table(points, **apart)))


def rated(tmp_path: Path, best: float, **columns) -> dict[str, dict]:
    """Three rates at every (N, D), `best` the lowest by 1%."""
    points = grid_points(noise=0.002).take(np.repeat(np.arange(36), 3))
    rates = np.tile([1e-3, 2e-3, 4e-3], 36)
    loss = points.loss * (1 + 0.01 * np.abs(np.log2(rates / best)))
    path = write_csv(tmp_path / "p.csv", *table(dataclasses.replace(points, loss=loss), learning_rate=rates, **columns))
    return lint(path)


def test_a_best_rate_at_the_edge_of_its_sweep_is_said_with_the_rates_to_add(tmp_path):
    found = rated(tmp_path, best=4e-3)
    assert "at 36 of 36 (N, D)" in found["rate at the edge"]["sentence"]
    assert "0.004, the largest" in found["rate at the edge"]["sentence"]
    assert "learning_rate = 0.008" in found["rate at the edge"]["remedy"]
    assert found["rates not reduced"]["sentence"].startswith("72 of 108 rows are beaten")
    assert "learning_rate = 0.0005" in rated(tmp_path, best=1e-3)["rate at the edge"]["remedy"]
    assert "rate at the edge" not in rated(tmp_path, best=2e-3)


def test_runs_that_check_the_rate_show_its_edge_and_are_no_rows_of_the_law(tmp_path):
    roles = np.where(np.arange(108) % 3 == 1, "fit", "check")
    found = rated(tmp_path, best=4e-3, role=roles)
    assert "at 36 of 36 (N, D)" in found["rate at the edge"]["sentence"]
    assert "rates not reduced" not in found
    assert "repeated cells" not in found


def test_planned_and_unfinished_runs_are_judged_by_their_design_alone(tmp_path):
    points = grid_points()
    header, rows = table(points)
    planned = write_csv(tmp_path / "p.csv", header[:2], [row[:2] for row in rows])
    assert lint(planned) == {}
    status = np.where(np.arange(36) < 30, "running", "done")
    rows = [[*row[:2], row[2] if state == "done" else "", state] for row, state in zip(rows, status, strict=True)]
    started = lint(write_csv(tmp_path / "s.csv", [*header, "status"], rows))
    assert set(started) == {"no law"}  # the six that are done have one D
    refused = runner.invoke(app, ["lint", "--points", planned, "--flops", "-1"])
    assert isinstance(refused.exception, InputError)
    assert "Give it as 1e22" in str(refused.exception)
