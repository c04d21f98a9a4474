"""Which windows does a set of multiple-choice questions ask a model for, and what do their losses say of each choice?

Every choice is read twice: behind its question, and alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitting.errors import InputError
from sweep.data.tokenizers import Tokenizer, token_dtype
from sweep.tasks.question import Question


@dataclass(frozen=True)
class Answered:
    """Log-likelihoods of a question's choices, in nats, each (choices,)."""

    question: Question
    behind: np.ndarray  # log p(choice | question)
    alone: np.ndarray  # log p(choice)


@dataclass(frozen=True)
class _Span:
    """The last `scored` of these tokens are the choice's."""

    tokens: np.ndarray
    scored: int


@dataclass(frozen=True)
class Sheet:
    """Questions as windows of tokens. Made once, it serves every model of the same tokenizer and sequence."""

    questions: tuple[Question, ...]
    windows: np.ndarray  # (windows, T + 1); padding lies behind the choices, where no token sees it
    _spans: tuple[_Span, ...]  # one a window: all choices behind their questions, then all different choices alone

    def answers(self, losses: np.ndarray) -> list[Answered]:
        """From the loss of every target, (windows, T) nats.

        Raises FloatingPointError where one that counts is not finite, ValueError where the shape is another.
        """
        count, length = self.windows.shape
        if losses.shape != (count, length - 1):
            raise ValueError(f"losses {losses.shape} for tokens {self.windows.shape}; one loss a target is wanted")
        ends = [len(span.tokens) - 1 for span in self._spans]  # the loss of token i stands at i - 1
        summed = np.array(
            [
                -row[end - span.scored : end].sum(dtype=np.float64)
                for row, end, span in zip(losses, ends, self._spans, strict=True)
            ]
        )
        if not np.isfinite(summed).all():
            raise FloatingPointError("the losses of some answers are not finite; the model has diverged")
        neutral = _different_choices(self.questions)
        alone = dict(zip(neutral, summed[len(summed) - len(neutral) :], strict=True))
        answered, start = [], 0
        for question in self.questions:
            end = start + len(question.choices)
            without = np.array([alone[choice] for choice in question.choices])
            answered.append(Answered(question, summed[start:end], without))
            start = end
        return answered


def sheet_of(questions: Sequence[Question], tokenizer: Tokenizer, window: int) -> Sheet:
    """window: T, tokens that have a loss. Contexts that are longer lose their beginning; a choice must fit whole.

    Raises InputError where one does not.
    """
    behind = [span for question in questions for span in _behind_question(question, tokenizer, window)]
    neutral = _different_choices(questions)
    alone = [
        _span(tokens, len(tokens), tokenizer, window, f"choice {choice!r} without its question")
        for choice, tokens in zip(neutral, tokenizer.ids([choice.encode("utf-8") for choice in neutral]), strict=True)
    ]
    spans = (*behind, *alone)
    windows = np.full((len(spans), window + 1), tokenizer.separator, dtype=token_dtype(tokenizer.vocab_size))
    for row, span in zip(windows, spans, strict=True):
        row[: len(span.tokens)] = span.tokens
    return Sheet(tuple(questions), windows, spans)


def _different_choices(questions: Sequence[Question]) -> list[str]:
    return list(dict.fromkeys(choice for question in questions for choice in question.choices))


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
