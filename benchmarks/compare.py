"""Does the band of a compute multiplier hold the truth? Coverage at 90% by simulation; a table of docs/fitting.md.

    python benchmarks/compare.py [SIMULATIONS]       # 200: about 5 minutes on one core

Two sweeps of one design (80 runs, 10 sizes by 8 ratios D/N) get independent noise on ln L; the second takes one or two
times the compute for every loss. The standard error of a coverage is 2% at 200 simulations.
"""

from __future__ import annotations

import sys

import numpy as np

from fitting.cache import use_compile_cache
from fitting.compare import compare
from fitting.fit import Fit, fit_law
from fitting.points import Points

NOISE, RESAMPLES = 0.004, 200


def sweep(noise: np.ndarray, slower: float) -> Fit:
    n, ratio = np.meshgrid(np.geomspace(1e7, 5e9, 10), np.geomspace(2, 200, 8))
    n, d = n.ravel(), (n * ratio).ravel()
    loss = 1.8172 + 477.8 / (n / slower**0.5) ** 0.3473 + 2143.4 / (d / slower**0.5) ** 0.3672
    points = Points(n, d, loss * np.exp(noise), 6 * n * d, tuple(map(str, range(80))), "simulated", "n", "6ND")
    return fit_law(points, resamples=RESAMPLES)


def main(simulations: int) -> None:
    low, high = 6 * 1e7 * 2e7, 6 * 5e9 * 1e12
    budgets = np.asarray([low * (high / low) ** share for share in (0.25, 0.5, 0.75, 1.0)])
    print("| B takes | " + " | ".join(f"{flops:.1e} FLOPs" for flops in budgets) + " | median width at the last |")
    print("|---|" + "---|" * (len(budgets) + 1))
    for slower in (1.0, 2.0):
        inside, widths = np.zeros(len(budgets)), []
        for simulation in range(simulations):
            rng = np.random.RandomState(simulation + 1)
            a = sweep(NOISE * rng.standard_normal(80), 1.0)
            found = compare(a, sweep(NOISE * rng.standard_normal(80), slower), budgets)
            inside += (found.low <= slower) & (slower <= found.high)
            widths.append(found.high[-1] / found.low[-1])
            if simulation % 50 == 49:
                print(f"{simulation + 1} of {simulations}", file=sys.stderr, flush=True)
        shares = " | ".join(f"{share:.1%}" for share in inside / simulations)
        print(f"| {slower:g}x | {shares} | {np.median(widths):.2f}x |", flush=True)


if __name__ == "__main__":
    use_compile_cache()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
