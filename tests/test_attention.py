"""Attention: fused kernels where they can run, within documents, wide heads."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_decoder import QUICK

import models.attention
from models import Architecture
from models.attention import _cudnn, _kernel, _splash, attend
from models.decoder import hidden, initial_parameters
from models.normalise import rotary_angles

KERNELS = {"cudnn": _cudnn, "splash": functools.partial(_splash, interpret=True)}


@pytest.mark.parametrize("name", KERNELS)
def test_fused_kernels_take_and_give_heads_in_the_same_order(name, monkeypatch):
    """Splash is interpreted; cuDNN's function runs on its plain implementation, which has the same layout."""
    library, asked = jax.nn.dot_product_attention, []

    def without_gpu(*arrays, implementation, **options):
        asked.append(implementation)
        return library(*arrays, implementation="xla", **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", without_gpu)
    qkv = jnp.float32(np.random.default_rng(3).normal(size=(1, 128, 2, 5, 128)))  # 3 queries a key

    def attended():
        """(output, gradient): traced anew at every call."""

        def total(qkv):
            out = attend(qkv, rotary_angles(128, 128), qk_norm=False)
            return (out[..., ::7] ** 2).sum(), out

        (_, out), slope = jax.jit(jax.value_and_grad(total, has_aux=True), compiler_options=QUICK)(qkv)
        return out, slope

    expected, slope = attended()
    monkeypatch.setattr(models.attention, "_kernel", lambda *_: KERNELS[name])
    found, found_slope = attended()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found_slope, slope, atol=1e-5 * np.abs(slope).max())
    assert set(asked) == ({"cudnn"} if name == "cudnn" else set())


@pytest.mark.parametrize(
    ("backend", "dtype", "length", "head_width", "kernel"),
    [
        ("gpu", "bfloat16", 100, 128, _cudnn),
        ("gpu", "bfloat16", 100, 256, None),
        ("gpu", "bfloat16", 100, 4, None),
        ("gpu", "float32", 128, 128, None),
        ("tpu", "bfloat16", 256, 128, _splash),
        ("tpu", "float32", 100, 128, None),
        ("tpu", "float32", 128, 64, None),
        ("cpu", "bfloat16", 128, 128, None),
    ],
)
def test_kernels_run_where_they_can(backend, dtype, length, head_width, kernel, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert _kernel(jnp.dtype(dtype), length, head_width) is kernel


def test_wide_heads_do_not_overflow():
    """At head width 4096 equal queries and keys score 2 sqrt(4096) = 128, and exp(128) is no float32."""
    qkv = jnp.ones((1, 2, 1, 3, 4096))
    np.testing.assert_allclose(attend(qkv, rotary_angles(2, 4096), qk_norm=True), 1.0, rtol=1e-6)


@pytest.mark.parametrize("qk_norm", [True, False])
def test_attention_that_stays_within_documents_sees_each_as_if_alone(qk_norm):
    """Rotary positions are relative, so a document behind another one gives what it gives alone."""
    a = Architecture(width=32, depth=2, heads=2, mlp_width=64, vocab_size=50, qk_norm=qk_norm, queries_per_key=2)
    params = initial_parameters(a, jax.random.key(0))
    params = {name: value + 0.3 * jax.random.normal(jax.random.key(1), value.shape) for name, value in params.items()}
    rng = np.random.default_rng(0)
    documents = [np.concatenate([[0], rng.integers(1, 50, size)]) for size in (5, 9, 1)]
    together = hidden(a, params, np.concatenate(documents)[None], separator=0).hidden_BxTxD[0]
    alone = [hidden(a, params, document[None]).hidden_BxTxD[0] for document in documents]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=2e-5)
    crossing = hidden(a, params, np.concatenate(documents)[None]).hidden_BxTxD[0]
    assert np.abs(crossing - together).max() > 1e-2


def test_gradients_within_documents_equal_those_of_a_plain_mask():
    """The hand-written core against softmax with the same mask, differentiated by JAX."""
    from models.attention import _bounded_core, _mask, _plain_core

    keys = jax.random.split(jax.random.key(0), 4)
    shapes = [(2, 2, 3 * 8, 4), (2, 2, 8, 4), (2, 2, 8, 4)]
    inputs = [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=False)]
    mask = _mask(3, 8, jnp.asarray([[0, 0, 0, 1, 1, 1, 2, 2], [0, 0, 0, 0, 0, 0, 0, 1]]))
    weight = jax.random.normal(keys[3], shapes[0])
    ours = jax.grad(lambda q, k, v: (_bounded_core(q, k, v, mask) * weight).sum(), argnums=(0, 1, 2))(*inputs)
    plain = jax.grad(lambda q, k, v: (_plain_core(q, k, v, mask) * weight).sum(), argnums=(0, 1, 2))(*inputs)
    for one, other in zip(ours, plain, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
