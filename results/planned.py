"""What does a sweep mean to train, and how far is it? The plan that it writes as it begins, beside the records."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.record import SETTLED, RunRecord, RunStatus
from results.store import Store, check_name

FOLDER = "plans"
VERSION = 1
HOUR = 3600.0  # seconds
LARGEST = 1e60  # of any number in a plan: sums of them stay finite


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep, in the store already or not."""

    run_id: str
    role: str  # as in its record
    n_params: float  # non-embedding
    d_tokens: float
    flops: float  # exact training FLOPs
    seconds: float  # estimated, busy in one worker

    def __post_init__(self) -> None:
        _check(self)
        check_name("run_id", self.run_id)


@dataclass(frozen=True)
class SweepPlan:
    """All runs of a sweep. The same sweep carried on has the same file, and began anew."""

    sweep: str
    started_at: float  # seconds since 1970 (UTC)
    host: str
    pid: int
    slots: int  # workers at once
    price: float | None  # dollars an hour of one worker
    launcher: str
    runs: tuple[PlannedRun, ...]

    def __post_init__(self) -> None:
        _check(self)
        check_name("sweep", self.sweep)


@dataclass(frozen=True)
class Eta:
    """How far a sweep is. Failed and diverged runs are not waited for; interrupted ones wait."""

    done: int
    running: int
    waiting: int
    failed: int
    flops_done: float
    flops_left: float
    share: float  # of the FLOPs
    seconds: float | None  # until all is done; None: not known yet
    dollars: float | None  # so far, of busy workers; None: no price is known
    dollars_in_all: float | None


def write_plan(store: Store, plan: SweepPlan) -> None:
    ids = "".join(sorted(run.run_id for run in plan.runs))
    name = f"{FOLDER}/{plan.sweep}-{hashlib.sha256(ids.encode()).hexdigest()[:8]}.json"
    store.write_text(name, json.dumps({"version": VERSION, **dataclasses.asdict(plan)}, indent=1) + "\n")


def sweep_plans(store: Store) -> list[SweepPlan]:
    """Oldest first; files that cannot be read, or are not of this version, are left out."""
    found = []
    for entry in store.files.entries(FOLDER):
        if entry.name.endswith(".json"):
            try:
                found.append(plan_of(store.files.read(entry.name)))
            except (OSError, ValueError, TypeError, LookupError, RecursionError):
                continue  # it only tells what is left, and nothing is decided by it
    return sorted(found, key=lambda plan: (plan.started_at, plan.sweep))


def plan_of(text: str | bytes) -> SweepPlan:
    """Raises LookupError, TypeError or ValueError where it is none."""
    fields = json.loads(text)
    if fields.pop("version") != VERSION:
        raise ValueError("another version of this software wrote it")
    runs = {run["run_id"]: PlannedRun(**run) for run in fields.pop("runs")}
    return SweepPlan(**fields, runs=tuple(runs.values()))


def eta(plan: SweepPlan, records: Sequence[RunRecord], now: float, steps: Mapping[str, int] | None = None) -> Eta:
    """`steps`: how many each running run has done, from its curve: its record does not tell before it ends.

    The rate is that of what was trained since the plan began; before there is any, the estimate's.
    """
    by_id = {record.run_id: record for record in records}
    counts = dict.fromkeys(("done", "running", "waiting", "failed"), 0)
    done = left = fresh = busy = 0.0
    began = now  # of the first run since the plan: forecasts may have been sealed before
    for run in plan.runs:
        record = by_id.get(run.run_id)
        group, share = _standing(record, (steps or {}).get(run.run_id, 0))
        counts[group] += 1
        done += share * run.flops
        left += (1 - share) * run.flops if group != "failed" else 0.0
        if record is not None:
            busy += _busy(record, plan, now)
            if record.started_at is not None and record.started_at >= plan.started_at:
                fresh, began = fresh + share * run.flops, min(began, record.started_at)
    planned = sum(run.seconds for run in plan.runs)
    rate = fresh / (now - began) if fresh > 0 and now > began else None
    if rate is None and planned > 0:
        rate = plan.slots * sum(run.flops for run in plan.runs) / planned
    dollars = None if plan.price is None else busy / HOUR * plan.price
    in_all = None
    if plan.price is not None and dollars is not None:
        in_all = dollars * (done + left) / done if done > 0 and dollars > 0 else planned / HOUR * plan.price
    return Eta(
        **counts,
        flops_done=done,
        flops_left=left,
        share=done / (done + left) if done + left > 0 else 1.0,
        seconds=0.0 if left == 0 else left / rate if rate else None,
        dollars=dollars,
        dollars_in_all=in_all,
    )


def _standing(record: RunRecord | None, step: int) -> tuple[str, float]:
    """(group, part of it that is done)."""
    if record is None:
        return "waiting", 0.0
    if record.status == RunStatus.DONE:
        return "done", 1.0
    share = min(max(record.last_step, step) / record.steps, 1.0) if record.steps > 0 else 0.0
    if record.status == RunStatus.RUNNING:
        return "running", share
    failed = record.status in SETTLED or record.status == RunStatus.FAILED  # settled and not done: diverged
    return "failed" if failed else "waiting", share


def _busy(record: RunRecord, plan: SweepPlan, now: float) -> float:
    """Seconds of a worker that the run has had; runs of one program share theirs."""
    if record.status == RunStatus.RUNNING and record.started_at is not None:
        seconds = max(now - max(record.started_at, plan.started_at), 0.0)
    else:
        seconds = sum(part or 0.0 for part in (record.seconds, record.compile_seconds, record.eval_seconds))
    return seconds / max(record.packed, 1)


def _check(part: PlannedRun | SweepPlan) -> None:
    """Every field of its type; numbers within limits. Raises TypeError or ValueError."""
    for name, hint in typing.get_type_hints(type(part)).items():
        kinds, value = typing.get_args(hint) or (hint,), getattr(part, name)
        if name == "runs" or (value is None and type(None) in kinds):
            continue
        if isinstance(value, bool) or not isinstance(value, (float, int) if float in kinds else kinds):
            raise TypeError(f"{name} is {value!r:.60}, not of type {kinds[0].__name__}")
        if not isinstance(value, str) and not 0 <= value <= LARGEST:
            raise ValueError(f"{name} is {value!r:.60}; allowed are numbers from 0 to {LARGEST:g}")
