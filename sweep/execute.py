"""One run from start to record: restore, train, checkpoint, evaluate; every ending is a status with a sentence."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from results.record import SETTLED, RunRecord, RunStatus
from results.store import Store
from sweep.checkpoint import Checkpoints
from sweep.data.corpus import Corpus
from sweep.provenance import first_record
from sweep.schedule import rate_fractions
from sweep.spec import RunSpec
from sweep.train import STEPS_PER_DISPATCH, TrainState, pad_dispatch, program_for

CURVE_SECONDS = 10.0  # between two curve parts on disk
PROGRESS_SECONDS = 0.5
FINAL_ROWS = 8  # dispatches averaged into the record's training loss


@dataclass(frozen=True)
class Place:
    """Where and how a run is executed; not part of its identity."""

    store: str
    corpus: str  # folder of the prepared corpus
    sweep: str
    role: str
    launcher: str
    checkpoint_seconds: float


@dataclass(frozen=True)
class Progress:
    """What a running run says now and then."""

    run_id: str
    step: int
    steps: int
    loss: float
    tokens_per_second: float


def execute(
    spec: RunSpec,
    place: Place,
    report: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], str | None] = lambda: None,
) -> RunRecord:
    """Trains the run or what is left of it. `stopped()` returns the reason once the run has to make way."""
    store = Store(place.store)
    prior = store.read(spec.run_id)
    if prior is not None and prior.status in SETTLED:
        return prior
    corpus = Corpus.open(Path(place.corpus))
    record = first_record(spec, place, corpus, prior)
    store.write(record)
    try:
        record = _Run(spec, place, store, corpus, record, report, stopped).finish()
    except Exception as error:  # whatever it is, the sweep goes on and the record says what happened
        sentence = f"{type(error).__name__}: {error}".replace("\n", " ")[:500]
        record = record.replace(status=RunStatus.FAILED, sentence=sentence)
    record = record.replace(finished_at=time.time(), pid=None)
    store.write(record)
    return record


class _Run:
    """The state of one execution."""

    def __init__(self, spec, place, store, corpus, record, report, stopped):
        self.spec, self.place, self.store, self.corpus = spec, place, store, corpus
        self.record, self.report, self.stopped = record, report, stopped
        self.program = program_for(spec)
        self.rates = rate_fractions(spec.schedule, spec.steps) * np.float32(spec.optimiser.learning_rate)
        self.checkpoints = Checkpoints(store.checkpoint_folder(spec.run_id))
        self.state: TrainState = self.program.initial_state(spec.seed)
        self.step, self.seconds = 0, 0.0
        self.rows: list[dict[str, float]] = []
        self.recent: list[float] = []
        self.last_report = 0.0

    def finish(self) -> RunRecord:
        restored = self.checkpoints.restore(self.state)
        if restored is not None:
            self.step, self.state, self.seconds = restored
        try:
            return self._train()
        finally:
            if self.rows:
                self.store.write_curve(self.spec.run_id, self.rows)
            self.checkpoints.close()

    def _train(self) -> RunRecord:
        saved_at = flushed_at = time.monotonic()
        batch = self._batch(self.step)
        while self.step < self.spec.steps:
            count, losses, norm, took = self._dispatch(*batch)
            bad = np.flatnonzero(~np.isfinite(losses))
            if bad.size or not math.isfinite(norm):
                self.step += int(bad[0]) + 1 if bad.size else count
                what = "loss" if bad.size else "gradient norm"
                return self._ended(RunStatus.DIVERGED, f"the {what} was not finite at step {self.step}")
            self.step += count
            self._note(losses, norm, took, count)
            batch = self._batch(self.step)
            now = time.monotonic()
            reason = self.stopped()
            if reason is not None or now - saved_at > self.place.checkpoint_seconds:
                self.checkpoints.save(self.step, self.state, self.seconds)
                saved_at = time.monotonic()
            if now - flushed_at > CURVE_SECONDS:
                self.store.write_curve(self.spec.run_id, self.rows)
                self.rows, flushed_at = [], now
            if reason is not None and self.step < self.spec.steps:
                return self._ended(
                    RunStatus.INTERRUPTED, f"{reason} at step {self.step} of {self.spec.steps}; run it again to go on"
                )
        return self._evaluate()

    def _batch(self, step: int) -> tuple[int, np.ndarray, np.ndarray]:
        count = min(STEPS_PER_DISPATCH, self.spec.steps - step)
        if count <= 0:
            return 0, np.empty(0), np.empty(0)
        data, rates = self.spec.data, self.rates[step : step + count]
        tokens = self.corpus.batches(data.seed, step, count, self.spec.batch_sequences, data.sequence)
        return count, pad_dispatch(tokens), pad_dispatch(rates)

    def _dispatch(self, count: int, tokens: np.ndarray, rates: np.ndarray) -> tuple[int, np.ndarray, float, float]:
        """Losses of the steps, the last gradient norm, and the seconds, compilation told apart."""
        started = time.monotonic()
        self.state, advanced = self.program.advance(self.state, tokens, rates, count)
        losses = np.asarray(advanced.losses)[:count]
        took = time.monotonic() - started
        if self.record.compile_seconds is None:
            # The first dispatch holds the compilation: its steps are left out of the speed (see _ended).
            self.record = self.record.replace(compile_seconds=took)
            took = 0.0
        return count, losses, float(advanced.gradient_norms[count - 1]), took

    def _note(self, losses: np.ndarray, norm: float, took: float, count: int) -> None:
        self.seconds += took
        loss = float(losses.mean())
        self.recent = [*self.recent, loss][-FINAL_ROWS:]
        self.rows.append(
            {
                "step": self.step,
                "tokens": float(self.step * self.spec.batch_tokens),
                "loss": loss,
                "learning_rate": float(self.rates[self.step - 1]),
                "gradient_norm": norm,
                "seconds": self.seconds,
                "attempt": self.record.attempt,
            }
        )
        now = time.monotonic()
        if now - self.last_report > PROGRESS_SECONDS:
            self.last_report = now
            speed = count * self.spec.batch_tokens / took if took else 0.0
            self.report(Progress(self.spec.run_id, self.step, self.spec.steps, loss, speed))

    def _evaluate(self) -> RunRecord:
        started = time.monotonic()
        data = self.spec.data
        windows = self.corpus.evaluation_windows(data.eval_tokens, data.sequence)
        losses = self.program.window_losses(self.state.params, windows)
        self.checkpoints.save(self.step, self.state, self.seconds)
        loss = float(losses.mean())
        if not math.isfinite(loss):
            return self._ended(RunStatus.DIVERGED, "the held-out loss was not finite")
        error = float(losses.std(ddof=1) / math.sqrt(len(losses))) if len(losses) > 1 else None
        bits = loss * self.record.eval_tokens / math.log(2)
        record = self._ended(RunStatus.DONE, f"trained {self.spec.steps} steps")
        return record.replace(
            loss=loss,
            loss_se=error,
            bpb=bits / self.record.eval_bytes,
            eval_seconds=time.monotonic() - started,
        )

    def _ended(self, status: RunStatus, sentence: str) -> RunRecord:
        """The speed is that of the dispatches whose time was counted (all but each attempt's first)."""
        counted = self.step - STEPS_PER_DISPATCH * self.record.attempt
        tokens = counted * self.spec.batch_tokens
        measured = counted > 0 and self.seconds > 0
        return self.record.replace(
            status=status,
            sentence=sentence,
            last_step=self.step,
            train_loss=float(np.mean(self.recent)) if self.recent else None,
            seconds=self.seconds,
            tokens_per_second=tokens / self.seconds if measured else None,
            flops_per_second=self.spec.flops / self.spec.d_tokens * tokens / self.seconds if measured else None,
            devices=jax.device_count(),
        )
