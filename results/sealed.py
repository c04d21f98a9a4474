"""What is promised before a run is trained? A forecast, sealed in the store, which nothing replaces."""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass


@dataclass(frozen=True)
class Forecast:
    """A prediction sealed before its run is trained: one for each run, law and set of points."""

    run_id: str
    law: str  # "auto": the average of laws
    points_sha256: str
    points: int
    n_definition: str
    loss: float
    low: float  # of the interval at `level`
    high: float
    level: float
    span: float  # target FLOPs / largest fitted FLOPs
    status: str
    sentence: str
    sealed_at: float  # seconds since 1970 (UTC)
    # None: sealed by a version that kept no such figure
    low50: float | None = None  # of the 50% interval
    high50: float | None = None
    flops: float | None = None  # exact training FLOPs of the run
    n_params: float | None = None  # non-embedding
    d_tokens: float | None = None


def forecast_text(forecast: Forecast) -> str:
    return json.dumps(dataclasses.asdict(forecast), indent=2) + "\n"


def forecast_of(text: str | bytes) -> Forecast:
    """Raises TypeError or ValueError where a field is missing, unknown or of another kind."""
    forecast = Forecast(**json.loads(text))
    for name, hint in typing.get_type_hints(Forecast).items():
        kinds, value = typing.get_args(hint) or (hint,), getattr(forecast, name)
        allowed = (*kinds, int) if float in kinds else kinds
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r:.60}, not of type {kinds[0].__name__}")
    return forecast
