"""Learning rate and weight decay at each step."""

from __future__ import annotations

import numpy as np

from fitting.errors import InputError
from sweep.spec import RunSpec, ScheduleSpec

KINDS = ("wsd", "cosine", "linear")
COSINE_FLOOR = 0.1  # Hoffmann et al. 2022, appendix B: decay to a tenth
LONGEST_WARMUP = 0.5  # of the steps: a very short run warms up over half of itself


def rate_fractions(schedule: ScheduleSpec, steps: int, at: np.ndarray | None = None) -> np.ndarray:
    """(steps,) float32, of the peak.

    All warm up linearly over warmup_steps. Then wsd holds and falls linearly to zero over the last decay_fraction of
    the steps (Hu et al. 2024, arXiv:2404.06395), so that runs that differ in their horizon alone do the same until the
    shorter one decays; cosine falls to a tenth at the horizon; linear falls to zero.
    """
    if schedule.kind not in KINDS:
        raise InputError(f"schedule.kind is {schedule.kind!r}; allowed are {', '.join(KINDS)}")
    step = np.arange(steps) if at is None else at
    warmup = warmup_steps(schedule, steps)
    rise = np.minimum(1.0, (step + 1) / warmup) if warmup else np.ones(len(step))
    if schedule.kind == "wsd":
        fall = np.clip((steps - step) / decay_steps(schedule, steps), 0.0, 1.0)
    elif schedule.kind == "cosine":
        fall = COSINE_FLOOR + (1 - COSINE_FLOOR) * 0.5 * (1 + np.cos(np.pi * step / steps))
    else:
        fall = 1 - step / steps
    return (rise * fall).astype(np.float32)


def warmup_steps(schedule: ScheduleSpec, steps: int) -> int:
    return min(schedule.warmup_steps, int(LONGEST_WARMUP * steps))


def decay_steps(schedule: ScheduleSpec, steps: int) -> int:
    return max(1, round(schedule.decay_fraction * steps))


def learning_rates(spec: RunSpec, at: np.ndarray | None = None) -> np.ndarray:
    """(steps,) float32 at width 64; of these steps alone where they are given."""
    return rate_fractions(spec.schedule, spec.steps, at) * np.float32(spec.optimiser.learning_rate)


def weight_decays(spec: RunSpec, at: np.ndarray | None = None) -> np.ndarray:
    """(steps,) float32: weight_decay (decay_tokens / tokens seen)^decay_exponent, at most its value after warm-up.

    AdamW averages its updates over 1 / (rate x decay) steps; an exponent of 1 would keep that a fixed part of what was
    seen so far (Wang and Aitchison 2024, arXiv:2405.13698). It follows the tokens seen and not the horizon, so that
    runs of several horizons share their beginning; what serves best is measured in docs/recipe.md.
    """
    optimiser = spec.optimiser
    step = np.arange(spec.steps) if at is None else at
    seen = np.maximum(step + 1, max(1, spec.schedule.warmup_steps)) * float(spec.batch_tokens)
    return (optimiser.weight_decay * (optimiser.decay_tokens / seen) ** optimiser.decay_exponent).astype(np.float32)
