"""How is a law fitted? A batch of damped Newton solves with exact Hessians, in float64, to the last digit.

Objective of one member: F(theta) = sum_i w_i rho_delta(ln L_law(theta, x_i) - ln L_i) / scale^2, with the Huber rho
of fitting/objective.py and scale = delta (1e-3 where delta is wide, as it is for least squares). Dividing leaves the
optimum where it is and keeps F of order 1 per point, so that no tolerance can stop the search early: averaged losses
with default tolerances are why most published fits are not converged.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fitting.laws.law import Law, Parameter
from fitting.objective import DELTA

MAX_ITERATIONS = 400
ITERATIONS_PER_ROUND = 8
BATCH, FEWEST = 64, 4  # most and fewest members solved together
CACHED = (
    2**16
)  # members times points of a batch: more does not fit the processor's cache, and takes three times as long
SMALLEST_CLASS, CLASS_RATIO = 32, 1.5  # of the numbers of points that programs are compiled for
WIDE_DELTA = 0.05  # the search starts on a Huber of this width (almost least squares, smooth)
NARROWING = 10.0  # factor between the widths that lead to a narrow one
INFINITE = 1e100  # a knee that no residual reaches, with a finite square


@dataclass(frozen=True)
class Box:
    """Where theta may lie: (parameters,), or (members, parameters). A parameter whose sides are equal is held."""

    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, parameters: tuple[Parameter, ...]) -> Box:
        return cls(*(np.asarray([getattr(p, side) for p in parameters]) for side in ("lower", "upper")))

    def take(self, member: int) -> Box:
        """Of one member."""
        return Box(self.lower[member], self.upper[member])


@dataclass(frozen=True)
class Solutions:
    """Arrays over the members of the batch; objective is the plain Huber sum, not divided by delta^2."""

    theta: np.ndarray  # (members, parameters)
    objective: np.ndarray  # (members,)
    gradient_norm: np.ndarray  # (members,) largest |dF/dtheta| over free parameters, relative to F
    converged: np.ndarray  # (members,) bool
    at_bound: np.ndarray  # (members, parameters) bool: held there by the objective, or by equal bounds
    hessian: np.ndarray  # (members, parameters, parameters) of the plain Huber sum

    def best(self) -> Solutions:
        """The member of smallest objective, as a batch of one."""
        return self.take(slice(int(np.argmin(self.objective)), int(np.argmin(self.objective)) + 1))

    def take(self, at: slice) -> Solutions:
        """Some of the members."""
        return Solutions(
            self.theta[at],
            self.objective[at],
            self.gradient_norm[at],
            self.converged[at],
            self.at_bound[at],
            self.hessian[at],
        )


class _State(NamedTuple):
    """What one member carries from step to step (arrays over members; F and derivatives divided by delta^2)."""

    theta: Any
    objective: Any
    gradient: Any
    hessian: Any
    damping: Any
    done: Any


def solve(
    law: Law,
    x: np.ndarray,
    log_loss: np.ndarray,
    theta: np.ndarray,
    weights: np.ndarray | None = None,
    delta: float = DELTA,
    bounds: Box | None = None,
) -> Solutions:
    """Minimises from every row of theta (members, parameters) under its weights (members, points).

    A weight of zero leaves a point out without a new compilation; `bounds` are then those of the points that count.
    A very narrow Huber is reached by way of wider ones: its own Hessian sees few points and leads nowhere.
    """
    bounds = bounds or Box.of(law.parameters(x, log_loss))
    weights = np.ones((len(theta), len(x))) if weights is None else np.asarray(weights, np.float64)
    width = max(delta, DELTA)
    found = _descend(law, x, log_loss, theta, weights, width, bounds)
    while width > delta:
        width = max(width / NARROWING, delta)
        found = _descend(law, x, log_loss, found.theta, weights, width, bounds)
    return found


def _descend(
    law: Law, x: np.ndarray, log_loss: np.ndarray, theta: np.ndarray, weights: np.ndarray, delta: float, bounds: Box
) -> Solutions:
    """Members that have not finished are gathered anew after every few iterations, so that few do not keep all busy."""
    import jax

    members = len(theta)
    lower, upper = (np.broadcast_to(side, theta.shape) for side in (bounds.lower, bounds.upper))
    x, log_loss, weights = _padded(x, log_loss, weights)
    theta = np.clip(np.asarray(theta, np.float64), lower, upper)
    count = theta.shape[1]
    size = _batch_size(len(x))
    scale = delta if delta <= WIDE_DELTA else DELTA
    knee = min(delta / scale, INFINITE)
    # The first step of a fresh member is a zero step: it only evaluates F, its gradient and its Hessian.
    state = _State(
        theta=theta,
        objective=np.full(members, np.inf),
        gradient=np.zeros((members, count)),
        hessian=np.tile(np.eye(count), (members, 1, 1)),
        damping=np.full(members, 0.1),
        done=np.zeros(members, dtype=bool),
    )
    with jax.enable_x64(True):
        for _ in range(MAX_ITERATIONS // ITERATIONS_PER_ROUND):
            active = np.flatnonzero(~state.done)
            for first in range(0, len(active), size):
                chunk = active[first : first + size]
                padded = np.resize(chunk, size)  # repeats fill the last batch: one compiled shape
                packed = tuple(part[padded] for part in state)
                found = _advance(law, packed, weights[padded], lower[padded], upper[padded], x, log_loss, scale, knee)
                for part, new in zip(state, found, strict=True):
                    part[chunk] = np.asarray(new)[: len(chunk)]
            if state.done.all():
                break
    pinned = ((state.theta <= lower) & (state.gradient > 0)) | ((state.theta >= upper) & (state.gradient < 0))
    pinned |= lower == upper
    slope = np.where(pinned, 0.0, np.abs(state.gradient)).max(axis=1) / (1.0 + state.objective)
    return Solutions(state.theta, state.objective * scale**2, slope, state.done, pinned, state.hessian * scale**2)


def _padded(x: np.ndarray, log_loss: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of weight zero up to the next size class."""
    missing = _missing(len(x))
    return np.pad(x, ((0, missing), (0, 0))), np.pad(log_loss, (0, missing)), np.pad(weights, ((0, 0), (0, missing)))


