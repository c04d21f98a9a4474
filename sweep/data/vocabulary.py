"""The vocabulary of a corpus: read from its file, or trained on a sample of the parts and kept beside them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fitting.errors import InputError
from sweep.data import sources, tokenizers
from sweep.data.order import evenly_spaced
from sweep.data.settings import DataSettings
from sweep.data.sources.part import Part, is_held_out
from sweep.data.tokenizers import Tokenizer
from sweep.data.tokenizers.library import Library

SAMPLE_BYTES = 8_000_000  # of text for a BPE: more changes the merges of a small vocabulary little (assumption)
SAMPLED_PARTS = 64


def tokenizer_of(settings: DataSettings, parts: Sequence[Part], kept: Path) -> Tokenizer:
    """A vocabulary trained here is kept in a file, so that a resumed preparation goes on with the very same."""
    if settings.tokenizer == "bpe" and kept.exists():
        fields = json.loads(kept.read_text())
        return Library(**fields)
    made = tokenizers.named(
        settings.tokenizer, settings.vocab_size, settings.separator, lambda: _sample(settings, parts)
    )
    if settings.tokenizer == "bpe":
        assert dataclasses.is_dataclass(made)
        assert not isinstance(made, type)
        kept.with_suffix(".tmp").write_text(json.dumps(dataclasses.asdict(made)))
        os.replace(kept.with_suffix(".tmp"), kept)
    return made


def _sample(settings: DataSettings, parts: Sequence[Part]) -> list[bytes]:
    """Training documents from the beginnings of evenly spaced parts."""
    chosen = [parts[i] for i in evenly_spaced(len(parts), SAMPLED_PARTS)]
    texts: list[bytes] = []
    for part in chosen:
        size = 0
        for document in sources.read(settings, part):
            if document is None or document.text is None or part.held_out:
                continue
            if is_held_out(np.frombuffer(document.digest, "<u8")[:1])[0]:
                continue
            texts.append(document.text)
            size += len(document.text)
            if size >= SAMPLE_BYTES / len(chosen):
                break
    if not texts:
        raise InputError("the source holds no UTF-8 text to train a vocabulary on; give text, Markdown or code")
    return texts
