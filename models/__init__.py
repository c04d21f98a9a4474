"""Models: from N to a decoder, its exact counts of parameters and FLOPs, and its forward pass."""

from models.architecture import Architecture, ParameterCount
from models.errors import ArchitectureError
from models.shapes import architecture_near

__all__ = ["Architecture", "ArchitectureError", "ParameterCount", "architecture_near"]
