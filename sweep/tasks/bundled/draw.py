"""What do all bundled tasks share: reading held-out documents, drawing distinct questions, placing the answer?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from sweep.tasks.question import Question

READ_AT_MOST = 2**22  # characters of held-out text; thousands of questions, in about a second
TRIES = 20  # draws for each question wanted, before a task counts as exhausted
# A choice is scored within one window; raw bytes with the shortest usual window (64) still hold it.
LONGEST_CHOICE = 56  # bytes
LONGEST_CONTEXT_LINE = 200  # characters; longer ones are mostly tables and minified code

T = TypeVar("T")


def generator(name: str, seed: int) -> random.Random:
    """A stream of its own for each task."""
    return random.Random(f"{name} {seed}")


def documents(texts: Sequence[str], rng: random.Random) -> list[list[str]]:
    """Lines of the documents in random order, READ_AT_MOST characters in all."""
    found, left = [], READ_AT_MOST
    for index in rng.sample(range(len(texts)), len(texts)):
        if left <= 0:
            break
        text = texts[index]
        lines = text[:left].encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n").split("\n")
        found.append(lines if len(text) <= left else lines[:-1])  # a line that was cut is not the true one
        left -= len(text)
    return found


def context(lines: Sequence[str], end: int, count: int) -> str | None:
    """The `count` lines before line `end`, joined; None where there are none such, or one is blank or overlong."""
    before = lines[max(end - count, 0) : end]
    usable = all(line.strip() and len(line) <= LONGEST_CONTEXT_LINE for line in before)
    return "\n".join(before) if len(before) == count and usable else None


def asked(task: str, question: str, right: str, wrong: Sequence[str], rng: random.Random) -> Question:
    """The right choice at a uniformly random place."""
    place = rng.randrange(len(wrong) + 1)
    return Question(task, question, (*wrong[:place], right, *wrong[place:]), place)


def distinct(draw: Callable[[], Question | None], count: int) -> list[Question]:
    """Draws until `count` different questions are there, or TRIES * count draws are made; None is no question."""
    found: dict[str, Question] = {}
    for _ in range(TRIES * count):
        drawn = draw()
        if drawn is not None:
            found.setdefault(drawn.question, drawn)
        if len(found) == count:
            break
    return list(found.values())


def evenly(candidates: Sequence[T], kind: Callable[[T], Hashable], rng: random.Random) -> list[T]:
    """Random order, in which the kinds take turns as long as they last: no kind is the answer by frequency alone."""
    seen: Counter[Hashable] = Counter()
    ranked = []
    for candidate in rng.sample(candidates, len(candidates)):
        seen[kind(candidate)] += 1
        ranked.append((seen[kind(candidate)], candidate))
    return [candidate for _, candidate in sorted(ranked, key=lambda pair: pair[0])]
