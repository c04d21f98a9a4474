"""From a data setting to a prepared corpus in the cache: gathered, split, tokenised and fingerprinted once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fitting.cache import cache_folder
from fitting.errors import InputError
from sweep.data.corpus import Corpus, CorpusInfo
from sweep.data.documents import Document, python_source, text_files
from sweep.data.tokenizer import BYTES_VOCAB, bytes_tokenizer, train_bpe

FORMAT = 1  # raised when the same documents would give other tokens
ENCODE_AT_ONCE = 2_000_000  # bytes between two progress reports
SMALLEST_BPE, LARGEST_VOCAB = 258, 65_536  # all bytes and the separator; uint16


@dataclass(frozen=True)
class DataSettings:
    """Which text, which tokens; from conf/data/."""

    source: str  # "python_source" or "text"
    path: str | None  # folder, for "text"
    tokenizer: str  # "bpe" or "bytes"
    vocab_size: int  # for "bpe"


def prepare(settings: DataSettings, report: Callable[[str, float], None] = lambda words, share: None) -> Corpus:
    """The corpus of these settings, from the cache where it is there. `report(words, share done)` shows progress."""
    if settings.tokenizer not in ("bpe", "bytes"):
        raise InputError(f"data.tokenizer is {settings.tokenizer!r}; allowed are bpe and bytes")
    if settings.tokenizer == "bpe" and not SMALLEST_BPE <= settings.vocab_size <= LARGEST_VOCAB:
        raise InputError(
            f"data.vocab_size is {settings.vocab_size}; allowed for bpe is {SMALLEST_BPE} to {LARGEST_VOCAB}"
        )
    report("reading files", 0.0)
    documents = _gather(settings)
    held_out = [document for document in documents if document.held_out]
    train = [document for document in documents if not document.held_out]
    if not held_out or not train:
        raise InputError(
            f"data source {settings.source!r} has {len(documents)} files, {len(held_out)} of them held out; both "
            f"splits need one at least. Give more files (1 in 20 is held out, by the hash of its name)"
        )
    fingerprint = _fingerprint(settings, documents)
    folder = cache_folder() / "corpus" / fingerprint
    if not (folder / "corpus.json").exists():
        _write(settings, train, held_out, fingerprint, folder, report)
    return Corpus.open(folder)


def _gather(settings: DataSettings) -> list[Document]:
    if settings.source == "python_source":
        return python_source()
    if settings.source == "text":
        if settings.path is None:
            raise InputError("data.path is not set; data=text needs a folder, such as data.path=my_texts")
        return text_files(settings.path)
    raise InputError(f"data.source is {settings.source!r}; allowed are python_source and text")


def _fingerprint(settings: DataSettings, documents: list[Document]) -> str:
    vocab_size = settings.vocab_size if settings.tokenizer == "bpe" else BYTES_VOCAB
    digest = hashlib.sha256(f"{FORMAT} {settings.tokenizer} {vocab_size}".encode())
    for document in documents:
        digest.update(f"\n{document.name}\n".encode())
        digest.update(hashlib.sha256(document.text).digest())
    return digest.hexdigest()[:16]


def _write(
    settings: DataSettings,
    train: list[Document],
    held_out: list[Document],
    fingerprint: str,
    folder: Path,
    report: Callable[[str, float], None],
) -> None:
    """Everything into a temporary folder, then one rename: half-written corpora are never seen."""
    train_texts = [document.text for document in train]
    held_out_texts = [document.text for document in held_out]
    report("training the tokenizer", 0.05)
    tokenizer = bytes_tokenizer() if settings.tokenizer == "bytes" else train_bpe(train_texts, settings.vocab_size)
    total, done, streams = sum(map(len, train_texts + held_out_texts)), 0, []
    for texts in (train_texts, held_out_texts):
        parts = []
        for chunk in _chunks(texts):
            report(f"encoding {total / 1e6:.0f} MB of text", 0.2 + 0.8 * done / total)
            parts.append(tokenizer.encode(chunk)[:-1])  # the closing separator opens the next chunk
            done += sum(map(len, chunk))
        streams.append(np.concatenate([*parts, np.zeros(1, dtype=np.uint16)]))
    info = CorpusInfo(
        source=settings.source,  # no path: the same text elsewhere is the same corpus
        fingerprint=fingerprint,
        tokenizer=tokenizer.name,
        vocab_size=tokenizer.vocab_size,
        documents=len(train) + len(held_out),
        train_bytes=sum(map(len, train_texts)),
        train_tokens=len(streams[0]),
        held_out_documents=len(held_out),
        held_out_bytes=sum(map(len, held_out_texts)),
        held_out_tokens=len(streams[1]),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        np.save(temporary / "train.npy", streams[0])
        np.save(temporary / "held_out.npy", streams[1])
        np.save(temporary / "token_bytes.npy", tokenizer.token_bytes())
        if tokenizer.bpe is not None:
            (temporary / "tokenizer.json").write_text(tokenizer.bpe)
        (temporary / "corpus.json").write_text(json.dumps(dataclasses.asdict(info), indent=2))
        os.replace(temporary, folder)
    except OSError:
        if not (folder / "corpus.json").exists():  # else another process was faster, with the same content
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    report("corpus ready", 1.0)


def _chunks(texts: list[bytes]):
    chunk, size = [], 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size >= ENCODE_AT_ONCE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
