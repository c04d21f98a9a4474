"""How well does a model answer multiple-choice questions?

Each choice is scored by its log-likelihood behind the question (ranked classification: Brown et al. 2020,
arXiv:2005.14165, section 2.4; the cloze formulation of OLMES: Gu et al. 2024, arXiv:2406.08446), which tells small
models apart where letters A to D would not. Which of the three accuracies to read depends on the task (OLMES).
Accuracy laws go by two steps (Bhagia et al. 2024, arXiv:2412.04403): compute to gold_bpb, gold_bpb to accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.tasks.question import Question
from sweep.tasks.sheet import Answered

TIE = 1e-6  # of the largest log-likelihood; a float32 loss says no more


@dataclass(frozen=True)
class TaskScore:
    """Means over the questions of a task; `_se` is the standard error of each, None where there is one question.

    Ties count as a fair share, 1 / number of ties: a model that prefers nothing scores chance.
    """

    task: str
    questions: int
    chance: float  # mean of 1 / number of choices
    accuracy: float  # the likeliest choice is the right one
    accuracy_se: float | None
    accuracy_per_byte: float  # the likeliest by log-likelihood / bytes of the choice
    accuracy_per_byte_se: float | None
    accuracy_normalised: float  # by log p(choice | question) - log p(choice), Brown et al. 2020, section 2.4
    accuracy_normalised_se: float | None
    choice_probability: float  # of the right choice, p(choice | question) summing to 1 over the choices
    choice_probability_se: float | None
    gold_bpb: float  # bits per byte of the right choice behind its question: the task loss of Bhagia et al. 2024
    gold_bpb_se: float | None


@dataclass(frozen=True)
class _Scored:
    """One question."""

    task: str
    chance: float
    accuracy: float
    accuracy_per_byte: float
    accuracy_normalised: float
    choice_probability: float
    gold_bpb: float


def score(answered: Sequence[Answered]) -> list[TaskScore]:
    """One score a task, in the order of their first questions."""
    by_task: dict[str, list[_Scored]] = {}
    for one in answered:
        by_task.setdefault(one.question.task, []).append(_scored(one.question, one.behind, one.alone))
    return [_task_score(task, scored) for task, scored in by_task.items()]


def _scored(question: Question, behind: np.ndarray, alone: np.ndarray) -> _Scored:
    sizes = np.array([len(choice.encode("utf-8")) for choice in question.choices])
    per_byte = behind / sizes
    weights = np.exp(behind - behind.max())
    largest = max(np.abs(behind).max(), np.abs(alone).max())
    return _Scored(
        question.task,
        1.0 / len(question.choices),
        _share(behind, question.answer, np.abs(behind).max()),
        _share(per_byte, question.answer, np.abs(per_byte).max()),
        _share(behind - alone, question.answer, largest),
        float(weights[question.answer] / weights.sum()),
        float(-per_byte[question.answer] / math.log(2.0)),
    )


def _share(scores: np.ndarray, answer: int, largest: float) -> float:
    """1 / number of choices that share the highest score where the answer is one of them, else 0."""
    tied = scores >= scores.max() - TIE * largest
    return float(tied[answer] / tied.sum())


def _task_score(task: str, scored: Sequence[_Scored]) -> TaskScore:
    def mean_and_se(values: Sequence[float]) -> tuple[float, float | None]:
        se = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
        return float(np.mean(values)), se

    return TaskScore(
        task,
        len(scored),
        float(np.mean([one.chance for one in scored])),
        *mean_and_se([one.accuracy for one in scored]),
        *mean_and_se([one.accuracy_per_byte for one in scored]),
        *mean_and_se([one.accuracy_normalised for one in scored]),
        *mean_and_se([one.choice_probability for one in scored]),
        *mean_and_se([one.gold_bpb for one in scored]),
    )
