"""Closed forms of the two-term laws: against the tables of their papers, against each other, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitting.planner.blend import (
    Blend,
    best_run,
    flops_for,
    least_loss,
    size_for,
    size_suiting,
    tokens_for,
    tokens_suiting,
)
from fitting.planner.epochs import R_D, best_repeated, repeated_loss, saturated
from fitting.planner.published import published
from fitting.planner.shape import counted_cost, shape_of
from fitting.planner.surface import Surface, training_flops
from fitting.planner.token_cost import SixN

SIX = SixN()
# Any law that somebody could fit: exponents 0.15 to 0.8, floors 0 to 3, terms that matter at 1e9 parameters or tokens.
LAWS = st.builds(
    lambda e, a, b, alpha, beta, gamma: Surface(e, a * 1e9**alpha, b * 1e9**beta, alpha, beta, gamma),
    st.floats(0.0, 3.0),
    st.floats(0.05, 2.0),
    st.floats(0.05, 2.0),
    st.floats(0.15, 0.8),
    st.floats(0.15, 0.8),
    st.sampled_from([1.0, 0.3, 0.7, 1.4]),
)


def constants(name: str) -> Surface:
    return published(name).surfaces[name]


@pytest.mark.parametrize(
    ("name", "flops", "n", "d", "loss"),
    [
        # The constants' own closed form in float64 by hand (arXiv:2203.15556 eq. 4); loss where a paper's table has it.
        ("hoffmann-tex", 1e21, 2.217e9, 33.9 * 2.217e9, None),
        ("hoffmann-tex", 5.76e23, 4.036e10, 2.379e12, 1.9184),
        ("hoffmann-tex", 1e24, 5.192e10, 3.210e12, None),
        ("hoffmann-tex", 3.8e25, 2.732e11, 2.318e13, None),
        ("hoffmann-rounded", 1e21, 1.824e9, 50.1 * 1.824e9, None),
        ("hoffmann-rounded", 5.76e23, 3.219e10, 2.982e12, 1.9307),
        ("hoffmann-rounded", 1e24, 4.130e10, 4.036e12, None),
        ("hoffmann-rounded", 3.8e25, 2.135e11, 2.967e13, None),
        ("besiroglu", 1e21, 2.778e9, 21.6 * 2.778e9, None),
        ("besiroglu", 5.76e23, 7.225e10, 1.329e12, 1.9744),
        ("besiroglu", 1e24, 9.586e10, 1.739e12, None),
        ("besiroglu", 3.8e25, 6.187e11, 1.024e13, None),
        ("muennighoff", 1e21, 2.915e9, 19.6 * 2.915e9, None),
        ("muennighoff", 5.76e23, 6.996e10, 1.372e12, 2.0252),
        ("muennighoff", 1e24, 9.218e10, 1.808e12, None),
        ("muennighoff", 3.8e25, 5.683e11, 1.115e13, None),
    ],
)
def test_published_constants_have_their_optimum(name, flops, n, d, loss):
    surface = constants(name)
    found = surface.optimum(flops)
    assert found[0] == pytest.approx(n, rel=3e-4)
    assert found[1] == pytest.approx(d, rel=2e-3)
    assert surface.least_loss(flops) == pytest.approx(surface.loss(*found), rel=1e-12)
    if loss is not None:
        assert surface.least_loss(flops) == pytest.approx(loss, abs=5e-5)


@settings(deadline=None, max_examples=200)
@given(LAWS, st.floats(15, 27))
def test_the_search_finds_the_closed_form(law, log_flops):
    flops = 10**log_flops
    n, d = law.optimum(flops)
    found = best_run(Blend((law,), (1.0,)), flops, SIX)
    if 1 < n < flops / 6:  # else the search ends at one parameter or one token
        assert found[0] == pytest.approx(n, rel=1e-6)
        assert found[1] == pytest.approx(d, rel=1e-6)
        assert least_loss(law, flops, SIX) == pytest.approx(law.least_loss(flops), rel=1e-12)
        assert training_flops(n, d) == pytest.approx(flops, rel=1e-12)


@settings(deadline=None, max_examples=100)
@given(LAWS, st.floats(17, 26))
def test_inverses_undo_what_they_invert(law, log_flops):
    flops = 10**log_flops
    n, d = law.optimum(flops)
    loss = law.loss(n, d)
    if loss - law.E < 1e-6 or not (1e3 < n < 1e20 and 1e3 < d < 1e20):
        return  # the loss is the floor: nothing can be read back from it
    assert law.flops_for(loss) == pytest.approx(flops, rel=1e-6)
    assert law.tokens_for(n, loss) == pytest.approx(d, rel=1e-6)
    assert law.size_for(d, loss) == pytest.approx(n, rel=1e-6)
    assert law.tokens_suiting(n) == pytest.approx(d, rel=1e-9)
    assert law.size_suiting(d) == pytest.approx(n, rel=1e-9)
    assert tokens_for(law, n, loss) == pytest.approx(d, rel=1e-6)
    assert size_for(law, d, loss) == pytest.approx(n, rel=1e-6)
    assert flops_for(law, loss, SIX) == pytest.approx(flops, rel=1e-6)
    assert tokens_suiting(law, n, SIX) == pytest.approx(d, rel=1e-6)
    assert size_suiting(law, d, SIX) == pytest.approx(n, rel=1e-6)


@settings(deadline=None, max_examples=50)
@given(LAWS, st.floats(8, 11), st.floats(9, 13))
def test_pulls_are_the_derivatives(law, log_n, log_d):
    n, d, h = 10**log_n, 10**log_d, 1e-6
    by_n = -(law.loss(n * np.exp(h), d) - law.loss(n * np.exp(-h), d)) / (2 * h)
    by_d = -(law.loss(n, d * np.exp(h)) - law.loss(n, d * np.exp(-h))) / (2 * h)
    assert law.pulls(n, d) == pytest.approx((by_n, by_d), rel=1e-4, abs=1e-9)
    assert Blend((law, law), (0.3, 0.7)).pulls(n, d) == pytest.approx(law.pulls(n, d), rel=1e-9)


def test_no_run_of_the_same_compute_beats_the_optimum_of_an_average():
    """Brute force over 20,000 sizes."""
    blend = Blend((constants("besiroglu"), constants("hoffmann-tex")), (0.4, 0.6))
    n, d = best_run(blend, 1e23, SIX)
    sizes = np.geomspace(1e9, 1e12, 20_001)
    losses = blend.loss(sizes, 1e23 / (6 * sizes))
    assert blend.loss(n, d) <= losses.min()
    assert n == pytest.approx(sizes[np.argmin(losses)], rel=2e-3)


@pytest.mark.parametrize(("k", "overhead"), [(0.75, 0.028), (0.5, 0.208), (1 / 3, 0.789), (0.33, 0.789), (0.25, 1.89)])
def test_overhead_of_smaller_models_is_that_of_de_vries(k, overhead):
    """His constants (E 1.62, 406.4, 410.7, .336, .283); printed +2.8%, +20.8%, +78.9% at a third, +189%."""
    law = Surface(1.62, 406.4, 410.7, 0.336, 0.283)
    assert law.overhead(k) == pytest.approx(overhead, rel=0.04)
    flops = 1e22
    n, d = law.optimum(flops)
    tokens = law.tokens_for(k * n, law.loss(n, d))  # whatever C is
    assert 6 * k * n * tokens / flops - 1 == pytest.approx(law.overhead(k), rel=1e-9)


def test_overhead_under_besiroglu_and_the_size_that_no_data_makes_good():
    law = constants("besiroglu")
    assert law.overhead(np.asarray([0.75, 0.5, 0.33, 0.25])) == pytest.approx([0.034, 0.259, 1.13, 3.47], rel=0.02)
    assert np.isnan(law.overhead(0.1))


def test_repeated_text_is_worth_what_its_authors_computed():
    """Two vectors of the code of arXiv:2305.16264; D'/U at 2, 4, 8, 16 and 44 epochs."""
    law = constants("muennighoff")
    assert repeated_loss(law, 6.34e9, 242e9, 25e9) == pytest.approx(2.2256440889984477, rel=1e-12)
    assert repeated_loss(law, 8.67e9, 178e9, 25e9) == pytest.approx(2.2269634075087867, rel=1e-12)
    worth = [float(saturated(epochs, 1.0, R_D)) for epochs in (2, 4, 8, 16, 44)]
    assert worth == pytest.approx([1.968, 3.726, 6.624, 10.58, 15.45], abs=5e-3)


