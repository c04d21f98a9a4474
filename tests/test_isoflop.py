"""Approaches 1 and 2 of Hoffmann et al. 2022: recovery, bias, refusals, published exponents."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planned import app, runner

from fitting.allocate import optimum
from fitting.budgets import budgets
from fitting.envelope import Curve, fit_envelope, points_on_curves
from fitting.errors import InputError
from fitting.isoflop import fit_isoflop
from fitting.isoflop_bias import approach2_bias, isoflop_bias
from fitting.isoflop_curve import Method, minima
from fitting.isoflop_slice import SliceStatus
from fitting.points import Points
from fitting.read import read_points

TRUE = {"E": 1.7, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.37}
EXPONENT = 0.37 / (0.34 + 0.37)  # a = beta/(alpha+beta), Hoffmann et al. 2022, eq. 4
BUDGETS = np.geomspace(1e18, 1e21, 6)
WIDTHS = (2, 4, 8, 16)


def law_loss(n, d, law=TRUE):
    return law["E"] + law["A"] * n ** -law["alpha"] + law["B"] * d ** -law["beta"]


def made_points(n, flops, loss, cluster=None) -> Points:
    labels = tuple(str(label) for label in (range(len(n)) if cluster is None else cluster))
    return Points(n, flops / (6 * n), loss, flops, labels, "made", "n", "6ND")


def isoflop_points(noise=0.0, seed=0, count=9, half_width=8.0, drift=1.0, law=TRUE) -> Points:
    """`count` runs per budget around N*, the centre of the grid off by another factor `drift` at each budget."""
    centres = optimum(law, BUDGETS)[0] * drift ** np.arange(len(BUDGETS))
    n = (centres[:, None] * np.geomspace(1 / half_width, half_width, count)).ravel()
    flops = np.repeat(BUDGETS, count)
    loss = law_loss(n, flops / (6 * n), law) + noise * np.random.default_rng(seed).standard_normal(len(n))
    return made_points(n, flops, loss)


# -- approach 2: recovery and facts


@pytest.mark.parametrize("method", Method)
def test_isoflop_recovers_the_exponent_of_a_law(method):
    fit = fit_isoflop(isoflop_points(count=15), method, resamples=100)
    assert fit.n_law.exponent == pytest.approx(EXPONENT, abs=1e-3)
    assert fit.d_law.exponent == pytest.approx(1 - EXPONENT, abs=1e-3)  # C = 6ND
    assert all(one.status is SliceStatus.FOUND for one in fit.slices)


def test_isoflop_of_a_symmetric_law_is_exact():
    law = {**TRUE, "alpha": 0.3, "beta": 0.3}
    fit = fit_isoflop(isoflop_points(law=law), resamples=100)
    n_best, d_best = optimum(law, BUDGETS)
    assert [best.n_params for _, best in fit.used] == pytest.approx(n_best, rel=1e-9)
    assert [best.d_tokens for _, best in fit.used] == pytest.approx(d_best, rel=1e-9)
    assert fit.n_law.at(1e24).value == pytest.approx(optimum(law, 1e24)[0], rel=1e-8)


def test_slice_states_its_grid():
    slices = fit_isoflop(isoflop_points(half_width=4.0, drift=1.1), Method.AKIMA, resamples=100).slices
    assert [one.half_width for one in slices] == pytest.approx([4.0] * 6)
    # A coarse spline moves N* by some percent; the grid was made off centre by 1.1^i.
    assert [one.centre_offset for one in slices] == pytest.approx(1.1 ** np.arange(6), rel=0.02)


def test_interval_covers_the_exponent_in_most_simulations():
    """Nominal 90%: 40 made experiments, binomial probability of fewer than 31 below 1%."""
    for noise in (None, 0.01):
        fits = [fit_isoflop(isoflop_points(0.01, seed), noise=noise, resamples=200) for seed in range(40)]
        assert sum(fit.n_law.low <= EXPONENT <= fit.n_law.high for fit in fits) >= 31


def test_same_seed_gives_the_same_bits():
    one, two = (fit_isoflop(isoflop_points(0.01), Method.AKIMA, resamples=100) for _ in range(2))
    assert np.array_equal(one.n_law.draws, two.n_law.draws)
    assert not np.array_equal(
        one.n_law.draws, fit_isoflop(isoflop_points(0.01), Method.AKIMA, seed=7).n_law.draws[:100]
    )


def test_rows_that_share_a_run_are_drawn_together():
    points = isoflop_points(0.01)
    shared = made_points(points.n_params, points.flops, points.loss, cluster=np.tile(np.arange(9), 6))
    assert fit_isoflop(points, resamples=100).resampled == "points within each budget"
    assert fit_isoflop(shared, resamples=100).resampled == "9 clusters"


def test_only_the_best_run_of_one_n_counts():
    points = isoflop_points()
    worse = made_points(np.tile(points.n_params, 2), np.tile(points.flops, 2), np.append(points.loss, points.loss + 1))
    fit = fit_isoflop(worse, resamples=100)
    assert [one.beaten for one in fit.slices] == [9] * 6
    assert fit.n_law.exponent == pytest.approx(fit_isoflop(points, resamples=100).n_law.exponent, abs=1e-12)


def test_budgets_are_made_of_compute_within_the_tolerance():
    flops = np.array([1.0, 2.0, 1.05, 2.1, 1.2])
    assert [rows.tolist() for rows in budgets(flops, 0.1, "made")] == [[0, 2], [4], [1, 3]]


@settings(max_examples=50, deadline=None)
@given(centre=st.floats(-1, 1), curve=st.floats(0.01, 10), count=st.integers(4, 20))
def test_parabola_has_its_own_minimum(centre, curve, count):
    x = 20 + np.linspace(-2, 2, count)
    log_n, loss = minima(Method.PARABOLA, x, np.ones((1, count)), (3 + curve * (x - 20 - centre) ** 2)[None])
    assert log_n[0] == pytest.approx(20 + centre, abs=1e-8)
    assert loss[0] == pytest.approx(3, abs=1e-8)


def test_the_top_of_a_downward_parabola_is_no_minimum():
    x = np.linspace(-2, 2, 5)
    assert np.isnan(minima(Method.PARABOLA, x, np.ones((1, 5)), (3 - x**2)[None])[0][0])


def test_akima_minimum_is_that_of_a_dense_evaluation():
    """Independent: scipy's spline on 200,001 points."""
    from scipy.interpolate import Akima1DInterpolator

    x = np.sort(np.random.default_rng(0).uniform(17, 23, 9))
    loss = 3 + 0.05 * (x - 20) ** 2 + 0.01 * np.random.default_rng(1).standard_normal(9)
    dense = np.linspace(x[0], x[-1], 200_001)
    expected = dense[np.argmin(Akima1DInterpolator(x, np.log(loss))(dense))]
    assert minima(Method.AKIMA, x, np.ones((1, 9)), loss[None])[0][0] == pytest.approx(expected, abs=1e-4)


