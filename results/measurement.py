"""What an evaluation measured besides the loss: by domain, by position, by task. One row a figure."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

MEASUREMENT_SCHEMA = pa.schema(
    [
        pa.field("step", pa.int64()),
        pa.field("d_tokens", pa.float64()),
        pa.field("attempt", pa.int64()),
        pa.field("kind", pa.string()),
        pa.field("name", pa.string()),
        pa.field("metric", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("standard_error", pa.float64()),
        pa.field("count", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Measurement:
    step: int
    d_tokens: float  # seen so far
    attempt: int
    kind: str  # "all", "domain", "position" or "task"
    name: str  # of the domain or task; the first position of a bucket
    metric: str  # "loss" (nats per token), "bpb", "accuracy", …
    value: float
    standard_error: float | None
    count: int  # tokens or questions that it is the mean of
