"""What do all processes of a run do next? Their clocks, signals and file systems differ; a collective needs everybody.

Every answer is the same in all processes, and every process has to ask. Alone, a process agrees with itself.
"""

from __future__ import annotations

import jax
import numpy as np


def anybody(mine: bool) -> bool:
    """Does any process say so?"""
    if jax.process_count() == 1:
        return mine
    from jax.experimental.multihost_utils import process_allgather

    return bool(np.any(process_allgather(np.asarray(mine))))


def first_says(mine: int) -> int:
    """What the first process says, the one that writes."""
    if jax.process_count() == 1:
        return mine
    from jax.experimental.multihost_utils import broadcast_one_to_all

    return int(broadcast_one_to_all(np.int32(mine)))
