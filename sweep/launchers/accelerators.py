"""Which accelerators may this process use, and how is a worker kept to some of them? Told without starting a runtime.

NVIDIA: CUDA_VISIBLE_DEVICES. TPU: TPU_VISIBLE_DEVICES with the bounds of one process, so that several processes share
the chips of one host; written from the documentation of JAX and Cloud TPU, not run on one. Hosts whose chips are
/dev/vfio/N (v5e and later) are known by JAX_PLATFORMS=tpu: other hardware is passed through there too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from fitting.errors import InputError

# Chips of one process: how they lie on the host's grid.
TPU_BOUNDS = {1: "1,1,1", 2: "1,2,1", 4: "2,2,1", 8: "2,4,1"}


def visible_accelerators(environment: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> list[str]:
    """What CUDA_VISIBLE_DEVICES or TPU_VISIBLE_DEVICES call them: numbers, or the names that a scheduler gave."""
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms.startswith("cpu"):
        return []
    variable = "TPU_VISIBLE_DEVICES" if _has_tpus(environment, devices) else "CUDA_VISIBLE_DEVICES"
    visible = environment.get(variable)
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    if variable == "TPU_VISIBLE_DEVICES":
        files = [*devices.glob("accel[0-9]*")] or [*devices.glob("vfio/[0-9]*")]
    else:
        files = [*devices.glob("nvidia[0-9]*")]
    names = [file.name.removeprefix("accel").removeprefix("nvidia") for file in files]
    return sorted(names, key=lambda name: (len(name), name))


def pinned_to(
    names: Sequence[str], environment: Mapping[str, str] = os.environ, devices: Path = Path("/dev")
) -> dict[str, str]:
    """What a worker's environment needs to see these alone. Raises InputError where TPU chips cannot be cut so."""
    if not _has_tpus(environment, devices):
        return {"CUDA_VISIBLE_DEVICES": ",".join(names)}
    if len(names) not in TPU_BOUNDS:
        raise InputError(
            f"a run asks for {len(names)} TPU chips of one host; allowed are {', '.join(map(str, TPU_BOUNDS))}. "
            f"Choose another mesh"
        )
    return {
        "TPU_VISIBLE_DEVICES": ",".join(names),
        "TPU_CHIPS_PER_PROCESS_BOUNDS": TPU_BOUNDS[len(names)],
        "TPU_PROCESS_BOUNDS": "1,1,1",
        "CLOUD_TPU_TASK_ID": "0",
    }


def _has_tpus(environment: Mapping[str, str], devices: Path) -> bool:
    asked = environment.get("JAX_PLATFORMS", "")
    return asked.startswith("tpu") or (not asked and any(devices.glob("accel[0-9]*")))
