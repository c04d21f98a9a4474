"""Our whole fit against a faithful re-implementation of Epoch's procedure, in one run, in CPU seconds.

    python benchmarks/fit.py POINTS.csv [--where EXPRESSION]

Epoch's (github.com/epoch-research/analyzing-chinchilla, cells 16-21): sum of log-Huber, delta 1e-3; 4,500 starts of
L-BFGS-B with finite differences; then 4,000 resamples, one BFGS run each with exact gradients from one start. Ours is
the command `python -m fitting fit` as a process of its own: start-up, compilation, starts, proof and 4,000 resamples.
Their two stages are timed on a sample of starts and resamples (every 9th) and scaled, which is said in the output.
"""

from __future__ import annotations

import itertools
import json
import resource
import subprocess
import sys
import time

import numpy as np
from scipy.optimize import minimize

from fitting.read import read_points

SAMPLE = 9  # every 9th start and resample of theirs is run
DELTA = 1e-3


def main(path: str, where: str | None) -> None:
    points = read_points([path], where=where)
    ours_cpu, ours = run_ours(path, where)
    grid_cpu, starts, theirs = epoch_grid(points)
    boot_cpu, resamples = epoch_bootstrap(points, theirs)
    total = grid_cpu * starts + boot_cpu * resamples
    print(f"{len(points)} points; CPU seconds\n")
    print("| procedure | starts | resamples | CPU s | objective |")
    print("|---|---|---|---|---|")
    print(
        f"| Epoch's, every {SAMPLE}th timed and scaled | {starts} | {resamples} | {total:.1f} "
        f"({grid_cpu * starts:.1f} + {boot_cpu * resamples:.1f}) | {theirs[0]:.13g} |"
    )
    print(
        f"| ours, whole process | {ours['proof']['starts']} | {ours['uncertainty']['resamples']} | {ours_cpu:.1f} | "
        f"{ours['objective']['value']:.13g} |"
    )
    print(f"\nratio {total / ours_cpu:.1f}")


def run_ours(path: str, where: str | None) -> tuple[float, dict]:
    """CPU seconds of the child process (user and system), and its record."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "fitting", "fit", "--points", path, "--json"]
    done = subprocess.run(
        [*command, *(["--where", where] if where else [])], check=True, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, json.loads(done.stdout)


def objective(theta: np.ndarray, log_n: np.ndarray, log_d: np.ndarray, log_loss: np.ndarray) -> float:
    a, b, e, alpha, beta = theta
    residual = np.logaddexp(np.logaddexp(a - alpha * log_n, b - beta * log_d), e) - log_loss
    size = np.abs(residual)
    return float(np.sum(np.where(size < DELTA, 0.5 * residual**2, DELTA * (size - 0.5 * DELTA))))


def gradient(theta: np.ndarray, log_n: np.ndarray, log_d: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
    a, b, e, alpha, beta = theta
    terms = np.stack([a - alpha * log_n, b - beta * log_d, np.full_like(log_n, e)])
    top = np.logaddexp(np.logaddexp(terms[0], terms[1]), terms[2])
    share = np.exp(terms - top)
    slope = np.clip(top - log_loss, -DELTA, DELTA)
    return np.array(
        [
            slope @ share[0],
            slope @ share[1],
            slope @ share[2],
            -slope @ (share[0] * log_n),
            -slope @ (share[1] * log_d),
        ]
    )


def epoch_grid(points) -> tuple[float, int, tuple[float, np.ndarray]]:
    """CPU seconds a start, number of starts, best (objective, theta) of the sample."""
    grid = list(
        itertools.product(
            np.arange(0, 30, 5),
            np.arange(0, 30, 5),
            np.arange(-1, 1.5, 0.5),
            np.arange(0, 2.5, 0.5),
            np.arange(0, 2.5, 0.5),
        )
    )
    data = np.log(points.n_params), np.log(points.d_tokens), np.log(points.loss)
    chosen, started = grid[::SAMPLE], time.process_time()
    found = [minimize(objective, start, args=data, method="L-BFGS-B") for start in chosen]
    cpu = (time.process_time() - started) / len(chosen)
    best = min(found, key=lambda result: result.fun)
    return cpu, len(grid), (float(best.fun), best.x)


def epoch_bootstrap(points, best: tuple[float, np.ndarray], resamples: int = 4000) -> tuple[float, int]:
    rng = np.random.RandomState(42)
    rows = [rng.choice(len(points), len(points)) for _ in range(resamples)][::SAMPLE]
    data = np.log(points.n_params), np.log(points.d_tokens), np.log(points.loss)
    started = time.process_time()
    for chosen in rows:
        minimize(objective, best[1], args=tuple(part[chosen] for part in data), jac=gradient, method="BFGS")
    return (time.process_time() - started) / len(rows), resamples


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) not in (1, 3) or (len(arguments) == 3 and arguments[1] != "--where"):
        raise SystemExit("usage: python benchmarks/fit.py POINTS.csv [--where EXPRESSION]")
    main(arguments[0], arguments[2] if len(arguments) == 3 else None)
