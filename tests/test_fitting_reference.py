"""The fitter against public point sets: optimum, published standard errors and bounds."""

from __future__ import annotations

import numpy as np
import pytest

from fitting.fit import FitStatus, fit_law
from fitting.read import read_points


@pytest.fixture(scope="module")
def epoch_fit(reference):
    return fit_law(read_points([str(reference / "chinchilla.csv")], where="excluded_by_epoch == 0"))


def test_fit_reaches_the_optimum_of_the_240_chinchilla_points(epoch_fit):
    """Reference: an independent BFGS + Newton solver in NumPy, gradient below 1e-9."""
    assert len(epoch_fit.points) == 240
    assert epoch_fit.objective == pytest.approx(0.001018274017801, rel=1e-8)
    constants = epoch_fit.constants
    assert constants["A"] == pytest.approx(477.825868, rel=1e-5)
    assert constants["B"] == pytest.approx(2143.417366, rel=1e-5)
    assert constants["E"] == pytest.approx(1.81721810, abs=1e-6)
    assert constants["alpha"] == pytest.approx(0.34731050, abs=1e-6)
    assert constants["beta"] == pytest.approx(0.36717243, abs=1e-6)


def test_fit_proves_its_convergence(epoch_fit):
    assert epoch_fit.status is FitStatus.CONVERGED
    assert epoch_fit.proof.gradient_norm < 1e-7
    assert epoch_fit.proof.smallest_eigenvalue == pytest.approx(1.9e-3, rel=0.05)  # independent solver
    assert epoch_fit.proof.best_basin_share > 0.9
    assert epoch_fit.proof.restart_gain < 1e-9


def test_bootstrap_gives_the_published_standard_errors(epoch_fit):
    """Besiroglu et al. 2024 (arXiv:2404.10102), 4,000 resamples, the same draws: 3 digits where they converged."""
    published = {"A": 124.52, "B": 1293.28, "E": 0.02566, "alpha": 0.01540, "beta": 0.02060}
    for name, draws in epoch_fit.constant_draws().items():
        assert np.std(draws, ddof=1) == pytest.approx(published[name], rel=2e-3), name


def test_bootstrap_gives_the_published_bounds(epoch_fit):
    """Their 95% intervals as printed."""
    published = {
        "A": (285.2, 743.6),
        "B": (1042.4, 5810.3),
        "E": (1.769, 1.871),
        "alpha": (0.317, 0.373),
        "beta": (0.331, 0.415),
    }
    for name, draws in epoch_fit.constant_draws().items():
        assert np.quantile(draws, [0.025, 0.975]) == pytest.approx(published[name], rel=5e-3), name


def test_all_245_points_move_beta(reference):
    """The five highest losses that Besiroglu et al. leave out; reference optimum by the independent solver."""
    fit = fit_law(read_points([str(reference / "chinchilla.csv")]), resamples=100)
    assert fit.objective == pytest.approx(1.826010523069e-3, rel=1e-8)
    assert fit.constants["beta"] == pytest.approx(0.45304930, abs=1e-6)


@pytest.mark.parametrize(
    ("delta", "objective", "beta"),
    [(1e-2, 4.696224882616e-3, 0.381538), (1e-4, 1.117787482e-4, 0.365385), (1e-5, 1.12831056e-5, 0.365761)],
)
def test_other_huber_widths_reach_their_optimum(reference, delta, objective, beta):
    points = read_points([str(reference / "chinchilla.csv")], where="excluded_by_epoch == 0")
    fit = fit_law(points, delta=delta, resamples=100)
    assert fit.objective == pytest.approx(objective, rel=1e-8)
    assert fit.constants["beta"] == pytest.approx(beta, abs=1e-5)


def test_misfitting_points_reach_their_optimum(reference):
    fit = fit_law(read_points([str(reference / "misfitting.csv")]), resamples=100)
    assert fit.objective == pytest.approx(5.0216541229e-3, rel=1e-8)
    assert fit.constants["alpha"] == pytest.approx(0.2002645, abs=1e-6)
    assert fit.constants["beta"] == pytest.approx(0.6356619, abs=1e-6)
