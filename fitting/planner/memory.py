"""Does it fit? Bytes of training state and activations a chip, and the smallest mesh that holds them.

State: 16 bytes a parameter (bf16 weights and gradients 2 + 2, float32 master, two Adam moments 12; Rajbhandari et al.
2020, arXiv:1910.02054), cut over all chips. Activations of one sequence with full recomputation: 2 s h for every layer
kept, 34 s h for the one being recomputed (Korthikanti et al. 2022, arXiv:2205.05198; attention without its s^2 term,
as flash kernels compute it), cut over t chips by tensor and sequence parallelism. Logits by chunks of LOGIT_CHUNK.
For a run of this software `sweep.memory` has the exact account; this one is for runs that will be trained elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from fitting.chips import Chip
from fitting.planner.shape import Shape

STATE_BYTES = 16.0  # a parameter
WEIGHT_BYTES = 2.0  # a parameter in bf16, as it is served or stored
KEPT_BYTES, WORK_BYTES = 2.0, 34.0  # a token and a column of the width
LOGIT_CHUNK, LOGIT_BYTES = 2048, 6.0  # tokens; bf16 logits and their float32 gradient
USABLE = 0.9  # of a chip's memory; the rest for fragments and communication buffers (assumption)
TENSOR_CUTS = (1, 2, 4, 8)  # chips of one node
LARGEST_MESH = 2**20  # chips


@dataclass(frozen=True)
class Mesh:
    """The fewest chips that hold one sequence each (or 1/tensor of one), and what they hold."""

    chips: int
    tensor: int  # chips that share one sequence
    state: float  # bytes a chip
    activations: float  # bytes a chip, one sequence over `tensor` chips
    serving_chips: int  # that hold the bf16 weights


def smallest_mesh(chip: Chip, n_total: float, shape: Shape | None) -> Mesh | None:
    """A power of two of chips; None where not even LARGEST_MESH of them do. Without a shape: the state alone."""
    room = USABLE * chip.memory
    serving = _power_of_two(WEIGHT_BYTES * n_total / room)
    chips = 1
    while chips <= LARGEST_MESH:
        for tensor in TENSOR_CUTS:
            if tensor > chips:
                continue
            state = STATE_BYTES * n_total / chips
            activations = 0.0 if shape is None else activation_bytes(shape) / tensor
            if state + activations <= room:
                return Mesh(chips, tensor, state, activations, serving)
        chips *= 2
    return None


def activation_bytes(shape: Shape) -> float:
    """Of one sequence on one chip."""
    columns = shape.context * shape.width
    logits = min(LOGIT_CHUNK, shape.context) * shape.vocab_size * LOGIT_BYTES
    return (KEPT_BYTES * shape.depth + WORK_BYTES) * columns + logits


def _power_of_two(ratio: float) -> int:
    size = 1
    while size < ratio:
        size *= 2
    return size
