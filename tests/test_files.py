"""Files of a store: the same contract in a folder, behind a URL of memory, and behind a URL of a disk."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fitting.errors import InputError
from results.files import Files, files_at, local_folder
from results.local_files import LocalFiles
from results.remote_files import RemoteFiles


@pytest.fixture(params=["folder", "memory", "file"])
def files(request, tmp_path: Path) -> Iterator[Files]:
    if request.param == "memory":
        url = f"memory://{uuid.uuid4().hex}"
        yield RemoteFiles(url)
        return
    yield LocalFiles(tmp_path / "store") if request.param == "folder" else RemoteFiles(f"file://{tmp_path}/store")


def test_what_is_written_is_read_and_listed_by_name(files: Files):
    for name in ("runs/b.parquet", "runs/a.parquet", "runs/.unfinished", "curves/x/part-1"):
        files.write(name, name.encode())
    assert files.read("runs/a.parquet") == b"runs/a.parquet"
    entries = files.entries("runs")
    assert [entry.name for entry in entries] == ["runs/a.parquet", "runs/b.parquet"]
    assert [(entry.stem, entry.size) for entry in entries] == [("a", 14), ("b", 14)]
    assert entries[0].modified == pytest.approx(time.time(), abs=60)
    assert files.folders("curves") == ["x"]
    assert files.folders("runs") == []


def test_what_is_not_there_is_empty_or_file_not_found(files: Files, tmp_path: Path):
    assert files.entries("nowhere") == []
    assert files.folders("nowhere") == []
    assert files.identity("nowhere/x") is None
    assert files.delete("nowhere/x") is False
    with pytest.raises(FileNotFoundError):
        files.read("nowhere/x")
    with pytest.raises(FileNotFoundError):
        files.download("nowhere/x", tmp_path / "x")


def test_a_write_replaces_and_changes_the_identity(files: Files):
    files.write("runs/a", b"one")
    first = files.identity("runs/a")
    assert files.entries("runs")[0].identity == first
    files.write("runs/a", b"two")
    assert files.read("runs/a") == b"two"
    assert files.identity("runs/a") != first


def test_a_file_that_was_written_again_is_not_deleted(files: Files):
    files.write("runs/a", b"one")
    (read,) = files.entries("runs")
    files.write("runs/a", b"two")
    assert files.delete(read.name, read.identity) is False
    assert files.read("runs/a") == b"two"
    (read,) = files.entries("runs")
    assert files.delete(read.name, read.identity) is True
    assert files.entries("runs") == []


def test_the_first_of_two_that_write_once_stays(files: Files):
    assert files.write_once("forecasts/a", b"first") is True
    assert files.write_once("forecasts/a", b"second") is False
    assert files.read("forecasts/a") == b"first"


def test_a_large_file_goes_up_and_comes_down(files: Files, tmp_path: Path):
    (tmp_path / "source").write_bytes(b"x" * 1_000_000)
    files.upload(tmp_path / "source", "deep/down/file")
    files.download("deep/down/file", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"x" * 1_000_000


def test_a_folder_that_cannot_be_listed_is_no_empty_one(tmp_path: Path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"runs cannot be listed \(.*Permission denied"):
        LocalFiles(tmp_path).entries("runs")


def test_what_a_driver_raises_is_an_os_error_and_a_refusal_where_it_lists(monkeypatch):
    """Missing credentials of S3 are no OSError of their own."""
    files = RemoteFiles(f"memory://{uuid.uuid4().hex}")

    def refuse(*arguments, **options):
        raise RuntimeError("no credentials")

    for name in ("ls", "cat_file", "pipe_file", "info"):
        monkeypatch.setattr(files._system, name, refuse)
    for call in (lambda: files.read("a"), lambda: files.write("a", b""), lambda: files.identity("a")):
        with pytest.raises(OSError, match="RuntimeError: no credentials"):
            call()
    with pytest.raises(InputError, match=r"runs cannot be listed .*no credentials"):
        files.entries("runs")


def test_a_folder_leaves_no_temporary_file_and_no_private_one(tmp_path: Path):
    files = LocalFiles(tmp_path)
    files.write("runs/a", b"x")
    files.write_once("runs/b", b"x")
    files.write_once("runs/b", b"x")
    assert sorted(os.listdir(tmp_path / "runs")) == ["a", "b"]
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "runs" / "a").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_file_url_is_a_folder_and_others_are_not():
    assert local_folder("file:///a/b") == Path("/a/b")
    assert local_folder("a/b") == Path("a/b")
    assert local_folder("memory://a/b") is None
    assert isinstance(files_at("file:///a/b"), LocalFiles)


@pytest.mark.parametrize("url", ["nonsense://bucket/x", "oci://bucket/x"])
def test_a_url_without_a_driver_is_refused_in_one_line(url):
    with pytest.raises(InputError, match=r"cannot be opened .*give a folder, or install"):
        files_at(url)
