"""launcher=k8s: JobSet manifests from the specs of a sweep, against a golden file and the published schemas."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from tiny_runs import byte_corpus, make_spec, place

from fitting.errors import InputError
from sweep.launchers.k8s import KubernetesSettings, job_set, to_yaml
from sweep.launchers.launcher import Job
from sweep.launchers.settings import ClusterSettings, Resources
from sweep.launchers.ticket import Owner, Ticket
from sweep.place import Work

GOLDEN = Path(__file__).parent / "golden" / "jobset"
# JobSet's own fields, from its API reference (jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2). What is inside of a
# replicated job's template is a batch/v1 Job, whose schema Kubernetes publishes.
JOBSET = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "jobset.x-k8s.io/v1alpha2"},
        "kind": {"const": "JobSet"},
        "metadata": {"type": "object", "required": ["name", "namespace"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["replicatedJobs"],
            "properties": {
                "failurePolicy": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"maxRestarts": {"type": "integer", "minimum": 0}},
                },
                "network": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"enableDNSHostnames": {"type": "boolean"}, "subdomain": {"type": "string"}},
                },
                "suspend": {"type": "boolean"},
                "ttlSecondsAfterFinished": {"type": "integer"},
                "replicatedJobs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["name", "template"],
                        "properties": {
                            "name": {"type": "string", "maxLength": 63},
                            "replicas": {"type": "integer", "minimum": 1},
                            "template": {"type": "object", "required": ["spec"]},
                        },
                    },
                },
            },
        },
    },
}
OWN = KubernetesSettings(
    cluster=ClusterSettings(Resources(1, 0, 1, None, None), (), 10.0, False),
    image="registry.example.org/isoflop:1",
    mount="/isoflop",
    claim="isoflop",
    namespace="research",
    queue=None,
    node_selector={},
    tpu=None,
    environment={},
    out="jobs.yaml",
)
CASES = {
    "cpu": (OWN, Resources(1, 0, 4, 16.0, None)),
    "gpus": (
        dataclasses.replace(OWN, queue="lab", node_selector={"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}),
        Resources(2, 8, 96, 800.0, 12.0),
    ),
    "tpu": (
        dataclasses.replace(OWN, tpu=("tpu-v5-lite-podslice", "2x4"), environment={"LIBTPU_INIT_ARGS": "--x=1"}),
        Resources(2, 4, 24, None, 3.5),
    ),
}


@pytest.fixture(scope="module")
def job(text_folder) -> Job:
    corpus = byte_corpus(text_folder)
    return Job((Work(make_spec(corpus)),), place(corpus, "/isoflop/store"))


def manifest(case: str, job: Job) -> dict:
    own, resources = CASES[case]
    ticket = Ticket(
        "0123456789abcdef",
        "k8s",
        (job,),
        resources,
        2,
        30.0,
        seconds=600.0,
        submitted_at=0.0,
        owner=Owner("me", "here", 1),
    )
    return job_set(ticket, Path("/isoflop/store/jobs/0123456789abcdef.json"), own)


@pytest.mark.parametrize("case", CASES)
def test_a_manifest_is_the_golden_one(case, job):
    """To accept a change: read the difference, then write what `to_yaml` gives into tests/golden/jobset."""
    assert to_yaml(manifest(case, job)) == (GOLDEN / f"{case}.yaml").read_text()


@pytest.mark.parametrize("case", CASES)
def test_a_manifest_follows_the_schemas(case, job):
    jsonschema = pytest.importorskip("jsonschema")
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    made = yaml.safe_load(to_yaml(manifest(case, job)))
    jsonschema.validate(made, JOBSET)
    (replicated,) = made["spec"]["replicatedJobs"]
    as_job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **replicated["template"]}
    kubernetes_validate.validate(as_job, "1.33", strict=True)
    as_job["spec"]["template"]["spec"]["containers"][0]["comand"] = []  # the schema would see a slip
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(as_job, "1.33", strict=True)


def test_several_nodes_are_told_where_the_first_one_listens_and_tpus_know(job):
    names = {
        case: {entry["name"]: entry["value"] for entry in _container(manifest(case, job))["env"]} for case in CASES
    }
    name = "isoflop-0123456789abcdef"
    assert names["gpus"] == {"ISOFLOP_COORDINATOR": f"{name}-run-0-0.{name}:8476"}
    assert names["tpu"] == {"LIBTPU_INIT_ARGS": "--x=1"}
    assert _container(manifest("tpu", job))["resources"]["limits"] == {"google.com/tpu": "4"}


def _container(made: dict) -> dict:
    return made["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]


def test_a_store_that_no_pod_can_see_is_refused(tmp_path):
    from results.store import Store
    from sweep.launchers.k8s import make
    from sweep.launchers.settings import LauncherSettings

    settings = LauncherSettings("k8s", None, 1, None, 2, 30.0, 60.0, None, OWN)
    with pytest.raises(InputError, match=r"not under launcher\.mount /isoflop"):
        make(settings, Store(tmp_path), None, 1)
