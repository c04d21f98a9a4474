"""Huber, least squares and least absolute deviations through one solver, against other people's optimisers and fits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares, linprog
from test_fitting import grid_points
from test_laws import EXAMPLES, POINTS, design, example_loss

from fitting.errors import InputError
from fitting.fit import fit_law
from fitting.laws import law_named, law_names
from fitting.objective import DELTA, LAD, MSE, delta_of, objective_name, objective_value
from fitting.points import Points
from fitting.read import read_points
from fitting.solve import evaluate, jacobian, solve


@pytest.fixture(autouse=True)
def few_restarts(monkeypatch):
    """The proof is tested elsewhere; restarts take most of a fit's time."""
    monkeypatch.setattr("fitting.fit.RESTARTS", 32)


def line(noise: float, count: int = 40) -> tuple[Points, np.ndarray]:
    """y = c N^p D^q with heavy-tailed noise, and the columns of the linear problem."""
    rng = np.random.default_rng(1)
    n, d = 10 ** rng.uniform(7, 10, count), 10 ** rng.uniform(9, 12, count)
    log_y = 0.3 - 0.1 * np.log(n) + 0.05 * np.log(d) + noise * rng.standard_t(2, count)
    points = Points(n, d, np.exp(log_y), 6 * n * d, tuple(map(str, range(count))), "made", "n", "6ND")
    return points, np.column_stack([np.ones(count), np.log(n), np.log(d)])


@pytest.mark.parametrize("noise", [1e-6, 0.02])
def test_mse_of_a_linear_law_is_the_closed_form_at_any_scale_of_noise(noise):
    points, columns = line(noise)
    best, squares, *_ = np.linalg.lstsq(columns, np.log(points.loss), rcond=None)
    fit = fit_law(points, "loglinear", delta_of("mse"), resamples=2)
    found = [np.log(fit.constants["c"]), fit.constants["p"], fit.constants["q"]]
    np.testing.assert_allclose(found, best, rtol=0, atol=1e-6 * noise)
    assert fit.objective == pytest.approx(squares[0] / 2, rel=1e-8)


@pytest.mark.parametrize("noise", [1e-8, 1e-2])
def test_residuals_of_least_squares_are_at_right_angles_to_every_slope(noise):
    """The normal equations hold as well for a noise of 1e-8 as for one of 1%: no tolerance knows the scale."""
    fit = fit_law(grid_points(noise=noise), delta=MSE, resamples=2)
    slopes = jacobian(fit.law, fit.theta, fit.inputs(fit.points.columns()))
    cosines = fit.residuals @ slopes / np.linalg.norm(slopes, axis=0) / np.linalg.norm(fit.residuals)
    assert np.abs(cosines).max() < 1e-6


def test_lad_of_a_linear_law_is_the_optimum_of_the_linear_programme():
    """min sum (u + v) with X b + u - v = y, u, v >= 0: solved by HiGHS."""
    points, columns = line(0.02)
    count, y = len(points), np.log(points.loss)
    solved = linprog(
        np.concatenate([np.zeros(3), np.ones(2 * count)]),
        A_eq=np.hstack([columns, np.eye(count), -np.eye(count)]),
        b_eq=y,
        bounds=[(None, None)] * 3 + [(0, None)] * (2 * count),
    )
    fit = fit_law(points, "loglinear", delta_of("lad"), resamples=2)
    assert objective_value(fit.residuals, fit.delta) == pytest.approx(solved.fun, rel=1e-6)
    assert np.sum(np.abs(fit.residuals) < LAD) == 3  # as many points as parameters are met
    assert [fit.constants["p"], fit.constants["q"]] == pytest.approx(list(solved.x[1:3]), abs=1e-6)


