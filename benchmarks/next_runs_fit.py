"""The product's forecast, 20 times as fast: the same modes by one batched Levenberg-Marquardt over all starts.

A replay of next-run choices needs some 100,000 modes. fitting/posterior.py searches start by start; here all starts
of one problem advance together, in closed form and in numpy. `largest_difference` measures how far
they are from the product's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fitting import ensemble, posterior
from fitting.laws import Law, law_named
from fitting.next_runs import knowledge
from fitting.points import Points
from fitting.posterior import STARTS, Mode, priors, scales

ROUNDS = 120
SAME = 1e-9  # relative decrease of the objective below which a start has arrived


def slopes_of(name: str, theta: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln L (starts, points) and its slopes (starts, points, parameters) at theta (starts, parameters)."""
    x0, x1 = x[None, :, 0], x[None, :, 1]
    if name == "kaplan":
        return _kaplan_slopes(theta, x0, x1)
    a, alpha, b, beta, e = (theta[:, i, None] for i in range(5))
    gamma = np.exp(theta[:, 5, None]) if name == "gamma" else np.ones_like(a)
    capacity, data = a / gamma - alpha * x0, b / gamma - beta * x1
    total = np.logaddexp(capacity, data)
    share = np.exp(capacity - total)
    above = gamma * total - e
    weight = 1 / (1 + np.exp(-np.clip(above, -500, 500)))
    value = e + np.logaddexp(0.0, above)
    first, second = weight * share, weight * (1 - share)
    columns = [first, -gamma * x0 * first, second, -gamma * x1 * second, 1 - weight]
    if name == "gamma":
        columns.append(weight * (gamma * total - a * share - b * (1 - share)))
    return value, np.stack(columns, axis=-1)


def _kaplan_slopes(theta: np.ndarray, x0: np.ndarray, x1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, alpha_n, b, alpha_d = (theta[:, i, None] for i in range(4))
    capacity, data = (a - alpha_n * x0) / alpha_d, b / alpha_d - x1
    total = np.logaddexp(capacity, data)
    share = np.exp(capacity - total)
    columns = [share, -x0 * share, 1 - share, total - capacity * share - b / alpha_d * (1 - share)]
    return alpha_d * total, np.stack([np.broadcast_to(c, total.shape) for c in columns], axis=-1)


def posterior_mode(
    law: Law,
    features: np.ndarray,
    log_loss: np.ndarray,
    flops: np.ndarray,
    target_flops: float,
    keep: np.ndarray,
) -> Mode:
    """What fitting.posterior.posterior_mode returns."""
    centre = law.centre(features[keep])
    x, y = features[keep] - centre, log_loss[keep]
    weight = 1 / scales(flops[keep], y, target_flops)
    bounds = law.parameters(x, y)
    lower, upper = (np.asarray([getattr(p, side) for p in bounds]) for side in ("lower", "upper"))
    mean, inverse_sd = priors(law)
    starts = law.starts(x, y)
    chosen = starts[np.linspace(0, len(starts) - 1, min(STARTS, len(starts))).astype(int)]
    theta = np.clip(chosen, lower + 1e-6, upper - 1e-6)

    def state(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Objective, gradient and Gauss-Newton matrix of least_squares' residuals."""
        value, rows = slopes_of(law.name, theta, x)
        r = (value - y) * weight
        root = np.sqrt(1 + r * r)
        robust = np.sign(r) * np.sqrt(2 * (root - 1))
        slope = np.where(np.abs(r) < 1e-4, 1.0, np.abs(r) / (root * np.maximum(np.abs(robust), 1e-12)))
        rows = rows * (weight * slope)[..., None]
        prior = (theta - mean) * inverse_sd
        objective = 0.5 * ((robust**2).sum(axis=1) + (prior**2).sum(axis=1))
        gradient = np.matmul(rows.transpose(0, 2, 1), robust[..., None])[..., 0] + prior * inverse_sd
        return objective, gradient, np.matmul(rows.transpose(0, 2, 1), rows) + np.diag(inverse_sd**2)

    objective, gradient, matrix = state(theta)
    damping = np.full(len(theta), 1e-2)
    alive = np.ones(len(theta), dtype=bool)
    small = np.zeros(len(theta), dtype=int)
    unit = np.eye(theta.shape[1])
    for _ in range(ROUNDS):
        at = np.flatnonzero(alive)
        if not len(at):
            break
        t, g, m = theta[at], gradient[at], matrix[at]
        free = ~(((t <= lower) & (g > 0)) | ((t >= upper) & (g < 0)))
        both = free[:, :, None] & free[:, None, :]
        scale = np.maximum(np.einsum("kpp->kp", m), 1e-9)
        lhs = np.where(both, m, 0.0) + unit * np.where(free, damping[at, None] * scale, 1.0)[:, :, None]
        step = -np.linalg.solve(lhs, np.where(free, g, 0.0)[..., None])[..., 0]
        trial = np.clip(t + np.clip(step, -2.0, 2.0), lower, upper)
        o, g2, m2 = state(trial)
        better = o < objective[at]
        gain = np.where(better, objective[at] - o, 0.0)
        small[at] = np.where(
            better & (gain < SAME * (1e-3 + objective[at])), small[at] + 1, np.where(better, 0, small[at])
        )
        won = at[better]
        theta[won], objective[won], gradient[won], matrix[won] = trial[better], o[better], g2[better], m2[better]
        damping[at] = np.where(better, np.maximum(damping[at] * 0.15, 1e-12), damping[at] * 5.0)
        alive[at] = (small[at] < 2) & (damping[at] < 1e10)
    best = int(objective.argmin())
    return Mode(law, centre, theta[best], np.linalg.pinv(matrix[best], rcond=1e-12, hermitian=True))


def slopes_at(mode: Mode, n_params: np.ndarray, d_tokens: np.ndarray) -> np.ndarray:
    """d ln L / d theta (runs, parameters)."""
    features = mode.law.features({"n_params": n_params, "d_tokens": d_tokens})
    return slopes_of(mode.law.name, mode.theta[None], features - mode.centre)[1][0]


def prior_inverse_sd(mode: Mode) -> np.ndarray:
    """1/sd of the prior on each parameter, 0 where there is none."""
    return priors(mode.law)[1]


def evaluate(law: Law, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """As fitting.solve.evaluate."""
    return slopes_of(law.name, theta, x)[0]


def jacobian(law: Law, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """As fitting.solve.jacobian."""
    return slopes_of(law.name, theta[None], x)[1][0]


def largest_difference(problems: Sequence[tuple[Points, float]]) -> float:
    """Of ln L at the targets' compute between these modes and the product's, over points and target compute."""
    worst = 0.0
    for points, target_flops in problems:
        everything = np.ones(len(points), dtype=bool)
        for name in ensemble.MEMBERS:
            law = law_named(name)
            features = law.features(points.columns())
            problem = (law, features, np.log(points.loss), points.flops_6nd, target_flops, everything)
            ours, theirs = posterior_mode(*problem), posterior.posterior_mode(*problem)
            size = np.sqrt(target_flops / 6 / 20)  # D = 20 N
            at = np.log(np.asarray([[size, 20 * size]]))
            values = [evaluate(law, mode.theta[None], at - mode.centre)[0, 0] for mode in (ours, theirs)]
            worst = max(worst, abs(values[0] - values[1]))
    return worst


def use() -> None:
    """From here on the product's forecasts and choices are made of these modes and slopes."""
    setattr(ensemble, posterior_mode.__name__, posterior_mode)
    for module in (posterior, knowledge):
        for function in (evaluate, jacobian):
            setattr(module, function.__name__, function)
