"""Which text, which tokens: what a corpus is asked to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSettings:
    """From conf/data/ or `python -m sweep.data prepare`. A default lives here and in no other place."""

    source: str  # a format of sweep.data.sources.FORMATS, "auto" (by file name), or "prepared"
    paths: tuple[tuple[str | None, str], ...] = ()  # (domain or None, folder, glob, file or URL)
    held_out_paths: tuple[str, ...] = ()  # whose documents are all held out; empty: 1 in 20 by hash of its content
    tokenizer: str = "bpe"  # bytes, bpe, or a path; see sweep.data.tokenizers.choose
    vocab_size: int = 1024  # for bpe, and for tokens without a tokenizer
    separator: str | None = None  # token that ends a document, for vocabularies that do not tell
    column: str = "text"  # of JSONL, Parquet and Hugging Face rows
    domain_column: str | None = None  # of the same rows; None: one domain a path
    split: str = "train"  # of a Hugging Face data set
    synthetic_tokens: int = 10_000_000
    synthetic_seed: int = 0
