"""Attention: fused kernels where they can run, within documents, wide heads."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_decoder import QUICK

import models.attention
from models import Architecture
from models.attention import _cudnn, _kernel, _splash, attend, spans
from models.decoder import hidden, initial_parameters
from models.normalise import rotary_angles
from sweep.process import with_cpu_devices

KERNELS = {"cudnn": _cudnn, "splash": functools.partial(_splash, interpret=True)}


@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize("name", KERNELS)
def test_fused_kernels_take_and_give_heads_in_the_same_order(name, qk_norm, monkeypatch):
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
            out = attend(qkv, rotary_angles(128, 128), qk_norm)
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


ON_A_MESH = """
import functools, json
from unittest import mock
import jax, jax.numpy as jnp, numpy as np
from models import Architecture, attention
from models.normalise import rotary_angles
from sweep.layout import Layout
from sweep.spec import OptimiserSpec
from sweep.train import STEPS_PER_DISPATCH, Program, _compiled

def both(spread, groups):
    qkv = jnp.float32(np.random.default_rng(3).normal(size=(4, 128, groups, 4, 128)))
    def total(qkv):
        out = attention.attend(qkv, rotary_angles(128, 128), True, spread=spread)
        return (out[..., ::7] ** 2).sum(), out
    (_, out), slope = jax.jit(jax.value_and_grad(total, has_aux=True))(jax.device_put(qkv, spread))
    return np.asarray(out), np.asarray(slope)

expected = {groups: both(None, groups) for groups in (1, 2)}
splash, plain = functools.partial(attention._splash, interpret=True), jax.nn.dot_product_attention
without_gpu = lambda *arrays, implementation, **options: plain(*arrays, implementation="xla", **options)
with mock.patch.object(attention, "_splash", splash), mock.patch.object(jax.nn, "dot_product_attention", without_gpu):
    for kernel in (splash, attention._cudnn):
        with mock.patch.object(attention, "_kernel", return_value=kernel):
            for layout, groups in ((Layout(data=2), 1), (Layout(fsdp=2, tensor=2), 2), (Layout(data=2, tensor=2), 1)):
                found = both(layout.batch_sharding(0), groups)
                pairs = zip(found, expected[groups])
                print([float(np.abs(one - other).max() / np.abs(other).max()) for one, other in pairs])

optimiser = OptimiserSpec("adamw", 0.0, 0.9, 0.95, 1e-10, 0.0, 0.0, 0.5, 1.0)
with mock.patch.object(jax, "default_backend", return_value="tpu"):
    for layout in (Layout(data=2), Layout(data=2, accumulation=2), Layout(fsdp=2), Layout(2, 2, 2)):
        program = Program(Architecture(256, 1, 2, 64, 64), optimiser, "bfloat16", layout)
        tokens = jax.ShapeDtypeStruct((STEPS_PER_DISPATCH, 8, 129), np.uint16, sharding=layout.batch_sharding(1))
        state = jax.eval_shape(program.initial_state, 0)
        rates, count = jax.ShapeDtypeStruct((STEPS_PER_DISPATCH,), np.float32), jax.ShapeDtypeStruct((), np.int32)
        traced = _compiled(program).advance.trace(state, tokens, rates, rates, count)
        print(traced.lower(lowering_platforms=("tpu",)).as_text().count("tpu_custom_call"))
