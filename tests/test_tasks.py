"""Downstream questions: read, made and scored, against closed forms and independent checks of every answer."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fitting.errors import InputError
from sweep.data.tokenizers.library import train_bpe
from sweep.data.tokenizers.raw import RawBytes
from sweep.tasks import NAMES, Question, bundled_questions, read_questions, score, write_questions
from sweep.tasks.bundled import arithmetic, brackets, cloze, indentation, strings
from sweep.tasks.bundled.draw import LONGEST_CHOICE
from sweep.tasks.score import WINDOWS_AT_ONCE


@pytest.fixture(scope="module")
def texts(text_folder):
    return [path.read_text() for path in sorted(text_folder.iterdir())]


@pytest.fixture(scope="module")
def bpe(texts):
    return train_bpe([text.encode() for text in texts[:10]], 600)


# Reading

good = st.builds(
    lambda task, question, choices, place: Question(task, question, tuple(choices), place % len(choices)),
    st.text(min_size=1),
    st.text(),
    st.lists(st.text(min_size=1), min_size=2, max_size=5, unique=True),
    st.integers(0, 100),
)


@settings(deadline=None)
@given(questions=st.lists(good, min_size=1, max_size=4))
def test_what_is_written_is_read_back(tmp_path_factory, questions):
    path = tmp_path_factory.mktemp("questions") / "some.jsonl"
    write_questions(path, questions)
    assert read_questions(path) == questions


def test_the_answer_may_be_its_text_and_the_task_is_the_stem(tmp_path):
    path = tmp_path / "capitals.jsonl"
    row = {"question": "2 +", "choices": [" 2", "\u2028"], "answer": "\u2028", "source": "passed over"}
    path.write_text("\ufeff" + json.dumps(row, ensure_ascii=False) + "\n\n", encoding="utf-8")
    assert read_questions(path) == [Question("capitals", "2 +", (" 2", "\u2028"), 1)]


GOOD = b'{"question": "a", "choices": ["b", "c"], "answer": 0}'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b"[" * 100_000, "not JSON"),
        (b'{"answer": ' + b"1" * 5000 + b"}", "not JSON"),
        (b"[]", "a JSON list"),
        (b"null", "a JSON null"),
        (b'{"choices": ["b", "c"], "answer": 0}', "no field 'question'"),
        (b'{"question": "a", "answer": 0}', "no field 'choices'"),
        (b'{"question": "a", "choices": ["b", "c"]}', "no field 'answer'"),
        (b'{"question": 7, "choices": ["b", "c"], "answer": 0}', "question is a JSON number"),
        (b'{"question": "a", "choices": "bc", "answer": 0}', "choices is a JSON string"),
        (b'{"question": "a", "choices": ["b", 1], "answer": 0}', "choices holds a JSON number"),
        (b'{"question": "a", "choices": ["b"], "answer": 0}', "choices has 1; give 2 or more"),
        (b'{"question": "a", "choices": ["b", ""], "answer": 0}', "choice 1 is empty"),
        (b'{"question": "a", "choices": ["b", "b"], "answer": 0}', "choice 'b' is there twice"),
        (b'{"question": "a", "choices": ["b", "c"], "answer": 2}', "answer is 2; allowed are 0 to 1"),
        (b'{"question": "a", "choices": ["b", "c"], "answer": -1}', "answer is -1"),
        (b'{"question": "a", "choices": ["b", "c"], "answer": true}', "answer is a JSON boolean"),
        (b'{"question": "a", "choices": ["b", "c"], "answer": "d"}', "answer 'd' is none of the choices"),
        (b'{"question": "a", "choices": ["b", "c"], "answer": 0, "task": 3}', "task is a JSON number"),
        (b'{"question": "a", "choices": ["b", "c"], "answer": 0, "task": ""}', "task is empty"),
        (b'{"question": "\\ud800", "choices": ["b", "c"], "answer": 0}', "half a surrogate pair"),
    ],
)
def test_a_malformed_line_is_named_in_one_line(tmp_path, line, reason):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(GOOD + b"\n\n" + line + b"\n" + GOOD)
    with pytest.raises(InputError, match=re.escape(reason)) as raised:
        read_questions(path)
    assert str(raised.value).startswith(f"{path}, line 3: ")
    assert "\n" not in str(raised.value)


def test_a_file_without_questions_is_refused(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no question"):
        read_questions(tmp_path / "empty.jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        read_questions(tmp_path / "absent.jsonl")


# Bundled tasks


def right(question):
    return question.choices[question.answer]


def test_sums_are_right():
    questions = arithmetic.make([], 150, 0)
    for question in questions:
        expression = question.question.removesuffix(" =")
        assert int(right(question)) == eval(expression) >= 0
        a, b = re.fullmatch(r"(\d+) [-+*] (\d+)", expression).groups()
        assert question.task == f"arithmetic/{len(a)}-digit"
        assert len(a) == len(b)
        assert len({len(choice) for choice in question.choices}) == 1
        assert all(0 < abs(int(c) - int(right(question))) <= 10 for c in question.choices if c != right(question))
    assert Counter(question.task for question in questions) == {f"arithmetic/{n}-digit": 150 for n in (1, 2, 3)}


def test_python_answers_as_the_questions_say():
    questions = strings.make([], 50, 0)
    assert len(questions) == 50 * 5 * 3
    for question in questions:
        value = eval(question.question.removeprefix(">>> "))
        assert [ast.literal_eval(choice.strip()) == value for choice in question.choices].count(True) == 1
        assert right(question) == f"\n{value!r}\n"
        assert "/count-10" in question.task or len({len(choice) for choice in question.choices}) == 1


def test_one_choice_of_brackets_fits_what_is_open(texts):
    """Independent of the generator: lines without strings and comments, cut down by removing pairs."""
    bare = ["\n".join(line for line in text.split("\n") if not set("'\"`#\\/") & set(line)) for text in texts]
    questions = brackets.make(bare, 60, 0)
    assert {question.task for question in questions} == {f"brackets/{depth}-deep" for depth in (1, 2, 3)}
    for question in questions:
        line = question.question.split("\n")[-1]
        fits = [not set(_unpaired(line + choice)) & set(")]}") for choice in question.choices]
        assert fits == [place == question.answer for place in range(len(question.choices))]
        assert question.task == f"brackets/{len(right(question))}-deep"
        assert len({len(choice) for choice in question.choices}) == 1
        assert any(question.question + right(question) in text for text in bare)


def _unpaired(text):
    text = re.sub(r"[^()\[\]{}]", "", text)
    while (shorter := re.sub(r"\(\)|\[\]|\{\}", "", text)) != text:
        text = shorter
    return text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = f(a[i], g(b))", [(9, "]"), (15, "))")]),
        ("x = {f(a[i])}", [(10, "])}")]),
        ("f('(', a)", []),  # a bracket in a string: what is open is not known behind it
        ("f('x', a)", [(8, ")")]),
        ("f(a)  # :)", [(3, ")")]),
        ("a) + f(b)", []),  # what the first one closes stands in another line
        ("f(a])", []),
    ],
)
def test_brackets_are_closed_only_where_their_line_tells(line, expected):
    assert brackets.closings(line) == expected


def test_indentation_is_what_the_document_has(texts):
    questions = indentation.make(texts, 60, 0)
    assert Counter(question.task for question in questions) == {
        f"indentation/{step}": 60 for step in ("back", "same", "deeper")
    }
    for question in questions:
        assert any(question.question + right(question) in text for text in texts)
        assert len({choice.strip() for choice in question.choices}) == 1
        assert len({len(choice) for choice in question.choices}) == 4
        last, chosen = (_spaces(line) for line in (question.question.split("\n")[-1], right(question)[1:]))
        step = "deeper" if chosen > last else "back" if chosen < last else "same"
        assert question.task == f"indentation/{step}"


def _spaces(line):
    return len(re.match(" *", line).group())


def test_cloze_goes_on_as_the_document_does(texts):
    questions = cloze.make(texts, 100, 0)
    assert Counter(question.task for question in questions) == {"cloze/2-line": 100, "cloze/8-line": 100}
    for question in questions:
        assert question.task == f"cloze/{len(question.question.splitlines())}-line"
        whole = [f"\n{text}\n" for text in texts]  # first and last lines count too
        goes_on = [any(question.question + choice + "\n" in text for text in whole) for choice in question.choices]
        assert goes_on == [place == question.answer for place in range(4)]
        assert all(any(choice + "\n" in text for text in whole) for choice in question.choices)
        lengths = [len(choice) for choice in question.choices]
        assert max(lengths) - min(lengths) <= 0.3 * len(right(question))


@pytest.mark.parametrize("name", NAMES)
def test_the_right_choice_stands_anywhere(texts, name):
    """Chi-square against the uniform; 1e-4 for one seed."""
    questions = bundled_questions([name], texts, 100, 3)
    for count in {len(question.choices) for question in questions}:
        places = Counter(question.answer for question in questions if len(question.choices) == count)
        assert stats.chisquare([places[place] for place in range(count)]).pvalue > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_fixes_the_questions(texts, name):
    first = bundled_questions([name], texts, 20, 5)
    assert first == bundled_questions([name], texts, 20, 5)
    assert first != bundled_questions([name], texts, 20, 6)
    assert len({(question.task, question.question) for question in first}) == len(first)
    # Raw bytes in windows of 64 tokens hold every choice.
    assert max(len(choice.encode()) for question in first for choice in question.choices) <= LONGEST_CHOICE


pieces = st.sampled_from(["\n", "    ", "\t", "f(", ")", "])", "if x:", "word and word ", "é", "\r\n", "'", "\ud800"])


@settings(deadline=None, max_examples=60)
@given(texts=st.lists(st.text() | st.lists(pieces, max_size=60).map("".join), max_size=3), seed=st.integers(0, 2**32))
def test_any_text_gives_sound_questions_or_none(texts, seed):
    for question in bundled_questions(("cloze", "brackets", "indentation"), texts, 3, seed):
        assert all(choice.encode() for choice in question.choices)


def test_unknown_tasks_are_refused():
    with pytest.raises(InputError, match=r"'clozes' is unknown; allowed are cloze, brackets"):
        bundled_questions(["clozes"], [], 10, 0)
    with pytest.raises(InputError, match="give 1 or more"):
        bundled_questions(["cloze"], [], 0, 0)


# Scoring


class Unigram:
    """Nats of a token, whatever stands before it. Keeps the windows it was given."""

    def __init__(self, vocab_size, seed=0):
        self.nats = np.random.default_rng(seed).uniform(0.5, 6.0, vocab_size)
        self.windows = []

    def __call__(self, tokens):
        self.windows.append(tokens)
        return self.nats[tokens[:, 1:]]


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
    model = Unigram(257)
    score([Question("t", "abcdefgh", ("12", "3"), 0)], RawBytes(), 6, model)
    (windows,) = model.windows
    assert windows.shape == (WINDOWS_AT_ONCE, 7)
    shown = [RawBytes().text(window[window > 0]) for window in windows[:4]]
    assert shown == [b"defgh12"[-7:], b"cdefgh3"[-7:], b"12", b"3"]
    assert windows[2].tolist() == [0, ord("1") + 1, ord("2") + 1, 0, 0, 0, 0]
    assert not windows[4:].any()


def test_a_context_of_any_length_scores_alike_under_a_unigram():
    scores = [score([Question("t", "x" * n, ("12", "345"), 0)], RawBytes(), 8, Unigram(257)) for n in (1, 100)]
    assert scores[0] == scores[1]


def test_more_questions_than_one_call_holds():
    questions = [Question("t", str(i), (f"a{i}", f"b{i}"), 0) for i in range(100)]
    model = Unigram(257)
    (got,) = score(questions, RawBytes(), 8, model)
    assert [windows.shape for windows in model.windows] == [(WINDOWS_AT_ONCE, 9)] * 4  # 200 behind, 200 alone
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
        (tokens,) = bpe.ids([right(question).encode()])
        bits.append(model.nats[tokens].sum() / np.log(2) / len(right(question)))
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
