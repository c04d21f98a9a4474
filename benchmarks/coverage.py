"""Do profile intervals hold what they promise? Coverage at 90% by simulation; prints the table of docs/fitting.md.

    python benchmarks/coverage.py [SIMULATIONS]       # 200: about 20 minutes on one core

240 runs of a Chinchilla-like design (constants of the 240 Chinchilla points, N from 4e7 to 2e10, D/N from 2 to 200) get
fresh noise on ln L in every simulation: Gaussian, Student's t with three degrees of freedom scaled to the same
quartiles, and a normal effect shared by clusters of four rows beside one of each row. The percentile bootstrap of rows
or clusters with 200 resamples stands beside. The standard error of a coverage is 2% at 200 simulations.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np

from fitting.cache import use_compile_cache
from fitting.fit import fit_law
from fitting.points import Points
from fitting.profile import profile

TRUE = {"E": 1.8172, "A": 477.8, "B": 2143.4, "alpha": 0.3473, "beta": 0.3672}
POINTS, RESAMPLES, LEVEL = 240, 200, 0.9
SCALE = 0.006  # of ln L
T3_QUARTILE, NORMAL_QUARTILE = 0.7649, 0.6745
NAMES = ("E", "alpha", "beta")


def design(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.RandomState(0)
    n = 10 ** rng.uniform(7.6, 10.3, count)
    return n, n * 10 ** rng.uniform(0.3, 2.3, count)


def noises(rng: np.random.RandomState) -> dict[str, tuple[np.ndarray, bool]]:
    """Noise of ln L and whether rows come in clusters of four, by name."""
    shared = np.repeat(rng.standard_normal(POINTS // 4), 4)
    return {
        "Gaussian": (SCALE * rng.standard_normal(POINTS), False),
        "Student t, 3 degrees": (SCALE * NORMAL_QUARTILE / T3_QUARTILE * rng.standard_t(3, POINTS), False),
        "clusters of 4": (SCALE * (shared + rng.standard_normal(POINTS)) / np.sqrt(2), True),
    }


def main(simulations: int) -> None:
    n, d = design(POINTS)
    truth = TRUE["E"] + TRUE["A"] * n ** -TRUE["alpha"] + TRUE["B"] * d ** -TRUE["beta"]
    inside: dict[tuple[str, float, str, str], list[bool]] = defaultdict(list)
    for simulation in range(simulations):
        for kind, (noise, clustered) in noises(np.random.RandomState(simulation + 1)).items():
            labels = tuple(str(i // 4 if clustered else i) for i in range(POINTS))
            points = Points(n, d, truth * np.exp(noise), 6 * n * d, labels, "simulated", "n", "6ND")
            for delta in (1e-3, 1e-2):
                fit = fit_law(points, delta=delta, resamples=RESAMPLES)
                for one in profile(fit, NAMES, LEVEL):
                    low, high = np.quantile(fit.constant_draws()[one.name], [0.05, 0.95])
                    value = TRUE[one.name]
                    held = (one.low is None or one.low <= value) and (one.high is None or value <= one.high)
                    inside[kind, delta, "profile", one.name].append(held)
                    inside[kind, delta, "bootstrap", one.name].append(bool(low <= value <= high))
        if simulation % 20 == 19:
            print(f"{simulation + 1} of {simulations}", file=sys.stderr, flush=True)
    print("| noise | delta | interval | " + " | ".join(NAMES) + " |")
    print("|---|---|---|" + "---|" * len(NAMES))
    for kind, delta, how in dict.fromkeys(key[:3] for key in inside):
        shares = " | ".join(f"{np.mean(inside[kind, delta, how, name]):.1%}" for name in NAMES)
        print(f"| {kind} | {delta:g} | {how} | {shares} |")


if __name__ == "__main__":
    use_compile_cache()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
