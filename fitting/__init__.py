"""Fitting: laws, solver, uncertainty and predictions. Pure arrays in, frozen results out; no model near it."""

from fitting.errors import InputError
from fitting.points import Points
from fitting.read import Columns, read_points

__all__ = ["Columns", "InputError", "Points", "read_points"]
