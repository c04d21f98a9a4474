"""What is set of a launcher (conf/launcher/): what all share, what clusters share, what one launcher alone knows."""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import sweep.launchers
from fitting.errors import InputError
from results.store import Store
from sweep.launchers.launcher import Launcher
from sweep.reader import Reader
from sweep.spec import RunSpec

LEAST_HOURS = 0.5  # submitit takes a preemption of a job of under 10 minutes for a time-out


@dataclass(frozen=True)
class LauncherSettings:
    """Of every launcher."""

    name: str
    workers: int | None  # jobs at once
    processes: int  # of one run on one node
    pack: int | None  # runs in one program
    restarts: int
    hang_minutes: float
    checkpoint_seconds: float
    price: float | None  # dollars an hour of one worker
    own: Any  # what the launcher's module reads itself


@dataclass(frozen=True)
class Resources:
    """What one run is given on a cluster."""

    nodes: int
    accelerators: int  # of each node
    cores: int  # of each node
    memory_gb: float | None  # of each node; None: what the cluster gives
    hours: float | None  # of a job; None: by the estimate

    @property
    def devices(self) -> int:
        """JAX devices of a run: accelerators, or CPU cores."""
        return self.nodes * (self.accelerators or self.cores)

    def limit_hours(self, seconds: float) -> float:
        """Time limit of a job that is estimated to take so long."""
        return self.hours if self.hours is not None else max(LEAST_HOURS, 3 * seconds / 3600)


@dataclass(frozen=True)
class ClusterSettings:
    """Of every cluster."""

    base: Resources
    tiers: tuple[tuple[float, Resources], ...]  # (smallest N, what it is given), by N
    job_minutes: float
    detach: bool

    def resources_of(self, spec: RunSpec) -> Resources:
        n = spec.architecture.count(context=1).non_embedding
        return next((resources for least, resources in reversed(self.tiers) if n >= least), self.base)


class LauncherModule(Protocol):
    """A module of this package that has these two is a launcher, named as the module is."""

    def read_settings(self, read: Reader) -> Any:
        """What the launcher alone knows. Raises InputError naming the first setting that is wrong."""
        ...

    def make(self, settings: LauncherSettings, store: Store, devices: int | None, runs: int) -> Launcher:
        """For a sweep of so many runs, each on so many devices (None: as many as there are)."""
        ...


def launcher_names() -> list[str]:
    """Modules with a `make`."""
    found = (name for _, name, _ in pkgutil.iter_modules(sweep.launchers.__path__))
    return sorted(name for name in found if hasattr(importlib.import_module(f"sweep.launchers.{name}"), "make"))


def launcher_module(name: str) -> LauncherModule:
    """Raises InputError with the names that exist."""
    if name not in launcher_names():
        raise InputError(f"launcher.name is {name!r}; allowed are {', '.join(launcher_names())}")
    module: Any = importlib.import_module(f"sweep.launchers.{name}")
    return module


def launcher_settings(read: Reader) -> LauncherSettings:
    """Raises InputError naming the first field that is wrong."""
    module = launcher_module(read.text("launcher.name"))
    return LauncherSettings(
        name=read.text("launcher.name"),
        workers=read.optional_whole("launcher.workers", 1, 100_000),
        processes=read.whole("launcher.processes", 1, 4096),
        pack=read.optional_whole("launcher.pack", 1, 4096),
        restarts=read.whole("launcher.restarts", 0, 1000),
        hang_minutes=read.number("launcher.hang_minutes", 0.01, 1e6),
        checkpoint_seconds=read.number("launcher.checkpoint_seconds", 0.0, 1e6),
        price=read.optional_number("launcher.price", 1e-6, 1e6),
        own=module.read_settings(read),
    )


def cluster_settings(read: Reader) -> ClusterSettings:
    """Raises InputError naming the first field that is wrong."""
    base = Resources(
        nodes=read.whole("launcher.nodes", 1, 100_000),
        accelerators=read.whole("launcher.accelerators", 0, 1024),
        cores=read.whole("launcher.cores", 1, 1024),
        memory_gb=read.optional_number("launcher.memory_gb", 0.01, 1e6),
        hours=read.optional_number("launcher.hours", 0.01, 1e5),
    )
    tiers = [
        (_least(least), _tier(base, least, given)) for least, given in (read.mapping("launcher.tiers") or {}).items()
    ]
    return ClusterSettings(
        base,
        tuple(sorted(tiers, key=lambda tier: tier[0])),
        job_minutes=read.number("launcher.job_minutes", 0.0, 1e6),
        detach=read.boolean("launcher.detach"),
    )


def _least(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number > 0:
        raise InputError(f"launcher.tiers has the key {text!r}; allowed are sizes N, such as {{1e8: {{cores: 8}}}}")
    return number


def _tier(base: Resources, least: str, given: Any) -> Resources:
    names = [field.name for field in dataclasses.fields(Resources)]
    if not isinstance(given, Mapping) or not set(given) <= set(names):
        raise InputError(f"launcher.tiers[{least}] is {given!r}; allowed is a mapping with {', '.join(names)}")
    for name, value in given.items():
        lowest = 0 if name == "accelerators" else 1e-2
        whole = name in ("nodes", "accelerators", "cores")
        right = isinstance(value, (int, float)) and not isinstance(value, bool) and lowest <= value <= 1e6
        if not right or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            raise InputError(f"launcher.tiers[{least}].{name} is {value!r}; allowed is {kind} above 0")
    return dataclasses.replace(base, **given)
