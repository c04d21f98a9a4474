"""Choosing the next runs: the update, the choice, the anchors, the verdict to stop."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from test_fitting import grid_points, law_points

from fitting.ensemble import fit_ensemble, forecast, half_decade
from fitting.errors import InputError
from fitting.next_runs.acquire import ANCHOR_SHARE, ANCHORS, Role, buy
from fitting.next_runs.answer import next_runs
from fitting.next_runs.candidates import NEAREST_TARGET, Runs, ladder, not_measured
from fitting.next_runs.knowledge import (
    BIAS,
    Knowledge,
    as_forecast,
    constants_covariance,
    discrepancy,
    inputs,
    modes_for,
    noise_variance,
    with_shared_bias,
)
from fitting.next_runs.optimum import blend_of, near_optimum
from fitting.next_runs.stop import Verdict
from fitting.posterior import NOISE
from fitting.solve import jacobian

TARGET = Runs.of(np.asarray([4e9]), np.asarray([4e11]))  # 9.6e21 FLOPs, 16 times the grid's largest run
BUDGET = 3e20


@pytest.fixture(scope="module")
def points():
    return grid_points(noise=0.003)


@pytest.fixture(scope="module")
def ensemble(points):
    return fit_ensemble(points, [int(half_decade(TARGET.compute[0]))])


@pytest.fixture(scope="module")
def offered(points):
    n, d = np.meshgrid(np.geomspace(2e7, 2e9, 5), np.geomspace(2e9, 2e11, 5))
    return not_measured(Runs.of(n.ravel(), d.ravel()), points)


@pytest.fixture(scope="module")
def answer(points):
    return next_runs(points, 1e23, BUDGET)


def test_the_known_variance_is_that_of_the_forecast(points, ensemble, offered):
    """Before anything is bought: fitting/ensemble.py's own scale."""
    scale = forecast(points, TARGET.n_params, TARGET.d_tokens).scale
    np.testing.assert_allclose(np.sqrt(as_forecast(ensemble, TARGET, offered).variance()), scale, rtol=1e-10)


def test_one_rank_update_equals_inverting_the_information_anew(points, ensemble, offered):
    """M = M_0 + j j^T / u inverted in full, against the update, for every candidate and law."""
    known = as_forecast(ensemble, TARGET, offered)
    reach = float(TARGET.compute[0])
    for law, mode in enumerate(modes_for(ensemble, reach)):
        information = np.linalg.inv(mode.covariance)
        target = jacobian(mode.law, mode.theta, inputs(mode, TARGET))[0]
        for c, slope in enumerate(jacobian(mode.law, mode.theta, inputs(mode, offered))):
            u = noise_variance(offered, reach)[c]
            full = target @ np.linalg.inv(information + np.outer(slope, slope) / u) @ target
            assert known.bought(c).covariance[law, 0, 0] == pytest.approx(full, rel=0, abs=1e-10)


def test_buying_one_by_one_equals_conditioning_on_all_at_once(points, ensemble, offered):
    """With the shared bias: S - S_tc (S_cc + u)^-1 S_ct for three runs together, to 1e-10."""
    known = with_shared_bias(ensemble, points, TARGET, offered)
    chosen = [3, 11, 17]
    after = known
    for c in chosen:
        after = after.bought(c)
    rows = 1 + np.asarray(chosen)
    for law in range(len(known.weights)):
        s = known.covariance[law]
        seen = s[np.ix_(rows, rows)] + NOISE**2 * np.eye(3)
        np.testing.assert_allclose(
            after.covariance[law], s - s[:, rows] @ np.linalg.inv(seen) @ s[rows], atol=1e-10, rtol=1e-8
        )


def test_what_all_candidates_would_bring_equals_buying_each(points, ensemble, offered):
    known = with_shared_bias(ensemble, points, TARGET, offered)
    expected = np.stack([known.bought(c).variance() for c in range(len(offered))], axis=1)
    np.testing.assert_allclose(known.variance_with(), expected, rtol=1e-12)


def test_shared_bias_without_candidates_is_generalised_least_squares(points, ensemble, offered):
    """cov(theta) by its definition, and the target's variance from it: at the target no bias is left."""
    known = with_shared_bias(ensemble, points, TARGET, offered)
    runs = Runs.of(points.n_params, points.d_tokens)
    for law, mode in enumerate(modes_for(ensemble, float(TARGET.compute[0]))):
        slope = jacobian(mode.law, mode.theta, inputs(mode, TARGET))[0]
        covariance = constants_covariance(mode, runs, float(TARGET.compute[0]))
        assert known.covariance[law, 0, 0] == pytest.approx(slope @ covariance @ slope, rel=1e-6)


def test_discrepancy_is_a_covariance_that_vanishes_at_the_target(offered):
    matrix = discrepancy(offered, offered, float(TARGET.compute[0]))
    assert np.linalg.eigvalsh(matrix).min() > -1e-15
    np.testing.assert_allclose(discrepancy(TARGET, offered, float(TARGET.compute[0])), 0.0)
    far = float(np.log10(TARGET.compute[0] / offered.compute[0]))
    assert matrix[0, 0] == pytest.approx((BIAS * far) ** 2)


