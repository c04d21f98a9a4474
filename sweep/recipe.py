"""How does a hyper-parameter depend on the horizon D, so that one setting serves all runs?"""

from __future__ import annotations


def at_horizon(value: float, reference_tokens: float, exponent: float, tokens: float) -> float:
    """value (D_ref / D)^exponent; exponent 0 keeps the value for every D.

    For the peak learning rate Bjorck et al. 2024 (arXiv:2409.19913) report an exponent of 0.32 at 50M-7B parameters.
    For the decoupled weight decay, exponent 1 keeps the AdamW averaging time a fixed part of the run (Wang and
    Aitchison 2024, arXiv:2405.13698). What serves small grids best is measured in docs/recipe.md.
    """
    return value * (reference_tokens / tokens) ** exponent
