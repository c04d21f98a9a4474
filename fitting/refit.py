"""What does a fit's law say when it sees only some of the points? Optimum, intervals, and errors on all the others.

A refit keeps the full set of points and gives those left out a weight of zero, so that another choice of points
compiles nothing; several choices are solved as one batch. Each starts from the optimum of the full fit and from some
starts of the law itself; restarts around the best of them, with those of its neighbours in the batch among them, go on
until none gains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.errors import InputError
from fitting.fit import (
    NO_GAIN,
    POLISH_ROUNDS,
    SEED,
    Fit,
    HeldOut,
    judge,
    prove,
    require_spread,
    resample_weights,
)
from fitting.points import Points
from fitting.predict import LEVEL
from fitting.solve import Box, Solutions, evaluate, jacobian, solve, solve_from_afar

RESAMPLES = 100
STARTS = 24  # of a choice of points: the full fit's optimum and some of the law's own
RESTARTS = 24  # of a choice and a round


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
        return _estimate(_n_exponent(self.fit.constants), _n_exponent(drawn))


def refit(fit: Fit, keep: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> Refit:
    """The fit's law on the points where `keep` (points,) holds. Raises InputError where they leave no answer at all."""
    return refits(fit, np.asarray(keep)[None], resamples, seed)[0]


def refusal(fit: Fit, keep: np.ndarray) -> InputError | None:
    """Why no law can be fitted to these points."""
    x, log_loss = fit.inputs(fit.points.columns())[keep], np.log(fit.points.loss[keep])
    try:
        require_spread(fit.points.take(keep), fit.law, x, log_loss)
    except InputError as error:
        return error
    return None


def refits(fit: Fit, keeps: np.ndarray, resamples: int, seed: int) -> tuple[Refit, ...]:
    """One refit for each row of keeps (cuts, points)."""
    law, x, log_loss = fit.law, fit.inputs(fit.points.columns()), np.log(fit.points.loss)
    parts = [_part(fit, keep) for keep in keeps]
    boxes = [Box.of(law.parameters(x[keep], log_loss[keep])) for keep in keeps]
    found = _found(fit, x, log_loss, keeps, boxes)
    best, gains = _settle(fit, x, log_loss, keeps, boxes, [one.best() for one in found], seed)

    resampled, weights = zip(*(resample_weights(part, resamples, seed) for part in parts), strict=True)
    spread = np.zeros((len(keeps), resamples, len(x)))
    for cut, keep in enumerate(keeps):
        spread[cut][:, keep] = weights[cut]
    warm = np.repeat(np.concatenate([one.theta for one in best]), resamples, axis=0)
    draws = solve(law, x, log_loss, warm, spread.reshape(-1, len(x)), fit.delta, _repeat(boxes, resamples)).theta
    residuals = evaluate(law, np.concatenate([one.theta for one in best]), x) - log_loss
    refits = []
    for cut, keep in enumerate(keeps):
        proof = prove(jacobian(law, best[cut].theta[0], x)[keep], found[cut], best[cut], gains[cut])
        status, sentence = judge(parts[cut], law, x[keep], log_loss[keep], best[cut], proof)
        errors = np.expm1(residuals[cut])
        refitted = Fit(
            law=law,
            points=parts[cut],
            centre=fit.centre,
            theta=best[cut].theta[0],
            objective=float(best[cut].objective[0]),
            delta=fit.delta,
            draws=draws[cut * resamples : (cut + 1) * resamples],
            resampled=resampled[cut],
            residuals=residuals[cut][keep],
            status=status,
            sentence=sentence,
            proof=proof,
            held_out=_held_out(fit.points, keep, errors),
        )
        refits.append(Refit(keep, refitted, errors))
    return tuple(refits)


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


def _found(fit: Fit, x: np.ndarray, log_loss: np.ndarray, keeps: np.ndarray, boxes: list[Box]) -> list[Solutions]:
    """Where the starts of each cut end."""
    starts = np.concatenate([_starts(fit, x[keep], log_loss[keep]) for keep in keeps])
    count = len(starts) // len(keeps)
    weights = np.repeat(keeps.astype(float), count, axis=0)
    found = solve_from_afar(fit.law, x, log_loss, starts, weights, fit.delta, _repeat(boxes, count))
    return [found.take(slice(cut * count, (cut + 1) * count)) for cut in range(len(keeps))]


def _starts(fit: Fit, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
    """The optimum of the full fit, then starts of the law, evenly picked."""
    own = fit.law.starts(x, log_loss)
    picked = np.resize(np.linspace(0, len(own) - 1, min(STARTS - 1, len(own))).astype(int), STARTS - 1)
    return np.concatenate([fit.theta[None], own[picked]])


def _settle(
    fit: Fit,
    x: np.ndarray,
    log_loss: np.ndarray,
    keeps: np.ndarray,
    boxes: list[Box],
    best: list[Solutions],
    seed: int,
) -> tuple[list[Solutions], list[float]]:
    """The optima that restarts around the best ones lead to, and what the last round still gained (see fitting/fit.py).

    Each cut also tries its neighbours' optima, which were found under almost the same points.
    """
    rng = np.random.RandomState(seed)
    count, cuts = fit.theta.size, len(keeps)
    gains = [0.0] * cuts
    weights, box = np.repeat(keeps.astype(float), RESTARTS, axis=0), _repeat(boxes, RESTARTS)
    for _ in range(POLISH_ROUNDS):
        restarts = np.empty((cuts, RESTARTS, count))
        for cut in range(cuts):
            distance = 10 ** rng.uniform(-2.5, -0.3, (RESTARTS, 1))
            restarts[cut] = best[cut].theta + distance * rng.standard_normal((RESTARTS, count))
            restarts[cut, 0] = best[max(cut - 1, 0)].theta[0]
            restarts[cut, 1] = best[min(cut + 1, cuts - 1)].theta[0]
        again = solve(fit.law, x, log_loss, restarts.reshape(-1, count), weights, fit.delta, box)
        for cut in range(cuts):
            tried = again.take(slice(cut * RESTARTS, (cut + 1) * RESTARTS)).best()
            before, after = float(best[cut].objective[0]), float(tried.objective[0])
            gains[cut] = max(0.0, 1 - after / before) if before > 0 else 0.0
            if gains[cut] > 0:
                best[cut] = tried
        if max(gains) < NO_GAIN:
            break
    return best, gains


def _repeat(boxes: list[Box], count: int) -> Box:
    """Each box `count` times, for that many members."""
    return Box(*(np.repeat([getattr(box, side) for box in boxes], count, axis=0) for side in ("lower", "upper")))


def _held_out(points: Points, keep: np.ndarray, errors: np.ndarray) -> HeldOut | None:
    missed = np.abs(errors[~keep])
    if not missed.size:
        return None
    span = float(points.flops[~keep].max() / points.flops[keep].max())
    return HeldOut(len(missed), span, float(np.median(missed)), float(missed.max()))


def _n_exponent(constants: Mapping[str, Any]) -> Any:
    return constants["beta"] / (constants["alpha"] + constants["beta"])


def _estimate(value: float, draws: np.ndarray) -> Estimate:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))
