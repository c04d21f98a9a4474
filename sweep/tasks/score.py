"""How well does a model answer multiple-choice questions?

Each choice is scored by its log-likelihood behind the question (ranked classification: Brown et al. 2020,
arXiv:2005.14165, section 2.4; the cloze formulation of OLMES: Gu et al. 2024, arXiv:2406.08446), which tells small
models apart where letters A to D would not. Which of the three accuracies to read depends on the task (OLMES).
Accuracy laws go by two steps (Bhagia et al. 2024, arXiv:2412.04403): compute to gold_bpb, gold_bpb to accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fitting.errors import InputError
from sweep.data.tokenizers import Tokenizer, token_dtype
from sweep.tasks.question import Question

WINDOWS_AT_ONCE = 128  # every call has this shape, so that a compiled function is compiled once
TIE = 1e-6  # of the largest log-likelihood; a float32 loss says no more

TokenLosses = Callable[[np.ndarray], np.ndarray]  # tokens (windows, T + 1) to nats (windows, T)


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


@dataclass(frozen=True)
class _Span:
    """The last `scored` of these tokens are the choice's."""

    tokens: np.ndarray
    scored: int


def score(
    questions: Sequence[Question], tokenizer: Tokenizer, window: int, token_losses: TokenLosses
) -> list[TaskScore]:
    """One score a task, in the order of their first questions.

    window: T, tokens that have a loss. Contexts that are longer lose their beginning; a choice must fit whole.
    Raises InputError where one does not, and FloatingPointError where losses are not finite.
    """
    behind = [span for question in questions for span in _behind_question(question, tokenizer, window)]
    neutral = list(dict.fromkeys(choice for question in questions for choice in question.choices))
    alone = [
        _span(tokens, len(tokens), tokenizer, window, f"choice {choice!r} without its question")
        for choice, tokens in zip(neutral, tokenizer.ids([choice.encode("utf-8") for choice in neutral]), strict=True)
    ]
    summed = _log_likelihoods([*behind, *alone], tokenizer, window, token_losses)
    unconditional = dict(zip(neutral, summed[len(behind) :], strict=True))
    by_task: dict[str, list[_Scored]] = {}
    start = 0
    for question in questions:
        end = start + len(question.choices)
        without = np.array([unconditional[choice] for choice in question.choices])
        by_task.setdefault(question.task, []).append(_scored(question, summed[start:end], without))
        start = end
    return [_task_score(task, scored) for task, scored in by_task.items()]


def _behind_question(question: Question, tokenizer: Tokenizer, window: int) -> list[_Span]:
    """For each choice the tokens beyond the prefix that the question and all of its joined choices share.

    Where tokens merge across the border, they merge for some choices and not for others: one border for all makes
    every choice pay for the same text.
    """
    texts = [question.question, *(question.question + choice for choice in question.choices)]
    asked, *joined = tokenizer.ids([text.encode("utf-8") for text in texts])
    shared = min(_common_prefix(asked, tokens) for tokens in joined)
    return [
        _span(tokens, len(tokens) - shared, tokenizer, window, f"task {question.task}: choice {choice!r}")
        for choice, tokens in zip(question.choices, joined, strict=True)
    ]


def _common_prefix(a: np.ndarray, b: np.ndarray) -> int:
    size = min(len(a), len(b))
    differs = np.flatnonzero(a[:size] != b[:size])
    return int(differs[0]) if len(differs) else size


def _span(tokens: np.ndarray, scored: int, tokenizer: Tokenizer, window: int, what: str) -> _Span:
    if tokenizer.separator is None:
        raise InputError(f"tokenizer {tokenizer.name} has no separator, so questions have no beginning; give another")
    if not 1 <= scored <= window:
        raise InputError(
            f"{what} has {scored} tokens; allowed are 1 to {window}, what one window scores. "
            f"Shorten the choice or lengthen the sequence"
        )
    opened = np.concatenate([[tokenizer.separator], tokens]).astype(token_dtype(tokenizer.vocab_size))
    return _Span(opened[-(window + 1) :], scored)


def _log_likelihoods(
    spans: Sequence[_Span], tokenizer: Tokenizer, window: int, token_losses: TokenLosses
) -> np.ndarray:
    """Of each span's scored tokens, in nats: (spans,) float64. Padding lies behind them, where no token sees it."""
    summed = np.zeros(len(spans))
    for start in range(0, len(spans), WINDOWS_AT_ONCE):
        block = spans[start : start + WINDOWS_AT_ONCE]
        tokens = np.full((WINDOWS_AT_ONCE, window + 1), tokenizer.separator, dtype=token_dtype(tokenizer.vocab_size))
        for row, span in enumerate(block):
            tokens[row, : len(span.tokens)] = span.tokens
        losses = np.asarray(token_losses(tokens), dtype=np.float64)
        if losses.shape != (WINDOWS_AT_ONCE, window):
            raise ValueError(f"token_losses gave {losses.shape} for tokens {tokens.shape}; one loss a target is wanted")
        for row, span in enumerate(block):
            end = len(span.tokens) - 1  # the loss of token i stands at i - 1
            summed[start + row] = -losses[row, end - span.scored : end].sum()
    if not np.isfinite(summed).all():
        raise FloatingPointError("the losses of some answers are not finite; the model has diverged")
    return summed


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
