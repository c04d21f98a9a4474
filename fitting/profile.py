"""How far can one constant of a fitted law be moved before the points object? Its profile likelihood, and interval.

The constant is held at each value of a grid, all others are fitted again, and the rise of the objective is read as a
likelihood ratio (Venzon and Moolgavkar 1988, Appl. Stat. 37, 87-94). A side on which the ratio stays below the
threshold up to the law's bound is not identified in practice (Raue et al. 2009, Bioinformatics 25, 1923-1929): an end
of an interval would be an invention there, as the bootstrap's often is.

A Huber sum is no log likelihood: how much it rises depends on delta and on the noise. With psi = clip(r, -delta, delta)

    ratio = 2 (sum rho(r_held) - sum rho(r_best)) E[psi'] / E[psi^2]

is chi^2 with one degree of freedom whatever the distribution of the residuals r (Ronchetti 1982; Heritier and Ronchetti
1994, J. Amer. Stat. Assoc. 89, 897-904; Huber and Ronchetti 2009, ch. 13). For a wide delta it is the F statistic of
least squares, (SSR_held - SSR_best)/s^2. E[psi'] is the share of residuals within delta, a count of few where the noise
is much wider than delta, so it is taken from a Gaussian kernel density of the residuals; they are widened by
sqrt(n/(n - p)) first, and the threshold is the quantile of F(1, n - p). Rows of one cluster are not independent: the
ratio is divided by the variance of the constant by clusters over that by rows (Kent 1982, Biometrika 69, 19-27).
Coverage by simulation: docs/fitting.md.

Held are the coordinates of the law that are constants by themselves (E, alpha, beta, gamma) and, under their own names,
those that are not (a, b: ln of a term at the geometric-mean point). A and B, the terms at one parameter and one token,
are left out: they are a and b carried ten decades and more by alpha and beta, and say nothing that those do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.errors import InputError
from fitting.fit import Fit
from fitting.objective import DELTA
from fitting.predict import LEVEL
from fitting.solve import Box, jacobian, solve

COARSE = 8  # values a side between half a standard error and the bound, in geometric steps: where is the crossing?
GRID = 30  # values of the profile, and the optimum
FEWEST = 6  # of them on either side
BEYOND = 1.4  # the grid reaches this far past the crossings
DENTED = 1000  # points; a narrow Huber sum over fewer has dents, so values are tried from their neighbours' ends too,
PASSES, SAME = 4, 1e-9  # so often, until no pass lowers any objective by more than this, relative
GAUSSIAN_WIDTH = 0.9  # Silverman 1986, eq. 3.31: 0.9 min(s, IQR/1.34) n^(-1/5)


@dataclass(frozen=True)
class Profile:
    """The likelihood ratio of one constant, all others fitted again; values grow."""

    name: str
    values: np.ndarray  # (grid,)
    ratio: np.ndarray  # (grid,) 0 at the best value
    low: float | None  # None: the ratio stays below the threshold on this side
    high: float | None
    threshold: float
    level: float
    best: float
    identified: bool  # on both sides
    sentence: str


def profile(fit: Fit, names: tuple[str, ...] | None = None, level: float = LEVEL) -> tuple[Profile, ...]:
    """Of these constants, None: of all coordinates of the law. Raises InputError where a name is none of them."""
    known = constant_names(fit)
    wanted = tuple(known) if names is None else names
    for name in wanted:
        if name not in known:
            raise InputError(
                f"constant {name!r} has no profile under the {fit.law.name} law; choose among {', '.join(known)}"
            )
    job = _Job.of(fit, np.asarray([known.index(name) for name in wanted]))
    threshold = _quantile(fit, level)
    coarse = job.climb(job.first_offsets())
    profiles = job.climb(job.second_offsets(coarse, threshold), coarse)
    return tuple(
        _read(fit, name, index, profiles.offsets[row], profiles.ratio[row], threshold, level)
        for row, (name, index) in enumerate(zip(wanted, job.held, strict=True))
    )


def constant_names(fit: Fit) -> list[str]:
    """For each coordinate of theta the constant that is a function of it alone, else the coordinate's own name."""
    x, log_loss = fit.inputs(fit.points.columns()), np.log(fit.points.loss)
    names = [parameter.name for parameter in fit.law.parameters(x, log_loss)]
    moved = fit.law.constants(fit.theta + 1e-3 * np.vstack([0 * fit.theta, np.eye(len(names))]), fit.centre)
    for constant, values in moved.items():
        depends = np.flatnonzero(values[1:] != values[0])
        if len(depends) == 1:
            names[depends[0]] = constant
    return names


