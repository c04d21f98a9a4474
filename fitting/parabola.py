"""Where between the values that were tried does the best one lie?"""

from __future__ import annotations

import numpy as np


def lowest(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The lowest point of the parabola through the best value and its neighbours, at equal steps of x."""
    middle = min(max(int(y.argmin()), 1), len(y) - 2)
    bend, slope, level = np.polyfit(x[middle - 1 : middle + 2] - x[middle], y[middle - 1 : middle + 2], 2)
    step = abs(x[1] - x[0])
    shift = float(np.clip(-slope / (2 * bend), -step, step)) if bend > 0 else 0.0
    return float(x[middle] + shift), float(level + slope * shift + bend * shift**2)
