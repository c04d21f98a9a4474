"""Files of a store that is a folder: a temporary name, then a rename or a link."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Generator, Hashable
from pathlib import Path

from results.files import Entry, Files, unlistable


class LocalFiles(Files):
    """A folder. A temporary file whose name starts with a dot is renamed: every file has one writer, nobody locks."""

    threads = 2  # parsing a footer leaves Python's lock free, the rest does not: more take longer

    def __init__(self, root: Path):
        self.root = root

    def where(self, name: str) -> str:
        return str(self.root / name)

    def entries(self, folder: str) -> list[Entry]:
        found = []
        for one in self._listed(folder):
            with contextlib.suppress(FileNotFoundError):  # gone between the listing and here
                if one.is_file():
                    stat = one.stat()
                    identity = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                    found.append(Entry(f"{folder}/{one.name}", stat.st_size, stat.st_mtime, identity))
        return sorted(found, key=lambda entry: entry.name)

    def folders(self, folder: str) -> list[str]:
        return sorted(one.name for one in self._listed(folder) if one.is_dir())

    def _listed(self, folder: str) -> list[os.DirEntry]:
        try:
            with os.scandir(self.root / folder) as listed:
                return [one for one in listed if not one.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise unlistable(self.where(folder), error) from None

    def identity(self, name: str) -> Hashable | None:
        try:
            stat = (self.root / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        with self._temporary(name) as temporary:
            temporary.write_bytes(data)
            os.replace(temporary, self.root / name)

    def sync(self) -> None:
        os.sync()

    def write_once(self, name: str, data: bytes) -> bool:
        with self._temporary(name) as temporary:
            temporary.write_bytes(data)
            try:
                os.link(temporary, self.root / name)  # unlike rename, never replaces
            except FileExistsError:
                return False
        return True

    def upload(self, source: Path, name: str) -> None:
        with self._temporary(name) as temporary:
            shutil.copyfile(source, temporary)
            os.replace(temporary, self.root / name)

    def download(self, name: str, target: Path) -> None:
        shutil.copyfile(self.root / name, target)

    def _delete(self, name: str) -> None:
        file = self.root / name
        file.unlink()
        if file.parent.parent != self.root:  # a run's own folder goes with its last file, as in an object store
            with contextlib.suppress(OSError):
                file.parent.rmdir()

    @contextlib.contextmanager
    def _temporary(self, name: str) -> Generator[Path]:
        """A file beside the final one."""
        file = self.root / name
        handle, temporary = _made(file)
        os.fchmod(handle, 0o666 & ~_umask())  # mkstemp's 0600 would hide a shared store from everybody else
        os.close(handle)
        try:
            yield Path(temporary)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _made(file: Path) -> tuple[int, str]:
    """A temporary file beside this one; its folder is made, and made again where it is removed meanwhile."""
    for _ in range(3):
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    return tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
