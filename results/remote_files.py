"""Files of a store behind a URL, by fsspec: object stores have no rename, but a whole object appears at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Hashable
from pathlib import Path
from typing import Any

from fitting.errors import InputError
from results.files import Entry, Files, unlistable

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")  # as the drivers call it
_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "generation")


class RemoteFiles(Files):
    """Whatever fsspec has a driver for."""

    threads = 32  # the answer takes tens of milliseconds

    def __init__(self, url: str):
        from fsspec.core import url_to_fs

        try:
            self._system, root = url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise InputError(
                f"store {url!r} cannot be opened ({error}); give a folder, or install the package that this names"
            ) from None
        self._root, self._url = root.rstrip("/"), url.rstrip("/")

    def where(self, name: str) -> str:
        return f"{self._url}/{name}"

    def entries(self, folder: str) -> list[Entry]:
        found = []
        for info in self._listed(folder):
            name = info["name"].rstrip("/").rsplit("/", 1)[-1]
            if info["type"] == "file" and not name.startswith("."):
                found.append(Entry(f"{folder}/{name}", info["size"] or 0, _modified(info), _identity(info)))
        return sorted(found, key=lambda entry: entry.name)

    def folders(self, folder: str) -> list[str]:
        names = (info["name"].rstrip("/").rsplit("/", 1)[-1] for info in self._listed(folder) if info["type"] != "file")
        return sorted(name for name in names if not name.startswith("."))

    def identity(self, name: str) -> Hashable | None:
        self._system.invalidate_cache()
        try:
            with _as_os_error():
                return _identity(self._system.info(f"{self._root}/{name}"))
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        with _as_os_error():
            return self._system.cat_file(f"{self._root}/{name}")

    def sync(self) -> None:
        """An object store answers a write when it has it."""

    def write(self, name: str, data: bytes) -> None:
        self._in_folder(name, lambda path: self._system.pipe_file(path, data))

    def write_once(self, name: str, data: bytes) -> bool:
        """Exclusive creation where the file system has it (S3, GCS); elsewhere two writers at once may both be told
        True, and the later one stays: fsspec then looks first and writes after."""
        try:
            self._in_folder(name, lambda path: self._system.pipe_file(path, data, mode="create"))
        except FileExistsError:
            return False
        return True

    def upload(self, source: Path, name: str) -> None:
        self._in_folder(name, lambda path: self._system.put_file(str(source), path))

    def download(self, name: str, target: Path) -> None:
        with _as_os_error():
            self._system.get_file(f"{self._root}/{name}", str(target))

    def _delete(self, name: str) -> None:
        with _as_os_error():
            self._system.rm_file(f"{self._root}/{name}")

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        self._system.invalidate_cache()
        try:
            with _as_os_error():
                return self._system.ls(f"{self._root}/{folder}", detail=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unlistable(self.where(folder), error) from None

    def _in_folder(self, name: str, write: Callable[[str], object]) -> None:
        """Object stores need no folders, others do: it is made where the write asks for it."""
        path = f"{self._root}/{name}"
        with _as_os_error():
            try:
                write(path)
            except FileNotFoundError:
                self._system.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
                write(path)


@contextlib.contextmanager
def _as_os_error() -> Generator[None]:
    """Each driver has exceptions of its own for a lost connection or missing credentials."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _modified(info: dict[str, Any]) -> float:
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, (int, float)):
            return float(value)
        if hasattr(value, "timestamp"):
            return value.timestamp()
    return 0.0


def _identity(info: dict[str, Any]) -> Hashable:
    """By content where the store tells a hash of it, else by time: a driver may write times in two ways."""
    tags = tuple(str(info[name]) for name in _TAGS if info.get(name) is not None)
    return (info.get("size"), *(tags or (_modified(info),)))
