"""What is known of the target, and what would be known if a run were bought? One rank-one update, no refit.

Each law k at its mode says by a Jacobian row j = d ln L / d theta what a run tells about the others. S_k is the joint
covariance of ln L over targets t and candidates c; a run is seen with variance u_c, and buying it does

    S_k <- S_k - S_k[:, c] S_k[c, :] / (S_k[c, c] + u_c).

No law is exact: a run Delta decades of compute below the target is off the law, and the more so the larger Delta is.
There are two readings of that. The forecast takes it as noise of each run (fitting/posterior.py): S = J Sigma J^T and
u_c = NOISE^2 + (DRIFT Delta_c)^2. But neighbours are off alike, so that ten cheap runs do not average their bias away:
`discrepancy` gives it as a covariance, the law's constants follow by generalised least squares (Rasmussen and Williams
2006, eq. 2.41 and 2.42), and u_c = NOISE^2. Runs are chosen by the second reading, which chooses better (docs/next.md);
the interval that is promised is the forecast's own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from fitting.ensemble import HOME, NEAREST, Ensemble
from fitting.next_runs.candidates import Runs
from fitting.points import Points
from fitting.posterior import DRIFT, NOISE, Mode, priors
from fitting.solve import evaluate, jacobian

BIAS = 0.03  # of ln L per decade, what neighbours share of it; developed on public sweeps
ALIKE = 2.0  # decades of N and D over which runs are off the law alike; chosen on public sweeps, see docs/next.md


@dataclass(frozen=True)
class Knowledge:
    """What is known, or expected to be known after some purchases. Rows and columns: targets, then candidates."""

    covariance: np.ndarray  # (laws, rows, rows) of ln L
    difference: np.ndarray  # (laws k, laws l, rows) ln L_l - ln L_k that is expected if k is right
    weights: np.ndarray  # (laws,)
    rate: float  # of the average: error of ln L per decade
    seen_with: np.ndarray  # (rows,) u, the variance of a run's ln L around what S is about
    target_flops: np.ndarray  # (targets,)
    flops: np.ndarray  # (candidates,)
    largest: float  # compute of the largest run so far, FLOPs

    @property
    def targets(self) -> int:
        return len(self.target_flops)

    def variance(self) -> np.ndarray:
        """Square of the forecast's scale, (targets,), put together as Ensemble.average does."""
        t = self.targets
        own = np.einsum("kcc->kc", self.covariance)[:, :t, None]
        return self._variance(np.asarray([self.largest]), own, self.difference[:, :, :t, None])[:, 0]

    def reducible(self) -> np.ndarray:
        """What many small runs may take off it: the laws' constants and their disagreement, (targets,)."""
        decades = np.maximum(np.log10(self.target_flops / self.largest), NEAREST)
        return self.variance() - HOME**2 - (self.rate * decades) ** 2

    def variance_with(self) -> np.ndarray:
        """The same after each candidate alone, (targets, candidates).

        If law k is right a run will show what k says, and moves law l towards it: disagreement shrinks where laws
        disagree.
        """
        t = self.targets
        gain = self.covariance[:, :t, t:] / self._seen()[:, None, t:]
        own = np.einsum("kcc->kc", self.covariance)[:, :t, None] - gain * self.covariance[:, :t, t:]
        left = self.difference[:, :, :t, None] - gain[None] * self.difference[:, :, None, t:]
        return self._variance(np.maximum(self.largest, self.flops), own, left)

    def worth(self) -> np.ndarray:
        """How much each candidate takes off the square of the scale, mean over the targets, (candidates,)."""
        return (self.variance()[:, None] - self.variance_with()).mean(axis=0)

    def log_determinant_gain(self) -> np.ndarray:
        """How much each candidate adds to ln det of the information on the constants: D-optimality, (candidates,)."""
        return self.weights @ np.log(self._seen() / self.seen_with)[:, self.targets :]

    def bought(self, candidate: int) -> Knowledge:
        """After this candidate has shown what is expected of it."""
        c = self.targets + candidate
        column = self.covariance[:, :, c]
        gain = column / self._seen()[:, c, None]
        return dataclasses.replace(
            self,
            covariance=self.covariance - gain[:, :, None] * column[:, None, :],
            difference=self.difference - gain[None] * self.difference[:, :, c, None],
            largest=max(self.largest, float(self.flops[candidate])),
        )

    def _seen(self) -> np.ndarray:
        """Variance of what a run would show, (laws, rows)."""
        return np.einsum("kcc->kc", self.covariance) + self.seen_with

    def _variance(self, largest: np.ndarray, own: np.ndarray, difference: np.ndarray) -> np.ndarray:
        # sum_k w_k (f_k - mean)^2 = sum_kl w_k w_l (f_l - f_k)^2 / 2
        disagreement = 0.5 * np.einsum("k,l,kltc->tc", self.weights, self.weights, difference**2)
        decades = np.maximum(np.log10(self.target_flops[:, None] / largest), NEAREST)
        return np.einsum("k,ktc->tc", self.weights, own) + disagreement + HOME**2 + (self.rate * decades) ** 2


