"""Profile likelihoods against closed forms, another optimiser, and points that leave a constant open."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm
from scipy.stats import t as student

from fitting.errors import InputError
from fitting.fit import Fit, fit_law
from fitting.points import Points
from fitting.profile import constant_names, profile
from fitting.solve import Box, solve

WIDE = 10.0  # a Huber sum of this width is least squares


def points_of(n: np.ndarray, d: np.ndarray, log_loss: np.ndarray) -> Points:
    return Points(n, d, np.exp(log_loss), 6 * n * d, tuple(map(str, range(len(n)))), "made", "n", "6ND")


def design(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    n = 10 ** rng.uniform(7, 10, count)
    return n, n * 10 ** rng.uniform(0.5, 2.0, count), rng


@pytest.fixture(scope="module")
def linear() -> Fit:
    """ln y = c + p ln N + q ln D, 25 points."""
    n, d, rng = design(25)
    return fit_law(
        points_of(n, d, 0.3 - 0.1 * np.log(n) + 0.05 * np.log(d) + 0.02 * rng.normal(size=25)),
        "loglinear",
        WIDE,
        resamples=100,
    )


@pytest.fixture(scope="module")
def chinchilla() -> Fit:
    n, d, rng = design(120)
    loss = 1.8 + 480 / n**0.35 + 2100 / d**0.37
    return fit_law(points_of(n, d, np.log(loss) + 0.005 * rng.normal(size=120)), resamples=100)


def test_least_squares_of_a_linear_law_has_students_interval(linear):
    """The closed form: ratio = ((value - estimate)/s.e.)^2, interval = estimate -+ t s.e. with n - p degrees."""
    points = linear.points
    columns = np.column_stack([np.ones(25), np.log(points.n_params), np.log(points.d_tokens)])
    best, squares, *_ = np.linalg.lstsq(columns, np.log(points.loss), rcond=None)
    covariance = squares[0] / 22 * np.linalg.inv(columns.T @ columns)
    for one, index in zip(profile(linear, ("p", "q")), (1, 2), strict=True):
        error = np.sqrt(covariance[index, index])
        assert one.best == pytest.approx(best[index], abs=1e-9)
        np.testing.assert_allclose(one.ratio, ((one.values - best[index]) / error) ** 2, rtol=1e-5, atol=1e-6)
        half = student.ppf(0.95, 22) * error
        assert (one.low, one.high) == pytest.approx((best[index] - half, best[index] + half), rel=1e-5)
        assert one.identified
        assert f"{one.low:.4g} .. {one.high:.4g}" in one.sentence


def test_a_narrow_huber_has_the_width_of_its_closed_form():
    """Huber 1964: an M-estimate of location and slope has variance E[psi^2]/E[psi']^2 (X'X)^-1; Gaussian residuals."""
    sigma, delta, count = 0.01, 2e-3, 1000
    k = delta / sigma
    share = 2 * norm.cdf(k) - 1
    square = sigma**2 * (share - 2 * k * norm.pdf(k)) + delta**2 * (1 - share)
    widths = []
    for seed in range(8):  # the rise of one sample scatters by a tenth
        n, d, rng = design(count, seed)
        log_y = 0.3 - 0.1 * np.log(n) + 0.05 * np.log(d) + sigma * rng.normal(size=count)
        columns = np.column_stack([np.ones(count), np.log(n), np.log(d)])
        errors = np.sqrt(square / share**2 * np.diagonal(np.linalg.inv(columns.T @ columns)))[1:]
        found = profile(fit_law(points_of(n, d, log_y), "loglinear", delta, resamples=100), ("p", "q"))
        widths += [(one.high - one.low) / error for one, error in zip(found, errors, strict=True)]
    assert np.median(widths) == pytest.approx(2 * norm.ppf(0.95), rel=0.05)


def test_held_exponent_rises_as_another_optimiser_finds(chinchilla):
    """Nelder-Mead and BFGS on the uncentred law in plain numpy; a ratio of ratios knows no scale."""
    points = chinchilla.points
    log_n, log_d, log_loss = np.log(points.n_params), np.log(points.d_tokens), np.log(points.loss)

    def objective(free: np.ndarray, alpha: float) -> float:
        log_a, log_b, beta, e = free
        law = np.log(np.exp(log_a - alpha * log_n) + np.exp(log_b - beta * log_d) + np.exp(e))
        r = np.abs(law - log_loss)
        return float(np.sum(np.where(r <= 1e-3, r**2 / 2, 1e-3 * (r - 5e-4))) / 1e-6)

    (found,) = profile(chinchilla, ("alpha",))
    c = chinchilla.constants
    rises = []
    for at in (3, -4):
        alpha = float(found.values[at])
        start = np.asarray([np.log(c["A"]) + 18 * (alpha - c["alpha"]), np.log(c["B"]), c["beta"], np.log(c["E"])])
        for _ in range(6):
            start = minimize(objective, start, (alpha,), "Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-10}).x
            start = minimize(objective, start, (alpha,), "BFGS").x
        rises.append(objective(start, alpha) - chinchilla.objective / 1e-6)
    assert rises[0] > 0
    assert found.ratio[3] / found.ratio[-4] == pytest.approx(rises[0] / rises[1], rel=1e-3)


def test_ratio_falls_to_the_optimum_and_rises_beyond_both_ends(chinchilla):
    assert constant_names(chinchilla) == ["a", "alpha", "b", "beta", "E"]
    for one in profile(chinchilla):
        assert one.ratio.min() == pytest.approx(0, abs=1e-9)
        assert one.values[one.ratio.argmin()] == pytest.approx(one.best)
        assert (np.diff(one.values) > 0).all()
        assert one.ratio[0] > one.threshold < one.ratio[-1]
        assert one.low < one.best < one.high
        inside = (one.values > one.low) & (one.values < one.high)
        assert (one.ratio[inside] < one.threshold).all()
        assert (one.ratio[~inside] > one.threshold).all()


def test_a_dent_of_a_narrow_huber_does_not_hold_a_profile_up():
    """25 runs: from its own first guess E stays in a dent; 64 random starts at every value, and none is lower."""
    n, d, rng = design(25, 2)
    loss = 1.8 + 480 / n**0.35 + 2100 / d**0.37
    fit = fit_law(points_of(n, d, np.log(loss) + 0.01 * rng.normal(size=25)), resamples=2)
    (found,) = profile(fit, ("E",))
    x, log_loss = fit.inputs(fit.points.columns()), np.log(fit.points.loss)
    box = Box.of(fit.law.parameters(x, log_loss))
    count, held = 64, np.log(found.values)
    theta = fit.theta + 0.2 * rng.standard_normal((len(held), count, 5))
    lower, upper = (np.tile(side, (len(held), count, 1)) for side in (box.lower, box.upper))
    lower[..., 4] = upper[..., 4] = held[:, None]
    tried = solve(
        fit.law, x, log_loss, theta.reshape(-1, 5), bounds=Box(lower.reshape(-1, 5), upper.reshape(-1, 5))
    ).objective.reshape(len(held), count)
    rise = tried.min(axis=1) - fit.objective
    scale = np.median(rise[found.ratio > 0.1] / found.ratio[found.ratio > 0.1])
    assert (found.ratio <= rise / scale * (1 + 1e-3) + 1e-3).all()


def test_a_higher_level_has_a_wider_interval(chinchilla):
    narrow, wide = (profile(chinchilla, ("E",), level)[0] for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_floor_that_the_points_do_not_reach_is_not_identified_from_below():
    """Losses of a power law without any floor: E = 0 fits, a large E does not."""
    n, d, rng = design(40)
    loss = np.log(480 / n**0.2 + 900 / d**0.25)
    (found,) = profile(fit_law(points_of(n, d, loss + 0.01 * rng.normal(size=40)), resamples=100), ("E",))
    assert found.low is None
    assert found.high is not None
    assert not found.identified
    assert "not identified from below" in found.sentence
    assert found.values[0] < 0.01


def test_four_copies_of_each_row_tell_no_more_than_one(linear):
    """Four copies: SSR and its rise are four times as large, s^2 has 4n - p degrees, the design effect is four."""
    points = linear.points.take(np.repeat(np.arange(25), 4))
    copied = fit_law(dataclasses.replace(points, source="copies"), "loglinear", WIDE, resamples=100)
    one, four = profile(linear, ("p",))[0], profile(copied, ("p",))[0]
    expected = (100 - 3) / (4 * (25 - 3)) * np.interp(four.values, one.values, np.sqrt(one.ratio)) ** 2
    middle = slice(2, -2)
    np.testing.assert_allclose(four.ratio[middle], expected[middle], rtol=0.1, atol=0.05)
    assert four.threshold == pytest.approx(one.threshold)


def test_a_name_without_a_profile_is_refused_with_those_that_have_one(chinchilla):
    with pytest.raises(InputError, match="choose among a, alpha, b, beta, E"):
        profile(chinchilla, ("A",))
    with pytest.raises(InputError, match="Give 0"):
        profile(chinchilla, ("E",), level=90)
