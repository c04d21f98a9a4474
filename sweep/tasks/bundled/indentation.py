"""How far is the next line of held-out code indented?"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Sequence

from sweep.tasks.bundled.draw import LONGEST_CHOICE, asked, context, documents, evenly, generator
from sweep.tasks.question import Question

CONTEXT_LINES = 6
UNITS = range(2, 9)  # spaces; what code is indented by
WRONG_LEVELS = 3  # how far from the right one the wrong ones may lie
FIRST_WORDS = re.compile(r"\S{1,16}(?: \S{1,12})?")  # enough to tell "return" from "else"
STEPS = {-1: "back", 0: "same", 1: "deeper"}  # the grades, against the line before


def make(texts: Sequence[str], count: int, seed: int) -> list[Question]:
    """Up to `count` questions for each step. All choices have the same words behind their spaces."""
    rng = generator("indentation", seed)
    by_step: dict[str, dict[str, tuple[int, int, str]]] = {step: {} for step in STEPS.values()}
    for lines in documents(texts, rng):
        unit = _unit(lines)
        if unit is None:
            continue
        for i, line in enumerate(lines):
            before = context(lines, i, CONTEXT_LINES)
            words = FIRST_WORDS.match(line.lstrip(" "))
            if before is None or words is None:
                continue
            spaces, last = _spaces(line), _spaces(lines[i - 1])
            known = {_spaces(other) for other in lines[i - CONTEXT_LINES : i]}
            longest = len(words.group().encode()) + spaces + WRONG_LEVELS * unit + 1
            # A line that steps back does so to a level that the context shows; prose is indented nowhere.
            unclear = spaces % unit or (spaces < last and spaces not in known) or known == {0} == {spaces}
            if unclear or longest > LONGEST_CHOICE:
                continue
            step = STEPS[(spaces > last) - (spaces < last)]
            by_step[step].setdefault(before, (spaces, unit, words.group()))
    questions = []
    for step, found in by_step.items():
        for before, (spaces, unit, words) in evenly(list(found.items()), lambda item: item[1][0], rng)[:count]:
            wrong = [f"\n{' ' * other}{words}" for other in _others(spaces, unit, rng)]
            questions.append(asked(f"indentation/{step}", before, f"\n{' ' * spaces}{words}", wrong, rng))
    return questions


def _spaces(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _unit(lines: Sequence[str]) -> int | None:
    """The most frequent step inwards; None where it is none of UNITS, or tabs indent."""
    if any(line.startswith("\t") for line in lines):
        return None
    levels = [_spaces(line) for line in lines if line.strip()]
    deeper = Counter(new - old for old, new in itertools.pairwise(levels) if new > old)
    unit = deeper.most_common(1)[0][0] if deeper else None
    return unit if unit in UNITS else None


def _others(spaces: int, unit: int, rng: random.Random) -> list[int]:
    """Three of the nearest other levels: the right one is not always the middle one."""
    level = spaces // unit
    near = [other for other in range(max(level - WRONG_LEVELS, 0), level + WRONG_LEVELS + 1) if other != level]
    lowest = rng.randint(0, len(near) - 3)
    return [other * unit for other in rng.sample(near[lowest : lowest + 3], 3)]
