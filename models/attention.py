"""Causal self-attention, grouped queries included: one formula, and the kernel that is fastest where it runs."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from models.linear import laid_out, unfolded, wide
from models.normalise import normalise_with_inverse, rotate, row_sums

# Dimensions: B batch, G groups (key heads), Q queries of a group, T positions, K head width.
QK_SCALE = 2.0  # on top of K^-1/2: normalised queries and keys alone leave attention too flat (measured at 1e5 params)
BOUNDED_HEAD_WIDTH = 1024  # up to which sums of exp(2 sqrt(K)) stay far from float32's largest number, exp(88.7)
SPAN_LENGTHS = (0, 64, 256, 256)  # from which sequence length on there is another span of queries
UNSEEN = -1e30  # the score of a key that a query does not see: its exponential is 0
SPLASH_MULTIPLE = 128  # sequence lengths and head widths that the TPU kernel takes
CUDNN_WIDEST, CUDNN_MULTIPLE = 128, 8  # head widths that cuDNN's takes

Spans = tuple[tuple[int, int], ...]


def attend(
    qkv_BxTxGxSxK: jax.Array,
    rotation: tuple[jax.Array, jax.Array],
    qk_norm: bool,
    documents_BxT: jax.Array | None = None,
    spread: NamedSharding | None = None,
) -> jax.Array:
    """(B, T, G Q, K) from (B, T, G, Q + 2, K): the queries of a group, its key and its value.

    With normalised queries and keys (Henry et al. 2020, arXiv:2010.04245) the scale is QK_SCALE K^-1/2, else K^-1/2.
    documents: number of the document that each position belongs to; attention stays within it. None: one document.
    spread: how the batch lies on the devices, where there are several.
    """
    b, t, g, s, k = qkv_BxTxGxSxK.shape
    kernel = None if documents_BxT is not None else _kernel(qkv_BxTxGxSxK.dtype, t, k)
    time_first = kernel is _cudnn
    prepared = _prepare_normalised if qk_norm else _prepare_plain
    query, key, value = prepared(qkv_BxTxGxSxK, *rotation, time_first)
    if kernel is not None:
        if spread is not None:
            kernel = _on_each_device(kernel, spread, g, time_first)
        return kernel(query, key, value).reshape(b, t, g * (s - 2), k)
    core = _bounded_core if qk_norm and k <= BOUNDED_HEAD_WIDTH else _plain_core
    out = core(query, key, value, _mask(t, documents_BxT), spans(t, jax.default_backend()))
    return out.transpose(0, 3, 1, 2, 4).reshape(b, t, g * (s - 2), k)


def spans(length: int, backend: str) -> tuple[tuple[int, int], ...]:
    """(start, stop) of queries that meet the keys before stop together: fewer of the T x T scores are made in vain.

    So many as were fastest on a CPU: 1.2x to 1.5x of attention. Elsewhere one: fused kernels see to it themselves.
    """
    count = sum(length >= least for least in SPAN_LENGTHS) if backend == "cpu" else 1
    return tuple(itertools.pairwise(length * i // count for i in range(count + 1)))


def _prepare_plain(qkv_BxTxGxSxK: jax.Array, cos: jax.Array, sin: jax.Array, time_first: bool):
    """Queries (B, G, Q, T, K) rotated and scaled, keys (B, G, T, K) rotated, values (B, G, T, K).

    time_first: (B, T, G Q, K), (B, T, G, K), (B, T, G, K).
    """
    heads = _Heads(time_first)
    queries_keys, value = heads.split(qkv_BxTxGxSxK)
    query, key = heads.apart(heads.rotate(queries_keys, cos, sin))
    return heads.merged(query * query.shape[-1] ** -0.5), key, value


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _prepare_normalised(qkv_BxTxGxSxK: jax.Array, cos: jax.Array, sin: jax.Array, time_first: bool):
    """The same with queries and keys normalised before they are rotated."""
    return _prepare_forward(qkv_BxTxGxSxK, cos, sin, time_first)[0]


def _prepare_forward(qkv_BxTxGxSxK: jax.Array, cos: jax.Array, sin: jax.Array, time_first: bool):
    heads = _Heads(time_first)
    queries_keys, value = heads.split(qkv_BxTxGxSxK)
    normal, inverse = normalise_with_inverse(queries_keys)
    query, key = heads.apart(heads.rotate(normal, cos, sin))
    query = heads.merged(query * _scale(query))
    # What came could be had again from what goes on: a CPU's step takes 1.05x of the time then, for 12% of the memory.
    came = qkv_BxTxGxSxK if jax.default_backend() == "cpu" else None
    return (query, key, value), (query, key, came, inverse, cos, sin)


def _scale(turned: jax.Array) -> jax.Array:
    return jnp.asarray(QK_SCALE * turned.shape[-1] ** -0.5, turned.dtype)


def _prepare_backward(time_first: bool, residuals, cotangents):
    """Of y = s R n, n = x / rms: dx = (s R^T dy - n mean(y dy)) / rms, for R keeps inner products; n = R^T y / s."""
    query, key, came, inverse, cos, sin = residuals
    dquery, dkey, dvalue = cotangents
    heads = _Heads(time_first)
    query, dquery = (heads.grouped(x, key) for x in (query, dquery))

    def back(came, y, dy, scale, inverse):
        """(B, T, G, Q, K)."""
        mean = row_sums(y.astype(jnp.float32) * dy.astype(jnp.float32)) / y.shape[-1]
        turned, inverse, mean = (heads.joined(x) for x in (heads.rotate(dy, cos, -sin), inverse, mean))
        if came is None:
            normal = heads.joined(heads.rotate(y, cos, -sin)) / jnp.float32(scale)
            return (inverse * (turned * scale - normal * mean)).astype(y.dtype)
        return (inverse * (turned * scale - came * (inverse * mean))).astype(y.dtype)

    of_queries, of_keys = heads.apart(inverse)
    came_queries, came_keys = (None, None) if came is None else (came[..., :-2, :], came[..., -2:-1, :])
    dqueries = back(came_queries, query, dquery, _scale(query), of_queries)
    dkeys = back(came_keys, heads.one(key), heads.one(dkey), 1.0, heads.one(of_keys))
    return jnp.concatenate([dqueries, dkeys, heads.joined(heads.one(dvalue))], axis=3), None, None


_prepare_normalised.defvjp(_prepare_forward, _prepare_backward)


@dataclass(frozen=True)
class _Heads:
    """Where the heads of a group lie: (B, T, G, heads, K) as they came, or (B, G, heads, T, K)."""

    time_first: bool

    def split(self, qkv_BxTxGxSxK: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Queries and keys, and values without their axis of heads."""
        return self.apart(qkv_BxTxGxSxK if self.time_first else qkv_BxTxGxSxK.transpose(0, 2, 3, 1, 4))

    def apart(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """All heads but the last, and the last without their axis."""
        return (x[..., :-1, :], x[..., -1, :]) if self.time_first else (x[:, :, :-1], x[:, :, -1])

    def one(self, x: jax.Array) -> jax.Array:
        """With an axis for one head."""
        return x[..., None, :] if self.time_first else x[:, :, None]

    def merged(self, query: jax.Array) -> jax.Array:
        """Queries as a kernel takes them: (B, T, G Q, K)."""
        return query.reshape(*query.shape[:2], -1, query.shape[-1]) if self.time_first else query

    def grouped(self, query: jax.Array, key: jax.Array) -> jax.Array:
        """The way back."""
        return query.reshape(*key.shape[:3], -1, key.shape[-1]) if self.time_first else query

    def joined(self, x: jax.Array) -> jax.Array:
        """(B, T, G, heads, K) again."""
        return x if self.time_first else x.transpose(0, 3, 1, 2, 4)

    def rotate(self, x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
        return rotate(x, cos[:, None, None], sin[:, None, None]) if self.time_first else rotate(x, cos, sin)


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
    """A fused kernel of this backend, or None."""
    backend = jax.default_backend()
    if not fused(backend, dtype == jnp.bfloat16, length, head_width):
        return None
    return _cudnn if backend == "gpu" else _splash


def fused(backend: str, narrow: bool, length: int, head_width: int) -> bool:
    """Whether attention over whole windows is one kernel, which keeps no weights. narrow: in bfloat16."""
    if backend == "gpu":
        return narrow and head_width <= CUDNN_WIDEST and head_width % CUDNN_MULTIPLE == 0
    return backend == "tpu" and length % SPLASH_MULTIPLE == 0 and head_width % SPLASH_MULTIPLE == 0


def _cudnn(query_BxTxHxK: jax.Array, key_BxTxGxK: jax.Array, value_BxTxGxK: jax.Array) -> jax.Array:
    """cuDNN's flash attention, (B, T, H, K). It keeps for its gradient what it is given and gives: where these are what
    others keep too, to the last axis, they are kept once."""
    return jax.nn.dot_product_attention(
        query_BxTxHxK, key_BxTxGxK, value_BxTxGxK, scale=1.0, is_causal=True, implementation="cudnn"
    )


def _splash(query: jax.Array, key: jax.Array, value: jax.Array, interpret: bool = False) -> jax.Array:
    """The TPU kernel of jax.experimental, (B, T, G, Q, K). Grouped queries are its multi-query form over groups."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    q, t = query.shape[2:4]
    mask = masks.MultiHeadMask([masks.CausalMask((t, t)) for _ in range(q)])
    kernel = kernels.make_splash_mqa_single_device(mask, interpret=interpret)
    out_BxGxQxTxK = jax.vmap(jax.vmap(kernel))(query, key, value)
    return out_BxGxQxTxK.transpose(0, 3, 1, 2, 4)


def _on_each_device(
    kernel: Callable[..., jax.Array], spread: NamedSharding, groups: int, time_first: bool
) -> Callable[..., jax.Array]:
    """The kernel on every device's own sequences, and groups of heads where the other axes of the mesh divide them.

    XLA cuts no kernel of Pallas by itself, it refuses; and cuDNN's wants queries cut as keys are, which XLA does not
    see to where only the heads of queries can be cut. spread: its first axis is a tuple of the mesh's axes.
    """
    mesh, batch = spread.mesh, tuple(spread.spec[0])
    others = tuple(axis for axis in mesh.axis_names if axis not in batch)
    cut = others if groups % math.prod(mesh.shape[axis] for axis in others) == 0 else None
    outer = PartitionSpec(batch, None, cut)
    inner = outer if time_first else PartitionSpec(batch, cut)
    return jax.shard_map(kernel, mesh=mesh, in_specs=(inner,) * 3, out_specs=outer, check_vma=False)