def test_with_text_enough_the_limit_changes_nothing():
    law = constants("besiroglu")
    n, d = law.optimum(1e22)
    found = best_repeated(law, n, d, 1e15, SIX)
    assert found.loss_as_planned == pytest.approx(float(law.loss(n, d)))
    assert found.loss == pytest.approx(found.loss_unlimited, rel=1e-9)
    assert found.n_params.value == pytest.approx(n, rel=1e-3)
    assert found.epochs == 1


def test_little_text_favours_smaller_models_and_costs_loss():
    law = constants("besiroglu")
    n, d = law.optimum(1e22)
    found = best_repeated(law, n, d, d / 20, SIX)
    assert found.loss_as_planned == pytest.approx(float(repeated_loss(law, n, d, d / 20)))
    assert found.loss_unlimited < found.loss < found.loss_as_planned
    assert found.n_params.value < n
    assert found.effective_tokens < found.d_tokens
    assert found.loss > found.loss_unlimited
    sizes = np.geomspace(n / 100, n * 10, 4001)
    brute = repeated_loss(law, sizes, 1e22 / (6 * sizes), d / 20)
    assert found.loss == pytest.approx(brute.min(), rel=1e-7)


def test_where_the_text_is_the_limit_the_smallest_of_equal_models_is_named():
    """1e9 unique tokens for 1e24 FLOPs: both N' and D' saturate, and sizes over three decades reach one loss."""
    law = constants("besiroglu")
    n, d = law.optimum(1e24)
    found = best_repeated(law, n, d, 1e9, SIX)
    assert found.n_params.high > 100 * found.n_params.low
    larger = repeated_loss(law, 10 * found.n_params.value, 1e24 / (60 * found.n_params.value), 1e9)
    assert found.loss == pytest.approx(float(larger), rel=1e-3)


