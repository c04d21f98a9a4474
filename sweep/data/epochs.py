"""How often does a run read the same text, domain by domain, and at which step does any of it come again?"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.data.order import Order, drawn_windows, unique_windows


@dataclass(frozen=True)
class DrawnDomain:
    """What a run draws from one domain of its mixture."""

    domain: str
    windows: int  # drawn, repeated ones too
    unique: int  # windows after which they repeat


def drawn_domains(order: Order, windows: Sequence[tuple[str, int]], batch: int, steps: int) -> list[DrawnDomain]:
    """Of each domain, by the end of so many steps; nothing where there is no mixture.

    windows: the name of each domain and how many windows it has.
    """
    if not order.curriculum:
        return []
    names = tuple(name for name, _ in windows)
    drawn, unique = drawn_windows(order, names, steps * batch, batch), unique_windows(order, windows)
    return [DrawnDomain(*each) for each in zip(names, drawn.tolist(), unique.tolist(), strict=True)]


def fresh_steps(order: Order, windows: Sequence[tuple[str, int]], batch: int) -> int:
    """Steps before the first one that meets a window again, of any domain.

    The code length of a run's text ends there: what follows is partly known, and the losses of a step are not kept
    domain by domain. Exact, and short of the first epochs of the other domains.
    """
    names, unique = tuple(name for name, _ in windows), unique_windows(order, windows)

    def repeats(steps: int) -> bool:
        return bool((drawn_windows(order, names, steps * batch, batch) > unique).any())

    most = int(unique.sum()) // batch  # fresh ones: one more needs more windows than there are
    return bisect.bisect_left(range(1, most + 1), True, key=repeats)