# -- approach 2: refusals are data


def with_first_budget(loss_of_x, count=9) -> Points:
    """Five good budgets, and a first one whose loss is a given function of ln N - its mean."""
    points = isoflop_points(count=9)
    first, rest = np.arange(count), np.arange(9, 54)
    n, flops = points.n_params[np.r_[first, rest]], points.flops[np.r_[first, rest]]
    x = np.log(n[:count]) - np.log(n[:count]).mean()
    return made_points(n, flops, np.r_[loss_of_x(x), points.loss[rest]])


@pytest.mark.parametrize(
    ("loss_of_x", "count", "method", "status"),
    [
        (lambda x: 3 + 0.1 * x**2, 3, Method.PARABOLA, SliceStatus.TOO_FEW_POINTS),
        (lambda x: 4 - 0.1 * x**2, 9, Method.PARABOLA, SliceStatus.DOWNWARD),
        (lambda x: 3 + 0.1 * (x - 5) ** 2, 9, Method.PARABOLA, SliceStatus.EDGE),
        (lambda x: 3 + 0.1 * (x - 5) ** 2, 9, Method.AKIMA, SliceStatus.EDGE),
        (lambda x: 4 - 0.1 * x**2, 9, Method.AKIMA, SliceStatus.EDGE),
    ],
)
def test_a_budget_without_a_minimum_is_refused_in_words(loss_of_x, count, method, status):
    fit = fit_isoflop(with_first_budget(loss_of_x, count), method, resamples=100)
    assert fit.slices[0].status is status
    assert fit.slices[0].optimum is None
    assert fit.slices[0].sentence
    assert fit.sentence.startswith("5 of 6 budgets")
    assert fit.n_law.exponent == pytest.approx(EXPONENT, abs=0.01)


def test_a_minimum_that_resamples_lose_is_refused():
    """Four points with the lowest second: every resample without the first or with fewer than three N loses it."""
    fit = fit_isoflop(with_first_budget(lambda x: 3 + 0.1 * (x + 0.3) ** 2, 4), Method.AKIMA, resamples=200)
    assert fit.slices[0].status is SliceStatus.UNSTABLE
    assert "resamples" in fit.slices[0].sentence