@dataclass(frozen=True)
class _Curves:
    """Profiles in coordinates: one row for each held coordinate."""

    offsets: np.ndarray  # (held, grid) from the optimum, ascending
    theta: np.ndarray  # (held, grid, parameters)
    ratio: np.ndarray  # (held, grid)


@dataclass(frozen=True)
class _Job:
    """What the profiles of one fit share."""

    fit: Fit
    held: np.ndarray  # (held,) indices into theta
    x: np.ndarray
    log_loss: np.ndarray
    lower: np.ndarray  # (parameters,)
    upper: np.ndarray
    drift: np.ndarray  # (held, parameters) how the others follow a held coordinate, to first order
    error: np.ndarray  # (held,) standard error, to first order
    scale: np.ndarray  # (held,) what a rise of the objective is divided by

    @classmethod
    def of(cls, fit: Fit, held: np.ndarray) -> _Job:
        x, log_loss = fit.inputs(fit.points.columns()), np.log(fit.points.loss)
        box = Box.of(fit.law.parameters(x, log_loss))
        slopes = jacobian(fit.law, fit.theta, x)
        inverse = np.linalg.pinv(slopes.T @ slopes, rcond=1e-14, hermitian=True)
        inside, square = _moments(fit)
        scale = square / inside * _design_effect(fit, slopes, inverse)[held]
        variance = np.maximum(np.diagonal(inverse)[held], 1e-300)
        return cls(
            fit=fit,
            held=held,
            x=x,
            log_loss=log_loss,
            lower=box.lower,
            upper=box.upper,
            drift=inverse[held] / variance[:, None],
            error=np.sqrt(scale / inside * variance),
            scale=scale,
        )

    @property
    def room(self) -> tuple[np.ndarray, np.ndarray]:
        """(held,) how far each held coordinate can go down and up."""
        best = self.fit.theta[self.held]
        return best - self.lower[self.held], self.upper[self.held] - best

    def first_offsets(self) -> np.ndarray:
        """Geometric steps to both bounds, (held, 2 COARSE + 1)."""
        sides = []
        for room in self.room:
            first = np.minimum(0.5 * self.error, room / 4)
            steps = np.linspace(0, 1, COARSE)[None]
            with np.errstate(divide="ignore", invalid="ignore"):
                sides.append(np.where(room[:, None] > 0, first[:, None] * (room / first)[:, None] ** steps, 0.0))
        return np.concatenate([-sides[0][:, ::-1], np.zeros((len(self.held), 1)), sides[1]], axis=1)

    def second_offsets(self, coarse: _Curves, threshold: float) -> np.ndarray:
        """Even steps to a little beyond the crossings, or to the bounds where there are none, by way of the optimum."""
        rows = []
        for offsets, ratio, down, up in zip(coarse.offsets, coarse.ratio, *self.room, strict=True):
            low, high = _crossing(-offsets[::-1], ratio[::-1], threshold), _crossing(offsets, ratio, threshold)
            low, high = down if low is None else min(BEYOND * low, down), up if high is None else min(BEYOND * high, up)
            left = int(np.clip(round(GRID * low / max(low + high, 1e-300)), FEWEST, GRID - FEWEST))
            rows.append(np.concatenate([np.linspace(-low, 0, left + 1)[:-1], np.linspace(0, high, GRID - left + 1)]))
        return np.stack(rows)

    def climb(self, offsets: np.ndarray, known: _Curves | None = None) -> _Curves:
        """The others fitted again at every offset: all as one batch, from first order or from known curves."""
        rows, grid = offsets.shape
        count = len(self.fit.theta)
        if known is None:
            start = self.fit.theta + offsets[..., None] * self.drift[:, None]
        else:
            start = np.stack(
                [
                    [np.interp(offsets[row], known.offsets[row], known.theta[row, :, i]) for i in range(count)]
                    for row in range(rows)
                ]
            ).transpose(0, 2, 1)
        lower, upper = (np.tile(side, (rows, grid, 1)) for side in (self.lower, self.upper))
        for row, index in enumerate(self.held):
            lower[row, :, index] = upper[row, :, index] = self.fit.theta[index] + offsets[row]
        box = Box(lower.reshape(-1, count), upper.reshape(-1, count))

        def solved(tried: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            found = solve(
                self.fit.law, self.x, self.log_loss, tried.reshape(-1, count), delta=self.fit.delta, bounds=box
            )
            return found.theta.reshape(rows, grid, count), found.objective.reshape(rows, grid)

        theta, objective = solved(start)
        for _ in range(PASSES if known is not None and len(self.x) <= DENTED else 0):
            before = objective
            for shift in (1, -1):
                other, reached = solved(np.roll(theta, shift, axis=1))
                theta = np.where((reached < objective)[..., None], other, theta)
                objective = np.minimum(reached, objective)
            if (objective >= before * (1 - SAME)).all():
                break
        rise = np.maximum(objective - self.fit.objective, 0.0)
        return _Curves(offsets, theta, 2 * rise / self.scale[:, None])


def _moments(fit: Fit) -> tuple[float, float]:
    """E[psi'] and E[psi^2] of the residuals."""
    from scipy.special import ndtr

    count, used = len(fit.residuals), len(fit.theta)
    residuals = fit.residuals * np.sqrt(count / max(count - used, 1))
    quartiles = np.quantile(residuals, [0.25, 0.75])
    spread = min(float(np.std(residuals)), float(np.ptp(quartiles)) / 1.34)
    width = max(GAUSSIAN_WIDTH * spread * count**-0.2, 1e-3 * min(fit.delta, DELTA))
    inside = np.mean(ndtr((fit.delta - residuals) / width) - ndtr((-fit.delta - residuals) / width))
    square = np.mean(np.clip(residuals, -fit.delta, fit.delta) ** 2)
    return max(float(inside), 1e-12), max(float(square), 1e-300)


def _design_effect(fit: Fit, slopes: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Variance of each coordinate by clusters over that by rows, (parameters,); 1 where every row is a cluster."""
    labels, member = np.unique(np.asarray(fit.points.cluster), return_inverse=True)
    if len(labels) == len(fit.points):
        return np.ones(len(fit.theta))
    pull = np.clip(fit.residuals, -fit.delta, fit.delta)[:, None] * slopes @ inverse
    summed = np.zeros((len(labels), pull.shape[1]))
    np.add.at(summed, member, pull)
    return np.sum(summed**2, axis=0) / np.maximum(np.sum(pull**2, axis=0), 1e-300)


def _quantile(fit: Fit, level: float) -> float:
    """Of F(1, independent observations - parameters)."""
    from scipy.special import fdtri

    if not 0 < level < 1:
        raise InputError(f"level is {level:g}; allowed is 0 < level < 1. Give 0.9")
    return float(fdtri(1, max(len(set(fit.points.cluster)) - len(fit.theta), 1), level))


def _crossing(offsets: np.ndarray, ratio: np.ndarray, threshold: float) -> float | None:
    """Where the ratio first exceeds the threshold above offset 0; its root is almost linear (Bates and Watts 1988)."""
    side = offsets >= 0
    steps, root, wanted = offsets[side], np.sqrt(ratio[side]), np.sqrt(threshold)
    above = np.flatnonzero(root > wanted)
    if not above.size:
        return None
    after = int(above[0])
    if after == 0:
        return 0.0
    share = (wanted - root[after - 1]) / (root[after] - root[after - 1])
    return float(steps[after - 1] + share * (steps[after] - steps[after - 1]))


def _read(
    fit: Fit, name: str, index: int, offsets: np.ndarray, ratio: np.ndarray, threshold: float, level: float
) -> Profile:
    """From the coordinate to the constant that people read."""

    def value(at: np.ndarray) -> np.ndarray:
        theta = np.tile(fit.theta, (len(at), 1))
        theta[:, index] += at
        constants = fit.law.constants(theta, fit.centre)
        return constants[name] if name in constants else theta[:, index]

    down, up = _crossing(-offsets[::-1], ratio[::-1], threshold), _crossing(offsets, ratio, threshold)
    low = None if down is None else float(value(np.asarray([-down]))[0])
    high = None if up is None else float(value(np.asarray([up]))[0])
    values, best = value(offsets), float(value(np.zeros(1))[0])
    if values[0] > values[-1]:  # a constant that falls as its coordinate grows
        low, high, values, ratio = high, low, values[::-1], ratio[::-1]
    return Profile(
        name=name,
        values=values,
        ratio=ratio,
        low=low,
        high=high,
        threshold=threshold,
        level=level,
        best=best,
        identified=low is not None and high is not None,
        sentence=_in_words(name, best, low, high, values, level),
    )


def _in_words(name: str, best: float, low: float | None, high: float | None, values: np.ndarray, level: float) -> str:
    if low is not None and high is not None:
        return f"{name} = {best:.4g}, {low:.4g} .. {high:.4g} at {level:.0%}"
    if low is None and high is None:
        return f"{name} is not identified: no value from {values[0]:.3g} to {values[-1]:.3g} is refused at {level:.0%}"
    if low is None:
        return f"{name} is at most {high:.4g} at {level:.0%}; not identified from below: {values[0]:.3g} fits too"
    return f"{name} is at least {low:.4g} at {level:.0%}; not identified from above: {values[-1]:.3g} fits too"
