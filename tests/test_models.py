"""The decoder and its gradients against the plain formula, what it sees, where it starts."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plain_decoder import (
    BASE,
    BATCH,
    FAMILY,
    LENGTH,
    TOKENS,
    Z_LOSS,
    assert_slopes,
    each_family,
    filled,
    forward,
    fresh,
    gradients,
    plain,
    plain_objective,
)

import models.losses
from models.decoder import unrolled
from models.losses import chunks_of
from models.mlp import activate
from models.parametrisation import logit_multiplier


@each_family
def test_the_forward_pass_equals_the_plain_formula(a):
    """float32 against float64, at elements of size 1."""
    _, balance, stream = plain(a, {n: v.astype(np.float64) for n, v in filled(a).items()}, TOKENS[:, :-1])
    found = forward(a)(filled(a), TOKENS[:, :-1])
    normal = stream / np.sqrt(np.mean(stream**2, axis=-1, keepdims=True))
    np.testing.assert_allclose(found.hidden_BxTxD, normal, atol=2e-5)
    np.testing.assert_allclose(found.balance, balance, rtol=1e-5)


@pytest.mark.parametrize("name", ["dense", "tied"])
def test_the_module_gives_logits(name):
    a = FAMILY[name]
    model = nnx.eval_shape(lambda: a.build(jax.random.key(0)))
    for tensor, value in filled(a).items():
        setattr(model, tensor, nnx.Param(jnp.asarray(value)))
    expected, _, _ = plain(a, filled(a), TOKENS[:, :-1])
    np.testing.assert_allclose(jax.jit(lambda tokens: model(tokens))(TOKENS[:, :-1]), expected, atol=1e-4)


@each_family
def test_gradients_equal_the_slopes_of_the_plain_formula(a):
    """Every custom backward pass at once: float32 against float64."""
    value, found = gradients(a)
    plain_value = plain_objective(a, {n: v.astype(np.float64) for n, v in filled(a).items()}, TOKENS, Z_LOSS)
    assert float(value) == pytest.approx(plain_value, rel=1e-5)
    assert_slopes(a, found, 1e-5)


@pytest.mark.parametrize("remat", ["dots", "block"])
@pytest.mark.parametrize("name", ["grouped queries", "experts"])
def test_rematerialised_and_chunked_gradients_are_the_same(name, remat, monkeypatch):
    monkeypatch.setattr(models.losses, "CHUNK_LOGITS", BATCH * BASE.vocab_size * 5)
    assert chunks_of(LENGTH, BATCH, BASE.vocab_size, "cpu") == 3
    assert_slopes(FAMILY[name], gradients(FAMILY[name], remat)[1], 1e-5)


@each_family
def test_a_token_sees_no_later_token(a):
    changed = TOKENS[:, :-1].copy()
    changed[:, 7] = (changed[:, 7] + 1) % a.vocab_size
    before, after = (np.asarray(forward(a)(filled(a), t).hidden_BxTxD) for t in (TOKENS[:, :-1], changed))
    np.testing.assert_allclose(before[:, :7], after[:, :7], atol=1e-6)
    assert np.abs(before[:, 8:] - after[:, 8:]).max(axis=(0, 2)).min() > 1e-3


@each_family
def test_loss_at_the_start_is_ln_vocabulary(a):
    """Exactly for a head of zeros, within 1% for the others: their logits are small, not zero."""
    params = fresh(a)
    x = np.asarray(forward(a)(params, TOKENS[:, :-1]).hidden_BxTxD)
    logits = x @ params.get("head", params["embedding"]).T * logit_multiplier(a)
    target = np.take_along_axis(logits, TOKENS[:, 1:, None], axis=-1)[..., 0]
    loss = float((np.log(np.exp(logits).sum(axis=-1)) - target).mean())
    within = 0.01 if a.tied or a.parametrisation == "standard" else 1e-6
    assert loss == pytest.approx(math.log(a.vocab_size), rel=within)


@pytest.mark.parametrize("name", ["gelu, scores without a bound", "grouped queries", "experts"])
def test_bfloat16_comes_near_float32(name):
    """bfloat16 keeps 8 bits, 0.4%: the loss within 1%, gradients within 10% of their norm."""
    a = FAMILY[name]
    value, found = gradients(a, precision="bfloat16")
    assert float(value) == pytest.approx(plain_objective(a, filled(a), TOKENS, Z_LOSS), rel=0.01)
    assert {gradient.dtype for gradient in found.values()} == {jnp.dtype("bfloat16")}
    assert all(np.isfinite(np.asarray(gradient, np.float32)).all() for gradient in found.values())
    assert_slopes(a, found, 0.1)


@pytest.mark.parametrize("mlp", ["squared_relu", "gelu", "swiglu"])
def test_what_activates_keeps_its_input_alone(mlp):
    x = jnp.ones((3, 2, 5) if mlp == "swiglu" else (3, 5))
    kept = jax.tree.leaves(jax.vjp(functools.partial(activate, mlp), x)[1])
    assert sum(array.size for array in kept) == x.size


def test_gpus_unroll_more_blocks_where_nothing_is_made_or_gathered_again():
    asked = [("cpu", "none", False), ("tpu", "none", False), ("gpu", "none", False), ("gpu", "block", False)]
    asked += [("gpu", "none", True)]
    deepest = [max(d for d in range(1, 99) if unrolled(d, remat, gathered, b)) for b, remat, gathered in asked]
    assert deepest == [8, 8, 32, 8, 8]
