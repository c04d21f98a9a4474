"""The fit of one law to points: optimum, proof of convergence, draws, held-out error, and a status in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fitting.bootstrap import bootstrap
from fitting.errors import InputError
from fitting.laws import Law, law_named
from fitting.objective import DELTA, require_width
from fitting.points import Points
from fitting.proof import FitStatus, Proof, judge, prove
from fitting.replicates import SeedNoise, seed_noise
from fitting.solve import Box, Solutions, evaluate, jacobian, solve, solve_from_afar

DEFAULT_LAW = "chinchilla"
RESAMPLES = 4000  # Besiroglu et al. 2024 (arXiv:2404.10102)
SEED = 42  # of the resampled rows; the same generator and seed as Besiroglu et al., so that their table can be checked
NO_GAIN = 1e-9  # relative; a round of restarts that gains less ends the search
RESTARTS, FEWEST_RESTARTS, POLISH_ROUNDS = 256, 4, 8  # in a round, and rounds
SMOOTH = 1000  # points; of more, restarts are fewer in proportion
HELD_OUT_SHARE = 0.2  # of the points, those of largest compute, predicted from the rest


@dataclass(frozen=True)
class HeldOut:
    """The largest-compute points predicted by the same law fitted to the others."""

    points: int
    span: float  # largest held-out compute / largest fitted compute
    median_error: float  # median |relative error| of the loss
    largest_error: float


@dataclass(frozen=True)
class Fit:
    """One law fitted to one set of points. Losses in nats per token."""

    law: Law
    points: Points
    centre: np.ndarray  # (inputs,) mean of ln(input)
    theta: np.ndarray  # (parameters,)
    objective: float  # Huber sum on ln L
    delta: float
    draws: np.ndarray  # (resamples, parameters) bootstrap optima
    resampled: str  # what a resample draws: "rows" or "clusters (column)"
    residuals: np.ndarray  # (points,) ln L_law - ln L
    status: FitStatus
    sentence: str
    proof: Proof
    held_out: HeldOut | None  # None: too few points to hold any out
    chosen: str | None = None  # how the law was chosen among others; None: it was asked for

    @property
    def constants(self) -> Mapping[str, float]:
        return {name: float(value) for name, value in self.law.constants(self.theta, self.centre).items()}

    def constant_draws(self) -> Mapping[str, np.ndarray]:
        return self.law.constants(self.draws, self.centre)

    @property
    def scatter(self) -> float:
        """Standard deviation of one residual of ln L, with the degrees of freedom taken off."""
        count, used = len(self.residuals), len(self.theta)
        return float(np.sqrt(np.sum(self.residuals**2) / max(count - used, 1)))

    @property
    def seeds(self) -> SeedNoise | None:
        """What replicate runs say of the noise of one; None: there are none."""
        return seed_noise(self.points)

    @property
    def noise(self) -> float:
        """Standard deviation of ln L of one run around the law, at home.

        Without replicates the scatter of the residuals. With them what lies between seeds, as wide as so few degrees of
        freedom ask for, and what the scatter has beyond that: the law's misfit where it was fitted.
        """
        seeds = self.seeds
        if seeds is None:
            return self.scatter
        misfit = np.sqrt(max(self.scatter**2 - seeds.sd**2, 0.0))
        return float(np.hypot(seeds.allowed, misfit))

    @property
    def noise_sentence(self) -> str:
        """Where the noise comes from."""
        seeds = self.seeds
        if seeds is None:
            return f"{self.noise:.2%}, the scatter of the residuals (no runs that differ in their seed alone)"
        return f"{self.noise:.2%}: {seeds.sentence}; residuals scatter by {self.scatter:.2%}"

    def inputs(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Centred x for other points, (points, inputs)."""
        return self.law.features(columns) - self.centre


