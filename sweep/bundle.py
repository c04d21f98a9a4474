"""Which works train together in one program?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sweep.launchers.launcher import Job
from sweep.place import Place, Work
from sweep.spec import RunSpec
from sweep.train import Program, program_for

PACKED_UP_TO = 10_000_000  # parameters; above, one run fills an accelerator (assumption, not measured)
PACKED_RUNS = 16  # on an accelerator (assumption, not measured)


def pack_limit(spec: RunSpec, wished: int | None, accelerator: bool) -> int:
    """Runs in one program: as wished; else one on a CPU, where packing gains nothing (docs/speed.md), and several small
    ones on an accelerator."""
    if wished is not None:
        return wished
    small = spec.architecture.count(context=1).non_embedding <= PACKED_UP_TO
    return PACKED_RUNS if accelerator and small else 1


def bundled(
    works: Sequence[Work], place_of: Callable[[RunSpec], Place], limit_of: Callable[[RunSpec], int]
) -> list[Job]:
    """Works are packed, up to their limit, where they share a program and sit on one device."""
    jobs: list[Job] = []
    together: dict[tuple[Program, int], list[Work]] = {}
    for work in works:
        place = place_of(work.spec)
        if limit_of(work.spec) == 1 or place.layout.devices > 1 or work.spec.architecture.experts > 1:
            jobs.append(Job((work,), place))
        else:
            together.setdefault((program_for(work.spec, place.layout), work.spec.batch_tokens), []).append(work)
    for group in together.values():
        group.sort(key=lambda work: -work.spec.steps)  # neighbours end together
        pack = limit_of(group[0].spec)
        jobs += [Job(tuple(group[i : i + pack]), place_of(group[0].spec)) for i in range(0, len(group), pack)]
    return jobs
