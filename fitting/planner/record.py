"""The JSON record of a plan: plain types, no number that JSON does not have."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Any

import numpy as np

from fitting.planner.belief import LEVEL
from fitting.planner.plan import Plan


def plan_record(plan: Plan) -> dict[str, Any]:
    """Every field of the plan by its name; {value, low, high} for a quantity; null where there is no finite number."""
    return {"level": LEVEL, **_plain(plan)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value.value if isinstance(value, enum.Enum) else value
