"""Kills at random moments of a real small sweep; the same command again must end at the bits of an undisturbed one.

    PYTHONPATH=tests python -m faults.kills --kills 200     # about 30 minutes on 2 cores; prints a table

Who is killed: a worker, the launcher, both (kill -9), the launcher by SIGTERM, by Ctrl-C twice. After each round: every
run is done, none is lost or doubled, every loss and every curve equals the undisturbed sweep's bit for bit, nothing of
the store is damaged, and the same command once more trains nothing.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from faults.commands import command, differences

from results.store import Store

KINDS = ("worker", "launcher", "both", "SIGTERM", "SIGINT twice")
KILLS_PER_ROUND = 10
LONGEST_WAIT = 10.0  # seconds from the start of a command, or from the last kill of a worker, to the next kill
ENDS_WITHIN = 60.0  # seconds for a command that was asked to stop
GRID = ("model.n=3e3,6e3", "data.tokens=4e5,1e6", "seed=0,1")
RUNS = 8


@dataclass
class Tally:
    """What was done, and what came of it."""

    kills: collections.Counter[str] = field(default_factory=collections.Counter)
    deck: list[str] = field(default_factory=list)  # kinds that are still to come before all come again
    commands: int = 0
    rounds: int = 0
    attempts: int = 0  # of all runs of all rounds
    wrong: list[str] = field(default_factory=list)


class Sweep:
    """One command under way."""

    def __init__(self, texts: Path, store: Path, *arguments: str):
        self._out = store.with_suffix(".out")
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                command(texts, store, *arguments), stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def workers(self) -> list[int]:
        """Process numbers of its workers, from /proc."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and b"sweep.worker" in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
        return found

    def kill(self, kind: str, chance: random.Random) -> bool:
        """False where there was nobody to kill."""
        workers = self.workers()
        if kind == "worker":
            if not workers:
                return False
            _kill(chance.choice(workers))
            return True
        if kind in ("launcher", "both"):
            self.process.kill()
            for worker in workers if kind == "both" else []:
                _kill(worker)
        elif kind == "SIGTERM":
            self.process.terminate()
        else:
            self.process.send_signal(signal.SIGINT)
            time.sleep(chance.uniform(0.0, 1.5))
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGINT)
        return True

    def output(self) -> str:
        return self._out.read_text(errors="replace")


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_round(texts: Path, store: Path, kills: int, chance: random.Random, tally: Tally) -> None:
    """Until so many kills are done; then the command is run to its end."""
    done = 0
    sweep: Sweep | None = None
    while done < kills:
        if sweep is None or sweep.process.poll() is not None:
            if sweep is not None:
                _look(sweep, tally)
            if sweep is not None and sweep.process.returncode == 0:
                break  # it was faster than the kills: the rest of them goes to the next round
            sweep = Sweep(texts, store, *GRID)
            tally.commands += 1
        time.sleep(chance.uniform(0.0, LONGEST_WAIT))
        if sweep.process.poll() is not None:
            continue
        if not tally.deck:
            tally.deck = chance.sample(KINDS, len(KINDS))
        kind = tally.deck[-1]
        if not sweep.kill(kind, chance):
            continue
        tally.deck.pop()
        done += 1
        tally.kills[kind] += 1
        if kind != "worker":
            _wait(sweep, kind, tally)
            sweep = None
    if sweep is not None:
        sweep.process.wait(600)
        _look(sweep, tally)


def _wait(sweep: Sweep, kind: str, tally: Tally) -> None:
    try:
        sweep.process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        tally.wrong.append(f"the command did not end within {ENDS_WITHIN:.0f} s of {kind}")
        sweep.process.kill()
        sweep.process.wait()
    _look(sweep, tally)


def _look(sweep: Sweep, tally: Tally) -> None:
    """At what a command said that has ended."""
    said = sweep.output()
    if "Traceback" in said:
        tally.wrong.append(f"a traceback: {said[max(0, said.index('Traceback') - 300) :][:2500]}")


