"""What is to be done, and where: nothing of the place changes what comes out of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from results.record import CHECK
from sweep.layout import Layout
from sweep.spec import RunSpec, spec_from_json


@dataclass(frozen=True)
class Place:
    """Where and how runs are executed; not part of their identity."""

    store: str
    corpus: str  # folder of the prepared corpus
    sweep: str
    role: str  # of its runs in their records
    launcher: str
    checkpoint_seconds: float
    layout: Layout = field(default_factory=Layout)
    processes: int = 1  # that work on it together
    evaluations: int = 1  # of one run: the last at its end, the others at a half, a quarter, … of it
    tasks: tuple[str, ...] = ()  # bundled ones by name, "bundled" for all of them, or JSONL files
    questions: int = 100  # of each bundled task
    evaluation_cost: float = 0.03  # share of a run's FLOPs for its tasks, and for evaluations before its end
    checks: tuple[str, ...] = ()  # run_ids that check the recipe: they share trunks and packs with the other runs

    def role_of(self, run_id: str) -> str:
        return CHECK if run_id in self.checks else self.role


@dataclass(frozen=True)
class Work:
    """One run, and the runs that part from it: at each step, those that go on from its state."""

    spec: RunSpec
    forks: tuple[tuple[int, tuple[RunSpec, ...]], ...] = ()

    @property
    def flops(self) -> float:
        return self.spec.flops


def job_to_json(works: Sequence[Work], place: Place) -> dict[str, Any]:
    """What a worker reads: {"works": […], "place": {…}}."""
    return {"works": [work_to_json(work) for work in works], "place": dataclasses.asdict(place)}


def work_to_json(work: Work) -> dict:
    forks = [[step, [branch.canonical_json for branch in branches]] for step, branches in work.forks]
    return {"spec": work.spec.canonical_json, "forks": forks}


def work_from_json(fields: dict[str, Any]) -> Work:
    forks = tuple((step, tuple(map(spec_from_json, branches))) for step, branches in fields["forks"])
    return Work(spec_from_json(fields["spec"]), forks)


def place_from_json(fields: dict[str, Any]) -> Place:
    rest: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    layout = Layout(**rest.pop("layout"))
    return Place(layout=layout, **rest)
