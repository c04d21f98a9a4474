"""Which runs of a design are left out, and why? Duplicates, D/N bounds, cost of a run, cost of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fitting.errors import InputError
from sweep.spec import RunSpec


@dataclass(frozen=True)
class Limits:
    """None: no limit."""

    max_run_flops: float | None  # exact training FLOPs of one run
    max_flops: float | None  # of all runs together, each as if it stood alone
    tokens_per_param: tuple[float, float] | None  # D/N, non-embedding


def limited(specs: Sequence[RunSpec], limits: Limits) -> tuple[list[RunSpec], list[str]]:
    """What is left, each run once and in order, and a sentence for each reason. Raises InputError where nothing is."""
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
    if limits.max_flops is not None:
        inside = _within(kept, limits.max_flops)
        reason = (
            f"are left out, the dearest first, so that all cost at most {limits.max_flops:g} FLOPs (design.max_flops)"
        )
        kept, said = inside, _said(said, len(kept) - len(inside), reason)
    if not kept:
        raise InputError(f"every run of the design is left out: {'; '.join(said)}. Widen the limits ({whole} runs)")
    return kept, said


def _within(specs: Sequence[RunSpec], most: float) -> list[RunSpec]:
    total, dropped = sum(spec.flops for spec in specs), set()
    for spec in sorted(specs, key=lambda spec: (-spec.flops, spec.run_id)):
        if total <= most:
            break
        total -= spec.flops
        dropped.add(spec.run_id)
    return [spec for spec in specs if spec.run_id not in dropped]


def _ratio(spec: RunSpec) -> float:
    return spec.d_tokens / spec.architecture.count(context=1).non_embedding


def _said(said: list[str], count: int, reason: str) -> list[str]:
    return [*said, f"{count} run{'s' * (count > 1)} {reason}"] if count else said
