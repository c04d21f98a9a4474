"""What is a multiple-choice question, and how is a file of them read?"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitting.errors import InputError


@dataclass(frozen=True)
class Question:
    """Question and choice are joined as they are: a choice opens with the space or line break that belongs there."""

    task: str  # such as "arithmetic/2-digit"
    question: str  # may be empty: then the choices are compared without a context
    choices: tuple[str, ...]
    answer: int  # index of the right choice

    def __post_init__(self):
        if not self.task:
            raise InputError("task is empty; give a name, or leave the field out for the name of the file")
        if len(self.choices) < 2:
            raise InputError(f"choices has {len(self.choices)}; give 2 or more")
        if "" in self.choices:
            raise InputError(f"choice {self.choices.index('')} is empty; every choice needs text")
        if len(set(self.choices)) < len(self.choices):
            twice = next(choice for choice in self.choices if self.choices.count(choice) > 1)
            raise InputError(f"choice {twice!r} is there twice; choices must differ")
        if not 0 <= self.answer < len(self.choices):
            raise InputError(f"answer is {self.answer}; allowed are 0 to {len(self.choices) - 1}, counted from 0")
        for text in (self.task, self.question, *self.choices):
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                raise InputError(f"{text!r} has half a surrogate pair, which no UTF-8 text holds; mend it") from None


def read_questions(path: str | Path) -> list[Question]:
    """Of plain JSONL: question, choices, answer (index, or the text of a choice), task (else the file's stem).

    Other fields and blank lines are passed over. Raises InputError at the first line that is no question.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"questions {path} cannot be read: {error.strerror}") from None
    questions = []
    # Bytes are cut at \n alone; str.splitlines would also cut inside a text, at U+2028.
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            questions.append(_question(line, path.stem))
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
    if not questions:
        raise InputError(f"{path} holds no question; give one JSON object a line")
    return questions


def write_questions(path: str | Path, questions: Iterable[Question]) -> None:
    """JSONL that read_questions reads back."""
    rows = (
        {"task": item.task, "question": item.question, "choices": list(item.choices), "answer": item.answer}
        for item in questions
    )
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    Path(path).write_bytes(lines.encode("utf-8"))


def _question(line: bytes, default_task: str) -> Question:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start} of the line; save the file as UTF-8") from None
    except RecursionError:
        raise InputError("not JSON: nested too deeply; give one object a line") from None
    except ValueError as error:
        raise InputError(f"not JSON: {error}; give one object a line") from None
    if not isinstance(row, dict):
        raise InputError(f"a JSON {_kind(row)}; give an object with question, choices and answer")
    missing = [field for field in ("question", "choices", "answer") if field not in row]
    if missing:
        raise InputError(f"no field {missing[0]!r}; every line needs question, choices and answer")
    question, choices, task = row["question"], row["choices"], row.get("task", default_task)
    for field, value in (("question", question), ("task", task)):
        if not isinstance(value, str):
            raise InputError(f"{field} is a JSON {_kind(value)}; give a string")
    if not isinstance(choices, list):
        raise InputError(f"choices is a JSON {_kind(choices)}; give a list of strings")
    for choice in choices:
        if not isinstance(choice, str):
            raise InputError(f"choices holds a JSON {_kind(choice)}; give strings only")
    return Question(task, question, tuple(choices), _index(row["answer"], choices))


def _index(answer: Any, choices: list[str]) -> int:
    if isinstance(answer, str):
        if answer not in choices:
            raise InputError(f"answer {answer!r} is none of the choices; give the text of one, or its index from 0")
        return choices.index(answer)
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise InputError(f"answer is a JSON {_kind(answer)}; give an index from 0, or the text of a choice")
    return answer


def _kind(value: Any) -> str:
    """What JSON calls it."""
    names = {dict: "object", list: "list", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
