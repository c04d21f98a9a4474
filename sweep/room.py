"""Which runs fit into the memory of the devices that a launcher gives them?"""

from __future__ import annotations

from collections.abc import Collection

from sweep.config import MeshWishes
from sweep.launchers.launcher import Launcher
from sweep.smallest import fitting_layout, gigabytes, smallest_layout
from sweep.spec import RunSpec


class Room:
    """A run that the store holds already needs none."""

    def __init__(self, launcher: Launcher, mesh: MeshWishes, settled: Collection[str] = ()):
        self._launcher, self._mesh, self._settled = launcher, mesh, settled
        self._backend = "gpu" if launcher.accelerated else "cpu"

    def fits(self, spec: RunSpec) -> bool:
        """Raises InputError where the mesh that was asked for cannot be made, or does not cut the batch."""
        return spec.run_id in self._settled or fitting_layout(spec, *self._given(spec)) is not None

    def require(self, spec: RunSpec) -> None:
        """Raises InputError saying what is needed, what is there, and what would fit."""
        if spec.run_id not in self._settled:
            smallest_layout(spec, *self._given(spec))

    def words(self, spec: RunSpec) -> str:
        """What there is for it."""
        _, devices, memory, _ = self._given(spec)
        return f"{devices} device{'s' * (devices > 1)} of {gigabytes(memory or 0.0)}"

    def _given(self, spec: RunSpec) -> tuple[MeshWishes, int, float | None, str]:
        launcher, mesh = self._launcher, self._mesh
        return mesh, launcher.devices_of(spec), launcher.device_bytes(spec, mesh.memory), self._backend
