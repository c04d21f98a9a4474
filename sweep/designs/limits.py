"""Which runs of a design are left out, and why? Duplicates, D/N bounds, cost of a run, memory, cost of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fitting.errors import InputError
from sweep.spec import RunSpec

SINGULAR = {"are": "is", "have": "has", "cost": "costs", "need": "needs"}


@dataclass(frozen=True)
class Limits:
    """None: no limit."""

    max_run_flops: float | None  # exact training FLOPs of one run
    max_flops: float | None  # of all runs together, each as if it stood alone
    tokens_per_param: tuple[float, float] | None  # D/N, non-embedding


class Room(Protocol):
    """The devices at hand (sweep/room.py)."""

    def fits(self, spec: RunSpec) -> bool: ...

    def require(self, spec: RunSpec) -> None:
        """Raises InputError saying what is needed, what is there, and what would fit."""

    def words(self, spec: RunSpec) -> str:
        """What there is for it."""
        ...


RoomFor = Callable[[int], Room]  # for so many runs: on a CPU, few of them get more devices each


def limited(
    specs: Sequence[RunSpec], limits: Limits, room_for: RoomFor | None = None
) -> tuple[list[RunSpec], list[str]]:
    """What is left, each run once and in order, and a sentence for each reason. Raises InputError where nothing is.

    room_for: the devices at hand; None where nothing is known of them yet.
    """
    kept = list({spec.run_id: spec for spec in specs}.values())
    said = _said([], len(specs) - len(kept), "are the same as others of the design (after rounding): trained once")
    whole = len(kept)
    if limits.tokens_per_param is not None:
        least, most = limits.tokens_per_param
        inside = [spec for spec in kept if least <= _ratio(spec) <= most]
        reason = f"have D/N outside of {least:g} .. {most:g} (design.tokens_per_param): left out"
        kept, said = inside, _said(said, len(kept) - len(inside), reason)
    if limits.max_run_flops is not None:
        inside = [spec for spec in kept if spec.flops <= limits.max_run_flops]
        reason = f"cost more than {limits.max_run_flops:g} FLOPs (design.max_run_flops): left out"
        kept, said = inside, _said(said, len(kept) - len(inside), reason)
    if room_for is not None and kept:
        kept, said = _with_room(kept, said, room_for(len(kept)))
    if limits.max_flops is not None:
        inside = _within(kept, limits.max_flops)
        reason = (
            f"are left out, the dearest first, so that all cost at most {limits.max_flops:g} FLOPs (design.max_flops)"
        )
        kept, said = inside, _said(said, len(kept) - len(inside), reason)
    if not kept:
        raise InputError(f"every run of the design is left out: {'; '.join(said)}. Widen the limits ({whole} runs)")
    return kept, said


def _with_room(kept: list[RunSpec], said: list[str], room: Room) -> tuple[list[RunSpec], list[str]]:
    """Raises InputError, with what would fit, where none does."""
    inside = [spec for spec in kept if room.fits(spec)]
    if not inside:
        room.require(min(kept, key=_size))
    if len(inside) == len(kept):
        return kept, said
    smallest = min((spec for spec in kept if not room.fits(spec)), key=_size)
    reason = (
        f"need more memory than a run has here, {room.words(smallest)} (mesh.memory): left out; the largest that "
        f"fits is N = {_size(max(inside, key=_size)):.3g}"
    )
    return inside, _said(said, len(kept) - len(inside), reason)


def _size(spec: RunSpec) -> int:
    return spec.architecture.count(context=1).non_embedding


def _within(specs: Sequence[RunSpec], most: float) -> list[RunSpec]:
    total, dropped = sum(spec.flops for spec in specs), set()
    for spec in sorted(specs, key=lambda spec: (-spec.flops, spec.run_id)):
        if total <= most:
            break
        total -= spec.flops
        dropped.add(spec.run_id)
    return [spec for spec in specs if spec.run_id not in dropped]


def _ratio(spec: RunSpec) -> float:
    return spec.d_tokens / _size(spec)


def _said(said: list[str], count: int, reason: str) -> list[str]:
    verb, _, rest = reason.partition(" ")
    if not count:
        return said
    return [*said, f"1 run {SINGULAR[verb]} {rest}" if count == 1 else f"{count} runs {reason}"]
