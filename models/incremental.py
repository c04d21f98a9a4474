"""The forward pass one token at a time: what comes after a token, given the keys and values of those before it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from models.architecture import Architecture
from models.attention import QK_SCALE
from models.decoder import head, scaled
from models.linear import widen
from models.mlp import dense, mixture
from models.normalise import normalise, rotary_angles, rotate
from models.parametrisation import branch_multiplier, logit_multiplier, tensors

# Dimensions: N blocks, B batch, G groups (key heads), Q queries of a group, T positions, K head width, D width.


class Cache(NamedTuple):
    """Keys and values of the positions so far; the others are zeros that nothing reads."""

    keys: jax.Array  # (N, B, G, T, K), as attention meets them: normalised where the architecture says so, rotated
    values: jax.Array  # (N, B, G, T, K)


def empty_cache(architecture: Architecture, batch: int, length: int) -> Cache:
    """For sequences of up to `length` tokens."""
    shape = (architecture.depth, batch, architecture.groups, length, architecture.head_width)
    return Cache(jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32))


def step(
    architecture: Architecture,
    params: Mapping[str, jax.Array],
    cache: Cache,
    token_B: jax.Array,
    position: jax.Array,
) -> tuple[jax.Array, Cache]:
    """Logits (B, V) in float32 of what follows the tokens (B,) at `position`, which may be traced.

    The logits of models.decoder at that position; donate the cache, so that it is written in place.
    """
    a, length = architecture, cache.keys.shape[3]
    rotation = [jax.lax.dynamic_slice_in_dim(part, position, 1) for part in rotary_angles(length, a.head_width)]
    seen_T = jnp.arange(length) <= position
    branch = branch_multiplier(a)
    names = [name for name, tensor in tensors(a).items() if tensor.axes[0] == "depth"]

    def block(carry, of_block):
        x_Bx1xD, keys, values = carry
        number, weights = of_block
        w = dict(zip(names, weights, strict=True))
        qkv = widen(normalise(x_Bx1xD), w["qkv"].reshape(a.width, -1)).reshape(-1, *w["qkv"].shape[1:])
        query, key, value = _prepare(a, qkv, rotation)
        at = (number, 0, 0, position, 0)
        keys = jax.lax.dynamic_update_slice(keys, key[None], at)
        values = jax.lax.dynamic_update_slice(values, value[None], at)
        out_Bx1xD = _attend(query, keys[number], values[number], seen_T)
        x_Bx1xD = x_Bx1xD + scaled(widen(out_Bx1xD, w["attention_out"]), branch)
        if a.experts == 1:
            mixed = dense(a, normalise(x_Bx1xD), w["mlp_in"], w["mlp_out"])
        else:
            mixed, _ = mixture(a, normalise(x_Bx1xD), w["router"], w["mlp_in"], w["mlp_out"])
        return (x_Bx1xD + scaled(mixed, branch), keys, values), None

    # The cache is carried, not scanned over, because a carry is written in place; not unrolled, because every block
    # would then hold copies of its keys and values at once (measured 2.3x of a step on a CPU).
    of_blocks = (jnp.arange(a.depth), tuple(params[name] for name in names))
    x_Bx1xD = normalise(params["embedding"][token_B])[:, None]
    (x_Bx1xD, keys, values), _ = jax.lax.scan(block, (x_Bx1xD, cache.keys, cache.values), of_blocks)
    logits_BxV = normalise(x_Bx1xD)[:, 0] @ head(params).T * logit_multiplier(a)
    return logits_BxV.astype(jnp.float32), Cache(keys, values)


def _prepare(a: Architecture, qkv_BxGxSxK: jax.Array, rotation: list[jax.Array]):
    """Queries (B, G, Q, K) scaled, key and value (B, G, 1, K) of one position, S = Q + 2; as models.attention does."""
    turning = qkv_BxGxSxK[:, :, :-1]
    turned = rotate((normalise(turning) if a.qk_norm else turning)[..., None, :], *rotation)[..., 0, :]
    scale = (QK_SCALE if a.qk_norm else 1.0) * a.head_width**-0.5
    return turned[:, :, :-1] * scale, turned[:, :, -1:], qkv_BxGxSxK[:, :, -1:]


def _attend(query_BxGxQxK: jax.Array, keys_BxGxTxK: jax.Array, values_BxGxTxK: jax.Array, seen_T: jax.Array):
    """(B, 1, G Q K): one query against every position so far."""
    scores = jnp.einsum("bgqk,bgtk->bgqt", query_BxGxQxK, keys_BxGxTxK)
    weights = jax.nn.softmax(jnp.where(seen_T[None, None, None], scores, -1e30), axis=-1)
    out = jnp.einsum("bgqt,bgtk->bgqk", weights, values_BxGxTxK)
    return out.reshape(len(out), 1, -1)
