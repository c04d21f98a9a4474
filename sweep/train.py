"""The training program: many steps per dispatch, donated state, one compilation for every horizon, rate and decay."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding

from models import Architecture
from models.decoder import head, hidden, initial_parameters
from models.losses import token_losses, training_loss
from models.mlp import BALANCE_COEFFICIENT
from models.parametrisation import logit_multiplier, tensors
from sweep.layout import BATCH_AXES, Layout, place
from sweep.optimiser import directions
from sweep.queued import QueuedLosses
from sweep.spec import OptimiserSpec, RunSpec

STEPS_PER_DISPATCH = 64  # hides the dispatch cost (0.1-0.3 ms) even at 1 ms a step; also one row of the curve
EVAL_WINDOWS_AT_ONCE = 32
PRECISIONS = ("float32", "bfloat16")


class TrainState(NamedTuple):
    """Everything that a resumed run needs besides the step. Packed runs add a leading axis."""

    params: dict[str, jax.Array]  # float32, by tensor name
    moments: Any  # of the optimiser
    skipped: jax.Array  # int32: steps whose gradient was not finite and that changed nothing


class Advanced(NamedTuple):
    """Per step of one dispatch, (STEPS_PER_DISPATCH,); only the first `count` entries are meant."""

    losses: jax.Array  # nats per token
    gradient_norms: jax.Array  # before clipping


@dataclass(frozen=True)
class Program:
    """Compiled functions for one architecture, batch shape and layout, over one run or several packed ones."""

    architecture: Architecture
    optimiser: OptimiserSpec  # rate and decay are handed over at run time; here they are 0
    precision: str
    layout: Layout
    members: int | None = None  # packed runs, the leading axis of everything; None: one run, no such axis
    separator: int | None = None  # token that opens a document, where attention stays within one

    @property
    def meets_once(self) -> bool:
        """Whether every device adds up its own micro-batches before they meet: where nothing but the batch is cut, and
        no experts are balanced over the tokens of all devices."""
        layout = self.layout
        several = layout.accumulation > 1 and layout.devices > 1
        return several and layout.devices == layout.data and self.architecture.experts == 1

    def initial_state(self, seeds: int | np.ndarray) -> TrainState:
        """Of one seed, or (members,) seeds."""
        return _compiled(self).initial(seeds)

    def advance(
        self, state: TrainState, tokens: np.ndarray, rates: np.ndarray, decays: np.ndarray, count: int
    ) -> tuple[TrainState, Advanced]:
        """Takes `count` steps and donates the state.

        tokens (STEPS_PER_DISPATCH, B, T + 1); rates and decays (STEPS_PER_DISPATCH,), the learning rate at width 64
        and the decoupled weight decay of each step. All with a leading axis where runs are packed.
        """
        packed = 0 if self.members is None else 1
        spread = place(tokens, self.layout.batch_sharding(1 + packed))
        return _compiled(self).advance(state, spread, rates, decays, np.int32(count))

    def queue_losses(self, params: dict[str, jax.Array], windows: np.ndarray) -> QueuedLosses:
        """Asks for the loss of every target of windows (windows, T + 1) of one run, and returns.

        `params` may be donated afterwards: what was asked before is computed before. Every call of the device has one
        shape, whatever the number of windows, so that one compilation serves all evaluations.
        """
        single = dataclasses.replace(self, members=None)
        at_once = -(-EVAL_WINDOWS_AT_ONCE // self.layout.batch_parts) * self.layout.batch_parts
        evaluate, spread = _compiled(single).evaluate, self.layout.batch_sharding(0)
        queued = QueuedLosses()
        for start in range(0, len(windows), at_once):
            block = windows[start : start + at_once]
            full = np.resize(block, (at_once, windows.shape[1]))
            queued.add(evaluate(params, place(full, spread)), len(block))
        return queued

    def token_losses(self, params: dict[str, jax.Array], windows: np.ndarray) -> np.ndarray:
        """The same, waited for: (windows, T) float32, in nats."""
        return self.queue_losses(params, windows).read()


def program_for(spec: RunSpec, layout: Layout | None = None, members: int | None = None) -> Program:
    """Runs that differ only in what is handed over at run time (rate, decay, seed, horizon) share a program."""
    timeless = dataclasses.replace(spec.optimiser, learning_rate=0.0, weight_decay=0.0, decay_tokens=0.0)
    return Program(spec.architecture, timeless, spec.precision, layout or Layout(), members, spec.data.separator)


def pad_dispatch(array: np.ndarray) -> np.ndarray:
    """Fills the first axis up to STEPS_PER_DISPATCH by zeros: the last dispatch has the shape of the others."""
    return np.pad(array, [(0, STEPS_PER_DISPATCH - len(array))] + [(0, 0)] * (array.ndim - 1))


class _Compiled(NamedTuple):
    initial: Any
    advance: Any
    evaluate: Any


@functools.lru_cache(maxsize=64)
def _compiled(program: Program) -> _Compiled:
    initial = functools.partial(_initial_state, program)
    advance = functools.partial(_advance, program)
    evaluate = functools.partial(_token_losses, program)
    if program.members is not None:
        initial, advance = jax.vmap(initial), jax.vmap(advance, in_axes=(0, 0, 0, 0, None))
    state = state_shardings(program)
    everywhere = program.layout.replicated()
    return _Compiled(
        jax.jit(initial, out_shardings=state),
        jax.jit(advance, donate_argnums=0, out_shardings=None if state is None else (state, everywhere)),
        jax.jit(evaluate, out_shardings=everywhere),
    )


def state_shardings(program: Program) -> Any | None:
    """A TrainState of shardings: moments lie as their parameters do; everything else everywhere."""
    layout = program.layout
    if layout.devices == 1:
        return None
    by_name = {name: layout.tensor_sharding(tensor) for name, tensor in tensors(program.architecture).items()}
    everywhere = layout.replicated()
    abstract = jax.eval_shape(functools.partial(_initial_state, program), 0)
    moments = optax.tree_utils.tree_map_params(
        directions(program.optimiser, program.architecture),
        lambda _, sharding: sharding,
        abstract.moments,
        by_name,
        transform_non_params=lambda _: everywhere,
    )
    shardings: tuple[Any, Any, Any] = (by_name, moments, everywhere)
    return TrainState(*shardings)


def _initial_state(program: Program, seed: jax.Array) -> TrainState:
    params = initial_parameters(program.architecture, jax.random.key(seed))
    return TrainState(params, directions(program.optimiser, program.architecture).init(params), jnp.int32(0))


def _objective(
    program: Program, spread: NamedSharding | None, params: dict[str, jax.Array], tokens: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(what is differentiated, mean cross-entropy) of tokens (B, T + 1)."""
    a = program.architecture
    computing = {name: value.astype(program.precision) for name, value in params.items()}
    tokens = tokens.astype(jnp.int32)
    layout = program.layout
    left = hidden(a, computing, tokens[:, :-1], layout.remat, spread, program.separator, layout.fsdp > 1)
    objective, ce = training_loss(
        left.hidden_BxTxD, head(computing), tokens[:, 1:], logit_multiplier(a), program.optimiser.z_loss
    )
    return (objective + BALANCE_COEFFICIENT * left.balance if a.experts > 1 else objective), ce


