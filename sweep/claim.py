"""Who trains this run? A file lock that the kernel takes back when its holder dies, however it dies.

Two sweeps over one store share its runs that way: each trains what the other does not. No clock, no heartbeat, no
process number is compared. Where a file system has no locks (some network ones), everybody may train, as if alone:
the record of a run is the same whoever writes it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class Claim:
    """Held until `release` or until the process ends."""

    def __init__(self, file: Path, handle: int | None):
        self._file, self._handle = file, handle

    def release(self) -> None:
        if self._handle is None:
            return
        with contextlib.suppress(OSError):
            self._file.unlink()  # while it is held: who opens it now gets another file
        os.close(self._handle)
        self._handle = None


def claim(folder: Path, run_id: str) -> Claim | None:
    """The right to train this run; None where another process has it. Folders without locks give it to everybody."""
    file = folder / f"{run_id}.lock"
    if fcntl is None:
        return Claim(file, None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return None
            except OSError:
                os.close(handle)
                return Claim(file, None)
            if _same(file, handle):
                return Claim(file, handle)
            os.close(handle)  # its holder let go and removed it in between
    except OSError:  # a full disk: the training itself will say so
        return Claim(file, None)


def _same(file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(handle))
    except FileNotFoundError:
        return False
