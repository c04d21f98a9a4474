"""Numbers as people type them: 70B, 2T, 6,000, 40%, $500, 1e24."""

from __future__ import annotations

import re

from fitting.errors import InputError

SUFFIXES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12, "P": 1e15, "%": 0.01}
DIGITS = r"[+-]?(?:(?:\d[\d,_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|nan)"
WRITTEN = re.compile(rf"\$?\s*({DIGITS})\s*([kmbgtp%]?)", re.IGNORECASE)


def number(text: str) -> float:
    """Raises InputError where it is none."""
    found = WRITTEN.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{text[:40]!r} is no number; write 70e9 or 70B, 6000 or 6,000, 0.4 or 40%")
    return float(found[1].replace(",", "").replace("_", "")) * SUFFIXES[found[2].upper()]
