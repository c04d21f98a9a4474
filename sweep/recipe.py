"""How do the peak learning rate and the weight decay depend on the horizon D, so that one setting serves all runs?"""

from __future__ import annotations


def peak_rate(learning_rate: float, rate_tokens: float, rate_exponent: float, tokens: float) -> float:
    """learning_rate (rate_tokens / D)^rate_exponent: longer runs take smaller steps.

    The form and exponent 0.3 are the token-horizon correction of Marin's Delphi runs; Bjorck et al. 2024
    (arXiv:2409.19913) report 0.32 for 50M-7B parameters.
    """
    return learning_rate * (rate_tokens / tokens) ** rate_exponent


def weight_decay(decay_total: float, rate: float, steps: int) -> float:
    """decay_total / (peak rate x steps): the AdamW averaging time is a fixed part of the run.

    Wang and Aitchison 2024 (arXiv:2405.13698): with decoupled decay, weights are an average over 1/(rate x decay)
    steps, and the best such time is a fixed number of epochs rather than of steps.
    """
    return decay_total / (rate * steps)
