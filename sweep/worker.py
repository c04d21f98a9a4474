"""python -m sweep.worker: executes one job after another, handed over as JSON lines; keeps JAX warm in between.

Standard input: {"works": […], "place": {…}} a line. Standard output, a line each: {"progress": {…}}, {"forked": {…}}
and {"finished": {…}}, the fields of the events of sweep.execute. Whatever else prints goes to standard error. When the
launcher is gone, the runs are checkpointed and the worker ends. A job for several processes goes to sweep.group.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from typing import Any, TextIO

from fitting.cache import use_compile_cache

# LLVM keeps to 256-bit vectors on CPUs with 512-bit ones unless told otherwise: 1.01-1.02x of a training step.
CPU_FLAGS = "--xla_cpu_prefer_vector_width=512"
LAUNCHER_GONE = "the launcher is gone"


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
        self.say({type(event).__name__.lower(): dataclasses.asdict(event)})


def keep_to_own_cores() -> None:
    """Before JAX sizes its thread pools."""
    if cores := os.environ.get("ISOFLOP_CORES"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})


def main() -> None:
    stop = Stop()
    channel = Channel(stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.on_signal)
    keep_to_own_cores()
    use_compile_cache()

    from sweep.execute import execute_together
    from sweep.group import execute_in_group
    from sweep.place import place_from_json, work_from_json

    while stop.reason is None:
        line = sys.stdin.readline()
        if not line:
            break
        job = json.loads(line)
        place = place_from_json(job["place"])
        if place.processes > 1:
            execute_in_group(job, channel.say, stop)
        else:
            works = [work_from_json(work) for work in job["works"]]
            execute_together(works, place, report=channel.report, stopped=stop)


if __name__ == "__main__":
    main()
