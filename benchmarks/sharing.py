"""What does sharing work save? One trunk for six horizons, and small runs packed into one program. Prints two tables.

python benchmarks/sharing.py trunk      # about 4 minutes on 2 cores
python benchmarks/sharing.py pack       # about 4 minutes; on whatever device JAX finds
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results.record import RunRecord
from results.store import Store

HORIZONS = (2.5e5, 5e5, 1e6, 2e6, 3e6, 4e6)
SIZE = 3e4
PACK_SIZES = (1e4, 3e4, 1e5)
PACKS = (1, 2, 4, 8, 16)
PACK_SECONDS = 3.0


def trunk() -> None:
    """Six horizons of one N: as six runs of their own, one after another, and as branches of one trunk."""
    folder = Path(tempfile.mkdtemp())
    common = [f"model.n={SIZE:g}", "mesh.data=1", "launcher.workers=1"]
    started = time.monotonic()
    for tokens in HORIZONS:
        command("alone", folder, *common, f"data.tokens={tokens:g}")
    alone_seconds = time.monotonic() - started
    started = time.monotonic()
    command("shared", folder, "-m", *common, "data.tokens=" + ",".join(f"{tokens:g}" for tokens in HORIZONS))
    shared_seconds = time.monotonic() - started
    alone, shared = ({r.run_id: r for r in Store(folder / name).records()[0]} for name in ("alone", "shared"))
    print("| D | loss alone | loss as a branch | same bits | FLOPs of the point | FLOPs spent |")
    print("|---|---|---|---|---|---|")
    for record in sorted(shared.values(), key=lambda record: record.d_tokens):
        other = alone[record.run_id]
        print(
            f"| {record.d_tokens:.3g} | {other.loss:.4f} | {record.loss:.4f} | "
            f"{'yes' if other.loss == record.loss else 'NO'} | {record.flops:.3g} | {record.flops_spent:.3g} |"
        )
    points, spent = sum(r.flops for r in shared.values()), sum(r.flops_spent or 0.0 for r in shared.values())
    print(
        f"\nSix points of {points:.3g} FLOPs for {spent:.3g}: {points / spent:.2f}x fewer. Seconds in training steps: "
        f"{training(alone):.0f} alone, {training(shared):.0f} shared ({training(alone) / training(shared):.2f}x); of "
        f"the whole commands {alone_seconds:.0f} and {shared_seconds:.0f}."
    )


def training(records: dict[str, RunRecord]) -> float:
    return sum(record.seconds or 0.0 for record in records.values())


def command(name: str, folder: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "sweep", f"store={folder / name}", *arguments], check=True, stdout=subprocess.DEVNULL
    )


def pack() -> None:
    """Tokens a second of all packed runs together over those of one run, on one device (one core of a CPU)."""
    if not os.environ.get("JAX_PLATFORMS") and not Path("/dev/nvidia0").exists():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import jax

    print(f"{jax.devices()[0].device_kind}, sequences of 64 tokens, 4 a step, vocabulary 1024, float32\n")
    print("| N | one run: tokens/s | " + " | ".join(f"{members} packed" for members in PACKS[1:]) + " |")
    print("|" + "---|" * (len(PACKS) + 1))
    for n in PACK_SIZES:
        speeds = [packed_speed(n, members) for members in PACKS]
        cells = [f"{speed / speeds[0]:.2f}x" for speed in speeds[1:]]
        print(f"| {n:g} | {speeds[0]:,.0f} | " + " | ".join(cells) + " |", flush=True)


def packed_speed(n: float, members: int) -> float:
    """Tokens a second of all members."""
    import numpy as np

    from models import architecture_near
    from sweep.spec import DataSpec, OptimiserSpec, RunSpec, ScheduleSpec
    from sweep.train import STEPS_PER_DISPATCH, program_for

    spec = RunSpec(
        architecture=architecture_near(round(n), 1024),
        data=DataSpec("random", "-", 64, 64, 0),
        optimiser=OptimiserSpec("adamw", 6e-3, 0.9, 0.98, 1e-10, 0.1, 1e6, 0.5, 1.0),
        schedule=ScheduleSpec("wsd", 100, 0.3),
        steps=10**6,
        batch_sequences=4,
        seed=0,
    )
    leading = () if members == 1 else (members,)
    program = program_for(spec, members=None if members == 1 else members)
    state = program.initial_state(0 if members == 1 else np.arange(members))
    tokens = np.random.default_rng(0).integers(0, 1024, (*leading, STEPS_PER_DISPATCH, 4, 65)).astype(np.uint16)
    rates = np.full((*leading, STEPS_PER_DISPATCH), 1e-3, np.float32)
    state, advanced = program.advance(state, tokens, rates, rates, STEPS_PER_DISPATCH)
    np.asarray(advanced.losses)
    started, count = time.monotonic(), 0
    while time.monotonic() - started < PACK_SECONDS:
        state, advanced = program.advance(state, tokens, rates, rates, STEPS_PER_DISPATCH)
        np.asarray(advanced.losses)
        count += 1
    return count * STEPS_PER_DISPATCH * members * 4 * 64 / (time.monotonic() - started)


if __name__ == "__main__":
    chosen = {"trunk": trunk, "pack": pack}.get(sys.argv[1] if len(sys.argv) == 2 else "")
    if chosen is None:
        raise SystemExit("usage: python benchmarks/sharing.py trunk|pack")
    chosen()
