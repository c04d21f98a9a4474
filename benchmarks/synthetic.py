"""Sweeps whose law is known, made from published constants: what is the best that a forecast could do?

Each law is run on IsoFLOP slices, a grid and a ladder of two to four decades, with noise of 0.1-0.5% and, in half of
them, a recipe whose tuning goes off by 0.4 or 1% a decade from its middle.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fitting.points import Points

SEED = 1  # development looked at seed 0
Loss = Callable[[np.ndarray, np.ndarray], np.ndarray]


def besiroglu(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Chinchilla's law, Besiroglu et al. 2024 (arXiv:2404.10102)."""
    return 1.8172 + 482.01 / n**0.3478 + 2085.43 / d**0.3658


def hoffmann(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Chinchilla's law, Hoffmann et al. 2022 (arXiv:2203.15556)."""
    return 1.6934 + 406.4 / n**0.3392 + 410.7 / d**0.2849


def busbridge(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """The gamma law, Busbridge et al. 2025 (arXiv:2502.08606)."""
    return 1.220 + (3355 / n**0.408 + 18186 / d**0.431) ** 0.452


def farseer(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Li et al. 2025 (arXiv:2506.10972), the constants of their notebook."""
    exponent = np.exp(-1.665630816 * n**0.0459 + 3.1333471988)
    floor = np.exp(-0.062465473 * n**0.13 + 0.1284880679)
    return floor + np.exp(230.73437 * n**-0.1729 - 1.544209554) * d**-exponent


def repeated(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Muennighoff et al. 2023 (arXiv:2305.16264), their code, with 30e9 unique tokens."""
    unique, r_d = 3e10, 15.387756
    epochs = np.maximum(d / unique, 1.0)
    seen = np.minimum(d, unique) * np.where(epochs > 1, 1 + r_d * (1 - np.exp(-(epochs - 1) / r_d)), 1.0)
    return np.exp(0.6254804) + np.exp(6.255414) / n**0.3526596 + np.exp(7.3049974) / seen**0.3526596


def kaplan(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Kaplan et al. 2020 (arXiv:2001.08361), the constants of eq. 1.1 and 1.2 in eq. 1.5."""
    return ((8.8e13 / n) ** (0.076 / 0.095) + 5.4e13 / d) ** 0.095


def faster(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Besiroglu's with a break at 1e20 FLOPs: its reducible loss falls by 3% of ln C faster from there."""
    return 1.8172 + (besiroglu(n, d) - 1.8172) * (1 + (6 * n * d / 1e20) ** 2) ** -0.015


def slower(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """The same, slower."""
    return 1.8172 + (besiroglu(n, d) - 1.8172) * (1 + (6 * n * d / 1e20) ** 2) ** 0.015


def synthetic_pools() -> dict[str, tuple[str, Points]]:
    """Pool -> (law, points)."""
    rng = np.random.default_rng(SEED)
    found = {}
    for law_name, law in LAWS.items():
        for design_name, design in DESIGNS.items():
            lowest, decades = 10 ** rng.uniform(17.5, 19.0), rng.uniform(2.2, 4.2)
            noise, drift = 10 ** rng.uniform(-3.0, -2.3), rng.choice([0.0, 0.0, 0.004, -0.01])
            n, d = design(rng, lowest, decades)
            flops = 6 * n * d
            off = drift * (np.log10(flops / lowest) - decades / 2) ** 2 / max(decades / 2, 1.0)
            loss = law(n, d) * np.exp(off + noise * rng.standard_normal(len(n)))
            name = f"{law_name}, {design_name}"
            found[name] = (law_name, Points(n, d, loss, flops, tuple(map(str, range(len(n)))), name, "n", "6ND"))
    return found


def _slices(rng: np.random.Generator, lowest: float, decades: float) -> tuple[np.ndarray, np.ndarray]:
    budgets = np.geomspace(lowest, lowest * 10**decades, rng.integers(5, 10))
    off = 10 ** np.linspace(-0.7, 0.7, rng.integers(5, 10))
    n = (np.sqrt(budgets / 6 / 20)[:, None] * off).ravel()
    return n, np.repeat(budgets, len(off)) / 6 / n


def _grid(rng: np.random.Generator, lowest: float, decades: float) -> tuple[np.ndarray, np.ndarray]:
    smallest, reach = np.sqrt(lowest / 6 / 20), 10 ** (decades / 2)
    sizes = np.geomspace(smallest, smallest * reach, rng.integers(6, 12))
    tokens = np.geomspace(10 * smallest, 40 * smallest * reach, rng.integers(6, 12))
    n, d = (part.ravel() for part in np.meshgrid(sizes, tokens))
    return n, d


def _ladder(rng: np.random.Generator, lowest: float, decades: float) -> tuple[np.ndarray, np.ndarray]:
    smallest = np.sqrt(lowest / 6 / 20)
    sizes = np.geomspace(smallest, smallest * 10 ** (decades / 2), rng.integers(6, 10))
    n, ratio = (part.ravel() for part in np.meshgrid(sizes, [5.0, 20.0, 80.0, 320.0]))
    return n, n * ratio


LAWS: dict[str, Loss] = {
    "Besiroglu": besiroglu,
    "Hoffmann": hoffmann,
    "gamma": busbridge,
    "Farseer": farseer,
    "repeated data": repeated,
    "Kaplan": kaplan,
    "faster from 1e20": faster,
    "slower from 1e20": slower,
}
DESIGNS = {"slices": _slices, "grid": _grid, "ladder": _ladder}
