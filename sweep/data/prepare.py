"""From a data setting to a prepared corpus: parts encoded side by side, assembled once, resumed after any kill."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from fitting.cache import cache_folder
from fitting.errors import InputError
from sweep.data import sources, tokenizers
from sweep.data.assemble import assemble
from sweep.data.corpus import FORMAT, MANIFEST, Corpus, read_manifest
from sweep.data.encode import encode_part, is_encoded
from sweep.data.settings import DataSettings
from sweep.data.sources.formats import TOKENISED, formats
from sweep.data.sources.part import Part, is_held_out
from sweep.data.sources.synthetic import process
from sweep.data.tokenizers import Tokenizer
from sweep.data.tokenizers.library import Library

Report = Callable[[str, float], None]

ALONE_BYTES = 8_000_000  # below, one process is done before others have started
SAMPLE_BYTES = 8_000_000  # of text for a BPE: more changes the merges of a small vocabulary little (assumption)
SAMPLED_PARTS = 64


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
    _check_tokenizer(settings)
    signature = _signature(settings, parts)
    folder = (out or cache_folder() / "corpus" / signature).absolute()
    if not _is_done(folder, signature):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if not _is_done(folder, signature):  # another process may have been faster
                _prepare(settings, parts, folder, signature, report, workers or _cores())
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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare(
    settings: DataSettings, parts: list[Part], folder: Path, signature: str, report: Report, workers: int
) -> None:
    work = folder.parent / f".{folder.name}.{signature}.work"
    work.mkdir(exist_ok=True)
    report("reading the tokenizer" if settings.tokenizer != "bpe" else "training the tokenizer", 0.0)
    tokenizer = _tokenizer(settings, parts, work)
    stems = [work / f"part-{number:06d}" for number in range(len(parts))]
    _encode(settings, tokenizer, parts, stems, report, workers)
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


def _entropy(settings: DataSettings) -> tuple[float, float] | None:
    if settings.source != "synthetic":
        return None
    known = process(settings.vocab_size, settings.synthetic_seed)
    return known.entropy_first, known.entropy_rest


def _tokenizer(settings: DataSettings, parts: Sequence[Part], work: Path) -> Tokenizer:
    """A vocabulary trained here is kept beside the parts that were encoded with it."""
    kept = work / "tokenizer.json"
    if settings.tokenizer == "bpe" and kept.exists():
        fields = json.loads(kept.read_text())
        return Library(**fields)
    made = tokenizers.named(
        settings.tokenizer, settings.vocab_size, settings.separator, lambda: _sample(settings, parts)
    )
    if settings.tokenizer == "bpe":
        assert dataclasses.is_dataclass(made)
        assert not isinstance(made, type)
        kept.with_suffix(".tmp").write_text(json.dumps(dataclasses.asdict(made)))
        os.replace(kept.with_suffix(".tmp"), kept)
    return made


def _sample(settings: DataSettings, parts: Sequence[Part]) -> list[bytes]:
    """Training documents from the beginnings of evenly spaced parts."""
    import numpy as np

    chosen = [parts[int(i)] for i in np.unique(np.linspace(0, len(parts) - 1, min(SAMPLED_PARTS, len(parts))))]
    texts: list[bytes] = []
    for part in chosen:
        size = 0
        for document in sources.read(settings, part):
            if document is None or document.text is None or part.held_out:
                continue
            if is_held_out(np.frombuffer(document.digest, "<u8")[:1])[0]:
                continue
            texts.append(document.text)
            size += len(document.text)
            if size >= SAMPLE_BYTES / len(chosen):
                break
    if not texts:
        raise InputError("the source holds no UTF-8 text to train a vocabulary on; give text, Markdown or code")
    return texts


def _encode(
    settings: DataSettings,
    tokenizer: Tokenizer,
    parts: Sequence[Part],
    stems: Sequence[Path],
    report: Report,
    workers: int,
) -> None:
    """Every part that is not encoded yet; progress by weight."""
    left = [number for number, stem in enumerate(stems) if not is_encoded(stem)]
    total = sum(part.weight for part in parts) or 1
    done = total - sum(parts[number].weight for number in left)
    words = f"encoding {total / 1e6:,.0f} MB" if total > 1e6 else "encoding"

    def finished(number: int) -> None:
        nonlocal done
        done += parts[number].weight
        report(words, 0.05 + 0.9 * done / total)

    report(words, 0.05 + 0.9 * done / total)
    weight = sum(parts[number].weight for number in left)
    if workers == 1 or len(left) == 1 or 1000 < weight < ALONE_BYTES:
        for number in left:
            encode_part(settings, tokenizer, parts[number], stems[number])
            finished(number)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, context, _one_thread) as pool:
            futures = {
                pool.submit(encode_part, settings, tokenizer, parts[number], stems[number]): number for number in left
            }
            waiting = set(futures)
            try:
                while waiting:
                    ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in ended:
                        future.result()
                        finished(futures[future])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except BrokenProcessPool:
        raise InputError(
            "a process that encoded a part was killed, perhaps for want of memory; what is done is kept. Run the same "
            "command again, with fewer workers"
        ) from None


def _one_thread() -> None:
    """Processes are the parallelism: libraries that start threads of their own keep to one."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["RAYON_NUM_THREADS"] = "1"
