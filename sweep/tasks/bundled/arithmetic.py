"""What is the sum, the difference or the product of two numbers?"""

from __future__ import annotations

import random
from collections.abc import Sequence

from sweep.tasks.bundled.draw import asked, distinct, generator
from sweep.tasks.question import Question

DIGITS = (1, 2, 3)  # the grades: digits of both numbers
NEAR = 10  # wrong answers are at most this far off


def make(texts: Sequence[str], count: int, seed: int) -> list[Question]:
    """Up to `count` questions for each number of digits, no difference below 0; texts are not looked at."""
    rng = generator("arithmetic", seed)
    return [question for digits in DIGITS for question in distinct(lambda d=digits: _draw(d, rng), count)]


def _draw(digits: int, rng: random.Random) -> Question:
    smallest, largest = 10 ** (digits - 1), 10**digits - 1
    a, b = rng.randint(smallest, largest), rng.randint(smallest, largest)
    sign = rng.choice("+-*")
    if sign == "-":
        a, b = max(a, b), min(a, b)
    right = {"+": a + b, "-": a - b, "*": a * b}[sign]
    near = [n for n in range(max(right - NEAR, 0), right + NEAR + 1) if n != right and len(str(n)) == len(str(right))]
    wrong = [f" {other}" for other in rng.sample(near, 3)]
    return asked(f"arithmetic/{digits}-digit", f"{a} {sign} {b} =", f" {right}", wrong, rng)
