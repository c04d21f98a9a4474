"""How is one run spread over devices? A mesh of data, fsdp and tensor axes, and what lies where on it."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental.mesh_utils import create_device_mesh
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from fitting.errors import InputError
from models.decoder import REMATERIALISATIONS
from models.parametrisation import Tensor

BATCH_AXES = ("data", "fsdp")
# Which mesh axis a tensor's axis is cut along (Megatron's columns and rows, Shoeybi et al. 2019, arXiv:1909.08053;
# the rest over fsdp, Rajbhandari et al. 2020, arXiv:1910.02054).
CUT_ALONG = {"width": "fsdp", "groups": "tensor", "mlp": "tensor", "vocabulary": "tensor"}


@dataclass(frozen=True)
class Layout:
    """Changes no result beyond the order of float sums; not part of a spec."""

    data: int = 1  # copies of the model, each with its part of the batch
    fsdp: int = 1  # parts of the parameters and moments, gathered when needed; the batch is cut along it too
    tensor: int = 1  # parts of every matrix and of the attention heads
    accumulation: int = 1  # micro-batches whose gradients are added up before a step
    remat: str = "none"  # what the backward pass computes again; see models.decoder.hidden

    @property
    def devices(self) -> int:
        return self.data * self.fsdp * self.tensor

    @property
    def batch_parts(self) -> int:
        """Parts that one micro-batch is cut into."""
        return self.data * self.fsdp

    def check(self, batch_sequences: int) -> None:
        """Raises InputError where a batch cannot be cut so."""
        for name in ("data", "fsdp", "tensor", "accumulation"):
            if getattr(self, name) < 1:
                raise InputError(f"mesh.{name} is {getattr(self, name)}; allowed is 1 or more")
        if self.remat not in REMATERIALISATIONS:
            raise InputError(f"mesh.remat is {self.remat!r}; allowed are {', '.join(REMATERIALISATIONS)}")
        parts = self.accumulation * self.batch_parts
        if batch_sequences % parts:
            raise InputError(
                f"optimiser.batch_sequences is {batch_sequences} with mesh.data {self.data} x mesh.fsdp {self.fsdp} x "
                f"mesh.accumulation {self.accumulation}; allowed are multiples of {parts}"
            )

    def halved(self, batch_sequences: int) -> Layout:
        """With micro-batches half as large. Raises InputError where they hold one sequence a part already."""
        parts = 2 * self.accumulation * self.batch_parts
        if batch_sequences % parts:
            raise InputError(
                f"its {batch_sequences} sequences a step cannot be cut into micro-batches smaller than those of "
                f"mesh.accumulation {self.accumulation}; choose more devices, mesh.remat=block or a smaller model"
            )
        return dataclasses.replace(self, accumulation=2 * self.accumulation)

    def mesh(self) -> Mesh | None:
        """The first devices, in an order that suits their links; None for one device.

        Raises InputError where there are too few, or slices of TPUs that only a slower network joins.
        """
        if self.devices == 1:
            return None
        return _mesh(self.data, self.fsdp, self.tensor)

    def tensor_sharding(self, tensor: Tensor) -> NamedSharding | None:
        """Every axis that a mesh axis divides is cut along it."""
        mesh = self.mesh()
        if mesh is None:
            return None
        cut: list[str | None] = []
        for axis, size in zip(tensor.axes, tensor.shape, strict=True):
            along = CUT_ALONG.get(axis)
            parts = mesh.shape[along] if along else 1
            cut.append(along if along and parts > 1 and size % parts == 0 and along not in cut else None)
        return NamedSharding(mesh, PartitionSpec(*cut))

    def batch_sharding(self, before: int) -> NamedSharding | None:
        """The batch axis, after `before` other axes, is cut over data and fsdp."""
        mesh = self.mesh()
        return None if mesh is None else NamedSharding(mesh, PartitionSpec(*[None] * before, BATCH_AXES))

    def replicated(self) -> NamedSharding | None:
        mesh = self.mesh()
        return None if mesh is None else NamedSharding(mesh, PartitionSpec())


@functools.cache
def _mesh(data: int, fsdp: int, tensor: int) -> Mesh:
    wanted, found = data * fsdp * tensor, jax.devices()
    if len(found) < wanted:
        raise InputError(
            f"mesh.data {data} x mesh.fsdp {fsdp} x mesh.tensor {tensor} needs {wanted} devices; there are "
            f"{len(found)}. Choose a smaller mesh"
        )
    if len({getattr(device, "slice_index", 0) for device in found[:wanted] if device.platform == "tpu"}) > 1:
        raise InputError(
            f"mesh.data {data} x mesh.fsdp {fsdp} x mesh.tensor {tensor} spans several TPU slices; allowed is one. "
            "Choose a smaller mesh"
        )
    # An axis of the mesh may take a part of an axis of the chips' torus: 2 x 2 x 2 on 2 x 4 chips.
    chosen = create_device_mesh((data, fsdp, tensor), found[:wanted], allow_split_physical_axes=True)
    return Mesh(chosen, ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)


def place(array: np.ndarray, sharding: NamedSharding | None) -> jax.Array | np.ndarray:
    """The array on its devices; each process hands over what its own devices hold."""
    if sharding is None:
        return array
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
