"""How good are our forecasts on public sweeps, and on made ones? Prints docs/forecasts.md.

    python benchmarks/backtest.py FOLDER > docs/forecasts.md      # FOLDER holds the public point sets; about 15 minutes

Also the calibration of fitting/ensemble.py's QUANTILES: quantiles of |error| / scale, once over all families of sweeps,
and once with each family left out, which is what its coverage is judged with.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import next_runs_fit
import numpy as np
from synthetic import synthetic_pools

from fitting.backtest import SPANS, Bands, Cell, Forecaster, replay, score, split
from fitting.ensemble import Average, forecast
from fitting.forecasters import FORECASTERS
from fitting.points import Points
from fitting.read import Columns, read_points

PORIAN = {2: "RW short", 3: "RW warm-up", 4: "RW cosine", 5: "RW tuned"} | {
    7: "OWT2 short",
    8: "OWT2 warm-up",
    9: "OWT2 cosine",
    10: "OWT2 tuned",
}


def pools(folder: Path) -> dict[str, tuple[str, Points]]:
    """Pool -> (family, points). Sweeps over other things are reduced to the best run of each (N, D)."""
    found = {}

    def add(name: str, family: str, file: str, where: str | None = None, best: bool = False) -> None:
        points = read_points([str(folder / file)], Columns(), where)
        found[name] = (family, _best_of_cell(points) if best else points)

    add("Chinchilla (digitised)", "chinchilla", "chinchilla.csv", "excluded_by_epoch == 0")
    for code, name in enumerate(("C4", "RedPajama", "RefinedWeb")):
        add(f"Gadre {name}", "gadre", "gadre.csv", f"dataset == {code}")
    for code, name in PORIAN.items():
        add(f"Porian {name}", "porian", "porian.csv", f"experiment == {code}")
    add("Misfitting", "misfitting", "misfitting.csv", best=True)
    add("Datablations, one epoch", "datablations", "datablations_all.csv", "epochs <= 1.01 and shape_variant == 0")
    return found


def _best_of_cell(points: Points) -> Points:
    best: dict[tuple[float, float], int] = {}
    for i, cell in enumerate(zip(points.n_params, points.d_tokens, strict=True)):
        if cell not in best or points.loss[i] < points.loss[best[cell]]:
            best[cell] = i
    return points.take(np.asarray(sorted(best.values())))


def left_out(found: dict[str, tuple[str, Points]]) -> tuple[dict[float, float], list[Cell]]:
    """Quantiles over all families, and the cells of the average judged by those of the other families."""
    ratios: dict[str, list[np.ndarray]] = defaultdict(list)
    for family, points in found.values():
        for span in SPANS:
            parts = split(points, span)
            if parts is not None:
                training, targets = parts
                average = average_of(training, targets)
                ratios[family].append(np.abs(np.log(average.loss / targets.loss)) / average.scale)
    cells = []
    for family in ratios:
        quantiles = _quantiles({name: cells for name, cells in ratios.items() if name != family})
        own = {name: points for name, (other, points) in found.items() if other == family}
        cells += replay(own, {"auto, own family left out": banded(quantiles)})
    return _quantiles(ratios), cells


def banded(quantiles: dict[float, float]) -> Forecaster:
    """The average of laws with these multipliers of its scale."""

    def run(training: Points, targets: Points) -> Bands:
        average = average_of(training, targets)
        half, most = (np.exp(quantiles[level] * average.scale) for level in (0.5, 0.9))
        return Bands(average.loss, average.loss / half, average.loss * half, average.loss / most, average.loss * most)

    return run


def average_of(training: Points, targets: Points) -> Average:
    """Made once for all multipliers that are tried on it."""
    key = training.digest, targets.digest
    if key not in _averages:
        _averages[key] = forecast(training, targets.n_params, targets.d_tokens, targets.flops)
    return _averages[key]


_averages: dict[tuple[str, str], Average] = {}


def _quantiles(ratios: dict[str, list[np.ndarray]]) -> dict[float, float]:
    """Every family counts alike, and every cell within it."""
    values = np.concatenate([cell for cells in ratios.values() for cell in cells])
    weights = np.concatenate(
        [np.full(len(cell), 1 / len(cell) / len(cells)) for cells in ratios.values() for cell in cells]
    )
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    return {level: float(values[order][np.searchsorted(share, level)]) for level in (0.5, 0.9)}


def families(cells: list[Cell], family_of: dict[str, str]) -> list[str]:
    """Median error of the first forecaster by family and span."""
    first = cells[0].forecaster
    lines = ["| family | " + " | ".join(f"{span:g}x" for span in SPANS) + " |", "|---" * (1 + len(SPANS)) + "|"]
    for family in dict.fromkeys(family_of.values()):
        own = [cell for cell in cells if cell.forecaster == first and family_of[cell.pool] == family]
        found = [score([cell for cell in own if cell.span == span], first) for span in SPANS]
        lines.append(f"| {family} | " + " | ".join(f"{s.median_error:.2%}" if s else "" for s in found) + " |")
    return lines


def rows(cells: list[Cell]) -> list[str]:
    lines = [
        "| span | forecaster | cells | median error | 90th pct | worst | in 50% | in 90% | half-width | score |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for span in (*SPANS, 0.0):
        for name in dict.fromkeys(cell.forecaster for cell in cells):
            s = score(cells, name, span)
            if s is not None:
                lines.append(
                    f"| {f'{span:g}x' if span else 'all'} | {name} | {s.cells} | {s.median_error:.2%} | "
                    f"{s.p90_error:.2%} | {s.worst_error:.2%} | {s.coverage50:.0%} | {s.coverage90:.0%} | "
                    f"{s.half_width90:.2%} | {s.interval_score90:.3f} |"
                )
    return lines


def main(folder: Path) -> None:
    next_runs_fit.use()  # the modes of the average, 20 times as fast
    found = pools(folder)
    quantiles, cells = left_out(found)
    names = [name for name in FORECASTERS if name != "auto"]
    cells += replay(
        {name: points for name, (_, points) in found.items()},
        {name: FORECASTERS[name] for name in names},
        report=lambda words: print(words, file=sys.stderr),
    )
    tuned = [cell for cell in cells if not cell.pool.startswith("Porian") or "tuned" in cell.pool]
    made = synthetic_pools()
    known = replay(
        {name: points for name, (_, points) in made.items()},
        {"auto": banded(quantiles), "gamma": FORECASTERS["gamma"]},
        report=lambda words: print(words, file=sys.stderr),
    )
    print(
        TEXT.format(
            all="\n".join(rows(cells)),
            tuned="\n".join(rows(tuned)),
            families="\n".join(families(tuned, {name: family for name, (family, _) in found.items()})),
            made="\n".join(rows(known)),
            made_families="\n".join(families(known, {name: law for name, (law, _) in made.items()})),
            q50=quantiles[0.5],
            q90=quantiles[0.9],
        )
    )


TEXT = """# How good are the forecasts?

