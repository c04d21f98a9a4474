"""A process is gone: how did it end, what did it say last, and what becomes of the runs that it held?"""

from __future__ import annotations

import signal
import time
from pathlib import Path

from results.record import SETTLED, RunStatus
from results.store import Store
from sweep.events import Cause, Finished

REFUSED = 3  # exit code of a process that the same job would be refused by again
STDERR_LINES = 3  # of a dead process, kept in the record
NOISE = ("warning", "Error in sys.excepthook", "[Gloo]", "spmd_partitioner")
# What XLA, NumPy, C++ and Slurm say where there is too little memory.
MEMORY_WORDS = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory", "bad_alloc", "MemoryError", "OUT_OF_MEMORY")
OOM_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")  # cgroup v2, v1


def how_it_ended(code: int, stderr: Path) -> str:
    """From the exit code, negative for a signal, and the end of what it wrote to this file."""
    ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"({ended}){last_words(stderr)}"


def cause_of(error: Exception) -> Cause:
    """Of a run whose program raised this."""
    if is_about_memory(f"{type(error).__name__}: {error}"):
        return Cause.MEMORY
    return Cause.STALLED if isinstance(error, TimeoutError) else Cause.RAISED


def cause_of_death(code: int, sentence: str) -> Cause:
    """Of a run of several processes, from the exit code of the first that ended and what was said of it."""
    if code == REFUSED:
        return Cause.RAISED
    return Cause.MEMORY if is_about_memory(sentence) else Cause.DIED


def is_about_memory(sentence: str) -> bool:
    return any(word in sentence for word in MEMORY_WORDS)


def oom_kills() -> int:
    """How often the kernel has killed for memory in this container or job so far; 0 where nobody counts."""
    for file in OOM_COUNTERS:
        try:
            lines = Path(file).read_text().splitlines()
        except OSError:
            continue
        counted = [line.split()[1] for line in lines if line.startswith("oom_kill ")]
        if counted and counted[0].isdigit():
            return int(counted[0])
    return 0


def bury(store: Store, run_id: str, status: RunStatus, sentence: str, cause: Cause = Cause.DIED) -> Finished:
    """What became of a run whose process is gone: its record, if that is settled, else this status."""
    record = store.read(run_id)
    if record is not None and record.status in SETTLED:
        return Finished(run_id, record.status, record.sentence)
    if record is not None:
        try:
            store.write(record.replace(status=status, sentence=sentence[:500], finished_at=time.time(), pid=None))
        except OSError as error:
            sentence += f"; its record cannot be written: {error}"
    return Finished(run_id, status, sentence, cause if status == RunStatus.FAILED else Cause.NONE)


def last_words(file: Path) -> str:
    """The end of what a process wrote to standard error, to be put behind a sentence; empty where it is silent."""
    try:
        lines = [line.strip() for line in file.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    told = [line for line in lines if line.strip("^~") and not any(word in line for word in NOISE)]
    kept = told[-STDERR_LINES:]
    return f"; last words: {' | '.join(kept)}" if kept else ""
