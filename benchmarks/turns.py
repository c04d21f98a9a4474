"""Programs that take turns: how the process starts, and how their ratios are said."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Sequence

from sweep.worker import CPU_FLAGS, CPU_MALLOC


def start_as_worker() -> None:
    """On one core, with the flags and the memory that the launcher gives its workers. Before JAX is imported."""
    if os.environ.get("GLIBC_TUNABLES") != CPU_MALLOC:  # read by the C library when a process starts
        os.environ["GLIBC_TUNABLES"] = CPU_MALLOC
        os.execv(sys.executable, [sys.executable, *sys.argv])
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ.setdefault("XLA_FLAGS", CPU_FLAGS)


def spread(ratios: Sequence[float]) -> str:
    """The median with the smallest and the largest."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
