"""The JSON record of a fit: everything a reviewer asks for (form, definitions, exclusions, proof, intervals)."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from typing import Any

import numpy as np

from fitting.fit import Fit
from fitting.objective import MSE, objective_form, objective_name, objective_value
from fitting.predict import DISCREPANCY_AT_HOME, DISCREPANCY_PER_DECADE, LEVEL


def fit_record(fit: Fit, level: float = LEVEL) -> dict[str, Any]:
    """Plain JSON types only."""
    tails = [(1 - level) / 2, (1 + level) / 2]
    intervals = {}
    for name, draws in fit.constant_draws().items():
        low, high = np.quantile(draws, tails)
        intervals[name] = {
            "value": fit.constants[name],
            "low": float(low),
            "high": float(high),
            "standard_error": float(np.std(draws, ddof=1)),
        }
    held_out, seeds = fit.held_out, fit.seeds
    return {
        "law": fit.law.name,
        "equation": fit.law.equation,
        "chosen": fit.chosen,
        "status": fit.status.value,
        "sentence": fit.sentence,
        "level": level,
        "constants": intervals,
        "definitions": {
            "N": fit.points.n_definition,
            "D": "training tokens",
            "C": fit.points.flops_definition,
            "L": "nats per token",
        },
        "points": {
            "source": fit.points.source,
            "count": len(fit.points),
            "sha256": fit.points.digest,
            "excluded": list(fit.points.excluded),
            "largest_flops": float(fit.points.flops.max()),
        },
        "objective": {
            "name": objective_name(fit.delta),
            "form": objective_form(fit.delta),
            "delta": fit.delta if fit.delta < MSE else None,
            "value": objective_value(fit.residuals, fit.delta),
        },
        "proof": {
            "gradient_norm": fit.proof.gradient_norm,
            "smallest_eigenvalue": fit.proof.smallest_eigenvalue,
            "singular_values": list(fit.proof.singular_values),
            "condition": fit.proof.condition,
            "starts": fit.proof.starts,
            "best_basin_share": fit.proof.best_basin_share,
            "restart_gain": fit.proof.restart_gain,
        },
        "uncertainty": {
            "resampled": fit.resampled,
            "resamples": len(fit.draws),
            "noise_sd_ln_loss": fit.noise,
            "noise_source": fit.noise_sentence,
            "between_seeds": None if seeds is None else dataclasses.asdict(seeds),
            "discrepancy_sd_ln_loss": [DISCREPANCY_AT_HOME, DISCREPANCY_PER_DECADE],
        },
        "held_out_by_compute": None
        if held_out is None
        else {
            "points": held_out.points,
            "span": held_out.span,
            "median_error": held_out.median_error,
            "largest_error": held_out.largest_error,
        },
        "software": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("jax", "numpy")},
        },
    }
