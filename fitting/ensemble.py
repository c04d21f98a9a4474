"""What loss will a run reach, whichever law is right? An average of laws, with an interval learned from their misses.

Each law is fitted for the target's compute (fitting/posterior.py). How fast each one goes wrong is measured on the
points themselves: fit below a cut, predict the largest runs above it, error per decade. Laws are averaged with
weights 1 / (that rate^2 + RATE_FLOOR^2)^2. The three laws leave the future open on both sides: Chinchilla's bends most
towards its floor, Kaplan's has none. The scale of the average is

    s^2 = parameter variance + disagreement of the laws + HOME^2 + (rate x decades to the target)^2

and an interval is the forecast times exp(+-z s), with z the quantile of |error| / s over public sweeps; coverage is
judged with each family of sweeps left out in turn (docs/forecasts.md). No normal distribution is assumed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fitting.errors import InputError
from fitting.fit import require_spread
from fitting.laws import law_named
from fitting.points import Points
from fitting.posterior import PRIORS, Mode, above_best, posterior_mode

MEMBERS = tuple(PRIORS)  # laws with published exponents to hold what the points leave open
CUTS = (2.0, 3.0, 5.0, 10.0, 20.0)  # spans of the forward chain
TARGET_SHARE = 1.5  # the chain's targets cost at least C_max / 1.5, as in the backtest
FEWEST_BELOW = 10  # points below a cut
RATE_FLOOR = 0.005  # per decade: what the noise of a run (0.004) does to a rate measured over 0.8 decades
FAR_ABOVE = 0.01  # of ln L above the best of its compute, where a run begins to count less in an error rate
RATE_UNKNOWN = 0.03  # per decade, where no cut leaves enough points; as large as the median pool's
SHORTEST = 0.25  # decades; shorter lever arms would blow up the error per decade
HOME = 0.012  # standard deviation of ln L at no distance: noise of one run and error of any law (public sweeps at 3x)
NEAREST = 0.1  # decades that every target is away at least
# Quantiles of |error| / s over the public sweeps, the last line of docs/forecasts.md.
QUANTILES = {0.5: 0.429, 0.9: 0.815}


@dataclass(frozen=True)
class Member:
    """One law of the average."""

    law: str
    weight: float
    rate: float  # standard error of ln L per decade of extrapolation, measured on the points
    tested: bool  # False: no cut left enough points, the rate is an assumption


@dataclass(frozen=True)
class Average:
    """The forecast of the targets; arrays over targets, losses in nats per token."""

    loss: np.ndarray
    scale: np.ndarray  # s of ln L
    members: tuple[Member, ...]

    def band(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) at level 0.5 or 0.9."""
        half = QUANTILES[level] * self.scale
        return self.loss * np.exp(-half), self.loss * np.exp(half)

    @property
    def sentence(self) -> str:
        return in_words(self.members)


@dataclass(frozen=True)
class Ensemble:
    """The laws fitted for some targets: all that a forecast needs, and what a stored law holds."""

    members: tuple[Member, ...]
    modes: Mapping[tuple[str, int], Mode]  # by law and half decade of the target's compute
    largest: float  # compute of the fitted points, FLOPs

    def half_decades(self, flops: np.ndarray) -> np.ndarray:
        """Which modes serve these targets: the nearest half decade of compute that was fitted for."""
        known = np.asarray(sorted({group for _, group in self.modes}))
        return known[np.abs(half_decade(flops)[:, None] - known[None]).argmin(axis=1)]

    def predict(self, n_params: np.ndarray, d_tokens: np.ndarray, flops: np.ndarray) -> Average:
        """Losses of runs (targets,); flops in the unit that `largest` is in."""
        columns = {"n_params": n_params, "d_tokens": d_tokens, "flops": flops}
        weights = np.asarray([member.weight for member in self.members])
        served = self.half_decades(flops)
        losses, variances = np.empty((2, len(self.members), len(flops)))
        for row, member in enumerate(self.members):
            for group in np.unique(served):
                here = served == group
                mode = self.modes[member.law, int(group)]
                losses[row, here], variances[row, here] = mode.predict(mode.law.features(columns)[here])
        return self.average(weights, losses, variances, flops)

    def average(self, weights: np.ndarray, losses: np.ndarray, variances: np.ndarray, flops: np.ndarray) -> Average:
        """From ln L and its variance under each law, (members, targets)."""
        mean = weights @ losses
        disagreement = weights @ (losses - mean) ** 2
        rate = float(weights @ np.asarray([member.rate for member in self.members]))
        decades = np.maximum(np.log10(flops / self.largest), NEAREST)
        scale = np.sqrt(weights @ variances + disagreement + HOME**2 + (rate * decades) ** 2)
        return Average(np.exp(mean), scale, self.members)


