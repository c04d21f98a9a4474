"""Files of a folder, a glob, a path or an fsspec URL, in a fixed shuffled order; opened, decompressed."""

from __future__ import annotations

import glob
import hashlib
import io
import os
import posixpath
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fitting.errors import InputError

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}


@dataclass(frozen=True)
class File:
    """`name` is its path relative to the source, the same on every machine."""

    url: str
    name: str
    size: int  # bytes
    changed: float  # seconds since 1970; 0 where the file system does not tell
    named: bool  # given itself, not found in a folder or by a glob


def files_of(path: str) -> list[File]:
    """In the order of the hash of their names, so that neighbours in the corpus are no neighbours in the source.

    Raises InputError where there are none.
    """
    found = list(_remote(path) if "://" in path else _local(path))
    if not found:
        raise InputError(f"data.path {path!r} holds no file; give a folder, a glob, a file or an fsspec URL")
    return sorted(found, key=lambda file: hashlib.sha256(file.name.encode()).digest())


@contextmanager
def opened(url: str) -> Generator[IO[bytes]]:
    """Bytes, decompressed by suffix. Raises InputError where the file cannot be read."""
    import pyarrow as pa

    compression = next((kind for suffix, kind in COMPRESSIONS.items() if url.endswith(suffix)), None)
    try:
        with _raw(url) as raw:
            if compression is None:
                yield raw
            else:
                native: Any = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), compression)
                with io.BufferedReader(native, 2**20) as stream:
                    yield stream
    except (OSError, EOFError) as error:
        words = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{url} cannot be read: {words}. Restore it or leave it out") from None


def is_compressed(url: str) -> bool:
    return url.endswith(tuple(COMPRESSIONS))


def _raw(url: str) -> Any:
    if "://" not in url:
        return open(url, "rb")
    import fsspec

    remote: Any = fsspec.open(url, "rb").open()
    return io.BufferedReader(remote, 2**20)  # remote files cannot peek, nor read at most so much of a line


def _local(path: str) -> Iterator[File]:
    root = Path(path).expanduser()
    if root.is_dir():
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
            for name in names:
                if not name.startswith(".") and Path(folder, name).is_file():  # no dangling link, no socket
                    yield _file(Path(folder, name), Path(folder, name).relative_to(root).as_posix(), False)
    elif root.is_file():
        yield _file(root, root.name, True)
    else:
        matches = [Path(match) for match in sorted(glob.glob(str(root), recursive=True))]
        files = [match for match in matches if match.is_file()]
        if not files:
            what = "matches no file" if glob.has_magic(str(root)) else "is not there"
            raise InputError(f"data.path {path!r} {what}; give a folder, a glob, a file or an fsspec URL")
        common = os.path.commonpath([file.parent for file in files])
        for file in files:
            yield _file(file, file.relative_to(common).as_posix(), False)


def _file(path: Path, name: str, named: bool) -> File:
    status = path.stat()
    printable = os.fsencode(name).decode("utf-8", "replace")  # a file system may hold names in any encoding
    return File(str(path), printable, status.st_size, status.st_mtime, named)


def _remote(url: str) -> Iterator[File]:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
        if glob.has_magic(path):
            fixed = len(re.split(r"[*?\[]", path)[0])  # a local `*` finds nothing that is hidden, fsspec's does
            found = {name: system.info(name) for name in system.glob(path) if "/." not in name[fixed - 1 :]}
        elif system.isdir(path):
            found = system.find(path, detail=True)
        else:
            found = {path: system.info(path)}
    except (OSError, ValueError, ImportError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"data.path {url!r} cannot be read: {words}") from None
    names = [name for name, info in found.items() if info["type"] == "file"]
    # As `_local` has them: the same files have the same names wherever they lie.
    folder = system.isdir(path)
    root = path if folder or not names else posixpath.commonpath([posixpath.dirname(name) for name in names])
    for name in names:
        info, relative = found[name], posixpath.relpath(name, root)
        if folder and any(step.startswith(".") or step == "__pycache__" for step in relative.split("/")):
            continue
        if info["size"] is None:
            raise InputError(f"{name}: the server does not tell its size; fetch it to a local folder first")
        changed = info.get("mtime") or info.get("created") or 0.0
        seconds = changed if isinstance(changed, (int, float)) else changed.timestamp()
        yield File(system.unstrip_protocol(name), relative, info["size"], seconds, name == path)
