"""Causal self-attention, grouped queries included: one formula, and the kernel that is fastest where it runs."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp

from models.linear import laid_out, unfolded, wide
from models.normalise import normalise_with_inverse, rotate, row_sums

# Dimensions: B batch, G groups (key heads), Q queries of a group, T positions, K head width.
QK_SCALE = 2.0  # on top of K^-1/2: normalised queries and keys alone leave attention too flat (measured at 1e5 params)
BOUNDED_HEAD_WIDTH = 1024  # up to which sums of exp(2 sqrt(K)) stay far from float32's largest number, exp(88.7)
SPAN_LENGTHS = (0, 64, 256, 256)  # from which sequence length on there is another span of queries
UNSEEN = -1e30  # the score of a key that a query does not see: its exponential is 0
SPLASH_MULTIPLE = 128  # sequence lengths and head widths that the TPU kernel takes

Spans = tuple[tuple[int, int], ...]


def attend(
    qkv_BxTxGxSxK: jax.Array,
    rotation: tuple[jax.Array, jax.Array],
    qk_norm: bool,
    documents_BxT: jax.Array | None = None,
) -> jax.Array:
    """(B, T, G Q K) from (B, T, G, Q + 2, K): the queries of a group, its key and its value.

    With normalised queries and keys (Henry et al. 2020, arXiv:2010.04245) the scale is QK_SCALE K^-1/2, else K^-1/2.
    documents: number of the document that each position belongs to; attention stays within it. None: one document.
    """
    b, t, g, s, k = qkv_BxTxGxSxK.shape
    prepared = _prepare_normalised if qk_norm else _prepare_plain
    query, key_BxGxTxK, value_BxGxTxK = prepared(qkv_BxTxGxSxK, *rotation)
    kernel = _kernel(query.dtype, t, k)
    if kernel is not None and documents_BxT is None:
        return kernel(query, key_BxGxTxK, value_BxGxTxK).reshape(b, t, g * (s - 2) * k)
    core = _bounded_core if qk_norm and k <= BOUNDED_HEAD_WIDTH else _plain_core
    out = core(query, key_BxGxTxK, value_BxGxTxK, _mask(t, documents_BxT), spans(t, jax.default_backend()))
    return out.transpose(0, 3, 1, 2, 4).reshape(b, t, g * (s - 2) * k)


def spans(length: int, backend: str) -> tuple[tuple[int, int], ...]:
    """(start, stop) of queries that meet the keys before stop together: fewer of the T x T scores are made in vain.

    So many as were fastest on a CPU: 1.2x to 1.5x of attention. Elsewhere one: fused kernels see to it themselves.
    """
    count = sum(length >= least for least in SPAN_LENGTHS) if backend == "cpu" else 1
    return tuple(itertools.pairwise(length * i // count for i in range(count + 1)))


def _prepare_plain(qkv_BxTxGxSxK: jax.Array, cos: jax.Array, sin: jax.Array):
    """Queries (B, G, Q, T, K) rotated and scaled, keys (B, G, T, K) rotated, values (B, G, T, K)."""
    split_BxGxSxTxK = qkv_BxTxGxSxK.transpose(0, 2, 3, 1, 4)
    turned = rotate(split_BxGxSxTxK[:, :, :-1], cos, sin)
    return turned[:, :, :-1] * turned.shape[-1] ** -0.5, turned[:, :, -1], split_BxGxSxTxK[:, :, -1]


@jax.custom_vjp
def _prepare_normalised(qkv_BxTxGxSxK: jax.Array, cos: jax.Array, sin: jax.Array):
    """The same with queries and keys normalised before they are rotated."""
    return _prepare_forward(qkv_BxTxGxSxK, cos, sin)[0]


def _prepare_forward(qkv_BxTxGxSxK: jax.Array, cos: jax.Array, sin: jax.Array):
    split_BxGxSxTxK = qkv_BxTxGxSxK.transpose(0, 2, 3, 1, 4)
    normal, inverse = normalise_with_inverse(split_BxGxSxTxK[:, :, :-1])
    turned = rotate(normal, cos, sin)
    query, key = turned[:, :, :-1] * _scale(turned), turned[:, :, -1]
    return (query, key, split_BxGxSxTxK[:, :, -1]), (query, key, qkv_BxTxGxSxK, inverse, cos, sin)


def _scale(turned: jax.Array) -> jax.Array:
    return jnp.asarray(QK_SCALE * turned.shape[-1] ** -0.5, turned.dtype)


def _prepare_backward(residuals, cotangents):
    """Of y = s R x / rms: dx = (s R^T dy - x / rms mean(y dy)) / rms, for R keeps inner products."""
    query, key, qkv, inverse, cos, sin = residuals
    dquery, dkey, dvalue = cotangents

    def back(part, y, dy, scale, inverse):
        """(B, T, G, Q, K) from (B, G, Q, T, K)."""
        mean = row_sums(y.astype(jnp.float32) * dy.astype(jnp.float32)) / y.shape[-1]
        turned, inverse, mean = (x.transpose(0, 3, 1, 2, 4) for x in (rotate(dy, cos, -sin), inverse, mean))
        return (inverse * (turned * scale - part * (inverse * mean))).astype(part.dtype)

    dqueries = back(qkv[..., :-2, :], query, dquery, _scale(query), inverse[:, :, :-1])
    dkeys = back(qkv[..., -2:-1, :], key[:, :, None], dkey[:, :, None], 1.0, inverse[:, :, -1:])
    return jnp.concatenate([dqueries, dkeys, dvalue[:, :, None].transpose(0, 3, 1, 2, 4)], axis=3), None, None


_prepare_normalised.defvjp(_prepare_forward, _prepare_backward)


def _mask(length: int, documents_BxT: jax.Array | None) -> jax.Array:
    """(1 or B, 1, 1, T, T): whether a query sees a key."""
    seen = jnp.tril(jnp.ones((length, length), bool))[None]
    if documents_BxT is not None:
        seen = seen & (documents_BxT[:, :, None] == documents_BxT[:, None, :])
    return seen[:, None, None]


def _scores(query_BxGxQxTxK: jax.Array, key_BxGxSxK: jax.Array) -> jax.Array:
    """(B, G, Q, T, S) float32."""
    b, g, q, t, k = query_BxGxQxTxK.shape
    rows, columns = wide(query_BxGxQxTxK).reshape(b, g, q * t, k), wide(key_BxGxSxK).swapaxes(-1, -2)
    return jnp.matmul(rows, columns, preferred_element_type=jnp.float32).reshape(b, g, q, t, -1)


def _weighted(weights_BxGxQxTxS: jax.Array, value_BxGxSxK: jax.Array, **options) -> jax.Array:
    """(B, G, Q, T, K)."""
    b, g, q, t, s = weights_BxGxQxTxS.shape
    return jnp.matmul(weights_BxGxQxTxS.reshape(b, g, q * t, s), value_BxGxSxK, **options).reshape(b, g, q, t, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _bounded_core(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array, spans: Spans) -> jax.Array:
    """softmax(query key^T) value for scores that QK-norm bounds by 2 sqrt(K): exp cannot overflow, no maximum needed.

    query (B, G, Q, T, K), key and value (B, G, T, K), mask (1 or B, 1, 1, T, T). 1.05x of a training step against
    softmax on a CPU.
    """
    return _bounded_forward(query, key, value, mask, spans)[0]


def _bounded_forward(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array, spans: Spans):
    outs, kept = [], []
    for start, stop in spans:
        scores = _scores(query[..., start:stop, :], key[:, :, :stop])
        weights = jnp.exp(jnp.where(mask[..., start:stop, :stop], scores, UNSEEN))
        inverse = 1.0 / row_sums(weights)
        weights = weights.astype(value.dtype)
        out = _weighted(wide(weights), wide(value[:, :, :stop]), preferred_element_type=jnp.float32)
        outs.append((out * inverse).astype(value.dtype))
        kept.append((weights, inverse))
    out = jnp.concatenate(outs, axis=3)
    return out, (query, key, value, kept, out)


def _bounded_backward(spans: Spans, residuals, dout: jax.Array):
    """With p = weights / sum: dvalue = p^T dout; dscores = p (dout value^T - sum(dout out))."""
    query, key, value, kept, out = residuals
    dqueries, dkeys_BxGxKxT, dvalues_BxGxKxT = [], [], []
    for (start, stop), (weights, inverse) in zip(spans, kept, strict=True):
        scaled = dout[..., start:stop, :].astype(jnp.float32) * inverse
        offset = row_sums(scaled * out[..., start:stop, :].astype(jnp.float32))
        scaled = scaled.astype(value.dtype)
        dscores = (weights.astype(jnp.float32) * (_scores(scaled, value[:, :, :stop]) - offset)).astype(query.dtype)
        dqueries.append(_weighted(dscores, key[:, :, :stop]))
        later = [(0, 0)] * 3 + [(0, key.shape[2] - stop)]
        dkeys_BxGxKxT.append(jnp.pad(_transposed_product(query[..., start:stop, :], dscores), later))
        dvalues_BxGxKxT.append(jnp.pad(_transposed_product(scaled, weights), later))
    dkey, dvalue = (laid_out(sum(parts[1:], parts[0]).swapaxes(-1, -2)) for parts in (dkeys_BxGxKxT, dvalues_BxGxKxT))
    return jnp.concatenate(dqueries, axis=3), dkey, dvalue, None


def _transposed_product(rows_BxGxQxTxK: jax.Array, weights_BxGxQxTxS: jax.Array) -> jax.Array:
    """rows^T weights, (B, G, K, S): of weights^T rows and this, the one whose transposed operand is small."""
    b, g, q, t, k = rows_BxGxQxTxK.shape
    columns = unfolded(rows_BxGxQxTxK.reshape(b, g, q * t, k).swapaxes(-1, -2))
    return unfolded(jnp.matmul(columns, weights_BxGxQxTxS.reshape(b, g, q * t, -1)))


_bounded_core.defvjp(_bounded_forward, _bounded_backward)


def _plain_core(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array, spans: Spans) -> jax.Array:
    """The same for scores without a bound."""
    outs = []
    for start, stop in spans:
        scores = _scores(query[..., start:stop, :], key[:, :, :stop])
        weights = jax.nn.softmax(jnp.where(mask[..., start:stop, :stop], scores, UNSEEN), axis=-1)
        outs.append(_weighted(weights.astype(value.dtype), value[:, :, :stop]))
    return jnp.concatenate(outs, axis=3)


def _kernel(dtype: jnp.dtype, length: int, head_width: int):
    """A fused kernel of this backend that takes (B, G, Q, T, K), (B, G, T, K), (B, G, T, K) to (B, T, G, Q, K)."""
    backend = jax.default_backend()
    if backend == "gpu" and dtype == jnp.bfloat16 and head_width <= 128 and head_width % 8 == 0:
        return _cudnn
    if backend == "tpu" and length % SPLASH_MULTIPLE == 0 and head_width % SPLASH_MULTIPLE == 0:
        return _splash
    return None


def _cudnn(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """cuDNN's flash attention; its heads lie as (B, T, heads, K) with the queries of a group side by side."""
    b, g, q, t, k = query.shape
    heads = query.transpose(0, 3, 1, 2, 4).reshape(b, t, g * q, k)
    out = jax.nn.dot_product_attention(
        heads, key.swapaxes(1, 2), value.swapaxes(1, 2), scale=1.0, is_causal=True, implementation="cudnn"
    )
    return out.reshape(b, t, g, q, k)


def _splash(query: jax.Array, key: jax.Array, value: jax.Array, interpret: bool = False) -> jax.Array:
    """The TPU kernel of jax.experimental (grouped queries are its multi-query form, mapped over groups)."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    q, t = query.shape[2:4]
    mask = masks.MultiHeadMask([masks.CausalMask((t, t)) for _ in range(q)])
    kernel = kernels.make_splash_mqa_single_device(mask, interpret=interpret)
    out_BxGxQxTxK = jax.vmap(jax.vmap(kernel))(query, key, value)
    return out_BxGxQxTxK.transpose(0, 3, 1, 2, 4)
