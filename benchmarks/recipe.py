"""Does one learning rate serve all sizes, and one decay rule all horizons? Prints docs/recipe.md's tables.

    python benchmarks/recipe.py STORE > docs/recipe.md        # about 12 minutes on 2 cores; resumes from STORE

Every cell is a run of the default corpus and model family; nothing here looks at a forecast's target.
"""

from __future__ import annotations

import subprocess
import sys

from results.record import RunRecord, RunStatus
from results.store import Store

RATES = (3e-3, 6e-3, 1.2e-2)
SIZES = (1e4, 1e5, 3e5)
DECAYS = (0.0, 0.1, 0.2, 0.4)
HORIZONS = (2.5e5, 1e6, 2e6)


def main(path: str) -> None:
    common = ["-m", f"store={path}", "name=recipe"]
    sizes = ",".join(f"{n:g}" for n in SIZES)
    rates = ",".join(f"{rate:g}" for rate in RATES)
    decays = ",".join(f"{decay:g}" for decay in DECAYS)
    horizons = ",".join(f"{d:g}" for d in HORIZONS)
    sweep(*common, f"model.n={sizes}", "data.tokens=5e5", f"optimiser.learning_rate={rates}")
    fixed = [f"optimiser.weight_decay={decays}", "optimiser.decay_exponent=0"]
    sweep(*common, "model.n=1e5", f"data.tokens={horizons}", *fixed)
    sweep(*common, "model.n=1e5", "data.tokens=5e5", "seed=0,1,2,3")
    records = [record for record in Store(path).records()[0] if record.status == RunStatus.DONE]
    print(TEXT.format(rates=rate_table(records), decays=decay_table(records), seeds=seed_sentence(records)), end="")


def sweep(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "sweep", *arguments], check=True, stdout=sys.stderr)


def pick(records: list[RunRecord], n: float, tokens: float, seed: int = 0, **wanted: float) -> float:
    for record in records:
        near = abs(record.n_params_non_embedding / n - 1) < 0.03 and abs(record.d_tokens / tokens - 1) < 0.01
        same = all(abs(getattr(record, name) - value) <= 1e-6 + 1e-3 * value for name, value in wanted.items())
        if near and same and record.seed == seed and record.loss is not None:
            return record.loss
    raise SystemExit(f"no finished run with N {n:g}, D {tokens:g}, seed {seed}, {wanted}")


def markdown(header: list[str], rows: list[tuple[str, list[float]]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for name, values in rows:
        best = min(values)
        cells = [f"**{value:.4f}**" if value == best else f"{value:.4f}" for value in values]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rate_table(records: list[RunRecord]) -> str:
    decay = 0.2 * 2**0.5  # the rule at D = 5e5
    rows = []
    for n in SIZES:
        losses = [pick(records, n, 5e5, learning_rate=rate, weight_decay=decay) for rate in RATES]
        rows.append((f"N = {n:g}", losses))
    return markdown(["", *(f"{rate:g}" for rate in RATES)], rows)


def decay_table(records: list[RunRecord]) -> str:
    rows = []
    for tokens in HORIZONS:
        losses = [pick(records, 1e5, tokens, learning_rate=6e-3, weight_decay=decay) for decay in DECAYS]
        rows.append((f"D = {tokens:g}", losses))
    return markdown(["", *(f"{decay:g}" for decay in DECAYS)], rows)


def seed_sentence(records: list[RunRecord]) -> str:
    import statistics

    decay = 0.2 * 2**0.5
    losses = [pick(records, 1e5, 5e5, seed, learning_rate=6e-3, weight_decay=decay) for seed in range(4)]
    spread = statistics.stdev(losses) / statistics.mean(losses)
    shown = ", ".join(f"{loss:.4f}" for loss in losses)
    return f"Four seeds at N = 1e5, D = 5e5: {shown}, a standard deviation of {spread:.2%}."


TEXT = """# The default recipe, measured

Held-out loss in nats per token on the default corpus; made by `python benchmarks/recipe.py STORE`. The best of each row
is bold.

## One learning rate for all sizes

D = 5e5 tokens, columns are `optimiser.learning_rate` (at width 64; hidden matrices follow 64/width).

{rates}

{seeds}

## Weight decay over the horizon

N = 1e5, columns are `optimiser.weight_decay` with `optimiser.decay_exponent=0`.

{decays}

Short runs want more decay than long ones; the default, 0.2 (1e6/D)^0.5, follows that.
"""

if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python benchmarks/recipe.py STORE")
    main(sys.argv[1])
