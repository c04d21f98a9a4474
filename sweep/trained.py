"""A finished run, ready for use: its parameters, its vocabulary."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitting.errors import InputError
from results.record import RunRecord, RunStatus
from results.store import Store
from sweep.data.corpus import Corpus
from sweep.data.manifest import MANIFEST, read_manifest
from sweep.data.tokenizers.choose import FILES
from sweep.spec import RunSpec, spec_from_json


@dataclass(frozen=True)
class Trained:
    """`corpus` knows its tokenizer; its shards need not be on this machine."""

    record: RunRecord
    spec: RunSpec
    params: dict[str, Any]  # float32, by tensor name
    corpus: Corpus


def keep_vocabulary(store: Store, corpus: Corpus) -> None:
    """Manifest and tokenizer of a corpus into the store, so that its runs can be used without the corpus."""
    folder = _folder(store, corpus.info.fingerprint)
    if (folder / MANIFEST).exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        names = [MANIFEST, "token_bytes.npy", FILES[corpus.info.tokenizer_kind]]
        for name in filter(None, names):
            shutil.copyfile(corpus.folder / name, temporary / name)
        os.chmod(temporary, 0o755)
        os.replace(temporary, folder)
    except OSError:
        if not (folder / MANIFEST).exists():  # else another process was faster, with the same content
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_run(store: Store, run: str) -> Trained:
    """By its run_id or the beginning of it. Raises InputError where there is no such finished run."""
    import jax

    from sweep.checkpoint import checkpoints_of
    from sweep.train import program_for

    records, _ = store.records()
    found = [record for record in records if record.run_id.startswith(run)]
    if len(found) != 1:
        what = "no run" if not found else f"{len(found)} runs"
        raise InputError(
            f"store {store.name} has {what} whose name begins with {run!r}; python -m results ls lists them"
        )
    (record,) = found
    if record.status != RunStatus.DONE:
        raise InputError(f"run {record.run_id} is {record.status} ({record.sentence}); take one that is done")
    try:
        spec = spec_from_json(record.spec_json)
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"run {record.run_id} was trained by another version of isoflop ({error}): this one cannot use its "
            f"parameters. Train it again"
        ) from None
    checkpoints = checkpoints_of(store, record.run_id)
    like = jax.tree.map(jax.numpy.asarray, program_for(spec).initial_state(0))
    restored = checkpoints.restore(like)
    checkpoints.close()
    if restored is None:
        raise InputError(
            f"run {record.run_id} has no checkpoint in {store.name}; its parameters are gone. Train it again"
        )
    folder = _folder(store, record.corpus_fingerprint)
    return Trained(record, spec, restored[1].params, Corpus(read_manifest(folder), folder))


def _folder(store: Store, fingerprint: str) -> Path:
    return store.local / "corpora" / fingerprint
