"""What is minimised? The sum over points of rho(r) with r = ln L_law - ln L: a Huber, whose one choice is its width.

    rho(r) = r^2/2 for |r| <= delta, else delta (|r| - delta/2)

Huber 1964 (Ann. Math. Stat. 35, 73-101); on ln L with delta 1e-3 Hoffmann et al. 2022, appendix D.3. The sum, not the
mean: an average and a fixed tolerance stop most published fits short of their optimum (fitting/solve.py).

    huber   delta = 1e-3; huber:0.01 is another width
    mse     delta = infinity: half the sum of squares, right for Gaussian noise, and one bad run bends the law
    lad     delta = 1e-7: delta times the sum of |r|, to within delta/2 a point. The limit is least absolute deviations,
            whose optimum passes through as many points as the law has parameters; Huber optima of falling width
            lead there (Madsen and Nielsen 1993, SIAM J. Optim. 3, 223-235).
"""

from __future__ import annotations

import numpy as np

from fitting.errors import InputError

DELTA = 1e-3  # Hoffmann et al. 2022, appendix D.3
LAD, MSE = 1e-7, float("inf")
WIDTHS = {"huber": DELTA, "mse": MSE, "lad": LAD}


def delta_of(text: str) -> float:
    """The width that "huber", "mse", "lad" or "huber:WIDTH" names. Raises InputError for anything else."""
    name, _, width = text.partition(":")
    try:
        if not width:
            return WIDTHS[name]
        if name == "huber":
            return require_width(float(width))
    except (KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
    raise InputError(
        f"objective {text!r} is not known; give huber (of width {DELTA:g} on ln L), huber:0.01 for another width, "
        f"mse or lad"
    )


def require_width(delta: float) -> float:
    """The same width. Raises InputError where it is too narrow for any search."""
    if not delta >= LAD:
        raise InputError(
            f"the width of the Huber is {delta:g}; allowed is {LAD:g} or more, on ln L. Give {DELTA:g}, or mse or lad"
        )
    return delta


def objective_name(delta: float) -> str:
    """The inverse of delta_of."""
    names = {width: name for name, width in WIDTHS.items()}
    return names.get(delta, f"huber:{delta:g}")


def objective_form(delta: float) -> str:
    """In words."""
    if delta == MSE:
        return "half the sum of squares on ln L"
    if delta == LAD:
        return "sum of absolute deviations on ln L"
    return f"sum of Huber on ln L, delta {delta:g}"


def objective_value(residuals: np.ndarray, delta: float) -> float:
    """What a person reads of it, for residuals (points,) of ln L: of lad the sum of |r| itself."""
    size = np.abs(residuals)
    if delta == LAD:
        return float(np.sum(size))
    within = np.minimum(size, delta)
    return float(np.sum(within * (size - within / 2)))
