"""How good are our forecasts on public sweeps? Prints docs/forecasts.md.

    python benchmarks/backtest.py FOLDER > docs/forecasts.md      # FOLDER holds the public point sets; about 10 minutes

Also the calibration of fitting/ensemble.py's QUANTILES: quantiles of |error| / scale, once over all families of sweeps,
and once with each family left out, which is what its coverage is judged with.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from fitting.backtest import SPANS, Bands, Cell, replay, score, split
from fitting.ensemble import forecast
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
                average = forecast(training, targets.n_params, targets.d_tokens, targets.flops)
                ratios[family].append(np.abs(np.log(average.loss / targets.loss)) / average.scale)
    cells = []
    for family in ratios:
        quantiles = _quantiles({name: cells for name, cells in ratios.items() if name != family})

        def judged(training: Points, targets: Points, quantiles: dict[float, float] = quantiles) -> Bands:
            average = forecast(training, targets.n_params, targets.d_tokens, targets.flops)
            half, most = (np.exp(quantiles[level] * average.scale) for level in (0.5, 0.9))
            return Bands(
                average.loss, average.loss / half, average.loss * half, average.loss / most, average.loss * most
            )

        own = {name: points for name, (other, points) in found.items() if other == family}
        cells += replay(own, {"auto, own family left out": judged})
    return _quantiles(ratios), cells


def _quantiles(ratios: dict[str, list[np.ndarray]]) -> dict[float, float]:
    """Every family counts alike, and every cell within it."""
    values = np.concatenate([cell for cells in ratios.values() for cell in cells])
    weights = np.concatenate(
        [np.full(len(cell), 1 / len(cell) / len(cells)) for cells in ratios.values() for cell in cells]
    )
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    return {level: float(values[order][np.searchsorted(share, level)]) for level in (0.5, 0.9)}


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
    found = pools(folder)
    quantiles, cells = left_out(found)
    names = [name for name in FORECASTERS if name != "auto"]
    cells += replay(
        {name: points for name, (_, points) in found.items()},
        {name: FORECASTERS[name] for name in names},
        report=lambda words: print(words, file=sys.stderr),
    )
    tuned = [cell for cell in cells if not cell.pool.startswith("Porian") or "tuned" in cell.pool]
    print(TEXT.format(all="\n".join(rows(cells)), tuned="\n".join(rows(tuned)), q50=quantiles[0.5], q90=quantiles[0.9]))


TEXT = """# How good are the forecasts?

Made by `python benchmarks/backtest.py FOLDER`. A cell is a public sweep and a span: targets are its runs with
C >= C_max / 1.5, training runs those with C <= median target C / span, at least 12 of them. "auto" is the default of
`python -m fitting predict`; its interval multipliers are taken with the judged family of sweeps left out. Its other
constants (the prior, the drift per decade) were chosen while looking at these sweeps, so read its errors as a
developer's, not as a blind test. "parameters only" is the band that is usually published: the bootstrap of one law.

## All sweeps

{all}

## Without the sweeps whose learning rate or warm-up was not tuned (Porian RW/OWT2 short, warm-up, cosine)

{tuned}

Quantiles of |error| / scale over all families: 50% {q50:.3f}, 90% {q90:.3f}.
"""

if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python benchmarks/backtest.py FOLDER")
    main(Path(sys.argv[1]))
