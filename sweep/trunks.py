"""Which runs share their beginning? Runs of several horizons under a warm-up-stable-decay schedule train one trunk."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from sweep.place import Work
from sweep.schedule import decay_steps, learning_rates, warmup_steps, weight_decays
from sweep.spec import RunSpec

BLOCK = 4096  # steps that are compared at once
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
        probed = _Probed(waiting)
        while waiting:
            trunk, *others = waiting
            branches: dict[int, tuple[RunSpec, ...]] = {}
            waiting = []
            alike = probed.alike(trunk, others)
            for spec in others:
                shared = shared_steps(trunk, spec) if spec.run_id in alike else 0
                if LEAST_SHARED * spec.steps <= shared < spec.steps:
                    branches[shared] = (*branches.get(shared, ()), spec)
                else:
                    waiting.append(spec)
            works.append(Work(trunk, tuple(sorted(branches.items()))))
    return works


def shared_steps(one: RunSpec, other: RunSpec) -> int:
    """Steps over which both have the same rates and decays."""
    length = min(one.steps, other.steps)
    for first in range(_plateau(one, other), length, BLOCK):
        at = np.arange(first, min(first + BLOCK, length))
        differs = np.zeros(len(at), bool)
        for values in (learning_rates, weight_decays):
            differs |= values(one, at) != values(other, at)
        if differs.any():
            return first + int(np.argmax(differs))
    return length


def _plateau(one: RunSpec, other: RunSpec) -> int:
    """Steps that need not be compared: under a warm-up-stable-decay schedule, all before the first decay."""
    first, second = (
        (spec.schedule, warmup_steps(spec.schedule, spec.steps), spec.optimiser, spec.batch_tokens)
        for spec in (one, other)
    )
    if first != second or one.schedule.kind != "wsd":
        return 0
    return max(0, min(spec.steps - decay_steps(spec.schedule, spec.steps) for spec in (one, other)))


class _Probed:
    """A family of runs, each looked at in the last step that a trunk would have to share with it: most pairs of a
    cosine's horizons are told apart by that one step."""

    def __init__(self, family: Sequence[RunSpec]):
        at = {spec.run_id: max(0, math.ceil(LEAST_SHARED * spec.steps) - 1) for spec in family}
        self._at = at
        self._own = {spec.run_id: _values(spec, np.asarray([at[spec.run_id]]))[0] for spec in family}

    def alike(self, trunk: RunSpec, others: Sequence[RunSpec]) -> set[str]:
        """run_ids of those that do in that step what the trunk does."""
        if not others:
            return set()
        theirs = np.asarray([self._own[spec.run_id] for spec in others])
        same = (_values(trunk, np.asarray([self._at[spec.run_id] for spec in others])) == theirs).all(axis=1)
        return {spec.run_id for spec, alike in zip(others, same, strict=True) if alike}


def _values(spec: RunSpec, at: np.ndarray) -> np.ndarray:
    """(steps, 2): rates and decays."""
    return np.stack([learning_rates(spec, at), weight_decays(spec, at)], axis=1)


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
