"""Which areas of a learning-rate schedule does the annealing law need? S1 and S2 at every step.

Tissue et al. 2024 (arXiv:2408.11029): S1(s) = sum_{i<=s} eta_i, the area under the rate; S2(s) = sum_{i<=s} m_i with
m_i = decay m_{i-1} + (eta_{i-1} - eta_i), the area of past falls of the rate, each forgotten at `decay` a step.
"""

from __future__ import annotations

import itertools

import numpy as np

DECAY = 0.999  # their lambda; an assumption, not measured on our own runs


def lr_areas(rates: np.ndarray, decay: float = DECAY) -> tuple[np.ndarray, np.ndarray]:
    """(S1, S2), each (steps,), after every step of a schedule `rates` (steps,).

    Nothing is annealed before the first step. A rate that rises counts against S2, so leave warm-up out or hand in the
    peak for it: the law does not describe warm-up.
    """
    rates = np.asarray(rates, np.float64)
    if rates.ndim != 1 or not len(rates) or not np.isfinite(rates).all() or (rates < 0).any():
        raise ValueError(f"rates of shape {rates.shape} are no schedule; need one rate, 0 or above, for each step")
    falls = -np.diff(rates, prepend=rates[0])
    memory = np.fromiter(itertools.accumulate(falls, lambda held, fall: decay * held + fall), np.float64, len(rates))
    return np.cumsum(rates), np.cumsum(memory)