def test_a_minimum_beside_the_lowest_run_at_the_edge_is_marked():
    points = with_first_budget(lambda x: 3 + 0.1 * (x - 2.0) ** 2)  # grid to x = 2.08, its neighbour at 1.56
    fit = fit_isoflop(points, noise=1e-3, resamples=200)
    assert fit.slices[0].status is SliceStatus.NOT_BRACKETED
    assert "add larger N" in fit.slices[0].sentence
    assert fit.slices[0].optimum is not None


def test_runs_on_one_ray_have_no_isoflop():
    n = np.geomspace(1e7, 1e9, 8)
    flops = 120 * n**2  # D = 20 N
    points = made_points(n, flops, law_loss(n, 20 * n))
    for fit in (fit_isoflop, fit_envelope):
        with pytest.raises(InputError, match="Add runs of equal compute") as error:
            fit(points)
        assert "\n" not in str(error.value)


def test_compute_that_is_no_number_is_refused():
    points = isoflop_points()
    with pytest.raises(InputError, match="flops"):
        fit_isoflop(points, flops=np.where(points.flops > 1e20, np.nan, points.flops))


# -- approach 2: bias


def bias_at(alpha, beta, half_width, offset=1.0):
    law = {**TRUE, "alpha": alpha, "beta": beta}
    n_best = float(optimum(law, 1e21)[0])
    return approach2_bias(law, offset * n_best * np.geomspace(1 / half_width, half_width, 15), 1e21)


def test_bias_of_the_parabola_is_the_known_one():
    """Percent at half-width x2, x4, x8, x16 with 15 points; measured with independent code before this was written."""
    assert [100 * bias_at(0.34, 0.28, width) for width in WIDTHS] == pytest.approx([0.3, 1.3, 3.0, 5.4], abs=0.05)
    assert [100 * bias_at(0.465, 0.155, width) for width in WIDTHS] == pytest.approx([1.7, 6.9, 16.2, 30.1], abs=0.06)


@settings(max_examples=50, deadline=None)
@given(exponent=st.floats(0.1, 0.8), width=st.floats(1.5, 16), coefficient=st.floats(10, 1e4))
def test_bias_of_a_symmetric_law_is_zero_and_n_scales_with_the_root_of_compute(exponent, width, coefficient):
    law = {"E": 1.7, "A": coefficient, "B": 410.0, "alpha": exponent, "beta": exponent}
    for flops in (1e18, 1e22):
        n_best = float(optimum(law, flops)[0])
        assert approach2_bias(law, n_best * np.geomspace(1 / width, width, 9), flops) == pytest.approx(0, abs=1e-6)
    assert optimum(law, 1e22)[0] / optimum(law, 1e18)[0] == pytest.approx(100)  # (1e4)^(1/2)


def test_bias_does_not_depend_on_the_coefficients():
    law = {"E": 0.0, "A": 9.0, "B": 7000.0, "alpha": 0.34, "beta": 0.28}
    grid = float(optimum(law, 1e19)[0]) * np.geomspace(1 / 8, 8, 15)
    assert approach2_bias(law, grid, 1e19) == pytest.approx(bias_at(0.34, 0.28, 8), rel=1e-5)


def test_bias_has_no_value_where_the_grid_has_no_minimum():
    assert bias_at(0.34, 0.28, 2, offset=10.0) is None


def test_correction_removes_the_bias_of_a_drifting_grid():
    """Noise-free: N*/(1+bias) is the law's own N*, and the exponent beta/(alpha+beta)."""
    fit = fit_isoflop(isoflop_points(drift=1.3), resamples=100)
    assert abs(fit.n_law.exponent - EXPONENT) > 0.01
    bias = isoflop_bias(fit, TRUE)
    assert bias.corrected_exponent == pytest.approx(EXPONENT, abs=1e-9)
    assert [half.corrected for half in bias.slices] == pytest.approx(optimum(TRUE, BUDGETS)[0], rel=1e-9)


# -- approach 1


def test_envelope_recovers_the_exponent_within_its_interval():
    points = isoflop_points(count=31)
    envelope = fit_envelope(points, resamples=200)
    assert envelope.bracketed.all()
    assert envelope.n_law.exponent == pytest.approx(EXPONENT, abs=0.01)  # N moves in steps of 15%
    assert envelope.n_law.low < EXPONENT < envelope.n_law.high


