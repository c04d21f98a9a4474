"""One phase of a sweep through a launcher: where each run is to be executed, and what is shown meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from fitting.errors import InputError
from results.record import RunRecord, RunStatus
from results.store import Store
from sweep.bundle import bundled, pack_limit
from sweep.config import SweepSettings
from sweep.data.corpus import Corpus
from sweep.estimate import estimated_seconds
from sweep.events import Finished
from sweep.flow import Flow
from sweep.launchers.launcher import Job, Launcher
from sweep.launchers.settings import launcher_module
from sweep.layout import Layout
from sweep.place import Place, Work
from sweep.progress import SweepProgress
from sweep.smallest import smallest_layout
from sweep.spec import RunSpec
from sweep.trunks import with_trunks

LOGS_SHOWN = 5  # of failed runs


@dataclass(frozen=True)
class Phase:
    """The runs of a grid, or its target."""

    label: str
    role: str
    missing: list[RunSpec]
    runs: int  # how many it has in all, those in the store too
    checks: frozenset[str] = frozenset()  # run_ids of those that check the recipe, whatever the role of the others


def launcher_for(settings: SweepSettings, store: Store, runs: int) -> Launcher:
    """As many devices a run as the mesh asks for, at least one a process."""
    mesh = settings.mesh
    asked = [size for size in (mesh.data, mesh.fsdp, mesh.tensor) if size is not None]
    processes = settings.launcher.processes
    devices = max(math.prod(asked), processes) if asked or processes > 1 else None
    return launcher_module(settings.launcher.name).make(settings.launcher, store, devices, runs)


def layout_of(spec: RunSpec, settings: SweepSettings, launcher: Launcher) -> Layout:
    """On the devices that the launcher gives a run of this size. Raises InputError where it fits on none."""
    backend = "gpu" if launcher.accelerated else "cpu"
    memory = launcher.device_bytes(spec, settings.mesh.memory)
    return smallest_layout(spec, settings.mesh, launcher.devices_of(spec), memory, backend)


def seconds_of(
    specs: Sequence[RunSpec], records: Sequence[RunRecord], launcher: Launcher, cores: int = 1
) -> list[float]:
    """Estimated, of each run where this launcher executes it."""
    if not launcher.accelerated:
        return estimated_seconds(specs, records, cores)
    found: dict[str, float] = {}
    for devices in {launcher.devices_of(spec) for spec in specs}:
        mine = [spec for spec in specs if launcher.devices_of(spec) == devices]
        estimates = estimated_seconds(mine, records, accelerators=devices)
        found |= dict(zip([spec.run_id for spec in mine], estimates, strict=True))
    return [found[spec.run_id] for spec in specs]


def train(
    console: Console, store: Store, settings: SweepSettings, corpus: Corpus, phase: Phase
) -> dict[str, Finished] | None:
    """Runs what is missing; what became of each. None where the jobs were handed over and nobody waits for them."""
    if not phase.missing:
        return {}
    launcher = launcher_for(settings, store, phase.runs)
    if "://" in store.name and any(launcher.processes_of(spec) > 1 for spec in phase.missing):
        raise InputError(
            f"store {store.name} is behind a URL, where several processes cannot save one run together; give a folder "
            f"that they share, or launcher.processes=1 and launcher.nodes=1"
        )

    checks = tuple(sorted(phase.checks.intersection(spec.run_id for spec in phase.missing)))

    def place_of(spec: RunSpec) -> Place:
        return Place(
            store=store.address,
            corpus=str(corpus.folder.absolute()),
            sweep=settings.name,
            role=phase.role,
            launcher=settings.launcher.name,
            checkpoint_seconds=settings.launcher.checkpoint_seconds,
            layout=layout_of(spec, settings, launcher),
            processes=launcher.processes_of(spec),
            evaluations=settings.evaluations,
            tasks=settings.tasks,
            questions=settings.questions,
            evaluation_cost=settings.evaluation_cost,
            checks=checks,
        )

    def limit_of(spec: RunSpec) -> int:
        return pack_limit(spec, settings.launcher.pack, launcher.accelerated)

    def jobs_of(works: Sequence[Work], place: Place) -> list[Job]:
        return bundled(works, lambda spec: place, limit_of)

    specs = {spec.run_id: spec for spec in phase.missing}
    with SweepProgress(console, specs, phase.label) as display, launcher:
        under_way = launcher.adopt(set(specs))
        if under_way:
            console.print(f"{len(under_way)} of {len(specs)} runs are under way already: they are followed")
        new = bundled(with_trunks([s for s in phase.missing if s.run_id not in under_way]), place_of, limit_of)
        old = bundled([Work(s) for s in phase.missing if s.run_id in under_way], place_of, lambda spec: 1)
        flow = Flow(launcher, new, settings.launcher.restarts, jobs_of, display.update, old)
        if not launcher.follows:
            flow.start()
            console.print(launcher.leave(), highlight=False, markup=False)
            return None
        began = time.monotonic()
        try:
            ended = flow.run()
            took, slots = time.monotonic() - began, min(launcher.slots, len(specs))
            console.print(f"{phase.label}: {len(ended)} runs in {took:.1f} s, {slots} at once", highlight=False)
            _print_logs(console, launcher, ended)
            return ended
        except BaseException as error:
            word = "stopped" if isinstance(error, KeyboardInterrupt) else "ended early"
            if sentence := launcher.leave():
                console.print(f"{word}: {sentence}", highlight=False, markup=False)
            raise


def _print_logs(console: Console, launcher: Launcher, ended: dict[str, Finished]) -> None:
    """Where to read on about the first runs that failed."""
    failed = [event.run_id for event in ended.values() if event.status == RunStatus.FAILED]
    for run_id in failed[:LOGS_SHOWN]:
        for file in launcher.logs(run_id)[-1:]:
            console.print(f"{run_id[:8]}: its log is {file}", highlight=False, markup=False, soft_wrap=True)
