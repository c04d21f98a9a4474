"""Which arrays exist together, on one device, at the moments of a training step that may need most?

The counts follow the residuals of the custom gradients in models/ and the rules of sweep/layout.py. What the compiler
adds is marked "measured": read from XLA's buffer assignments for CPUs, an H200 and a v5p (jaxlib 0.10).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.attention import fused, spans
from models.decoder import unrolled
from models.losses import chunks_of
from models.parametrisation import Tensor, tensors
from sweep.layout import CUT_ALONG, Layout
from sweep.train import Program

FLOAT32, BFLOAT16 = 4, 2  # bytes
# Arrays of (rows, mlp_width) that a block keeps: in a loop over blocks, what the custom gradient names; unrolled, where
# XLA keeps what is computed twice, on CPUs and elsewhere (measured).
MLP_KEPT = {"squared_relu": (2, 2, 2), "gelu": (2, 3, 3), "swiglu": (3, 5, 3)}
# Times that a TPU's loop over blocks takes what a GPU needs for the backward pass of one. Measured, v5p.
TPU_LOOP_WORK = 2.4
# Arrays as large as all matrices, beside gradients and moments, while Muon makes matrices orthogonal. Measured.
MUON_WORK = {"cpu": 2.0, "gpu": 1.1, "tpu": 1.1}


@dataclass(frozen=True)
class Peak:
    """Bytes of the arrays that exist together at one moment, beside the state."""

    gradients: Sequence[float] = ()
    copies: Sequence[float] = ()
    activations: Sequence[float] = ()
    logits: Sequence[float] = ()
    apart: float = 0.0  # of the gradients; what CPUs lay into no freed place

    @property
    def arrays(self) -> list[float]:
        return [*self.gradients, *self.copies, *self.activations, *self.logits]

    @property
    def total(self) -> float:
        return sum(self.arrays) + self.apart


def peaks(program: Program, cut: Mapping[str, float], batch_sequences: int, sequence: int, backend: str) -> list[Peak]:
    """While the logits exist, in the backward pass, after it, and in the update. cut: bytes of each parameter."""
    return _Step(program, cut, batch_sequences, sequence, backend).peaks()


def cut_size(tensor: Tensor, layout: Layout, gathered: bool = False) -> int:
    """Elements of a tensor on one device: Layout.tensor_sharding in numbers. gathered: not cut along fsdp."""
    parts = {"fsdp": 1 if gathered else layout.fsdp, "tensor": layout.tensor}
    size = math.prod(tensor.shape)
    for axis, length in zip(tensor.axes, tensor.shape, strict=True):
        along = CUT_ALONG.get(axis)
        if along in parts and length % parts[along] == 0:
            size //= parts.pop(along)  # each axis of the mesh cuts one axis at most
    return size


table_of = functools.lru_cache(maxsize=256)(tensors)


class _Step:
    """One step in numbers. Sizes of activations are elements of one micro-batch, B sequences of T tokens, on one device
    (of all packed runs); everything else is bytes."""

    def __init__(self, program: Program, cut: Mapping[str, float], batch_sequences: int, sequence: int, backend: str):
        a, layout = program.architecture, program.layout
        self.program, self.a, self.layout, self.backend, self.cpu = program, a, layout, backend, backend == "cpu"
        self.narrow = program.precision == "bfloat16"
        self.bytes = BFLOAT16 if self.narrow and not self.cpu else FLOAT32  # CPUs' products take float32
        self.looped = not unrolled(a.depth, layout.remat, layout.fsdp > 1, backend)
        # Measured: where blocks are unrolled, XLA for CPUs sees the same computed again, and keeps it instead.
        self.remat = layout.remat if self.looped or not self.cpu else "none"
        self._count_parameters(cut)
        self._count_activations(batch_sequences // layout.accumulation, sequence)

    def _count_parameters(self, cut: Mapping[str, float]) -> None:
        table, members = table_of(self.a), self.program.members or 1
        gathered = {name: FLOAT32 * members * cut_size(t, self.layout, gathered=True) for name, t in table.items()}
        self.cut = cut
        self.stacks = [name for name, tensor in table.items() if tensor.axes[0] == "depth"]
        self.matrices = sum(cut[name] for name, tensor in table.items() if tensor.matrix)
        self.block = [gathered[name] / self.a.depth for name in self.stacks]
        self.head = gathered.get("head", gathered["embedding"])

    def _count_activations(self, micro: int, sequence: int) -> None:
        a, tensor = self.a, self.layout.tensor
        groups, mlp, vocabulary = (
            size // tensor if size % tensor == 0 else size for size in (a.groups, a.mlp_width, a.vocab_size)
        )
        rows = (self.program.members or 1) * sequence * micro // self.layout.batch_parts
        self.stream = rows * a.width  # B T D: the residual stream
        self.query = rows * groups * a.queries_per_key * a.head_width  # B T H K
        self.key = rows * groups * a.head_width  # B T G K, of keys as of values
        cut = spans(sequence, self.backend)
        self.earlier = self.key * sum(stop for _, stop in cut[:-1]) / sequence  # B T G K, once more for every span
        met = sum((stop - start) * stop for start, stop in cut) / sequence  # keys, of a query on average
        whole = self.program.separator is None  # not within documents
        self.fused = whole and fused(self.backend, self.narrow, sequence, a.head_width)
        self.weights = 0 if self.fused else rows * met * groups * a.queries_per_key  # B H T T or less
        self.mlp = rows * a.experts_per_token * mlp  # B T F, for all experts that a token meets
        self.routed = rows * a.experts_per_token * a.width if a.experts > 1 else 0
        # The chunks are made of the micro-batch of all devices, unless every one sees its own alone.
        seen = micro // self.layout.batch_parts if self.program.meets_once else micro
        self.chunks = chunks_of(sequence, seen, a.vocab_size, self.backend)
        self.logits = rows * vocabulary // self.chunks

    def peaks(self) -> list[Peak]:
        summed = list(self.cut.values()) if self.layout.accumulation > 1 else []  # gradients of earlier micro-batches
        if self.backend == "tpu" and self.program.meets_once:  # measured: beside their sums over the devices, twice
            summed = 3 * summed
        kept, copies = self._kept(), self._copies()
        stacks = sorted(self.cut[name] * self.bytes / FLOAT32 for name in self.stacks) if self.looped else [0.0]
        # Measured: what gradients are added to, as zeros, exists early; in a loop the largest is laid into no place.
        early = [*summed, *stacks[:-1], self.cut["embedding"]]
        streams = [self.stream * self.bytes] * 2
        # Measured: an accelerator that is alone, or meets others once a step, writes their gradient into their place.
        beside = self.cpu or self.narrow or (self.layout.devices > 1 and not self.program.meets_once)
        logits = [self.logits * FLOAT32, *([self.logits * (FLOAT32 if self.cpu else self.bytes)] if beside else [])]
        cotangents = [self.mlp * self.bytes, self.weights * self.bytes]
        block = [*self._kept_unrolled(), *cotangents, *self.block, *self.block]  # with its weights and their gradient
        if self.backend == "tpu" and self.looped:
            block = [TPU_LOOP_WORK * size for size in block]
        again = self.looped or self.remat != "none"
        return [
            Peak([*early, *self._heads()], copies, [*kept, *streams], logits, stacks[-1]),
            Peak(early, copies, [*kept, *(block if again else cotangents)], (), stacks[-1]),
            Peak([*summed, *self.cut.values()], (), block),
            Peak(list(self.cut.values()), self._muon()),
        ]

    def _kept(self) -> list[float]:
        """For the backward pass, of all blocks."""
        if self.looped:
            return [self.a.depth * size for size in self._kept_in_loop()]
        return (self._kept_unrolled() if self.remat == "none" else self._kept_in_loop()) * self.a.depth

    def _kept_in_loop(self) -> list[float]:
        """Of one block: what the custom gradients name."""
        s, q, k = self.stream, self.query, self.key
        if self.remat == "block":
            sizes = [s]
        elif self.remat == "dots":  # the block's input, and its products but the last
            sizes = [s, s, q + 2 * k, self.mlp * (self.a.mlp_matrices - 1)]
        else:  # both normalised streams; q, k, v, out; the weights; the MLP
            sizes = [s, s, q, k, k, q, self.weights, *[self.mlp] * MLP_KEPT[self.a.mlp][0], self.routed, self.routed]
            sizes += [] if self.fused and self.backend == "gpu" else [q]  # out in another order
            sizes += [q + 2 * k] if self.cpu else []  # q, k, v as they came
        return [self.bytes * size for size in sizes]

    def _kept_unrolled(self) -> list[float]:
        """Of one block where XLA sees all blocks together: the streams and q, k, v before they are normalised; on CPUs
        keys and values of every span, elsewhere the scores beside the weights. Measured."""
        s, q, k, mlp = self.stream, self.query, self.key, [self.mlp] * MLP_KEPT[self.a.mlp][1 if self.cpu else 2]
        if self.narrow and self.cpu:  # what enters a product exists as float32 too
            wide = [s, s, q, q, k, k, self.earlier, self.earlier, self.weights, *mlp[1:]]
            narrow = [s, s, q + k, q, self.weights, self.mlp]
            return [FLOAT32 * size for size in wide] + [BFLOAT16 * size for size in narrow] + self._dense_experts()
        kept = [self.bytes * size for size in (s, s, s, s, q, q, k, k, q + 2 * k, self.weights, *mlp)]
        if not self.cpu:
            return [*kept, FLOAT32 * self.weights]
        return [*kept, *(self.bytes * size for size in (q, q + k, self.earlier, self.earlier)), *self._dense_experts()]

    def _dense_experts(self) -> list[float]:
        """Measured: XLA for CPUs multiplies every token with every expert, and masks; a mask is one byte an element."""
        if not self.cpu or self.a.experts == 1:
            return []
        return [(FLOAT32 + 1) * self.a.experts * size for size in (self.mlp, self.routed)]

    def _copies(self) -> list[float]:
        """Of parameters; measured: where blocks are unrolled, their gathered weights live from forward to backward."""
        narrow = BFLOAT16 / FLOAT32 if self.narrow else 1.0
        if not self.looped:
            cast = self.cpu or self.narrow or self.layout.fsdp > 1
            copies = [size * (1.0 if self.cpu else narrow) for size in self.block] * self.a.depth if cast else []
            if self.cpu and self.narrow and self.layout.accumulation > 1:  # a second order, before all micro-batches
                copies += [*self.block * self.a.depth, *(self.cut[name] for name in self.stacks), self.head]
            return copies
        copies = [self.cut[name] * narrow for name in self.stacks] if self.narrow else []
        if self.remat == "none":  # a loop keeps the weights that it reshapes
            reshaped = ["qkv", *(["mlp_in"] if self.a.mlp_matrices == 3 else [])]
            copies += [self.cut[name] * self.bytes / FLOAT32 for name in reshaped]
        if self.program.members is not None:  # a loop over blocks wants them first, before the packed runs
            copies += [self.cut[name] for name in self.stacks]
        return copies

    def _heads(self) -> list[float]:
        """The head's gradient; gathered, or in another order, once more. Measured."""
        once_more = self.layout.fsdp > 1 or not (self.cpu or self.program.meets_once)
        added_apart = self.cpu and self.chunks > 1 and self.layout.batch_parts > 1 and not self.looped
        return [self.head] * (1 + once_more + added_apart)

    def _muon(self) -> list[float]:
        return [MUON_WORK[self.backend] * self.matrices] if self.program.optimiser.kind == "muon" else []
