"""Accelerators that are not here: JAX compiles for them all the same, given their compiler and what they are.

    pip install -e '.[cuda13]'       # h100, h200: XLA's compiler for CUDA; no driver is asked
    pip install -e '.[tpu]'          # v5e, v5p, v6e: libtpu

What cannot be had so: autotuning, so that products may run as other kernels than on the device, and any speed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from dataclasses import dataclass
from unittest import mock

# What XLA wants to know of Hopper: threads, registers, caches (NVIDIA's datasheets of H100 and H200;
# CUDA C++ programming guide, table of compute capabilities).
HOPPER = """
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448 shared_memory_per_core: 233472
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98 l2_cache_size: 52428800
  memory_bandwidth: {bandwidth} device_memory_size: {memory}
  cuda_compute_capability {{ major: 9 }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
runtime_version {{ major: 13 }}
device_description_str: "{name}"
"""


@dataclass(frozen=True)
class Target:
    """backend in JAX's words; how to ask for so many of its devices."""

    backend: str
    options: dict[str, str]

    def asked(self, devices: int) -> dict[str, str]:
        if self.backend == "gpu":
            return {"platform": "cuda", "topology": f"1x1x{devices}", **self.options}
        return {"platform": "tpu", "topology_name": f"{self.options['name']}:2x{devices // 2}{self.options['rest']}"}


def _hopper(name: str, bandwidth: float, memory: float) -> Target:
    return Target("gpu", {"target_config": HOPPER.format(name=name, bandwidth=int(bandwidth), memory=int(memory))})


TARGETS = {
    "h100": _hopper("NVIDIA H100 80GB HBM3", 3.35e12, 80e9),
    "h200": _hopper("NVIDIA H200", 4.8e12, 141e9),
    "v5e": Target("tpu", {"name": "v5e", "rest": ""}),
    "v5p": Target("tpu", {"name": "v5p", "rest": "x1"}),
    "v6e": Target("tpu", {"name": "v6e", "rest": ""}),
}


@contextlib.contextmanager
def compiling_for(name: str, devices: int = 8) -> Generator[list]:
    """Within it the project's programs are traced and compiled for that accelerator; yields its devices.

    devices: an even number. Ends the program with one line where that accelerator's compiler is not installed.
    """
    for variable, value in {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}.items():
        os.environ.setdefault(variable, value)  # libtpu would ask the cloud where it is
    import jax
    from jax.experimental import topologies

    from sweep import layout, train

    layout._mesh.cache_clear()
    train._compiled.cache_clear()
    jax.config.update("jax_platforms", "cpu")  # what is not here is not to be looked for
    target = TARGETS[name]
    try:
        found = list(topologies.get_topology_desc(**target.asked(devices)).devices)
    except (RuntimeError, NotImplementedError) as error:
        extra = "cuda13" if target.backend == "gpu" else "tpu"
        raise SystemExit(f"error: no compiler for {name} here ({error}); pip install -e '.[{extra}]'") from None
    with (
        mock.patch.object(jax, "default_backend", return_value=target.backend),
        mock.patch.object(jax, "devices", return_value=found),
    ):
        yield found
