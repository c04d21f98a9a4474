"""How is one run written in a row? The cells that `ls` and the report share, and what a run is doing really."""

from __future__ import annotations

import math
import os
import socket
from dataclasses import dataclass
from typing import Any

from fitting.show import si
from results.record import CHECK, TARGET, RunRecord, RunStatus

HEADERS = ("run", "N", "D", "FLOPs", "loss", "bits/byte", "tokens/s", "status")
UNITS = ("", "non-embedding", "tokens", "exact", "nats/token", "", "", "")


@dataclass(frozen=True)
class Row:
    """Text only, in the order of HEADERS; the sentence says why the status is what it is."""

    cells: tuple[str, ...]
    sentence: str
    status: str  # as shown: "running (process gone)" too


def run_row(record: RunRecord, id_length: int = 8) -> Row:
    status = shown_status(record)
    cells = (
        plain(record.run_id[:id_length]),
        si(record.n_params_non_embedding),
        si(record.d_tokens),
        f"{record.flops:.2e}",
        _loss(record),
        "" if record.bpb is None else f"{record.bpb:.4f}",
        "" if record.tokens_per_second is None else f"{record.tokens_per_second:,.0f}",
        plain(status) + (f", {record.role}" if record.role in (TARGET, CHECK) else ""),
    )
    return Row(cells, plain(record.sentence), status)


def shown_status(record: RunRecord) -> str:
    """The status; a running record whose process on this host has died is told apart from one that runs."""
    if record.status != RunStatus.RUNNING or record.host != socket.gethostname() or record.pid is None:
        return str(record.status)
    return "running" if _alive(record.pid) else "running (process gone)"


def run_json(record: RunRecord) -> dict[str, Any]:
    """All columns plus `shown_status`; numbers that JSON cannot hold become null."""
    row = {"shown_status": shown_status(record), **vars(record)}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def plain(text: str) -> str:
    """One line without control characters: a name in a store must not steer a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _loss(record: RunRecord) -> str:
    if record.loss is None:
        return ""
    return f"{record.loss:.4f}" + ("" if record.loss_se is None else f" ±{record.loss_se:.3f}")


def _alive(pid: int) -> bool:
    if pid <= 0:  # signals to 0 and below go to groups
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