"""


def test_fused_kernels_run_on_every_devices_own_part_of_a_mesh(monkeypatch):
    """Splash interpreted, cuDNN's function on its plain implementation: outputs and gradients of one device, also where
    the mesh cannot cut the groups of heads. Then whole training programs, made for TPUs: XLA refuses a kernel that it
    would have to cut itself."""
    monkeypatch.setenv("XLA_FLAGS", with_cpu_devices(os.environ["XLA_FLAGS"], 8))
    done = subprocess.run([sys.executable, "-c", ON_A_MESH], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    *errors, one, two, three, four = [json.loads(line) for line in done.stdout.splitlines()]
    assert np.max(errors) < 1e-5
    assert len(errors) == 6
    assert min(one, two, three, four) > 0


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


SPANS = {"one": ((0, 8),), "two, uneven": ((0, 3), (3, 8)), "four": ((0, 2), (2, 4), (4, 6), (6, 8))}


@pytest.mark.parametrize("cut", SPANS.values(), ids=SPANS)
def test_gradients_within_documents_equal_those_of_a_plain_mask(cut):
    """The hand-written core, span by span, against softmax with the same mask, differentiated by JAX."""
    from models.attention import _bounded_core, _mask, _plain_core

    keys = jax.random.split(jax.random.key(0), 4)
    shapes = [(2, 2, 3, 8, 4), (2, 2, 8, 4), (2, 2, 8, 4)]
    inputs = [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=False)]
    mask = _mask(8, jnp.asarray([[0, 0, 0, 1, 1, 1, 2, 2], [0, 0, 0, 0, 0, 0, 0, 1]]))
    weight = jax.random.normal(keys[3], shapes[0])

    def gradients(core, cut):
        slope = jax.grad(lambda q, k, v: (core(q, k, v, mask, cut) * weight).sum(), argnums=(0, 1, 2))
        return jax.jit(slope, compiler_options=QUICK)(*inputs)

    expected = gradients(_plain_core, SPANS["one"])
    for found in (gradients(_bounded_core, cut), gradients(_plain_core, cut)):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def textbook(qkv: np.ndarray, qk_norm: bool) -> np.ndarray:
    """Attention of (T, G, Q + 2, K) in float64, position by position."""
    length, groups, slots, width = qkv.shape
    angle = np.outer(np.arange(length), 10_000.0 ** (-np.arange(width // 2) / (width // 2)))[:, None, None]
    heads = qkv[:, :, :-1]
    heads = heads / np.sqrt(np.mean(heads**2, axis=-1, keepdims=True) + 1e-6) if qk_norm else heads
    heads = (heads[..., : width // 2] + 1j * heads[..., width // 2 :]) * np.exp(1j * angle)
    out = np.empty((length, groups, slots - 2, width))
    for t in range(length):
        for g in range(groups):
            for q in range(slots - 2):
                score = np.real(heads[: t + 1, g, -1] @ np.conj(heads[t, g, q])) * (2 if qk_norm else 1) / width**0.5
                weight = np.exp(score - score.max())
                out[t, g, q] = weight @ qkv[: t + 1, g, -1] / weight.sum()
    return out.reshape(length, -1, width)


@pytest.mark.parametrize("length", [63, 65, 257])  # one span of queries, two, four
@pytest.mark.parametrize("qk_norm", [True, False])
def test_attention_is_the_textbooks_at_every_number_of_spans(length, qk_norm):
    qkv = np.random.default_rng(5).normal(size=(1, length, 2, 4, 8))
    attended = jax.jit(lambda x: attend(x, rotary_angles(length, 8), qk_norm)[0], compiler_options=QUICK)
    found = attended(jnp.float32(qkv))
    np.testing.assert_allclose(found, textbook(qkv[0], qk_norm), atol=2e-5)


@pytest.mark.parametrize(("length", "backend"), [(65, "cpu"), (257, "cpu"), (65, "gpu")])
@pytest.mark.parametrize("qk_norm", [True, False])
def test_gradients_are_those_of_finite_differences(length, backend, qk_norm, monkeypatch):
    """Of a random projection of the output, along a random direction, against the textbook in float64. With spans on
    CPUs; without, and from fewer arrays kept, elsewhere."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    rng = np.random.default_rng(6)
    qkv, along = rng.normal(size=(2, 1, length, 1, 4, 8))
    weight = rng.normal(size=(length, 2, 8))
    slope = jax.grad(lambda x: (attend(x, rotary_angles(length, 8), qk_norm)[0] * jnp.float32(weight)).sum())
    slope = jax.jit(slope, compiler_options=QUICK)
    ahead, behind = (np.sum(textbook((qkv + step * along)[0], qk_norm) * weight) for step in (1e-5, -1e-5))
    assert np.vdot(slope(jnp.float32(qkv)), along) == pytest.approx((ahead - behind) / 2e-5, rel=2e-4)


def test_spans_cover_every_query_once_and_never_fewer_keys_than_it_sees():
    assert spans(63, "cpu") == ((0, 63),)
    assert spans(65, "cpu") == ((0, 32), (32, 65))
    assert spans(256, "cpu") == ((0, 64), (64, 128), (128, 192), (192, 256))
    assert spans(2048, "gpu") == ((0, 2048),)
