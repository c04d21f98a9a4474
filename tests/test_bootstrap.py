"""Resamples: full searches, single Newton steps where points are many, and the same draws however they are held."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from test_drift import made

from fitting import bootstrap
from fitting.fit import fit_law
from fitting.objective import LAD, MSE


@pytest.fixture(autouse=True)
def few_restarts(monkeypatch):
    monkeypatch.setattr("fitting.fit.RESTARTS", 32)


def test_a_fit_of_many_points_takes_one_newton_step_a_resample(monkeypatch):
    """Least squares, 300 points: the same rows are drawn, so each optimum is near that of its search."""
    points = made(0.002, count=300)
    searched = fit_law(points, delta=MSE, resamples=200)
    monkeypatch.setattr(bootstrap, "MANY", 299)
    quick = fit_law(points, delta=MSE, resamples=200)
    assert (searched.resampled, quick.resampled) == ("rows", "rows, one Newton step each")
    np.testing.assert_allclose(quick.draws.std(axis=0), searched.draws.std(axis=0), rtol=0.07)
    for one, other in zip(quick.draws.T, searched.draws.T, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.95
    np.testing.assert_array_equal(quick.theta, searched.theta)


def test_a_huber_that_few_points_are_within_is_searched_whatever_their_number(monkeypatch):
    monkeypatch.setattr(bootstrap, "MANY", 10)
    assert fit_law(made(0.004), delta=LAD, resamples=8).resampled == "rows"


@pytest.mark.parametrize("clusters", [60, 12])
def test_resamples_held_a_few_at_a_time_are_the_same(clusters, monkeypatch):
    points = dataclasses.replace(made(0.004), cluster=tuple(str(row % clusters) for row in range(60)))
    together = fit_law(points, resamples=20)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 7 * 60)
    np.testing.assert_array_equal(fit_law(points, resamples=20).draws, together.draws)
    assert together.resampled == ("rows" if clusters == 60 else "12 clusters")
