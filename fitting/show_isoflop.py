"""How approaches 1 and 2 are printed: runs of the envelope; budgets with their grid, bias, and optimum or why none."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from fitting.envelope import Envelope
from fitting.isoflop import IsoflopFit
from fitting.isoflop_bias import IsoflopBias
from fitting.power_law import PowerLaw
from fitting.show import plain, si, wide_enough


def isoflop_tables(fit: IsoflopFit, bias: IsoflopBias | None) -> None:
    console = wide_enough()
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
    _growth(console, fit.n_law, fit.d_law, f"{fit.sentence}; resampled: {fit.resampled}")
    if bias is not None and bias.corrected_exponent is not None:
        console.print(f"exponent of N* without the bias of the grids: {bias.corrected_exponent:.4f}", highlight=False)
    if bias is not None:
        console.print(bias.sentence, highlight=False)


def envelope_tables(fit: Envelope) -> None:
    console = wide_enough()
    table = Table(title="Runs that no run of less compute beats")
    for header in ("C (FLOPs)", "N", "D", "D/N", "loss", "remark"):
        table.add_column(header, justify="left" if header == "remark" else "right")
    for flops, n, d, loss, counts in zip(fit.flops, fit.n_params, fit.d_tokens, fit.loss, fit.bracketed, strict=True):
        remark = "" if counts else "not counted: no larger or no smaller N was tried"
        table.add_row(f"{flops:.3g}", si(n), si(d), f"{d / n:.3g}", f"{loss:.4f}", remark)
    console.print(table)
    _growth(console, fit.n_law, fit.d_law, f"{fit.sentence}; resampled: {fit.resampled}")


def envelope_json(fit: Envelope) -> dict:
    """Plain JSON types only."""
    columns = ("flops", "n_params", "d_tokens", "loss", "bracketed")
    return {
        "exponents": _exponents(fit.n_law, fit.d_law),
        "sentence": fit.sentence,
        "resampled": fit.resampled,
        "runs": [
            dict(zip(columns, row, strict=True))
            for row in zip(*(plain(getattr(fit, name)) for name in columns), strict=True)
        ],
    }


def isoflop_json(fit: IsoflopFit, bias: IsoflopBias | None) -> dict:
    """Plain JSON types only."""
    of = {half.n_params: half.bias for half in bias.slices} if bias else {}
    return {
        "method": fit.method.value,
        "exponents": _exponents(fit.n_law, fit.d_law),
        "exponent_without_bias": bias.corrected_exponent if bias else None,
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
                "bias": of.get(one.optimum.n_params) if one.optimum else None,
            }
            for one in fit.slices
        ],
    }


def _growth(console: Console, a: PowerLaw, d: PowerLaw, sentence: str) -> None:
    console.print(
        f"N* ~ C^{a.exponent:.4f} ({a.level:.0%} interval {a.low:.4f} .. {a.high:.4f}), "
        f"D* ~ C^{d.exponent:.4f} ({d.low:.4f} .. {d.high:.4f}); {sentence}",
        highlight=False,
    )


def _exponents(n_law: PowerLaw, d_law: PowerLaw) -> dict:
    return {
        name: {"value": law.exponent, "low": law.low, "high": law.high, "level": law.level}
        for name, law in (("n_params", n_law), ("d_tokens", d_law))
    }
