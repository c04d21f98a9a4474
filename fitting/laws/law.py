"""What is a scaling law? Inputs, bounded parameters with starts, and log L(theta, x); nothing else."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Parameter:
    """One coordinate of theta, in the law's centred coordinates."""

    name: str
    lower: float  # in the same unit as theta
    upper: float


class Law(abc.ABC):
    """A law in centred coordinates: x = ln(input) - mean ln(input), so that theta is well conditioned.

    Subclasses are final frozen dataclasses without state, so that they hash and can be jit-static.
    """

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What --law calls it."""

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """As it is printed."""

    @property
    @abc.abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Columns of Points, in the order of x's last axis; n_params, d_tokens and flops are always there."""

    @property
    def centred(self) -> bool:
        """False for a law that needs absolute values (such as unique tokens against N): its centre is then zero."""
        return True

    def features(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Uncentred x (points, inputs) from the columns; logarithms unless a law overrides it."""
        return np.log(np.stack([np.asarray(columns[name], np.float64) for name in self.inputs], axis=-1))

    def centre(self, features: np.ndarray) -> np.ndarray:
        """What is subtracted from the features, (inputs,)."""
        return features.mean(axis=0) if self.centred else np.zeros(features.shape[1])

    @abc.abstractmethod
    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        """Bounds of theta for centred inputs x (points, inputs) and ln L (points,)."""

    @abc.abstractmethod
    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        """Scale-aware starting values, shape (starts, parameters)."""

    @abc.abstractmethod
    def log_loss(self, theta: Any, x: Any) -> Any:
        """ln L for one theta (parameters,) at all points: x (inputs, points) -> (points,), elementwise jax.numpy."""

    @abc.abstractmethod
    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        """The published, uncentred constants; theta (..., parameters) -> arrays of shape (...)."""
