"""Kubernetes: a JobSet for every ticket, rendered to a file. Nothing is started: `kubectl apply -f` does that.

A pod executes `python -m sweep.launchers.remote TICKET`, as a Slurm job does. On SIGTERM it saves; JobSet starts it
again, and its runs go on from their checkpoints. Fields: JobSet v1alpha2 (jobset.sigs.k8s.io/docs/reference), batch/v1
Job; TPU node labels and the google.com/tpu resource: cloud.google.com/kubernetes-engine/docs/how-to/tpus.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitting.errors import InputError
from results.store import Store
from sweep.launchers.cluster import ClusterLauncher, Ended
from sweep.launchers.settings import ClusterSettings, LauncherSettings, Resources, cluster_settings
from sweep.launchers.ticket import Ticket, tickets_folder
from sweep.reader import Reader

GRACE_SECONDS = 120  # after SIGTERM, to save
COORDINATOR_PORT = 8476  # JAX's own default
SHARED_MEMORY = "8Gi"  # /dev/shm, which NCCL needs; the runtime's 64 MB are too little; assumption
GPU, TPU = "nvidia.com/gpu", "google.com/tpu"
EVICTED = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class KubernetesSettings:
    """Of this launcher alone."""

    cluster: ClusterSettings
    image: str
    mount: str
    claim: str
    namespace: str
    queue: str | None
    node_selector: Mapping[str, str]
    tpu: tuple[str, str] | None  # accelerator and topology of a slice
    environment: Mapping[str, str]
    out: str


def read_settings(read: Reader) -> KubernetesSettings:
    image = read.optional_text("launcher.image")
    if image is None:
        raise InputError("launcher.image is not set; allowed is a container image with isoflop in it")
    mount = read.text("launcher.mount")
    if not mount.startswith("/"):
        raise InputError(f"launcher.mount is {mount!r}; allowed is an absolute path")
    tpu = read.mapping("launcher.tpu")
    if tpu is not None and set(tpu) != {"accelerator", "topology"}:
        raise InputError(
            f"launcher.tpu is {tpu}; allowed is {{accelerator: tpu-v5-lite-podslice, topology: 2x4}} or null"
        )
    return KubernetesSettings(
        cluster=cluster_settings(read),
        image=image,
        mount=mount.rstrip("/"),
        claim=_name(read, "launcher.claim"),
        namespace=_name(read, "launcher.namespace"),
        queue=None if read.optional_text("launcher.queue") is None else _name(read, "launcher.queue"),
        node_selector={key: str(value) for key, value in (read.mapping("launcher.node_selector") or {}).items()},
        tpu=None if tpu is None else (str(tpu["accelerator"]), str(tpu["topology"])),
        environment={key: str(value) for key, value in (read.mapping("launcher.environment") or {}).items()},
        out=read.text("launcher.out"),
    )


def _name(read: Reader, key: str) -> str:
    name = read.text(key)
    if not _NAME.fullmatch(name):
        raise InputError(f"{key} is {name!r}; allowed are 1 to 63 lower-case letters, digits and '-'")
    return name


def make(settings: LauncherSettings, store: Store, devices: int | None, runs: int) -> KubernetesLauncher:
    """Raises InputError where the store lies where no pod can see it."""
    own: KubernetesSettings = settings.own
    _require_mounted("store", store.address, own.mount, "store=FOLDER")
    return KubernetesLauncher(settings, own, store)


def _require_mounted(what: str, path: str, mount: str, remedy: str) -> None:
    if not Path(path).is_relative_to(mount):
        raise InputError(
            f"the {what} {path} is not under launcher.mount {mount}, where pods look; put it there with {remedy}, "
            f"or name the mount"
        )


class KubernetesLauncher(ClusterLauncher):
    """Writes manifests and lets go."""

    outlive = True
    knows_its_jobs = False

    def __init__(self, settings: LauncherSettings, own: KubernetesSettings, store: Store):
        super().__init__(settings, own.cluster, store)
        self._own = own
        self.follows = False
        self._written: list[str] = []

    def _hand_over(self, tickets: list[Ticket]) -> list[str]:
        for job in (job for ticket in tickets for job in ticket.jobs):
            remedy = "python -m sweep.data prepare … --out FOLDER and data=prepared data.path=FOLDER"
            _require_mounted("corpus", job.place.corpus, self._own.mount, remedy)
        folder = tickets_folder(self.store).absolute()
        made = [job_set(ticket, folder / f"{ticket.name}.json", self._own) for ticket in tickets]
        self._written += [to_yaml(one) for one in made]
        Path(self._own.out).write_text("---\n".join(self._written))
        return [one["metadata"]["name"] for one in made]

    def _ended(self, jobs: list[str]) -> dict[str, Ended]:
        return {}

    def _end(self, jobs: list[str]) -> None:
        """Nothing was started here."""

    def _how_to_start(self) -> str:
        return f"{self._own.out} has {len(self._written)} JobSets: kubectl apply -f {self._own.out}"

    def _how_to_end(self, jobs: list[str]) -> str:
        return f"kubectl delete -f {self._own.out}"

    def _job_logs(self, job: str) -> list[Path]:
        return []


def job_set(ticket: Ticket, file: Path, own: KubernetesSettings) -> dict[str, Any]:
    """One JobSet with one Job: a pod a node, indexed, which JAX joins."""
    name, nodes = f"isoflop-{ticket.name}", ticket.resources.nodes
    metadata: dict[str, Any] = {"name": name, "namespace": own.namespace, "labels": {"app": "isoflop"}}
    if own.queue is not None:
        metadata["labels"]["kueue.x-k8s.io/queue-name"] = own.queue
    job = {
        "parallelism": nodes,
        "completions": nodes,
        "completionMode": "Indexed",
        "backoffLimit": 0,  # a pod that failed starts the whole set again, which restarts counts …
        "podFailurePolicy": {"rules": [EVICTED]},  # … an evicted one does not
        "activeDeadlineSeconds": math.ceil(3600 * ticket.resources.limit_hours(ticket.seconds)),
        "template": {
            "metadata": {"labels": {"app": "isoflop"}},
            "spec": _pod(ticket, file, own, f"{name}-run-0-0.{name}:{COORDINATOR_PORT}"),
        },
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "failurePolicy": {"maxRestarts": ticket.restarts},
            "network": {"enableDNSHostnames": True},
            "replicatedJobs": [{"name": "run", "replicas": 1, "template": {"spec": job}}],
        },
    }


def _pod(ticket: Ticket, file: Path, own: KubernetesSettings, coordinator: str) -> dict[str, Any]:
    resources = ticket.resources
    environment = dict(own.environment)
    if resources.nodes > 1 and own.tpu is None:  # TPU pods know each other already
        environment["ISOFLOP_COORDINATOR"] = coordinator
    selector = dict(own.node_selector)
    if own.tpu is not None:
        accelerator, topology = own.tpu
        selector |= {"cloud.google.com/gke-tpu-accelerator": accelerator, "cloud.google.com/gke-tpu-topology": topology}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [
            {
                "name": "run",
                "image": own.image,
                "command": ["python", "-m", "sweep.launchers.remote", str(file)],
                "env": [{"name": key, "value": value} for key, value in sorted(environment.items())],
                "resources": _resources(resources, own),
                "volumeMounts": [
                    {"name": "isoflop", "mountPath": own.mount},
                    {"name": "shared-memory", "mountPath": "/dev/shm"},
                ],
            }
        ],
        "volumes": [
            {"name": "isoflop", "persistentVolumeClaim": {"claimName": own.claim}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY}},
        ],
    }
    if selector:
        pod["nodeSelector"] = dict(sorted(selector.items()))
    return pod


def _resources(resources: Resources, own: KubernetesSettings) -> dict[str, Any]:
    """Requests and limits are equal where they have to be: accelerators; memory, so that only its own pod is killed."""
    asked: dict[str, str] = {"cpu": str(resources.cores)}
    limits: dict[str, str] = {}
    if resources.memory_gb is not None:
        asked["memory"] = limits["memory"] = f"{math.ceil(resources.memory_gb * 1e9 / 2**20)}Mi"
    if resources.accelerators:
        kind = GPU if own.tpu is None else TPU
        asked[kind] = limits[kind] = str(resources.accelerators)
    return {"requests": asked, "limits": limits} if limits else {"requests": asked}


def to_yaml(manifest: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(manifest), sort_keys=False, width=120)
