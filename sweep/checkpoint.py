"""What must survive a kill: the training state and where it stands, written by Orbax, read without pickle."""

from __future__ import annotations

import dataclasses
import errno
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from results.store import Store
from sweep.agreement import first_says
from sweep.deaths import cause_of
from sweep.events import Cause
from sweep.train import TrainState

KEPT = 2  # the newest and the one before: a kill in mid-save leaves the older intact


@dataclass(frozen=True)
class Progressed:
    """Where a run stands; saved beside its state."""

    step: int
    seconds: float = 0.0  # in this run's own training steps, the first dispatch of each attempt left out
    timed_steps: int = 0  # steps of those seconds
    trunk: str | None = None  # run whose first steps this run shares
    branch_step: int = 0  # how many of them
    code_nats: float = 0.0  # sum of the losses of all tokens of the first epoch, shared steps included
    code_bytes: float = 0.0  # raw, of these tokens


def checkpoints_of(store: Store, run_id: str) -> Checkpoints:
    """In the store's local folder; behind a URL too, where the store lies there."""
    return Checkpoints(store.checkpoint_folder(run_id), store if "://" in store.name else None)


class Checkpoints:
    """One folder per run. Opened lazily: importing Orbax takes a second that short runs need not pay twice."""

    def __init__(self, folder: Path, away: Store | None = None):
        """away: a store behind a URL, which gets a copy of what is saved, and gives it to whoever goes on."""
        self.folder = folder
        self._away, self._unsent = away, False
        self.damaged: list[str] = []  # a sentence for each step that could not be read
        self._manager: Any = None

    def save(self, progressed: Progressed, state: TrainState) -> None:
        """Copies the state and returns; it is written in the background until the next save or close."""
        import orbax.checkpoint as ocp

        manager = self._open()
        if first_says(progressed.step in manager.all_steps()):
            return
        self._send()
        # On a CPU Orbax would read the very buffers that the next dispatch is given to reuse.
        copied = jax.tree.map(jnp.copy, state) if jax.default_backend() == "cpu" else state
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(copied._asdict()), meta=ocp.args.JsonSave(dataclasses.asdict(progressed))
        )
        manager.save(progressed.step, args=items, force=True)
        self._unsent = True

    def restore(self, like: TrainState) -> tuple[Progressed, TrainState] | None:
        """The latest step that can be read, laid out on devices as `like` is; None where nothing was saved.

        A step that cannot be read (cut short, overwritten) is set aside under a name with a dot, and the one before it
        is taken; `damaged` says so.
        """
        if self._away is not None:
            self._away.get_folder(self._name, self.folder)
        while first_says(self.folder.exists()):
            manager = self._open()
            latest = manager.latest_step()
            step = first_says(-1 if latest is None else latest)
            if step < 0:
                return None
            try:
                return self._read(manager, step, like)
            except Exception as error:  # whatever its readers raise of a damaged one
                if jax.process_count() > 1 or not _is_about_its_content(error):
                    raise  # the other processes may have read their part; or it is whole, and something else is wrong
                self._set_aside(step, error)
        return None

    def _set_aside(self, step: int, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")[:120]
        self.damaged.append(f"checkpoint {step} cannot be read and was set aside ({reason})")
        self.close()
        os.replace(self.folder / str(step), self.folder / f".damaged-{step}-{secrets.token_hex(4)}")

    def _read(self, manager: Any, step: int, like: TrainState) -> tuple[Progressed, TrainState]:
        import orbax.checkpoint as ocp

        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), like._asdict()
        )
        items = ocp.args.Composite(state=ocp.args.StandardRestore(abstract), meta=ocp.args.JsonRestore())
        restored = manager.restore(step, args=items)
        return Progressed(**restored["meta"]), TrainState(**restored["state"])

    def reached(self, step: int) -> bool:
        """Whether this step or a later one was saved, told from names alone: another process may be writing here."""
        names = [entry.name for entry in self.folder.glob("[0-9]*")]
        return bool(first_says(any(name.isdigit() and int(name) >= step for name in names)))

    def close(self) -> None:
        """Waits for what is being written."""
        if self._manager is not None:
            self._send()
            self._manager.close()
            self._manager = None

    def _send(self) -> None:
        """A copy of what was saved last, once it is written."""
        if self._away is not None and self._unsent:
            self._manager.wait_until_finished()
            self._away.put_folder(self._name, self.folder)
        self._unsent = False

    @property
    def _name(self) -> str:
        return f"checkpoints/{self.folder.name}.tar"

    def _open(self) -> Any:
        import orbax.checkpoint as ocp

        if self._manager is None:
            if jax.process_index() == 0:
                for leftover in self.folder.glob("*.orbax-checkpoint-tmp*"):
                    shutil.rmtree(leftover, ignore_errors=True)  # a save that a kill cut short
            options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, create=True)
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        return self._manager


def _is_about_its_content(error: Exception) -> bool:
    """And not about memory, time, rights or the disk under it: then the same file can be read another time."""
    other = (errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENOMEM)
    return cause_of(error) == Cause.RAISED and getattr(error, "errno", None) not in other
