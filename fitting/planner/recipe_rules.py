"""Which learning rate, batch and weight decay for N and D? Published rules side by side: they disagree, so all show.

StepLaw: eta = 1.79 N^-0.713 D^0.307, B = 0.58 D^0.571 tokens, N without embeddings (Li et al. 2025, arXiv:2503.04715).
DeepSeek: eta = 0.3118 C^-0.1250, B = 0.2920 C^0.3271 tokens, C = M D with M the non-embedding FLOPs of a token, fitted
on 1e17-2e19 (Bi et al. 2024, arXiv:2401.02954, section 3.1). Power Lines: B = 0.0306 D^0.383 and B_crit = 0.0471
D^0.462 sequences of 2,048 tokens, AdamW timescale tau = B / (eta lambda D) = 1.084 (D/N)^-0.527 (Bergsma et al. 2025,
arXiv:2505.13738). B_crit trades steps for tokens: S = S_min (1 + B_crit / B), D = D_min (1 + B / B_crit) (McCandlish et
al. 2018, arXiv:1812.06162).
"""

from __future__ import annotations

from dataclasses import dataclass

from fitting.planner.surface import training_flops

POWER_LINES_SEQUENCE = 2048  # tokens
# Zhang et al. 2024 (arXiv:2410.21676): 22.91 D^0.47 sequences of 512 tokens, D in millions. Their unit sentence was not
# found; these units reproduce their own points within 1.5%.
ZHANG_FACTOR, ZHANG_EXPONENT, ZHANG_SEQUENCE = 22.91, 0.47, 512


@dataclass(frozen=True)
class Rule:
    """One source's advice; None where it says nothing."""

    source: str
    learning_rate: float | None  # peak, of standard parametrisation with AdamW
    batch_tokens: float | None


@dataclass(frozen=True)
class BatchLimits:
    """Tokens a step, by two sources with two definitions.

    By D = D_min (1 + B / B_crit) the first is a fifth of the second; measured apart, they agree on that within 10%.
    """

    fifth_more: float  # a fifth more tokens for the same loss (Zhang et al. 2024)
    twice: float  # twice the tokens: B_crit (Bergsma et al. 2025)


def step_law(n_non_embedding: float, d_tokens: float) -> Rule:
    return Rule(
        "StepLaw (Li et al. 2025)",
        1.79 * n_non_embedding**-0.713 * d_tokens**0.307,
        0.58 * d_tokens**0.571,
    )


def deepseek(n_non_embedding: float, d_tokens: float) -> Rule:
    """With M = 6N: for wide models M is little more, and eta and B move with its eighth and third root."""
    flops = training_flops(n_non_embedding, d_tokens)
    return Rule("DeepSeek (Bi et al. 2024)", 0.3118 * flops**-0.1250, 0.2920 * flops**0.3271)


def power_lines(d_tokens: float) -> Rule:
    return Rule("Power Lines (Bergsma et al. 2025)", None, 0.0306 * d_tokens**0.383 * POWER_LINES_SEQUENCE)


def batch_limits(d_tokens: float) -> BatchLimits:
    """Of a run of D tokens."""
    zhang = ZHANG_FACTOR * (d_tokens / 1e6) ** ZHANG_EXPONENT * ZHANG_SEQUENCE
    return BatchLimits(zhang, 0.0471 * d_tokens**0.462 * POWER_LINES_SEQUENCE)


def weight_decay_timescale(n_params: float, d_tokens: float) -> float:
    """tau = B / (eta lambda D), as a part of the run: lambda = B / (eta tau D)."""
    return 1.084 * (d_tokens / n_params) ** -0.527
