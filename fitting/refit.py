"""What does a fit's law say when it sees only some of the points? Optimum, intervals, and errors on all the others.

The search starts from the optimum of the full fit and from some starts of the law itself; restarts around the best of
them go on until none gains. Points left out have a weight of zero, so that another choice compiles nothing; where all
points are more than PACKED, that waste costs more than a compilation, and they are left away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.bootstrap import bootstrap
from fitting.errors import InputError
from fitting.fit import (
    NO_GAIN,
    POLISH_ROUNDS,
    SEED,
    Fit,
    HeldOut,
    require_spread,
)
from fitting.laws import Law
from fitting.points import Points
from fitting.predict import LEVEL
from fitting.proof import judge, prove
from fitting.solve import WIDE_DELTA, Box, Solutions, evaluate, jacobian, solve

RESAMPLES = 100
STARTS = 31  # of the law's own, and restarts in a round; with the full fit's optimum they fill one batch
FEW_STARTS = 3  # where points are many
PACKED = 1000  # points


@dataclass(frozen=True)
class Estimate:
    """A constant with the interval of the bootstrap at LEVEL."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Refit:
    """One law fitted to some of a fit's points, in the full fit's centred coordinates."""

    keep: np.ndarray  # (points,) of the full fit: True where the refit saw it
    fit: Fit  # of the kept points; its held-out error is that of all the others
    errors: np.ndarray  # (points,) L_law / L - 1 of every point of the full fit, kept or not

    @property
    def flops(self) -> float:
        """Largest compute that was kept, FLOPs."""
        return float(self.fit.points.flops.max())

    @property
    def constants(self) -> Mapping[str, Estimate]:
        values = self.fit.constants
        return {name: _estimate(values[name], draws) for name, draws in self.fit.constant_draws().items()}

    @property
    def n_exponent(self) -> Estimate | None:
        """a of N* ~ C^a, beta/(alpha + beta); that of D* is 1 - a. None: the law has no two exponents."""
        if not {"alpha", "beta"} <= set(self.fit.constants):
            return None
        drawn = self.fit.constant_draws()
        return _estimate(float(_n_exponent(self.fit.constants)), _n_exponent(drawn))


