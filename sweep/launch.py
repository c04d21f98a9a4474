"""One phase of a sweep through a launcher: trunks first, each branch as soon as its trunk has handed it its state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from results.store import Store
from sweep.bundle import bundled, pack_limit
from sweep.config import SweepSettings
from sweep.data.corpus import Corpus
from sweep.execute import Finished, Forked
from sweep.launchers.local import LocalLauncher
from sweep.memory import device_memory
from sweep.place import Place, Work
from sweep.progress import SweepProgress
from sweep.smallest import smallest_layout
from sweep.spec import RunSpec
from sweep.trunks import with_trunks

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Phase:
    """The runs of a grid, or its target."""

    label: str
    role: str
    missing: list[RunSpec]
    runs: int  # how many it has in all, those in the store too


def launcher_for(settings: SweepSettings, store: Store, runs: int) -> LocalLauncher:
    """As many devices a run as the mesh asks for, at least one a process."""
    mesh = settings.mesh
    asked = [size for size in (mesh.data, mesh.fsdp, mesh.tensor) if size is not None]
    devices = max(math.prod(asked), settings.processes) if asked or settings.processes > 1 else None
    return LocalLauncher(store.path / "logs", settings.workers, devices, runs)


def train(console: Console, store: Store, settings: SweepSettings, corpus: Corpus, phase: Phase) -> int:
    """Runs what is missing; returns how many ended."""
    if not phase.missing:
        return 0
    launcher = launcher_for(settings, store, phase.runs)
    backend = "gpu" if launcher.accelerated else "cpu"
    memory = device_memory(settings.mesh.memory, backend, launcher.slots * launcher.devices)

    def place_of(spec: RunSpec) -> Place:
        return Place(
            store=str(store.path),
            corpus=str(corpus.folder),
            sweep=settings.name,
            role=phase.role,
            launcher="local",
            checkpoint_seconds=settings.checkpoint_seconds,
            layout=smallest_layout(spec, settings.mesh, launcher.devices, memory, backend),
            processes=settings.processes,
            restarts=settings.restarts,
            evaluations=settings.evaluations,
            tasks=settings.tasks,
            questions=settings.questions,
            evaluation_cost=settings.evaluation_cost,
        )

    def submit(works: Sequence[Work]) -> None:
        launcher.submit(bundled(works, place_of, limit_of))

    def limit_of(spec: RunSpec) -> int:
        return pack_limit(spec, settings.pack, launcher.accelerated)

    works = with_trunks(phase.missing)
    # A branch waits until its trunk hands it its state, or has ended without doing so.
    waiting = {spec.run_id: spec for work in works for _, specs in work.forks for spec in specs}
    branches = {work.spec.run_id: [spec.run_id for _, specs in work.forks for spec in specs] for work in works}
    ended: set[str] = set()
    specs = {spec.run_id: spec for spec in phase.missing}
    with SweepProgress(console, specs, phase.label) as display, launcher:
        submit(works)
        while len(ended) < len(specs):
            events = launcher.poll(POLL_SECONDS)
            display.update(events)
            ready = [event.run_id for event in events if isinstance(event, Forked)]
            for event in events:
                if isinstance(event, Finished):
                    ended.add(event.run_id)
                    ready += branches.get(event.run_id, [])
            submit([Work(waiting.pop(run_id)) for run_id in ready if run_id in waiting])
    return len(ended)
