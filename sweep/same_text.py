"""Is the text still the one that this store's runs were trained on? Losses of two texts are not points of one law."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from fitting.errors import InputError
from results.record import RunRecord
from results.store import Store
from sweep.data.manifest import CorpusInfo
from sweep.data.settings import DataSettings


def require_same_text(store: Store, settings: DataSettings, info: CorpusInfo, records: Sequence[RunRecord]) -> None:
    """Raises InputError where the same settings gave another corpus before, and runs of it are in the store."""
    try:
        before = json.loads(_file(store, settings).read_text())
        fingerprint, since = str(before["fingerprint"]), float(before["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # asked for the first time, or the note is damaged: it only warns
    runs = sum(record.corpus_fingerprint == fingerprint for record in records)
    if fingerprint == info.fingerprint or not runs:
        return
    day = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d")
    raise InputError(
        f"the text of data={settings.source} changed: it was {fingerprint} on {day} for {runs} runs of this store, and "
        f"is {info.fingerprint} now. Losses of two texts are not points of one law: restore the text, or give another "
        f"store=FOLDER"
    )


def remember_text(store: Store, settings: DataSettings, info: CorpusInfo) -> None:
    """What these settings gave, for the next sweep."""
    note = {"fingerprint": info.fingerprint, "since": time.time(), "source": settings.source}
    Store(store.local).write_text(_name(settings), json.dumps(note) + "\n")


def _file(store: Store, settings: DataSettings) -> Path:
    return store.local / _name(settings)


def _name(settings: DataSettings) -> str:
    """By what was asked for; a relative path means another text in another folder."""
    paths = [[domain, _absolute(path)] for domain, path in settings.paths]
    asked = {
        **dataclasses.asdict(settings),
        "paths": paths,
        "held_out_paths": list(map(_absolute, settings.held_out_paths)),
    }
    return f"corpora/asked-{hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]}.json"


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).absolute())