def _gradients(program: Program, params: dict[str, jax.Array], tokens: jax.Array):
    """((objective, ce), gradients), the mean over the batch."""
    layout = program.layout
    if not program.meets_once:
        return _over_micro_batches(program, layout.batch_sharding(0), params, tokens, layout.accumulation)

    def own(params, tokens):
        mine = _over_micro_batches(program, None, params, tokens, layout.accumulation * layout.devices)
        return jax.lax.psum(mine, BATCH_AXES)

    everywhere, cut = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec(BATCH_AXES)
    spread = jax.shard_map(own, mesh=layout.mesh(), in_specs=(everywhere, cut), out_specs=everywhere, check_vma=False)
    return spread(params, tokens)


def _over_micro_batches(
    program: Program,
    spread: NamedSharding | None,
    params: dict[str, jax.Array],
    tokens: jax.Array,
    shares: int,
):
    """The same of these tokens (B, T + 1), one micro-batch after the other, added up in float32.

    shares: of how many micro-batches the mean is meant. Each loss is divided by it before its gradient is taken: the
    sum is a mean then, and nobody divides the gradients, which takes a pass over all of them.
    """

    def share(params, tokens):
        return jax.tree.map(lambda mean: mean / shares, _objective(program, spread, params, tokens))

    slope = jax.value_and_grad(share, has_aux=True)
    parts = program.layout.accumulation
    if parts == 1:
        return slope(params, tokens)
    # Micro-batch m takes sequences m, m + parts, …: a batch that is cut over devices stays where it is.
    micro = tokens.reshape(-1, parts, tokens.shape[-1]).swapaxes(0, 1)

    def add(total, part):
        return jax.tree.map(jnp.add, total, slope(params, part)), None

    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(slope, params, micro[0]))
    return jax.lax.scan(add, empty, micro)[0]


def _advance(
    program: Program, state: TrainState, tokens: jax.Array, rates: jax.Array, decays: jax.Array, count: jax.Array
) -> tuple[TrainState, Advanced]:
    transformation = directions(program.optimiser, program.architecture)
    table = tensors(program.architecture)

    def step(i, carry):
        state, out = carry
        (_, loss), gradients = _gradients(program, state.params, tokens[i])
        norm = optax.tree.norm(gradients)
        finite = jnp.isfinite(norm)
        directed, moments = transformation.update(gradients, state.moments, state.params, finite=finite)
        updates = cast(dict[str, jax.Array], directed)
        params = {
            name: value - rates[i] * (table[name].rate * updates[name] + table[name].decay * decays[i] * value)
            for name, value in state.params.items()
        }
        params = jax.tree.map(lambda new, old: jnp.where(finite, new, old), params, state.params)
        out = Advanced(out.losses.at[i].set(loss), out.gradient_norms.at[i].set(norm))
        return TrainState(params, moments, state.skipped + jnp.where(finite, 0, 1)), out

    empty = jnp.zeros(STEPS_PER_DISPATCH, jnp.float32)
    return jax.lax.fori_loop(0, count, step, (state, Advanced(empty, empty)))


def _token_losses(program: Program, params: dict[str, jax.Array], windows: jax.Array) -> jax.Array:
    a, layout = program.architecture, program.layout
    computing = {name: value.astype(program.precision) for name, value in params.items()}
    windows = windows.astype(jnp.int32)
    spread = layout.batch_sharding(0)
    left = hidden(a, computing, windows[:, :-1], layout.remat, spread, program.separator, layout.fsdp > 1)
    return token_losses(left.hidden_BxTxD, head(computing), windows[:, 1:], logit_multiplier(a))
