"""Where do the files of a store lie? In a folder or behind a URL; both list, read, write whole files and delete."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from fitting.errors import InputError


@dataclass(frozen=True, slots=True)
class Entry:
    """One file; `identity` is another one whenever the file was written again."""

    name: str  # from the root: "runs/0123.parquet"
    size: int  # bytes
    modified: float  # seconds since 1970; 0 where the file system does not tell
    identity: Hashable

    @property
    def stem(self) -> str:
        return self.name.rsplit("/", 1)[-1].rsplit(".", 1)[0]


class Files(ABC):
    """Names are relative, with slashes. A file appears whole or not at all; a leading dot says that one is unfinished.
    Whatever goes wrong in reading and writing is an OSError."""

    threads: int  # that read or write at once

    @abstractmethod
    def where(self, name: str) -> str:
        """The full name, for people."""

    @abstractmethod
    def entries(self, folder: str) -> list[Entry]:
        """Finished files that lie directly in a folder, by name; empty where there is none. Raises InputError."""

    @abstractmethod
    def folders(self, folder: str) -> list[str]:
        """Names of the folders that lie directly in a folder."""

    @abstractmethod
    def identity(self, name: str) -> Hashable | None:
        """None where there is no such file."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Replaces what was there."""

    @abstractmethod
    def sync(self) -> None:
        """What was written before is on the disk, not only on its way, when this returns."""

    @abstractmethod
    def write_once(self, name: str, data: bytes) -> bool:
        """False, and nothing written, where there is a file already."""

    @abstractmethod
    def upload(self, source: Path, name: str) -> None:
        """As `write`, for a file that memory cannot hold."""

    @abstractmethod
    def download(self, name: str, target: Path) -> None:
        """Raises FileNotFoundError."""

    @abstractmethod
    def _delete(self, name: str) -> None:
        """Raises FileNotFoundError."""

    def delete(self, name: str, identity: Hashable | None = None) -> bool:
        """Whether it was there and is gone; with an identity, only where nobody wrote it again in the meantime."""
        if identity is not None and self.identity(name) != identity:
            return False
        try:
            self._delete(name)
        except FileNotFoundError:
            return False
        return True


def unlistable(where: str, error: Exception) -> InputError:
    """A folder that is there and cannot be looked into: nobody can say what the store holds."""
    return InputError(f"{where} cannot be listed ({error}); give yourself the right to, or name another store")


def files_at(name: str) -> Files:
    """Of a folder's path or a URL. Raises InputError where no driver knows the URL."""
    folder = local_folder(name)
    if folder is None:
        from results.remote_files import RemoteFiles

        return RemoteFiles(name)
    from results.local_files import LocalFiles

    return LocalFiles(folder)


def local_folder(name: str) -> Path | None:
    """The folder that a path or a file:// URL means; None for other URLs."""
    if name.startswith("file://"):
        return Path(name.removeprefix("file://"))
    return None if "://" in name else Path(name)
