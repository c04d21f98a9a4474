"""Two sweeps as compute multipliers: exact on laws of a known multiple, honest on replicates of one law."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fitting.compare import compare, pair_runs
from fitting.errors import InputError
from fitting.fit import Fit, fit_law
from fitting.points import Points

CONSTANTS = {"E": 1.8, "A": 480.0, "B": 2100.0, "alpha": 0.35, "beta": 0.37}


def sweep(noise: float = 0.0, seed: int = 0, lowest: float = 7.0, slower: float = 1.0, floor: float = 1.8) -> Points:
    """A grid of 49 runs; `slower` is how many times the compute each loss takes: N and D count for less by its root."""
    rng = np.random.default_rng(seed)
    n, ratio = np.meshgrid(10 ** np.linspace(lowest, lowest + 2.4, 7), 10 ** np.linspace(0.4, 2.2, 7))
    n, d = n.ravel(), (n * ratio).ravel()
    worth = slower**0.5
    loss = floor + 480 / (n / worth) ** 0.35 + 2100 / (d / worth) ** 0.37
    loss = loss * np.exp(noise * rng.normal(size=49))
    return Points(n, d, loss, 6 * n * d, tuple(map(str, range(49))), f"sweep {seed}", "n", "6ND")


def fitted(**how: float) -> Fit:
    return fit_law(sweep(**how), resamples=100)


@pytest.fixture(scope="module")
def clean() -> Fit:
    return fitted()


def test_a_recipe_that_takes_twice_the_compute_has_a_multiplier_of_two(clean):
    """L_b(N, D) = L_a(N/2^.5, D/2^.5), so L*_b(2C) = L*_a(C) at every C."""
    found = compare(clean, fitted(slower=2.0))
    np.testing.assert_allclose(found.value, 2.0, rtol=1e-5)
    back = compare(fitted(slower=2.0), clean)
    np.testing.assert_allclose(back.value, 0.5, rtol=1e-5)
    assert found.reachable.all()
    assert "B needs 2 times the compute of A" in found.sentence


def test_budgets_span_what_both_have_and_a_decade_flagged(clean):
    other = fitted(lowest=7.5)
    found = compare(clean, other)
    assert found.flops[0] == pytest.approx(other.points.flops_6nd.min())
    assert found.flops[-1] == pytest.approx(10 * clean.points.flops_6nd.max())
    np.testing.assert_array_equal(found.extrapolated, found.flops > clean.points.flops_6nd.max() * 1.0001)
    assert (found.high / found.low)[-1] > 1.2  # laws without noise: only what is beyond the runs is uncertain
    np.testing.assert_allclose((found.high / found.low)[~found.extrapolated], 1.0, rtol=1e-3)
    # The compute that B would need can lie beyond B's own runs though C is within A's.
    slow = compare(clean, fitted(slower=4.0), clean.points.flops_6nd.max() * np.asarray([0.2, 0.5]))
    np.testing.assert_array_equal(slow.extrapolated, [False, True])


def test_a_loss_below_the_other_floor_cannot_be_reached(clean):
    high = fitted(floor=2.4)
    found = compare(clean, high, np.asarray([1e16, 1e23]))
    np.testing.assert_array_equal(found.reachable, [True, False])
    assert np.isinf(found.value[1])
    assert np.isinf(found.high[1])
    alone = compare(clean, high, np.asarray([1e23]))
    assert "no compute brings B to the loss of A" in alone.sentence


def test_replicates_of_one_law_differ_by_a_factor_of_one_about_nine_times_in_ten():
    budget = np.asarray([np.median(sweep().flops_6nd)])
    inside = 0
    for seed in range(12):
        a, b = (fitted(noise=0.004, seed=100 + 2 * seed + which) for which in (0, 1))
        found = compare(a, b, budget)
        inside += bool(found.low[0] <= 1 <= found.high[0])
    assert 8 <= inside <= 12  # 90% of 12; benchmarks/compare.py has 200


def test_an_advantage_well_above_the_noise_is_told_from_none():
    a, b = fitted(noise=0.004, seed=1), fitted(noise=0.004, seed=2, slower=3.0)
    found = compare(a, b, np.asarray([np.median(a.points.flops_6nd)]))
    assert 1 < found.low[0] < 3 < found.high[0]
    assert "no difference" not in found.sentence


def test_pairs_of_equal_runs_tell_the_difference_without_a_law():
    a, b = sweep(noise=0.001, seed=1), sweep(noise=0.001, seed=2)
    moved = dataclasses.replace(b, loss=b.loss + 0.05, n_params=b.n_params * 1.01)
    found = pair_runs(a, moved)
    assert found is not None
    assert len(found.difference) == 49
    np.testing.assert_allclose(np.sort(found.difference), np.sort(moved.loss - a.loss))
    assert found.mean == pytest.approx(0.05, abs=3 * found.standard_error)
    assert found.standard_error == pytest.approx(np.std(moved.loss - a.loss, ddof=1) / 7)
    assert pair_runs(a, dataclasses.replace(b, n_params=b.n_params * 1.03)) is None


def test_bands_hold_the_uncertainty_of_both_laws(clean):
    """Independent sweeps: variances of ln m add."""
    budget = np.asarray([np.median(clean.points.flops_6nd)])
    a, b = (fit_law(sweep(noise=0.003, seed=seed), resamples=1000) for seed in (5, 6))
    widths = [
        np.log(one.high / one.low)[0]
        for one in (compare(a, b, budget), compare(a, clean, budget), compare(clean, b, budget))
    ]
    assert widths[0] == pytest.approx(np.hypot(widths[1], widths[2]), rel=0.1)
    assert 0.5 < widths[1] / widths[2] < 2  # of equal noise


def test_a_run_is_in_one_pair_at_most():
    a = sweep()
    crowd = dataclasses.replace(
        a.take(np.asarray([0, 0, 0])),
        n_params=a.n_params[0] * np.asarray([0.99, 1.001, 1.01]),
        loss=np.asarray([3.0, 4.0, 5.0]),
    )
    found = pair_runs(crowd, a)
    assert found is not None
    np.testing.assert_allclose(found.difference, a.loss[0] - 4.0)  # with the nearest
    assert found.standard_error is None


def test_replicates_of_a_cell_are_averaged_before_they_are_paired():
    a = sweep()
    twice = a.take(np.repeat(np.arange(49), 2))
    shifted = dataclasses.replace(twice, loss=twice.loss + np.tile([0.0, 0.2], 49))
    found = pair_runs(a, shifted)
    assert found is not None
    np.testing.assert_allclose(found.difference, 0.1)


def test_sweeps_without_common_compute_and_laws_without_an_optimum_are_refused(clean):
    with pytest.raises(InputError, match="share no compute"):
        compare(clean, fitted(lowest=11.0))
    with pytest.raises(InputError, match="fit chinchilla or gamma"):
        compare(clean, fit_law(sweep(), "loglinear", resamples=100))
    with pytest.raises(InputError, match="above 0"):
        compare(clean, clean, np.asarray([0.0]))
