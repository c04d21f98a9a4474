"""Slurm, through submitit: arrays of jobs of equal resources, preempted ones saved and requeued."""

from __future__ import annotations

import contextlib
import io
import math
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitting.errors import InputError
from results.store import Store
from sweep.events import Cause
from sweep.launchers.cluster import ClusterLauncher, Ended
from sweep.launchers.remote import Remote
from sweep.launchers.settings import ClusterSettings, LauncherSettings, Resources, cluster_settings
from sweep.launchers.ticket import Ticket, tickets_folder
from sweep.reader import Reader

TIMEOUTS = 100  # of one job, each followed by a requeue; runs go on from their checkpoints
WARNING_SECONDS = 90  # before the end of a job's time, to save
LARGEST_ARRAY = 1000  # Slurm's MaxArraySize is 1001 unless it was set otherwise
ASK_SECONDS = 60.0  # for an answer of squeue
_OVER = {  # state in squeue: why, and whether to try again
    "COMPLETED": Cause.DIED,
    "FAILED": Cause.DIED,
    "NODE_FAIL": Cause.DIED,
    "BOOT_FAIL": Cause.DIED,
    "TIMEOUT": Cause.DIED,
    "DEADLINE": Cause.RAISED,
    "PREEMPTED": Cause.DIED,
    "OUT_OF_MEMORY": Cause.MEMORY,
    "CANCELLED": Cause.NONE,
    "REVOKED": Cause.NONE,
}


_STUCK = (  # reasons that do not pass by themselves
    *("PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "PartitionDown", "PartitionInactive"),
    *("BadConstraints", "JobHeldUser", "JobHeldAdmin", "DependencyNeverSatisfied", "InvalidAccount", "InvalidQOS"),
    *("QOSMaxWallDurationPerJobLimit", "AssocMaxWallDurationPerJobLimit", "ReqNodeNotAvail"),
)


@dataclass(frozen=True)
class SlurmSettings:
    """Of this launcher alone."""

    cluster: ClusterSettings
    sbatch: Mapping[str, Any]  # options of sbatch by their long names
    setup: tuple[str, ...]  # shell lines


def read_settings(read: Reader) -> SlurmSettings:
    sbatch = read.mapping("launcher.sbatch") or {}
    for name, value in sbatch.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or isinstance(value, (dict, list)):
            raise InputError(
                f"launcher.sbatch[{name}] is {value!r}; allowed are options of sbatch by their long names with plain "
                f"values, such as {{partition: low}}"
            )
    return SlurmSettings(cluster_settings(read), sbatch, tuple(line for _, line in read.paths("launcher.setup")))


def make(settings: LauncherSettings, store: Store, devices: int | None, runs: int) -> SlurmLauncher:
    """Raises InputError where submitit is missing; Slurm is asked for when jobs are handed over, not by a dry run."""
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise InputError("launcher=slurm needs submitit: pip install 'isoflop[slurm]'") from None
    return SlurmLauncher(settings, settings.own, store)


def _require_slurm() -> None:
    try:
        subprocess.run(["squeue", "--version"], capture_output=True, timeout=ASK_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        raise InputError(
            "launcher=slurm needs squeue and sbatch on this machine; run this on a login node, or choose launcher=local"
        ) from None


class SlurmTask:
    """What submitit starts on the node. It pickles this object, which holds a path and nothing else."""

    def __init__(self, ticket: str):
        self.ticket = ticket
        self._remote: Remote | None = None

    def __call__(self) -> None:
        self._remote = Remote(Path(self.ticket))
        self._remote.run()

    def checkpoint(self) -> Any:
        """Preempted, or out of time: save, and start again from the queue."""
        import submitit

        if self._remote is not None:
            self._remote.stop()
        return submitit.helpers.DelayedSubmission(SlurmTask(self.ticket))


class SlurmLauncher(ClusterLauncher):
    """Jobs are known by Slurm's own names, such as 12_0."""

    outlive = True

    def __init__(self, settings: LauncherSettings, own: SlurmSettings, store: Store):
        super().__init__(settings, own.cluster, store)
        self._own = own
        self._folder = (store.local / "logs" / "slurm").absolute()

    def _hand_over(self, tickets: list[Ticket]) -> list[str]:
        import submitit
        from submitit.core.utils import FailedJobError

        _require_slurm()
        if len(tickets) > LARGEST_ARRAY:
            return [*self._hand_over(tickets[:LARGEST_ARRAY]), *self._hand_over(tickets[LARGEST_ARRAY:])]
        executor = submitit.AutoExecutor(folder=self._folder, cluster="slurm", slurm_max_num_timeout=TIMEOUTS)
        executor.update_parameters(**self._parameters(tickets))
        folder = tickets_folder(self.store).absolute()
        try:
            with contextlib.redirect_stderr(io.StringIO()), executor.batch():  # what sbatch says is in the error too
                jobs = [executor.submit(SlurmTask(str(folder / f"{ticket.name}.json"))) for ticket in tickets]
            return [job.job_id for job in jobs]
        except FailedJobError as error:
            line = " ".join(str(error).split())[-300:]
            raise InputError(f"Slurm refused the jobs: {line}; correct launcher.sbatch or the resources") from None

    def _parameters(self, tickets: list[Ticket]) -> dict[str, Any]:
        resources: Resources = tickets[0].resources
        minutes = max(resources.limit_hours(ticket.seconds) for ticket in tickets) * 60
        parameters: dict[str, Any] = {
            "name": "isoflop",
            "timeout_min": math.ceil(minutes),
            "nodes": resources.nodes,
            "tasks_per_node": 1,
            "cpus_per_task": resources.cores,
            "slurm_additional_parameters": {"requeue": True, **self._own.sbatch},
            "slurm_array_parallelism": self.settings.workers or len(tickets),
            "slurm_signal_delay_s": WARNING_SECONDS,
        }
        if resources.accelerators:
            parameters["slurm_gpus_per_node"] = resources.accelerators
        if resources.memory_gb is not None:
            parameters["mem_gb"] = resources.memory_gb
        if self._own.setup:
            parameters["slurm_setup"] = list(self._own.setup)
        return parameters

    def _ended(self, jobs: list[str]) -> dict[str, Ended]:
        """What squeue no longer lists, or lists as over."""
        states = self._states()
        if states is None:
            return {}
        found = {}
        for job in jobs:
            state, _, reason = states.get(job, "").partition(" ")
            if not state:
                found[job] = Ended("is gone from the queue", Cause.DIED)
            elif state in _OVER:
                found[job] = Ended(f"ended as {state}", _OVER[state])
            elif reason in _STUCK or state in ("REQUEUE_HOLD", "SPECIAL_EXIT"):
                self.stuck[job] = f"{state} for {reason}"
        return found

    def _states(self) -> dict[str, str] | None:
        """ "STATE reason" of all jobs that Slurm remembers; None where it does not answer."""
        command = ["squeue", "--array", "--noheader", "--states=all", "--format=%i %T %r"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if len(line.split()) > 1)

    def _end(self, jobs: list[str]) -> None:
        subprocess.run(["scancel", *jobs], capture_output=True, timeout=ASK_SECONDS, check=False)

    def _how_to_start(self) -> str:
        return ""

    def _how_to_end(self, jobs: list[str]) -> str:
        return shlex.join(["scancel", *dict.fromkeys(job.split("_")[0] for job in jobs)])

    def _job_logs(self, job: str) -> list[Path]:
        return sorted(self._folder.glob(f"{job}_*_log.err"))
