"""What of a learning-rate schedule do the laws of whole loss curves need? Areas under the rate and its falls, by step.

Tissue et al. 2024 (arXiv:2408.11029): S1(s) = sum_{i<=s} eta_i, the area under the rate; S2(s) = sum_{i<=s} m_i with
m_i = decay m_{i-1} + (eta_{i-1} - eta_i), the area of past falls of the rate, each forgotten at `decay` a step.

Luo et al. 2025 (arXiv:2503.12811): every fall eta_{k-1} - eta_k with its rate eta_k and the area since then,
S_k(s) = sum_{k<=i<=s} eta_i. A schedule has thousands of falls; those of like area are gathered into one node.
"""

from __future__ import annotations

import itertools

import numpy as np

DECAY = 0.999  # Tissue's lambda; an assumption, not measured on our own runs
# Losses of cosine, linear and step decays under the constants of Luo et al. then differ from those of the whole sum by
# less than 0.01%; their law misses curves by 0.1% and more.
NODES = 8
S1, FALLEN = "s1", "fallen"


def lr_areas(rates: np.ndarray, decay: float = DECAY) -> tuple[np.ndarray, np.ndarray]:
    """(S1, S2), each (steps,), after every step of a schedule `rates` (steps,).

    Nothing is annealed before the first step. A rate that rises counts against S2, so leave warm-up out or hand in the
    peak for it: the law does not describe warm-up.
    """
    rates = _schedule(rates)
    falls = -np.diff(rates, prepend=rates[0])
    memory = np.fromiter(itertools.accumulate(falls, lambda held, fall: decay * held + fall), np.float64, len(rates))
    return np.cumsum(rates), np.cumsum(memory)


def lr_falls(rates: np.ndarray, steps: np.ndarray) -> dict[str, np.ndarray]:
    """The input columns of the multi-power law, (points,) each, after these steps (counted from 0) of a schedule.

    Rates (steps,) are above zero: the law divides by them. Leave warm-up out, or hand in the peak for it.
    """
    rates, steps = _schedule(rates), np.asarray(steps)
    if not (rates > 0).all() or steps.ndim != 1 or not np.isin(steps, np.arange(len(rates))).all():
        raise ValueError(f"rates from {rates.min():g}, steps {steps}: need rates above 0, steps of the {len(rates)}")
    area, falls = np.cumsum(rates), -np.diff(rates, prepend=rates[0])
    changes = np.flatnonzero(falls)
    nodes = np.stack([_gathered(area, falls, rates, changes[changes <= step], step) for step in steps], axis=-1)
    columns = {S1: area[steps], FALLEN: rates[0] - rates[steps]}
    for names, values in zip(fall_columns(), nodes, strict=True):
        columns |= dict(zip(names, values, strict=True))
    return columns


def fall_columns() -> tuple[list[str], list[str], list[str]]:
    """Names of the falls, of their rates, and of the areas since, node by node."""
    fall, rate, area = ([f"{kind}_{node}" for node in range(1, NODES + 1)] for kind in ("fall", "rate", "area"))
    return fall, rate, area


def _gathered(area: np.ndarray, falls: np.ndarray, rates: np.ndarray, changes: np.ndarray, step: int) -> np.ndarray:
    """(3, NODES): the falls of each node and the geometric means of their rates and areas; no fall: 0 at any place."""
    nodes = np.stack([np.zeros(NODES), np.full(NODES, rates[step]), np.full(NODES, area[step])])
    if not len(changes):
        return nodes
    fall, log_rate = falls[changes], np.log(rates[changes])
    log_area = np.log(area[step] - area[changes] + rates[changes])
    edges = np.linspace(log_area.min(), log_area.max(), NODES + 1)[1:-1]
    node = np.searchsorted(edges, log_area, side="right")
    weight = np.bincount(node, np.abs(fall), NODES)
    used = weight > 0
    nodes[0] = np.bincount(node, fall, NODES)
    for row, values in ((1, log_rate), (2, log_area)):
        nodes[row, used] = np.exp(np.bincount(node, np.abs(fall) * values, NODES)[used] / weight[used])
    return nodes


def _schedule(rates: np.ndarray) -> np.ndarray:
    rates = np.asarray(rates, np.float64)
    if rates.ndim != 1 or not len(rates) or not np.isfinite(rates).all() or (rates < 0).any():
        raise ValueError(f"rates of shape {rates.shape} are no schedule; need one rate, 0 or above, for each step")
    return rates
