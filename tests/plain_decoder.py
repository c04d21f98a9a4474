"""What the tests of models/ share: every family, filled tensors, and the decoder in textbook steps."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import Architecture
from models.decoder import head, hidden
from models.losses import training_loss
from models.mlp import BALANCE_COEFFICIENT
from models.parametrisation import logit_multiplier, tensors

BASE = Architecture(width=32, depth=3, heads=4, mlp_width=52, vocab_size=1024)
CHOICES = {
    "dense": {},
    "gelu, scores without a bound": {"mlp": "gelu", "qk_norm": False, "queries_per_key": 2},
    "grouped queries": {"queries_per_key": 2},
    "one key head, standard": {"queries_per_key": 4, "parametrisation": "standard"},
    "swiglu": {"mlp": "swiglu"},
    "tied": {"tied": True, "mlp": "swiglu", "queries_per_key": 2},
    "experts": {"experts": 4, "experts_per_token": 2},
    "gated experts": {"experts": 3, "mlp": "swiglu", "queries_per_key": 2, "tied": True},
}
FAMILY = {name: dataclasses.replace(BASE, **choices) for name, choices in CHOICES.items()}
each_family = pytest.mark.parametrize("a", FAMILY.values(), ids=FAMILY)
BATCH, LENGTH, Z_LOSS, DIRECTIONS = 2, 12, 0.02, 4
QUICK = {"xla_backend_optimization_level": 0}  # of a compilation: half the time
TOKENS = np.random.default_rng(0).integers(0, BASE.vocab_size, (BATCH, LENGTH + 1))


@functools.cache
def filled(a: Architecture) -> dict[str, np.ndarray]:
    """Normal values in every tensor, float32: those that start at zero would hide what is behind them."""
    rng = np.random.default_rng(1)
    return {name: np.float32(0.2 * rng.normal(size=tensor.shape)) for name, tensor in tensors(a).items()}


def fresh(a: Architecture) -> dict[str, np.ndarray]:
    """Initial values without compiling anything; those of models/ have the same scales, as a test below says."""
    rng = np.random.default_rng(4)
    return {name: np.float32(tensor.scale * rng.normal(size=tensor.shape)) for name, tensor in tensors(a).items()}


def plain(a: Architecture, p: dict, tokens: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """The decoder in textbook steps, head by head and every expert for every token, in the type of p.

    RoPE multiplies complex numbers. Returns (logits (B, T, V), load-balancing loss, residual stream (B, T, D)).
    """

    def rms(x):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6)

    def softmax(x):
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    def turn(x):
        half = x.shape[-1] // 2
        angle = np.outer(np.arange(x.shape[1]), 10_000.0 ** (-np.arange(half) / half))
        turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angle)[None]
        return np.concatenate([turned.real, turned.imag], axis=-1)

    def mlp(x, up, down):
        if a.mlp == "swiglu":
            gate = x @ up[:, 0]
            return (gate / (1 + np.exp(-gate)) * (x @ up[:, 1])) @ down.T
        inner = x @ up
        gelu = inner / 2 * (1 + np.tanh((2 / math.pi) ** 0.5 * (inner + 0.044715 * inner**3)))
        return (gelu if a.mlp == "gelu" else inner * inner * (inner > 0)) @ down.T

    def experts(x, router, up, down):
        probability = softmax(x @ router)
        chosen = probability >= np.sort(probability, axis=-1)[..., -a.experts_per_token][..., None]
        weight = probability * chosen
        if a.experts_per_token > 1:
            weight = weight / weight.sum(axis=-1, keepdims=True)
        added = sum(weight[..., e, None] * mlp(x, up[e], down[e]) for e in range(a.experts))
        shares = chosen.mean((0, 1)) / a.experts_per_token
        return added, a.experts * np.sum(shares * probability.mean((0, 1)))

    complete, head_width, sharing = a.parametrisation == "complete_p", a.width // a.heads, a.queries_per_key
    seen = np.tril(np.ones((tokens.shape[1],) * 2))[None] > 0
    x, balances = rms(p["embedding"][tokens]), []
    for n in range(a.depth):
        qkv = np.einsum("btd,dgsk->btgsk", rms(x), p["qkv"][n])
        heads = []
        for h in range(a.heads):
            query, key, value = (qkv[:, :, h // sharing, s] for s in (h % sharing, sharing, sharing + 1))
            if a.qk_norm:
                query, key = 2 * rms(query), rms(key)
            scores = turn(query) @ turn(key).swapaxes(1, 2) / head_width**0.5
            heads.append(softmax(np.where(seen, scores, -1e9)) @ value)
        x = x + (2 / a.depth if complete else 1) * np.concatenate(heads, axis=-1) @ p["attention_out"][n]
        if a.experts == 1:
            added = mlp(rms(x), p["mlp_in"][n], p["mlp_out"][n])
        else:
            added, balance = experts(rms(x), p["router"][n], p["mlp_in"][n], p["mlp_out"][n])
            balances.append(balance)
        x = x + (2 / a.depth if complete else 1) * added
    logits = rms(x) @ p["embedding" if a.tied else "head"].T * (64 / a.width if a.tied and complete else 1)
    return logits, sum(balances) / a.depth, x


def plain_objective(a: Architecture, p: dict, tokens: np.ndarray, z_loss: float) -> float:
    """Mean of ce + z (ln Z)^2, plus 0.01 of the load-balancing loss (Fedus et al. 2021)."""
    logits, balance, _ = plain(a, p, tokens[:, :-1])
    log_z = np.log(np.exp(logits).sum(axis=-1))
    target = np.take_along_axis(logits, tokens[:, 1:, None], axis=-1)[..., 0]
    return float((log_z - target + z_loss * log_z**2).mean() + 0.01 * balance)


def objective(a: Architecture, p: dict, tokens: np.ndarray, z_loss: float, remat: str = "none"):
    """The same from models/, put together as sweep/train.py does."""
    left = hidden(a, p, tokens[:, :-1], remat)
    loss, _ = training_loss(left.hidden_BxTxD, head(p), tokens[:, 1:], logit_multiplier(a), z_loss)
    return loss + BALANCE_COEFFICIENT * left.balance


def gradients(a: Architecture, remat: str = "none", precision: str = "float32"):
    """(objective, its gradients by name) at the filled tensors."""
    slope = jax.jit(jax.value_and_grad(lambda p: objective(a, p, TOKENS, Z_LOSS, remat)), compiler_options=QUICK)
    return slope({name: jnp.asarray(value, precision) for name, value in filled(a).items()})


@functools.cache
def plain_slopes(a: Architecture) -> list[tuple[str, np.ndarray, float]]:
    """(tensor, direction, slope of the plain objective along it): central differences in float64, good to 1e-8."""
    rng, step = np.random.default_rng(2), 1e-5
    wide = {name: value.astype(np.float64) for name, value in filled(a).items()}
    found = []
    for name in [name for name in wide for _ in range(DIRECTIONS)]:
        direction = rng.normal(size=wide[name].shape)
        ends = (plain_objective(a, {**wide, name: wide[name] + s * direction}, TOKENS, Z_LOSS) for s in (step, -step))
        found.append((name, direction, (next(ends) - next(ends)) / (2 * step)))
    return found


def assert_slopes(a: Architecture, found: dict, tolerance: float) -> None:
    """<gradient, direction> is the plain slope, but for this part of the gradient's norm.

    A gradient that is off by a vector e is off along a normal direction by about |e|.
    """
    for name, direction, slope in plain_slopes(a):
        gradient = np.asarray(found[name], np.float64)
        size = np.sqrt(np.sum(gradient**2))
        assert size > 0, name
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=0, atol=tolerance * size, err_msg=name)


@functools.cache
def forward(a: Architecture):
    """Compiled (params, tokens) -> Hidden."""
    return jax.jit(lambda params, tokens: hidden(a, params, tokens), compiler_options=QUICK)