@pytest.mark.parametrize("name", law_names())
def test_every_law_has_all_three_objectives(name):
    """One run of 40 is off by 20%: LAD passes it by, least squares ends where SciPy's does, Huber between them."""
    law, columns = law_named(name), design()
    truth = example_loss(name, columns)
    loss = truth * np.where(np.arange(POINTS) == 7, 1.2 if name != "accuracy" else 0.8, 1.0)
    features = law.features(columns)
    x, log_loss = features - law.centre(features), np.log(loss)
    start = fit_start(name, columns, truth)
    found = {delta: solve(law, x, log_loss, start, delta=delta) for delta in (DELTA, MSE, LAD)}
    miss = {delta: evaluate(law, one.theta[:1], x)[0] - np.log(truth) for delta, one in found.items()}
    assert np.abs(np.delete(miss[LAD], 7)).max() < 1e-5
    sizes = {delta: float(np.sqrt(np.mean(r**2))) for delta, r in miss.items()}
    assert sizes[LAD] < sizes[DELTA] < sizes[MSE]
    theirs = least_squares(
        lambda theta: evaluate(law, theta[None], x)[0] - log_loss,
        start[0],
        jac=lambda theta: jacobian(law, theta, x),
        bounds=tuple(
            np.asarray([getattr(p, side) for p in law.parameters(x, log_loss)]) for side in ("lower", "upper")
        ),
        x_scale="jac",
        max_nfev=60,
    )
    assert found[MSE].objective[0] <= theirs.cost * (1 + 1e-7)


def fit_start(name: str, columns, truth: np.ndarray) -> np.ndarray:
    """The law's own optimum without the outlier, (1, parameters): where it is does not depend on the objective."""
    law = law_named(name)
    features = law.features(columns)
    x = features - law.centre(features)
    starts = law.starts(x, np.log(truth))[::6]
    return solve(law, x, np.log(truth), solve(law, x, np.log(truth), starts, delta=0.05).theta).best().theta


def test_least_absolute_deviations_give_the_constants_that_besiroglu_et_al_printed(reference):
    """arXiv:2404.10102: their likelihood fits the scale of its Huber too, which ends at 5e-9, a width of nothing."""
    points = read_points([str(reference / "chinchilla.csv")], where="excluded_by_epoch == 0")
    fit = fit_law(points, delta=LAD, resamples=2)
    published = {"A": 482.01, "B": 2085.43, "E": 1.81686, "alpha": 0.34781, "beta": 0.36585}
    for name, value in published.items():
        assert fit.constants[name] == pytest.approx(value, rel=3e-5), name
    c = published
    theirs = c["E"] + c["A"] * points.n_params ** -c["alpha"] + c["B"] * points.d_tokens ** -c["beta"]
    assert objective_value(fit.residuals, LAD) <= np.sum(np.abs(np.log(theirs / points.loss)))


@pytest.mark.parametrize(
    ("where", "constants"),
    [
        ("excluded_by_epoch == 0", {"A": 593.322, "B": 4875.64, "E": 1.86455, "alpha": 0.360253, "beta": 0.405883}),
        ("excluded_by_epoch == 0 and flops < 1e21", {"E": 1.8926, "alpha": 0.3522, "beta": 0.4430}),
    ],
)
def test_least_squares_give_the_constants_of_another_fitter(reference, where, constants):
    """Open-Athena's scaling-law-analysis and ml-scalefit, least squares on ln L."""
    fit = fit_law(read_points([str(reference / "chinchilla.csv")], where=where), delta=MSE, resamples=2)
    for name, value in constants.items():
        assert fit.constants[name] == pytest.approx(value, rel=1e-4), name


def test_resamples_of_lad_spread_as_those_of_a_narrow_huber(reference):
    points = read_points([str(reference / "chinchilla.csv")], where="excluded_by_epoch == 0")
    narrow, lad = (fit_law(points, delta=delta, resamples=100).draws.std(axis=0) for delta in (1e-5, LAD))
    np.testing.assert_allclose(lad, narrow, rtol=0.02)


def test_an_objective_has_one_name():
    assert [delta_of(name) for name in ("huber", "huber:0.02", "mse", "lad")] == [DELTA, 0.02, MSE, LAD]
    assert [objective_name(delta) for delta in (DELTA, 0.02, MSE, LAD)] == ["huber", "huber:0.02", "mse", "lad"]
    for text in ("", "mae", "huber:x", "mse:3", "huber:0", "huber:-1", "huber:nan"):
        with pytest.raises(InputError, match="mse or lad"):
            delta_of(text)
    assert set(EXAMPLES) == set(law_names())
