"""The average of laws, the backtest that judges it, and the lint that refuses designs nothing can be learned from."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from test_fitting import GOOD, HEADER, grid_points, law_points, run_cli, write_csv

from fitting.backtest import Bands, replay, score, split
from fitting.ensemble import forecast
from fitting.errors import InputError
from fitting.fit import fit_law
from fitting.laws import law_named
from fitting.lint import Severity, condition, lint_design
from fitting.points import Points
from fitting.posterior import above_best, posterior_mode


def test_average_finds_the_law_that_made_the_points():
    """The points follow Chinchilla's law, so at 10x it must be hit and the measured error rate must be small."""
    points = grid_points(noise=0.002)
    truth = law_points([3e9], [3e11]).loss[0]
    average = forecast(points, np.asarray([3e9]), np.asarray([3e11]))
    assert average.loss[0] == pytest.approx(truth, rel=0.01)
    low, high = average.band(0.9)
    assert low[0] < truth < high[0]
    assert all(member.tested and member.rate < 0.02 for member in average.members)
    assert sum(member.weight for member in average.members) == pytest.approx(1)


def test_bands_nest_and_grow_with_distance():
    points = grid_points(noise=0.003)
    average = forecast(points, np.asarray([1e9, 1e10, 1e11]), np.asarray([1e11, 1e12, 1e13]))
    (low50, high50), (low90, high90) = average.band(0.5), average.band(0.9)
    assert (low90 < low50).all()
    assert (low50 < average.loss).all()
    assert (average.loss < high50).all()
    assert (high50 < high90).all()
    assert (np.diff(high90 / low90) > 0).all()


def test_an_inconsistent_sweep_gets_a_wide_band():
    """Losses that drift away from any law above a cut: the forward chain sees it and says so."""
    clean, bent = grid_points(noise=0.002), grid_points(noise=0.002)
    drift = 1 + 0.03 * np.maximum(np.log10(bent.flops / np.median(bent.flops)), 0.0) ** 2
    bent = Points(bent.n_params, bent.d_tokens, bent.loss * drift, bent.flops, bent.cluster, "bent", "n", "6ND")
    target = np.asarray([1e10]), np.asarray([1e12])
    assert forecast(bent, *target).scale[0] > 1.5 * forecast(clean, *target).scale[0]


def test_hopeless_runs_do_not_move_the_forecast():
    """Models 30 to 100 times too large for their few tokens, 15-40% above the law: no power law holds for them."""
    clean = grid_points(noise=0.002)
    n, d = np.repeat([1e9, 3e9, 1e10], 3), np.tile([3e8, 6e8, 1.2e9], 3)
    starved = law_points(n, d)
    loss = np.concatenate([clean.loss, starved.loss * np.linspace(1.4, 1.15, 9)])
    n, d = np.concatenate([clean.n_params, n]), np.concatenate([clean.d_tokens, d])
    both = Points(n, d, loss, 6 * n * d, tuple(map(str, range(len(n)))), "starved", "n", "6ND")
    target = np.asarray([3e9]), np.asarray([3e11])
    assert forecast(both, *target).loss[0] == pytest.approx(forecast(clean, *target).loss[0], rel=0.005)


def test_losses_without_a_floor_are_followed():
    """Kaplan et al. 2020, eq. 1.5 with their constants: Chinchilla's floor alone would be 4% too high at 100x."""
    n, d = (part.ravel() for part in np.meshgrid(np.geomspace(1e6, 3e8, 6), np.geomspace(1e8, 1e10, 6)))

    def kaplan(n, d):
        return ((6.4e13 / n) ** (0.076 / 0.103) + 1.8e13 / d) ** 0.103

    loss = kaplan(n, d) * np.exp(0.002 * np.random.RandomState(0).standard_normal(len(n)))
    points = Points(n, d, loss, 6 * n * d, tuple(map(str, range(len(n)))), "made", "n", "6ND")
    average = forecast(points, np.asarray([3e9]), np.asarray([1e11]))
    assert average.loss[0] == pytest.approx(kaplan(3e9, 1e11), rel=0.01)
    assert max(average.members, key=lambda member: member.weight).law == "kaplan"


