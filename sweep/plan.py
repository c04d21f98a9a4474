"""What does this sweep mean to train? Its runs with their cost, for whoever looks at the store meanwhile."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence

from results.planned import PlannedRun, SweepPlan
from sweep.config import SweepSettings
from sweep.expand import Expanded


def planned(settings: SweepSettings, runs: Expanded, seconds: Sequence[float], slots: int) -> SweepPlan:
    """`seconds`: estimated, of the grid's runs and then the targets."""
    return SweepPlan(
        sweep=settings.name,
        started_at=time.time(),
        host=socket.gethostname(),
        pid=os.getpid(),
        slots=slots,
        price=settings.launcher.price,
        launcher=settings.launcher.name,
        runs=tuple(
            PlannedRun(
                run_id=spec.run_id,
                role=runs.role_of(spec),
                n_params=float(spec.architecture.count(spec.data.sequence).non_embedding),
                d_tokens=float(spec.d_tokens),
                flops=spec.flops,
                seconds=float(estimate),
            )
            for spec, estimate in zip([*runs.specs, *runs.targets], seconds, strict=True)
        ),
    )
