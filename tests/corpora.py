"""What the tests of sources and tokenizers share: texts, and a corpus prepared from them or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fitting.errors import InputError
from sweep.data.corpus import Corpus
from sweep.data.prepare import prepare
from sweep.data.settings import DataSettings

TEXTS = [f"row {i}\r\n  “{i**3}” é€😀\u2028\n" + "word " * (i % 40) for i in range(200)]
KINDS = [("web", "code", "books")[i % 3] for i in range(200)]


def made(tmp_path: Path, source: str, path: str | Path | None, tokenizer: str = "bytes", **fields) -> Corpus:
    paths = () if path is None else ((None, str(path)),)
    return prepare(DataSettings(source, paths, tokenizer=tokenizer, **fields), out=tmp_path / "corpus", workers=1)


def refused(tmp_path: Path, message: str, source: str, path: str | Path | None, tokenizer: str = "bytes", **fields):
    with pytest.raises(InputError, match=message) as caught:
        made(tmp_path, source, path, tokenizer, **fields)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "corpus").exists()


def documents(corpus: Corpus, *splits: str) -> list[tuple[str, bytes]]:
    """(domain, text), sorted."""
    return sorted(
        (stream.domain, corpus.tokenizer.text(document))
        for split in splits or ("train", "held_out")
        for stream in corpus.streams(split)
        for document in stream.documents(corpus.info.separator)
    )


def rows(domains: list[str] | str) -> list[tuple[str, bytes]]:
    """What `documents` gives for TEXTS."""
    named = [domains] * len(TEXTS) if isinstance(domains, str) else domains
    return sorted(zip(named, (row.encode() for row in TEXTS), strict=True))


def write_texts(folder: Path) -> None:
    for number, (row, kind) in enumerate(zip(TEXTS, KINDS, strict=True)):
        path = folder / kind / "deep" / f"{number}.txt" if number else folder / "top.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row.encode())


def digit_domains(folder: Path) -> Corpus:
    """Three domains, a, b and c, of about 11, 5 and 2 thousand bytes: 80, 40 and 20 documents of one digit each."""
    for number, (name, count) in enumerate({"a": 80, "b": 40, "c": 20}.items()):
        (folder / name).mkdir()
        for document in range(count):
            (folder / name / f"{document}.txt").write_text(f"{number}" * (100 + document))
    return prepare(DataSettings("text", ((None, str(folder)),), vocab_size=300, tokenizer="bytes"))
