"""The forward pass: tokens to logits. All blocks are stacked on a leading axis, so compile time is flat in depth."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from models.architecture import Architecture
from models.parametrisation import initial_scale

# Dimensions in names: B batch, T positions, D width, N blocks, H heads, K head width, F MLP width, V vocabulary.
ROPE_BASE = 10_000.0  # Su et al. 2021 (arXiv:2104.09864)
NORM_EPSILON = 1e-6
QK_SCALE = 2.0  # on top of K^-1/2: normalised queries and keys alone leave attention too flat (measured at 1e5 params)
UNROLL_UP_TO = 8  # blocks; above, the loop over blocks is compiled once


class Decoder(nnx.Module):
    """Parameters of all blocks stacked as (N, ...)."""

    def __init__(self, architecture: Architecture, key: jax.Array):
        a = architecture
        n, d, h, k, f = a.depth, a.width, a.heads, a.head_width, a.mlp_width
        keys = iter(jax.random.split(key, 7))

        def param(name: str, *shape: int, fan_in: int) -> nnx.Param:
            scale = initial_scale(name, fan_in)
            values = jax.random.normal(next(keys), shape) * scale if scale else jnp.zeros(shape)
            return nnx.Param(values)

        self.embedding = param("embedding", a.vocab_size, d, fan_in=1)
        self.qkv = param("qkv", n, d, 3, h, k, fan_in=d)
        self.attention_out = param("attention_out", n, h, k, d, fan_in=d)
        self.mlp_in = param("mlp_in", n, d, f, fan_in=d)
        self.mlp_out = param("mlp_out", n, f, d, fan_in=f)
        self.head = param("head", d, a.vocab_size, fan_in=d)
        self.depth = n

    def __call__(self, tokens_BxT: jax.Array) -> jax.Array:
        """Logits (B, T, V) in float32; position t sees tokens 0..t only."""
        x_BxTxD = normalise(self.embedding[...][tokens_BxT])
        rotation = rotary_angles(tokens_BxT.shape[1], self.qkv[...].shape[-1])

        def block(x, weights):
            qkv, attention_out, mlp_in, mlp_out = weights
            x = x + attention(normalise(x), qkv, attention_out, rotation)
            x = x + jnp.square(jax.nn.relu(normalise(x) @ mlp_in)) @ mlp_out
            return x, None

        stacked = (self.qkv[...], self.attention_out[...], self.mlp_in[...], self.mlp_out[...])
        unroll = self.depth if self.depth <= UNROLL_UP_TO else 1
        x_BxTxD, _ = jax.lax.scan(block, x_BxTxD, stacked, unroll=unroll)
        return normalise(x_BxTxD) @ self.head[...]


def normalise(x: jax.Array) -> jax.Array:
    """RMSNorm without a gain (Zhang and Sennrich 2019, arXiv:1910.07467)."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + NORM_EPSILON)


def rotary_angles(length: int, head_width: int) -> tuple[jax.Array, jax.Array]:
    """cos and sin, each (T, 1, K/2)."""
    frequency = ROPE_BASE ** (-jnp.arange(0, head_width, 2) / head_width)
    angle = jnp.arange(length)[:, None, None] * frequency[None, None, :]
    return jnp.cos(angle), jnp.sin(angle)


def rotate(x_BxTxHxK: jax.Array, rotation: tuple[jax.Array, jax.Array]) -> jax.Array:
    """RoPE on the two halves of the head width."""
    cos, sin = rotation
    left, right = jnp.split(x_BxTxHxK, 2, axis=-1)
    return jnp.concatenate([left * cos[None] - right * sin[None], right * cos[None] + left * sin[None]], axis=-1)


def attention(x_BxTxD: jax.Array, qkv_Dx3xHxK: jax.Array, out_HxKxD: jax.Array, rotation) -> jax.Array:
    """Causal self-attention with normalised queries and keys (Henry et al. 2020, arXiv:2010.04245)."""
    length, head_width = x_BxTxD.shape[1], qkv_Dx3xHxK.shape[-1]
    qkv = jnp.einsum("btd,dshk->sbthk", x_BxTxD, qkv_Dx3xHxK)
    query, key, value = rotate(normalise(qkv[0]), rotation), rotate(normalise(qkv[1]), rotation), qkv[2]
    scores_BxHxTxT = jnp.einsum("bqhk,bshk->bhqs", query * (QK_SCALE * head_width**-0.5), key)
    causal = jnp.tril(jnp.ones((length, length), dtype=bool))
    weights_BxHxTxT = jax.nn.softmax(jnp.where(causal, scores_BxHxTxT, -1e30), axis=-1)
    return jnp.einsum("bhqs,bshk,hkd->bqd", weights_BxHxTxT, value, out_HxKxD)


def token_losses(logits_BxTxV: jax.Array, targets_BxT: jax.Array) -> jax.Array:
    """Cross-entropy in nats of every target, (B, T)."""
    log_normaliser = jax.nn.logsumexp(logits_BxTxV, axis=-1)
    return log_normaliser - jnp.take_along_axis(logits_BxTxV, targets_BxT[..., None], axis=-1)[..., 0]
