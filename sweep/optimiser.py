"""The direction of an update, from optax: AdamW, or Muon for hidden matrices with AdamW for the rest."""

from __future__ import annotations

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from fitting.errors import InputError
from models import Architecture
from models.parametrisation import BASE_WIDTH, Tensor, tensors
from sweep.spec import OptimiserSpec

KINDS = ("adamw", "muon")
MUON_MOMENTUM = 0.95  # Jordan et al. 2024, kellerjordan.github.io/posts/muon
# Elements of Muon's directions have this RMS at BASE_WIDTH, about Adam's, so that one rate serves both tensors' kinds
# (Liu et al. 2025, arXiv:2502.16982, section 2.2).
MUON_RMS = 0.2


def directions(optimiser: OptimiserSpec, architecture: Architecture) -> optax.GradientTransformationExtraArgs:
    """Gradients to directions, clipped to a global norm; the training step applies rate, decay and their multipliers.

    `update` takes `finite`, whether the gradient is: where it is not, the moments stay as they were, and the directions
    mean nothing.
    """
    adam = _adam(optimiser.beta1, optimiser.beta2, optimiser.epsilon)
    clip = _clip(optimiser.clip_norm)
    if optimiser.kind == "adamw":
        return optax.chain(clip, adam)
    if optimiser.kind != "muon":
        raise InputError(f"optimiser.kind is {optimiser.kind!r}; allowed are {', '.join(KINDS)}")
    table = tensors(architecture)
    dimensions = {name: _dimensions(tensor) for name, tensor in table.items() if tensor.matrix}
    labels = {name: "muon" if name in dimensions else "adam" for name in table}
    # optax hands each transformation the whole tree with the others' leaves masked; so must be the dimensions.
    masked = {name: dimensions.get(name, optax.MaskedNode()) for name in table}
    muon = _where_finite(optax.contrib.scale_by_muon(beta=MUON_MOMENTUM, weight_dimension_numbers=masked))
    scales = {name: _scale(table[name], dimensions[name]) for name in dimensions}

    def scale(updates: optax.Updates, params: optax.Params | None = None) -> optax.Updates:
        by_name = cast(dict[str, jax.Array], updates)
        return {name: update * scales.get(name, 1.0) for name, update in by_name.items()}

    return optax.chain(clip, optax.partition({"muon": muon, "adam": adam}, labels), optax.stateless(scale))


def _clip(largest: float) -> optax.GradientTransformation:
    """g min(1, largest / |g|), |g| over all tensors (Pascanu et al. 2012, arXiv:1211.5063).

    One factor, which whatever reads a gradient multiplies by: optax's own divides, which XLA does in a pass of its own.
    """

    def clip(gradients: optax.Updates, params: optax.Params | None = None) -> optax.Updates:
        norm = optax.tree.norm(gradients)
        factor = jnp.where(norm < largest, 1.0, largest / norm)
        return jax.tree.map(lambda gradient: gradient * factor, gradients)

    return optax.stateless(clip)


def _adam(beta1: float, beta2: float, epsilon: float) -> optax.GradientTransformationExtraArgs:
    """optax.scale_by_adam, its directions made of moments that are finished and in their old places.

    XLA's CPU compiler otherwise makes the moments twice, for the state and for the parameters, and copies the old ones
    first: with the clipping above 1.06x to 1.12x of a step of 256 tokens (benchmarks/update.py).
    """

    def update(updates, state, params=None, **extra):
        count = optax.safe_increment(state.count)
        mu = optax.tree.update_moment(updates, state.mu, beta1, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, beta2, 2)
        state = _select(extra["finite"], optax.ScaleByAdamState(count, mu, nu), state)
        if jax.default_backend() == "cpu":  # elsewhere one pass may make moments and parameters together
            state = jax.lax.optimization_barrier(state)
        mean = optax.tree.bias_correction(state.mu, beta1, count)
        square = optax.tree.bias_correction(state.nu, beta2, count)
        return jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + epsilon), mean, square), state

    return optax.GradientTransformationExtraArgs(optax.scale_by_adam(beta1, beta2, epsilon).init, update)


def _where_finite(transformation: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    def update(updates, state, params=None, **extra):
        directed, new = transformation.update(updates, state, params)
        return directed, _select(extra["finite"], new, state)

    return optax.GradientTransformationExtraArgs(transformation.init, update)


def _select(finite: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda after, before: jnp.where(finite, after, before), new, old)


def _dimensions(tensor: Tensor) -> optax.contrib.MuonDimensionNumbers:
    """Which axes of a stack of matrices are a matrix's two sides; the others (blocks, experts) are a batch."""
    inner = tuple(axis for axis, name in enumerate(tensor.axes) if name not in ("depth", "experts"))
    return optax.contrib.MuonDimensionNumbers(reduction_axis=inner[:1], output_axis=inner[1:])


def _scale(tensor: Tensor, dimensions: optax.contrib.MuonDimensionNumbers) -> float:
    """An orthogonal update moves the outputs by its spectral norm, whatever the width (Bernstein et al. 2024,
    arXiv:2409.20325): sqrt(max(1, out / in)) serves all widths, and the tensor's Adam multiplier is taken back."""
    sides = cast(tuple[tuple[int, ...], tuple[int, ...]], tuple(dimensions))
    first, rest = (math.prod(tensor.shape[axis] for axis in axes) for axes in sides)
    fan_in, fan_out = (first, rest) if tensor.scale > 0 else (max(first, rest), min(first, rest))
    return MUON_RMS * BASE_WIDTH**0.5 * max(1.0, fan_out / fan_in) ** 0.5 / tensor.rate
