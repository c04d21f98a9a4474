"""A process is gone: how did it end, what did it say last, and what becomes of the runs that it held?"""

from __future__ import annotations

import signal
import time
from pathlib import Path

from results.record import SETTLED, RunStatus
from results.store import Store
from sweep.execute import Finished

STDERR_LINES = 3  # of a dead process, kept in the record
NOISE = ("warning", "Error in sys.excepthook", "[Gloo]", "spmd_partitioner")


def how_it_ended(code: int, stderr: Path) -> str:
    """From the exit code, negative for a signal, and the end of what it wrote to this file."""
    ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"({ended}){_last_words(stderr)}"


def bury(store: Store, run_id: str, status: RunStatus, sentence: str) -> Finished:
    """What became of a run whose process is gone: its record, if that is settled, else this status."""
    record = store.read(run_id)
    if record is not None and record.status in SETTLED:
        return Finished(run_id, record.status, record.sentence)
    if record is not None:
        store.write(record.replace(status=status, sentence=sentence[:500], finished_at=time.time(), pid=None))
    return Finished(run_id, status, sentence)


def _last_words(file: Path) -> str:
    try:
        lines = [line.strip() for line in file.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    told = [line for line in lines if line.strip("^~") and not any(word in line for word in NOISE)]
    kept = told[-STDERR_LINES:]
    return f"; last words: {' | '.join(kept)}" if kept else ""
