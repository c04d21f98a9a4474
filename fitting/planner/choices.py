"""What else could be bought? Smaller models for the same loss, the best model to serve, the price of being off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fitting.planner.blend import Blend, TokenCost, flops_for, tokens_for
from fitting.planner.epochs import GOLDEN, SEARCH_ROUNDS
from fitting.planner.quantity import Quantity
from fitting.planner.surface import Numbers, Surface
from fitting.planner.token_cost import SixN

SIZES = (0.1, 0.25, 0.33, 0.5, 0.75)  # of N*, as de Vries 2023 tabulates
# Forward FLOPs are a third of the training ones (Kaplan et al. 2020, section 2.1).
FORWARD = 1 / 3
# Beyond this D/N no public law was checked closely; there they overstate what more tokens are worth (Sardana et al.
# 2024, arXiv:2401.00448, who trained up to 10,000).
LONGEST_RATIO = 10_000.0
FURTHEST = 1e3  # times the chosen N, or as small a part of it, that serving may make best


@dataclass(frozen=True)
class Smaller:
    """A model smaller than the chosen one that reaches its loss by training longer; None: no D reaches it."""

    share: float  # of the chosen N
    n_params: float
    d_tokens: Quantity | None
    overhead: Quantity | None  # extra training compute, as a part of the chosen run's
    impossible: float  # share of the draws in which no D reaches the loss


@dataclass(frozen=True)
class Served:
    """The cheapest model of this loss over its whole life."""

    serve_tokens: float
    n_params: Quantity
    d_tokens: Quantity
    training_flops: float
    saving: Quantity  # of training plus serving, against the chosen run, as a part of the latter's
    serving_weight: float  # price of a served FLOP in training FLOPs
    far: bool  # D/N beyond what any law was checked at


@dataclass(frozen=True)
class Off:
    """What a run off the optimum gives away."""

    wasted: Quantity  # part of its compute that the optimal run of the same loss would not need
    best_n: float  # the optimal size at its compute
    best_d: float


def smaller_models(
    law: Blend, draws: Surface, n_params: float, d_tokens: float, loss: float, cost: TokenCost
) -> tuple[Smaller, ...]:
    """One row a size of SIZES."""
    flops, rows = float(cost.per_token(n_params) * d_tokens), []
    reached = draws.loss(n_params, d_tokens)  # under each draw the same run has another loss
    for share in SIZES:
        size = share * n_params
        tokens = tokens_for(law, size, loss)
        token_draws = draws.tokens_for(size, reached)
        per_token = float(cost.per_token(size))
        possible = np.isfinite(tokens)
        rows.append(
            Smaller(
                share=share,
                n_params=size,
                d_tokens=Quantity.of(tokens, token_draws) if possible else None,
                overhead=Quantity.of(per_token * tokens / flops - 1, per_token * token_draws / flops - 1)
                if possible
                else None,
                impossible=float(np.mean(~np.isfinite(token_draws))),
            )
        )
    return tuple(rows)


def best_served(
    law: Blend,
    draws: Surface,
    n_params: float,
    d_tokens: float,
    loss: float,
    serve_tokens: float,
    cost: TokenCost,
    serving_weight: float = 1.0,
) -> Served:
    """min over N of f(N) D(N) + weight f(N)/3 D_serve with L(N, D(N)) = loss (Sardana et al. 2024)."""

    reached = draws.loss(n_params, d_tokens)  # under each draw the chosen run has another loss
    weight = serving_weight * FORWARD * serve_tokens

    def lifetime(n: Numbers, tokens: Numbers) -> Numbers:
        return np.where(np.isfinite(tokens), cost.per_token(n) * (tokens + weight), np.inf)

    def best(tokens_at: Callable[[Numbers], Numbers], start: Numbers) -> tuple[Numbers, Numbers]:
        """N and D, within FURTHEST times the chosen size: larger where the chosen run is far too small for its D."""
        reach = np.log(FURTHEST)
        log_n = _lowest(lambda x: lifetime(np.exp(x), tokens_at(np.exp(x))), start - reach, start + reach)
        return np.exp(log_n), tokens_at(np.exp(log_n))

    start = np.log(n_params)
    n, d = best(lambda size: tokens_for(law, size, loss), np.asarray(start))
    n_draws, d_draws = best(lambda size: draws.tokens_for(size, reached), np.full_like(reached, start))
    here = float(lifetime(n_params, d_tokens))
    return Served(
        serve_tokens=serve_tokens,
        n_params=Quantity.of(float(n), n_draws),
        d_tokens=Quantity.of(float(d), d_draws),
        training_flops=float(cost.per_token(n) * d),
        saving=Quantity.of(
            max(float(1 - lifetime(n, d) / here), 0.0), np.maximum(1 - lifetime(n_draws, d_draws) / here, 0.0)
        ),
        serving_weight=serving_weight,
        far=float(d / n) > LONGEST_RATIO,
    )


def off_optimum(
    law: Blend, draws: Surface, n_params: float, d_tokens: float, cost: TokenCost, best: tuple[float, float]
) -> Off:
    """Deadweight compute C - C_eff, C_eff the least compute that reaches the same loss."""
    flops, loss = float(cost.per_token(n_params) * d_tokens), float(law.loss(n_params, d_tokens))
    needed = float(flops_for(law, loss, cost))
    # By 6ND, in closed form; what the cost's own count makes of the point, it makes of the draws.
    counted = needed / float(flops_for(law, loss, SixN()))
    needed_draws = draws.flops_for(draws.loss(n_params, d_tokens)) * counted
    return Off(
        wasted=Quantity.of(max(1 - needed / flops, 0.0), np.clip(1 - needed_draws / flops, 0.0, 1.0)),
        best_n=best[0],
        best_d=best[1],
    )


def compute_multiplier(law: Blend, draws: Surface, before: float, after: float, cost: TokenCost) -> Quantity:
    """How many times the compute the old recipe needs for the new one's loss; NaN at or below the floor.

    ((L_before - E) / (L_after - E))^((alpha + beta) / (alpha beta gamma)) for one law. A drawn law stands at its own
    level where the point law says `before`, and is asked for the same difference from there.
    """
    here = float(flops_for(law, before, cost))
    value = float(flops_for(law, after, cost)) / here
    nominal = float(flops_for(law, before, SixN()))
    level = draws.least_loss(nominal)
    return Quantity.of(value, draws.flops_for(level + (after - before)) / nominal)


def _lowest(function: Callable[[np.ndarray], Numbers], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """ln x of the least value by golden sections, element by element; infinite values lie at the low end."""
    for _ in range(SEARCH_ROUNDS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        go_left = function(left) < function(right)
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
    return (low + high) / 2
