"""Where is the lowest point of a curve through the losses of one IsoFLOP slice?

The parabola in ln N is that of Hoffmann et al. 2022 (arXiv:2203.15556, 3.2), the Akima spline that of Porian et al.
2024 (arXiv:2406.19146).
"""

from __future__ import annotations

import enum

import numpy as np


class Method(enum.Enum):
    """The curve through one slice."""

    PARABOLA = "parabola"  # least squares, L against ln N (Hoffmann et al. 2022)
    AKIMA = "akima"  # interpolation, ln L against ln N (Porian et al. 2024)


def minima(method: Method, x: np.ndarray, counts: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln N* and L* of each draw, NaN where the curve has no minimum strictly inside the drawn grid.

    x (points,) = ln N, increasing; counts (draws, points) = how often a draw holds each point; losses (draws, points).
    """
    enough = np.count_nonzero(counts, axis=1) >= 3
    log_n, loss = np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    if not enough.any():
        return log_n, loss
    log_n[enough], loss[enough] = _CURVES[method](x, counts[enough], losses[enough])
    drawn = np.where(counts > 0, x, np.nan)
    outside = np.ones(len(counts), bool)
    outside[enough] = ~(
        (log_n[enough] > np.nanmin(drawn[enough], axis=1)) & (log_n[enough] < np.nanmax(drawn[enough], axis=1))
    )
    log_n[outside], loss[outside] = np.nan, np.nan
    return log_n, loss


def _parabola(x: np.ndarray, counts: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertex of the least-squares parabola of each draw; NaN where it opens downward."""
    middle, scale = (x[0] + x[-1]) / 2, (x[-1] - x[0]) / 2
    powers = np.vander((x - middle) / scale, 3)
    level = losses.mean(axis=1, keepdims=True)
    gram = np.einsum("rn,ni,nj->rij", counts, powers, powers)
    moments = np.einsum("rn,rn,ni->ri", counts, losses - level, powers)
    curve, slope, constant = np.linalg.solve(gram, moments[..., None])[..., 0].T
    vertex = np.full(len(curve), np.nan)
    np.divide(-slope, 2 * curve, out=vertex, where=curve > 0)
    return middle + scale * vertex, level[:, 0] + constant + slope * vertex / 2


def _akima(x: np.ndarray, counts: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest point of the Akima spline of ln L in each draw: knots, and the minimum of each cubic piece."""
    from scipy.interpolate import Akima1DInterpolator

    log_n, lowest = np.empty(len(counts)), np.empty(len(counts))
    patterns, member = np.unique(counts > 0, axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        rows = member == index
        knots, values = x[pattern], np.log(losses[rows][:, pattern]).T  # values (knots, draws)
        cubic, square, linear, constant = Akima1DInterpolator(knots, values).c  # each (pieces, draws)
        width = np.diff(knots)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            # The root of the derivative with a positive second derivative, in the form that survives cubic = 0.
            step = -linear / (square + np.sqrt(square**2 - 3 * cubic * linear))
        step = np.where((step > 0) & (step < width), step, 0.0)
        inner = constant + step * (linear + step * (square + step * cubic))
        place = np.concatenate([knots[:-1, None] + step, np.broadcast_to(knots[-1:, None], values[-1:].shape)])
        height = np.concatenate([inner, values[-1:]])
        best = np.argmin(height, axis=0)[None]
        log_n[rows] = np.take_along_axis(place, best, axis=0)[0]
        lowest[rows] = np.exp(np.take_along_axis(height, best, axis=0)[0])
    return log_n, lowest


_CURVES = {Method.PARABOLA: _parabola, Method.AKIMA: _akima}
