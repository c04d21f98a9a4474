"""What loss will a run reach? A point prediction with an interval that is meant to be honest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fitting.fit import SEED, Fit
from fitting.solve import evaluate

# Model discrepancy: no law is exact, and its error grows with the distance to the fitted compute. Standard deviation
# of ln L = AT_HOME + PER_DECADE * log10(C_target / C_largest_fitted). Source: held-out errors of the Chinchilla law
# on ten public sweeps, where parameter-only bands at a nominal 90% covered 31-47%.
DISCREPANCY_AT_HOME = 0.004
DISCREPANCY_PER_DECADE = 0.010
LEVEL = 0.90


@dataclass(frozen=True)
class Prediction:
    """Arrays over targets. Interval = parameters (bootstrap) + noise of one run + model discrepancy."""

    n_params: np.ndarray
    d_tokens: np.ndarray
    loss: np.ndarray  # nats per token
    low: np.ndarray
    high: np.ndarray
    level: float
    decades: np.ndarray  # log10(C / largest fitted C), at least 0


def predict(
    fit: Fit,
    n_params: np.ndarray,
    d_tokens: np.ndarray,
    flops: np.ndarray | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
    level: float = LEVEL,
    seed: int = SEED,
) -> Prediction:
    """Losses of runs (targets,) under the fit.

    `extra` holds the further columns that the law needs. `flops` are in the unit of the fit's own FLOPs column; None
    compares 6ND of the targets with 6ND of the points.
    """
    n_params, d_tokens = np.atleast_1d(np.asarray(n_params, float)), np.atleast_1d(np.asarray(d_tokens, float))
    if flops is None:
        ratio = 6.0 * n_params * d_tokens / fit.points.flops_6nd.max()
    else:
        ratio = np.atleast_1d(np.asarray(flops, float)) / fit.points.flops.max()
    decades = np.maximum(np.log10(ratio), 0.0)
    used = 6.0 * n_params * d_tokens if flops is None else np.atleast_1d(np.asarray(flops, float))
    x = fit.inputs({"n_params": n_params, "d_tokens": d_tokens, "flops": used, **(extra or {})})
    centre = evaluate(fit.law, fit.theta[None], x)[0]
    draws = evaluate(fit.law, fit.draws, x)  # (resamples, targets)
    spread = np.hypot(fit.noise, DISCREPANCY_AT_HOME + DISCREPANCY_PER_DECADE * decades)
    shocks = np.random.RandomState(seed).standard_normal((len(draws), 1))
    low, high = np.quantile(draws + shocks * spread, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Prediction(
        n_params=n_params,
        d_tokens=d_tokens,
        loss=np.exp(centre),
        low=np.exp(np.minimum(low, centre)),
        high=np.exp(np.maximum(high, centre)),
        level=level,
        decades=decades,
    )
