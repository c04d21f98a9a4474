"""A file to an archive by a finished run, and back: what `python -m sweep.data compress` and `decompress` do."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from fitting.errors import InputError
from results.store import Store
from sweep.data.compress import compress, decompress, pack, unpack
from sweep.trained import Trained, load_run

Report = Callable[[str, float], None]


@dataclass(frozen=True)
class Archived:
    """How small a file became; bits per byte of the whole archive, header included."""

    file: str
    archive: str
    run_id: str
    n_params: float
    raw_bytes: int
    archive_bytes: int
    coded_bytes: int  # of the archive, without its header
    predicted_bytes: float  # sum of -log2 p over the tokens / 8
    model_bytes: float  # of the float32 parameters that the reader has to hold

    @property
    def bits_per_byte(self) -> float:
        return 8 * self.archive_bytes / self.raw_bytes

    @property
    def ratio(self) -> float:
        """Raw bytes / archive bytes, the model not counted."""
        return self.raw_bytes / self.archive_bytes

    @property
    def lossless_ratio(self) -> float:
        """Raw bytes / (archive + model): what a reader without the model would have to be sent."""
        return self.raw_bytes / (self.archive_bytes + self.model_bytes)


def compress_file(store: Store, run: str, file: Path, out: Path, report: Report) -> Archived:
    """Raises InputError where the file cannot be read or the vocabulary does not give it back exactly."""
    content = _read(file)
    if not content:
        raise InputError(f"{file} is empty; there is nothing to compress")
    model = load_run(store, run)
    ids = _tokens(model, content, file)
    made = compress(
        model.spec.architecture,
        model.params,
        ids,
        model.spec.data.sequence,
        _start(model),
        lambda done: report("coding", done / len(ids)),
    )
    header = {
        "run_id": model.record.run_id,
        "tokenizer": model.corpus.info.tokenizer_fingerprint,
        "tokens": len(ids),
        "length": model.spec.data.sequence,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "jax": jax.__version__,
        "backend": jax.default_backend(),
    }
    archive = pack(header, made.data)
    _write(out, archive)
    return Archived(
        str(file),
        str(out),
        model.record.run_id,
        model.record.n_params,
        len(content),
        len(archive),
        len(made.data),
        made.predicted_bits / 8,
        4.0 * model.record.n_params,
    )


def decompress_file(store: Store, archive: Path, out: Path, report: Report) -> int:
    """Bytes written. Raises InputError where the archive, the run or this software do not fit together."""
    header, payload = unpack(_read(archive))
    model = load_run(store, str(header["run_id"]))
    here = {
        "tokenizer": model.corpus.info.tokenizer_fingerprint,
        "jax": jax.__version__,
        "backend": jax.default_backend(),
    }
    for name, value in here.items():
        if header.get(name) != value:
            raise InputError(
                f"{archive} was written with {name} {header.get(name)}, here is {value}; probabilities would differ in "
                f"their last bits. Read it with what wrote it"
            )
    count = int(header["tokens"])
    ids = decompress(
        model.spec.architecture,
        model.params,
        payload,
        count,
        int(header["length"]),
        _start(model),
        lambda done: report("decoding", done / count),
    )
    content = model.corpus.tokenizer.text(ids)
    if hashlib.sha256(content).hexdigest() != header["sha256"]:
        raise InputError(
            f"{archive} does not give back the file that it was made of (another SHA-256): another machine or version "
            f"wrote it, or its model changed. Nothing was written"
        )
    _write(out, content)
    return len(content)


def _tokens(model: Trained, content: bytes, file: Path) -> np.ndarray:
    tokenizer = model.corpus.tokenizer
    if tokenizer.kind != "bytes":
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(
                f"{file} is not UTF-8 text, and the run's vocabulary ({tokenizer.name}) knows text alone; take a run "
                f"trained with data.tokenizer=bytes"
            ) from None
    (ids,) = tokenizer.ids([content])
    if tokenizer.text(ids) != content:
        raise InputError(
            f"{file}: the vocabulary {tokenizer.name} does not give it back exactly; take a byte-level one"
        )
    return ids


def _start(model: Trained) -> int:
    return model.corpus.info.separator or 0


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None


def _write(file: Path, content: bytes) -> None:
    """By rename: whoever sees the file sees all of it."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        os.chmod(name, 0o644)
        os.replace(name, file)
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from None
