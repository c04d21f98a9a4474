"""What is repeated text worth? L(N', D') with N' and D' that saturate, and the best run on U unique tokens.

Muennighoff et al. 2023 (arXiv:2305.16264): D' = U (1 + R_D (1 - e^(-(D/U - 1)/R_D))), U_N = min(N, the optimal size for
U tokens), N' = U_N (1 + R_N (1 - e^(-(N/U_N - 1)/R_N))). R_D and R_N of their code; R_D is poorly determined even on
their 182 runs (anywhere above 5), so read differences, not the third digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.planner.blend import LossSurface, TokenCost, best_run, size_suiting
from fitting.planner.quantity import Quantity
from fitting.planner.surface import Numbers, Surface

R_D, R_N = 15.387756, 5.309743  # code of the paper, github.com/huggingface/datablations
SEARCH_ROUNDS = 60  # golden sections of an interval of ln N: to 1e-11 of it
SIZES = 400  # over all of ln N, to see how flat the optimum is
NEAR, EQUAL = 1e-3, 1e-6  # of the loss: hardly worse, and no worse
GOLDEN = (np.sqrt(5.0) - 1) / 2


@dataclass(frozen=True)
class Repeated:
    """A run on U unique tokens, of least loss at its budget."""

    unique_tokens: float
    n_params: Quantity  # low and high: sizes whose loss is within NEAR of the least
    d_tokens: float
    epochs: float
    effective_tokens: float  # D': new tokens that would be worth as much
    loss: float  # nats per token
    loss_as_planned: float  # of the plan's own N and D, its text repeated
    loss_unlimited: float  # at the same budget with as much text as wanted


def repeated_loss(
    surface: LossSurface, n_params: Numbers, d_tokens: Numbers, unique_tokens: float, suited: float | None = None
) -> Numbers:
    """L of a run that sees D tokens, U of them unique (U above D counts as D). suited: the optimal size for U."""
    unique = np.minimum(unique_tokens, d_tokens)
    best = suited if suited is not None else _suited(surface, unique_tokens)
    capacity = np.minimum(n_params, best)
    return surface.loss(saturated(n_params, capacity, R_N), saturated(d_tokens, unique, R_D))


def saturated(value: Numbers, unique: Numbers, decay: float) -> Numbers:
    """unique (1 + decay (1 - e^(-(value/unique - 1)/decay)))."""
    return unique * (1 - decay * np.expm1(-(np.divide(value, unique) - 1) / decay))


def best_repeated(
    surface: LossSurface, n_params: float, d_tokens: float, unique_tokens: float, cost: TokenCost
) -> Repeated:
    """What becomes of a run of N and D on U unique tokens, and the least loss of its compute, by search in ln N."""
    flops = float(cost.per_token(n_params) * d_tokens)
    suited = _suited(surface, unique_tokens)

    def loss(log_n: float) -> float:
        n = np.exp(log_n)
        return float(repeated_loss(surface, n, flops / cost.per_token(n), unique_tokens, suited))

    low, high = 0.0, float(np.log(flops))
    for _ in range(SEARCH_ROUNDS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    least = loss((low + high) / 2)
    sizes = np.linspace(0.0, float(np.log(flops)), SIZES)
    near = [size for size in [*sizes.tolist(), (low + high) / 2] if loss(size) <= least * (1 + NEAR)]
    # Where the text is the limit the loss is flat over many sizes: the smallest of equals is the one to buy.
    flat = [size for size in near if loss(size) <= least * (1 + EQUAL)]
    n = float(np.exp(min(flat)))
    d = float(flops / cost.per_token(n))
    unique = min(unique_tokens, d)
    return Repeated(
        unique_tokens=unique_tokens,
        n_params=Quantity(n, float(np.exp(min(near))), float(np.exp(max(near)))),
        d_tokens=d,
        epochs=d / unique,
        effective_tokens=float(saturated(d, unique, R_D)),
        loss=loss(float(np.log(n))),
        loss_as_planned=float(repeated_loss(surface, n_params, d_tokens, unique_tokens, suited)),
        loss_unlimited=float(surface.loss(*best_run(surface, flops, cost))),
    )


def _suited(surface: LossSurface, unique_tokens: float) -> float:
    """U_N: always under 6ND, as the authors have it."""
    if isinstance(surface, Surface):
        return float(surface.size_suiting(unique_tokens))
    from fitting.planner.token_cost import SixN

    return size_suiting(surface, unique_tokens, SixN())
