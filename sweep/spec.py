"""One fully resolved run. `run_id` is the hash of its canonical JSON, so the same question has the same name."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from models import Architecture
from sweep.data.order import Mixture, Order

SPEC_VERSION = 2  # raised when the same fields would train another way


@dataclass(frozen=True)
class DataSpec:
    """What is read, and what is judged."""

    corpus: str
    fingerprint: str
    sequence: int  # tokens
    eval_tokens: int  # size of the fixed held-out set, rounded down to whole sequences
    seed: int  # of the data order
    unique_tokens: int | None = None  # that the run may see, each as often as it takes; None: the whole corpus
    curriculum: tuple[tuple[int, Mixture], ...] = ()  # (first step, mixture of domains); empty: as the corpus is
    separator: int | None = None  # token that opens a document, where attention stops at it; None: it crosses

    @property
    def order(self) -> Order:
        return Order(self.seed, self.sequence, self.unique_tokens, self.curriculum)


@dataclass(frozen=True)
class OptimiserSpec:
    """Update rule and its settings; the rate and decay multipliers of each tensor are models/parametrisation.py's."""

    kind: str  # "adamw" (Loshchilov and Hutter 2019, arXiv:1711.05101) or "muon" (hidden matrices; AdamW for the rest)
    learning_rate: float  # peak, at width 64
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float  # decoupled, when decay_tokens tokens are seen; see sweep/schedule.py
    decay_tokens: float  # tokens
    decay_exponent: float  # the decay falls as tokens seen to the -decay_exponent
    clip_norm: float  # of the global gradient
    z_loss: float = 0.0  # coefficient of (ln Z)^2 in the training loss


@dataclass(frozen=True)
class ScheduleSpec:
    """Learning rate over the run; see sweep/schedule.py."""

    kind: str
    warmup_steps: int
    decay_fraction: float  # of the steps, wsd only


@dataclass(frozen=True)
class RunSpec:
    """Where and how it runs (launcher, mesh, packing, threads, paths) is not part of it."""

    architecture: Architecture
    data: DataSpec
    optimiser: OptimiserSpec
    schedule: ScheduleSpec
    steps: int
    batch_sequences: int
    seed: int  # of the initial parameters
    precision: str = "float32"  # of activations and products; parameters and moments are float32 always

    @property
    def batch_tokens(self) -> int:
        return self.batch_sequences * self.data.sequence

    @property
    def d_tokens(self) -> int:
        return self.steps * self.batch_tokens

    @property
    def flops(self) -> float:
        """Exact training FLOPs."""
        return self.flops_of(self.steps)

    def flops_of(self, steps: int) -> float:
        """Exact training FLOPs of so many steps."""
        return float(self.architecture.flops_per_token(self.data.sequence)) * self.batch_tokens * steps

    @property
    def canonical_json(self) -> str:
        fields = {"version": SPEC_VERSION, **_fields(self)}
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), default=_fields)

    @functools.cached_property
    def run_id(self) -> str:
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()[:16]


def spec_from_json(text: str) -> RunSpec:
    """The inverse of canonical_json."""
    fields = json.loads(text)
    version = fields.pop("version")
    if version != SPEC_VERSION:
        raise ValueError(f"spec version {version}; this software reads {SPEC_VERSION}")
    return RunSpec(
        architecture=Architecture(**fields.pop("architecture")),
        data=_data(fields.pop("data")),
        optimiser=OptimiserSpec(**fields.pop("optimiser")),
        schedule=ScheduleSpec(**fields.pop("schedule")),
        **fields,
    )


def _fields(part: Any) -> dict[str, Any]:
    """dataclasses.asdict copies all that it meets, which takes ten times as long."""
    return {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}


def _data(fields: dict[str, Any]) -> DataSpec:
    """JSON has no tuples."""
    curriculum = [(step, tuple((name, share) for name, share in mixture)) for step, mixture in fields.pop("curriculum")]
    return DataSpec(**fields, curriculum=tuple(curriculum))