def test_height_above_the_best_of_no_more_compute():
    """By hand: the second and third cost the same within 2%, the fourth is the best, the fifth is 0.5 above it."""
    flops, log_loss = np.asarray([1.0, 2.0, 2.01, 4.0, 8.0]), np.asarray([1.5, 1.0, 1.3, 0.5, 1.0])
    order = np.asarray([3, 0, 4, 2, 1])
    np.testing.assert_allclose(above_best(flops, log_loss), [0.0, 0.0, 0.3, 0.0, 0.5])
    np.testing.assert_allclose(above_best(flops[order], log_loss[order]), np.asarray([0, 0, 0.3, 0, 0.5])[order])


def test_posterior_mode_without_noise_and_priors_is_the_law(monkeypatch):
    monkeypatch.setattr("fitting.posterior.PRIORS", {})
    points = grid_points()
    law = law_named("chinchilla")
    features = law.features(points.columns())
    keep = np.ones(len(points), dtype=bool)
    mode = posterior_mode(law, features, np.log(points.loss), points.flops, points.flops.max(), keep)
    predicted, variance = mode.predict(features)
    np.testing.assert_allclose(predicted, np.log(points.loss), atol=1e-4)
    assert (variance > 0).all()


def test_split_shows_no_target_to_the_training_side():
    points = grid_points()
    training, targets = split(points, 10.0)
    assert training.flops.max() <= np.median(targets.flops) / 10 * (1 + 1e-6)
    assert targets.flops.min() >= points.flops.max() / 1.5
    assert split(points, 1e6) is None


def test_scores_count_what_lies_inside():
    """Two forecasters with known answers: the truth itself, and one that is 10% off with narrow bands."""
    points = grid_points()

    def perfect(training, targets):
        return Bands(targets.loss, *(targets.loss * f for f in (0.99, 1.01, 0.98, 1.02)))

    def wrong(training, targets):
        loss = 1.1 * targets.loss
        return Bands(loss, *(loss * f for f in (0.99, 1.01, 0.98, 1.02)))

    cells = replay({"made": points}, {"perfect": perfect, "wrong": wrong}, spans=(3.0, 10.0))
    good, bad = score(cells, "perfect"), score(cells, "wrong")
    assert (good.cells, good.median_error, good.coverage90) == (2, 0.0, 1.0)
    assert good.half_width90 == pytest.approx(0.02)
    assert good.interval_score90 == pytest.approx(0.04)
    assert bad.median_error == pytest.approx(0.1)
    assert bad.coverage90 == 0.0
    # Width 0.044 plus 2/0.1 times the distance 1.1 * 0.98 - 1 (Gneiting and Raftery 2007, eq. 43).
    assert bad.interval_score90 == pytest.approx(0.044 + 20 * 0.078)


def test_eight_runs_on_one_ray_are_refused_with_the_runs_to_add(tmp_path):
    n = np.geomspace(1e6, 1e9, 8)
    findings = lint_design(n, 20 * n)
    assert findings[0].severity is Severity.REFUSED
    assert findings[0].name == "one D/N ray"
    assert "D = 20 N" in findings[0].sentence
    assert "add N =" in findings[0].remedy
    rows = [[x, 20 * x, 1.7 + 300 * x**-0.35] for x in n]
    path = write_csv(tmp_path / "ray.csv", HEADER, rows)
    refused = run_cli("fit", "--points", path)
    assert refused.returncode == 2
    assert "one D/N ray" in refused.stderr
    forced = run_cli("fit", "--points", path, "--force", "--json", "--resamples", "100")
    assert json.loads(forced.stdout)["status"] == "not identified"
    assert run_cli("lint", "--points", path).returncode == 1


@pytest.mark.parametrize("ratio", [1.0, 10.0, 40.0, 300.0])
@pytest.mark.parametrize("power", [0.8, 1.0, 1.2])
def test_every_planted_curve_is_refused(ratio, power):
    """All runs on D = ratio N^power: no law can be identified, whatever the ray."""
    n = np.geomspace(1e6, 3e9, 12)
    assert any(finding.severity is Severity.REFUSED for finding in lint_design(n, ratio * 1e6 * (n / 1e6) ** power))


def test_good_designs_pass_without_a_finding():
    """Grid, IsoFLOP and a two-ratio ladder: nothing to say."""
    points = grid_points()
    assert lint_design(points.n_params, points.d_tokens) == []
    n, c = (part.ravel() for part in np.meshgrid(np.geomspace(0.3, 3, 5), np.geomspace(1e18, 1e21, 4)))
    size = n * np.sqrt(c / 120)
    assert lint_design(size, c / 6 / size) == []
    ladder = np.tile(np.geomspace(1e7, 1e10, 6), 2)
    assert lint_design(ladder, ladder * np.repeat([10.0, 40.0], 6)) == []
    assert condition(ladder, ladder * np.repeat([10.0, 40.0], 6)) < 1e4


