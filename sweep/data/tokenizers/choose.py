"""Which tokenizer does a setting name? And how is one kept beside a corpus?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fitting.errors import InputError
from sweep.data.tokenizers import library, ranks, sentencepiece
from sweep.data.tokenizers.raw import RawBytes
from sweep.data.tokenizers.tokenizer import Tokenizer
from sweep.data.tokenizers.unknown import Unknown

FILES = {
    "bytes": None,
    "none": None,
    "library": "tokenizer.json",
    "tiktoken": "ranks.tiktoken",
    "sentencepiece": "tokenizer.model",
}


def named(setting: str, vocab_size: int, separator: str | None, sample: Callable[[], Sequence[bytes]]) -> Tokenizer:
    """The tokenizer of a setting: bytes, bpe (trained on `sample()`), none, or a path to a vocabulary.

    Paths: tokenizer.json (or a folder that holds one), NAME.tiktoken, NAME.model. Raises InputError.
    """
    if setting == "bytes":
        return RawBytes()
    if setting == "bpe":
        if not library.SMALLEST_BPE <= vocab_size <= library.LARGEST_BPE:
            allowed = f"{library.SMALLEST_BPE} to {library.LARGEST_BPE}"
            raise InputError(f"data.vocab_size is {vocab_size}; allowed for bpe is {allowed}")
        return library.train_bpe(sample(), vocab_size)
    if setting == "none":
        if separator is not None and not (separator.isdigit() and int(separator) < vocab_size):
            raise InputError(
                f"data.separator is {separator!r}; allowed without a tokenizer is a token below {vocab_size}"
            )
        return Unknown(vocab_size, None if separator is None else int(separator))
    plain, _, pattern = setting.partition("#")
    path = Path(plain).expanduser()
    if path.is_dir() and (path / "tokenizer.json").is_file():
        path = path / "tokenizer.json"
    if path.suffix not in (".json", ".tiktoken", ".model"):
        raise InputError(
            f"data.tokenizer is {setting!r}; allowed are bytes, bpe, none, and the path of a tokenizer.json, a "
            f".tiktoken or a SentencePiece .model file"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"data.tokenizer {plain!r} cannot be read: {error.strerror}") from None
    if path.suffix == ".json":
        name = path.parent.name if path.name == "tokenizer.json" and path.parent.name else path.stem
        try:
            return library.from_json(content.decode("utf-8"), name, separator)
        except UnicodeDecodeError:
            raise InputError(f"data.tokenizer {plain!r} is no tokenizer.json: it is not UTF-8") from None
    if path.suffix == ".tiktoken":
        return ranks.from_file(content, path.name, pattern or None, separator)
    return sentencepiece.from_file(content, path.name, separator)


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Its file, under the name of its kind."""
    name = FILES[tokenizer.kind]
    if name is not None:
        (folder / name).write_bytes(tokenizer.content)


def load(folder: Path, kind: str, name: str, separator: int | None, vocab_size: int) -> Tokenizer:
    """The inverse of `save`."""
    if kind == "bytes":
        return RawBytes()
    if kind == "none":
        return Unknown(vocab_size, separator)
    file = FILES[kind]
    assert file is not None
    content = (folder / file).read_bytes()
    assert separator is not None
    if kind == "library":
        return library.Library(content.decode(), name, separator, vocab_size)
    if kind == "tiktoken":
        return ranks.Ranks(content, name, separator)
    return sentencepiece.SentencePiece(content, name, separator)
