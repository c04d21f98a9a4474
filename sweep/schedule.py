"""The learning rate at each step, as a fraction of its peak."""

from __future__ import annotations

import numpy as np

from fitting.errors import InputError
from sweep.spec import ScheduleSpec

KINDS = ("wsd", "cosine", "linear")
COSINE_FLOOR = 0.1  # Hoffmann et al. 2022, appendix B: decay to a tenth


def rate_fractions(schedule: ScheduleSpec, steps: int) -> np.ndarray:
    """(steps,) float32.

    All warm up linearly over warmup_fraction of the steps. Then wsd holds and falls linearly to zero over the last
    decay_fraction (Hu et al. 2024, arXiv:2404.06395); cosine falls to a tenth at the horizon; linear falls to zero.
    """
    if schedule.kind not in KINDS:
        raise InputError(f"schedule.kind is {schedule.kind!r}; allowed are {', '.join(KINDS)}")
    step = np.arange(steps)
    warmup = max(1, round(schedule.warmup_fraction * steps))
    rise = np.minimum(1.0, (step + 1) / warmup)
    if schedule.kind == "wsd":
        decay = max(1, round(schedule.decay_fraction * steps))
        fall = np.clip((steps - step) / decay, 0.0, 1.0)
    elif schedule.kind == "cosine":
        fall = COSINE_FLOOR + (1 - COSINE_FLOOR) * 0.5 * (1 + np.cos(np.pi * step / steps))
    else:
        fall = 1 - step / steps
    return (rise * fall).astype(np.float32)
