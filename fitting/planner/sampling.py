"""Draws of a law's constants from its posterior: what the runs leave open, however curved it is.

The density is that of fitting/posterior.py: pseudo-Huber residuals at scales that grow with the distance to the target,
weak priors, bounds. A normal distribution around the mode (Laplace) leaves the curved ridge along which constants trade
against each other: its draws miss the largest runs by a median of 4% where the fit misses them by 0.2%. The
affine-invariant ensemble sampler (Goodman and Weare 2010, stretch moves with a = 2) needs no tuning for such ridges.
"""

from __future__ import annotations

import numpy as np

from fitting.ensemble import QUANTILES
from fitting.planner.belief import LEVEL, NORMAL_90
from fitting.points import Points
from fitting.posterior import Mode, priors, scales
from fitting.solve import evaluate

WALKERS = 64
STRETCH = 2.0
BURN_IN, BETWEEN = 1500, 250  # steps of all walkers before the first target and from one target to the next
# Public sweeps show by how much that posterior is too wide (its scales count the drift of every run as if it were
# independent): the multiplier of the forecast's interval, over the normal one, narrows the draws alike.
SHRINK = QUANTILES[LEVEL] / NORMAL_90
KEPT, EVERY = 8, 25  # snapshots of the walkers, steps between them
DECIMALS = 7  # of theta, whose numbers are of the order of one: a stored law is a tenth as long
START = 0.3  # of the Laplace distribution's width, to begin with


def posterior_draws(
    modes: list[Mode],
    targets: list[float],
    points: Points,
    bounds: np.ndarray,
    seed: int,
) -> list[np.ndarray]:
    """For each target's mode of one law, theta draws (KEPT x WALKERS, parameters); the walkers go from one to the next.

    targets: compute, FLOPs. bounds: lower and upper of theta, (2, parameters).
    """
    rng = np.random.RandomState(seed)
    law = modes[0].law
    mean, inverse_sd = priors(law)
    walkers = _around(modes[0], bounds, rng)
    found = []
    for place, (mode, target) in enumerate(zip(modes, targets, strict=True)):
        x, log_loss = _centred(mode, points)
        scale = scales(points.flops_6nd, log_loss, target)

        def log_density(theta: np.ndarray, x=x, log_loss=log_loss, scale=scale) -> np.ndarray:
            r = (evaluate(law, theta, x) - log_loss) / scale
            value = -(np.sqrt(1 + r * r) - 1).sum(axis=1) - 0.5 * (((theta - mean) * inverse_sd) ** 2).sum(axis=1)
            value = value / SHRINK**2
            inside = ((theta >= bounds[0]) & (theta <= bounds[1])).all(axis=1)
            return np.where(inside, value, -np.inf)

        density = log_density(walkers)
        for _ in range(BURN_IN if place == 0 else BETWEEN):
            walkers, density = _step(walkers, density, log_density, rng)
        snapshots = []
        for _ in range(KEPT):
            for _ in range(EVERY):
                walkers, density = _step(walkers, density, log_density, rng)
            snapshots.append(walkers)
        found.append(np.round(np.concatenate(snapshots), DECIMALS))
    return found


def _centred(mode: Mode, points: Points) -> tuple[np.ndarray, np.ndarray]:
    return mode.law.features(points.columns()) - mode.centre, np.log(points.loss)


def _around(mode: Mode, bounds: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    values, vectors = np.linalg.eigh(mode.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    started = mode.theta + START * rng.standard_normal((WALKERS, len(mode.theta))) @ root.T
    room = 1e-6 * (bounds[1] - bounds[0])
    return np.clip(started, bounds[0] + room, bounds[1] - room)


def _step(walkers: np.ndarray, density: np.ndarray, log_density, rng: np.random.RandomState):
    """One stretch move of each half against the other."""
    walkers, density = walkers.copy(), density.copy()
    half = WALKERS // 2
    for movers, others in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
        z = ((STRETCH - 1) * rng.rand(half) + 1) ** 2 / STRETCH
        anchors = walkers[others][rng.randint(half, size=half)]
        proposed = anchors + z[:, None] * (walkers[movers] - anchors)
        there = log_density(proposed)
        gain = (walkers.shape[1] - 1) * np.log(z) + there - density[movers]
        taken = np.log(rng.rand(half)) < gain
        walkers[movers] = np.where(taken[:, None], proposed, walkers[movers])
        density[movers] = np.where(taken, there, density[movers])
    return walkers, density
