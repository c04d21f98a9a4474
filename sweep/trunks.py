"""Which runs share their beginning? Runs of several horizons under a warm-up-stable-decay schedule train one trunk."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sweep.place import Work
from sweep.schedule import learning_rates, weight_decays
from sweep.spec import RunSpec

LEAST_SHARED = 0.2  # part of a run that must be shared for a checkpoint to be worth its while (assumption)


def with_trunks(specs: Sequence[RunSpec]) -> list[Work]:
    """Every spec once: as a work of its own, or as a branch of the longest run that does the same up to some step.

    Two runs do the same up to the first step at which their learning rate or weight decay differ, if all else about
    them is equal. A branch starts from the trunk's state at that step, so its result is that of training it alone, bit
    for bit.
    """
    works: list[Work] = []
    families: dict[RunSpec, list[RunSpec]] = {}
    for spec in specs:
        families.setdefault(_timeless(spec), []).append(spec)
    for family in families.values():
        waiting = sorted(family, key=lambda spec: -spec.steps)
        while waiting:
            trunk, *others = waiting
            branches: dict[int, tuple[RunSpec, ...]] = {}
            waiting = []
            for spec in others:
                shared = shared_steps(trunk, spec)
                if LEAST_SHARED * spec.steps <= shared < spec.steps:
                    branches[shared] = (*branches.get(shared, ()), spec)
                else:
                    waiting.append(spec)
            works.append(Work(trunk, tuple(sorted(branches.items()))))
    return works


def shared_steps(one: RunSpec, other: RunSpec) -> int:
    """Steps over which both have the same rates and decays."""
    length = min(one.steps, other.steps)
    differs = np.zeros(length, bool)
    for values in (learning_rates, weight_decays):
        differs |= values(one)[:length] != values(other)[:length]
    return int(np.argmax(differs)) if differs.any() else length


def flops_spent(works: Sequence[Work]) -> float:
    """Exact training FLOPs of all works and their branches, shared steps counted once."""
    return sum(
        work.spec.flops + sum(spec.flops_of(spec.steps - step) for step, specs in work.forks for spec in specs)
        for work in works
    )


def _timeless(spec: RunSpec) -> RunSpec:
    """The spec without its horizon and without what the rates and decays tell step by step."""
    optimiser = dataclasses.replace(
        spec.optimiser, learning_rate=0.0, weight_decay=0.0, decay_tokens=0.0, decay_exponent=0.0
    )
    schedule = dataclasses.replace(spec.schedule, kind="", warmup_steps=0, decay_fraction=0.0)
    return dataclasses.replace(spec, optimiser=optimiser, schedule=schedule, steps=0)
