"""Evaluations of the runs in training: asked for while nothing else is queued, read once the next steps are.

So the device goes from one to the other without a break, and the host's share (sums by domain and position, scores of
questions, files) is done while it trains on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
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


@dataclass(frozen=True)
class Examination:
    """One run's, under way."""

    member: Member
    at: At
    held_out: HeldOut
    text: QueuedLosses
    sheet: Sheet | None
    answers: QueuedLosses | None
    asked_at: float  # seconds, by now()

    @property
    def tokens(self) -> int:
        asked = [self.held_out.windows] + ([] if self.sheet is None else [self.sheet.windows])
        return sum(windows[:, 1:].size for windows in asked)


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
        return Examination(member, at, held_out, text, sheet, answers, started)

    def _sheet(self, member: Member) -> Sheet | None:
        run_id = member.spec.run_id
        if run_id not in self._sheets:
            questions = affordable(self._questions, member.spec, self._share)
            tokenizer, length = member.corpus.tokenizer, member.spec.data.sequence
            self._sheets[run_id] = sheet_of(questions, tokenizer, length) if questions else None
        return self._sheets[run_id]


def take_down(examinations: Sequence[Examination]) -> list[np.ndarray]:
    """Waits for them, then writes what they say into the store. Losses of each one's text, (windows, T) nats.

    An evaluation's seconds end when the device has computed it: what is left to do takes none of its time.
    """
    read = [(one, one.text.read(), None if one.answers is None else one.answers.read(), now()) for one in examinations]
    before = 0.0
    for one, losses, answers, computed_at in read:
        measurements = list(of_text(losses, one.held_out, one.member.corpus, one.at))
        if one.sheet is not None and answers is not None:
            with contextlib.suppress(FloatingPointError):  # a loss of a question was not finite: there is no score
                measurements += of_tasks(one.sheet, answers, one.at)
        seconds = computed_at - max(one.asked_at, before)
        one.member.measured(measurements, forward_flops(one.member.spec, one.tokens), seconds)
        before = computed_at
    return [losses for _, losses, _, _ in read]
