"""What is a scaling law? Inputs, bounded parameters with starts, and log L(theta, x); nothing else."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.errors import InputError


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
    def varied(self) -> tuple[str, ...]:
        """The inputs that must not be the same at all points, or nothing can be fitted."""
        return self.inputs

    @property
    def surface(self) -> bool:
        """Whether this is a law of the loss over N and D alone, so that it can stand in for any other such law."""
        return self.inputs == ("n_params", "d_tokens")

    def features(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Uncentred x (points, inputs) from the columns; logarithms unless a law overrides it."""
        return np.stack([logarithm(columns, name) for name in self.inputs], axis=-1)

    def centre(self, features: np.ndarray) -> np.ndarray:
        """What is subtracted from the features, (inputs,); the mean unless a law needs another origin."""
        return features.mean(axis=0)

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


def numbers(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """One input column as float64. Raises InputError where it is missing or not finite."""
    if name not in columns:
        raise InputError(f"the law needs column {name!r}; the points have {', '.join(sorted(columns))}. Add the column")
    values = np.asarray(columns[name], np.float64)
    _refuse(~np.isfinite(values), values, name, "a finite number")
    return values


def logarithm(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """ln of one input column. Raises InputError where a value is not above zero."""
    values = numbers(columns, name)
    _refuse(values <= 0, values, name, "a number above 0")
    return np.log(values)


def _refuse(bad: np.ndarray, values: np.ndarray, name: str, allowed: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"column {name!r} holds {float(values.flat[row])!r} in row {row + 1}; the law needs {allowed}. "
            f"Correct it or leave the row out"
        )