def test_kaplans_law_is_a_case():
    """Kaplan et al. 2020, eq. 1.5 with its constants, evaluated as printed there."""
    law = Surface.of({"N_c": 8.8e13, "D_c": 5.4e13, "alpha_N": 0.076, "alpha_D": 0.095})
    assert law is not None
    expected = ((8.8e13 / 1e9) ** (0.076 / 0.095) + 5.4e13 / 2e10) ** 0.095
    assert law.loss(1e9, 2e10) == pytest.approx(expected, rel=1e-12)


def test_an_exact_count_moves_the_optimum_as_brute_force_says():
    """Small models with a large head: exact FLOPs per token are far from 6N there."""
    cost = counted_cost("n_params_non_embedding", 32_768, 1024)
    assert cost is not None
    law = constants("besiroglu")
    n, d = best_run(law, 1e19, cost)
    assert cost.per_token(n) * d == pytest.approx(1e19, rel=1e-12)
    sizes = np.geomspace(1e6, 1e11, 50_001)
    losses = law.loss(sizes, 1e19 / cost.per_token(sizes))
    assert n == pytest.approx(sizes[np.argmin(losses)], rel=3e-4)
    assert n > law.size_suiting(d)  # the head's cost grows slower than N, so larger models are the cheaper ones


@pytest.mark.parametrize("definition", ["n_params", "n_params_non_embedding"])
def test_the_smooth_count_follows_the_shapes(definition):
    cost = counted_cost(definition, 32_768, 4096)
    assert cost is not None
    sizes = np.geomspace(2e7, 5e11, 40)
    shapes = [shape_of(float(n), definition, 32_768, 4096) for n in sizes]
    exact = np.asarray([shape.flops_per_token for shape in shapes if shape is not None])
    assert np.median(np.abs(cost.per_token(sizes) / exact - 1)) < 0.02
    h = 1e-5
    slope = np.log(cost.per_token(sizes * np.exp(h)) / cost.per_token(sizes * np.exp(-h))) / (2 * h)
    assert cost.elasticity(sizes) == pytest.approx(slope, rel=1e-6)