def refit(fit: Fit, keep: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> Refit:
    """The fit's law on the points where `keep` (points,) holds. Raises InputError where they leave no answer at all."""
    keep = np.asarray(keep)
    law, part = fit.law, _part(fit, keep)
    x, log_loss = fit.inputs(fit.points.columns()), np.log(fit.points.loss)
    box = Box.of(law.parameters(x[keep], log_loss[keep]))
    used = np.ones_like(keep) if len(keep) <= PACKED else keep
    problem = _Problem(law, x[used], log_loss[used], keep[used].astype(float), fit.delta, box)

    found = problem.search(fit.theta, law.starts(x[keep], log_loss[keep]), seed)
    best, gain = problem.settle(found.best(), seed)
    proof = prove(jacobian(law, best.theta[0], x)[keep], found, best, gain)
    status, sentence = judge(part, law, x[keep], log_loss[keep], best, proof)
    resampled, draws = bootstrap(
        law, part, best, x[keep], fit.delta, resamples, seed, lambda weights: problem.resample(best.theta[0], weights)
    )
    residuals = evaluate(law, best.theta, x)[0] - log_loss
    errors = np.expm1(residuals)
    refitted = Fit(
        law=law,
        points=part,
        centre=fit.centre,
        theta=best.theta[0],
        objective=float(best.objective[0]),
        delta=fit.delta,
        draws=draws,
        resampled=resampled,
        residuals=residuals[keep],
        status=status,
        sentence=sentence,
        proof=proof,
        held_out=_held_out(fit.points, keep, errors),
    )
    return Refit(keep, refitted, errors)


def refusal(fit: Fit, keep: np.ndarray) -> InputError | None:
    """Why no law can be fitted to these points."""
    x, log_loss = fit.inputs(fit.points.columns())[keep], np.log(fit.points.loss[keep])
    try:
        require_spread(fit.points.take(keep), fit.law, x, log_loss)
    except InputError as error:
        return error
    return None


def _part(fit: Fit, keep: np.ndarray) -> Points:
    """The kept points, or an InputError that says why they are too few."""
    if keep.shape != fit.residuals.shape or keep.dtype != bool:
        raise InputError(
            f"keep is {keep.dtype} of shape {keep.shape}; allowed is bool of shape {fit.residuals.shape}, one for each "
            f"point of the fit. Give a mask"
        )
    refused = refusal(fit, keep) if keep.any() else InputError("no point is kept; the law needs some. Raise the cut")
    if refused is not None:
        raise refused
    return fit.points.take(keep)


@dataclass(frozen=True)
class _Problem:
    """What is minimised: the Huber sum of one law over weighted points, within a box."""

    law: Law
    x: np.ndarray  # (points, inputs) centred
    log_loss: np.ndarray  # (points,)
    weights: np.ndarray  # (points,) 0 or 1
    delta: float
    box: Box

    def solve(self, theta: np.ndarray) -> Solutions:
        weights = np.tile(self.weights, (len(theta), 1))
        return solve(self.law, self.x, self.log_loss, theta, weights, self.delta, self.box)

    def search(self, warm: np.ndarray, starts: np.ndarray, seed: int) -> Solutions:
        """Where the optimum of like points and some of the law's starts lead; the best few if points are many.

        The starts go over a wide Huber first, as in solve_from_afar; no more than PACKED points are needed for that.
        """
        picked = starts[np.linspace(0, len(starts) - 1, min(STARTS, len(starts))).astype(int)]
        count = len(self.x)
        some = np.random.RandomState(seed).permutation(count)[:PACKED] if count > PACKED else np.arange(count)
        weights = np.tile(self.weights[some], (len(picked), 1))
        wide = max(self.delta, WIDE_DELTA)
        rough = solve(self.law, self.x[some], self.log_loss[some], picked, weights, wide, self.box)
        going_on = np.argsort(rough.objective)[: self.most]
        return self.solve(np.concatenate([warm[None], rough.theta[going_on]]))

    def settle(self, best: Solutions, seed: int) -> tuple[Solutions, float]:
        """The optimum that restarts around the best one lead to, and what the last round gained (fitting/fit.py)."""
        rng, gain = np.random.RandomState(seed), 0.0
        for _ in range(POLISH_ROUNDS):
            distance = 10 ** rng.uniform(-2.5, -0.3, (self.most, 1))
            again = self.solve(best.theta + distance * rng.standard_normal((self.most, best.theta.shape[1]))).best()
            gain = max(0.0, float(1 - again.objective[0] / best.objective[0])) if best.objective[0] > 0 else 0.0
            if gain > 0:
                best = again
            if gain < NO_GAIN:
                break
        return best, gain

    def resample(self, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Optima under the weights of the kept points (resamples, kept)."""
        spread = np.zeros((len(weights), len(self.x)))
        spread[:, self.weights > 0] = weights
        warm = np.tile(theta, (len(weights), 1))
        return solve(self.law, self.x, self.log_loss, warm, spread, self.delta, self.box).theta

    @property
    def most(self) -> int:
        """How many searches the points bear: the more they are, the smoother is their sum."""
        return STARTS if len(self.x) <= PACKED else FEW_STARTS


def _held_out(points: Points, keep: np.ndarray, errors: np.ndarray) -> HeldOut | None:
    missed = np.abs(errors[~keep])
    if not missed.size:
        return None
    span = float(points.flops[~keep].max() / points.flops[keep].max())
    return HeldOut(len(missed), span, float(np.median(missed)), float(missed.max()))


def _n_exponent(constants: Mapping[str, Any]) -> np.ndarray:
    """NaN where both exponents ended on zero: such a resample has no optimum."""
    alpha, beta = (np.asarray(constants[name], float) for name in ("alpha", "beta"))
    both = alpha + beta
    return np.where(both > 0, beta / np.where(both > 0, both, 1.0), np.nan)


def _estimate(value: float, draws: np.ndarray) -> Estimate:
    known = draws[np.isfinite(draws)]
    if not known.size:
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))