def _missing(points: int) -> int:
    """How many points are added so that few compiled programs serve all numbers of points."""
    size = SMALLEST_CLASS
    while size < points:
        size = int(size * CLASS_RATIO)
    return size - points


def _batch_size(points: int) -> int:
    """How many members are solved together; one size, for tracing a program takes as long as a thousand solves."""
    return min(max(2 ** (CACHED // points).bit_length() // 2, FEWEST), BATCH)


def solve_from_afar(
    law: Law,
    x: np.ndarray,
    log_loss: np.ndarray,
    theta: np.ndarray,
    weights: np.ndarray | None = None,
    delta: float = DELTA,
    bounds: Box | None = None,
) -> Solutions:
    """`solve` for rough starts: first on a wide Huber (almost least squares, smooth), then on the asked one."""
    rough = solve(law, x, log_loss, theta, weights, max(delta, WIDE_DELTA), bounds)
    return solve(law, x, log_loss, rough.theta, weights, delta, bounds)


def evaluate(law: Law, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """ln L for theta (members, parameters) at x (points, inputs): (members, points)."""
    import jax

    with jax.enable_x64(True):
        sized = np.pad(np.asarray(x, np.float64), ((0, _missing(len(x))), (0, 0)))
        return np.asarray(_evaluate(law, np.asarray(theta, np.float64), sized))[:, : len(x)]


def jacobian(law: Law, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """d ln L / d theta at one theta: (points, parameters)."""
    import jax

    with jax.enable_x64(True):
        sized = np.pad(np.asarray(x, np.float64), ((0, _missing(len(x))), (0, 0)))
        return np.asarray(_jacobian(law, np.asarray(theta, np.float64), sized))[: len(x)]


def _jit(function):
    """jax.jit with a static law, made at first use so that importing this module does not import JAX."""

    @functools.wraps(function)
    def call(law, *arrays):
        return _compiled(function)(law, *arrays)

    return call


@functools.cache
def _compiled(function):
    import jax

    return jax.jit(function, static_argnums=0)


@_jit
def _evaluate(law, theta, x):
    import jax

    return jax.vmap(lambda t: law.log_loss(t, x.T))(theta)


@_jit
def _jacobian(law, theta, x):
    import jax

    return jax.jacfwd(lambda t: law.log_loss(t, x.T))(theta)


def _objective(law, theta, weights, x, log_loss, scale, knee):
    """F of one member with its gradient and Hessian; knee = delta / scale.

    What is wanted from a point is computed once and kept (the barriers): without them the compiler computes every
    exponential anew for each of the sums that it occurs in, which takes twice as long.
    """
    import jax
    import jax.numpy as jnp

    columns = x.T
    basis = jnp.eye(theta.shape[0], dtype=theta.dtype)

    def law_at(t):
        return law.log_loss(t, columns)

    value, along = jax.linearize(law_at, theta)
    residuals, jacobian = jax.lax.optimization_barrier((value - log_loss, jax.vmap(along)(basis)))
    scaled = residuals / scale
    inside = jnp.abs(scaled) <= knee
    objective = jnp.sum(weights * jnp.where(inside, 0.5 * scaled**2, knee * (jnp.abs(scaled) - 0.5 * knee)))
    slope, curve = jax.lax.optimization_barrier(
        (weights * jnp.clip(scaled, -knee, knee) / scale, weights * inside / scale**2)
    )
    bend = jax.jacfwd(jax.grad(lambda t: jnp.sum(slope * law_at(t))))(theta)
    return objective, jacobian @ slope, bend + (jacobian * curve[None]) @ jacobian.T


@_jit
def _advance(law, state, weights, lower, upper, x, log_loss, scale, knee):
    """A few iterations for a batch of members."""
    import jax

    def one(member, weight, low, high):
        return _newton(law, member, weight, x, log_loss, low, high, scale, knee)

    return jax.vmap(one)(_State(*state), weights, lower, upper)


def _newton(law, state, weights, x, log_loss, lower, upper, unit, knee):
    """Projected Levenberg-damped Newton: a step is taken only if it lowers F."""
    import jax
    import jax.numpy as jnp

    def body(carry):
        old, iteration = carry
        free = ~(((old.theta <= lower) & (old.gradient > 0)) | ((old.theta >= upper) & (old.gradient < 0)))
        free = free & (lower < upper)
        slope = jnp.where(free, old.gradient, 0.0)
        masked = jnp.where(free[:, None] & free[None, :], old.hessian, 0.0)
        scale = jnp.where(free, jnp.maximum(jnp.abs(jnp.diagonal(old.hessian)), 1e-3), 1.0)
        matrix = masked + jnp.diag(old.damping * scale + jnp.where(free, 0.0, 1.0))
        step = -jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(matrix), True), slope)  # NaN if not positive
        step = jnp.clip(step, -2.0, 2.0)  # all coordinates are logs or exponents: 2 is a long way
        usable = jnp.all(jnp.isfinite(step))
        candidate = jnp.where(usable, jnp.clip(old.theta + step, lower, upper), old.theta)
        objective, gradient, hessian = _objective(law, candidate, weights, x, log_loss, unit, knee)
        predicted = -(slope @ step + 0.5 * step @ masked @ step)
        # At rounding level F cannot show what a step is worth, but the gradient can: such a step is taken on trust. An
        # almost undamped one of them is the last; damping that has run out ends the search too.
        tiny = usable & (predicted <= 1e-15 * (1.0 + old.objective))
        level = jnp.abs(objective - old.objective) <= 1e-12 * (1.0 + old.objective)
        accept = usable & ((objective < old.objective) | (tiny & level))
        still = tiny & (old.damping < 1e-6)
        ratio = (old.objective - objective) / jnp.where(predicted > 0, predicted, 1.0)
        damping = jnp.where(accept, old.damping * jnp.where(tiny | (ratio > 0.5), 0.1, 0.7), old.damping * 6.0)
        pick = functools.partial(jnp.where, accept)
        new = _State(
            theta=pick(candidate, old.theta),
            objective=pick(objective, old.objective),
            gradient=pick(gradient, old.gradient),
            hessian=pick(hessian, old.hessian),
            damping=jnp.maximum(damping, 1e-14),
            done=still | (old.damping > 1e14),
        )
        return new, iteration + 1

    def go_on(carry):
        return ~carry[0].done & (carry[1] < ITERATIONS_PER_ROUND)

    return jax.lax.while_loop(go_on, body, (state, jnp.asarray(0)))[0]
