"""From a data setting to a prepared corpus: parts encoded side by side, assembled once, resumed after any kill."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path

from fitting.cache import cache_folder
from fitting.errors import InputError
from sweep.data import sources, tokenizers
from sweep.data.assemble import assemble
from sweep.data.corpus import Corpus
from sweep.data.manifest import FORMAT, MANIFEST, read_manifest
from sweep.data.pool import Report, available_cores, encode_parts
from sweep.data.settings import DataSettings
from sweep.data.sources.formats import TOKENISED, formats
from sweep.data.sources.part import Part
from sweep.data.sources.synthetic import process
from sweep.data.tokenizers.tokenizer import fingerprint
from sweep.data.vocabulary import tokenizer_of


def prepare(
    settings: DataSettings,
    report: Report = lambda words, share: None,
    out: Path | None = None,
    workers: int | None = None,
) -> Corpus:
    """The corpus of these settings in `out`, or in the cache; at once where it is there already.

    `report(words, share done)` shows progress. A kill at any moment loses the parts under way, nothing else; the same
    call goes on. Raises InputError.
    """
    if settings.source == "prepared":
        if len(settings.paths) != 1:
            raise InputError("data.path is not set; data=prepared needs the folder of one prepared corpus")
        return Corpus.open(Path(settings.paths[0][1]).expanduser())
    report("listing files", 0.0)
    parts = sources.parts(settings)
    signature = _signature(settings, parts)
    folder = (out or cache_folder() / "corpus" / signature).absolute()
    if not _is_done(folder, signature):
        _check_tokenizer(settings)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if not _is_done(folder, signature):  # another process may have been faster
                try:
                    _prepare(settings, parts, folder, signature, report, workers or available_cores())
                except InputError:
                    if out is None:  # what mends the source also gives it another folder in the cache
                        shutil.rmtree(_work_folder(folder), ignore_errors=True)
                    raise
    report("corpus ready", 1.0)
    return Corpus.open(folder)


def _check_tokenizer(settings: DataSettings) -> None:
    """Raises InputError for a setting that cannot be, before anything is read."""
    tokenised = {name for name in formats(settings) if name in TOKENISED}
    if tokenised and settings.tokenizer in ("bpe", "bytes"):
        raise InputError(
            f"data.tokenizer is {settings.tokenizer!r} and the source is tokenised already; allowed are none, and the "
            f"path of the vocabulary that it was made with"
        )
    tokenizers.named(settings.tokenizer, settings.vocab_size, settings.separator, lambda: [b"the"])


def _signature(settings: DataSettings, parts: Sequence[Part]) -> str:
    """SHA-256 (16 hex digits) of the format, the settings, and name, size and time of every file."""
    digest = hashlib.sha256(f"{FORMAT} {settings}\n".encode())
    for part in parts:
        digest.update(f"{part}\n".encode())
    path = Path(settings.tokenizer.partition("#")[0]).expanduser()
    if path.is_file():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _is_done(folder: Path, signature: str) -> bool:
    """Raises InputError where the folder holds something else."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; a corpus is a folder: give another name")
    if (folder / MANIFEST).exists():
        info = read_manifest(folder)
        if info.signature == signature:
            return True
        raise InputError(
            f"{folder} holds corpus {info.fingerprint}, which was prepared from other files or settings; give another "
            f"folder, or remove it"
        )
    if any(folder.iterdir()):
        raise InputError(f"{folder} is not empty and holds no corpus; give another folder")
    folder.rmdir()
    return False


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    """One process prepares, others wait; the lock of a killed one is gone with it."""
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prepare(
    settings: DataSettings, parts: list[Part], folder: Path, signature: str, report: Report, workers: int
) -> None:
    work = _work_folder(folder)
    work.mkdir(exist_ok=True)
    report("reading the tokenizer" if settings.tokenizer != "bpe" else "training the tokenizer", 0.0)
    tokenizer = tokenizer_of(settings, parts, work / f"{signature}.json")
    encoded_by = f"{FORMAT} {settings} {fingerprint(tokenizer)}"
    # Named by content: where one file of many is mended, the parts of the others are there already.
    stems = [work / hashlib.sha256(f"{encoded_by} {part}".encode()).hexdigest()[:24] for part in parts]
    encode_parts(settings, tokenizer, parts, stems, report, workers)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new-", dir=folder.parent))
    try:
        facts = {
            "source": settings.source,
            "sources": tuple(dict.fromkeys(Path(path.rstrip("/")).name for _, path in settings.paths)),
            "signature": signature,
            "entropy": _entropy(settings),
        }
        assemble(
            parts, stems, tokenizer, temporary, facts, lambda share: report("assembling shards", 0.95 + 0.05 * share)
        )
        os.chmod(temporary, 0o755)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(work, ignore_errors=True)


def _work_folder(folder: Path) -> Path:
    """What is encoded so far; gone once the corpus is there."""
    return folder.parent / f".{folder.name}.work"


def _entropy(settings: DataSettings) -> tuple[float, float] | None:
    if settings.source != "synthetic":
        return None
    known = process(settings.vocab_size, settings.synthetic_seed)
    return known.entropy_first, known.entropy_rest
