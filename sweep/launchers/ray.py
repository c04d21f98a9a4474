"""Ray: a task a ticket, resources by run, on a cluster or on a Ray that is started on this machine."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitting.errors import InputError
from results.store import Store
from sweep.events import Cause
from sweep.launchers.cluster import ClusterLauncher, Ended
from sweep.launchers.local import available_cores
from sweep.launchers.settings import ClusterSettings, LauncherSettings, cluster_settings
from sweep.launchers.ticket import Ticket, tickets_folder
from sweep.reader import Reader

CONNECT_SECONDS = 10.0
OBJECTS = 80 * 10**6  # bytes of Ray's object store on this machine: nothing but paths goes through it


@dataclass(frozen=True)
class RaySettings:
    """Of this launcher alone."""

    cluster: ClusterSettings
    address: str | None
    resources: Mapping[str, float]  # custom ones of one run


def read_settings(read: Reader) -> RaySettings:
    resources = read.mapping("launcher.resources") or {}
    for name, value in resources.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
            raise InputError(
                f"launcher.resources[{name}] is {value!r}; allowed is a number above 0, such as {{TPU: 4}}"
            )
    cluster = cluster_settings(read)
    several = next((tier for _, tier in [(0.0, cluster.base), *cluster.tiers] if tier.nodes > 1), None)
    if several is not None:
        raise InputError(
            f"launcher.nodes is {several.nodes}; allowed with launcher=ray is 1. Choose launcher=slurm or k8s"
        )
    if cluster.detach:
        raise InputError("launcher.detach is true; allowed with launcher=ray is false: its tasks end with the command")
    return RaySettings(cluster, read.optional_text("launcher.address"), resources)


def make(settings: LauncherSettings, store: Store, devices: int | None, runs: int) -> RayLauncher:
    """Raises InputError where Ray is missing."""
    try:
        import ray  # noqa: F401
    except ImportError:
        raise InputError("launcher=ray needs Ray: pip install 'isoflop[ray]'") from None
    return RayLauncher(settings, settings.own, store)


def execute_ticket(file: str) -> None:
    """What a task does, in a process of Ray's."""
    from sweep.launchers.remote import Remote

    Remote(Path(file)).run()


class RayLauncher(ClusterLauncher):
    """Tasks end with the command that started them (Ray owns them so): nothing is left running.

    Their runs are saved then, and the same command goes on from there.
    """

    outlive = False

    def __init__(self, settings: LauncherSettings, own: RaySettings, store: Store):
        super().__init__(settings, own.cluster, store)
        self._own = own
        self._tasks: dict[str, Any] = {}  # by the name of the ticket
        self._over: dict[str, Ended] = {}

    def _hand_over(self, tickets: list[Ticket]) -> list[str]:
        import ray

        self._connect()
        resources = tickets[0].resources
        options: dict[str, Any] = {
            "num_cpus": resources.cores,
            "num_gpus": resources.accelerators,
            "max_retries": 0,  # sweep/flow.py tries again, and says so
        }
        if resources.memory_gb is not None:
            options["memory"] = int(resources.memory_gb * 1e9)
        if self._own.resources:
            options["resources"] = dict(self._own.resources)
        task = ray.remote(execute_ticket).options(**options)
        folder = tickets_folder(self.store).absolute()
        for ticket in tickets:
            self._tasks[ticket.name] = task.remote(str(folder / f"{ticket.name}.json"))
        return [ticket.name for ticket in tickets]

    def _connect(self) -> None:
        """To the cluster that was named, else to one on this machine with as many cores as this process may use."""
        import ray

        if ray.is_initialized():
            return
        address = self._own.address or os.environ.get("RAY_ADDRESS")
        if address:
            _require_listener(address)
        folder = {
            "env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))}
        }
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "runtime_env": folder}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a fork beside JAX's threads: the child becomes another program
                if address:
                    ray.init(address=address, **quiet)
                else:
                    cores = self.settings.workers or len(available_cores())
                    ray.init(num_cpus=cores * self.cluster.base.cores, object_store_memory=OBJECTS, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            line = " ".join(str(error).split())[:200]
            raise InputError(f"no Ray answers at {address or 'this machine'}: {line}; check launcher.address") from None

    def _ended(self, jobs: list[str]) -> dict[str, Ended]:
        """Tasks that raised or whose process died; those of an earlier command ended with it."""
        import ray

        for name in jobs:
            task = self._tasks.get(name)
            if name in self._over or (task is not None and not ray.wait([task], timeout=0)[0]):
                continue
            self._over[name] = _how(task)
        return {name: self._over[name] for name in jobs if name in self._over}

    def _end(self, jobs: list[str]) -> None:
        import ray

        tasks = [self._tasks[name] for name in jobs if name in self._tasks]
        for task in tasks:
            ray.cancel(task)  # a KeyboardInterrupt there: its workers save and stop
        ray.wait(tasks, num_returns=len(tasks), timeout=60)

    def _how_to_start(self) -> str:
        return ""

    def _how_to_end(self, jobs: list[str]) -> str:
        return "ray stop"

    def _job_logs(self, job: str) -> list[Path]:
        return []


def _require_listener(address: str) -> None:
    """Ray itself waits for many minutes. Raises InputError where nobody listens; addresses without a port pass."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray answers at {address}: {error}; check launcher.address") from None


def _how(task: Any) -> Ended:
    import ray
    from ray import exceptions

    if task is None:
        return Ended("ended with the command that started it", Cause.DIED)
    try:
        ray.get(task)
    except exceptions.TaskCancelledError:
        return Ended("was cancelled", Cause.NONE)
    except exceptions.OutOfMemoryError:
        return Ended("was ended by Ray for its memory", Cause.MEMORY)
    except exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return Ended(f"ended: {lines[-1][:200] if lines else type(error).__name__}", Cause.DIED)
    return Ended("ended without finishing its runs", Cause.DIED)
