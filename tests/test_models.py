"""The decoder: counts equal the built module, FLOPs equal a counted program, causality, loss ln V at the start."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models import Architecture, ArchitectureError, architecture_near
from models.decoder import token_losses
from models.parametrisation import RULES

SMALL = Architecture(width=32, depth=3, heads=2, mlp_width=52, vocab_size=61)


def tensors(architecture: Architecture) -> dict[str, jax.Array]:
    return nnx.to_pure_dict(nnx.split(architecture.build(jax.random.key(0)))[1])


@pytest.mark.parametrize("n", [3e3, 1e4, 1e5, 1e6])
def test_counts_equal_the_built_module(n):
    architecture = architecture_near(int(n), 128)
    built = {name: value.size for name, value in tensors(architecture).items()}
    count = architecture.count(context=16)
    assert count.total == sum(built.values())
    assert count.non_embedding == sum(built.values()) - built["embedding"] - built["head"]
    assert set(built) == set(RULES)


@pytest.mark.parametrize("n", np.geomspace(1e4, 1e11, 43))
def test_shapes_hit_n_within_two_percent(n):
    architecture = architecture_near(round(n), 32_000)
    assert architecture.count(context=1).non_embedding == pytest.approx(n, rel=0.02)


def dot_flops(jaxpr, times: int = 1) -> int:
    """2 x multiply-adds of all matrix products of a program, loops multiplied out."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            ((left, _), (batch, _)) = equation.params["dimension_numbers"]
            shape_a, shape_b = (variable.aval.shape for variable in equation.invars)
            contracted = math.prod(shape_a[i] for i in left)
            batched = math.prod(shape_a[i] for i in batch)
            total += 2 * math.prod(shape_a) * math.prod(shape_b) // (contracted * batched) * times
        inner = times * equation.params["length"] if equation.primitive.name == "scan" else times
        for value in equation.params.values():
            for candidate in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(candidate, jax.extend.core.ClosedJaxpr):
                    total += dot_flops(candidate.jaxpr, inner)
                elif isinstance(candidate, jax.extend.core.Jaxpr):
                    total += dot_flops(candidate, inner)
    return total


def test_flops_equal_the_counted_program():
    """The program computes full T x T attention; the closed form charges its causal half, (T + 1) / 2T of it."""
    length, batch = 16, 2
    model = SMALL.build(jax.random.key(0))
    traced = jax.make_jaxpr(lambda tokens: model(tokens))(jnp.zeros((batch, length), jnp.int32))
    counted = dot_flops(traced.jaxpr) / (batch * length)
    full_attention = SMALL.depth * 4 * SMALL.width * length
    causal_attention = SMALL.depth * 4 * SMALL.width * (length + 1) / 2
    assert SMALL.forward_flops_per_token(length) == counted - full_attention + causal_attention
    assert SMALL.flops_per_token(length) == 3 * SMALL.forward_flops_per_token(length)


def test_a_token_sees_no_later_token():
    parameters = tensors(SMALL)
    rng = np.random.default_rng(0)
    # Zero-initialised outputs would hide a leak: fill every tensor.
    filled = {name: rng.normal(size=value.shape).astype(np.float32) for name, value in parameters.items()}
    graph, _ = nnx.split(SMALL.build(jax.random.key(0)))
    model = nnx.merge(graph, nnx.State({name: nnx.Param(jnp.asarray(value)) for name, value in filled.items()}))
    tokens = rng.integers(0, SMALL.vocab_size, (1, 12))
    changed = tokens.copy()
    changed[0, 7] = (changed[0, 7] + 1) % SMALL.vocab_size
    before, after = model(jnp.asarray(tokens)), model(jnp.asarray(changed))
    np.testing.assert_array_equal(before[0, :7], after[0, :7])
    assert np.abs(np.asarray(before[0, 7:] - after[0, 7:])).max() > 1e-3


def test_loss_at_the_start_is_ln_vocabulary():
    model = SMALL.build(jax.random.key(1))
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, SMALL.vocab_size, (2, 17)))
    losses = token_losses(model(tokens[:, :-1]), tokens[:, 1:])
    np.testing.assert_allclose(losses, math.log(SMALL.vocab_size), rtol=1e-6)


@pytest.mark.parametrize("n", [0, 10, 10**14])
def test_impossible_sizes_are_refused_with_the_range(n):
    with pytest.raises(ArchitectureError, match=r"model\.n is .* allowed is 2000 to 2e\+12"):
        architecture_near(n, 1024)


def test_odd_head_width_is_refused():
    with pytest.raises(ArchitectureError, match="multiple of 4"):
        Architecture(width=30, depth=1, heads=2, mlp_width=8, vocab_size=8)
