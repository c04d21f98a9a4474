"""What will the runs cost on this machine? FLOPs are exact; the rate is measured where the store has own runs."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

import numpy as np

from results.record import RunRecord
from sweep.spec import RunSpec

# Training reaches rate x width / (width + HALF_RATE_WIDTH) of a small matrix product's rate on one core: narrow
# matrices cannot fill the vector units. Measured at widths 16, 32, 64 and 96: 24, 46, 71, 82 of 145 GFLOP/s.
HALF_RATE_WIDTH = 90
CORE_EXPONENT = 0.5  # a run on c cores is c^0.5 as fast as on one; measured for two at width 128 (1.46)
ACCELERATOR_RATE = 5e13  # training FLOP/s of one where no run has told: 5% of an H100's peak; assumption
CPU_RATE = 5e10  # of one core where nothing was measured: 2e10 to 8e10 here
# Start of the process, compilation and evaluation of one run, from a cold cache; measured 1-6 s.
OVERHEAD_SECONDS = 3.0
NEAR = 4.0  # runs within this factor of N tell the rate


def estimated_seconds(
    specs: Sequence[RunSpec], records: Sequence[RunRecord], cores: int = 1, accelerators: int = 0
) -> list[float]:
    """Busy seconds of each run in one worker of this machine that has `cores` cores; or on so many accelerators,
    here or elsewhere: by what runs on accelerators have reached, else by an assumed rate."""
    host = socket.gethostname()
    if accelerators:
        known = [
            (record.n_params_flops, record.flops_per_second * accelerators / record.devices)
            for record in records
            if record.flops_per_second and record.cpu_threads is None
        ]
    else:
        known = [
            (record.n_params_flops, record.flops_per_second)
            for record in records
            if record.host == host and record.flops_per_second and record.cpu_threads in (cores, None)
        ]
    sizes, rates = np.asarray(known, float).reshape(-1, 2).T
    probe: float | None = None
    found: dict[tuple[float, int], float] = {}  # a grid asks for few sizes, each many times
    seconds = []
    for spec in specs:
        size, width = spec.architecture.count(spec.data.sequence).flops, spec.architecture.width
        if (size, width) not in found:
            near = rates[(sizes / NEAR <= size) & (size <= sizes * NEAR)]
            if len(near):
                rate = float(np.median(near))
            elif accelerators:
                rate = accelerators * ACCELERATOR_RATE
            else:
                probe = probe or matmul_rate()
                rate = probe * cores**CORE_EXPONENT * width / (width + HALF_RATE_WIDTH)
            found[size, width] = rate
        seconds.append(OVERHEAD_SECONDS + spec.flops / found[size, width])
    return seconds


def matmul_rate() -> float:
    """FLOP/s of a (128, 64) x (64, 64) float32 product, in 0.1 s: small enough that BLAS keeps to one core."""
    a, b, out = np.ones((128, 64), np.float32), np.ones((64, 64), np.float32), np.empty((128, 64), np.float32)
    np.matmul(a, b, out=out)  # the first product starts the library's threads, which can take as long as the probe
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < 0.1:
        np.matmul(a, b, out=out)
        count += 1
    return 2 * 128 * 64 * 64 * count / (time.perf_counter() - started)
