"""Cross-entropy in chunks and over a padded vocabulary: the plain one and its gradients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_decoder import BATCH, LENGTH, TOKENS

import models.losses
from models.losses import chunks_of, token_losses, training_loss


@pytest.mark.parametrize("chunk", [2**25, BATCH * 61 * 5, 1])
@pytest.mark.parametrize("z_loss", [0.0, 0.3])
def test_cross_entropy_in_chunks_equals_the_plain_one(chunk, z_loss, monkeypatch):
    monkeypatch.setattr(models.losses, "CHUNK_LOGITS", chunk)
    assert chunks_of(LENGTH, BATCH, 61, "cpu") == {2**25: 1, BATCH * 61 * 5: 3, 1: LENGTH}[chunk]
    rng = np.random.default_rng(2)
    x, rows, targets = rng.normal(size=(BATCH, LENGTH, 8)), rng.normal(size=(61, 8)), TOKENS[:, 1:] % 61
    logits = 0.7 * x @ rows.T
    log_z = np.log(np.exp(logits).sum(axis=-1))
    ce = log_z - np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    # d/dlogits of the mean of ce + z (ln Z)^2: softmax (1 + 2 z ln Z) - onehot, over the number of targets.
    slope = np.exp(logits - log_z[..., None]) * (1 + 2 * z_loss * log_z[..., None]) - np.eye(61)[targets]
    slope *= 0.7 / targets.size
    x32, rows32 = jnp.float32(x), jnp.float32(rows)
    np.testing.assert_allclose(token_losses(x32, rows32, targets, 0.7), ce, rtol=1e-5)
    # Twice the loss, so that the incoming cotangent counts.
    twice = jax.value_and_grad(lambda x, rows: 2 * training_loss(x, rows, targets, 0.7, z_loss)[0], argnums=(0, 1))
    value, (dx, drows) = twice(x32, rows32)
    assert float(value) == pytest.approx(2 * (ce + z_loss * log_z**2).mean(), rel=1e-5)
    assert float(training_loss(x32, rows32, targets, 0.7, z_loss)[1]) == pytest.approx(ce.mean(), rel=1e-5)
    np.testing.assert_allclose(dx, 2 * slope @ rows, atol=1e-5 * np.abs(slope @ rows).max())
    expected = 2 * np.einsum("btv,btd->vd", slope, x)
    np.testing.assert_allclose(drows, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
def test_a_padded_vocabulary_changes_no_loss_and_no_gradient(monkeypatch, z_loss):
    keys = jax.random.split(jax.random.key(0), 3)
    states, head_VxD = jax.random.normal(keys[0], (2, 8, 16)), jax.random.normal(keys[1], (1500, 16))
    targets = jax.random.randint(keys[2], (2, 8), 0, 1500)

    def everything():
        slope = jax.value_and_grad(lambda h, w: training_loss(h, w, targets, 0.5, z_loss)[0], argnums=(0, 1))
        return [slope(states, head_VxD), token_losses(states, head_VxD, targets, 0.5)]

    padded = everything()
    monkeypatch.setattr("models.losses.VOCABULARY_MULTIPLE", 1)
    for one, other in zip(jax.tree.leaves(padded), jax.tree.leaves(everything()), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_gpu_takes_fewer_and_larger_chunks():
    assert [chunks_of(2048, 16, 50_304, backend) for backend in ("cpu", "tpu", "gpu")] == [64, 64, 16]