def test_two_budgets_and_repeats_are_said():
    n = np.tile([1e7, 3e7, 1e8], 2)
    names = {finding.name for finding in lint_design(n, np.repeat([1e9, 2e9], 3))}
    assert {"few values of D", "short lever"} <= names
    names = {finding.name for finding in lint_design(np.tile(n, 2), np.tile(np.repeat([1e9, 1e10], 3), 2))}
    assert "repeated cells" in names


def test_predict_writes_the_average_by_default(tmp_path):
    train = write_csv(tmp_path / "train.csv", HEADER, GOOD)
    targets = write_csv(tmp_path / "targets.csv", ["n_params", "d_tokens"], [[1e9, 1e11], [1e7, 1e9]])
    out = tmp_path / "pred.csv"
    done = run_cli("predict", "--points", train, "--targets", targets, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "average of chinchilla" in done.stdout
    with out.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        low, middle, high = (float(row[name]) for name in ("loss_lo90", "loss", "loss_hi90"))
        assert low < float(row["loss_lo50"]) < middle < float(row["loss_hi50"]) < high


def test_backtest_without_a_cell_is_one_line(tmp_path):
    path = write_csv(tmp_path / "small.csv", HEADER, GOOD)
    done = run_cli("backtest", path)
    assert done.returncode == 2
    assert "no cell to replay" in done.stderr.splitlines()[-1]


def test_too_few_points_for_any_law_are_refused():
    points = law_points([1e7, 2e7, 4e7], [1e9, 2e9, 4e9])
    with pytest.raises(InputError, match="3 distinct points"):
        forecast(points, np.asarray([1e9]), np.asarray([1e11]))


def test_published_runs_are_not_refused(reference):
    from fitting.lint import refuse_unidentifiable
    from fitting.read import read_points

    points = read_points([str(reference / "chinchilla.csv")])
    refuse_unidentifiable(points)
    assert fit_law(points, resamples=100).status.value == "converged"


def test_isoflop_prints_every_budget_and_refuses_what_is_none(tmp_path):
    n, c = (part.ravel() for part in np.meshgrid(np.geomspace(0.2, 5, 7), np.geomspace(1e19, 1e21, 3)))
    size = n * np.sqrt(c / 120)
    points = law_points(size, c / 6 / size)
    rows = np.stack([points.n_params, points.d_tokens, points.loss], axis=1).tolist()
    path = write_csv(tmp_path / "slices.csv", HEADER, rows)
    done = run_cli("isoflop", "--points", path, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert len(record["slices"]) == 3
    # a = beta / (alpha + beta) of the law that made the points (Hoffmann et al. 2022, eq. 4).
    assert record["exponents"]["n_params"]["value"] == pytest.approx(0.37 / 0.71, abs=0.02)
    assert "bias" in run_cli("isoflop", "--points", path, "--method", "parabola").stdout
    refused = run_cli("isoflop", "--points", path, "--method", "spline")
    assert refused.returncode == 2
    assert "allowed are parabola, akima" in refused.stderr


def test_the_multipliers_are_those_of_the_document():
    """docs/forecasts.md is made by benchmarks/backtest.py; its last line is where QUANTILES come from."""
    from conftest import ROOT

    from fitting.ensemble import QUANTILES

    last = (ROOT / "docs" / "forecasts.md").read_text().strip().splitlines()[-1]
    assert last.endswith(f"50% {QUANTILES[0.5]:.3f}, 90% {QUANTILES[0.9]:.3f}.")


@pytest.mark.parametrize("law", ["tied", "kaplan", "gamma", "farseer"])
def test_every_kind_of_law_can_be_printed(law):
    import io

    from rich.console import Console

    from fitting.show import fit_tables

    text = io.StringIO()
    fit_tables(fit_law(grid_points(noise=0.002), law, resamples=100), None, Console(file=text, width=120))
    assert "status" in text.getvalue()
    assert ("Compute-optimal runs" in text.getvalue()) == (law != "farseer")  # which has no closed form
