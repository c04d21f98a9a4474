"""How do initial scale, learning rate and weight decay depend on width, so that one learning rate serves all N?

Maximal-update rules for AdamW (Yang et al. 2022, arXiv:2203.03466, table 8): hidden matrices start at fan_in^-1/2 and
learn at 1/width; the embedding's rate does not depend on width; the head starts at zero and learns at 1/width. Outputs
of residual branches start at zero as well (the network starts as the identity, loss ln V).
"""

from __future__ import annotations

from dataclasses import dataclass

BASE_WIDTH = 64  # the width at which every rate multiplier is 1; the shared learning rate is quoted there
EMBEDDING_SCALE = 0.5  # measured on small grids; the embedding is normalised after the lookup


@dataclass(frozen=True)
class Rule:
    """One parameter tensor."""

    starts_at_zero: bool
    rate_follows_width: bool  # learning rate times BASE_WIDTH / width
    decays: bool  # takes weight decay


RULES = {
    "embedding": Rule(starts_at_zero=False, rate_follows_width=False, decays=False),
    "qkv": Rule(starts_at_zero=False, rate_follows_width=True, decays=True),
    "attention_out": Rule(starts_at_zero=True, rate_follows_width=True, decays=True),
    "mlp_in": Rule(starts_at_zero=False, rate_follows_width=True, decays=True),
    "mlp_out": Rule(starts_at_zero=True, rate_follows_width=True, decays=True),
    "head": Rule(starts_at_zero=True, rate_follows_width=True, decays=False),
}


def initial_scale(name: str, fan_in: int) -> float:
    """Standard deviation of the initial values."""
    if RULES[name].starts_at_zero:
        return 0.0
    return EMBEDDING_SCALE if name == "embedding" else fan_in**-0.5


def rate_multiplier(name: str, width: int) -> float:
    """Learning rate of this tensor / shared learning rate."""
    return BASE_WIDTH / width if RULES[name].rate_follows_width else 1.0
