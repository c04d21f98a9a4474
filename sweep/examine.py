"""Evaluations of the runs in training: asked for while nothing else is queued, read once the next steps are.

So the device goes from one to the other without a break, and the host's share (sums by domain and position, scores of
questions, files) is done while it trains on.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import jax
import numpy as np

from sweep.data.corpus import HeldOut
from sweep.evaluation import At, affordable, forward_flops, of_tasks, of_text, questions_of
from sweep.member import Member, now
from sweep.place import Place
from sweep.queued import QueuedLosses
from sweep.tasks import Sheet, sheet_of
from sweep.train import Program


@dataclass
class Examination:
    """One run's, under way."""

    member: Member
    at: At
    held_out: HeldOut
    text: QueuedLosses
    sheet: Sheet | None
    answers: QueuedLosses | None
    seconds: float  # in which nothing was done but to ask, and later to wait

    def wait(self) -> None:
        """Until the device has computed it."""
        started = now()
        self.text.read()
        if self.answers is not None:
            self.answers.read()
        self.seconds += now() - started

    def take_down(self) -> np.ndarray:
        """Into the store. Returns the losses of the text, (windows, T) nats."""
        losses = self.text.read()
        measurements = list(of_text(losses, self.held_out, self.member.corpus, self.at))
        if self.sheet is not None and self.answers is not None and np.isfinite(losses).all():
            with contextlib.suppress(FloatingPointError):  # a loss of a question was not finite: there is no score
                measurements += of_tasks(self.sheet, self.answers.read(), self.at)
        asked = [self.held_out.windows] + ([] if self.sheet is None else [self.sheet.windows])
        tokens = sum(windows[:, 1:].size for windows in asked)
        self.member.measured(measurements, forward_flops(self.member.spec, tokens), self.seconds)
        return losses


class Examiner:
    """Which text and which questions, for all runs of one program."""

    def __init__(self, place: Place, members: list[Member]):
        self._share = place.evaluation_cost / place.evaluations
        self._questions = questions_of(place.tasks, place.questions, members[0].corpus)
        self._sheets: dict[str, Sheet | None] = {}

    def ask(self, member: Member, program: Program, params: dict[str, jax.Array], held_out: HeldOut) -> Examination:
        """Queues it. `params` may be donated afterwards."""
        started, at = now(), At(member.at.step, member.d_tokens, member.record.attempt)
        sheet = self._sheet(member)
        text = program.queue_losses(params, held_out.windows)
        answers = None if sheet is None else program.queue_losses(params, sheet.windows)
        return Examination(member, at, held_out, text, sheet, answers, now() - started)

    def _sheet(self, member: Member) -> Sheet | None:
        run_id = member.spec.run_id
        if run_id not in self._sheets:
            questions = affordable(self._questions, member.spec, self._share)
            tokenizer, length = member.corpus.tokenizer, member.spec.data.sequence
            self._sheets[run_id] = sheet_of(questions, tokenizer, length) if questions else None
        return self._sheets[run_id]
