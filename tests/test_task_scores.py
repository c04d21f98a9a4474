"""Scores of questions against closed forms: unigrams, bigrams, constants; ties, windows, merged tokens."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from fitting.errors import InputError
from sweep.data.tokenizers.library import train_bpe
from sweep.data.tokenizers.raw import RawBytes
from sweep.tasks import NAMES, Question, TaskScore, bundled_questions, sheet_of
from sweep.tasks import score as score_answers


@pytest.fixture(scope="module")
def texts(text_folder):
    return [path.read_text() for path in sorted(text_folder.iterdir())]


@pytest.fixture(scope="module")
def bpe(texts):
    return train_bpe([text.encode() for text in texts[:10]], 600)


class Unigram:
    """Nats of a token, whatever stands before it."""

    def __init__(self, vocab_size, seed=0):
        self.nats = np.random.default_rng(seed).uniform(0.5, 6.0, vocab_size)

    def __call__(self, tokens):
        return self.nats[tokens[:, 1:]]


def score(questions, tokenizer, window, model) -> list[TaskScore]:
    """model: tokens (windows, T + 1) to nats (windows, T)."""
    sheet = sheet_of(questions, tokenizer, window)
    return score_answers(sheet.answers(model(sheet.windows)))


def bigram(tokens):
    """Nats of a token that depend on the one before it: |difference| / 16."""
    tokens = tokens.astype(float)
    return np.abs(tokens[:, 1:] - tokens[:, :-1]) / 16.0


QUESTIONS = [
    Question("a", "one", (" cat", " giraffe", " ox"), 0),
    Question("b", "two", (" x", " yy"), 1),
    Question("a", "three and", (" dog", " bird"), 1),
    Question("a", "", ("dog", "bird!", "é"), 2),
]


def test_a_unigram_model_scores_as_its_closed_form():
    model = Unigram(257)
    scores = score(QUESTIONS, RawBytes(), 16, model)
    assert [(one.task, one.questions) for one in scores] == [("a", 3), ("b", 1)]
    rows = []
    for question in (question for question in QUESTIONS if question.task == "a"):
        nats = np.array([sum(model.nats[byte + 1] for byte in choice.encode()) for choice in question.choices])
        sizes = np.array([len(choice.encode()) for choice in question.choices])
        gold, count = question.answer, len(question.choices)
        rows.append(
            [
                1 / count,
                float(np.argmin(nats) == gold),
                float(np.argmin(nats / sizes) == gold),
                1 / count,  # the context changes nothing: all choices tie
                np.exp(-nats[gold]) / np.exp(-nats).sum(),
                nats[gold] / np.log(2) / sizes[gold],
            ]
        )
    got = scores[0]
    means, errors = np.mean(rows, axis=0), stats.sem(rows, axis=0)
    fields = ("chance", "accuracy", "accuracy_per_byte", "accuracy_normalised", "choice_probability", "gold_bpb")
    np.testing.assert_allclose([getattr(got, field) for field in fields], means, rtol=1e-12)
    np.testing.assert_allclose([getattr(got, field + "_se") for field in fields[1:]], errors[1:], rtol=1e-9)
    assert scores[1].gold_bpb_se is None


def test_what_stands_before_a_token_counts():
    """ "ab" is near the question's last letter, "yz" near nothing but itself; alone, both follow the separator."""
    question = Question("t", "ccc", ("ab", "yz"), 0)
    (got,) = score([question], RawBytes(), 8, bigram)
    behind = {"ab": (2 + 1) / 16, "yz": (22 + 1) / 16}
    assert got.gold_bpb == pytest.approx(behind["ab"] / 2 / np.log(2), rel=1e-12)
    assert got.choice_probability == pytest.approx(1 / (1 + np.exp(behind["ab"] - behind["yz"])), rel=1e-12)
    # Alone: 98 + 1 and 122 + 1 steps of 1/16 from the separator 0. The context helps "ab" by 96, "yz" by 100.
    assert (got.accuracy, got.accuracy_per_byte, got.accuracy_normalised) == (1.0, 1.0, 0.0)


def test_windows_open_with_the_separator_are_cut_left_and_padded_right():
    windows = sheet_of([Question("t", "abcdefgh", ("12", "3"), 0)], RawBytes(), 6).windows
    assert windows.shape == (4, 7)
    shown = [RawBytes().text(window[window > 0]) for window in windows]
    assert shown == [b"defgh12"[-7:], b"cdefgh3"[-7:], b"12", b"3"]
    assert windows[2].tolist() == [0, ord("1") + 1, ord("2") + 1, 0, 0, 0, 0]


def test_a_context_of_any_length_scores_alike_under_a_unigram():
    scores = [score([Question("t", "x" * n, ("12", "345"), 0)], RawBytes(), 8, Unigram(257)) for n in (1, 100)]
    assert scores[0] == scores[1]


