"""What the tests of training share: a corpus of bytes, and runs on it that take a second."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from models import Architecture
from sweep.data.corpus import Corpus
from sweep.data.prepare import prepare
from sweep.data.settings import DataSettings
from sweep.place import Place
from sweep.spec import DataSpec, OptimiserSpec, RunSpec, ScheduleSpec

TINY = Architecture(width=16, depth=2, heads=1, mlp_width=32, vocab_size=257)


def byte_corpus(text_folder: Path) -> Corpus:
    return prepare(DataSettings("text", ((None, str(text_folder)),), tokenizer="bytes"))


# At a rate four times as high, float32 rounding grows to 1e-2 of the loss within 150 steps; here it stays at 1e-7.
ADAMW = OptimiserSpec("adamw", 2e-3, 0.9, 0.95, 1e-10, 0.1, 1e4, 0.5, 1.0)
WSD = ScheduleSpec("wsd", 15, 0.3)


def make_spec(corpus, steps: int = 150, **changes) -> RunSpec:
    spec = RunSpec(
        architecture=TINY,
        data=DataSpec(corpus.info.source, corpus.info.fingerprint, sequence=16, eval_tokens=1024, seed=0),
        optimiser=ADAMW,
        schedule=WSD,
        steps=steps,
        batch_sequences=4,
        seed=0,
    )
    return dataclasses.replace(spec, **changes)


def place(corpus, store, **changes) -> Place:
    return dataclasses.replace(Place(str(store), str(corpus.folder), "test", "fit", "test", 1e9), **changes)
