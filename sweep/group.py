"""One job on several processes of this machine: starts them, hears the first, ends all where one dies."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.record import RunStatus
from results.store import Store
from sweep.deaths import bury, cause_of_death, how_it_ended
from sweep.events import event_to_json
from sweep.place import Place, place_from_json, work_from_json
from sweep.worker import LAUNCHER_GONE

Say = Callable[[dict[str, Any]], None]

STOP_SECONDS = 25.0  # for a checkpoint when asked to stop: less than the launcher's patience with the worker
FOLLOW_SECONDS = 5.0  # for the others to end by themselves, and to say why, when one is gone
LOOK_SECONDS = 0.1  # between two looks at who still lives

_serial = itertools.count(1)


@dataclass
class _Process:
    index: int
    popen: subprocess.Popen[bytes]
    stderr: Path
    code: int | None = None  # None: lives


def execute_in_group(job: dict[str, Any], say: Say, stopped: Callable[[], str | None]) -> None:
    """The job of a worker, spread over place.processes. Where one dies, all end and its runs have failed: another try
    (sweep/flow.py) goes on from their last checkpoint."""
    place = place_from_json(job["place"])
    waiting = [work_from_json(work).spec.run_id for work in job["works"]]

    def tell(message: dict[str, Any]) -> None:
        for kind in ("finished", "elsewhere"):
            if kind in message:
                waiting.remove(message[kind]["run_id"])
        say(message)

    code, sentence = _run(job, place, tell, stopped)
    status, reason, cause = RunStatus.FAILED, stopped(), cause_of_death(code, sentence)
    if reason is not None:
        status, sentence = RunStatus.INTERRUPTED, f"{reason}; {sentence} before it was saved; run it again to go on"
    for run_id in list(waiting):
        tell(event_to_json(bury(Store(place.store), run_id, status, sentence, cause)))


def _run(job: dict[str, Any], place: Place, tell: Say, stopped: Callable[[], str | None]) -> tuple[int, str]:
    """Until all processes are gone; the exit code of the first of them, and how it went."""
    with _started(job, place) as processes, selectors.DefaultSelector() as selector:
        speaker = processes[0].popen.stdout
        assert speaker is not None
        os.set_blocking(speaker.fileno(), False)
        selector.register(speaker, selectors.EVENT_READ)
        unread, asked, deadline, first = b"", False, math.inf, None
        while selector.get_map() or any(process.code is None for process in processes):
            if selector.select(LOOK_SECONDS):
                data = speaker.read()
                if data == b"":
                    selector.unregister(speaker)
                *lines, unread = (unread + (data or b"")).split(b"\n")
                for line in lines:
                    tell(json.loads(line))
            if (reason := stopped()) is not None and not asked:
                asked, deadline = True, min(deadline, time.monotonic() + STOP_SECONDS)
                _signal(processes, signal.SIGHUP if reason == LAUNCHER_GONE else signal.SIGTERM)
            for process in _newly_dead(processes):
                if first is None or first.code == 0:
                    first = process
                    deadline = min(deadline, time.monotonic() + FOLLOW_SECONDS)
            if time.monotonic() > deadline:
                _signal(processes, signal.SIGKILL)
        assert first is not None
        assert first.code is not None
        told = f"process {first.index} of {len(processes)} ended {how_it_ended(first.code, first.stderr)}"
        return first.code, told


def _newly_dead(processes: list[_Process]) -> list[_Process]:
    """Those killed by a signal first: who exits with an error at the same time misses the one that was killed."""
    dead = [process for process in processes if process.code is None and process.popen.poll() is not None]
    for process in dead:
        process.code = process.popen.returncode
    return sorted(dead, key=lambda process: (process.code == 0, process.code))


@contextlib.contextmanager
def _started(job: dict[str, Any], place: Place) -> Generator[list[_Process]]:
    logs, serial = Store(place.store).local / "logs", next(_serial)
    logs.mkdir(parents=True, exist_ok=True)
    coordinator = f"127.0.0.1:{_free_port()}"
    processes: list[_Process] = []
    try:
        for index in range(place.processes):
            stderr = logs / f"process-{os.getpid()}-{serial}-{index}.log"
            command = [sys.executable, "-m", "sweep.process", "--coordinator", coordinator]
            command += ["--processes", str(place.processes), "--index", str(index)]
            with stderr.open("wb") as log:
                popen = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE if index == 0 else subprocess.DEVNULL,
                    stderr=log,
                    env={**os.environ, **share_of_machine(dict(os.environ), _cores(), place, index)},
                )
            processes.append(_Process(index, popen, stderr))
            assert popen.stdin is not None
            with contextlib.suppress(BrokenPipeError), popen.stdin:  # if it is gone already, that is seen later
                popen.stdin.write(json.dumps(job).encode() + b"\n")
        yield processes
    finally:
        for process in processes:
            process.popen.kill()  # nothing where it ended
            process.popen.wait()
            if process.popen.stdout is not None:
                process.popen.stdout.close()
            if process.code == 0:
                process.stderr.unlink(missing_ok=True)


def share_of_machine(environment: dict[str, str], cores: list[int], place: Place, index: int) -> dict[str, str]:
    """What tells process `index` its part of the accelerators and cores that this process may use."""
    share: dict[str, str] = {}
    visible = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    if len(visible) >= place.processes:
        each = len(visible) // place.processes
        share["CUDA_VISIBLE_DEVICES"] = ",".join(visible[index * each : (index + 1) * each])
    if len(cores) >= place.layout.devices:  # devices that share a core wait for each other by spinning: 2x the work
        share["ISOFLOP_CORES"] = ",".join(map(str, cores[index :: place.processes]))
    return share


def _cores() -> list[int]:
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return []


def _free_port() -> int:
    """Free now; whoever takes it before the first process does costs one try."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _signal(processes: list[_Process], number: signal.Signals) -> None:
    for process in processes:
        if process.code is None:
            process.popen.send_signal(number)
