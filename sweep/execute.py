"""Runs from start to record: restore, train, checkpoint, fork, evaluate; every ending is a status with a sentence.

One run, or several packed into one program. A dispatch is queued before the one before it is read, so that data is
prepared while the device computes; so is the one after an evaluation.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from fitting.errors import InputError
from results.record import SETTLED, RunRecord, RunStatus
from results.store import Store
from sweep.agreement import anybody, first_says
from sweep.claim import Claim, claim
from sweep.data.corpus import Corpus
from sweep.deaths import cause_of
from sweep.estimate import ACCELERATOR_RATE, CPU_RATE
from sweep.evaluation import thinned
from sweep.events import Cause, Elsewhere, Event, Finished, Forked, Progress
from sweep.examine import Examination, Examiner
from sweep.member import Dispatched, Member, now
from sweep.pack import Pack
from sweep.place import Place, Work
from sweep.spec import RunSpec
from sweep.train import STEPS_PER_DISPATCH, Advanced

DISPATCH_SECONDS = 5.0  # about as long as one may take
CURVE_SECONDS = 10.0  # between two curve parts on disk
PROGRESS_SECONDS = 0.5
WAIT_SECONDS = 2.0  # between two looks at a run that another process trains


Report = Callable[[Event], None]


def execute(
    spec: RunSpec,
    place: Place,
    report: Report = lambda event: None,
    stopped: Callable[[], str | None] = lambda: None,
) -> RunRecord:
    """Trains the run or what is left of it. `stopped()` returns the reason once the run has to make way.

    Raises InputError where another process trains it at this moment.
    """
    records = execute_together([Work(spec)], place, report, stopped)
    if not records:
        raise InputError(f"run {spec.run_id} is trained by another process at this moment; wait for it")
    return records[0]


def execute_together(
    works: Sequence[Work],
    place: Place,
    report: Report = lambda event: None,
    stopped: Callable[[], str | None] = lambda: None,
) -> list[RunRecord]:
    """The same for runs of one program (sweep.train.program_for), packed where there are several.

    Runs that another process trains are reported as being elsewhere, and are missing in what is returned.
    """
    store = Store(place.store)
    claims: list[Claim] = []
    try:
        ended, mine = _taken(works, store, report, claims, stopped)
        if mine:
            corpus = _corpus(place, mine)
            members = [Member(work, place, store, corpus) for work in mine]
            ended |= _Training(members, place, report, stopped).finish()
    finally:
        for held in claims:
            held.release()
    return [ended[work.spec.run_id] for work in works if work.spec.run_id in ended]


def _taken(
    works: Sequence[Work], store: Store, report: Report, claims: list[Claim], stopped: Callable[[], str | None]
) -> tuple[dict[str, RunRecord], list[Work]]:
    """(records of runs that ended before, works that are this process's to train). Claims are added as they are made.

    Asked for the record before and after claiming: whoever held the claim may just have finished the run.
    """
    ended: dict[str, RunRecord] = {}
    mine: list[Work] = []
    for work in works:
        run_id = work.spec.run_id
        held = None
        if not first_says(_settled(store, work.spec) is not None):
            held = claim(store.local / "claims", run_id) if jax.process_index() == 0 else None
            while not first_says(held is not None) and jax.process_count() > 1 and not anybody(stopped() is not None):
                time.sleep(WAIT_SECONDS)  # the processes of a job cannot part and meet again: they wait
                held = claim(store.local / "claims", run_id) if jax.process_index() == 0 else None
            if not first_says(held is not None):
                report(Elsewhere(run_id, _holder(store, run_id)))
                continue
        record = _settled(store, work.spec)
        if first_says(record is not None):
            if held is not None:
                held.release()
            if record is not None:  # another process may not see yet what the first one sees
                ended[run_id] = record
                report(Finished(run_id, record.status, record.sentence))
            continue
        if held is not None:
            claims.append(held)
        mine.append(work)
    return ended, mine


def _holder(store: Store, run_id: str) -> str:
    record = store.read(run_id)
    if record is None or record.pid is None:
        return "another process"
    return f"process {record.pid} on {record.host}"


def _corpus(place: Place, works: Sequence[Work]) -> Corpus:
    """Raises InputError where the text is not the one that the runs are named after."""
    corpus = Corpus.open(Path(place.corpus))
    for work in works:
        asked = work.spec.data.fingerprint
        if corpus.info.fingerprint != asked:
            raise InputError(
                f"the corpus at {place.corpus} is {corpus.info.fingerprint}, the run asks for {asked}; the text "
                f"changed. Start the sweep again"
            )
    return corpus


def _settled(store: Store, spec: RunSpec) -> RunRecord | None:
    record = store.read(spec.run_id)
    return record if record is not None and record.status in SETTLED else None


@dataclass
class _Pending:
    """A dispatch that was queued and not read yet."""

    members: list[Member]
    slots: list[int]
    tokens: dict[int, np.ndarray]  # by slot
    count: int
    advanced: Advanced
    timed: bool = True  # False where it may have been done long before it was read


def longest_dispatch(specs: Sequence[RunSpec], devices: int) -> int:
    """Steps of one dispatch: a run is saved, stopped and heard of between two. By FLOPs and not by the clock, so that
    every attempt writes the same rows."""
    rate = devices * (CPU_RATE if jax.default_backend() == "cpu" else ACCELERATOR_RATE)
    steps = DISPATCH_SECONDS * rate / sum(spec.flops_of(1) for spec in specs)
    return max(1, min(STEPS_PER_DISPATCH, int(steps)))


class _Training:
    """The loop over dispatches."""

    def __init__(self, members: list[Member], place: Place, report: Report, stopped: Callable[[], str | None]):
        self.members, self.place, self.report, self.stopped = members, place, report, stopped
        self.ended: dict[str, RunRecord] = {}
        self.diverged: dict[str, str] = {}  # sentences, until the next pause ends the run
        self.saved_at = self.flushed_at = self.reported_at = self.read_at = now()
        self.first = True
        self.longest = longest_dispatch([member.spec for member in members], place.layout.devices)
        self.examiner = Examiner(place, members)
        self.asked: list[Examination] = []  # and not read yet

    def finish(self) -> dict[str, RunRecord]:
        try:
            self.pack = Pack(self.members, self.place.layout)
            self._train()
        except Exception as error:  # whatever it is, the sweep goes on and the records say what happened
            if jax.process_count() > 1 and not isinstance(error, InputError):
                raise  # the others may not know and wait for this process: sweep.group ends them all
            sentence = f"{type(error).__name__}: {error}".replace("\n", " ")[:500]
            cause = cause_of(error)
            with contextlib.suppress(Exception):  # then they fail with the others
                self._take_down()  # those that had reached their end
            for member in self._alive():
                self._end(member, member.ended(RunStatus.FAILED, sentence), cause)
        return self.ended

    def _alive(self) -> list[Member]:
        return [member for member in self.members if member.spec.run_id not in self.ended]

    def _unfinished(self) -> list[Member]:
        return [member for member in self._alive() if member.left > 0]

    def _train(self) -> None:
        """Queue, then read: the state of `pack` is one dispatch ahead of what the members have noted."""
        for member in self._alive():
            if member.left == 0:
                self._ask_at_end(member)
        while training := self._unfinished():
            pending: _Pending | None = self._queue(training)
            if self.asked and pending is not None:
                self._take_down()
                pending.timed = not cast(Any, pending.advanced.losses).is_ready()  # its type does not know it has one
            while pending is not None:
                stop = any(member.left == pending.count for member in pending.members)
                following = None if stop else self._queue(training, ahead=pending.count, unless=self._must_pause)
                self._read(pending)
                pending = following
            self._at_pause()
        self._take_down()

    def _queue(
        self, training: list[Member], ahead: int = 0, unless: Callable[[], bool] = lambda: False
    ) -> _Pending | None:
        count = min([self.longest, *(member.left - ahead for member in training)])
        batches = {id(member): member.batch(member.at.step + ahead, count) for member in training}
        if unless():  # asked last: several processes wait here for what is queued already
            return None
        advanced = self.pack.advance(batches, count)
        slots = [self.pack.slot(member) for member in training]
        tokens = {slot: batches[id(member)][0] for slot, member in zip(slots, training, strict=True)}
        return _Pending(training, slots, tokens, count, advanced)

    def _read(self, pending: _Pending) -> None:
        """Waits for a dispatch and hands every run its part."""
        losses = np.asarray(pending.advanced.losses).reshape(-1, STEPS_PER_DISPATCH)
        norms = np.asarray(pending.advanced.gradient_norms).reshape(-1, STEPS_PER_DISPATCH)
        took, self.read_at = now() - self.read_at, now()
        if self.first:
            for member in pending.members:
                member.record = member.record.replace(compile_seconds=took)
        for member, slot in zip(pending.members, pending.slots, strict=True):
            mine, norm = losses[slot, : pending.count], norms[slot, : pending.count]
            seconds = took if not self.first and (pending.timed or not member.at.timed_steps) else None
            member.note(Dispatched(pending.count, pending.tokens[slot], mine, float(norm[-1]), seconds))
            if not np.isfinite(norm).any():
                sentence = f"no gradient was finite in the {pending.count} steps before step {member.at.step}"
                self.diverged.setdefault(member.spec.run_id, sentence)
        self.first = False
        if now() - self.reported_at > PROGRESS_SECONDS:
            self.reported_at = now()
            for member in pending.members:
                self.report(
                    Progress(member.spec.run_id, member.at.step, member.spec.steps, member.recent[-1], member.speed)
                )

    def _must_pause(self) -> bool:
        """True where the queue has to run dry: to save, to write or to stop."""
        late = now() - self.saved_at > self.place.checkpoint_seconds or now() - self.flushed_at > CURVE_SECONDS
        return anybody(late or self.stopped() is not None or bool(self.diverged))

    def _at_pause(self) -> None:
        """Nothing is queued: forks, ends, checkpoints, curves and stops happen here."""
        for member in self._alive():
            if anybody(member.spec.run_id in self.diverged):
                sentence = self.diverged.pop(member.spec.run_id, "no gradient was finite in another process")
                self._end(member, member.ended(RunStatus.DIVERGED, sentence))
        for member in self._alive():
            if member.at.step in member.forks:
                for name in member.fork(self.pack.state_of(member)):
                    self.report(Forked(name))
            if member.at.step == member.spec.steps:
                self._ask_at_end(member)
            elif member.at.step in member.evaluations:
                held_out = thinned(member.held_out, member.evaluations.pop(member.at.step))
                params = self.pack.state_of(member).params
                self.asked.append(self.examiner.ask(member, self.pack.program, params, held_out))
        reason = self.stopped()
        stopping = anybody(reason is not None)
        reason = reason or "stopped with another process"
        if stopping or anybody(now() - self.saved_at > self.place.checkpoint_seconds):
            self._take_down()  # whoever goes on from this checkpoint does not evaluate here again
            for member in self._alive():
                member.save(self.pack.state_of(member))
            self.saved_at = now()
        if now() - self.flushed_at > CURVE_SECONDS:
            for member in self._alive():
                member.write_rows()
            self.flushed_at = now()
        if stopping:
            for member in self._alive():
                self._end(
                    member,
                    member.ended(
                        RunStatus.INTERRUPTED,
                        f"{reason} at step {member.at.step} of {member.spec.steps}; run it again to go on",
                    ),
                )
        self.pack.shrink(self._unfinished())
        self.read_at = now()

    def _ask_at_end(self, member: Member) -> None:
        """On the whole held-out set. The state is saved first: whatever happens now, nothing is trained again."""
        state = self.pack.state_of(member)
        member.record = member.record.replace(skipped_steps=int(state.skipped))
        member.save(state)
        self.asked.append(self.examiner.ask(member, self.pack.program, state.params, member.held_out))

    def _take_down(self) -> None:
        """What the evaluations say, and the end of the runs that were asked for the last time."""
        for examination in self.asked:
            examination.wait()
            self.read_at = now()  # what is queued begins
        while self.asked:
            examination = self.asked.pop(0)
            member, losses = examination.member, examination.take_down()
            if examination.at.step == member.spec.steps:
                self._end(member, member.evaluated(losses.mean(axis=1, dtype=np.float64)))

    def _end(self, member: Member, record: RunRecord, cause: Cause = Cause.NONE) -> None:
        """Writes what is left to write. What cannot be written (a full disk) fails the run, which goes on from its last
        checkpoint when it is asked for again."""
        for write in (member.write_rows, member.checkpoints.close):
            try:
                write()
            except Exception as error:
                if jax.process_count() > 1:
                    raise
                lost = f"{type(error).__name__} when it was written: {error}".replace("\n", " ")[:300]
                sentence = lost if record.status != RunStatus.FAILED else f"{record.sentence}; {lost}"
                cause = cause_of(error)
                record = record.replace(status=RunStatus.FAILED, sentence=sentence[:500], loss=None)
        member.record = record.replace(finished_at=time.time(), pid=None)
        self.ended[member.spec.run_id] = member.record
        try:
            member.write_record()
        except OSError as error:
            sentence = f"the record cannot be written: {error}"
            member.record = member.record.replace(status=RunStatus.FAILED, sentence=sentence)
            cause = Cause.RAISED
        self.report(Finished(member.spec.run_id, member.record.status, member.record.sentence, cause))
