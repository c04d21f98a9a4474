"""Does a run use the text before a token? Loss far into a window against loss near its beginning.

In-context learning sets in at once, with heads that copy what stood in the context before (Olsson et al. 2022,
arXiv:2209.11895, who take the loss of the 500th token minus that of the 50th). A law fitted to runs on one side of it
is too high, or too low, on the other: see docs/results.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.measurement import Measurement
from results.record import CHECK, TARGET, RunRecord

NEAR = 8  # first of the positions 8..15
FAR = 32  # first of all later positions
USED = 0.05  # gain from which a run counts as using its context; assumption, from the one sweep of docs/results.md


@dataclass(frozen=True)
class ContextUse:
    """One run at its last evaluation."""

    record: RunRecord
    near: float  # nats per token at positions 8..15 of the windows
    far: float  # from position 32 on
    standard_error: float  # of the gain

    @property
    def gain(self) -> float:
        """Share of the loss near the beginning that more context takes away: 1 - far / near."""
        return 1 - self.far / self.near


def context_use(records: Sequence[RunRecord], measured: Mapping[str, Sequence[Measurement]]) -> list[ContextUse]:
    """By compute. Runs whose windows end before position 32 are absent; `measured` is by run_id."""
    found = []
    for record in sorted(records, key=lambda record: record.flops):
        rows = [row for row in measured.get(record.run_id, ()) if row.kind == "position" and row.metric == "loss"]
        last = max((row.step for row in rows), default=0)
        by_start = {int(row.name): row for row in rows if row.step == last}
        near, far = by_start.get(NEAR), [row for start, row in by_start.items() if start >= FAR]
        if near is None or not far or not near.value > 0:
            continue
        tokens = sum(row.count for row in far)
        loss = sum(row.count * row.value for row in far) / tokens
        # Buckets of one window vary together, so that a difference varies less than this.
        error = sum(row.count * (row.standard_error or 0.0) for row in far) / tokens
        found.append(ContextUse(record, near.value, loss, math.hypot(near.standard_error or 0.0, error) / near.value))
    return found


def no_context_used(uses: Sequence[ContextUse]) -> str | None:
    """What a forecast from these runs should say, where none of the fitted ones uses its context; else None."""
    fitted = [use.gain for use in uses if use.record.role not in (TARGET, CHECK)]
    if not fitted or max(fitted) >= USED:
        return None
    return (
        f"no fitted run uses its context yet: text before the last {NEAR} to {2 * NEAR - 1} tokens takes at most "
        f"{max(max(fitted), 0.0):.1%} off a loss. Where larger runs learn to, their loss falls below such forecasts"
    )
