"""ln L(N, D) = sum_k w_k ln L_k(N, D): one or several laws as the one surface that a point answer is read from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fitting.planner.surface import Numbers, Surface

ROUNDS = 60  # halvings of an interval of ln x: to the last bit of a double
LARGEST_LOG = 100.0  # e^100: more parameters or tokens than atoms in a city


class LossSurface(Protocol):
    """What the searches below need; methods broadcast."""

    def loss(self, n_params: Numbers, d_tokens: Numbers) -> Numbers: ...

    def pulls(self, n_params: Numbers, d_tokens: Numbers) -> tuple[Numbers, Numbers]: ...


class TokenCost(Protocol):
    """Training FLOPs of one token."""

    @property
    def name(self) -> str: ...

    def per_token(self, n_params: Numbers) -> Numbers: ...

    def elasticity(self, n_params: Numbers) -> Numbers:
        """dln(per_token)/dlnN."""
        ...


@dataclass(frozen=True)
class Blend:
    """Laws averaged in ln L, as the forecasts of fitting/ensemble.py are."""

    surfaces: tuple[Surface, ...]
    weights: tuple[float, ...]  # sum to 1

    def loss(self, n_params: Numbers, d_tokens: Numbers) -> Numbers:
        return np.exp(
            sum(w * np.log(s.loss(n_params, d_tokens)) for s, w in zip(self.surfaces, self.weights, strict=True))
        )

    def pulls(self, n_params: Numbers, d_tokens: Numbers) -> tuple[Numbers, Numbers]:
        """(-dL/dlnN, -dL/dlnD) of the average."""
        of_n, of_d = 0.0, 0.0
        for surface, weight in zip(self.surfaces, self.weights, strict=True):
            share = weight / surface.loss(n_params, d_tokens)
            pull_n, pull_d = surface.pulls(n_params, d_tokens)
            of_n, of_d = of_n + share * pull_n, of_d + share * pull_d
        loss = self.loss(n_params, d_tokens)
        return loss * of_n, loss * of_d


def best_run(surface: LossSurface, flops: Numbers, cost: TokenCost) -> tuple[Numbers, Numbers]:
    """N, D of least loss at cost.per_token(N) D = flops: -dL/dlnN = elasticity(N) x -dL/dlnD."""

    def still_too_small(log_n: Numbers) -> Numbers:
        n = np.exp(log_n)
        pull_n, pull_d = surface.pulls(n, flops / cost.per_token(n))
        return pull_n - cost.elasticity(n) * pull_d

    log_flops = np.log(np.asarray(flops, float))
    n_params = np.exp(bisect(still_too_small, np.zeros_like(log_flops), log_flops))
    return n_params, flops / cost.per_token(n_params)


def least_loss(surface: LossSurface, flops: Numbers, cost: TokenCost) -> Numbers:
    """L* at this budget."""
    return surface.loss(*best_run(surface, flops, cost))


def flops_for(surface: LossSurface, loss: Numbers, cost: TokenCost) -> Numbers:
    """The least budget that reaches the loss; NaN where none does."""
    return _first(lambda log_c: least_loss(surface, np.exp(log_c), cost) - loss)


def tokens_for(surface: LossSurface, n_params: Numbers, loss: Numbers) -> Numbers:
    """D with L(N, D) = loss; NaN where no D reaches it."""
    return _first(lambda log_d: surface.loss(n_params, np.exp(log_d)) - loss)


def size_for(surface: LossSurface, d_tokens: Numbers, loss: Numbers) -> Numbers:
    """N with L(N, D) = loss; NaN where no N reaches it."""
    return _first(lambda log_n: surface.loss(np.exp(log_n), d_tokens) - loss)


def tokens_suiting(surface: LossSurface, n_params: Numbers, cost: TokenCost) -> Numbers:
    """D for which N is the compute-optimal size."""

    def too_short(log_d: Numbers) -> Numbers:
        pull_n, pull_d = surface.pulls(n_params, np.exp(log_d))
        return cost.elasticity(n_params) * pull_d - pull_n

    return np.exp(bisect(too_short, np.zeros(()), np.full((), LARGEST_LOG)))[()]


def size_suiting(surface: LossSurface, d_tokens: Numbers, cost: TokenCost) -> Numbers:
    """N for which D is the compute-optimal horizon."""

    def too_small(log_n: Numbers) -> Numbers:
        n = np.exp(log_n)
        pull_n, pull_d = surface.pulls(n, d_tokens)
        return pull_n - cost.elasticity(n) * pull_d

    return np.exp(bisect(too_small, np.zeros(()), np.full((), LARGEST_LOG)))[()]


def bisect(positive_below: Callable[[np.ndarray], Numbers], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where a function that falls through zero does so; an end of the interval where it never does."""
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        below = np.asarray(positive_below(middle)) > 0
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _first(falling: Callable[[np.ndarray], Numbers]) -> Numbers:
    """e^x where the function of x is zero; NaN where it stays above."""
    at_end = np.asarray(falling(np.full((), LARGEST_LOG)))
    end = np.full(at_end.shape, LARGEST_LOG)
    return np.where(at_end > 0, np.nan, np.exp(bisect(falling, np.zeros(at_end.shape), end)))[()]
