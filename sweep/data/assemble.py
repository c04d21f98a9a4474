"""From encoded parts to a corpus: duplicates out, train and held-out apart by content, one stream a domain."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fitting.errors import InputError
from sweep.data.encode import Table, read_table
from sweep.data.manifest import MANIFEST, CorpusInfo, Shard, manifest_text
from sweep.data.sources import Part
from sweep.data.sources.part import is_held_out
from sweep.data.tokenizers import Tokenizer, save, token_dtype
from sweep.data.tokenizers.tokenizer import fingerprint

SHARD_TOKENS = 2**29
COUNTED_AT_ONCE = 2**22  # tokens
MOST_DOMAINS = 64  # the largest; the rest are one more, "other"
SPLITS = ("train", "held_out")


@dataclass(frozen=True)
class Kept:
    """Which documents of all parts stay, and where they go; (documents,) each, in the order of the parts."""

    kept: np.ndarray  # bool: the first of its content
    held_out: np.ndarray  # bool
    domain: np.ndarray  # number in `domains`
    domains: tuple[str, ...]


def assemble(
    parts: Sequence[Part],
    stems: Sequence[Path],
    tokenizer: Tokenizer,
    folder: Path,
    facts: dict,
    report: Callable[[float], None],
) -> CorpusInfo:
    """Writes shards, index, tokenizer and manifest into `folder`. `facts`: what else the manifest says."""
    tables = [read_table(stem) for stem in stems]
    choice = _choose(parts, tables)
    starts = np.cumsum([0, *(len(table.tokens) for table in tables)])
    writers = {
        (domain, split): _Writer(folder, name, SPLITS[split], tokenizer)
        for domain, name in enumerate(choice.domains)
        for split in range(2)
    }
    for number, (table, stem) in enumerate(zip(tables, stems, strict=True)):
        span = slice(starts[number], starts[number + 1])
        ids = np.fromfile(stem.with_suffix(".tokens"), dtype=token_dtype(tokenizer.vocab_size))
        kept, held_out, domain = choice.kept[span], choice.held_out[span], choice.domain[span]
        for (wanted, split), writer in writers.items():
            here = kept & (domain == wanted) & (held_out == bool(split))
            if here.any():
                writer.add(ids[np.repeat(here, table.tokens)], table.tokens[here], table.bytes[here])
        report((number + 1) / len(stems))
    shards = [shard for writer in writers.values() for shard in writer.close()]
    _check_splits(shards, choice)
    save(tokenizer, folder)
    lengths = tokenizer.token_bytes()
    np.save(folder / "token_bytes.npy", lengths)
    info = _describe(shards, choice, tables, tokenizer, _byte_ratio(folder, shards, lengths, tokenizer), facts)
    (folder / MANIFEST).write_text(manifest_text(info))
    return info


def _choose(parts: Sequence[Part], tables: Sequence[Table]) -> Kept:
    """Held-out parts come first where contents meet: what is judged is never trained on."""
    digests = np.concatenate([table.digests for table in tables])
    named = np.concatenate(
        [np.full(len(table.tokens), part.held_out) for part, table in zip(parts, tables, strict=True)]
    )
    order = np.lexsort((np.arange(len(digests)), ~named, digests[:, 1], digests[:, 0]))
    same = np.zeros(len(digests), dtype=bool)
    same[order[1:]] = (digests[order[1:]] == digests[order[:-1]]).all(axis=1)
    held_out = named if named.any() else is_held_out(digests[:, 0])
    domain, domains = _domains(tables)
    return Kept(~same, held_out, domain, domains)


def _domains(tables: Sequence[Table]) -> tuple[np.ndarray, tuple[str, ...]]:
    """(number of each document's domain, names)."""
    weights: Counter[str] = Counter()
    for table in tables:
        tokens = np.bincount(table.domain, weights=table.tokens, minlength=len(table.names))
        weights.update({str(name): int(count) for name, count in zip(table.names, tokens, strict=True)})
    ranked = sorted(weights, key=lambda name: (-weights[name], name))
    names = sorted({*ranked[:MOST_DOMAINS], *(["other"] if len(ranked) > MOST_DOMAINS else [])})
    numbers = [
        np.asarray([names.index(str(name) if str(name) in names else "other") for name in table.names], np.uint32)
        for table in tables
    ]
    parts = [number[table.domain] for number, table in zip(numbers, tables, strict=True) if len(table.domain)]
    return np.concatenate([np.zeros(0, np.uint32), *parts]), tuple(names)


class _Writer:
    """Appends documents to the shards of one domain and split."""

    def __init__(self, folder: Path, domain: str, split: str, tokenizer: Tokenizer):
        self.folder, self.domain, self.split = folder, domain, split
        self.separator, self.dtype = tokenizer.separator, token_dtype(tokenizer.vocab_size)
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", domain)[:60]
        self.stem = f"{split}-{safe}-{hashlib.sha256(domain.encode()).hexdigest()[:6]}"
        self.shards: list[Shard] = []
        self.file = None
        self.starts: list[np.ndarray] = []
        self.digest, self.tokens, self.bytes = hashlib.sha256(), 0, 0

    def add(self, ids: np.ndarray, lengths: np.ndarray, sizes: np.ndarray) -> None:
        if self.separator is not None:  # before each document
            ids = np.insert(ids, np.cumsum(lengths) - lengths, self.separator)
            lengths = lengths + 1
        if self.file is None:
            self.file = (self.folder / self._name).open("wb")
        self.starts.append(self.tokens + np.cumsum(lengths) - lengths)
        self._write(ids)
        self.bytes += int(sizes.sum())
        if self.tokens >= SHARD_TOKENS:
            self._finish()

    def close(self) -> list[Shard]:
        self._finish()
        return self.shards

    @property
    def _name(self) -> str:
        return f"{self.stem}-{len(self.shards):05d}.bin"

    def _write(self, ids: np.ndarray) -> None:
        assert self.file is not None
        content = np.ascontiguousarray(ids, dtype=self.dtype).tobytes()
        self.file.write(content)
        self.digest.update(content)
        self.tokens += len(ids)

    def _finish(self) -> None:
        if self.file is None:
            return
        if self.separator is not None:  # the end of the last document is worth learning too
            self._write(np.asarray([self.separator]))
        self.file.close()
        starts = np.concatenate(self.starts)
        np.save(self.folder / self._name.replace(".bin", ".documents.npy"), starts)
        self.shards.append(
            Shard(self._name, self.domain, self.split, self.tokens, len(starts), self.bytes, self.digest.hexdigest())
        )
        self.file, self.starts = None, []
        self.digest, self.tokens, self.bytes = hashlib.sha256(), 0, 0


def _check_splits(shards: Sequence[Shard], choice: Kept) -> None:
    documents = Counter()
    for shard in shards:
        documents[shard.split] += shard.documents
    if not documents["train"] or not documents["held_out"]:
        raise InputError(
            f"the source has {int(choice.kept.sum())} different documents, {documents['held_out']} of them held out; "
            f"both splits need one at least. Give more documents (1 in 20 is held out, by the hash of its content) or "
            f"name a file as data.held_out_path"
        )


def _byte_ratio(folder: Path, shards: Sequence[Shard], lengths: np.ndarray, tokenizer: Tokenizer) -> float:
    """Raw bytes of the held-out text over the bytes that its tokens stand for."""
    held_out = [shard for shard in shards if shard.split == "held_out"]
    raw, counted = sum(shard.bytes for shard in held_out), 0
    for shard in held_out:
        ids = np.memmap(folder / shard.file, token_dtype(tokenizer.vocab_size), mode="r")
        for start in range(0, len(ids), COUNTED_AT_ONCE):
            counted += int(lengths[ids[start : start + COUNTED_AT_ONCE]].sum())
    return raw / counted if counted else 1.0


def _describe(
    shards: list[Shard], choice: Kept, tables: Sequence[Table], tokenizer: Tokenizer, byte_ratio: float, facts: dict
) -> CorpusInfo:
    made = fingerprint(tokenizer)
    digest = hashlib.sha256(made.encode())
    for shard in shards:
        digest.update(f"{shard.domain} {shard.split} {shard.sha256}\n".encode())

    def total(field: str, *splits: str) -> int:
        return sum(getattr(shard, field) for shard in shards if shard.split in splits)

    return CorpusInfo(
        fingerprint=digest.hexdigest()[:16],
        tokenizer=tokenizer.name,
        tokenizer_kind=tokenizer.kind,
        tokenizer_fingerprint=made,
        vocab_size=tokenizer.vocab_size,
        separator=tokenizer.separator,
        documents=total("documents", *SPLITS),
        duplicates=int((~choice.kept).sum()),
        skipped=sum(table.skipped for table in tables),
        train_bytes=total("bytes", "train"),
        train_tokens=total("tokens", "train"),
        held_out_documents=total("documents", "held_out"),
        held_out_bytes=total("bytes", "held_out"),
        held_out_tokens=total("tokens", "held_out"),
        byte_ratio=byte_ratio,
        shards=tuple(shards),
        **facts,
    )
