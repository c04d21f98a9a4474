"""How approach 2 is printed: every budget with its grid, its bias and its optimum or the reason why there is none."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from fitting.isoflop import IsoflopFit
from fitting.isoflop_bias import IsoflopBias
from fitting.show import PLAIN_WIDTH, si


def isoflop_tables(fit: IsoflopFit, bias: IsoflopBias | None) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    corrected = {half.n_params: half for half in bias.slices} if bias else {}
    table = Table(title=f"IsoFLOP slices, {fit.method.value}")
    for header in ("C (FLOPs)", "runs", "grid", "centre / N*", "N*", "bias", "N* without it", "remark"):
        table.add_column(header, justify="left" if header == "remark" else "right")
    for one in fit.slices:
        best = one.optimum
        half = corrected.get(best.n_params) if best else None
        table.add_row(
            f"{one.flops:.3g}",
            str(len(one.n_params)),
            f"x/÷ {one.half_width:.2g}",
            "" if one.centre_offset is None else f"{one.centre_offset:.2f}",
            "" if best is None else si(best.n_params),
            "" if half is None or half.bias is None else f"{half.bias:+.1%}",
            "" if half is None or half.corrected is None else si(half.corrected),
            one.status.value if best else f"{one.status.value}: {one.sentence}",
        )
    console.print(table)
    a, d = fit.n_law, fit.d_law
    console.print(
        f"N* ~ C^{a.exponent:.4f} ({a.level:.0%} interval {a.low:.4f} .. {a.high:.4f}), "
        f"D* ~ C^{d.exponent:.4f} ({d.low:.4f} .. {d.high:.4f}); {fit.sentence}; resampled: {fit.resampled}",
        highlight=False,
    )
    if bias is not None and bias.corrected_exponent is not None:
        console.print(f"exponent of N* without the bias of the grids: {bias.corrected_exponent:.4f}", highlight=False)
    if bias is not None:
        console.print(bias.sentence, highlight=False)


def isoflop_json(fit: IsoflopFit) -> dict:
    """Plain JSON types only."""
    return {
        "method": fit.method.value,
        "exponents": {
            name: {"value": law.exponent, "low": law.low, "high": law.high, "level": law.level}
            for name, law in (("n_params", fit.n_law), ("d_tokens", fit.d_law))
        },
        "sentence": fit.sentence,
        "slices": [
            {
                "flops": one.flops,
                "runs": len(one.n_params),
                "half_width": one.half_width,
                "centre_offset": one.centre_offset,
                "status": one.status.value,
                "sentence": one.sentence,
                "n_params": one.optimum.n_params if one.optimum else None,
            }
            for one in fit.slices
        ],
    }
