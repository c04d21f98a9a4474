"""Whole loss curves under learning-rate schedules: areas of the schedule, and the two laws that read them."""

from __future__ import annotations

import numpy as np
import pytest

from fitting.fit import fit_law
from fitting.laws import law_named
from fitting.points import Points
from fitting.schedule_areas import lr_areas, lr_falls
from fitting.solve import evaluate

PEAK, STEPS = 3e-4, 3000
SHARE = np.arange(STEPS) / STEPS
SCHEDULES = {
    "constant": np.full(STEPS, PEAK),
    "cosine": PEAK * (0.1 + 0.45 * (1 + np.cos(np.pi * SHARE))),
    "linear to almost zero": PEAK * (1 - SHARE) + 1e-9,
    "warm-up, stable, decay": np.where(SHARE < 0.8, PEAK, PEAK * 0.1 ** ((SHARE - 0.8) / 0.2)),
    "two steps": np.where(SHARE < 0.3, PEAK, np.where(SHARE < 0.6, 2e-4, 5e-5)),
    "down and up again": np.where((SHARE > 0.3) & (SHARE < 0.6), 9e-5, PEAK),
}
# L0, A, alpha, B, C, beta, gamma of Luo et al. 2025, src/config.py of github.com/thu-yao-01-luo/MultiPowerLaw.
PUBLISHED = {
    "25M": (3.04045406, 0.52468604, 0.50786857, 363.78751622, 2.06560812, 0.58279013, 0.64142257),
    "100M": (2.6514477, 0.60115152, 0.45295811, 437.9464276, 2.13245612, 0.59785199, 0.65523644),
    "400M": (2.37474466, 0.65421216, 0.42878731, 523.42464371, 2.02462735, 0.59350493, 0.63472457),
}
NAMES = ("L0", "A", "alpha", "B", "C", "beta", "gamma")


def literal(rates: np.ndarray, step: int, constants: tuple[float, ...]) -> float:
    """The published formula, term by term: every step k up to `step`, and every rate from k on."""
    level, a, alpha, b, c, beta, gamma = constants
    drop = 0.0
    for k in range(1, step + 1):
        if rates[k] != rates[k - 1]:
            since = float(np.sum(rates[k : step + 1]))
            drop += (rates[k - 1] - rates[k]) * (1 - (1 + c * rates[k] ** -gamma * since) ** -beta)
    return level + a * float(np.sum(rates[: step + 1])) ** -alpha - b * drop


@pytest.mark.parametrize("size", PUBLISHED)
def test_multi_power_law_has_the_losses_of_its_published_formula(size):
    """To 1e-4 for any schedule, and to rounding where the falls are few: a node holds each."""
    law, constants = law_named("multipower"), PUBLISHED[size]
    steps = np.asarray([0, 1, 40, 899, 905, 1850, 2400, 2999])
    for name, rates in SCHEDULES.items():
        features = law.features(lr_falls(rates, steps))
        centre = law.centre(features)
        found = np.exp(evaluate(law, theta_of(constants, centre)[None], features - centre)[0])
        expected = [literal(rates, step, constants) for step in steps]
        exact = name in ("constant", "two steps", "down and up again")
        np.testing.assert_allclose(found, expected, rtol=1e-11 if exact else 1e-4, err_msg=name)


def theta_of(constants: tuple[float, ...], centre: np.ndarray) -> np.ndarray:
    """In the law's coordinates; the law itself says what they stand for."""
    level, a, alpha, b, c, beta, gamma = constants
    floor = np.log(level - b * centre[1])
    theta = np.asarray([np.log(a) - alpha * centre[0], alpha, np.log(b), 0.0, beta, gamma, floor])
    theta[3] = np.log(c / law_named("multipower").constants(theta, centre)["C"])
    named = law_named("multipower").constants(theta, centre)
    assert dict(named) == pytest.approx(dict(zip(NAMES, constants, strict=True)))
    return theta


def curve_points(names: tuple[str, ...], constants: tuple[float, ...]) -> Points:
    """Every 200th loss of curves under these schedules."""
    steps = np.arange(99, STEPS, 200)
    parts = [lr_falls(SCHEDULES[name], steps) for name in names]
    loss = np.asarray([literal(SCHEDULES[name], step, constants) for name in names for step in steps])
    columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    ones = np.ones(len(loss))
    cluster = tuple(name for name in names for _ in steps)
    return Points(1e8 * ones, np.tile(steps + 1.0, len(names)), loss, ones, cluster, "m", "n", "c", extra=columns)


def test_curves_under_three_schedules_predict_another(monkeypatch):
    """Planted constants come back from curves whose nodes are exact, and with them a fourth curve."""
    monkeypatch.setattr("fitting.fit.RESTARTS", 32)
    planted = PUBLISHED["100M"]
    fit = fit_law(curve_points(("constant", "two steps", "down and up again"), planted), "multipower", resamples=2)
    for name, value in zip(NAMES, planted, strict=True):
        assert fit.constants[name] == pytest.approx(value, rel=1e-5), name
    other = curve_points(("cosine",), planted)
    predicted = np.exp(evaluate(fit.law, fit.theta[None], fit.inputs(other.columns()))[0])
    np.testing.assert_allclose(predicted, other.loss, rtol=1e-4)


@pytest.mark.parametrize(("rates", "steps"), [([1e-3, 0.0], [1]), ([1e-3, 1e-3], [2]), ([1e-3], [-1]), ([1e-3], [[0]])])
def test_falls_need_rates_above_zero_and_steps_of_the_schedule(rates, steps):
    with pytest.raises(ValueError, match="need rates above 0"):
        lr_falls(np.asarray(rates), np.asarray(steps))


def test_a_constant_rate_has_no_annealing_area():
    s1, s2 = lr_areas(np.full(100, 1e-3))
    np.testing.assert_allclose(s1, 1e-3 * np.arange(1, 101), rtol=1e-12)
    assert (s2 == 0).all()


def test_annealing_area_of_one_fall_is_a_geometric_series():
    """eta falls once by 1: m_i = decay^(i - k), so S2 = (1 - decay^count) / (1 - decay)."""
    rates = np.concatenate([np.full(10, 1.5), np.full(50, 0.5)])
    _, s2 = lr_areas(rates, decay=0.9)
    count = np.maximum(np.arange(60) - 9, 0)
    np.testing.assert_allclose(s2, (1 - 0.9**count) / (1 - 0.9), rtol=1e-12)


def test_annealing_area_is_the_double_sum_of_the_paper():
    """S2(s) = sum_{i<=s} sum_{k<=i} (eta_{k-1} - eta_k) decay^(i-k), summed literally for a cosine."""
    rates = 1e-3 * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.linspace(0, np.pi, 80))))
    s1, s2 = lr_areas(rates, decay=0.95)
    literal = [
        sum((rates[k - 1] - rates[k]) * 0.95 ** (i - k) for i in range(1, s + 1) for k in range(1, i + 1))
        for s in range(80)
    ]
    np.testing.assert_allclose(s2, literal, rtol=1e-10)
    np.testing.assert_allclose(s1, np.cumsum(rates))


@pytest.mark.parametrize("rates", [[], [[1e-3]], [1e-3, -1e-3], [1e-3, float("nan")]])
def test_what_is_no_schedule_is_refused(rates):
    with pytest.raises(ValueError, match="no schedule"):
        lr_areas(np.asarray(rates))