Made by `python benchmarks/backtest.py FOLDER`. A cell is a public sweep and a span: targets are its runs with
C >= C_max / 1.5, training runs those with C <= median target C / span, at least 12 of them. "auto" is the default of
`python -m fitting predict`; its interval multipliers are taken with the judged family of sweeps left out. Means of its
priors are those of published fits; its other constants (what a run above the best of its compute is worth, the drift
per decade, the power of the weights) were chosen while looking at these sweeps, so read its errors as a developer's,
not as a blind test. Modes are found by a faster solver than the product's (`benchmarks/next_runs_fit.py`); forecasts
differ by 1e-6. "parameters only" is the band that is usually published: the bootstrap of one law.

## All sweeps

{all}

## Without the sweeps whose learning rate or warm-up was not tuned (Porian RW/OWT2 short, warm-up, cosine)

{tuned}

Median error of auto by family, of these:

{families}

## Sweeps made from known laws

24 sweeps from published constants, IsoFLOP slices, grids and ladders over two to four decades with noise of 0.1-0.5%,
half of them with a recipe whose tuning goes off with scale (`benchmarks/synthetic.py`; its random numbers were not
those of development). The multipliers are those of the public sweeps, below.

{made}

Median error of auto by law:

{made_families}

## Where the error came from

Two laws (Chinchilla, gamma), a drift of 3% a decade and one prior (exponents of 0.38) for both missed these sweeps by
1.44 / 2.41 / 3.87 / 8.30% at 3 / 10 / 30 / 100x (1.69 / 2.41 / 3.52 / 5.22% without the untuned ones). Measured cell by
cell, largest cause first:

