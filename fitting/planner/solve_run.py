"""Which run does the request mean? N, D and compute, each with draws, from whatever was given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fitting.errors import InputError
from fitting.planner.belief import DRAWS, FURTHEST_DECADES, TAILS, Belief
from fitting.planner.bill import Rates, affordable
from fitting.planner.blend import (
    LARGEST_LOG,
    TokenCost,
    best_run,
    flops_for,
    size_for,
    size_suiting,
    tokens_for,
    tokens_suiting,
)
from fitting.planner.quantity import LOSS_SEED, shocks
from fitting.planner.request import Known, Request
from fitting.planner.surface import FLOPS_PER_PARAMETER_TOKEN, Numbers, Surface, training_flops
from fitting.planner.token_cost import SixN

INFINITE = math.exp(LARGEST_LOG)
ROUNDS = 4  # the law that serves a target depends on its compute, which the law gives; one round settles it nearly


@dataclass(frozen=True)
class Run:
    """The run that is planned; draws are (DRAWS,) and infinite where there is none."""

    n_params: float
    d_tokens: float
    flops: float  # in the unit of the cost: 6ND, or exact
    n_draws: np.ndarray
    d_draws: np.ndarray
    flops_draws: np.ndarray

    @property
    def flops_6nd(self) -> float:
        return float(training_flops(self.n_params, self.d_tokens))


def solve_run(request: Request, belief: Belief, at: Rates, cost: TokenCost) -> Run:
    """Raises InputError where no run does what is asked."""
    if request.known is Known.COMPUTE:
        return _from_compute(request, belief, *affordable(request, at), cost)
    if request.known is Known.RUN:
        assert request.n_params is not None  # Request.known
        assert request.d_tokens is not None
        n, d = request.n_params, request.d_tokens
        return _certain(n, d, cost)
    flops = belief.provenance.largest_flops
    for _ in range(ROUNDS - 1):
        flops = _from_law(request, belief, flops, cost).flops_6nd
    return _from_law(request, belief, flops, cost)


def _from_compute(request: Request, belief: Belief, flops: float, flops_draws: np.ndarray, cost: TokenCost) -> Run:
    if request.n_params is not None:
        n, n_draws = request.n_params, np.full(DRAWS, request.n_params)
        d = flops / float(cost.per_token(n))
        _refuse_less_than_one(d, f"--n {n:g}", "tokens", flops)
        return Run(n, d, flops, n_draws, flops_draws / cost.per_token(n_draws), flops_draws)
    law, draws = belief.blend(flops), belief.draws(flops)
    if request.d_tokens is not None:
        n = _size_costing(flops / request.d_tokens, cost)
        _refuse_less_than_one(n, f"--d {request.d_tokens:g}", "parameters", flops)
        n_draws = np.full(DRAWS, n) if np.ptp(flops_draws) == 0 else n * flops_draws / flops
        return Run(n, request.d_tokens, flops, n_draws, np.full(DRAWS, request.d_tokens), flops_draws)
    n, d = (float(value) for value in best_run(law, flops, cost))
    _refuse_absent(n, d, f"a budget of {flops:.3g} FLOPs")
    return Run(n, d, flops, *_best_draws(draws, flops_draws, cost), flops_draws)


def _from_law(request: Request, belief: Belief, flops: float, cost: TokenCost) -> Run:
    """A target loss, or N or D alone, under the law that serves targets of this compute."""
    law, draws = belief.blend(flops), belief.draws(flops)
    if request.known is Known.SIZE:
        assert request.n_params is not None
        n, d = request.n_params, float(tokens_suiting(law, request.n_params, cost))
        _refuse_absent(n, d, f"--n {n:g}")
        return _drawn(n, d, np.full(DRAWS, n), tokens_suiting(draws, n, cost), cost)
    if request.known is Known.HORIZON:
        assert request.d_tokens is not None
        n, d = float(size_suiting(law, request.d_tokens, cost)), request.d_tokens
        _refuse_absent(n, d, f"--d {d:g}")
        return _drawn(n, d, size_suiting(draws, d, cost), np.full(DRAWS, d), cost)
    assert request.loss is not None
    loss = request.loss
    if request.n_params is not None:
        n, d = request.n_params, float(tokens_for(law, request.n_params, loss))
        _refuse_unreachable(belief, d, loss, f"with {n:.3g} parameters", n, INFINITE)
        wanted = belief.wanted(loss, n, d, shocks(LOSS_SEED))
        return _drawn(n, d, np.full(DRAWS, n), draws.tokens_for(n, wanted), cost)
    if request.d_tokens is not None:
        n, d = float(size_for(law, request.d_tokens, loss)), request.d_tokens
        _refuse_unreachable(belief, n, loss, f"with {d:.3g} tokens", INFINITE, d)
        wanted = belief.wanted(loss, n, d, shocks(LOSS_SEED))
        return _drawn(n, d, draws.size_for(d, wanted), np.full(DRAWS, d), cost)
    flops = float(flops_for(law, loss, cost))
    _refuse_unreachable(belief, flops, loss, "whatever is spent", INFINITE, INFINITE)
    n, d = (float(value) for value in best_run(law, flops, cost))
    _refuse_absent(n, d, f"a loss of {loss:g}")
    # By 6ND, in closed form; what the cost's own count makes of the point, it makes of the draws.
    nominal = draws.flops_for(belief.wanted(loss, n, d, shocks(LOSS_SEED)))
    nominal_n, nominal_d = draws.optimum(np.where(np.isfinite(nominal), nominal, np.nan))
    point = float(flops_for(law, loss, SixN()))
    point_n, point_d = (float(value) for value in best_run(law, point, SixN()))
    scaled = (nominal_n * n / point_n, nominal_d * d / point_d, nominal * flops / point)
    return Run(n, d, flops, *(_or_infinite(values) for values in scaled))


def _best_draws(draws: Surface, flops: np.ndarray, cost: TokenCost) -> tuple[Numbers, Numbers]:
    if isinstance(cost, SixN):
        n, d = draws.optimum(flops)
    else:
        n, d = best_run(draws, flops, cost)
    return _or_infinite(n), _or_infinite(d)


def _certain(n: float, d: float, cost: TokenCost) -> Run:
    return _drawn(n, d, np.full(DRAWS, n), np.full(DRAWS, d), cost)


def _drawn(n: float, d: float, n_draws: Numbers, d_draws: Numbers, cost: TokenCost) -> Run:
    n_draws, d_draws = _or_infinite(n_draws), _or_infinite(d_draws)
    known = np.isfinite(n_draws) & np.isfinite(d_draws)
    spent = cost.per_token(np.where(known, n_draws, n)) * np.where(known, d_draws, d)
    return Run(n, d, float(cost.per_token(n)) * d, n_draws, d_draws, np.where(known, spent, np.inf))


def _or_infinite(values: Numbers) -> np.ndarray:
    return np.where(np.isnan(values), np.inf, values)


def _size_costing(per_token: float, cost: TokenCost) -> float:
    """N with cost.per_token(N) = per_token: it grows nearly as N, so a few rounds of proportion settle it."""
    n = per_token / FLOPS_PER_PARAMETER_TOKEN
    for _ in range(50):
        n *= per_token / float(cost.per_token(n))
    return n


def _refuse_unreachable(belief: Belief, found: float, loss: float, how: str, n: float, d: float) -> None:
    """n and d are what cannot be bought more of; the floor is that of the law for the largest targets."""
    if math.isfinite(found):
        return
    far = belief.provenance.largest_flops * 10**FURTHEST_DECADES
    floor, draws = float(belief.blend(far).loss(n, d)), belief.draws(far).loss(n, d)
    low, high = np.quantile(draws, TAILS)
    raise InputError(
        f"--loss {loss:g} cannot be reached {how}: this law's loss stays above {floor:.4f} ({low:.4f} .. {high:.4f}; "
        f"{np.mean(draws < loss):.0%} of its draws go below {loss:g}). Ask for more, or for another "
        f"size"
    )


def _refuse_less_than_one(found: float, given: str, what: str, flops: float) -> None:
    if found < 1:
        raise InputError(
            f"{given} with {flops:.3g} FLOPs leaves {found:.2g} {what}; give a larger budget, or less of it"
        )


def _refuse_absent(n: float, d: float, what: str) -> None:
    if not (n > 1.001 and d > 1.001 and math.isfinite(n * d)) or max(n, d) > 1e30:
        raise InputError(
            f"no optimum for {what}: the law's best run has N = {n:.3g} and D = {d:.3g}, so one of its exponents is "
            f"not identified. Fit runs that vary N and D more, or choose another law"
        )
