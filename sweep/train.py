"""The training program: many steps per dispatch, donated state, one compilation for every horizon and rate."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from models import Architecture
from models.decoder import token_losses
from models.parametrisation import RULES, rate_multiplier
from sweep.spec import OptimiserSpec, RunSpec

STEPS_PER_DISPATCH = 64  # hides the dispatch cost (0.1-0.3 ms) even at 1 ms a step; also one row of the curve
EVAL_WINDOWS_AT_ONCE = 32


class TrainState(NamedTuple):
    """Everything that a resumed run needs besides the step: parameters and optimiser moments, by tensor name."""

    params: dict[str, jax.Array]
    moments: Any


class Advanced(NamedTuple):
    """Per step of one dispatch, (STEPS_PER_DISPATCH,); only the first `count` entries are meant."""

    losses: jax.Array  # nats per token
    gradient_norms: jax.Array  # before clipping


@dataclass(frozen=True)
class Program:
    """Compiled functions for one architecture and one batch shape. jit keys on shapes, so horizons share them."""

    architecture: Architecture
    optimiser: OptimiserSpec

    def initial_state(self, seed: int) -> TrainState:
        return _initial_state(self, seed)

    def advance(
        self, state: TrainState, tokens: np.ndarray, rates: np.ndarray, count: int
    ) -> tuple[TrainState, Advanced]:
        """Takes `count` steps; tokens (STEPS_PER_DISPATCH, B, T + 1), rates (STEPS_PER_DISPATCH,) peak included."""
        return _advance(self, state, tokens, rates, count)

    def window_losses(self, params: dict[str, jax.Array], windows: np.ndarray) -> np.ndarray:
        """Mean loss of each window (windows, T + 1), in nats per token: (windows,) float64."""
        total = len(windows)
        padded = np.resize(windows, (-(-total // EVAL_WINDOWS_AT_ONCE) * EVAL_WINDOWS_AT_ONCE, windows.shape[1]))
        blocks = padded.reshape(-1, EVAL_WINDOWS_AT_ONCE, windows.shape[1])
        return np.asarray(_window_losses(self, params, blocks), dtype=np.float64).reshape(-1)[:total]


def program_for(spec: RunSpec) -> Program:
    """Programs that differ only in what is passed at run time (peak rate) are the same program."""
    import dataclasses

    return Program(spec.architecture, dataclasses.replace(spec.optimiser, learning_rate=1.0))


def pad_dispatch(array: np.ndarray) -> np.ndarray:
    """Fills the first axis up to STEPS_PER_DISPATCH by zeros: the last dispatch has the shape of the others."""
    return np.pad(array, [(0, STEPS_PER_DISPATCH - len(array))] + [(0, 0)] * (array.ndim - 1))


@functools.cache
def _graph(architecture: Architecture) -> nnx.GraphDef:
    return nnx.split(nnx.eval_shape(lambda: architecture.build(jax.random.key(0))))[0]


def _loss(architecture: Architecture, params: dict[str, jax.Array], tokens: jax.Array) -> jax.Array:
    """(B, T) losses of tokens (B, T + 1)."""
    model = nnx.merge(_graph(architecture), nnx.State({name: nnx.Param(value) for name, value in params.items()}))
    tokens = tokens.astype(jnp.int32)
    return token_losses(model(tokens[:, :-1]), tokens[:, 1:])


def _transformation(optimiser: OptimiserSpec) -> optax.GradientTransformation:
    """Clip, Adam direction, decoupled decay; the rate is applied by the caller."""
    return optax.chain(
        optax.clip_by_global_norm(optimiser.clip_norm),
        optax.scale_by_adam(optimiser.beta1, optimiser.beta2, optimiser.epsilon),
        optax.add_decayed_weights(optimiser.weight_decay, {name: rule.decays for name, rule in RULES.items()}),
    )


@functools.partial(jax.jit, static_argnums=0)
def _initial_state(program: Program, seed: int) -> TrainState:
    params = nnx.to_pure_dict(nnx.split(program.architecture.build(jax.random.key(seed)))[1])
    return TrainState(params, _transformation(program.optimiser).init(params))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _advance(program: Program, state: TrainState, tokens: jax.Array, rates: jax.Array, count: jax.Array):
    transformation = _transformation(program.optimiser)
    width = program.architecture.width

    def step(i, carry):
        state, out = carry

        def mean_loss(params):
            return _loss(program.architecture, params, tokens[i]).mean()

        loss, gradients = jax.value_and_grad(mean_loss)(state.params)
        updates, moments = transformation.update(gradients, state.moments, state.params)
        directions = cast(dict[str, jax.Array], updates)
        params = {
            name: value - rates[i] * rate_multiplier(name, width) * directions[name]
            for name, value in state.params.items()
        }
        out = Advanced(out.losses.at[i].set(loss), out.gradient_norms.at[i].set(optax.tree.norm(gradients)))
        return TrainState(params, moments), out

    empty = jnp.zeros(STEPS_PER_DISPATCH, jnp.float32)
    return jax.lax.fori_loop(0, count, step, (state, Advanced(empty, empty)))


@functools.partial(jax.jit, static_argnums=0)
def _window_losses(program: Program, params: dict[str, jax.Array], blocks: jax.Array) -> jax.Array:
    return jax.lax.map(lambda windows: _loss(program.architecture, params, windows).mean(axis=-1), blocks)
