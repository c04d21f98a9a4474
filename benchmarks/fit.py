"""Our whole fit against a faithful re-implementation of Epoch's procedure, in one run, in CPU seconds; then its growth.

    python benchmarks/fit.py POINTS.csv [--where EXPRESSION]

Epoch's (github.com/epoch-research/analyzing-chinchilla, cells 15-21): sum of log-Huber, delta 1e-3; 4,500 starts of
L-BFGS-B with finite differences; then 4,000 resamples, one BFGS run each from Hoffmann's constants with the gradient of
autograd, or, where that package is not installed, with one written by hand, which makes them several times as fast as
they are. The output says which. Ours is
the command `python -m fitting fit` as a process of its own: start-up, programs, starts, proof and 4,000 resamples; the
first time it compiles its programs, later it finds them in the cache. Their two stages are timed on a sample of starts
and resamples (every 9th) and scaled, which is said in the output; between the stages ours runs, so that both have the
same machine. The growth is that of `fit_law` with 4,000 resamples on made points, warm.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from scipy.optimize import minimize

from fitting.fit import fit_law
from fitting.points import Points
from fitting.read import read_points

SAMPLE = 9  # every 9th start and resample of theirs is run
DELTA = 1e-3
HOFFMANN = np.array([6.0073404, 6.0179186, 0.5267228, 0.33917084, 0.2849083])  # a, b, e, alpha, beta: their cell 16
autograd: Any = importlib.import_module("autograd") if importlib.util.find_spec("autograd") else None
xnp: Any = importlib.import_module("autograd.numpy") if autograd else np
REPEATS = 3  # of ours, warm; the median counts
COUNTS = (240, 1_000, 3_000, 10_000, 30_000, 100_000)


def main(path: str, where: str | None) -> None:
    np.seterr(over="ignore", invalid="ignore")  # as their notebook does
    points = read_points([path], where=where)
    with tempfile.TemporaryDirectory() as cache:
        cold, _ = run_ours(path, where, cache)
        warm = [run_ours(path, where, cache)]
        grid_cpu, starts, theirs = epoch_grid(points)
        warm.append(run_ours(path, where, cache))
        boot_cpu, resamples = epoch_bootstrap(points)
        warm += [run_ours(path, where, cache) for _ in range(REPEATS - 2)]
    ours_cpu, ours = float(np.median([cpu for cpu, _ in warm])), warm[0][1]
    total = grid_cpu * starts + boot_cpu * resamples
    slopes = "autograd" if autograd else "gradients written by hand"
    print(f"{len(points)} points; CPU seconds; theirs with {slopes}\n")
    print("| procedure | starts | resamples | CPU s | objective |")
    print("|---|---|---|---|---|")
    print(
        f"| Epoch's, every {SAMPLE}th timed and scaled | {starts} | {resamples} | {total:.1f} "
        f"({grid_cpu * starts:.1f} + {boot_cpu * resamples:.1f}) | {theirs[0]:.13g} |"
    )
    for name, cpu in (("ours, whole process", ours_cpu), ("ours, the first time", cold)):
        print(
            f"| {name} | {ours['proof']['starts']} | {ours['uncertainty']['resamples']} | {cpu:.1f} | "
            f"{ours['objective']['value']:.13g} |"
        )
    spread = " .. ".join(f"{cpu:.1f}" for cpu in sorted(cpu for cpu, _ in warm)[:: REPEATS - 1])
    print(f"\nratio {total / ours_cpu:.1f} (ours {spread} in {REPEATS} runs); the first time {total / cold:.1f}\n")
    growth()


def growth() -> None:
    """CPU seconds of one fit by the number of points."""
    print("| points | CPU s | ms a point |")
    print("|---|---|---|")
    for count in COUNTS:
        made = made_points(count)
        fit_law(made, resamples=100)  # compiles
        started = time.process_time()
        fit_law(made)
        cpu = time.process_time() - started
        print(f"| {count:,} | {cpu:.1f} | {1000 * cpu / count:.2f} |", flush=True)


def made_points(count: int) -> Points:
    """A Chinchilla law with 0.4% noise."""
    rng = np.random.default_rng(0)
    n = 10 ** rng.uniform(7, 9.5, count)
    d = n * 10 ** rng.uniform(0.5, 2.0, count)
    loss = (1.8 + 480 / n**0.35 + 2100 / d**0.37) * np.exp(0.004 * rng.normal(size=count))
    return Points(n, d, loss, 6 * n * d, tuple(map(str, range(count))), "made", "n", "6ND")


def run_ours(path: str, where: str | None, cache: str) -> tuple[float, dict]:
    """CPU seconds of the child process (user and system), and its record."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "fitting", "fit", "--points", path, "--json"]
    done = subprocess.run(
        [*command, *(["--where", where] if where else [])],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "ISOFLOP_CACHE": cache},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, json.loads(done.stdout)


