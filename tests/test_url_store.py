"""A sweep over a store behind a URL: its records lie there, its checkpoints are carried there, and others go on.

local:// is fsspec's own file system: the way that s3:// and gs:// take, without a server.
"""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest
from faults.commands import differences, run
from faults.kills import Sweep

from results.record import RunStatus
from results.store import Store

GRID = ("model.n=3e3", "data.tokens=4e5,3e6", "mesh.data=1", "launcher.workers=2")


@pytest.mark.slow
def test_a_run_is_finished_on_another_machine_from_its_checkpoint_behind_the_url(text_folder, tmp_path):
    name = f"local://{tmp_path / 'away'}"
    run(text_folder, tmp_path / "whole", *GRID)
    sweep = Sweep(text_folder, tmp_path / "unused", *GRID, f"store={name}")
    store = Store(name)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list((tmp_path / "away" / "checkpoints").glob("*.tar")):
        time.sleep(0.1)
    time.sleep(1.0)
    sweep.process.terminate()
    assert sweep.process.wait(60) == 128 + signal.SIGTERM, sweep.output()
    before = {record.run_id: record for record in store.records()[0]}
    assert RunStatus.INTERRUPTED in {record.status for record in before.values()}
    shutil.rmtree(store.local)  # another machine has nothing of it
    run(text_folder, tmp_path / "unused", *GRID, f"store={name}")
    assert differences(store, Store(tmp_path / "whole")) == []
    interrupted = [run_id for run_id, record in before.items() if record.status == RunStatus.INTERRUPTED]
    for run_id in interrupted:
        curve = store.curve(run_id)
        assert set(curve["attempt"]) == {1.0, 2.0}  # it did not begin anew
    assert not Path(tmp_path / "unused").exists()
    assert "nothing to train" in run(text_folder, tmp_path / "unused", *GRID, f"store={name}")


def test_several_processes_cannot_save_one_run_behind_a_url(text_folder, tmp_path):
    message = run(
        text_folder, tmp_path, "model.n=3e3", "launcher.processes=2", f"store=local://{tmp_path / 'away'}", expected=2
    )
    assert "give a folder that they share" in message
