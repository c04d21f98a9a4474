"""What does a launcher cost? One grid of 60 runs of ten seconds through each: same losses, wall minus busy time.

    python benchmarks/launchers.py local slurm ray     # about 6 minutes each on 2 cores; prints a table

busy: from the first record of a run (its process has started and has opened the corpus) to its last. wall: of the whole
phase, from the first job handed over to the last run that ended, starts of processes included. overhead: 1 - busy /
(wall x runs at once). slurm needs one on this machine (tests/slurm_here.py starts one), ray starts its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results.record import RunStatus
from results.store import Store

GRID = ["model.n=3e3,4e3,5e3", "seed=0,1,2,3", "optimiser.learning_rate=1e-3,2e-3,3e-3,4e-3,6e-3", "data.tokens=4e6"]
SETTINGS = ["data.tokenizer=bytes", "data.sequence=16", "data.eval_tokens=2048", "optimiser.batch_sequences=8"]
SETTINGS += ["mesh.data=1", "launcher.workers=2"]
WORKERS, RUNS = 2, 60


def main() -> None:
    folder, losses = Path(tempfile.mkdtemp()), {}
    print("| launcher | runs | phase (s) | busy (s) | overhead | whole command (s) | losses |", flush=True)
    print("|---|---|---|---|---|---|---|", flush=True)
    for launcher in sys.argv[1:] or ["local"]:
        store, began = folder / launcher, time.monotonic()
        command = [sys.executable, "-m", "sweep", "-m", f"launcher={launcher}", f"store={store}", *SETTINGS, *GRID]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        whole = time.monotonic() - began
        found = re.search(rf"grid: {RUNS} runs in ([\d.]+) s", done.stdout)
        assert found is not None, done.stdout
        wall, records = float(found.group(1)), Store(store).records()[0]
        assert [record.status for record in records] == [RunStatus.DONE] * RUNS
        busy = sum((record.finished_at or 0.0) - (record.started_at or 0.0) for record in records)
        losses[launcher] = {record.run_id: record.loss for record in records}
        first = next(iter(losses))
        same = "reference" if launcher == first else "same bits" if losses[launcher] == losses[first] else "DIFFERENT"
        shortest = min((record.finished_at or 0.0) - (record.started_at or 0.0) for record in records)
        print(
            f"| {launcher} | {RUNS} of {shortest:.0f} s and more | {wall:.0f} | {busy:.0f} | "
            f"{1 - busy / (wall * WORKERS):.1%} | {whole:.0f} | {same} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
