"""How does a folder travel through a store? As one tar: object stores have no folders, and no half of one is seen."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from fitting.errors import InputError
from results.files import Files


def put_folder(files: Files, name: str, folder: Path) -> None:
    """Replaces what was stored under this name."""
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "folder.tar"
        with tarfile.open(packed, "w") as tar:
            tar.add(folder, arcname=".")
        files.upload(packed, name)


def get_folder(files: Files, name: str, folder: Path) -> bool:
    """The folder as it was put, in place of what is there now; False, and nothing done, where none was put.

    Raises InputError where what is stored is no whole tar, or holds names that lead out of the folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        packed, fresh, old = (Path(scratch) / part for part in ("folder.tar", "fresh", "old"))
        try:
            files.download(name, packed)
        except FileNotFoundError:
            return False
        try:
            with tarfile.open(packed) as tar:
                tar.extractall(fresh, filter="data")
        except (tarfile.TarError, EOFError) as error:
            raise InputError(
                f"{files.where(name)} is no whole folder ({error}); remove it and store it again"
            ) from None
        if folder.exists():
            os.replace(folder, old)
        try:
            os.replace(fresh, folder)
        except OSError:
            if old.exists() and not folder.exists():
                os.replace(old, folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    return True
