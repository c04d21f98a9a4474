"""Does one learning rate serve all sizes, one decay rule all horizons? Prints docs/recipe.md, draws docs/transfer.svg.

    python benchmarks/recipe.py STORE > docs/recipe.md        # about 25 minutes on 2 cores; resumes from STORE

Every cell is a run of the default corpus and model family; nothing here looks at a forecast's target. The figure needs
`pip install kaleido` and a browser; without them it is left as it was.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from fitting.parabola import lowest
from results.record import RunRecord, RunStatus
from results.store import Store

SHARED = 6e-3  # the default learning rate
RATES = (1.5e-3, 3e-3, 6e-3, 1.2e-2, 2.4e-2)
SIZES = (3e4, 1.2e5, 5e5)  # 17x
SEEDS = (0, 1)
TRANSFER_TOKENS = 5e5
DECAYS = (0.0, 0.05, 0.1, 0.2)
HORIZONS = (2.5e5, 5e5, 1e6, 2e6)
WARMUPS = (50, 100, 200)
FIGURE = Path(__file__).resolve().parent.parent / "docs" / "transfer.svg"


def main(path: str) -> None:
    common = ["-m", f"store={path}", "name=recipe"]
    horizons = f"data.tokens={listed(HORIZONS)}"
    sizes, rates = f"model.n={listed(SIZES)}", f"optimiser.learning_rate={listed(RATES)}"
    seeds = f"seed={listed(SEEDS)}"
    sweep(*common, sizes, rates, seeds, f"data.tokens={TRANSFER_TOKENS:g}")
    sweep(*common, "model.n=1e5", horizons, f"optimiser.weight_decay={listed(DECAYS)}")
    sweep(*common, "model.n=1e5", horizons, f"schedule.warmup_steps={listed(WARMUPS)}")
    sweep(*common, "model.n=1e5", "data.tokens=5e5", "seed=0,1,2,3")
    sweep(*common, sizes, f"data.tokens={TRANSFER_TOKENS:g}", "optimiser=muon")
    sweep(*common, sizes, rates, f"data.tokens={TRANSFER_TOKENS:g}", "model.parametrisation=standard")
    records = [record for record in Store(path).records()[0] if record.status in (RunStatus.DONE, RunStatus.DIVERGED)]
    print(document(records), end="")
    draw(records)


def listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def sweep(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "sweep", *arguments], check=True, stdout=sys.stderr)


DEFAULTS = {
    "learning_rate": SHARED,
    "weight_decay": 0.1,
    "warmup_steps": 100,
    "seed": 0,
    "optimiser": "adamw",
    "parametrisation": "complete_p",
}


def pick(records: list[RunRecord], n: float, tokens: float, **wanted: float | str) -> float:
    """Held-out loss of the run that has these settings; infinite where it diverged."""
    for record in records:
        near = abs(record.n_params_non_embedding / n - 1) < 0.03 and abs(record.d_tokens / tokens - 1) < 0.01
        if near and all(_same(getattr(record, name), value) for name, value in {**DEFAULTS, **wanted}.items()):
            return math.inf if record.loss is None else record.loss
    raise SystemExit(f"no finished run with N {n:g}, D {tokens:g}, {wanted}")


def _same(one: float | str, other: float | str) -> bool:
    return one == other if isinstance(other, str) else abs(float(one) - other) <= 1e-6 + 1e-3 * other


def markdown(header: list[str], rows: list[tuple[str, list[float]]], best: bool = True) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for name, values in rows:
        cells = [f"**{value:.4f}**" if best and value == min(values) else f"{value:.4f}" for value in values]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def transfer(records: list[RunRecord], n: float, parametrisation: str = "complete_p") -> list[float]:
    """Mean loss over the seeds at each rate (the standard parametrisation was run with the first seed alone)."""
    seeds = SEEDS if parametrisation == "complete_p" else SEEDS[:1]

    def loss(rate: float) -> float:
        wanted = {"learning_rate": rate, "parametrisation": parametrisation}
        return statistics.mean(pick(records, n, TRANSFER_TOKENS, seed=seed, **wanted) for seed in seeds)

    return [loss(rate) for rate in RATES]


def best_rate(losses: list[float]) -> tuple[float, float]:
    """(rate, loss) at the lowest point of the parabola in ln rate through the best cell and its neighbours."""
    rate, loss = lowest(np.log(RATES), np.asarray(losses))
    return math.exp(rate), loss


def transfer_table(records: list[RunRecord]) -> str:
    lines = ["| | " + " | ".join(f"{rate:g}" for rate in RATES) + " | best rate | cost of the shared one |"]
    lines.append("|" + "---|" * (len(RATES) + 3))
    for n in SIZES:
        losses = transfer(records, n)
        rate, loss = best_rate(losses)
        cells = [f"**{value:.4f}**" if value == min(losses) else f"{value:.4f}" for value in losses]
        cost = losses[RATES.index(SHARED)] / min(loss, *losses) - 1
        lines.append(f"| N = {n:g} | " + " | ".join(cells) + f" | {rate:.2g} | {cost:.2%} |")
    return "\n".join(lines)


def document(records: list[RunRecord]) -> str:
    decays = [(f"D = {d:g}", [pick(records, 1e5, d, weight_decay=decay) for decay in DECAYS]) for d in HORIZONS]
    warmups = [(f"D = {d:g}", [pick(records, 1e5, d, warmup_steps=steps) for steps in WARMUPS]) for d in HORIZONS]
    muon = [
        (name, [pick(records, n, TRANSFER_TOKENS, optimiser=kind) for n in SIZES])
        for name, kind in (("AdamW", "adamw"), ("Muon", "muon"))
    ]
    standard = [(f"N = {n:g}", transfer(records, n, "standard")) for n in SIZES]
    seeds = [pick(records, 1e5, 5e5, seed=seed) for seed in range(4)]
    rates = [f"{rate:g}" for rate in RATES]
    return TEXT.format(
        transfer=transfer_table(records),
        standard=markdown(["", *rates], standard),
        seeds=f"{', '.join(f'{loss:.4f}' for loss in seeds)}, a standard deviation of "
        f"{statistics.stdev(seeds) / statistics.mean(seeds):.2%}",
        decays=markdown(["", *(f"{decay:g}" for decay in DECAYS)], decays),
        warmups=markdown(["", *(f"{steps}" for steps in WARMUPS)], warmups),
        muon=markdown(["", *(f"N = {n:g}" for n in SIZES)], muon, best=False),
        shared=f"{SHARED:g}",
        span=f"{max(SIZES) / min(SIZES):.0f}",
    )


def draw(records: list[RunRecord]) -> None:
    import plotly.graph_objects as go

    figure = go.Figure()
    for n, colour in zip(SIZES, ("#0072B2", "#D55E00", "#009E73"), strict=True):
        losses = transfer(records, n)
        excess = [100 * (loss / min(losses) - 1) for loss in losses]
        figure.add_scatter(x=RATES, y=excess, name=f"N = {n:g}", mode="lines+markers", line_color=colour)
    dotted = {"color": "#777777", "dash": "dot"}
    figure.add_scatter(x=[SHARED, SHARED], y=[0, 9], mode="lines", line=dotted, showlegend=False)
    at = {"x": math.log10(SHARED), "y": 1.0, "yref": "paper", "xanchor": "left", "yanchor": "top"}
    figure.add_annotation(text=" the shared rate", showarrow=False, **at)
    figure.update_xaxes(
        type="log", title="learning rate at width 64", tickvals=RATES, ticktext=[f"{r:g}" for r in RATES]
    )
    figure.update_yaxes(title="loss above the best of its size (%)", rangemode="tozero")
    figure.update_layout(template="simple_white", width=720, height=420, title="One learning rate serves all sizes")
    try:
        figure.write_image(FIGURE)
    except Exception as error:
        print(f"{FIGURE} was not drawn: {str(error).splitlines()[0]}", file=sys.stderr)


TEXT = """# The default recipe, measured

Held-out loss in nats per token on the default corpus; made by `python benchmarks/recipe.py STORE`. The best of each row
is bold.

## One learning rate for all sizes

D = 5e5 tokens, mean of two seeds, columns are `optimiser.learning_rate` (at width 64; hidden matrices follow 64/width,
residual branches 2/depth: CompleteP). N spans {span}x. The best rate is the lowest point of the parabola through the
best cell and its neighbours; the shared one is {shared}.

{transfer}

![loss above the best against learning rate, one line per size](transfer.svg)

Four seeds at N = 1e5, D = 5e5: {seeds}: differences below that are noise.

The same with `model.parametrisation=standard` (one rate for every tensor, no multipliers), one seed:

{standard}

## Weight decay over the tokens seen

N = 1e5, columns are `optimiser.weight_decay`, the decay after 1e6 tokens; before and after it falls as the root of the
tokens seen. It does not look at the horizon, so all rows of a column are branches of one trunk.

{decays}

## Warm-up

N = 1e5, columns are `schedule.warmup_steps`.

{warmups}

## Optimisers

D = 5e5, the shared rate, one seed.

{muon}
"""

if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python benchmarks/recipe.py STORE")
    main(sys.argv[1])