def test_greedy_pair_is_the_best_of_all_pairs(points, ensemble):
    """Costs alike and six runs far apart: brute force over all pairs cannot beat the greedy choice by 1%."""
    n, d = np.asarray([3e7, 3e7, 3e8, 3e8, 1.5e9, 1.5e9]), np.asarray([3e9, 1.5e11, 3e9, 1.5e11, 5e9, 5e10])
    few = Runs(n, d, np.ones(6))
    known = with_shared_bias(ensemble, points, TARGET, few)
    pairs = {
        pair: float(known.bought(pair[0]).bought(pair[1]).variance()[0]) for pair in itertools.combinations(range(6), 2)
    }
    chosen = buy(known, few.cost, 2.0, np.ones(6, dtype=bool), anchors=0)
    pair = tuple(sorted(purchase.candidate for purchase in chosen))
    assert pair == min(pairs, key=lambda key: pairs[key])


def test_a_far_cheap_run_is_worth_less_when_runs_are_biased(points, ensemble, offered):
    """The same covariance, seen with noise alone or with the discrepancy of its distance too: what the laws learn."""
    biased = as_forecast(ensemble, TARGET, offered)
    trusting = dataclasses.replace(biased, seen_with=np.full(len(biased.seen_with), NOISE**2))
    far = int(np.argmin(offered.compute))

    def learned(known: Knowledge) -> float:
        return float(known.weights @ (known.covariance - known.bought(far).covariance)[:, 0, 0])

    assert 0 <= learned(biased) < 0.5 * learned(trusting)


def test_a_second_run_beside_the_first_is_worth_less_when_neighbours_share_their_bias(points, ensemble):
    """Two cheap neighbours: what is left for the second is a smaller share under a shared bias."""
    twins = Runs.of(np.asarray([2e7, 2.1e7]), np.asarray([3e9, 3e9]))

    def second_share(known: Knowledge) -> float:
        return float(known.bought(0).worth()[1] / known.worth()[1])

    assert second_share(with_shared_bias(ensemble, points, TARGET, twins)) < second_share(
        as_forecast(ensemble, TARGET, twins)
    )


@pytest.mark.parametrize("budget", [1e18, 1e19, 1e20, 1e21])
def test_the_budget_is_never_exceeded_and_no_run_bought_twice(points, ensemble, offered, budget):
    near = near_optimum(blend_of(ensemble, modes_for(ensemble, float(TARGET.compute[0]))), offered)
    chosen = buy(with_shared_bias(ensemble, points, TARGET, offered), offered.cost, budget, near)
    order = [purchase.candidate for purchase in chosen]
    assert offered.cost[order].sum() <= budget
    assert len(set(order)) == len(order)


def test_two_large_runs_near_the_optimum_are_the_anchors(answer):
    anchors = [run for run in answer.runs if run.role is Role.ANCHOR]
    assert len(anchors) == ANCHORS
    for run in anchors:
        assert ANCHOR_SHARE * BUDGET / 6 <= run.flops <= ANCHOR_SHARE * BUDGET
    others = [run.flops for run in answer.runs if run.role is Role.KNOWLEDGE]
    assert max(run.flops for run in anchors) >= np.median(others)


def test_what_is_bought_is_expected_to_narrow_the_interval(answer):
    assert answer.cost <= BUDGET
    assert answer.before.loss == answer.after.loss
    assert answer.after.width < answer.before.width
    assert answer.before.low < answer.after.low < answer.after.high < answer.before.high


def test_the_same_question_gets_the_same_answer(points, answer):
    assert next_runs(points, 1e23, BUDGET) == answer


def test_pilots_pay_for_a_huge_target_and_not_for_a_small_one(points, answer):
    """300 FLOPs saved a FLOP of pilots at 1e23, or a target hardly larger than the pilots: nothing is left to save."""
    assert not answer.verdict.stop
    assert answer.verdict.sentence.startswith("go on: ")
    small = next_runs(points, 2e21, 8e20)
    assert small.verdict.stop
    assert small.verdict.sentence.startswith("stop: ")
    assert small.runs  # shown all the same


def test_the_verdict_compares_saving_and_cost():
    """Arithmetic: 5 - 2 saved against what is paid; no price, no stop."""
    assert Verdict(5e20, 2e20, 4e20).stop
    assert not Verdict(5e20, 2e20, 2e20).stop
    assert not Verdict(None, 2e20, 4e20).stop


def test_ladder_stays_within_money_target_and_ratios(points, ensemble):
    law = blend_of(ensemble, modes_for(ensemble, 1e22))
    runs = not_measured(ladder(points, law, BUDGET, 1e22), points)
    assert runs.cost.max() <= BUDGET
    assert ladder(points, law, 1e30, 1e22).cost.max() <= 1e22 / NEAREST_TARGET
    ratio = runs.d_tokens / runs.n_params
    assert ratio.min() >= min(1.0, (points.d_tokens / points.n_params).min())
    assert ratio.max() <= max(2000.0, (points.d_tokens / points.n_params).max())


def test_measured_runs_are_not_offered_again(points):
    offered = Runs.of(np.append(points.n_params, 1.5e7), np.append(points.d_tokens, 1.5e9))
    assert not_measured(offered, points).n_params.tolist() == [1.5e7]


def test_points_that_identify_no_law_are_refused():
    n = np.geomspace(1e7, 1e9, 8)
    with pytest.raises(InputError, match="one D/N ray"):
        next_runs(law_points(n, 20 * n), 1e22, 1e20)


def test_a_budget_that_buys_nothing_is_refused(points):
    with pytest.raises(InputError, match="Raise the budget"):
        next_runs(points, 1e23, 1e10)
    with pytest.raises(InputError, match="buys none of 1 candidates"):
        next_runs(points, 1e23, 1e18, Runs.of(np.asarray([1e9]), np.asarray([3e10])))