def fit_law(
    points: Points,
    law: Law | str = DEFAULT_LAW,
    delta: float = DELTA,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Fit:
    """Fits one law by log-Huber. Raises InputError where the points leave no answer at all."""
    law = law_named(law) if isinstance(law, str) else law
    require_width(delta)
    raw = law.features(points.columns())
    log_loss = np.log(points.loss)
    centre = law.centre(raw)
    x = raw - centre
    require_spread(points, law, x, log_loss)

    found = solve_from_afar(law, x, log_loss, law.starts(x, log_loss), delta=delta)
    best, gain = _polish(law, x, log_loss, found, delta, seed)
    theta = best.theta[0]
    proof = prove(jacobian(law, theta, x), found, best, gain)

    def search(weights: np.ndarray) -> np.ndarray:
        return solve(law, x, log_loss, np.tile(theta, (len(weights), 1)), weights, delta).theta

    resampled, draws = bootstrap(law, points, best, x, delta, resamples, seed, search)
    status, sentence = judge(points, law, x, log_loss, best, proof)
    return Fit(
        law=law,
        points=points,
        centre=centre,
        theta=theta,
        objective=float(best.objective[0]),
        delta=delta,
        draws=draws,
        resampled=resampled,
        residuals=evaluate(law, theta[None], x)[0] - log_loss,
        status=status,
        sentence=sentence,
        proof=proof,
        held_out=_hold_out(points, law, delta),
    )


def require_spread(points: Points, law: Law, x: np.ndarray, log_loss: np.ndarray) -> None:
    wanted = len(law.parameters(x, log_loss)) + 1
    distinct = len(np.unique(np.column_stack([x, log_loss]), axis=0))
    if distinct < wanted:
        raise InputError(
            f"{points.source}: {distinct} distinct points; the {law.name} law has {wanted - 1} parameters and needs "
            f"at least {wanted}. Add runs"
        )
    for name in law.varied:
        if np.ptp(x[:, law.inputs.index(name)]) < 1e-9:
            value = float(points.columns()[name][0])
            raise InputError(
                f"{points.source}: all {len(points)} points have {name} = {value:g}; the {law.name} law needs runs "
                f"that differ in {name}. Add at least two other values"
            )


def _polish(
    law: Law, x: np.ndarray, log_loss: np.ndarray, found: Solutions, delta: float, seed: int
) -> tuple[Solutions, float]:
    """The best optimum that restarts around the best one lead to, and what the last round of restarts still gained.

    A narrow Huber is close to least absolute deviations, whose surface has many small dents: all starts may end in
    the same one. Restarts at several distances leave it. The more points, the fewer dents there are in their sum.
    """
    rng = np.random.RandomState(seed)
    best, gain = found.best(), 0.0
    count = max(RESTARTS * SMOOTH // max(len(x), SMOOTH), FEWEST_RESTARTS)
    for _ in range(POLISH_ROUNDS):
        distance = 10 ** rng.uniform(-2.5, -0.3, (count, 1))
        restarts = best.theta + distance * rng.standard_normal((count, best.theta.shape[1]))
        again = solve(law, x, log_loss, restarts, delta=delta).best()
        gain = max(0.0, float(1 - again.objective[0] / best.objective[0])) if best.objective[0] > 0 else 0.0
        if gain > 0:
            best = again
        if gain < NO_GAIN:
            break
    return best, gain


def _hold_out(points: Points, law: Law, delta: float) -> HeldOut | None:
    order = np.argsort(points.flops, kind="stable")
    count = int(np.ceil(HELD_OUT_SHARE * len(points)))
    below, above = order[:-count], order[-count:]
    x = law.features(points.columns())
    log_loss = np.log(points.loss)
    needed = len(law.parameters(x, log_loss)) + 2
    if len(below) < needed or min(np.ptp(x[below, law.inputs.index(name)]) for name in law.varied) < 1e-9:
        return None
    x = x - law.centre(x[below])
    starts = law.starts(x[below], log_loss[below])
    weights = np.zeros(len(points))
    weights[below] = 1.0
    bounds = Box.of(law.parameters(x[below], log_loss[below]))
    found = solve_from_afar(law, x, log_loss, starts, np.tile(weights, (len(starts), 1)), delta, bounds)
    errors = np.abs(np.exp(evaluate(law, found.best().theta, x[above])[0] - log_loss[above]) - 1)
    span = float(points.flops[above].max() / points.flops[below].max())
    return HeldOut(count, span, float(np.median(errors)), float(errors.max()))
