"""Which bundled tasks are there, and what questions do they ask?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fitting.errors import InputError
from sweep.tasks.bundled import arithmetic, brackets, cloze, indentation, strings
from sweep.tasks.question import Question

Make = Callable[[Sequence[str], int, int], list[Question]]
_MAKERS: dict[str, Make] = {
    "cloze": cloze.make,
    "brackets": brackets.make,
    "indentation": indentation.make,
    "arithmetic": arithmetic.make,
    "strings": strings.make,
}
NAMES = tuple(_MAKERS)


def bundled_questions(names: Sequence[str], texts: Sequence[str], count_per_task: int, seed: int) -> list[Question]:
    """Up to count_per_task questions of each grade of each name; fewer where the held-out texts offer too little."""
    for name in names:
        if name not in _MAKERS:
            raise InputError(f"bundled task {name!r} is unknown; allowed are {', '.join(NAMES)}")
    if count_per_task < 1:
        raise InputError(f"questions per task are {count_per_task}; give 1 or more")
    return [question for name in dict.fromkeys(names) for question in _MAKERS[name](texts, count_per_task, seed)]
