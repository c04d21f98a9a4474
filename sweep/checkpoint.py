"""What must survive a kill: the training state and the seconds spent, written by Orbax, read without pickle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sweep.train import TrainState

KEPT = 2  # the newest and the one before: a kill in mid-save leaves the older intact


class Checkpoints:
    """One folder per run. Opened lazily: importing Orbax takes a second that short runs need not pay twice."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._manager: Any = None

    def save(self, step: int, state: TrainState, seconds: float) -> None:
        """Blocks until step is on disk. The state is copied first: its buffers are donated to the next dispatch."""
        import orbax.checkpoint as ocp

        copied = jax.tree.map(np.array, state)
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(copied._asdict()), meta=ocp.args.JsonSave({"seconds": seconds})
        )
        manager = self._open()
        if step not in manager.all_steps():
            manager.save(step, args=items, force=True)
            manager.wait_until_finished()

    def restore(self, like: TrainState) -> tuple[int, TrainState, float] | None:
        """Latest step, its state and the seconds spent; None where nothing was saved."""
        if not self.folder.exists():
            return None
        import orbax.checkpoint as ocp

        manager = self._open()
        step = manager.latest_step()
        if step is None:
            return None
        abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), like._asdict())
        items = ocp.args.Composite(state=ocp.args.StandardRestore(abstract), meta=ocp.args.JsonRestore())
        restored = manager.restore(step, args=items)
        state = restored["state"]
        return step, TrainState(state["params"], state["moments"]), float(restored["meta"]["seconds"])

    def close(self) -> None:
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    def _open(self) -> Any:
        import orbax.checkpoint as ocp

        if self._manager is None:
            for leftover in self.folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(leftover, ignore_errors=True)  # a save that a kill cut short
            options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, create=True)
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        return self._manager
