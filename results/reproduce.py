"""Which command trains this run again? The line to paste, from the specification that its record holds."""

from __future__ import annotations

import json
import shlex
from typing import Any

from results.record import RunRecord

MODEL = ("width", "depth", "heads", "mlp_width", "mlp", "queries_per_key", "tied", "qk_norm", "experts")
MODEL += ("experts_per_token", "parametrisation")
OPTIMISER = ("kind", "learning_rate", "beta1", "beta2", "epsilon", "weight_decay", "decay_tokens", "decay_exponent")
OPTIMISER += ("clip_norm", "z_loss")
SCHEDULE = ("kind", "warmup_steps", "decay_fraction")


def command_of(record: RunRecord) -> str | None:
    """Every setting is said, so that no default of another version slips in. None: the specification says too little.

    The text is not named by its place, which no record holds: data.path has to be added where it came from one.
    """
    try:
        words = _overrides(json.loads(record.spec_json), record)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return "python -m sweep " + " ".join(shlex.quote(word) for word in words)


def needs_path(record: RunRecord) -> bool:
    """Whether the reader has to add where the text lies."""
    return record.corpus not in ("python_source", "synthetic")


def _overrides(spec: dict[str, Any], record: RunRecord) -> list[str]:
    model, data, optimiser, schedule = (spec[name] for name in ("architecture", "data", "optimiser", "schedule"))
    words = [f"data={record.corpus}", f"data.vocab_size={model['vocab_size']}"]
    words += [f"model.{name}={_value(model[name])}" for name in MODEL]
    words += [f"data.tokens={spec['steps'] * spec['batch_sequences'] * data['sequence']}"]
    words += [f"data.{name}={_value(data[name])}" for name in ("sequence", "eval_tokens", "seed", "unique_tokens")]
    if record.epochs > 1:
        words.append(f"data.max_epochs={record.epochs * 1.0001:.6g}")
    if data["curriculum"]:
        parts = [
            f"{step}: {{{', '.join(f'{name}: {share}' for name, share in mix)}}}" for step, mix in data["curriculum"]
        ]
        words.append(f"data.curriculum={{{', '.join(parts)}}}")
    if data["separator"] is not None:
        words.append("data.cross_documents=false")
    words += [f"optimiser.{name}={_value(optimiser[name])}" for name in OPTIMISER]
    words += ["optimiser.rate_exponent=0", f"optimiser.batch_sequences={spec['batch_sequences']}"]
    words += [f"schedule.{name}={_value(schedule[name])}" for name in SCHEDULE]
    return [*words, f"seed={spec['seed']}", f"precision={spec['precision']}"]


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
