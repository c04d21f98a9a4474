"""What is promised before a run is trained? A forecast, sealed in the store, which nothing replaces."""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass


@dataclass(frozen=True)
class Forecast:
    """A prediction sealed before its run is trained."""

    run_id: str
    law: str
    points_sha256: str
    points: int
    n_definition: str
    loss: float
    low: float
    high: float
    level: float
    span: float  # target FLOPs / largest fitted FLOPs
    status: str
    sentence: str
    sealed_at: float  # seconds since 1970 (UTC)


def forecast_text(forecast: Forecast) -> str:
    return json.dumps(dataclasses.asdict(forecast), indent=2) + "\n"


def forecast_of(text: str | bytes) -> Forecast:
    """Raises TypeError or ValueError where a field is missing, unknown or of another kind."""
    forecast = Forecast(**json.loads(text))
    for name, kind in typing.get_type_hints(Forecast).items():
        value = getattr(forecast, name)
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r:.60}, not of type {kind.__name__}")
    return forecast
