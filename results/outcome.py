"""Did a sealed forecast hold? The forecast beside the run that it is about, and the verdict in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from results.record import RunRecord
from results.store import Forecast


@dataclass(frozen=True)
class Outcome:
    """A sealed forecast and its run; record None: the run is not in the store."""

    forecast: Forecast
    record: RunRecord | None

    @property
    def truth(self) -> float | None:
        """Nats per token that the run reached; None where it has no finite loss (yet)."""
        loss = None if self.record is None else self.record.loss
        return loss if loss is not None and math.isfinite(loss) else None

    @property
    def inside(self) -> bool | None:
        """Whether the truth lies in the interval; None while there is no truth."""
        return None if self.truth is None else self.forecast.low <= self.truth <= self.forecast.high

    @property
    def inside50(self) -> bool | None:
        """Whether the truth lies in the 50% interval; None while there is no truth, or where none was sealed."""
        low, high = self.forecast.low50, self.forecast.high50
        if self.truth is None or low is None or high is None:
            return None
        return low <= self.truth <= high

    @property
    def error(self) -> float | None:
        """Forecast / truth - 1."""
        return None if self.truth is None else self.forecast.loss / self.truth - 1

    @property
    def sealed_before(self) -> bool | None:
        """Whether the seal is older than the run's start; None where the start is not known."""
        started = None if self.record is None else self.record.started_at
        return None if started is None else self.forecast.sealed_at <= started

    @property
    def verdict(self) -> str:
        """One or two words for a label."""
        if self.sealed_before is False:
            return "sealed too late"
        if self.inside is None:
            return "open"
        return "inside" if self.inside else "OUTSIDE"

    @property
    def sentence(self) -> str:
        """Forecast, truth, span and seal, in words."""
        f = self.forecast
        said = (
            f"Forecast of the {f.law} law: {f.loss:.3f} nats/token ({f.level:.0%} interval {f.low:.3f} .. {f.high:.3f})"
            f" at {f.span:.3g}x the compute of the dearest fitted run"
        )
        if self.truth is None or self.error is None:
            why = "is not in the store" if self.record is None else f"has no loss: {self.record.status}"
            return f"{said}; the run {why}. {self._seal()}"
        return f"{said}; the run reached {self.truth:.3f}, {self._where()} (error {self.error:+.1%}). {self._seal()}"

    def _where(self) -> str:
        width = self.forecast.high - self.forecast.low
        if not self.inside:
            return "OUTSIDE the interval"
        edge = min(self.truth - self.forecast.low, self.forecast.high - self.truth) if self.truth is not None else 0.0
        return "inside the interval, close to its edge" if edge < 0.1 * width else "inside the interval"

    def _seal(self) -> str:
        started = None if self.record is None else self.record.started_at
        if started is None:
            return "When the run started is not known."
        gap = _span(abs(started - self.forecast.sealed_at))
        if self.sealed_before:
            return f"Sealed {gap} before the run started."
        return f"Sealed {gap} AFTER the run started: this is not a forecast."


def _span(seconds: float) -> str:
    for size, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.1f} s"
