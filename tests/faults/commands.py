"""A real small sweep as a command, and what two stores of it differ in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from results.record import RunStatus
from results.store import Store

SETTINGS = ["data.tokenizer=bytes", "data.sequence=16", "data.eval_tokens=2048", "optimiser.batch_sequences=8"]
SETTINGS += ["data.max_epochs=10", "launcher.checkpoint_seconds=0.5", "launcher.restarts=3"]
OUTCOMES = ("loss", "loss_se", "bpb", "train_loss", "last_step", "spikes", "prequential_bits")


def command(texts: Path, store: Path, *arguments: str) -> list[str]:
    """A test run in the background of a shell would hand an ignored SIGINT down."""
    base = [sys.executable, "-m", "sweep", "-m", "data=text", f"data.path={texts}", f"store={store}"]
    return ["env", "--default-signal=INT", *base, *SETTINGS, *arguments]


def run(
    texts: Path, store: Path, *arguments: str, expected: int = 0, environment: Mapping[str, str] | None = None
) -> str:
    """Its output; standard error alone where it is to be refused, which takes one line."""
    done = subprocess.run(
        command(texts, store, *arguments), capture_output=True, text=True, timeout=300, env=environment, check=False
    )
    assert done.returncode == expected, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    if expected:
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.strip().splitlines()) == 1
        return done.stderr
    return done.stdout


def differences(store: Store, whole: Store) -> list[str]:
    """Between a store that was disturbed and one that was not; empty where every bit of every outcome is the same."""
    found = []
    (records, damaged), (expected, _) = store.records(), whole.records()
    found += [f"damaged: {file.path.name}: {file.reason}" for file in damaged]
    mine, theirs = ({record.run_id: record for record in some} for some in (records, expected))
    if len(records) != len(expected) or set(mine) != set(theirs):
        found.append(f"{len(records)} records of {len(expected)} runs")
    for run_id in set(mine) & set(theirs):
        one, other = mine[run_id], theirs[run_id]
        if one.status != RunStatus.DONE:
            found.append(f"{run_id} is {one.status}: {one.sentence}")
        for name in OUTCOMES:
            if getattr(one, name) != getattr(other, name):
                found.append(f"{run_id}: {name} {getattr(one, name)!r} instead of {getattr(other, name)!r}")
        curves = [where.curve(run_id) for where in (store, whole)]
        for name in ("step", "loss", "gradient_norm"):
            if not np.array_equal(curves[0][name], curves[1][name]):
                found.append(f"{run_id}: the curve's {name} differs")
    return found
