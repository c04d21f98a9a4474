"""One law fitted for one purpose: to extrapolate to a target compute.

No law is exact, so far-away runs are biased and not only noisy: each point's scale is

    s_i^2 = NOISE^2 + (DRIFT log10(C_target / C_i))^2 + (ln L_i - ln L_best,i)^2

with L_best,i the lowest loss among runs that cost no more: a run far above it (a large model that has seen almost
nothing, a recipe that went wrong) follows no power law and says little about runs that do. Priors hold exponents that
the points leave open: each law's at its own published fits. The mode of

    sum_i (sqrt(1 + r_i^2) - 1) + sum_j ((theta_j - mu_j) / s_j)^2 / 2,  r_i = (ln L_law - ln L_i) / s_i

(pseudo-Huber, Hartley and Zisserman 2004, appendix 6.8) is found by trust-region least squares from several starts;
its Laplace covariance is the parameters' uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.laws import Law
from fitting.solve import evaluate, jacobian

NOISE = 0.004  # standard deviation of ln L near the target (seed noise of public runs is 0.0004-0.01)
DRIFT = 0.01  # per decade of compute; developed on public sweeps, see docs/forecasts.md
SAME_COMPUTE = 1.02  # runs of one IsoFLOP slice differ by less
# (mean, standard deviation) of exponents by law and parameter. Means: published fits of that very law, whose exponents
# differ from law to law because the forms do. Standard deviations: 30% of the mean, and 0.5 of ln gamma (assumptions).
PRIORS = {
    # alpha/beta: Hoffmann et al. 2022 .34/.28, Besiroglu et al. 2024 .35/.37, Muennighoff et al. 2023 .35/.35.
    "chinchilla": {"alpha": (0.34, 0.10), "beta": (0.34, 0.10)},
    # Busbridge et al. 2025 (arXiv:2502.08606): alpha .41, beta .43, gamma .45.
    "gamma": {"alpha": (0.42, 0.12), "beta": (0.42, 0.12), "ln_gamma": (-0.8, 0.5)},
    # Kaplan et al. 2020 (arXiv:2001.08361): alpha_N .076, alpha_D .095 (eq. 1.1, 1.2) and .103 (table 2).
    "kaplan": {"alpha_n": (0.09, 0.03), "alpha_d": (0.09, 0.03)},
}
STARTS = 12


@dataclass(frozen=True)
class Mode:
    """The posterior mode of one law with its Laplace covariance."""

    law: Law
    centre: np.ndarray  # (inputs,)
    theta: np.ndarray  # (parameters,)
    covariance: np.ndarray  # (parameters, parameters)

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ln L and its variance from the parameters, at uncentred features (targets, inputs)."""
        x = features - self.centre
        slopes = jacobian(self.law, self.theta, x)
        return evaluate(self.law, self.theta[None], x)[0], np.einsum("tp,pq,tq->t", slopes, self.covariance, slopes)


def posterior_mode(
    law: Law,
    features: np.ndarray,
    log_loss: np.ndarray,
    flops: np.ndarray,
    target_flops: float,
    keep: np.ndarray,
) -> Mode:
    """The mode given the points where `keep` holds; the arrays stay whole, so that one compiled program serves."""
    from scipy.optimize import least_squares

    centre = law.centre(features[keep])
    x = features - centre
    weight = np.zeros(len(x))
    weight[keep] = 1 / scales(flops[keep], log_loss[keep], target_flops)
    bounds = law.parameters(x[keep], log_loss[keep])
    lower, upper = (np.asarray([getattr(p, side) for p in bounds]) for side in ("lower", "upper"))
    mean, inverse_sd = priors(law)
    informed = inverse_sd > 0

    def residuals(theta: np.ndarray) -> np.ndarray:
        r = (evaluate(law, theta[None], x)[0] - log_loss) * weight
        return np.concatenate([_robust(r), ((theta - mean) * inverse_sd)[informed]])

    def slopes(theta: np.ndarray) -> np.ndarray:
        r = (evaluate(law, theta[None], x)[0] - log_loss) * weight
        rows = jacobian(law, theta, x) * (weight * _robust_slope(r))[:, None]
        return np.concatenate([rows, np.diag(inverse_sd)[informed]])

    starts = law.starts(x[keep], log_loss[keep])
    chosen = starts[np.linspace(0, len(starts) - 1, min(STARTS, len(starts))).astype(int)]
    inside = np.clip(chosen, lower + 1e-6, upper - 1e-6)
    found = [
        least_squares(residuals, start, jac=slopes, bounds=(lower, upper), x_scale="jac", max_nfev=100)
        for start in inside
    ]
    best = min(found, key=lambda result: result.cost)
    information = best.jac.T @ best.jac
    return Mode(law, centre, best.x, np.linalg.pinv(information, rcond=1e-12, hermitian=True))


def scales(flops: np.ndarray, log_loss: np.ndarray, target_flops: float) -> np.ndarray:
    """s of each point, (points,)."""
    drift = DRIFT * np.maximum(np.log10(target_flops / flops), 0.0)
    return np.sqrt(NOISE**2 + drift**2 + above_best(flops, log_loss) ** 2)


def above_best(flops: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
    """How far ln L lies above the lowest among runs that cost no more, (points,)."""
    order = np.argsort(flops)
    lowest = np.minimum.accumulate(log_loss[order])
    return log_loss - lowest[np.searchsorted(flops[order], SAME_COMPUTE * flops, side="right") - 1]


def priors(law: Law) -> tuple[np.ndarray, np.ndarray]:
    """Mean and 1/sd of each parameter; 1/sd = 0 where there is no prior."""
    known = PRIORS.get(law.name, {})
    names = [p.name for p in law.parameters(np.zeros((1, len(law.inputs))), np.zeros(1))]
    mean = np.asarray([known[name][0] if name in known else 0.0 for name in names])
    return mean, np.asarray([1 / known[name][1] if name in known else 0.0 for name in names])


def _robust(r: np.ndarray) -> np.ndarray:
    """f with f^2 / 2 = sqrt(1 + r^2) - 1: least squares of it is pseudo-Huber."""
    return np.sign(r) * np.sqrt(2 * (np.sqrt(1 + r * r) - 1))


def _robust_slope(r: np.ndarray) -> np.ndarray:
    """df/dr, 1 at r = 0."""
    root = np.sqrt(1 + r * r)
    return np.where(np.abs(r) < 1e-4, 1.0, np.abs(r) / (root * np.maximum(np.abs(_robust(r)), 1e-12)))
