"""Several runs in one program: who sits in which slot, and how the pack shrinks as runs end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fitting.errors import InputError
from sweep.layout import Layout
from sweep.member import Member
from sweep.train import Advanced, TrainState, pad_dispatch, program_for

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # tokens, rates, decays of the next steps


class Pack:
    """One run without, several with a leading axis. A run that has ended keeps its slot, at rate 0, until half of the
    slots are empty: a smaller pack is another compilation."""

    def __init__(self, members: Sequence[Member], layout: Layout):
        specs = [member.spec for member in members]
        size = len(members) if len(members) > 1 else None
        if size and layout.devices > 1:
            raise InputError(f"{size} packed runs on a mesh of {layout.devices} devices; pack on one device each")
        if jax.process_count() > 1 and layout.devices != jax.device_count():
            raise InputError(
                f"a mesh of {layout.devices} devices, and {jax.process_count()} processes with {jax.device_count()} "
                f"together; choose a mesh that launcher.processes divides"
            )
        self.program = program_for(specs[0], layout, size)
        if any(program_for(spec, layout, size) != self.program for spec in specs[1:]):
            raise InputError("packed runs must share architecture, precision and optimiser settings but the rate")
        layout.check(specs[0].batch_sequences)
        self.members: list[Member] = list(members)
        single = program_for(specs[0], layout)
        states = [member.restore(single.initial_state(member.spec.seed)) for member in members]
        self.state = states[0] if size is None else _stacked(states)
        for member in members:
            member.record = member.record.replace(packed=len(members))

    def slot(self, member: Member) -> int:
        return self.members.index(member)

    def advance(self, batches: Mapping[int, Batch], count: int) -> Advanced:
        """`count` steps of everybody; batches by id of the member."""
        parts = [tuple(map(pad_dispatch, batches[id(m)])) if id(m) in batches else None for m in self.members]
        example = next(part for part in parts if part is not None)
        filled = [part or tuple(np.zeros_like(array) for array in example) for part in parts]
        arrays = (
            filled[0] if self.program.members is None else [np.stack(arrays) for arrays in zip(*filled, strict=True)]
        )
        self.state, advanced = self.program.advance(self.state, *arrays, count)
        return advanced

    def state_of(self, member: Member) -> TrainState:
        if self.program.members is None:
            return self.state
        slot = self.slot(member)
        return jax.tree.map(lambda leaf: leaf[slot], self.state)

    def shrink(self, alive: Sequence[Member]) -> None:
        """Drops the slots of ended runs once they are half of the pack."""
        if self.program.members is None or not alive or 2 * len(alive) > len(self.members):
            return
        states = [self.state_of(member) for member in alive]
        self.members = list(alive)
        self.program = program_for(alive[0].spec, self.program.layout, len(alive) if len(alive) > 1 else None)
        self.state = states[0] if len(states) == 1 else _stacked(states)


def _stacked(states: Sequence[TrainState]) -> TrainState:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