def in_words(members: Sequence[Member]) -> str:
    """Which laws are averaged, with what weight, and how fast each goes wrong."""
    parts = [
        f"{m.law} {m.weight:.0%} ({'off by' if m.tested else 'assumed off by'} {m.rate:.1%} a decade)" for m in members
    ]
    return "average of " + ", ".join(parts)


def half_decade(flops: np.ndarray) -> np.ndarray:
    """Targets of one half decade of compute share a fit."""
    return np.round(2 * np.log10(flops)).astype(int)


def forecast(points: Points, n_params: np.ndarray, d_tokens: np.ndarray, flops: np.ndarray | None = None) -> Average:
    """Losses of runs (targets,); flops in the unit of the points' column, None: 6ND against the points' 6ND."""
    n_params, d_tokens = np.atleast_1d(np.asarray(n_params, float)), np.atleast_1d(np.asarray(d_tokens, float))
    compute = points.flops if flops is not None else points.flops_6nd
    wanted = np.atleast_1d(np.asarray(flops, float)) if flops is not None else 6.0 * n_params * d_tokens
    return fit_ensemble(points, np.unique(half_decade(wanted)), compute).predict(n_params, d_tokens, wanted)


def fit_ensemble(
    points: Points,
    half_decades: Sequence[int] | np.ndarray,
    compute: np.ndarray | None = None,
    report: Callable[[str], None] = lambda words: None,
) -> Ensemble:
    """The laws fitted for targets of these half decades of compute; None: 6ND of the points is their compute."""
    compute = points.flops_6nd if compute is None else compute
    members, modes = [], {}
    everything = np.ones(len(points), dtype=bool)
    for name in MEMBERS:
        law = law_named(name)
        features, log_loss = law.features(points.columns()), np.log(points.loss)
        try:
            require_spread(points, law, features - law.centre(features), log_loss)
        except InputError:
            if name == MEMBERS[0]:
                raise
            continue  # more parameters than these points can bear
        rates = _error_rates(name, points, compute)
        rate = float(np.sqrt(np.mean(np.square(rates)))) if rates else RATE_UNKNOWN
        members.append(Member(name, (rate**2 + RATE_FLOOR**2) ** -2, rate, bool(rates)))
        for group in half_decades:
            report(f"{name} for 1e{group / 2:g} FLOPs")
            target = max(10 ** (float(group) / 2), float(compute.max()))
            modes[name, int(group)] = _mode(name, points, compute, target, everything)
    total = sum(member.weight for member in members)
    shown = tuple(dataclasses.replace(member, weight=member.weight / total) for member in members)
    return Ensemble(shown, modes, float(compute.max()))


def _error_rates(name: str, points: Points, compute: np.ndarray) -> list[float]:
    """Root-mean-square error per decade for every cut that leaves enough points on both sides.

    Runs far above the best loss of their compute count less: no law predicts them, and nobody plans one.
    """
    largest = float(compute.max())
    above = compute >= largest / TARGET_SHARE
    log_loss = np.log(points.loss)
    weights = 1 / (FAR_ABOVE**2 + above_best(compute, log_loss)[above] ** 2)
    rates, seen = [], set()
    for cut in CUTS:
        below = compute <= largest / cut * (1 + 1e-9)
        values = min(len(np.unique(points.n_params[below])), len(np.unique(points.d_tokens[below])))
        if below.sum() < FEWEST_BELOW or values < 3 or int(below.sum()) in seen:
            continue
        seen.add(int(below.sum()))
        mode = _mode(name, points, compute, largest, below)
        predicted, _ = mode.predict(mode.law.features(points.columns())[above])
        decades = float(np.log10(np.median(compute[above]) / compute[below].max()))
        error = float(np.sqrt(np.average((predicted - log_loss[above]) ** 2, weights=weights)))
        rates.append(error / max(decades, SHORTEST))
    return rates


def _mode(name: str, points: Points, compute: np.ndarray, target: float, keep: np.ndarray) -> Mode:
    law = law_named(name)
    return posterior_mode(law, law.features(points.columns()), np.log(points.loss), compute, target, keep)
