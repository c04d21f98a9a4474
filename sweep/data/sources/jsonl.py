"""JSON lines, plain or compressed: one document a row, in a column of the user's choice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fitting.errors import InputError
from sweep.data.settings import DataSettings
from sweep.data.sources.files import File, files_of, is_compressed, opened
from sweep.data.sources.part import Document, Part

PART_BYTES = 32_000_000  # of a part; a compressed file is one part


def parts(settings: DataSettings, domain: str | None, path: str) -> list[Part]:
    made = []
    for file in files_of(path):
        step = max(1, file.size if is_compressed(file.url) else PART_BYTES)
        made += [_part(file, domain, start, min(start + step, file.size)) for start in range(0, file.size, step)]
    return made


def _part(file: File, domain: str | None, start: int, stop: int) -> Part:
    return Part(
        "jsonl",
        domain or "text",
        (file.url,),
        (file.size,),
        (file.changed,),
        start=start,
        stop=stop,
        weight=stop - start,
        named=file.named,
    )


def read(settings: DataSettings, part: Part) -> Iterator[Document | None]:
    (url,) = part.files
    with opened(url) as stream:
        position = 0
        if part.start:  # the row that begins before belongs to the part before
            stream.seek(part.start - 1)
            position = part.start - 1 + len(stream.readline())
        end = None if is_compressed(url) else part.stop
        while (end is None or position < end) and (line := stream.readline()):
            if line.strip():
                yield document(_row(line, url, position), settings, part.domain, url)
            position += len(line)


def document(row: dict[str, Any], settings: DataSettings, domain: str, where: str) -> Document | None:
    """Of one row. Raises InputError for a missing column or a value that is no text; None where it is empty."""
    if settings.column not in row:
        raise InputError(
            f"{where} has no column {settings.column!r}; its columns are {', '.join(map(str, row)) or 'none'}. Name "
            f"one as data.column"
        )
    text = row[settings.column]
    if text is None:
        return None
    if not isinstance(text, str):
        raise InputError(f"{where}: column {settings.column!r} holds {str(text)[:40]!r}, which is no text")
    if settings.domain_column is not None:
        if settings.domain_column not in row:
            raise InputError(f"{where} has no column {settings.domain_column!r} (data.domain_column)")
        domain = str(row[settings.domain_column])
    try:
        return Document(domain, text.encode("utf-8")) if text.strip() else None
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        return None


def _row(line: bytes, url: str, position: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        words = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).splitlines()[0]
        raise InputError(f"{url}: the line at byte {position} is no JSON: {words}. Mend it or leave it out") from None
    if not isinstance(row, dict):
        raise InputError(f"{url}: the line at byte {position} is no JSON object but {str(row)[:40]!r}")
    return row
