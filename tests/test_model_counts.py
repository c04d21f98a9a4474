"""Parameters, FLOPs and shapes of models/: closed forms against the built module and the counted programs."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest
from flax import nnx
from plain_decoder import BASE, BATCH, LENGTH, TOKENS, each_family, filled, objective

from models import Architecture, architecture_near
from models.parametrisation import tensors


@each_family
def test_counts_equal_the_built_module(a):
    built = nnx.to_pure_dict(nnx.state(nnx.eval_shape(lambda: a.build(jax.random.key(0)))))
    assert {name: value.shape for name, value in built.items()} == {n: t.shape for n, t in tensors(a).items()}
    size = {name: value.size for name, value in built.items()}
    outside = size["embedding"] + size.get("head", 0)
    assert ("head" in size) != a.tied
    count = a.count(context=16)
    assert count.total == sum(size.values())
    assert count.non_embedding == sum(size.values()) - outside
    sent = (size["mlp_in"] + size["mlp_out"]) * a.experts_per_token // a.experts
    assert count.active == size["qkv"] + size["attention_out"] + size.get("router", 0) + sent
    assert count.flops == a.forward_flops_per_token(16) / 2


def product_flops(jaxpr, times: int = 1) -> int:
    """2 x multiply-adds of all matrix products of a program, loops multiplied out.

    A grouped product lets every row meet one group. Products with a single column are row sums, which do not count.
    """
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "ragged_dot_general"):
            ragged = equation.primitive.name == "ragged_dot_general"
            numbers = equation.params["ragged_dot_dimension_numbers" if ragged else "dimension_numbers"]
            ((left, right), (batch, _)) = numbers.dot_dimension_numbers if ragged else numbers
            groups = numbers.rhs_group_dimensions if ragged else ()
            shape_a, shape_b = (variable.aval.shape for variable in equation.invars[:2])
            columns = math.prod(shape_b) // math.prod(shape_b[i] for i in right)
            shared = math.prod(shape_a[i] for i in (*left, *batch)) * math.prod(shape_b[i] for i in groups)
            total += 2 * math.prod(shape_a) * math.prod(shape_b) // shared * times if columns > 1 else 0
        inner = times * equation.params["length"] if equation.primitive.name == "scan" else times
        for value in equation.params.values():
            for candidate in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(candidate, jax.extend.core.ClosedJaxpr):
                    total += product_flops(candidate.jaxpr, inner)
                elif isinstance(candidate, jax.extend.core.Jaxpr):
                    total += product_flops(candidate, inner)
    return total


def gradient_flops(a: Architecture, remat: str = "none") -> float:
    """Per token, counted."""
    slope = jax.grad(lambda p: objective(a, p, TOKENS, 0.0, remat))
    return product_flops(jax.make_jaxpr(slope)(filled(a)).jaxpr) / (BATCH * LENGTH)


@each_family
def test_flops_equal_the_counted_programs(a):
    """The programs compute full T x T attention; the closed form charges its causal half, (T + 1) / 2T of it."""
    program = jax.make_jaxpr(lambda tokens: a.build(jax.random.key(0))(tokens))(TOKENS[:, :-1])
    counted = product_flops(program.jaxpr) / (BATCH * LENGTH)
    not_causal = a.depth * 4 * a.width * (LENGTH - (LENGTH + 1) / 2)
    assert a.forward_flops_per_token(LENGTH) == counted - not_causal
    assert a.flops_per_token(LENGTH) == gradient_flops(a) - 3 * not_causal


def test_rematerialisation_computes_again_what_it_says():
    """Once more each: attention's two products for "dots"; all of a block but its last product for "block"."""
    scores = BASE.depth * 4 * BASE.width * LENGTH
    last = 2 * BASE.depth * BASE.width * BASE.mlp_width
    blocks = BASE.forward_flops_per_token(LENGTH) - 2 * BASE.vocab_size * BASE.width
    none, dots, block = (gradient_flops(BASE, remat) for remat in ("none", "dots", "block"))
    assert (dots - none, block - none) == (scores, blocks + scores * (1 - (LENGTH + 1) / (2 * LENGTH)) - last)


LADDERS = {
    "dense": ({}, 1e4),
    "swiglu": ({"mlp": "swiglu", "tied": True}, 1e4),
    "two queries a key": ({"queries_per_key": 2}, 1e5),
    "four queries a key": ({"queries_per_key": 4}, 1e5),
    "eight experts": ({"experts": 8, "experts_per_token": 2}, 1e5),
}


@pytest.mark.parametrize(("choices", "smallest"), LADDERS.values(), ids=LADDERS)
def test_shapes_hit_n_within_two_percent(choices, smallest):
    for n in np.geomspace(smallest, 1e11, 120):
        a = architecture_near(round(n), 32_000, **choices)
        assert a.count(context=1).non_embedding == pytest.approx(n, rel=0.02)
        assert {name: getattr(a, name) for name in choices} == choices
