"""What is a run bought for? The constant of the heaviest law whose variance it cuts most, given the runs before it."""

from __future__ import annotations

import numpy as np

from fitting.ensemble import Ensemble
from fitting.next_runs.candidates import Runs
from fitting.next_runs.knowledge import inputs, noise_variance
from fitting.posterior import Mode
from fitting.solve import jacobian

WORDS = {
    "a": "size term (A)",
    "alpha": "exponent of N",
    "b": "data term (B)",
    "beta": "exponent of D",
    "e": "floor E",
    "ln_gamma": "coupling (gamma)",
}


def purposes(modes: list[Mode], ensemble: Ensemble, bought: Runs, target_flops: float) -> list[str]:
    """In the order of purchase."""
    mode = modes[int(np.argmax([member.weight for member in ensemble.members]))]
    names = [parameter.name for parameter in mode.law.parameters(np.zeros((1, len(mode.centre))), np.zeros(1))]
    slopes = jacobian(mode.law, mode.theta, inputs(mode, bought))
    covariance, told = mode.covariance, []
    for slope, noise in zip(slopes, noise_variance(bought, target_flops), strict=True):
        column = covariance @ slope
        after = covariance - np.outer(column, column) / (slope @ column + noise)
        cut = 1 - np.diagonal(after) / np.maximum(np.diagonal(covariance), 1e-300)
        name = names[int(np.argmax(cut))]
        told.append(WORDS.get(name, name))
        covariance = after
    return told
