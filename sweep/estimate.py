"""What will the runs cost on this machine? FLOPs are exact; the rate is measured where the store has own runs."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Sequence

import numpy as np

from results.record import RunRecord
from sweep.spec import RunSpec

# Share of a plain matrix product's rate that small models reach in training on a CPU (measured 0.4-0.6 at widths
# 64-128 on one core; assumption elsewhere).
TRAINING_EFFICIENCY = 0.4
# Start of the process, compilation and evaluation of one run, from a cold cache; measured 3-6 s.
OVERHEAD_SECONDS = 4.0
NEAR = 4.0  # runs within this factor of N tell the rate


def estimated_seconds(specs: Sequence[RunSpec], records: Sequence[RunRecord]) -> list[float]:
    """Busy seconds of each run in one worker."""
    host = socket.gethostname()
    known = [
        (record.n_params_flops, record.flops_per_second)
        for record in records
        if record.host == host and record.flops_per_second
    ]
    probe: float | None = None
    seconds = []
    for spec in specs:
        size = spec.architecture.count(spec.data.sequence).flops
        rates = [rate for n, rate in known if n / NEAR <= size <= n * NEAR]
        if rates:
            rate = statistics.median(rates)
        else:
            probe = probe or matmul_rate()
            # Narrow matrices cannot fill the vector units: half the rate at width 48 (measured).
            rate = probe * TRAINING_EFFICIENCY * spec.architecture.width / (spec.architecture.width + 48)
        seconds.append(OVERHEAD_SECONDS + spec.flops / rate)
    return seconds


def matmul_rate() -> float:
    """FLOP/s of one 256 x 256 x 256 float32 product on this process's cores, per core, in 0.1 s."""
    from sweep.launchers.local import available_cores

    a = np.ones((256, 256), np.float32)
    a @ a
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < 0.1:
        a @ a
        count += 1
    return 2 * 256**3 * count / (time.perf_counter() - started) / len(available_cores())
