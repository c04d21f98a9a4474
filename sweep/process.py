"""python -m sweep.process: one of several processes, on one machine or many, that train together.

Standard input: jobs, one a line, as those of sweep.worker; every process is given the same. Without --coordinator, JAX
asks the cluster it finds itself in (Slurm, Kubernetes, Open MPI, TPU) who the others are, so that
`srun python -m sweep.process < jobs.json` serves. The first process alone writes to the store and tells on standard
output, as a worker does, what happens.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import traceback

from fitting.cache import use_compile_cache
from fitting.errors import InputError
from sweep.deaths import REFUSED
from sweep.worker import STOP_SIGNALS, Channel, Stop, keep_to_own_cores

CPU_DEVICES = "--xla_force_host_platform_device_count"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sweep.process")
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="where the first process listens to the others")
    parser.add_argument("--processes", type=int, metavar="COUNT")
    parser.add_argument("--index", type=int, metavar="INDEX", help="from 0")
    asked = parser.parse_args()
    stop = Stop()
    channel = Channel(stop)
    for number in (*STOP_SIGNALS, signal.SIGHUP):
        signal.signal(number, stop.on_signal)
    keep_to_own_cores()
    use_compile_cache()
    try:
        _train(asked, channel, stop)
    except InputError as error:  # the same again would be refused again
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(REFUSED)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # an orderly exit would wait for the others, who may be waiting for this process


def _train(asked: argparse.Namespace, channel: Channel, stop: Stop) -> None:
    import jax

    from sweep.agreement import anybody
    from sweep.execute import execute_together
    from sweep.place import place_from_json, work_from_json

    joined = False
    for line in sys.stdin:
        job = json.loads(line)
        works, place = [work_from_json(work) for work in job["works"]], place_from_json(job["place"])
        if not joined:
            _join(asked, max(1, place.layout.devices // place.processes))
            joined = True
        if anybody(stop.reason is not None):
            break
        first = jax.process_index() == 0
        execute_together(works, place, channel.report if first else lambda event: None, stop)
    jax.distributed.shutdown()


def _join(asked: argparse.Namespace, cpu_devices: int) -> None:
    """Finds the other processes. Before JAX has looked for devices: it does so once."""
    import jax

    os.environ["XLA_FLAGS"] = with_cpu_devices(os.environ.get("XLA_FLAGS", ""), cpu_devices)
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    if asked.coordinator is None:
        jax.distributed.initialize()
        return
    jax.distributed.initialize(
        asked.coordinator,
        asked.processes,
        asked.index,
        cluster_detection_method="deactivate",
        coordinator_bind_address=asked.coordinator,
    )


def with_cpu_devices(flags: str, devices: int) -> str:
    """XLA flags with so many CPU devices, whatever they said of it before."""
    rest = re.sub(rf"{CPU_DEVICES}=\S*", "", flags).split()
    return " ".join([*rest, f"{CPU_DEVICES}={devices}"])


if __name__ == "__main__":
    main()
