"""python -m sweep.worker: executes one job after another, handed over as JSON lines; keeps JAX warm in between.

Standard input: {"works": […], "place": {…}} a line. Standard output: the events of sweep/events.py, one a line; what
else prints goes to standard error. When the launcher is gone, the runs are checkpointed and the worker ends. A job for
several processes goes to sweep.group.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, TextIO

from fitting.cache import use_compile_cache

# LLVM keeps to 256-bit vectors on CPUs with 512-bit ones unless told otherwise: 1.01-1.02x of a training step.
CPU_FLAGS = "--xla_cpu_prefer_vector_width=512"
# Every dispatch takes its memory from the system anew. In huge pages (glibc 2.35 and later, where the system grants
# them when asked) a dispatch of one step takes 0.84x of the time, one of eight 0.98x.
CPU_MALLOC = "glibc.malloc.hugetlb=1"
LAUNCHER_GONE = "the launcher is gone"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)  # Slurm warns of a preemption with the last


class Stop:
    """Set by SIGTERM or SIGINT, or when nobody listens any more."""

    reason: str | None = None

    def __call__(self) -> str | None:
        return self.reason

    def on_signal(self, number: int, frame: object) -> None:
        name = signal.Signals(number).name
        self.reason = LAUNCHER_GONE if name == "SIGHUP" else f"interrupted by {name}"


class Channel:
    """Standard output for messages alone: libraries that print must not break the protocol."""

    def __init__(self, stop: Stop):
        self._stop = stop
        self._out: TextIO = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def say(self, message: dict[str, Any]) -> None:
        try:
            self._out.write(json.dumps(message) + "\n")
        except OSError:
            self._stop.reason = self._stop.reason or LAUNCHER_GONE

    def report(self, event: Any) -> None:
        from sweep.events import event_to_json

        self.say(event_to_json(event))


def keep_to_own_cores() -> None:
    """Before JAX sizes its thread pools."""
    if cores := os.environ.get("ISOFLOP_CORES"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})


def main() -> None:
    stop = Stop()
    channel = Channel(stop)
    for number in STOP_SIGNALS:
        signal.signal(number, stop.on_signal)
    keep_to_own_cores()
    use_compile_cache()

    from fitting.errors import InputError
    from results.record import RunStatus
    from results.store import Store
    from sweep.deaths import bury
    from sweep.events import Cause
    from sweep.execute import execute_together
    from sweep.group import execute_in_group
    from sweep.place import place_from_json, work_from_json

    while stop.reason is None:
        line = sys.stdin.readline()
        if not line:
            break
        job = json.loads(line)
        place, works = place_from_json(job["place"]), [work_from_json(work) for work in job["works"]]
        try:
            if place.processes > 1:
                execute_in_group(job, channel.say, stop)
            else:
                execute_together(works, place, report=channel.report, stopped=stop)
        except InputError as error:  # nothing could be begun: the text is gone or has changed
            store = Store(place.store)
            for work in works:
                channel.report(bury(store, work.spec.run_id, RunStatus.FAILED, str(error), Cause.RAISED))


if __name__ == "__main__":
    main()
