"""L(N, D) = E + T^gamma, T = A/N^alpha + B/D^beta: what it says about optima, costs and trade-offs, in closed form.

gamma = 1 is Hoffmann et al. 2022, eq. 2 (arXiv:2203.15556); gamma free is Busbridge et al. 2025, eq. 8
(arXiv:2502.08606); E = 0, beta = 1, gamma = alpha_D is Kaplan et al. 2020, eq. 1.5 (arXiv:2001.08361). L in nats per
token, N in parameters, D in tokens, C = 6ND in FLOPs. gamma > 0 is a monotone transform, so it moves no optimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

FLOPS_PER_PARAMETER_TOKEN = 6.0  # C = 6ND, forward and backward (Kaplan et al. 2020, section 2.1)
Numbers = Any  # a float, or an array of them


def training_flops(n_params: Numbers, d_tokens: Numbers) -> Numbers:
    """C = 6ND."""
    return FLOPS_PER_PARAMETER_TOKEN * n_params * d_tokens


@dataclass(frozen=True)
class Surface:
    """The constants of one law, or arrays of them (draws,); every method broadcasts."""

    E: Numbers
    A: Numbers
    B: Numbers
    alpha: Numbers
    beta: Numbers
    gamma: Numbers = 1.0

    @classmethod
    def of(cls, constants: Mapping[str, Numbers]) -> Surface | None:
        """From a law's published constants; None where the law is no such surface."""
        names = set(constants)
        if names >= {"E", "A", "B", "alpha", "beta"}:
            return cls(*(constants[name] for name in ("E", "A", "B", "alpha", "beta")), constants.get("gamma", 1.0))
        if names >= {"E", "A", "B", "eta"}:
            return cls(constants["E"], constants["A"], constants["B"], constants["eta"], constants["eta"])
        if names >= {"N_c", "D_c", "alpha_N", "alpha_D"}:
            ratio = np.divide(constants["alpha_N"], constants["alpha_D"])
            return cls(0.0, constants["N_c"] ** ratio, constants["D_c"], ratio, 1.0, constants["alpha_D"])
        return None

    def loss(self, n_params: Numbers, d_tokens: Numbers) -> Numbers:
        """L, nats per token."""
        return self.E + self._terms(n_params, d_tokens) ** self.gamma

    def pulls(self, n_params: Numbers, d_tokens: Numbers) -> tuple[Numbers, Numbers]:
        """(-dL/dlnN, -dL/dlnD), nats per token: what one e-fold of each still takes off the loss."""
        steep = self.gamma * self._terms(n_params, d_tokens) ** (self.gamma - 1)
        return (
            steep * self.alpha * self.A * n_params**-self.alpha,
            steep * self.beta * self.B * d_tokens**-self.beta,
        )

    def optimum(self, flops: Numbers) -> tuple[Numbers, Numbers]:
        """N*, D* that minimise L at C = 6ND (Hoffmann et al. 2022, eq. 4); 0 and infinity where an exponent is 0.

        G = (alpha A / (beta B))^(1/s), N* = G (C/6)^(beta/s), D* = (C/6)^(alpha/s) / G with s = alpha + beta.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            total = np.add(self.alpha, self.beta)
            log_product = np.log(np.divide(flops, FLOPS_PER_PARAMETER_TOKEN))
            log_n = self._log_g + log_product * self.beta / total
            return np.exp(log_n), np.exp(log_product - log_n)

    def least_loss(self, flops: Numbers) -> Numbers:
        """L*(C) = E + (K (C/6)^-e)^gamma, e = alpha beta / (alpha + beta), K = A G^-alpha + B G^beta."""
        return self.E + (self._k * np.divide(flops, FLOPS_PER_PARAMETER_TOKEN) ** -self.compute_exponent) ** self.gamma

    def flops_for(self, loss: Numbers) -> Numbers:
        """The least C that reaches the loss, the inverse of least_loss; NaN at or below E."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return FLOPS_PER_PARAMETER_TOKEN * (self.excess(loss) / self._k) ** (-1 / self.compute_exponent)

    def tokens_for(self, n_params: Numbers, loss: Numbers) -> Numbers:
        """D with L(N, D) = loss; NaN where no D reaches it: A/N^alpha alone is above what the loss leaves."""
        return _power_left(self.excess(loss) - self.A * n_params**-self.alpha, self.B, self.beta)

    def size_for(self, d_tokens: Numbers, loss: Numbers) -> Numbers:
        """N with L(N, D) = loss; NaN where no N reaches it."""
        return _power_left(self.excess(loss) - self.B * d_tokens**-self.beta, self.A, self.alpha)

    def tokens_suiting(self, n_params: Numbers) -> Numbers:
        """The D for which N is the compute-optimal size: alpha A/N^alpha = beta B/D^beta."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            pull = self.alpha * self.A * n_params**-self.alpha
            return (np.multiply(self.beta, self.B) / pull) ** (1 / np.asarray(self.beta))

    def size_suiting(self, d_tokens: Numbers) -> Numbers:
        """The N for which D is the compute-optimal horizon."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            pull = self.beta * self.B * d_tokens**-self.beta
            return (np.multiply(self.alpha, self.A) / pull) ** (1 / np.asarray(self.alpha))

    def overhead(self, k_n: Numbers) -> Numbers:
        """Extra compute of a model k_N times the optimal size at the optimal loss, k_N k_D - 1; NaN: impossible.

        k_D = (1 - (k_N^-alpha - 1) (A/B) G^(-alpha-beta))^(-1/beta), whatever C is (de Vries 2023, "Go smol or go
        home").
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = np.divide(self.A, self.B) * np.exp(-self._log_g * np.add(self.alpha, self.beta))
            left = 1 - (np.asarray(k_n) ** -np.asarray(self.alpha) - 1) * share
            return np.where(left > 0, k_n * np.abs(left) ** (-1 / np.asarray(self.beta)) - 1, np.nan)

    def excess(self, loss: Numbers) -> Numbers:
        """T that the loss stands for, (L - E)^(1/gamma); NaN at or below E."""
        above = np.subtract(loss, self.E)
        with np.errstate(invalid="ignore"):
            return np.where(above > 0, np.abs(above) ** (1 / np.asarray(self.gamma)), np.nan)

    @property
    def compute_exponent(self) -> Numbers:
        """e of T* ~ C^-e."""
        return np.multiply(self.alpha, self.beta) / np.add(self.alpha, self.beta)

    def _terms(self, n_params: Numbers, d_tokens: Numbers) -> Numbers:
        return self.A * n_params**-self.alpha + self.B * d_tokens**-self.beta

    @property
    def _log_g(self) -> Numbers:
        ratio = np.multiply(self.alpha, self.A) / np.multiply(self.beta, self.B)
        return np.log(ratio) / np.add(self.alpha, self.beta)

    @property
    def _k(self) -> Numbers:
        log_g = self._log_g
        return self.A * np.exp(-self.alpha * log_g) + self.B * np.exp(self.beta * log_g)


def _power_left(left: Numbers, factor: Numbers, exponent: Numbers) -> Numbers:
    """x with factor / x^exponent = left; NaN where nothing is left."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(left > 0, np.divide(factor, np.abs(left)) ** (1 / np.asarray(exponent)), np.nan)
