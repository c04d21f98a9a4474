"""Parquet files: one document a row of a text column, read row group by row group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fitting.errors import InputError
from sweep.data.settings import DataSettings
from sweep.data.sources.files import files_of
from sweep.data.sources.jsonl import document
from sweep.data.sources.part import Document, Part

PART_BYTES = 32_000_000  # uncompressed
ROWS_AT_ONCE = 1024


def parts(settings: DataSettings, domain: str | None, path: str) -> list[Part]:
    made = []
    for file in files_of(path):
        metadata = _open(file.url, settings).metadata
        start, weight = 0, 0
        for group in range(metadata.num_row_groups):
            weight += metadata.row_group(group).total_byte_size
            if weight >= PART_BYTES or group + 1 == metadata.num_row_groups:
                made.append(
                    Part(
                        "parquet",
                        domain or "text",
                        (file.url,),
                        (file.size,),
                        (file.changed,),
                        start=start,
                        stop=group + 1,
                        weight=weight,
                        named=file.named,
                    )
                )
                start, weight = group + 1, 0
    return made


def read(settings: DataSettings, part: Part) -> Iterator[Document | None]:
    import pyarrow as pa

    (url,) = part.files
    assert part.stop is not None
    columns = [settings.column, *([settings.domain_column] if settings.domain_column else [])]
    groups = range(part.start, part.stop)
    batches = _open(url, settings).iter_batches(ROWS_AT_ONCE, row_groups=list(groups), columns=columns)
    try:
        for batch in batches:
            for row in batch.to_pylist():
                yield document(row, settings, part.domain, url)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(url, error) from None


def _open(url: str, settings: DataSettings) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if "://" in url:
            import fsspec

            file = pq.ParquetFile(fsspec.open(url, "rb").open())
        else:
            file = pq.ParquetFile(url)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(url, error) from None
    for column in (settings.column, settings.domain_column):
        if column is not None and column not in file.schema_arrow.names:
            raise InputError(
                f"{url} has no column {column!r}; its columns are {', '.join(file.schema_arrow.names)}. Name one as "
                f"data.column"
            )
    return file


def _damaged(url: str, error: Exception) -> InputError:
    words = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{url} cannot be read as Parquet: {words}. Restore it or leave it out")
