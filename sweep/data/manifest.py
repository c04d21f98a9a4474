"""What is known of a prepared corpus without opening its shards, and how it is written down."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from fitting.errors import InputError

MANIFEST = "manifest.json"
FORMAT = 3  # raised when the same documents would give other files


@dataclass(frozen=True)
class Shard:
    """A file of tokens, little-endian, without a header; beside it NAME.documents, where each document starts."""

    file: str
    domain: str
    split: str  # "train" or "held_out"
    tokens: int
    documents: int
    bytes: int  # raw, of its documents
    sha256: str


@dataclass(frozen=True)
class CorpusInfo:
    """What is known of a corpus without opening its shards; the manifest."""

    source: str  # format
    fingerprint: str  # SHA-256 (16 hex digits) over tokenizer and shards
    tokenizer: str  # such as "bpe-1024"
    tokenizer_kind: str
    tokenizer_fingerprint: str
    vocab_size: int
    separator: int | None  # token that opens every document
    documents: int  # kept
    duplicates: int  # left out: the same content as another
    skipped: int  # left out: no text, or empty
    train_bytes: int  # 0 where the vocabulary is unknown
    train_tokens: int
    held_out_documents: int
    held_out_bytes: int
    held_out_tokens: int
    byte_ratio: float  # raw bytes / bytes that the tokens stand for: 1 unless a normaliser rewrote the text
    entropy: tuple[float, float] | None  # nats of a window's first target and of the others, where known exactly
    sources: tuple[str, ...]  # names of files and folders, without their places
    signature: str  # of what it was prepared from
    shards: tuple[Shard, ...]

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(shard.domain for shard in self.shards))

    def held_out_windows(self, length: int) -> int:
        """Of `length` targets."""
        return sum(windows_in(shard.tokens, length) for shard in self.shards if shard.split == "held_out")

    def train_windows(self, length: int) -> tuple[tuple[str, int], ...]:
        """(domain, windows of `length` targets) of each domain that has training tokens."""
        found: dict[str, int] = {}
        for shard in self.shards:
            if shard.split == "train" and shard.tokens:
                found[shard.domain] = found.get(shard.domain, 0) + windows_in(shard.tokens, length)
        return tuple(found.items())

    @staticmethod
    def stand_in(source: str, vocab_size: int) -> CorpusInfo:
        """As large as any: what settings are tried on before the real one is prepared."""
        shards = tuple(Shard("-", "-", split, 2**62, 1, 2**62, "-") for split in ("train", "held_out"))
        sizes = {"train_bytes": 2**62, "train_tokens": 2**62, "held_out_bytes": 2**62, "held_out_tokens": 2**62}
        return CorpusInfo(
            source=source,
            fingerprint="-",
            tokenizer="-",
            tokenizer_kind="none",
            tokenizer_fingerprint="-",
            vocab_size=vocab_size,
            separator=0,
            documents=2,
            duplicates=0,
            skipped=0,
            held_out_documents=1,
            byte_ratio=1.0,
            entropy=None,
            sources=(),
            signature="",
            shards=shards,
            **sizes,
        )

    @property
    def is_stand_in(self) -> bool:
        return self.signature == ""


def windows_in(tokens: int, length: int) -> int:
    """Windows of `length` targets in a shard: the last target of one is the first token of the next."""
    return max(0, tokens - 1) // length


def read_manifest(folder: Path) -> CorpusInfo:
    """Raises InputError where there is none, or one of another format."""
    file = folder / MANIFEST
    try:
        fields = json.loads(file.read_text())
        found = fields.pop("format")
        if found != FORMAT:
            raise InputError(f"corpus {folder} has format {found}; this software reads {FORMAT}. Prepare it again")
        fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
        fields["sources"] = tuple(fields["sources"])
        fields["entropy"] = None if fields["entropy"] is None else tuple(fields["entropy"])
        return CorpusInfo(**fields)
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no prepared corpus ({MANIFEST} is missing); make one of text with: python -m sweep.data "
            f"prepare TEXT --out CORPUS"
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{file} cannot be read: {words}. Prepare the corpus again") from None


def manifest_text(info: CorpusInfo) -> str:
    return json.dumps({"format": FORMAT, **dataclasses.asdict(info)}, indent=1) + "\n"