def finish(texts: Path, store: Path, tally: Tally) -> None:
    """The same command until it succeeds: a run whose tries were used up in the round gets new ones."""
    for _ in range(5):
        tally.commands += 1
        done = subprocess.run(command(texts, store, *GRID), capture_output=True, text=True, timeout=900, check=False)
        if "Traceback" in done.stdout + done.stderr:
            tally.wrong.append(f"a traceback at the end: {(done.stdout + done.stderr)[-600:]}")
        if done.returncode == 0:
            return
    tally.wrong.append(f"the command does not succeed: {done.stderr[-600:]}")


def kill_sweeps(texts: Path, folder: Path, kills: int, seed: int, say=lambda line: None) -> Tally:
    """Rounds of kills, each on a fresh store, against one undisturbed sweep."""
    tally, chance = Tally(), random.Random(seed)
    whole = folder / "whole"
    subprocess.run(command(texts, whole, *GRID), check=True, stdout=subprocess.DEVNULL, timeout=900)
    started, said = time.monotonic(), 0
    while sum(tally.kills.values()) < kills:
        store = folder / f"round-{tally.rounds}"
        tally.rounds += 1
        kill_round(texts, store, min(KILLS_PER_ROUND, kills - sum(tally.kills.values())), chance, tally)
        finish(texts, store, tally)
        tally.wrong += [f"round {tally.rounds}: {line}" for line in differences(Store(store), Store(whole))]
        attempts = {record.run_id: record.attempt for record in Store(store).records()[0]}
        tally.attempts += sum(attempts.values())
        again = subprocess.run(command(texts, store, *GRID), capture_output=True, text=True, timeout=900, check=False)
        if "nothing to train" not in again.stdout:
            tally.wrong.append(f"round {tally.rounds}: the same command once more trains")
        if {record.run_id: record.attempt for record in Store(store).records()[0]} != attempts:
            tally.wrong.append(f"round {tally.rounds}: the same command once more counts attempts")
        if left := list((store / "claims").glob("*.lock")):
            held = [file for file in left if _held(file)]
            tally.wrong += [f"round {tally.rounds}: {file.name} is still held" for file in held]
        for line in tally.wrong[said:]:
            say(line)
        said = len(tally.wrong)
        count, passed = sum(tally.kills.values()), time.monotonic() - started
        say(f"{count}/{kills} kills, {len(tally.wrong)} wrong, ETA {passed / count * (kills - count) / 60:.0f} min")
    return tally


def _held(file: Path) -> bool:
    import fcntl

    with file.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def table(tally: Tally) -> str:
    lines = ["| killed | how often |", "|---|---|"]
    lines += [f"| {kind} | {tally.kills[kind]} |" for kind in KINDS]
    lines.append(f"| **all** | **{sum(tally.kills.values())}** |")
    runs = tally.rounds * RUNS
    lines.append(
        f"\n{tally.rounds} sweeps of {RUNS} runs, {tally.commands} commands, {tally.attempts} attempts at {runs} runs; "
        f"wrong: {len(tally.wrong)}."
    )
    return "\n".join([*lines, *tally.wrong])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--texts", type=Path, help="folder of text files; default: modules of the standard library")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        texts = asked.texts or standard_texts(Path(folder) / "texts")
        tally = kill_sweeps(texts, Path(folder), asked.kills, asked.seed, lambda line: print(line, flush=True))
    print(table(tally))
    sys.exit(1 if tally.wrong else 0)


def standard_texts(folder: Path) -> Path:
    """As tests/conftest.py has it."""
    import sysconfig

    folder.mkdir()
    modules = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    for module in [module for module in modules if 5_000 < module.stat().st_size < 60_000][:60]:
        (folder / module.name).write_bytes(module.read_bytes())
    return folder


if __name__ == "__main__":
    main()
