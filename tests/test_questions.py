"""Questions in JSONL files: read back as written, malformed lines named in one line."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitting.errors import InputError
from sweep.tasks import Question, read_questions, write_questions

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
