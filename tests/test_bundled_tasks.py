"""Bundled tasks: every answer checked by means of its own, whatever the text and the seed."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fitting.errors import InputError
from sweep.tasks import NAMES, bundled_questions
from sweep.tasks.bundled import arithmetic, brackets, cloze, indentation, strings
from sweep.tasks.bundled.draw import LONGEST_CHOICE


@pytest.fixture(scope="module")
def texts(text_folder):
    return [path.read_text() for path in sorted(text_folder.iterdir())]


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
