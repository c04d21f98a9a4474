"""Initial scales, rates and decays by the rules, and the coordinate check: one rate moves all sizes alike."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest
from plain_decoder import QUICK, fresh, objective, plain

import models.decoder
from models import Architecture
from models.decoder import initial_parameters
from models.parametrisation import branch_multiplier, logit_multiplier, tensors


@functools.cache
def movement(**changes) -> tuple[float, float]:
    """Mean |change| of the residual stream and of the logits by six Adam steps on one batch, at one shared rate."""
    base = Architecture(width=64, depth=2, heads=4, mlp_width=128, vocab_size=256)
    a = dataclasses.replace(base, **changes)
    a = dataclasses.replace(a, heads=a.width // 16, mlp_width=2 * a.width)
    tokens, table, start = np.random.default_rng(0).integers(0, 256, (4, 17)), tensors(a), fresh(a)
    adam = optax.scale_by_adam(0.9, 0.95, eps=1e-12)

    def step(carry, _):
        params, moments = carry
        slopes = jax.grad(lambda p: objective(a, p, tokens, 0.0))(params)
        updates, moments = adam.update(slopes, moments)
        return ({n: value - 2**-9 * table[n].rate * updates[n] for n, value in params.items()}, moments), None

    run = jax.jit(lambda p: jax.lax.scan(step, (p, adam.init(p)), None, length=6)[0][0], compiler_options=QUICK)
    before, after = (plain(a, {n: np.float64(v) for n, v in p.items()}, tokens[:, :-1]) for p in (start, run(start)))
    return float(np.abs(after[2] - before[2]).mean()), float(np.abs(after[0] - before[0]).mean())


@pytest.fixture
def looped_blocks(monkeypatch):
    """Deep models compile as fast as shallow ones."""
    monkeypatch.setattr(models.decoder, "UNROLL_UP_TO", 1)


COORDINATES = {"width": ("width", (32, 64, 128, 256), {}), "depth": ("depth", (2, 4, 8), {})}
COORDINATES["width, tied"] = ("width", (32, 256), {"tied": True})
COORDINATES["width, experts"] = ("width", (32, 256), {"experts": 4, "experts_per_token": 2})


@pytest.mark.parametrize(("field", "values", "choices"), COORDINATES.values(), ids=COORDINATES)
def test_one_rate_moves_all_sizes_alike_under_complete_p(field, values, choices, looped_blocks):
    """The coordinate check of Yang et al. 2022 (arXiv:2203.03466, appendix D.1); measured 1.01 to 1.06."""
    moved = np.array([movement(**{field: value}, **choices) for value in values])
    assert (moved.max(axis=0) / moved.min(axis=0)).max() < 1.12


def test_one_rate_does_not_under_standard(looped_blocks):
    """What the check above would see; measured 2.8 and 7 over widths, 1.5 over depths."""
    narrow, wide, deep = (
        np.array(movement(parametrisation="standard", **changes))
        for changes in ({"width": 32}, {"width": 256}, {"depth": 8})
    )
    shallow = np.array(movement(parametrisation="standard"))
    assert (wide / narrow > [2, 4]).all()
    assert deep[0] / shallow[0] > 1.3


RULES = {
    # (initial scale, rate, decay) at width 256 = 4 x 64, depth 8 = 4 x 2, MLP width 100.
    "complete_p": {
        "embedding": (0.5, 1, 0),
        "qkv": (1 / 16, 1 / 4, 1),
        "attention_out": (0, 1 / 4, 1),
        "mlp_in": (1 / 16, 1 / 4, 1),
        "mlp_out": (0, 1 / 4, 1),
        "head": (0, 1 / 4, 0),
    },
    "standard": {
        "embedding": (0.5, 1, 0),
        "qkv": (1 / 16, 1, 1),
        "attention_out": (1 / 64, 1, 1),
        "mlp_in": (1 / 16, 1, 1),
        "mlp_out": (1 / 40, 1, 1),
        "head": (1 / 256, 1, 0),
    },
}


@pytest.mark.parametrize("rules", RULES)
def test_scales_rates_and_decays_follow_the_rules(rules):
    complete = rules == "complete_p"
    a = Architecture(width=256, depth=8, heads=4, mlp_width=100, vocab_size=512, parametrisation=rules)
    assert {n: pytest.approx((t.scale, t.rate, t.decay)) for n, t in tensors(a).items()} == RULES[rules]
    assert (branch_multiplier(a), logit_multiplier(a)) == (1 / 4 if complete else 1, 1)
    for name, value in initial_parameters(a, jax.random.key(0)).items():
        assert np.std(value) == pytest.approx(RULES[rules][name][0], rel=0.01)
    tied = dataclasses.replace(a, tied=True)
    assert "head" not in tensors(tied)
    embedding = tensors(tied)["embedding"]
    assert (embedding.scale, embedding.rate, embedding.decay) == (1 / 64, 1, 0)
    assert logit_multiplier(tied) == (1 / 4 if complete else 1)
    router = tensors(dataclasses.replace(a, experts=4))["router"]
    assert (router.scale, router.rate, router.decay) == (1 / 16, 1 / 4 if complete else 1, 1)
