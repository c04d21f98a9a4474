"""How wrong is approach 2 by construction? Its N* on noise-free losses of a law, against the law's own N*.

Along C = 6ND, L - E = A/N^alpha + B (6N/C)^beta is, in u = ln(N/N*), proportional to
beta e^(-alpha u) + alpha e^(beta u): symmetric only for alpha = beta, else a parabola has its vertex elsewhere.
The size depends on alpha, beta and the grid of N in units of N*, not on A, B, E.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fitting.allocate import optimum
from fitting.isoflop import IsoflopFit
from fitting.isoflop_curve import Method, minima
from fitting.power_law import power_law


@dataclass(frozen=True)
class SliceBias:
    """One budget's N*, and what it would be without the bias under the assumed law."""

    flops: float  # 6ND, geometric mean of the slice's runs
    n_params: float  # N* as fitted
    bias: float | None  # relative; None: noise-free, this grid has no minimum inside
    corrected: float | None  # N* / (1 + bias)


@dataclass(frozen=True)
class IsoflopBias:
    """The bias of every used budget, and of the exponent: a drifting grid centre biases it, a constant one does not."""

    slices: tuple[SliceBias, ...]
    exponent: float  # a as fitted
    corrected_exponent: float | None  # None: fewer than two budgets can be corrected
    sentence: str


def approach2_bias(
    constants: Mapping[str, float], n_grid: np.ndarray, flops: float, method: Method = Method.PARABOLA
) -> float | None:
    """N*_curve / N* - 1 for noise-free losses of E + A/N^alpha + B/D^beta on the grid, D = C/(6N).

    N* = G (C/6)^(beta/(alpha+beta)) (Hoffmann et al. 2022, eq. 4). None where the curve has no minimum in the grid.
    """
    grid = np.unique(np.asarray(n_grid, float))
    d_tokens = flops / (6.0 * grid)
    loss = (
        constants["E"] + constants["A"] * grid ** -constants["alpha"] + constants["B"] * d_tokens ** -constants["beta"]
    )
    log_n = float(minima(method, np.log(grid), np.ones((1, len(grid))), loss[None])[0][0])
    return None if np.isnan(log_n) else float(np.exp(log_n) / optimum(constants, flops)[0]) - 1.0


def isoflop_bias(fit: IsoflopFit, constants: Mapping[str, float]) -> IsoflopBias:
    """The bias of the fit's own grids and curve under a Chinchilla law; holds for C = 6ND."""
    slices = []
    for one, best in fit.used:
        flops = float(np.exp(np.mean(np.log(6.0 * one.n_params * one.d_tokens))))
        bias = approach2_bias(constants, one.n_params, flops, fit.method)
        slices.append(SliceBias(flops, best.n_params, bias, None if bias is None else best.n_params / (1 + bias)))
    usable = [
        (np.log(one.flops), np.log(half.corrected), best.log_std**-2)
        for (one, best), half in zip(fit.used, slices, strict=True)
        if half.corrected is not None
    ]
    a = fit.n_law.exponent
    if len(usable) < 2:
        return IsoflopBias(tuple(slices), a, None, "fewer than two budgets have a minimum under this law")
    log_c, log_n, weights = np.array(usable).T
    corrected = power_law(log_c, log_n, weights, log_n[None], fit.n_law.level).exponent
    known = [half.bias for half in slices if half.bias is not None]
    return IsoflopBias(
        slices=tuple(slices),
        exponent=a,
        corrected_exponent=corrected,
        sentence=f"N* of the {fit.method.value} is off by {min(known):+.1%} to {max(known):+.1%} under this law, "
        f"the exponent by {a - corrected:+.3f}",
    )
