"""One live display for a whole sweep; plain lines where standard output is no terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from rich.console import Console
from rich.live import Live
from rich.table import Table

from results.record import RunStatus
from sweep.events import Elsewhere, Event, Finished, Progress, Retried, Started, Waiting
from sweep.spec import RunSpec

PLAIN_SECONDS = 15.0  # between two plain progress lines


class SweepProgress:
    """Counts, speed and ETA; ETA from the FLOPs that are left and the rate since the start."""

    def __init__(self, console: Console, specs: Mapping[str, RunSpec], label: str):
        self._console, self._specs, self._label = console, specs, label
        self._running: dict[str, Progress | None] = {}
        self._ended: dict[str, str] = {}
        self._counts: Counter[str] = Counter()  # of what ended, by status
        # FLOPs since the start, and those that are left: kept up with every event, of all runs together and of each.
        self._done, self._left = 0.0, sum(spec.flops for spec in specs.values())
        self._of: dict[str, tuple[float, float]] = {}
        self._started = time.monotonic()
        self._resumed_at: dict[str, int] = {}
        self._elsewhere: set[str] = set()  # those of which it was said
        self._printed = self._started
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> SweepProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Started):
                self._running[event.run_id] = None
                self._weigh(event.run_id)
            elif isinstance(event, Progress):
                self._resumed_at.setdefault(event.run_id, 0 if event.step <= 256 else event.step)
                self._running[event.run_id] = event
                self._weigh(event.run_id)
            elif isinstance(event, (Retried, Elsewhere, Waiting)):
                self._running.pop(event.run_id, None)
                self._weigh(event.run_id)
                if isinstance(event, Elsewhere) and event.run_id not in self._elsewhere:
                    self._elsewhere.add(event.run_id)
                    self._console.print(
                        f"{self._name(event.run_id)}: trained by {event.holder}; this command waits for it",
                        highlight=False,
                        markup=False,
                    )
                if isinstance(event, (Retried, Waiting)):
                    self._console.print(f"{self._name(event.run_id)}: {event.sentence}", highlight=False, markup=False)
            elif isinstance(event, Finished):
                self._running.pop(event.run_id, None)
                self._counts.subtract([self._ended[event.run_id]] if event.run_id in self._ended else [])
                self._ended[event.run_id] = event.status
                self._counts[event.status] += 1
                self._weigh(event.run_id)
                if self._live is None or event.status != RunStatus.DONE:
                    why = "" if event.status == RunStatus.DONE else f": {event.sentence}"
                    self._console.print(
                        f"{self._name(event.run_id)}: {event.status}{why} ({self._summary()})",
                        highlight=False,
                        markup=False,
                    )
        if self._live is not None:
            self._live.update(self._table())
        elif time.monotonic() - self._printed > PLAIN_SECONDS:
            self._printed = time.monotonic()
            self._console.print(f"{self._label}: {self._summary()}", highlight=False)

    def _summary(self) -> str:
        counts = self._counts
        parts = [f"{counts[RunStatus.DONE]}/{len(self._specs)} done", f"{len(self._running)} running"]
        for status in (RunStatus.FAILED, RunStatus.DIVERGED, RunStatus.INTERRUPTED):
            if counts[status]:
                parts.append(f"{counts[status]} {status}")
        speed = sum(progress.tokens_per_second for progress in self._running.values() if progress)
        parts.append(f"{speed / 1e3:.0f}k tokens/s")
        parts.append(f"ETA {_clock(self._eta())}")
        return ", ".join(parts)

    def _weigh(self, run_id: str) -> None:
        """What of this run is done since the start, and what is left, in place of what it was before."""
        spec, progress = self._specs[run_id], self._running.get(run_id)
        share, skipped = 0.0, self._resumed_at.get(run_id, 0) / spec.steps
        if run_id in self._ended:
            share = 1.0
        elif progress is not None:
            share = progress.step / progress.steps
        before = self._of.get(run_id, (0.0, spec.flops))
        now = (max(share - skipped, 0.0) * spec.flops, (1.0 - share) * spec.flops)
        self._done, self._left = self._done + now[0] - before[0], self._left + now[1] - before[1]
        self._of[run_id] = now

    def _eta(self) -> float | None:
        return max(self._left, 0.0) * (time.monotonic() - self._started) / self._done if self._done > 0 else None

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 1), title=f"{self._label}: {self._summary()}", title_justify="left")
        for header in ("run", "", "step", "loss", "tokens/s"):
            table.add_column(header, justify="left" if header in ("run", "") else "right")
        for run_id, progress in self._running.items():
            if progress is None:
                table.add_row(self._name(run_id), "", "starting", "", "")
                continue
            filled = int(24 * progress.step / progress.steps)
            table.add_row(
                self._name(run_id),
                "━" * filled + "╌" * (24 - filled),
                f"{progress.step}/{progress.steps}",
                f"{progress.loss:.3f}",
                f"{progress.tokens_per_second:,.0f}",
            )
        return table

    def _name(self, run_id: str) -> str:
        from fitting.show import si

        spec = self._specs[run_id]
        size = spec.architecture.count(spec.data.sequence).non_embedding
        return f"N {si(size)} D {si(spec.d_tokens)} ({run_id[:8]})"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "--:--"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
