"""models/: counts, FLOPs, shapes, the forward pass and its gradients, each against a plain formula written here."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import models.attention
import models.decoder
import models.losses
from models import Architecture, ArchitectureError, architecture_near
from models.__main__ import main
from models.attention import _cudnn, _kernel, _splash, attend
from models.decoder import head, hidden, initial_parameters
from models.losses import chunks_of, token_losses, training_loss
from models.mlp import BALANCE_COEFFICIENT
from models.normalise import rotary_angles
from models.parametrisation import branch_multiplier, logit_multiplier, tensors

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
        assert np.sum(gradient * direction) == pytest.approx(slope, abs=tolerance * size), name


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


@functools.cache
def forward(a: Architecture):
    """Compiled (params, tokens) -> Hidden."""
    return jax.jit(lambda params, tokens: hidden(a, params, tokens), compiler_options=QUICK)


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
    assert chunks_of(LENGTH, BATCH, BASE.vocab_size) == 3
    assert_slopes(FAMILY[name], gradients(FAMILY[name], remat)[1], 1e-5)


def test_rematerialisation_computes_again_what_it_says():
    """Once more each: attention's two products for "dots"; all of a block but its last product for "block"."""
    scores = BASE.depth * 4 * BASE.width * LENGTH
    last = 2 * BASE.depth * BASE.width * BASE.mlp_width
    blocks = BASE.forward_flops_per_token(LENGTH) - 2 * BASE.vocab_size * BASE.width
    none, dots, block = (gradient_flops(BASE, remat) for remat in ("none", "dots", "block"))
    assert (dots - none, block - none) == (scores, blocks + scores * (1 - (LENGTH + 1) / (2 * LENGTH)) - last)


@pytest.mark.parametrize("chunk", [2**25, BATCH * 61 * 5, 1])
@pytest.mark.parametrize("z_loss", [0.0, 0.3])
def test_cross_entropy_in_chunks_equals_the_plain_one(chunk, z_loss, monkeypatch):
    monkeypatch.setattr(models.losses, "CHUNK_LOGITS", chunk)
    assert chunks_of(LENGTH, BATCH, 61) == {2**25: 1, BATCH * 61 * 5: 3, 1: LENGTH}[chunk]
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


@pytest.mark.parametrize("name", ["gelu, scores without a bound", "grouped queries", "experts"])
def test_bfloat16_comes_near_float32(name):
    """bfloat16 keeps 8 bits, 0.4%: the loss within 1%, gradients within 10% of their norm."""
    a = FAMILY[name]
    value, found = gradients(a, precision="bfloat16")
    assert float(value) == pytest.approx(plain_objective(a, filled(a), TOKENS, Z_LOSS), rel=0.01)
    assert {gradient.dtype for gradient in found.values()} == {jnp.dtype("bfloat16")}
    assert all(np.isfinite(np.asarray(gradient, np.float32)).all() for gradient in found.values())
    assert_slopes(a, found, 0.1)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        *((name, 0, "1 or more") for name in ("width", "depth", "heads", "mlp_width", "vocab_size", "experts")),
        ("width", 30, "multiple of 8"),
        ("mlp_width", 52.5, "whole numbers"),
        ("depth", True, "whole numbers"),
        ("queries_per_key", 0, "1 or more"),
        ("queries_per_key", 3, "divisors of 4"),
        ("experts_per_token", 0, r"1 to model.experts \(1\)"),
        ("experts_per_token", 2, r"1 to model.experts \(1\)"),
        ("mlp", "relu", "squared_relu, gelu, swiglu"),
        ("tied", "false", "True and False"),
        ("qk_norm", 1, "True and False"),
        ("parametrisation", "mup", "complete_p, standard"),
    ],
)
def test_bad_fields_are_one_line_with_the_name_and_what_is_allowed(field, value, told):
    with pytest.raises(ArchitectureError, match=rf"model\.{field} .*{told}") as refused:
        dataclasses.replace(BASE, **{field: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("n", [0, 10, 10**14])
def test_impossible_sizes_are_refused_with_the_range(n):
    with pytest.raises(ArchitectureError, match=r"model\.n is .* allowed is 2000 to 2e\+12"):
        architecture_near(n, 1024)


@pytest.fixture
def told(monkeypatch, capsys):
    """(exit status, stdout, stderr) of python -m models WORDS."""

    def run(words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["models", *words.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())

    return run


@pytest.mark.parametrize("count", ["non_embedding", "total", "flops"])
def test_the_command_line_finds_n_by_any_count(told, count):
    options = "--vocab 512 --context 128 --mlp swiglu --queries-per-key 2 --tied --experts 4 --experts-per-token 2"
    status, out, _ = told(f"table 1e6 1e8 --rows 3 --count {count} {options} --json")
    assert status == 0
    rows = json.loads(out)
    assert [row["asked"] for row in rows] == pytest.approx([1e6, 1e7, 1e8])
    for row in rows:
        assert row["by_flops" if count == "flops" else count] == pytest.approx(row["asked"], rel=0.02)
        choices = {"mlp": "swiglu", "queries_per_key": 2, "tied": True, "experts": 4, "experts_per_token": 2}
        sizes = {name: row[name] for name in ("width", "depth", "heads", "mlp_width")}
        a = Architecture(vocab_size=512, **sizes, **choices)
        assert (row["total"], row["active"]) == (a.count(128).total, a.count(128).active)
        assert row["training_flops_per_token"] == a.flops_per_token(128)


def test_the_command_line_shows_a_table(told):
    status, out, _ = told("show 1e6 --count total")
    assert status == 0
    assert "vocabulary 1024, context 64 tokens; N counts total" in out
    assert "1e+06" in out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("show 1e6 --count all", "--count is 'all'; allowed are non_embedding, total, flops"),
        ("show 1e6 --mlp relu", "model.mlp is 'relu'; allowed are squared_relu, gelu, swiglu"),
        ("show nan", "model.n is 0 parameters; allowed is 2000 to 2e+12"),
        ("table 1e6 1e5", "give 0 < smallest <= largest"),
    ],
)
def test_the_command_line_refuses_in_one_line(told, words, named):
    status, out, err = told(words)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert named in err


# -- documents and vocabularies


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
