"""How does a row that an older version wrote become one of today? One function a version; each knows what it meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]


def migrated(row: Row, version: int) -> Row:
    """The row of `version` as SCHEMA_VERSION has it. Raises KeyError, TypeError or ValueError where it is none."""
    while version in _STEPS:
        row, version = _STEPS[version](row), version + 1
    return row


def _from_1(old: Row) -> Row:
    """Version 2 counts warm-up in steps, lets the weight decay follow the tokens, and tells how a run was laid out.

    What version 1 did not record was the only thing it could do: a constant decay, float32, AdamW, one device, nothing
    shared. The model is that of the spec, whose earliest form had no choices. `flops_6nd` counted all experts.
    """
    model = json.loads(old["spec_json"])["architecture"]
    active = old["n_params_non_embedding"] - _idle_experts(model)
    return {
        **{name: value for name, value in old.items() if name != "warmup_fraction"},
        "decay_tokens": old["d_tokens"],
        "decay_exponent": 0.0,
        "warmup_steps": max(1, round(old["warmup_fraction"] * old["steps"])),
        "precision": "float32",
        "mlp": model.get("mlp", "squared_relu"),
        "kv_heads": model["heads"] // model.get("queries_per_key", 1),
        "experts": model.get("experts", 1),
        "parametrisation": model.get("parametrisation", "complete_p"),
        "n_params_active": active,
        "flops_6nd": 6.0 * active * old["d_tokens"],
        "flops_spent": old["flops"],
    }


def _idle_experts(model: Row) -> float:
    """Parameters of the experts that a token is not sent to: depth x matrices x width x mlp_width of each."""
    idle = model.get("experts", 1) - model.get("experts_per_token", 1)
    matrices = 3 if model.get("mlp") == "swiglu" else 2
    return float(model["depth"] * matrices * model["width"] * model["mlp_width"] * idle)


_STEPS: dict[int, Callable[[Row], Row]] = {1: _from_1}