def as_forecast(ensemble: Ensemble, targets: Runs, candidates: Runs) -> Knowledge:
    """The discrepancy as noise of each run: `variance` is exactly the square of the forecast's scale."""
    rows, reach = targets.joined(candidates), float(np.median(targets.compute))
    modes = modes_for(ensemble, reach)
    covariance = []
    for mode in modes:
        slopes = jacobian(mode.law, mode.theta, inputs(mode, rows))
        covariance.append(slopes @ mode.covariance @ slopes.T)
    return _knowledge(ensemble, modes, rows, targets, candidates, np.stack(covariance), noise_variance(rows, reach))


def with_shared_bias(ensemble: Ensemble, points: Points, targets: Runs, candidates: Runs) -> Knowledge:
    """The discrepancy as a bias that neighbouring runs share: what runs are chosen by."""
    rows, reach = targets.joined(candidates), float(np.median(targets.compute))
    known, modes = Runs.of(points.n_params, points.d_tokens), modes_for(ensemble, reach)
    within, across = discrepancy(known, known, reach), discrepancy(rows, known, reach)
    inverse = np.linalg.inv(within + NOISE**2 * np.eye(len(known)))
    off = discrepancy(rows, rows, reach) - across @ inverse @ across.T
    covariance = []
    for mode in modes:
        fitted = jacobian(mode.law, mode.theta, inputs(mode, known))
        left = jacobian(mode.law, mode.theta, inputs(mode, rows)) - across @ inverse @ fitted
        covariance.append(off + left @ _constants(mode, fitted, inverse) @ left.T)
    seen_with = np.full(len(rows), NOISE**2)
    return _knowledge(ensemble, modes, rows, targets, candidates, np.stack(covariance), seen_with)


def discrepancy(these: Runs, those: Runs, target_flops: float) -> np.ndarray:
    """Covariance of how far runs are off any law, (these, those): alike nearby, nothing at the target's compute."""
    distance = np.zeros((len(these), len(those)))
    for name in ("n_params", "d_tokens"):
        a, b = (np.log10(getattr(runs, name)) for runs in (these, those))
        distance = distance + (a[:, None] - b[None]) ** 2
    size = BIAS**2 * np.outer(_decades(these, target_flops), _decades(those, target_flops))
    return size * np.exp(-distance / (2 * ALIKE**2))


def constants_covariance(mode: Mode, known: Runs, target_flops: float) -> np.ndarray:
    """Of theta, if these runs are all that was measured and neighbours are off the law alike."""
    inverse = np.linalg.inv(discrepancy(known, known, target_flops) + NOISE**2 * np.eye(len(known)))
    return _constants(mode, jacobian(mode.law, mode.theta, inputs(mode, known)), inverse)


def _constants(mode: Mode, slopes: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    _, inverse_sd = priors(mode.law)
    information = slopes.T @ inverse @ slopes + np.diag(inverse_sd**2)
    return np.linalg.pinv(information, rcond=1e-12, hermitian=True)


def _knowledge(
    ensemble: Ensemble,
    modes: list[Mode],
    rows: Runs,
    targets: Runs,
    candidates: Runs,
    covariance: np.ndarray,
    seen_with: np.ndarray,
) -> Knowledge:
    values = np.stack([evaluate(mode.law, mode.theta[None], inputs(mode, rows))[0] for mode in modes])
    weights = np.asarray([member.weight for member in ensemble.members])
    return Knowledge(
        covariance=covariance,
        difference=values[None] - values[:, None],
        weights=weights,
        rate=float(weights @ np.asarray([member.rate for member in ensemble.members])),
        seen_with=seen_with,
        target_flops=targets.compute,
        flops=candidates.compute,
        largest=ensemble.largest,
    )


def modes_for(ensemble: Ensemble, target_flops: float) -> list[Mode]:
    """One mode a law, in the order of the members."""
    group = int(ensemble.half_decades(np.asarray([target_flops]))[0])
    return [ensemble.modes[member.law, group] for member in ensemble.members]


def noise_variance(runs: Runs, target_flops: float) -> np.ndarray:
    """Of each run's ln L as the forecast reads it, fitting/posterior.py's scale squared."""
    return NOISE**2 + (DRIFT * _decades(runs, target_flops)) ** 2


def inputs(mode: Mode, runs: Runs) -> np.ndarray:
    """Centred x of the mode's law, (runs, inputs)."""
    columns = {"n_params": runs.n_params, "d_tokens": runs.d_tokens, "flops": runs.compute}
    return mode.law.features(columns) - mode.centre


def _decades(runs: Runs, target_flops: float) -> np.ndarray:
    """How far below the target's compute, at least 0."""
    return np.maximum(np.log10(target_flops / runs.compute), 0.0)
