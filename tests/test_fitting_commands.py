"""python -m fitting profile, drift and compare: files in, tables or JSON out; bad input is one line and exit code 2."""

from __future__ import annotations

import json

import numpy as np
import pytest
from planned import app, runner
from test_fitting import HEADER, TRUE, grid_points, run_cli, write_csv

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two sweeps of one law, each with noise of its own."""
    folder, paths = tmp_path_factory.mktemp("sweeps"), []
    for seed in SEEDS:
        points = grid_points(noise=0.003, seed=seed)
        rows = [list(row) for row in zip(points.n_params, points.d_tokens, points.loss, strict=True)]
        paths.append(write_csv(folder / f"{seed}.csv", HEADER, rows))
    return paths


def answer(*arguments: str):
    done = runner.invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_profile_prints_intervals_and_json_has_the_curve(files):
    record = answer("profile", "--points", files[0], "--constant", "alpha", "--constant", "E", "--level", "0.99")
    assert [one["name"] for one in record["profiles"]] == ["alpha", "E"]
    alpha = record["profiles"][0]
    assert alpha["low"] < TRUE["alpha"] < alpha["high"]
    assert len(alpha["values"]) == len(alpha["ratio"]) > 20
    assert record["fit"]["law"] == "chinchilla"
    shown = runner.invoke(app, ["profile", "--points", files[0], "--level", "0.5"])
    assert shown.exit_code == 0
    assert "Profile likelihood, 50%" in shown.stdout
    assert "alpha" in shown.stdout


def test_drift_lists_cuts_up_to_every_run(files):
    record = answer("drift", "--points", files[0])
    assert record["kept"][-1] == 36
    assert record["held_out_median"][-1] is None
    assert record["constants"]["E"]["value"][-1] == pytest.approx(record["fit"]["constants"]["E"]["value"], rel=1e-6)
    cuts = answer("drift", "--points", files[0], "--cut", "1e19", "--cut", "1e20")
    assert len(cuts["flops"]) == 2
    assert cuts["flops"][0] <= 1e19 < 1e20
    shown = runner.invoke(app, ["drift", "--points", files[0], "--cut", "1e20"])
    assert "missed above" in shown.stdout


def test_compare_of_two_replicates_shows_no_difference_and_their_pairs(files):
    record = answer("compare", *files, "--flops", "1e19", "--level", "0.99")
    assert record["low"][0] < 1 < record["high"][0]
    assert len(record["paired"]["difference"]) == 36
    assert record["a"]["points"]["source"] == files[0]
    shown = runner.invoke(app, ["compare", *files])
    assert shown.exit_code == 0
    assert "extrapolated" in shown.stdout
    assert "36 pairs of runs" in " ".join(shown.stdout.split())


def test_a_wide_delta_is_least_squares(files):
    """The objective of a wide Huber is half the sum of squares of the residuals of ln L."""
    record = answer("fit", "--points", files[0], "--objective", "huber:10", "--resamples", "100")
    points = grid_points(noise=0.003)
    c = {name: one["value"] for name, one in record["constants"].items()}
    law = c["E"] + c["A"] * points.n_params ** -c["alpha"] + c["B"] * points.d_tokens ** -c["beta"]
    squares = float(np.sum(np.log(law / points.loss) ** 2))
    assert record["objective"]["value"] == pytest.approx(squares / 2)
    assert (record["objective"]["name"], record["objective"]["delta"]) == ("huber:10", 10.0)
    least = answer("fit", "--points", files[0], "--objective", "mse", "--resamples", "100")
    assert least["objective"]["value"] == pytest.approx(squares / 2)
    assert least["objective"]["delta"] is None
    assert least["constants"]["E"]["value"] == pytest.approx(c["E"], rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["profile", "--constant", "A"], "choose among a, alpha, b, beta, E"),
        (["profile", "--law", "none"], "law 'none' is not known"),
        (["profile", "--level", "90"], "Give 0.9"),
        (["drift", "--cut", "1"], "no point is kept"),
        (["drift", "--where", "n_params < 2e7"], "needs runs that differ in n_params"),
        (["fit", "--objective", "huber:0"], "allowed is 1e-07 or more"),
        (["fit", "--objective", "mae"], "give huber"),
        (["fit", "--law", "auto", "--objective", "mse"], "the average has its own"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(files, arguments, said):
    done = run_cli(arguments[0], "--points", files[0], *arguments[1:])
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_compare_refuses_a_file_that_is_not_there(files):
    done = run_cli("compare", files[0], "nowhere.csv")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
