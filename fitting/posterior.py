"""One law fitted for one purpose: to extrapolate to a target compute.

Each point's scale grows with its distance to the target, s_i = hypot(NOISE, DRIFT log10(C_target / C_i)): no law is
exact, so far-away runs are biased and not only noisy. Weak priors hold exponents that the points leave open. The
mode of  sum_i (sqrt(1 + r_i^2) - 1) + sum_j ((theta_j - mu_j) / s_j)^2 / 2,  r_i = (ln L_law - ln L_i) / s_i
(pseudo-Huber, Hartley and Zisserman 2004, appendix 6.8), is found by trust-region least squares from several starts;
its Laplace covariance is the parameters' uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.laws import Law
from fitting.solve import evaluate, jacobian

NOISE = 0.004  # standard deviation of ln L near the target (seed noise of public runs is 0.0004-0.01)
DRIFT = 0.03  # per decade of compute; developed on public sweeps, see docs/forecasts.md
# Mean of alpha and beta over published fits (Hoffmann .34/.28, Besiroglu .35/.37, Muennighoff .35, Gadre, Llama 3 .54).
EXPONENT_MEAN = 0.38
LN_GAMMA_SD = 0.5
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
    exponent_sd: float,
) -> Mode:
    """The mode given the points where `keep` holds; the arrays stay whole, so that one compiled program serves."""
    from scipy.optimize import least_squares

    centre = law.centre(features[keep])
    x = features - centre
    distance = np.maximum(np.log10(target_flops / flops), 0.0)
    weight = np.where(keep, 1 / np.hypot(NOISE, DRIFT * distance), 0.0)
    bounds = law.parameters(x[keep], log_loss[keep])
    lower, upper = (np.asarray([getattr(p, side) for p in bounds]) for side in ("lower", "upper"))
    mean, inverse_sd = priors([p.name for p in bounds], exponent_sd)
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


def priors(names: list[str], exponent_sd: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and 1/sd by parameter name; 1/sd = 0 where there is no prior."""
    mean = np.asarray([EXPONENT_MEAN if name in ("alpha", "beta") else 0.0 for name in names])
    sd = {"alpha": exponent_sd, "beta": exponent_sd, "ln_gamma": LN_GAMMA_SD}
    return mean, np.asarray([1 / sd[name] if name in sd else 0.0 for name in names])


def _robust(r: np.ndarray) -> np.ndarray:
    """f with f^2 / 2 = sqrt(1 + r^2) - 1: least squares of it is pseudo-Huber."""
    return np.sign(r) * np.sqrt(2 * (np.sqrt(1 + r * r) - 1))


def _robust_slope(r: np.ndarray) -> np.ndarray:
    """df/dr, 1 at r = 0."""
    root = np.sqrt(1 + r * r)
    return np.where(np.abs(r) < 1e-4, 1.0, np.abs(r) / (root * np.maximum(np.abs(_robust(r)), 1e-12)))