1. **The form bends too soon.** Of the tuned sweeps nearly all were forecast too high. Where the frontier of a sweep can
   be followed over three decades (Porian tuned), its loss above 1.8 nats falls by the same 21% a decade from 4.5 to 3.1
   nats: an exponent of 0.10 in compute. Chinchilla's exponents of 0.35 mean 0.18, and the flatter the exponent that the
   data want, the lower the floor. Published gamma and Kaplan fits have such exponents; a prior at Chinchilla's kept
   both laws from them.
2. **Hopeless runs.** Slices of Porian and Misfitting hold models that have seen almost nothing: at 1e17 FLOPs losses of
   4.0 at the best size and 8.8 at the largest. No power law holds for those; they bent the fits and, as targets of the
   forward chain, made error rates of 16-33% a decade for sweeps that can be forecast within 1%.
3. **Weights too weak for their prior.** At 3% a decade 100 points a decade away are outvoted by the prior. On sweeps
   whose law is known, 1% loses nothing.
4. **The sweep itself.** Untuned rates and warm-ups (Porian short, warm-up, cosine) make small runs too dear by a
   factor that falls with scale: frontiers fall by 30% a decade at the cheap end and by 10% at the dear one. All laws
   go on falling, 10-28% too far at 100x, and no weighting of laws helps: the recipe has to be fixed. Chinchilla's one
   target was read off a figure and lies 2% under any law through its neighbours, Gadre's 6.9B run on C4 4% above.

On sweeps whose law is exact, one gamma law fitted to all runs alike is 0.2-0.9% nearer from 10x on; it is 2-3 times as
far off on public ones, whose laws are not.

The published sweep of this repository (`results/published`) was watched during development, and no constant was set by
it. Its forecasts were sealed with the old average: 9-10% too high at 10x, 5 of 24 inside the 90% interval. From the
same runs this one is 4-5% too high at 10x, with 13 of 24 inside, because Kaplan's law takes up to 95% of the weight.
What is left has a cause that no law of N and D holds: the loss falls faster once the models begin to copy from the
context.

## What was tried and did not help

* The chain's signed bias, carried forward by 20, 40 or 70% of itself: better on made sweeps, worse on the public ones
  (tuned, 10x: 0.7% becomes 1.2, 1.8 and 2.4%): the bias of a law does not grow steadily.
* Weights by the chain's cuts of about the target's own distance, or by the mixture's error (stacking): within 0.5% of
  these, each better in some families and worse in others. Equal weights: as good up to 10x on public sweeps, 1% worse
  beyond, and 1.7 times the error on made ones.
* The median over the chain's cuts rather than the root mean square: 0.1-1.2% more error.
* Down-weighting by ln L above the lowest loss of all (not of equal compute): hardly better than none.
* Down-weighting only what a smaller model beats: as good on made sweeps, half as much error again on Gadre's.
* Noise of 0.2 or 0.8% for 0.4%, Gaussian for robust residuals: no difference.
* Farseer as a member: not averaged, because a plan needs laws whose optimum is known in closed form; its own sweep
  (made, above) is told 2.5 times better than before without it.

Quantiles of |error| / scale over all families: 50% {q50:.3f}, 90% {q90:.3f}.
"""

if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python benchmarks/backtest.py FOLDER")
    main(Path(sys.argv[1]))
