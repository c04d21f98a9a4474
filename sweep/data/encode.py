"""One part of a source to tokens: what a worker does, alone or beside others, and leaves as two files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fitting.errors import InputError
from sweep.data.settings import DataSettings
from sweep.data.sources import Document, Part, read
from sweep.data.tokenizers import Tokenizer, token_dtype

ENCODE_AT_ONCE = 4_000_000  # bytes of text
BLOCK = 4096  # tokens of a document where nothing says where documents end


@dataclass(frozen=True)
class Table:
    """The documents of a part, in the order of their tokens."""

    digests: np.ndarray  # (documents, 2) uint64
    tokens: np.ndarray  # (documents,) int64
    bytes: np.ndarray  # (documents,) int64; 0 where the vocabulary is unknown
    domain: np.ndarray  # (documents,) uint32: place in `names`
    names: np.ndarray  # (domains,) str
    skipped: int  # documents that were no text, or empty


def is_encoded(stem: Path) -> bool:
    return stem.with_suffix(".npz").exists()


def read_table(stem: Path) -> Table:
    with np.load(stem.with_suffix(".npz")) as arrays:
        return Table(
            **{name: arrays[name] for name in ("digests", "tokens", "bytes", "domain", "names")},
            skipped=int(arrays["skipped"]),
        )


def encode_part(settings: DataSettings, tokenizer: Tokenizer, part: Part, stem: Path) -> None:
    """Writes STEM.tokens and then STEM.npz, each by rename: whoever sees the second finds the first whole."""
    dtype, known = token_dtype(tokenizer.vocab_size), tokenizer.token_bytes()
    digests, lengths, sizes, domains = [], [], [], []
    skipped = 0
    temporary = stem.with_suffix(f".{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            for batch in _batches(settings, tokenizer, part):
                kept = [document for document in batch if document is not None]
                skipped += len(batch) - len(kept)
                arrays = _encoded(tokenizer, kept)
                for document, ids in zip(kept, arrays, strict=True):
                    digests.append(document.digest)
                    lengths.append(len(ids))
                    domains.append(document.domain)
                if arrays:
                    joined = np.concatenate(arrays)
                    _check_range(joined, tokenizer, part)
                    sizes += _sizes(kept, known)
                    out.write(joined.astype(dtype, copy=False).tobytes())
        os.replace(temporary, stem.with_suffix(".tokens"))
        names, domain = np.unique(np.asarray(domains, dtype=str), return_inverse=True)
        with temporary.open("wb") as out:
            np.savez(
                out,
                digests=np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2),
                tokens=np.asarray(lengths, dtype=np.int64),
                bytes=np.asarray(sizes, dtype=np.int64),
                domain=domain.astype(np.uint32),
                names=names,
                skipped=np.int64(skipped),
            )
        os.replace(temporary, stem.with_suffix(".npz"))
    finally:
        temporary.unlink(missing_ok=True)


def _batches(settings: DataSettings, tokenizer: Tokenizer, part: Part) -> Iterator[list[Document | None]]:
    batch: list[Document | None] = []
    held = 0
    for whole in read(settings, part):
        for document in _documents(whole, tokenizer):
            batch.append(document)
            held += len(document.text or b"") if document is not None else 0
            if held >= ENCODE_AT_ONCE or len(batch) >= 2**16:
                yield batch
                batch, held = [], 0
    if batch:
        yield batch


def _documents(whole: Document | None, tokenizer: Tokenizer) -> Iterator[Document | None]:
    """Tokens are cut at their separators, or into blocks where there are none; a complete document only loses them."""
    if whole is None or whole.tokens is None:
        yield whole
        return
    ids, separator = whole.tokens, tokenizer.separator
    if whole.complete:
        kept = ids if separator is None else ids[ids != separator]
        yield Document(whole.domain, tokens=kept) if len(kept) else None
        return
    if separator is None:
        pieces = [ids[start : start + BLOCK] for start in range(0, len(ids), BLOCK)]
    else:
        places = np.flatnonzero(ids == separator)
        pieces = [piece[piece != separator] for piece in np.split(ids, places)]
    for piece in pieces:
        if len(piece):
            yield Document(whole.domain, tokens=piece)


def _encoded(tokenizer: Tokenizer, documents: list[Document]) -> list[np.ndarray]:
    texts = [document.text for document in documents if document.text is not None]
    if len(texts) == len(documents):
        # A text may spell the separator out; some models, such as Unigram, then find the word in their vocabulary.
        return [ids[ids != tokenizer.separator] for ids in tokenizer.ids(texts)]
    return [document.tokens for document in documents if document.tokens is not None]


def _sizes(documents: list[Document], known: np.ndarray) -> list[int]:
    """Raw bytes of each document; `known`: of each token."""
    return [
        len(document.text) if document.text is not None else int(known[document.tokens].sum()) for document in documents
    ]


def _check_range(ids: np.ndarray, tokenizer: Tokenizer, part: Part) -> None:
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < tokenizer.vocab_size:
        wrong = int(ids.min()) if ids.min() < 0 else int(ids.max())
        raise InputError(
            f"{', '.join(part.files[:1])} holds token {wrong}; the vocabulary {tokenizer.name} has "
            f"{tokenizer.vocab_size} tokens. Set data.vocab_size or data.tokenizer to the one that it was made with"
        )
