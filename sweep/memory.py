"""bytes = parameters + moments + gradients + copies + activations + logits + batch, on one device, when it needs most.

What a training program needs, and what a device has. Nothing is compiled and jax.devices() is not asked, so that a
login node can plan for another machine; benchmarks/memory.py holds the prediction against XLA's own analysis.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fitting.chips import chip_of
from sweep.peaks import FLOAT32, Peak, cut_size, peaks, table_of
from sweep.train import STEPS_PER_DISPATCH, Program

TOKEN = 2  # bytes; token ids are uint16
RESERVE = 0.1  # of a device, for the error of the prediction
HOST_RESERVE = 0.25  # of a host's free memory, for that, compiling, checkpoints and the corpus; assumption
GPU_FRACTION = 0.75  # of a GPU is what JAX takes (docs.jax.dev, GPU memory allocation), unless told otherwise


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one device, at the moment that needs most."""

    parameters: float  # float32
    moments: float  # of the optimiser, float32
    gradients: float  # with those of earlier micro-batches
    copies: float  # of parameters, cast or gathered; on CPUs of Muon's momenta too, less what is laid into their places
    activations: float  # kept for the backward pass, and the work on one block
    logits: float  # of one chunk, and their gradient
    batch: float  # token ids of one dispatch

    @property
    def total(self) -> float:
        return sum(dataclasses.astuple(self))


def predicted_bytes(program: Program, batch_sequences: int, sequence: int, backend: str = "cpu") -> MemoryEstimate:
    """Of one dispatch with batches of so many sequences of so many tokens.

    backend: where it is to run, in JAX's words: cpu, gpu or tpu (assumed to keep what a gpu keeps; not measured).
    """
    layout, members, muon = program.layout, program.members or 1, program.optimiser.kind == "muon"
    table = table_of(program.architecture)
    cut = {name: float(FLOAT32 * members * cut_size(tensor, layout)) for name, tensor in table.items()}
    momenta = [cut[name] for name, tensor in table.items() if muon and tensor.matrix]
    of_adam = [cut[name] for name, tensor in table.items() if not (muon and tensor.matrix)]
    moments = [*momenta, *of_adam, *of_adam]
    found = peaks(program, cut, batch_sequences, sequence, backend)
    # Measured: XLA for CPUs holds Muon's momenta twice, and lays whatever fits into the places that this frees.
    twice = [sum(momenta) - _laid_into(momenta, peak) if backend == "cpu" else 0.0 for peak in found]
    extra, most = max(zip(twice, found, strict=True), key=lambda pair: pair[0] + pair[1].total)
    return MemoryEstimate(
        parameters=sum(cut.values()),
        moments=sum(moments),
        gradients=sum(most.gradients) + most.apart,
        copies=sum(most.copies) + extra,
        activations=sum(most.activations),
        logits=sum(most.logits),
        batch=float(TOKEN * members * STEPS_PER_DISPATCH * (batch_sequences // layout.batch_parts) * (sequence + 1)),
    )


def _laid_into(places: Sequence[float], peak: Peak) -> float:
    """Bytes of the arrays that find a place of at least their size, the largest first."""
    free, found = sorted(places), 0.0
    for size in sorted(peak.arrays, reverse=True):
        at = bisect.bisect_left(free, size)
        if at < len(free):
            del free[at]
            found += size
    return found


def device_memory(given: float | None, backend: str = "cpu", sharers: int = 1) -> float | None:
    """Bytes that a program may plan with on one device: what was given, else what is there less a reserve.

    gpu: the smallest that nvidia-smi names, times the share that JAX takes, less RESERVE. cpu: the memory that is free
    now, over the devices of all workers that share it, less HOST_RESERVE. None where nobody knows.
    """
    if given is not None:
        return given
    if backend == "gpu":
        sizes = [size for row in _nvidia_rows() if (size := _nvidia_bytes(row)) is not None]
        asked = os.environ.get("XLA_CLIENT_MEM_FRACTION") or os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION")
        return min(sizes) * float(asked or GPU_FRACTION) * (1 - RESERVE) if sizes else None
    free = _free_host_bytes() if backend == "cpu" else None
    return None if free is None else free / sharers * (1 - HOST_RESERVE)


@functools.cache
def _nvidia_rows() -> list[str]:
    """ "141559, NVIDIA H200" of each device; asked once, since a sweep looks at every run."""
    command = ["nvidia-smi", "--query-gpu=memory.total,name", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line for line in done.stdout.splitlines() if line.strip()]


def _nvidia_bytes(row: str) -> float | None:
    """Of MiB; where the driver says [N/A], of the chip of this name."""
    size, _, name = row.partition(",")
    if size.strip().isdigit():
        return float(size) * 2**20
    chip = chip_of(name)
    return chip.memory if chip else None


def _free_host_bytes() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return float(found[0][1]) * 1024 if found else None  # kB, as Linux calls 1024 bytes
