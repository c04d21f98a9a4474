"""Cross-entropy over chunks of positions, so that the logits of a whole batch never exist."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from models.linear import unfolded, wide
from models.normalise import row_sums

CHUNK_LOGITS = 2**25  # logits of a run that exist at once: 128 MB in float32
# Every chunk reads the head twice and adds to its gradient: a GPU, that has the memory, takes fewer.
CHUNK_LOGITS_ON_GPUS = 2**27
# Matrix units like such multiples (nanoGPT pads 50257 to 50304 for them); small vocabularies are not worth it.
VOCABULARY_MULTIPLE, SMALLEST_PADDED = 128, 1024


def chunks_of(positions: int, batch: int, vocabulary: int, backend: str) -> int:
    """Smallest divisor of the positions whose chunks hold at most what this backend takes at once (or one position)."""
    wanted = -(-positions * batch * vocabulary // (CHUNK_LOGITS_ON_GPUS if backend == "gpu" else CHUNK_LOGITS))
    return next(count for count in range(min(wanted, positions), positions + 1) if positions % count == 0)


def token_losses(hidden_BxTxD: jax.Array, head_VxD: jax.Array, targets_BxT: jax.Array, multiplier: float) -> jax.Array:
    """Cross-entropy in nats of every target, (B, T) float32; for evaluation, where no gradient is wanted."""
    count = chunks_of(*targets_BxT.shape[::-1], head_VxD.shape[0], jax.default_backend())
    padded = _padded(head_VxD)

    def one(chunk):
        hidden, targets = chunk
        logits = _logits(hidden, padded, multiplier, head_VxD.shape[0])
        return jax.nn.logsumexp(logits, axis=-1) - jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]

    if count == 1:
        return one((hidden_BxTxD, targets_BxT))
    losses = jax.lax.map(one, (_split(hidden_BxTxD, count), _split(targets_BxT, count)))
    return losses.swapaxes(0, 1).reshape(targets_BxT.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def training_loss(
    hidden_BxTxD: jax.Array, head_VxD: jax.Array, targets_BxT: jax.Array, multiplier: float, z_loss: float
) -> tuple[jax.Array, jax.Array]:
    """(mean of ce + z_loss (ln Z)^2, mean of ce): the first is differentiated, the second is what is reported.

    ce = ln Z - logit of the target, Z = sum exp logits; the z term keeps ln Z near 0 (Chowdhery et al. 2022,
    arXiv:2204.02311, section 5). The gradient is made in the forward pass, chunk by chunk.
    """
    return _forward(hidden_BxTxD, head_VxD, targets_BxT, multiplier, z_loss)[0]


def _forward(hidden, head, targets, multiplier, z_loss):
    """dlogits = softmax (1 + 2 z ln Z) - onehot, over the number of targets."""
    total, vocabulary = targets.size, head.shape[0]
    head = _padded(head)

    def one(hidden, targets):
        logits = _logits(hidden, head, multiplier, vocabulary)
        top = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
        powers = jnp.exp(logits - top)
        sums = row_sums(powers)
        log_z = jnp.log(sums) + top
        target_logit = jnp.take_along_axis(logits, targets[..., None], axis=-1)
        ce = log_z - target_logit
        pull = (1.0 + 2.0 * z_loss * log_z) / sums if z_loss else 1.0 / sums
        hit = jax.lax.broadcasted_iota(targets.dtype, logits.shape, logits.ndim - 1) == targets[..., None]
        dlogits = ((powers * pull - hit) * (multiplier / total)).astype(hidden.dtype)
        dhidden = dlogits @ head
        dhead = jnp.einsum("btd,btv->dv", wide(hidden), wide(dlogits), preferred_element_type=jnp.float32)
        dhead = unfolded(dhead).T
        objective = jnp.sum(ce + z_loss * jnp.square(log_z)) if z_loss else jnp.sum(ce)
        return objective / total, jnp.sum(ce) / total, dhidden, dhead

    count = chunks_of(*targets.shape[::-1], head.shape[0], jax.default_backend())
    if count == 1:
        objective, ce, dhidden, dhead = one(hidden, targets)
    else:

        def add(sums, chunk):
            objective, ce, dhidden, dhead = one(*chunk)
            return (sums[0] + objective, sums[1] + ce, sums[2] + dhead), dhidden

        start = (jnp.float32(0.0), jnp.float32(0.0), jnp.zeros(head.shape, jnp.float32))
        (objective, ce, dhead), parts = jax.lax.scan(add, start, (_split(hidden, count), _split(targets, count)))
        dhidden = parts.swapaxes(0, 1).reshape(hidden.shape)
    return (objective, ce), (dhidden, dhead[:vocabulary].astype(head.dtype))


def _backward(multiplier, z_loss, residuals, cotangents):
    dhidden, dhead = residuals
    return (dhidden * cotangents[0].astype(dhidden.dtype), dhead * cotangents[0].astype(dhead.dtype), None)


training_loss.defvjp(_forward, _backward)


def _padded(head: jax.Array) -> jax.Array:
    """Rows of zeros up to a multiple that the hardware likes; their logits are masked, so no loss sees them."""
    rows = -head.shape[0] % VOCABULARY_MULTIPLE if head.shape[0] >= SMALLEST_PADDED else 0
    return jnp.pad(head, ((0, rows), (0, 0))) if rows else head


def _logits(hidden: jax.Array, head: jax.Array, multiplier: float, vocabulary: int) -> jax.Array:
    logits = jnp.einsum("btd,vd->btv", wide(hidden), wide(head), preferred_element_type=jnp.float32)
    logits = logits * multiplier if multiplier != 1.0 else logits
    if head.shape[0] == vocabulary:
        return logits
    token = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
    return jnp.where(token < vocabulary, logits, -1e30)


def _split(x: jax.Array, count: int) -> jax.Array:
    """(count, B, T / count, …): chunks of positions, so that a batch that is spread over devices stays spread."""
    return x.reshape(x.shape[0], count, x.shape[1] // count, *x.shape[2:]).swapaxes(0, 1)
