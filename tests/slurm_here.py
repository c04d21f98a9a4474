"""A real Slurm on this machine: a controller and two emulated nodes with fake GPUs, without systemd.

python tests/slurm_here.py /tmp/slurm     # prints the line that makes squeue and sbatch find it; stops with Ctrl-C
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol", "scancel", "runuser")
PACKAGES = "slurmctld slurmd slurm-client munge"
NODES = ("n1", "n2")


def missing() -> str | None:
    """Why it cannot be started here; None where it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "a Slurm of one's own needs root"
    absent = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    return f"{', '.join(absent)} not installed: apt-get install {PACKAGES}" if absent else None


@contextlib.contextmanager
def slurm(folder: Path, cpus: int = 1) -> Generator[dict[str, str]]:
    """Yields the environment in which Slurm's programs find it. Two nodes of so many CPUs and two GPUs each; jobs of
    partition high preempt those of partition low, which are requeued."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    environment["PATH"] += ":/usr/sbin:/sbin"
    _munge()
    _configure(folder, cpus)
    daemons = [["slurmctld", "-D", "-i"], *(["slurmd", "-D", "-N", node] for node in NODES)]
    started = []
    try:
        for command in daemons:
            with (folder / "daemons.log").open("ab") as log:
                started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        _wait_for_nodes(folder, environment)
        yield environment
    finally:
        subprocess.run(["scancel", "--me"], env=environment, capture_output=True, timeout=30, check=False)
        time.sleep(1)
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _munge() -> None:
    """Slurm's daemons know each other by a key that munged holds; one serves all."""
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    subprocess.run(["runuser", "-u", "munge", "--", "/usr/sbin/munged"], check=True)


def _configure(folder: Path, cpus: int) -> None:
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool/n1", "spool/n2", "log", "dev"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for node in NODES:
        for index in range(2):
            device = folder / "dev" / f"{node}gpu{index}"
            if not device.exists():
                os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))  # like /dev/null
    controller, *first = _free_ports(3)
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=8000 Gres=gpu:2 "
        f"State=UNKNOWN"
        for node, port in zip(NODES, first, strict=True)
    )
    (folder / "slurm.conf").write_text(
        f"""ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=10
SlurmctldParameters=preempt_send_user_signal
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmdLogFile={folder}/log/slurmd.%n.log
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldPort={controller}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=5
GresTypes=gpu
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=600 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=high Nodes=ALL MaxTime=600 State=UP PriorityTier=10
"""
    )
    (folder / "gres.conf").write_text(
        "".join(f"NodeName={node} Name=gpu File={folder}/dev/{node}gpu[0-1]\n" for node in NODES)
    )


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _wait_for_nodes(folder: Path, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        command = ["sinfo", "--noheader", "--Node", "--format=%N %T"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.stdout.count("idle") >= len(NODES):
            return
        time.sleep(0.3)
    raise RuntimeError(f"Slurm did not start: {done.stdout}{done.stderr}; see {folder}/log and {folder}/daemons.log")


def main() -> None:
    if why := missing():
        sys.exit(why)
    with slurm(Path(sys.argv[1])) as environment, contextlib.suppress(KeyboardInterrupt):
        print(f"export SLURM_CONF={environment['SLURM_CONF']}", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
