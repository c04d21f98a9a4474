"""python -m sweep.worker: executes one job after another, handed over as JSON lines; keeps JAX warm in between.

Standard input: {"spec": canonical JSON, "place": {…}} a line. Standard output: {"progress": {…}} and
{"finished": {"run_id", "status", "sentence"}} a line. Whatever else prints goes to standard error. When the launcher
is gone, the run is checkpointed and the worker ends.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys

from fitting.cache import use_compile_cache


class _Stop:
    """Set by SIGTERM or SIGINT, or when nobody listens any more."""

    reason: str | None = None

    def __call__(self) -> str | None:
        return self.reason

    def on_signal(self, number: int, frame: object) -> None:
        self.reason = f"interrupted by {signal.Signals(number).name}"


def main() -> None:
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries that print must not break the protocol
    stop = _Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.on_signal)
    if cores := os.environ.get("ISOFLOP_CORES"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})  # before JAX sizes its thread pools
    use_compile_cache()

    def say(message: dict) -> None:
        try:
            channel.write(json.dumps(message) + "\n")
        except OSError:
            stop.reason = stop.reason or "the launcher is gone"

    from sweep.execute import Place, execute
    from sweep.spec import spec_from_json

    while stop.reason is None:
        line = sys.stdin.readline()
        if not line:
            break
        job = json.loads(line)
        record = execute(
            spec_from_json(job["spec"]),
            Place(**job["place"]),
            report=lambda progress: say({"progress": dataclasses.asdict(progress)}),
            stopped=stop,
        )
        say({"finished": {"run_id": record.run_id, "status": record.status, "sentence": record.sentence}})


if __name__ == "__main__":
    main()
