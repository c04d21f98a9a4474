"""Refits below a compute cut: each is the fit of its points alone, and what they miss is told by what was left out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fitting.drift import drift
from fitting.errors import InputError
from fitting.fit import Fit, FitStatus, fit_law
from fitting.points import Points
from fitting.read import read_points
from fitting.refit import refit


def made(noise: float, seed: int = 0, count: int = 60, floor: float = 1.8) -> Points:
    rng = np.random.default_rng(seed)
    n = 10 ** rng.uniform(7, 9.5, count)
    d = n * 10 ** rng.uniform(0.5, 2.0, count)
    loss = (floor + 480 / n**0.35 + 2100 / d**0.37) * np.exp(noise * rng.normal(size=count))
    return Points(n, d, loss, 6 * n * d, tuple(map(str, range(count))), "made", "n", "6ND")


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit_law(made(0.004), resamples=100)


def test_refit_of_every_point_is_the_fit(fitted):
    again = refit(fitted, np.ones(60, dtype=bool))
    assert again.fit.objective == pytest.approx(fitted.objective, rel=1e-12)
    np.testing.assert_allclose(again.fit.theta, fitted.theta, atol=1e-8)
    np.testing.assert_allclose(again.errors, np.expm1(fitted.residuals), atol=1e-9)
    assert again.fit.status is fitted.status
    assert again.fit.held_out is None
    # The same generator draws the same rows: the intervals are those of the fit.
    for name, drawn in fitted.constant_draws().items():
        low, high = np.quantile(drawn, [0.05, 0.95])
        assert (again.constants[name].low, again.constants[name].high) == pytest.approx((low, high), rel=1e-6)


def test_refit_below_a_cut_is_the_fit_of_those_points_alone(fitted):
    """Another centre, 36 other starts and 256 restarts a round find the same optimum."""
    points = fitted.points
    keep = points.flops < np.median(points.flops)
    alone, cut = fit_law(points.take(keep), resamples=100), refit(fitted, keep)
    assert cut.fit.objective == pytest.approx(alone.objective, rel=1e-10)
    for name, value in alone.constants.items():
        assert cut.constants[name].value == pytest.approx(value, rel=1e-6)
    assert cut.fit.status is alone.status


def test_drift_finds_the_optimum_of_every_cut_of_the_public_chinchilla_runs(reference):
    points = read_points([str(reference / "chinchilla.csv")], where="excluded_by_epoch == 0")
    fitted = fit_law(points, resamples=100)
    found = drift(fitted, cuts=[1e20, 3e20, 1e21], resamples=100)
    # Sweeps of other starts and another solver gave these (notes on the state of the art): a falls as runs are added.
    np.testing.assert_allclose(found.n_exponent.value, [0.602, 0.578, 0.548], atol=6e-4)
    for one in found.refits[:2]:
        alone = fit_law(one.fit.points, resamples=100)
        assert one.fit.objective == pytest.approx(alone.objective, rel=1e-10)


def test_errors_are_those_of_the_points_above_the_cut(fitted):
    keep = fitted.points.flops < np.median(fitted.points.flops)
    one = refit(fitted, keep)
    n, d = fitted.points.n_params, fitted.points.d_tokens
    c = {name: estimate.value for name, estimate in one.constants.items()}
    law = c["E"] + c["A"] / n ** c["alpha"] + c["B"] / d ** c["beta"]
    errors = law / fitted.points.loss - 1
    np.testing.assert_allclose(one.errors, errors, atol=1e-9)
    assert one.fit.held_out.points == int((~keep).sum())
    assert one.fit.held_out.median_error == pytest.approx(np.median(np.abs(errors[~keep])))
    assert one.fit.held_out.largest_error == pytest.approx(np.abs(errors[~keep]).max())
    assert one.n_exponent.value == pytest.approx(c["beta"] / (c["alpha"] + c["beta"]))
    assert one.n_exponent.low < one.n_exponent.value < one.n_exponent.high


def test_cuts_grow_to_all_points_and_one_batch_equals_each_alone(fitted):
    found = drift(fitted)
    assert 8 <= len(found.flops) <= 12
    assert (np.diff(found.flops) > 0).all()
    assert found.kept[-1] == 60
    assert np.isnan(found.held_out_median[-1])
    assert np.isfinite(found.held_out_median[:-1]).all()
    assert found.constants["E"].value[-1] == pytest.approx(fitted.constants["E"], rel=1e-8)
    third = refit(fitted, found.refits[3].keep)
    assert found.refits[3].fit.objective == pytest.approx(third.fit.objective, rel=1e-10)
    assert (found.constants["alpha"].low < found.constants["alpha"].high).all()


def test_no_cut_goes_through_a_slice(fitted):
    """Runs of one budget differ by rounding: each slice is kept whole or not at all."""
    budgets = np.repeat(np.geomspace(1e18, 1e21, 7), 9)
    n_params = np.tile(np.geomspace(0.2, 5, 9), 7) * (budgets / 120) ** 0.5
    loss = 1.8 + 480 / n_params**0.35 + 2000 / (budgets / 6 / n_params) ** 0.37
    rounded = budgets * (1 + 1e-3 * np.random.default_rng(0).uniform(-1, 1, len(budgets)))
    points = dataclasses.replace(
        fitted.points,
        n_params=n_params,
        d_tokens=rounded / 6 / n_params,
        loss=loss,
        flops=rounded,
        cluster=tuple(map(str, range(len(loss)))),
        replicate=None,
    )
    kept = drift(fit_law(points, "chinchilla", resamples=100), resamples=10).kept
    assert set(kept % 9) == {0}


def test_whole_clusters_are_kept_together_in_resamples(fitted):
    points = dataclasses.replace(fitted.points, cluster=tuple(str(i // 5) for i in range(60)))
    clustered = fit_law(points, resamples=100)
    one = refit(clustered, points.flops < np.quantile(points.flops, 0.8))
    assert one.fit.resampled == "12 clusters"


def test_points_that_identify_no_law_say_so_and_too_few_are_refused(fitted):
    points = fitted.points
    n = np.geomspace(1e7, 1e9, 20)
    ray = Points(n, 20 * n, 1.8 + 300 * n**-0.35, 120 * n**2, tuple(map(str, range(20))), "ray", "n", "6ND")
    both = Points(
        *(np.concatenate([getattr(ray, name), getattr(points, name)]) for name in ("n_params", "d_tokens", "loss")),
        np.concatenate([ray.flops, points.flops]),
        tuple(map(str, range(80))),
        "both",
        "n",
        "6ND",
    )
    lost = refit(fit_law(both, resamples=100), np.arange(80) < 20)
    assert lost.fit.status is FitStatus.NOT_IDENTIFIED
    with pytest.raises(InputError, match="4 distinct points"):
        refit(fitted, np.arange(60) < 4)
    with pytest.raises(InputError, match="no point is kept"):
        drift(fitted, cuts=[1.0])
    with pytest.raises(InputError, match="Give a mask"):
        refit(fitted, np.arange(60))


def test_one_newton_step_a_resample_spreads_as_full_searches_do(monkeypatch):
    points = made(0.004, count=5200)
    fitted = fit_law(points, resamples=100)
    keep = points.flops < np.quantile(points.flops, 0.8)
    quick = refit(fitted, keep, resamples=200)
    assert quick.fit.resampled == "rows, one Newton step each"
    monkeypatch.setattr("fitting.bootstrap.MANY", 10_000)
    searched = refit(fitted, keep, resamples=200)
    assert quick.fit.objective == pytest.approx(searched.fit.objective, rel=1e-12)
    # The same rows are drawn: widths agree far better than two bootstraps of 200 would (10%).
    np.testing.assert_allclose(quick.fit.draws.std(axis=0), searched.fit.draws.std(axis=0), rtol=0.04)


def test_points_left_away_or_left_with_no_weight_are_the_same(fitted, monkeypatch):
    keep = fitted.points.flops < np.median(fitted.points.flops)
    weighted = refit(fitted, keep)
    monkeypatch.setattr("fitting.refit.PACKED", 40)
    packed = refit(fitted, keep)
    np.testing.assert_allclose(packed.fit.theta, weighted.fit.theta, rtol=1e-8)
    np.testing.assert_allclose(packed.fit.draws, weighted.fit.draws, rtol=1e-4)
