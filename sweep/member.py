"""One run on the host's side: its place in the data, its rows of the curve, its checkpoints, how it ends."""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from fitting.chips import peak_flops
from results.measurement import Measurement
from results.record import RunRecord, RunStatus
from results.store import Store
from sweep.agreement import first_says
from sweep.checkpoint import Progressed, checkpoints_of
from sweep.claim import claim
from sweep.data.corpus import Corpus
from sweep.evaluation import steps_between
from sweep.place import Place, Work
from sweep.provenance import first_record
from sweep.schedule import learning_rates, weight_decays
from sweep.train import TrainState

FINAL_ROWS = 8  # dispatches averaged into the record's training loss
SPIKE_ROWS = 16  # rows of the curve before, against which a row is a spike
SPIKE_DEVIATIONS = 6.0  # robust standard deviations above their median, and at least …
SPIKE_RISE = 0.02  # … this part of it (assumption: smaller rises do not show in a final loss)


@dataclass(frozen=True)
class Dispatched:
    """What one dispatch did to one run."""

    steps: int
    tokens: np.ndarray  # (steps, B, T + 1)
    losses: np.ndarray  # (steps,) nats per token
    gradient_norm: float  # of the last step
    seconds: float | None  # None where the compilation is in it


class Member:
    """A run that is being trained, alone or packed with others."""

    def __init__(self, work: Work, place: Place, store: Store, corpus: Corpus):
        self.spec, self.store, self.corpus = work.spec, store, corpus
        self.forks = dict(work.forks)
        self.checkpoints = checkpoints_of(store, self.spec.run_id)
        self.at = Progressed(step=0)
        self.rows: list[dict[str, float]] = []
        self.recent: list[float] = []
        self.spikes = 0
        self.speed = 0.0  # tokens per second, of the last dispatch
        self.writes = jax.process_index() == 0
        self.held_out = corpus.held_out(self.spec.data.eval_tokens, self.spec.data.sequence)
        self.evaluations = steps_between(self.spec, place, self.held_out)
        self.record = first_record(self.spec, place, corpus, store.read(self.spec.run_id))
        self.fresh_steps = corpus.fresh_steps(self.spec.data.order, self.spec.batch_sequences)

    @functools.cached_property
    def rates(self) -> np.ndarray:
        return learning_rates(self.spec)

    @functools.cached_property
    def decays(self) -> np.ndarray:
        return weight_decays(self.spec)

    # -- where it stands

    def restore(self, like: TrainState) -> TrainState:
        """The saved state, or `like` where nothing was saved. A run that starts from another's state says so."""
        restored = self.checkpoints.restore(like)
        state = like
        if self.checkpoints.damaged:
            told = "; ".join([self.record.sentence, *self.checkpoints.damaged])
            self.record = self.record.replace(sentence=told[:500])
        if restored is not None:
            self.at, state = restored
        self.record = self.record.replace(
            trunk=self.at.trunk,
            branch_step=self.at.branch_step,
            flops_spent=self.spec.flops_of(self.spec.steps - self.at.branch_step),
        )
        self.write_record()
        if self.at.step:
            self._remember()
        return state

    def _remember(self) -> None:
        """What the rows of the curve before this attempt tell: a run that was stopped ends with the same record."""
        curve = self.store.curve(self.spec.run_id)
        for loss in curve["loss"][curve["step"] <= self.at.step]:
            self._take_row(float(loss))

    def _take_row(self, loss: float) -> None:
        if _is_spike(loss, self.recent):
            self.spikes += 1
        self.recent = [*self.recent, loss][-SPIKE_ROWS:]

    @property
    def d_tokens(self) -> float:
        """Seen so far."""
        return float(self.at.step * self.spec.batch_tokens)

    @property
    def left(self) -> int:
        """Steps to the next stop: a fork, an evaluation or the end."""
        stops = [step for step in (*self.forks, *self.evaluations) if step > self.at.step]
        return min([*stops, self.spec.steps]) - self.at.step

    def batch(self, step: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(tokens, rates, decays) of the steps from `step` on."""
        tokens = self.corpus.batches(self.spec.data.order, step, count, self.spec.batch_sequences)
        return tokens, self.rates[step : step + count], self.decays[step : step + count]

    # -- what happens to it

    def note(self, done: Dispatched) -> None:
        """Takes over what a dispatch did: position, row of the curve, spikes."""
        timed = 0 if done.seconds is None else done.steps
        fresh = max(0, min(done.steps, self.fresh_steps - self.at.step))  # of these steps; see sweep/data/epochs.py
        self.at = dataclasses.replace(
            self.at,
            step=self.at.step + done.steps,
            seconds=self.at.seconds + (done.seconds or 0.0),
            timed_steps=self.at.timed_steps + timed,
            code_nats=self.at.code_nats + float(done.losses[:fresh].sum(dtype=np.float64)) * self.spec.batch_tokens,
            code_bytes=self.at.code_bytes + self.corpus.raw_bytes(done.tokens[:fresh, :, 1:]),
        )
        loss = float(np.mean(done.losses))
        self._take_row(loss)
        if done.seconds:
            self.speed = done.steps * self.spec.batch_tokens / done.seconds
        utilisation = self._utilisation(self.speed)
        self.rows.append(
            {
                "step": self.at.step,
                "tokens": self.d_tokens,
                "loss": loss,
                "learning_rate": float(self.rates[self.at.step - 1]),
                "weight_decay": float(self.decays[self.at.step - 1]),
                "gradient_norm": done.gradient_norm,
                "seconds": self.at.seconds,
                "tokens_per_second": self.speed or math.nan,
                "mfu": math.nan if utilisation is None else utilisation,
                "attempt": self.record.attempt,
            }
        )

    def save(self, state: TrainState) -> None:
        """The curve before the state: whoever goes on from there finds it whole."""
        self.write_rows()
        self.checkpoints.save(self.at, state)

    def fork(self, state: TrainState) -> list[str]:
        """Hands this state to the runs that part here: each finds it as its own checkpoint. Returns their names."""
        branches = self.forks.pop(self.at.step, ())
        self.write_rows()  # they are the beginning of the branches' curves
        for branch in branches:
            folder = checkpoints_of(self.store, branch.run_id)
            mine = claim(self.store.local / "claims", branch.run_id) if self.writes else None
            if first_says(self.writes and mine is None):
                continue  # another process trains the branch already, from its own beginning
            if not folder.reached(self.at.step):  # else an earlier attempt at this run parted here
                shared = dataclasses.replace(
                    self.at, seconds=0.0, timed_steps=0, trunk=self.spec.run_id, branch_step=self.at.step
                )
                folder.save(shared, state)
                folder.close()
            if mine is not None:
                mine.release()
        return [branch.run_id for branch in branches]

    def write_rows(self) -> None:
        if self.rows and self.writes:
            self.store.write_curve(self.spec.run_id, self.rows)
        self.rows = []

    def write_record(self) -> None:
        if self.writes:
            self.store.write(self.record)

    # -- how it ends

    def measured(self, measurements: Sequence[Measurement], flops: float, seconds: float) -> None:
        """Takes over an evaluation and what it cost."""
        if self.writes:
            self.store.write_measurements(self.spec.run_id, measurements)
        self.record = self.record.replace(
            eval_flops=(self.record.eval_flops or 0.0) + flops,
            eval_seconds=(self.record.eval_seconds or 0.0) + seconds,
        )

    def evaluated(self, window_losses: np.ndarray) -> RunRecord:
        """The final record from the mean held-out losses of each window, (windows,) nats per token."""
        loss = float(window_losses.mean())
        if not math.isfinite(loss):
            return self.ended(RunStatus.DIVERGED, "the held-out loss was not finite")
        guessing = math.log(self.spec.architecture.vocab_size)
        if loss > guessing:
            return self.ended(
                RunStatus.DIVERGED, f"the held-out loss {loss:.3f} is above {guessing:.3f} = ln V, that of guessing"
            )
        count = len(window_losses)
        error = float(window_losses.std(ddof=1) / math.sqrt(count)) if count > 1 else None
        bits = loss * self.record.eval_tokens / math.log(2)
        trained = f"trained {self.spec.steps} steps"
        if self.at.trunk is not None:
            trained += f", the first {self.at.branch_step} of them as run {self.at.trunk}"
        return self.ended(RunStatus.DONE, trained).replace(
            loss=loss, loss_se=error, bpb=bits / self.record.eval_bytes if self.record.eval_bytes else None
        )

    def ended(self, status: RunStatus, sentence: str) -> RunRecord:
        """The speed is that of the dispatches whose time was counted (all but each attempt's first)."""
        at, tokens = self.at, self.at.timed_steps * self.spec.batch_tokens
        measured = tokens > 0 and at.seconds > 0
        speed = tokens / at.seconds if measured else None
        stats = jax.local_devices()[0].memory_stats() or {}
        final = self.recent[-FINAL_ROWS:]
        return self.record.replace(
            status=status,
            sentence=sentence,
            last_step=at.step,
            train_loss=float(np.mean(final)) if final else None,
            spikes=self.spikes,
            prequential_bits=at.code_nats / math.log(2),
            prequential_bytes=at.code_bytes or None,
            seconds=at.seconds,
            tokens_per_second=speed,
            flops_per_second=self._flops_per_token * speed if speed else None,
            mfu=self._utilisation(speed) if speed else None,
            peak_bytes=float(stats["peak_bytes_in_use"]) if "peak_bytes_in_use" in stats else None,
        )

    @property
    def _flops_per_token(self) -> float:
        return self.spec.flops / self.spec.d_tokens

    def _utilisation(self, tokens_per_second: float) -> float | None:
        """Exact training FLOPs / (dense bf16 peak of the devices); None where no peak is known."""
        peak = peak_flops(self.record.device)
        return self._flops_per_token * tokens_per_second / (peak * self.record.devices) if peak else None


def _is_spike(loss: float, before: list[float]) -> bool:
    if len(before) < SPIKE_ROWS:
        return False
    middle = statistics.median(before)
    deviation = 1.4826 * statistics.median(abs(value - middle) for value in before)
    return loss > middle + max(SPIKE_DEVIATIONS * deviation, SPIKE_RISE * middle)


def now() -> float:
    return time.monotonic()
