"""Which runs lie with a cluster? Jobs that a sweep handed over and nobody has seen the end of, from the tickets."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from results.store import Store


@dataclass(frozen=True)
class HandedOver:
    """One job of a cluster. It may be over already: only the command that follows it asks the cluster."""

    launcher: str
    job: str  # what the cluster calls it
    run_ids: tuple[str, ...]
    submitted_at: float  # seconds since 1970 (UTC)


def handed_over(store: Store) -> list[HandedOver]:
    """Oldest first; files that cannot be read, and jobs without a name yet, are left out."""
    found = []
    for file in (store.local / "jobs").glob("[!.]*.json"):
        try:
            fields = json.loads(file.read_text())
            job, runs = fields["job"], tuple(map(str, fields["run_ids"]))
            if job is not None:
                found.append(HandedOver(str(fields["launcher"]), str(job), runs, float(fields["submitted_at"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda one: one.submitted_at)


def handed_over_sentence(jobs: list[HandedOver], settled: set[str]) -> str:
    """Of the runs that are not settled; empty where there are none."""
    open_jobs = [job for job in jobs if set(job.run_ids) - settled]
    if not open_jobs:
        return ""
    runs = len({run_id for job in open_jobs for run_id in job.run_ids} - settled)
    names = ", ".join(sorted({job.launcher for job in open_jobs}))
    minutes = (time.time() - open_jobs[0].submitted_at) / 60
    return (
        f"{runs} run{'s are' if runs > 1 else ' is'} in {len(open_jobs)} job{'s' * (len(open_jobs) > 1)} of {names} "
        f"({', '.join(job.job for job in open_jobs[:5])}{', …' * (len(open_jobs) > 5)}), handed over "
        f"{minutes:.0f} min ago; the command that started them follows them again"
    )
