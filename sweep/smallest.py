"""Which is the smallest change of a layout with which a run fits into its devices?"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator

from fitting.errors import InputError
from models import ArchitectureError, architecture_near
from models.decoder import REMATERIALISATIONS
from models.shapes import SMALLEST_N
from sweep.config import MeshWishes
from sweep.layout import Layout
from sweep.memory import predicted_bytes
from sweep.spec import RunSpec
from sweep.train import program_for

MOST_TIMES = 256  # as many devices are looked at where a run does not fit
SIZE_STEPS = 12  # halvings of the range of ln N, to find a model that fits
# Tokens of a micro-batch on one CPU core, so that what a layer leaves is still in its second-level cache when the next
# one reads it (2 MB; benchmarks/micro.py: 1.1x to 1.35x of a step). From 256 to 1024 the gain is much the same.
CACHED_TOKENS = 512


def smallest_layout(
    spec: RunSpec,
    wishes: MeshWishes,
    devices: int,
    memory: float | None,
    backend: str = "cpu",
    members: int | None = None,
) -> Layout:
    """The first that fits into `memory` bytes a device: as asked for and data parallel over as many of the devices as
    divide the batch; with more micro-batches; computing more again (dots, block); with fsdp; with tensor. A CPU starts
    with micro-batches that keep to its caches.

    What was asked for stays; memory None is unknown, and everything fits. members: packed runs. Raises InputError
    where the batch cannot be cut so, where the devices do not suffice, or where nothing fits.
    """
    found = fitting_layout(spec, wishes, devices, memory, backend, members)
    if found is None:
        assert memory is not None  # else the first of the layouts was returned
        raise InputError(_refusal(spec, wishes, devices, memory, backend, members))
    return found


def fitting_layout(
    spec: RunSpec,
    wishes: MeshWishes,
    devices: int,
    memory: float | None,
    backend: str = "cpu",
    members: int | None = None,
) -> Layout | None:
    """The same; None where nothing fits. One look at the runs that need the same: a grid has thousands of them."""
    asked = Layout(wishes.data or 1, wishes.fsdp or 1, wishes.tensor or 1, wishes.accumulation or 1)
    asked = dataclasses.replace(asked, remat=wishes.remat or "none")
    if asked.devices > devices:
        raise InputError(
            f"mesh.data {asked.data} x mesh.fsdp {asked.fsdp} x mesh.tensor {asked.tensor} needs {asked.devices} "
            f"devices; a run gets {devices} here. Choose a smaller mesh, or launcher.workers=1"
        )
    asked.check(spec.batch_sequences)
    return _first_that_fits(_alike(spec), wishes, devices, memory, backend, members)


@functools.lru_cache(4096)
def _first_that_fits(
    spec: RunSpec, wishes: MeshWishes, devices: int, memory: float | None, backend: str, members: int | None
) -> Layout | None:
    for layout in _layouts(spec, wishes, devices, backend, members):
        if memory is None or _needed(spec, layout, backend, members) <= memory:
            return layout
    return None


def _alike(spec: RunSpec) -> RunSpec:
    """Without what costs no memory."""
    data = dataclasses.replace(spec.data, seed=0, eval_tokens=0, unique_tokens=None, curriculum=())
    optimiser = dataclasses.replace(spec.optimiser, learning_rate=0.0, weight_decay=0.0, decay_tokens=0.0)
    return dataclasses.replace(spec, data=data, optimiser=optimiser, steps=1, seed=0)


def _needed(spec: RunSpec, layout: Layout, backend: str, members: int | None) -> float:
    program = program_for(spec, layout, members)
    return predicted_bytes(program, spec.batch_sequences, spec.data.sequence, backend).total


def _layouts(spec: RunSpec, wishes: MeshWishes, devices: int, backend: str, members: int | None) -> Iterator[Layout]:
    """All that the wishes, the batch and the architecture allow, the smallest change first."""
    a, batch, fixed = spec.architecture, spec.batch_sequences, wishes.accumulation or 1
    for tensor in _sizes(wishes.tensor, devices):
        if wishes.tensor is None and (a.groups % tensor or a.mlp_width % tensor):
            continue
        for fsdp in _sizes(wishes.fsdp, devices // tensor):
            free = devices // (tensor * fsdp)
            counts = range(1, free + 1) if wishes.data is None else [wishes.data] * (wishes.data <= free)
            data = max((count for count in counts if batch % (count * fsdp * fixed) == 0), default=None)
            if data is None:
                continue
            own = batch // (data * fsdp)  # sequences of a device
            parts = _sizes(wishes.accumulation, own)
            # Other micro-batches balance experts otherwise, and every one of them gathers what fsdp and tensor cut.
            if wishes.accumulation is None and backend == "cpu" and fsdp == tensor == a.experts == 1:
                tokens = own * spec.data.sequence * (members or 1)
                fastest = min(parts, key=lambda count: abs(math.log(tokens / count / CACHED_TOKENS)))
                parts = tuple(count for count in parts if count >= fastest)
            for remat in REMATERIALISATIONS if wishes.remat is None else (wishes.remat,):
                for accumulation in parts:
                    yield Layout(data, fsdp, tensor, accumulation, remat)


def _sizes(given: int | None, whole: int) -> tuple[int, ...]:
    """What was given, or all divisors."""
    return (given,) if given is not None else _divisors(whole)


@functools.cache
def _divisors(whole: int) -> tuple[int, ...]:
    """Smallest first."""
    small = [size for size in range(1, math.isqrt(whole) + 1) if whole % size == 0]
    return tuple(sorted({*small, *(whole // size for size in small)}))


def _refusal(spec: RunSpec, wishes: MeshWishes, devices: int, memory: float, backend: str, members: int | None) -> str:
    """What is needed, what is there, what would fit."""
    best, needed = _leanest(spec, wishes, devices, backend, members)
    names = [("data", best.data), ("fsdp", best.fsdp), ("tensor", best.tensor), ("accumulation", best.accumulation)]
    how = [f"{devices} device{'s' * (devices > 1)}", *(f"{name} {size}" for name, size in names if size > 1)]
    n = spec.architecture.count(context=1).non_embedding
    return (
        f"a model of {n:.2g} parameters needs {gigabytes(needed)} a device at best ({', '.join(how)}, remat "
        f"{best.remat}); mesh.memory is {gigabytes(memory)}. "
        f"{_remedy(spec, wishes, devices, memory, backend, members)}"
    )


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.3g} GB"


def _leanest(
    spec: RunSpec, wishes: MeshWishes, devices: int, backend: str, members: int | None
) -> tuple[Layout, float]:
    """The layout that needs least, among those that compute most again."""
    layouts = list(_layouts(spec, wishes, devices, backend, members))
    found = [
        (layout, _needed(spec, layout, backend, members)) for layout in layouts if layout.remat == layouts[-1].remat
    ]
    return min(found, key=lambda pair: pair[1])


def _remedy(spec: RunSpec, wishes: MeshWishes, devices: int, memory: float, backend: str, members: int | None) -> str:
    def fits(spec: RunSpec, wishes: MeshWishes, devices: int) -> bool:
        return _leanest(spec, wishes, devices, backend, members)[1] <= memory

    open_ = MeshWishes(None, None, None, None, None, wishes.memory)
    fixed = [f.name for f in dataclasses.fields(wishes) if getattr(wishes, f.name) is not None and f.name != "memory"]
    if fixed and fits(spec, open_, devices):
        return f"It fits where {' '.join(f'mesh.{name}=null' for name in fixed)} leaves the choice"
    times = next((t for t in _divisors(MOST_TIMES)[1:] if fits(spec, wishes, t * devices)), None)
    size = _largest_size(spec, lambda smaller: fits(smaller, wishes, devices))
    more = [f"{times * devices} devices of this size would do"] if times else []
    smaller = [f"model.n up to {size:.1e} fits"] if size else []
    return ", or ".join([*more, *smaller]) or "Lower optimiser.batch_sequences or data.sequence"


def _largest_size(spec: RunSpec, fits: Callable[[RunSpec], bool]) -> float | None:
    """The largest N of this family that fits, by halving the range of ln N; None where not even the smallest does."""
    a = spec.architecture
    sizes = ("width", "depth", "heads", "mlp_width", "vocab_size")
    choices = {f.name: getattr(a, f.name) for f in dataclasses.fields(a) if f.name not in sizes}

    def of_size(n: float) -> RunSpec | None:
        try:
            return dataclasses.replace(spec, architecture=architecture_near(round(n), a.vocab_size, **choices))
        except ArchitectureError:
            return None

    def works(n: float) -> bool:
        smaller = of_size(n)
        return smaller is not None and fits(smaller)

    low, high = math.log(SMALLEST_N), math.log(a.count(context=1).non_embedding)
    if not works(SMALLEST_N):
        return None
    for _ in range(SIZE_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if works(math.exp(middle)) else (low, middle)
    return math.exp(low)
