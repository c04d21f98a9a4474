"""The forward pass: tokens to logits. All blocks are stacked on a leading axis, so compile time is flat in depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from models.architecture import Architecture
from models.attention import attend
from models.linear import merge, widen
from models.mlp import dense, mixture
from models.normalise import normalise, rotary_angles
from models.parametrisation import branch_multiplier, tensors

# Dimensions in names: B batch, T positions, D width, N blocks, H heads, K head width, F MLP width, V vocabulary.
UNROLL_UP_TO = 8  # blocks; above, the loop over blocks is compiled once
# A loop copies what blocks keep into stacks, and back: on a GPU 1.4x of the bytes of a whole step (docs/speed.md).
UNROLL_UP_TO_ON_GPUS = 32
PRODUCTS = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
REMATERIALISATIONS = ("none", "dots", "block")


class Hidden(NamedTuple):
    """What the blocks leave."""

    hidden_BxTxD: jax.Array  # normalised
    balance: jax.Array  # load-balancing loss of the experts, mean over blocks; 0 where dense


def initial_parameters(architecture: Architecture, key: jax.Array) -> dict[str, jax.Array]:
    """Normal values of each tensor's scale."""
    table = tensors(architecture)
    keys = jax.random.split(key, len(table))
    return {
        name: jax.random.normal(key, tensor.shape) * tensor.scale if tensor.scale else jnp.zeros(tensor.shape)
        for key, (name, tensor) in zip(keys, table.items(), strict=True)
    }


def head(params: Mapping[str, jax.Array]) -> jax.Array:
    """(V, D)."""
    return params["head"] if "head" in params else params["embedding"]


def hidden(
    architecture: Architecture,
    params: Mapping[str, jax.Array],
    tokens_BxT: jax.Array,
    remat: str = "none",
    spread: jax.sharding.NamedSharding | None = None,
    separator: int | None = None,
    gathered: bool = False,
) -> Hidden:
    """The last residual stream, normalised. Computes in the type of the parameters.

    remat: what the backward pass computes again: "none", all but matrix products ("dots"), or whole blocks ("block").
    spread: how the batch lies on the devices; it stays so from block to block.
    separator: the token that opens a document, where attention is to stay within one; None: it sees the whole window.
    gathered: whether a block's parameters lie in parts on the devices, which gather them when they need them.
    """
    a = architecture

    def keep(x):
        return x if spread is None else jax.lax.with_sharding_constraint(x, spread)

    x_BxTxD = keep(normalise(params["embedding"][tokens_BxT]))
    rotation = rotary_angles(tokens_BxT.shape[1], a.head_width)
    documents_BxT = None if separator is None else jnp.cumsum(tokens_BxT == separator, axis=1)
    branch = branch_multiplier(a)
    names = [name for name, tensor in tensors(a).items() if tensor.axes[0] == "depth"]

    def block(x, weights):
        w = dict(zip(names, weights, strict=True))
        qkv = widen(normalise(x), w["qkv"].reshape(a.width, -1)).reshape(*x.shape[:2], *w["qkv"].shape[1:])
        x = x + scaled(merge(attend(qkv, rotation, a.qk_norm, documents_BxT, spread), w["attention_out"]), branch)
        if a.experts == 1:
            return keep(x + scaled(dense(a, normalise(x), w["mlp_in"], w["mlp_out"]), branch)), jnp.float32(0.0)
        mixed, balance = mixture(a, normalise(x), w["router"], w["mlp_in"], w["mlp_out"])
        return keep(x + scaled(mixed, branch)), balance

    kept = {"none": block, "dots": jax.checkpoint(block, policy=PRODUCTS), "block": jax.checkpoint(block)}[remat]
    weights = tuple(params[name] for name in names)
    unroll = a.depth if unrolled(a.depth, remat, gathered, jax.default_backend()) else 1
    x_BxTxD, balances = jax.lax.scan(kept, x_BxTxD, weights, unroll=unroll)
    return Hidden(normalise(x_BxTxD), jnp.mean(balances))


def unrolled(depth: int, remat: str, gathered: bool, backend: str) -> bool:
    """Whether every block is compiled by itself, which takes time in proportion to the depth. XLA then keeps what was
    gathered, and some of what it was to make again, from the forward pass to the backward pass."""
    keeps_nothing_else = remat == "none" and not gathered
    return depth <= (UNROLL_UP_TO_ON_GPUS if backend == "gpu" and keeps_nothing_else else UNROLL_UP_TO)


def scaled(x: jax.Array, factor: float) -> jax.Array:
    return x if factor == 1.0 else x * jnp.asarray(factor, x.dtype)
