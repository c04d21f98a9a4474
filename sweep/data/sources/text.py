"""Plain text, Markdown, code: a file is a document; a long file is cut at line ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import IO

from fitting.errors import InputError
from sweep.data.settings import DataSettings
from sweep.data.sources.files import File, files_of, is_compressed, opened
from sweep.data.sources.part import Document, Part

PART_BYTES = 16_000_000  # of a part: what one worker holds at once
LONG = 128_000  # bytes, above which a file is cut into …
PIECE = 16_000  # … documents of about so many bytes: a single book still has something to hold out
LONGEST_LINE = 64_000  # bytes; beyond, a line is cut as well


def parts(settings: DataSettings, domain: str | None, path: str) -> list[Part]:
    made: list[Part] = []
    together: list[File] = []
    weight = 0
    for file in files_of(path):
        if file.size > PART_BYTES and not is_compressed(file.url):
            made += [
                _part([file], domain, start, min(start + PART_BYTES, file.size))
                for start in range(0, file.size, PART_BYTES)
            ]
            continue
        together.append(file)
        weight += file.size
        if weight >= PART_BYTES:
            made.append(_part(together, domain))
            together, weight = [], 0
    return made + ([_part(together, domain)] if together else [])


def _part(files: list[File], domain: str | None, start: int = 0, stop: int | None = None) -> Part:
    """The domain of a file: as given, else the first folder of its name."""
    return Part(
        "text",
        domain or "text",
        tuple(file.url for file in files),
        tuple(file.size for file in files),
        tuple(file.changed for file in files),
        tuple(domain or (file.name.split("/")[0] if "/" in file.name else "text") for file in files),
        start,
        stop,
        weight=sum(file.size for file in files) if stop is None else stop - start,
        named=all(file.named for file in files),
    )


def read(settings: DataSettings, part: Part) -> Iterator[Document | None]:
    """None for a file that is no UTF-8 text, or is empty."""
    for url, size, domain in zip(part.files, part.sizes, part.domains, strict=True):
        for position, text in _pieces(url, part, size):
            try:
                text.decode("utf-8")
            except UnicodeDecodeError as error:
                if part.named:
                    raise InputError(
                        f"{url} is not UTF-8 text (byte {text[error.start]:#04x} at {position + error.start}); convert "
                        f"it"
                    ) from None
                yield None
                break
            yield Document(domain, text) if text.strip() else None


def _pieces(url: str, part: Part, size: int) -> Iterator[tuple[int, bytes]]:
    """(first byte, text): the whole of a short file; of a long one or a range, whole lines.

    A range has the lines that begin in it, the last one to its end.
    """
    with opened(url) as stream:
        if part.stop is None and size <= LONG and not is_compressed(url):
            yield 0, stream.read()
            return
        end = math.inf if part.stop is None else part.stop
        position = 0
        if part.start:
            stream.seek(part.start - 1)
            position = part.start - 1 + len(stream.readline())
        piece: list[bytes] = []
        held, inside = 0, False  # inside a line
        while (position < end or inside) and (line := stream.readline(LONGEST_LINE)):
            if len(line) == LONGEST_LINE:
                line += _rest_of_character(stream)
            position += len(line)
            piece.append(line)
            held += len(line)
            inside = not line.endswith(b"\n")
            if held >= PIECE:
                yield position - held, b"".join(piece)
                piece, held = [], 0
        if piece:
            yield position - held, b"".join(piece)


def _rest_of_character(stream: IO[bytes]) -> bytes:
    """Up to three continuation bytes: a line without an end is cut between characters."""
    rest = b""
    while len(rest) < 3 and (ahead := stream.peek(1)[:1]) and ahead[0] & 0xC0 == 0x80:  # ty: ignore[missing-attribute]
        rest += stream.read(1)
    return rest