def objective(theta: np.ndarray, n_params: np.ndarray, d_tokens: np.ndarray, loss: np.ndarray) -> float:
    """Their function, in their operations, logarithms and all."""
    a, b, e, alpha, beta = theta
    predicted = xnp.log(xnp.exp(a - alpha * xnp.log(n_params)) + xnp.exp(b - beta * xnp.log(d_tokens)) + xnp.exp(e))
    difference = xnp.log(loss) - predicted
    inside = xnp.abs(difference) <= DELTA
    return xnp.sum(xnp.where(inside, 0.5 * difference**2, DELTA * (xnp.abs(difference) - 0.5 * DELTA)))


def gradient(theta: np.ndarray, n_params: np.ndarray, d_tokens: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """By hand, which is several times as fast as autograd's."""
    a, b, e, alpha, beta = theta
    log_n, log_d = np.log(n_params), np.log(d_tokens)
    terms = np.exp(np.stack([a - alpha * log_n, b - beta * log_d, np.full_like(log_n, e)]))
    total = terms.sum(axis=0)
    pull = np.clip(np.log(total) - np.log(loss), -DELTA, DELTA) * terms / total
    return np.array([pull[0].sum(), pull[1].sum(), pull[2].sum(), -pull[0] @ log_n, -pull[1] @ log_d])


def epoch_grid(points: Points) -> tuple[float, int, tuple[float, np.ndarray]]:
    """CPU seconds a start, number of starts, best (objective, theta) of the sample."""
    levels, logs = np.arange(0, 2.5, 0.5), np.arange(0, 30, 5)
    grid = list(itertools.product(logs, logs, np.arange(-1, 1.5, 0.5), levels, levels))
    data = points.n_params, points.d_tokens, points.loss
    chosen, started = grid[::SAMPLE], time.process_time()
    found = [minimize(objective, start, args=data, method="L-BFGS-B") for start in chosen]
    cpu = (time.process_time() - started) / len(chosen)
    best = min(found, key=lambda result: result.fun)
    return cpu, len(grid), (float(best.fun), best.x)


def epoch_bootstrap(points: Points, resamples: int = 4000) -> tuple[float, int]:
    """CPU seconds a resample, and how many."""
    rng = np.random.RandomState(42)
    rows = [rng.choice(len(points), len(points)) for _ in range(resamples)][::SAMPLE]
    slope = autograd.grad(objective) if autograd else gradient
    started = time.process_time()
    for chosen in rows:
        data = points.n_params[chosen], points.d_tokens[chosen], points.loss[chosen]
        minimize(objective, HOFFMANN, args=data, jac=slope, method="BFGS")
    return (time.process_time() - started) / len(rows), resamples


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) not in (1, 3) or (len(arguments) == 3 and arguments[1] != "--where"):
        raise SystemExit("usage: python benchmarks/fit.py POINTS.csv [--where EXPRESSION]")
    main(arguments[0], arguments[2] if len(arguments) == 3 else None)