def test_many_questions_score_as_each_does_alone():
    questions = [Question("t", str(i), (f"a{i}", f"b{i}", "same"), 0) for i in range(100)]
    model = Unigram(257)
    (got,) = score(questions, RawBytes(), 8, model)
    assert sheet_of(questions, RawBytes(), 8).windows.shape == (300 + 201, 9)  # what all share is read alone once
    single = [score([question], RawBytes(), 8, model)[0].gold_bpb for question in questions]
    assert got.gold_bpb == pytest.approx(np.mean(single), rel=1e-12)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_constant_model_scores_exactly_chance(count):
    choices = tuple("abcd"[:count])
    questions = [Question("t", "q", choices, place % count) for place in range(7)]
    (got,) = score(questions, RawBytes(), 8, lambda tokens: np.full(tokens[:, 1:].shape, np.log(257.0)))
    fields = ("chance", "accuracy", "accuracy_per_byte", "accuracy_normalised", "choice_probability")
    np.testing.assert_allclose([getattr(got, field) for field in fields], 1 / count, rtol=1e-14)
    assert got.accuracy_se == pytest.approx(0.0, abs=1e-15)
    assert got.gold_bpb == pytest.approx(np.log2(257.0))


def test_rounding_does_not_break_a_tie():
    question = Question("t", "q", ("aaa", "bb"), 0)
    jitter = 1.0 + 1e-8 * np.arange(8)
    (got,) = score([question], RawBytes(), 8, lambda tokens: np.broadcast_to(0.1 * jitter, tokens[:, 1:].shape))
    assert (got.accuracy, got.accuracy_per_byte) == (0.0, 0.5)


def test_the_standard_error_is_that_of_a_share():
    questions = [Question("t", "c", ("a", "z"), int(place < 3)) for place in range(10)]
    (got,) = score(questions, RawBytes(), 8, bigram)
    assert got.accuracy == 0.7
    assert got.accuracy_se == pytest.approx(np.sqrt(0.7 * 0.3 / 9))


def test_tokens_that_merge_across_the_border_cost_no_choice_more(texts, bpe):
    """Whatever the border, choices compare as whole texts do: softmax over the sums of all tokens."""
    model = Unigram(600)
    question = Question("t", "    return se", ("lf.value", "xual", " lf"), 0)
    asked, *joined = bpe.ids(
        [text.encode() for text in ("    return se", *("    return se" + c for c in question.choices))]
    )
    kept = [tokens[: len(asked)].tolist() == asked.tolist() for tokens in joined]
    assert True in kept, "no choice leaves the question's tokens as they are; take another example"
    assert False in kept, "no choice merges across the border; take another example"
    (got,) = score([question], bpe, 64, model)
    whole = np.array([-model.nats[tokens].sum() for tokens in joined])
    assert got.choice_probability == pytest.approx(np.exp(whole)[0] / np.exp(whole).sum(), rel=1e-9)
    assert got.accuracy == float(np.argmax(whole) == 0)


def test_bundled_questions_are_scored_with_a_vocabulary(texts, bpe):
    model = Unigram(600)
    questions = bundled_questions(NAMES, texts, 8, 0)
    scores = score(questions, bpe, 64, model)
    assert sum(one.questions for one in scores) == len(questions)
    by_task = {one.task: one for one in scores}
    sums = [question for question in questions if question.task == "arithmetic/2-digit"]
    bits = []
    for question in sums:  # a sign, a space: no merge reaches across, so the choice's own tokens are scored
        (tokens,) = bpe.ids([question.choices[question.answer].encode()])
        bits.append(model.nats[tokens].sum() / np.log(2) / len(question.choices[question.answer]))
    assert by_task["arithmetic/2-digit"].gold_bpb == pytest.approx(np.mean(bits), rel=1e-9)
    for one in scores:
        assert all(np.isfinite(value) for value in dataclasses.astuple(one)[1:])


def test_choices_that_cannot_be_scored_are_refused():
    model = Unigram(257)
    with pytest.raises(InputError, match=r"task t: choice '12345' has 5 tokens; allowed are 1 to 4"):
        score([Question("t", "q", ("1", "12345"), 0)], RawBytes(), 4, model)
    with pytest.raises(InputError, match="has no separator"):
        score([Question("t", "q", ("1", "2"), 0)], dataclasses.replace(RawBytes(), separator=None), 4, model)
    with pytest.raises(FloatingPointError, match="not finite"):
        score([Question("t", "q", ("1", "2"), 0)], RawBytes(), 4, lambda tokens: np.full((len(tokens), 4), np.nan))
    with pytest.raises(ValueError, match="one loss a target"):
        score([Question("t", "q", ("1", "2"), 0)], RawBytes(), 4, lambda tokens: np.zeros(tokens.shape))