def test_envelope_of_curves_recovers_the_exponent():
    d = np.geomspace(1e8, 1e12, 60)
    curves = [Curve(n, d, 6 * n * d, law_loss(n, d)) for n in np.geomspace(1e7, 1e10, 25)]
    envelope = fit_envelope(points_on_curves(curves, "made", "n", "6ND"), resamples=100)
    assert envelope.n_law.exponent == pytest.approx(EXPONENT, abs=0.01)
    assert envelope.resampled == "25 clusters"
    # The smallest and the largest N stay lowest beyond the grid; nothing brackets them there.
    fitted = envelope.n_params[envelope.bracketed]
    assert envelope.n_params[0] == curves[0].n_params
    assert envelope.n_params[-1] == curves[-1].n_params
    assert curves[0].n_params < fitted.min() < fitted.max() < curves[-1].n_params


def test_the_envelope_is_a_command_with_tables_json_and_refusals(tmp_path):
    points = isoflop_points(count=31)
    path = tmp_path / "runs.csv"
    rows = zip(points.n_params, points.d_tokens, points.loss, points.flops, strict=True)
    path.write_text("n_params,d_tokens,loss,flops\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    done = runner.invoke(app, ["envelope", "--points", str(path), "--json", "--resamples", "100"])
    told = json.loads(done.stdout)
    assert told["exponents"]["n_params"]["value"] == fit_envelope(points, resamples=100).n_law.exponent
    assert [run["flops"] for run in told["runs"]] == pytest.approx(BUDGETS)
    assert all(run["bracketed"] for run in told["runs"])
    shown = runner.invoke(app, ["envelope", "--points", str(path), "--where", "n_params < 3e9"])
    assert "N* ~ C^0." in shown.stdout
    assert "beat both a larger and a smaller N" in " ".join(shown.stdout.split())
    for flags, words in ((["--level", "90"], "Give 0.9"), (["--where", "flops < 2e18"], "Add runs of equal compute")):
        refused = runner.invoke(app, ["envelope", "--points", str(path), *flags])
        assert isinstance(refused.exception, InputError)
        assert words in str(refused.exception)


def test_envelope_leaves_out_a_run_beaten_with_less_compute():
    points = isoflop_points()
    loss = points.loss.copy()
    loss[9:18] += 1.0  # the second budget as a whole
    envelope = fit_envelope(made_points(points.n_params, points.flops, loss), resamples=100)
    assert len(envelope.flops) == 5


# -- published numbers

PUBLISHED = {  # Porian et al. 2024, Fig. 1 on RefinedWeb: exponent a and 95% interval
    1: (0.835, 0.824, 0.846),
    2: (0.706, 0.691, 0.717),
    3: (0.602, 0.591, 0.617),
    4: (0.571, 0.560, 0.589),
    5: (0.497, 0.491, 0.505),
}


@pytest.mark.parametrize("experiment", PUBLISHED)
def test_weighted_akima_gives_the_exponents_of_porian(reference, experiment):
    """From the raw points, with our own N* and weights. Their losses got a noise of .002 whatever the loss, which is
    the floor of what they describe (a comparison of ln L with limits meant for L): with .002 their interval follows."""
    points = read_points([str(reference / "porian.csv")], where=f"experiment == {experiment}")
    fit = fit_isoflop(points, Method.AKIMA, noise=0.002, level=0.95)
    exponent, low, high = PUBLISHED[experiment]
    assert fit.n_law.exponent == pytest.approx(exponent, abs=0.003)
    assert (fit.n_law.low, fit.n_law.high) == pytest.approx((low, high), abs=0.006)


@pytest.mark.parametrize("experiment", PUBLISHED)
def test_optima_agree_with_those_of_porian(reference, experiment):
    """porian_optima.csv: median N* of 1,000 noise draws on a grid of 25 per interval, and its deviation, the weight."""
    where = f"experiment == {experiment}"
    fit = fit_isoflop(read_points([str(reference / "porian.csv")], where=where), Method.AKIMA, noise=0.002)
    theirs = np.genfromtxt(reference / "porian_optima.csv", delimiter=",", names=True)
    theirs = theirs[(theirs["experiment"] == experiment) & np.isfinite(theirs["n_opt"])]
    assert [one.flops for one, _ in fit.used] == pytest.approx(theirs["flops"])
    ours = [np.nanmedian(best.log_n_draws) for _, best in fit.used]
    assert ours == pytest.approx(np.log(theirs["n_opt"]), abs=0.03)  # one step of their search grid is .014
    assert [best.log_std for _, best in fit.used] == pytest.approx(theirs["n_opt_logstd"], rel=0.06)


def test_resampled_points_give_a_wider_interval_than_porian_publish(reference):
    points = read_points([str(reference / "porian.csv")], where="experiment == 5")
    law = fit_isoflop(points, Method.AKIMA, level=0.95, resamples=300).n_law
    assert law.exponent == pytest.approx(0.497, abs=0.003)
    assert law.low < 0.491
    assert law.high > 0.505
