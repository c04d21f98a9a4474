"""The direction of an update, from optax: AdamW, or Muon for hidden matrices with AdamW for the rest."""

from __future__ import annotations

import math
from typing import cast

import jax
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


def directions(optimiser: OptimiserSpec, architecture: Architecture) -> optax.GradientTransformation:
    """Clipped gradients to directions; rate, decay and their multipliers are applied by the training step."""
    adam = optax.scale_by_adam(optimiser.beta1, optimiser.beta2, optimiser.epsilon)
    clip = optax.clip_by_global_norm(optimiser.clip_norm)
    if optimiser.kind == "adamw":
        return optax.chain(clip, adam)
    if optimiser.kind != "muon":
        raise InputError(f"optimiser.kind is {optimiser.kind!r}; allowed are {', '.join(KINDS)}")
    table = tensors(architecture)
    dimensions = {name: _dimensions(tensor) for name, tensor in table.items() if tensor.matrix}
    labels = {name: "muon" if name in dimensions else "adam" for name in table}
    # optax hands each transformation the whole tree with the others' leaves masked; so must be the dimensions.
    masked = {name: dimensions.get(name, optax.MaskedNode()) for name in table}
    muon = optax.contrib.scale_by_muon(beta=MUON_MOMENTUM, weight_dimension_numbers=masked)
    scales = {name: _scale(table[name], dimensions[name]) for name in dimensions}

    def scale(updates: optax.Updates, params: optax.Params | None = None) -> optax.Updates:
        by_name = cast(dict[str, jax.Array], updates)
        return {name: update * scales.get(name, 1.0) for name, update in by_name.items()}

    return optax.chain(clip, optax.partition({"muon": muon, "adam": adam}, labels), optax.stateless(scale))


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
