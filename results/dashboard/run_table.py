"""Which runs are in the table, and with which columns? Rows, groups of rows, and the columns to choose from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitting.show import si
from results.listing import plain, shown_status
from results.record import RunRecord


@dataclass(frozen=True)
class Column:
    """One column of the table; `unit` stands in its header."""

    field: str
    label: str
    unit: str = ""
    number: bool = True
    form: str = ".4~s"  # as d3 writes it; ~s: with a prefix, 1.2M


COLUMNS = (
    Column("run", "run", number=False),
    Column("status", "status", number=False),
    Column("n_params_non_embedding", "N", "non-emb."),
    Column("d_tokens", "D", "tokens"),
    Column("flops", "C", "FLOPs", form=".2e"),
    Column("loss", "loss", "nats/token", form=",.4f"),
    Column("loss_se", "± se", "nats/token", form=",.4f"),
    Column("bpb", "bpb", "bits/byte", form=",.4f"),
    Column("train_loss", "train loss", "nats/token", form=",.4f"),
    Column("learning_rate", "learning rate", form=",.5f"),
    Column("seed", "seed", form=",.0f"),
    Column("tokens_per_second", "speed", "tokens/s"),
    Column("mfu", "MFU", "%", form=",.1f"),
    Column("seconds", "training", "s", form=",.1f"),
    Column("epochs", "epochs", form=",.3f"),
    Column("spikes", "spikes", form=",.0f"),
    Column("n_params", "N all"),
    Column("width", "width", form=",.0f"),
    Column("depth", "depth", form=",.0f"),
    Column("batch_tokens", "batch", "tokens", form=",.0f"),
    Column("weight_decay", "weight decay", form=",.4f"),
    Column("role", "role", number=False),
    Column("sweep", "sweep", number=False),
    Column("optimiser", "optimiser", number=False),
    Column("schedule", "schedule", number=False),
    Column("mlp", "MLP", number=False),
    Column("precision", "precision", number=False),
    Column("corpus", "corpus", number=False),
    Column("host", "host", number=False),
    Column("device", "device", number=False),
    Column("started", "started", "UTC", number=False),
    Column("sentence", "sentence", number=False),
)
BY_FIELD = {column.field: column for column in COLUMNS}
DEFAULT_COLUMNS = (
    "run",
    "status",
    "n_params_non_embedding",
    "d_tokens",
    "flops",
    "loss",
    "bpb",
    "tokens_per_second",
    "seconds",
    "sentence",
)
GROUPS = ("status", "n_params_non_embedding", "d_tokens", "sweep", "role", "optimiser", "schedule", "mlp", "corpus")
GROUPS += ("precision", "seed", "learning_rate", "host")


def rows(records: Sequence[RunRecord], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Newest first; JSON only. The id of each row is the run's."""
    wanted = [name for name in columns if name not in ("run", "status", "started")]
    found = []
    for record in reversed(records):
        row: dict[str, Any] = {
            "id": record.run_id,
            "run": plain(record.run_id[:12]),
            "status": plain(shown_status(record)),
        }
        if "started" in columns:
            row["started"] = _stamp(record.started_at)
        for name in wanted:
            value = getattr(record, name)
            row[name] = plain(value) if isinstance(value, str) else _finite(value, 100.0 if name == "mfu" else 1.0)
        found.append(row)
    return found


def grouped(records: Sequence[RunRecord], by: str) -> list[dict[str, Any]]:
    """One row for each value of a column: how many runs, and the best, mean and worst loss."""
    groups: dict[Any, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(shown_status(record) if by == "status" else getattr(record, by), []).append(record)
    found = []
    for value, mine in sorted(groups.items(), key=lambda item: (str(type(item[0])), item[0])):
        losses = [record.loss for record in mine if record.loss is not None and math.isfinite(record.loss)]
        shown = si(value) if isinstance(value, float) and value >= 1000 else plain(str(value))
        found.append(
            {
                "id": shown,
                "value": shown,
                "order": value if isinstance(value, (int, float)) else None,
                "runs": len(mine),
                "done": sum(record.status == "done" for record in mine),
                "best": min(losses, default=None),
                "mean": sum(losses) / len(losses) if losses else None,
                "worst": max(losses, default=None),
                "flops": sum(record.flops for record in mine),
            }
        )
    return found


def column_definitions(columns: Sequence[str]) -> list[dict[str, Any]]:
    """For AG Grid. Numbers are formatted in the browser, so that sorting and filtering see them whole."""
    shown = [BY_FIELD[name] for name in columns if name in BY_FIELD]
    return [_definition(column, first=place == 0) for place, column in enumerate(shown)]


def group_definitions(by: str) -> list[dict[str, Any]]:
    count = {"filter": "agNumberColumnFilter", "type": "rightAligned"}
    loss, flops = {**count, "valueFormatter": _formatter(".4f")}, {**count, "valueFormatter": _formatter(".2e")}
    head: dict[str, Any] = {"field": "value", "headerName": BY_FIELD[by].label, "filter": "agTextColumnFilter"}
    return [
        head,
        {"field": "runs", "headerName": "runs", **count},
        {"field": "done", "headerName": "done", **count},
        {"field": "best", "headerName": "lowest loss", **loss},
        {"field": "mean", "headerName": "mean loss", **loss},
        {"field": "worst", "headerName": "highest loss", **loss},
        {"field": "flops", "headerName": "C (FLOPs)", **flops},
    ]


def _definition(column: Column, first: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "field": column.field,
        "headerName": f"{column.label} ({column.unit})" if column.unit else column.label,
        "filter": "agNumberColumnFilter" if column.number else "agTextColumnFilter",
        "tooltipField": column.field,
    }
    if column.number:
        made |= {"type": "rightAligned", "valueFormatter": _formatter(column.form)}
    if column.field == "sentence":
        made |= {"flex": 1, "minWidth": 260}
    if first:
        made |= {"pinned": "left"}
    return made


def _formatter(form: str) -> dict[str, str]:
    """results/assets/dashboard.js has the function."""
    return {"function": f"isoflopNumber(params.value, d3.format('{form}'))"}


def _finite(value: Any, scale: float) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value * scale:.7g}") if math.isfinite(value) else None  # more digits than any column shows


def _stamp(seconds: float | None) -> str:
    import time

    try:
        return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return ""


def as_columns(names: Mapping[str, Any] | Sequence[str]) -> list[str]:
    return [name for name in names if name in BY_FIELD] or list(DEFAULT_COLUMNS)
