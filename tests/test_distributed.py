"""One run over several devices and processes: the losses of one device, checkpoints that move, deaths survived.

Measured: no layout is further from one device than 1e-7 of a loss in 136 steps; asserted is 1e-5.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import sweep.group
from models import Architecture
from results.record import RunRecord, RunStatus
from results.store import Store
from sweep.data.corpus import Corpus
from sweep.data.prepare import prepare
from sweep.data.settings import DataSettings
from sweep.deaths import how_it_ended
from sweep.events import Finished
from sweep.execute import execute
from sweep.flow import Flow
from sweep.group import execute_in_group, share_of_machine
from sweep.launchers.launcher import Job
from sweep.launchers.local import LocalLauncher
from sweep.layout import Layout
from sweep.place import Place, Work, work_to_json
from sweep.process import with_cpu_devices
from sweep.spec import DataSpec, OptimiserSpec, RunSpec, ScheduleSpec
from sweep.train import STEPS_PER_DISPATCH

# Heads, groups, MLP, width and vocabulary are cut, whatever the mesh.
TINY = Architecture(width=16, depth=2, heads=2, mlp_width=32, vocab_size=264)
STEPS = 2 * STEPS_PER_DISPATCH + 8
TOLERANCE = 1e-5  # of a loss

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def corpus(text_folder):
    return prepare(DataSettings("text", ((None, str(text_folder)),), tokenizer="bytes"))


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory) -> Path:
    """A store with the run as one device trains it."""
    store = tmp_path_factory.mktemp("alone")
    assert execute(make_spec(corpus), make_place(corpus, store)).status == RunStatus.DONE
    return store


@pytest.fixture(autouse=True)
def _quick_processes(monkeypatch):
    """What starts here compiles without optimising."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")


def make_spec(corpus: Corpus, steps: int = STEPS, **changes) -> RunSpec:
    spec = RunSpec(
        architecture=TINY,
        data=DataSpec(corpus.info.source, corpus.info.fingerprint, sequence=16, eval_tokens=1024, seed=0),
        optimiser=OptimiserSpec("adamw", 2e-3, 0.9, 0.95, 1e-10, 0.1, 1e4, 0.5, 1.0),
        schedule=ScheduleSpec("wsd", 15, 0.3),
        steps=steps,
        batch_sequences=8,
        seed=0,
    )
    return dataclasses.replace(spec, **changes)


def make_place(corpus: Corpus, store: Path, layout: Layout | None = None, **changes) -> Place:
    place = Place(str(store), str(corpus.folder), "test", "fit", "test", 1e9, layout or Layout())
    return dataclasses.replace(place, **changes)


def job_of(work: Work, place: Place) -> dict:
    return {"works": [work_to_json(work)], "place": dataclasses.asdict(place)}


def assert_same_losses(store: Path, run_id: str, reference: Path, **recorded) -> RunRecord:
    """The run is done, and neither its final loss nor its curve is further from the reference than TOLERANCE."""
    record, expected = Store(store).read(run_id), Store(reference).read(run_id)
    assert record is not None
    assert expected is not None
    assert record.status == RunStatus.DONE, record.sentence
    assert {name: getattr(record, name) for name in recorded} == recorded
    assert record.loss == pytest.approx(expected.loss, rel=TOLERANCE)
    mine, theirs = Store(store).curve(run_id), Store(reference).curve(run_id)
    np.testing.assert_array_equal(mine["step"], theirs["step"])
    np.testing.assert_allclose(mine["loss"], theirs["loss"], rtol=TOLERANCE)
    return record


EIGHT = """
import json, sys
from sweep.execute import execute
from sweep.place import place_from_json, work_from_json
for line in sys.stdin:
    job = json.loads(line)
    reason = job.get("stop")
    execute(work_from_json(job["works"][0]).spec, place_from_json(job["place"]), stopped=lambda: reason)
"""


MEETINGS = """
import re
import numpy as np
from models import Architecture
from sweep.layout import Layout, place
from sweep.spec import OptimiserSpec
from sweep.train import STEPS_PER_DISPATCH, Program, _compiled
optimiser = OptimiserSpec("adamw", 0.0, 0.9, 0.95, 1e-10, 0.0, 0.0, 0.5, 1.0)
program = Program(Architecture(32, 2, 2, 64, 64), optimiser, "float32", Layout(data=2, accumulation=4))
tokens = place(np.zeros((STEPS_PER_DISPATCH, 8, 17), np.uint16), program.layout.batch_sharding(1))
rates = np.zeros(STEPS_PER_DISPATCH, np.float32)
lowered = _compiled(program).advance.lower(program.initial_state(0), tokens, rates, rates, np.int32(1))
for line in lowered.compile().as_text().splitlines():
    if "all-reduce(" in line:
        print(re.search('op_name="([^"]*)"', line).group(1))
"""


def test_devices_that_share_a_batch_meet_once_a_step_not_once_a_micro_batch(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", with_cpu_devices(os.environ["XLA_FLAGS"], 2))
    done = subprocess.run([sys.executable, "-c", MEETINGS], capture_output=True, text=True, check=True, timeout=300)
    where = done.stdout.splitlines()
    assert where
    assert all(name.count("while/body") == 1 for name in where), where  # of steps; that of micro-batches is inside


@pytest.mark.slow
def test_eight_devices_reach_the_losses_of_one(corpus, alone, tmp_path, monkeypatch):
    spec = make_spec(corpus)
    layouts = [
        Layout(data=8),
        Layout(fsdp=8),
        Layout(tensor=2, fsdp=4),
        Layout(data=2, fsdp=2, tensor=2),
        Layout(accumulation=2),
        Layout(data=2, accumulation=4),
        Layout(data=2, fsdp=2, accumulation=2),
    ]
    places = [make_place(corpus, tmp_path / str(number), layout) for number, layout in enumerate(layouts)]
    lines = "\n".join(json.dumps(job_of(Work(spec), place)) for place in places)
    monkeypatch.setenv("XLA_FLAGS", with_cpu_devices(os.environ["XLA_FLAGS"], 8))
    subprocess.run([sys.executable, "-c", EIGHT], input=lines, text=True, check=True, timeout=600)
    for place in places:
        mesh = f"{place.layout.data}x{place.layout.fsdp}x{place.layout.tensor}"
        assert_same_losses(
            Path(place.store), spec.run_id, alone, mesh=mesh, accumulation=place.layout.accumulation, processes=1
        )


@pytest.mark.slow
def test_evaluations_beside_training_end_on_eight_devices(corpus, tmp_path, monkeypatch):
    """Eighty blocks, each with collectives of its own, and the next steps behind them: nobody waits for ever."""
    spec = make_spec(corpus, 40)
    spec = dataclasses.replace(spec, data=dataclasses.replace(spec.data, eval_tokens=80 * 32 * 16))
    alone, spread = (
        make_place(corpus, tmp_path / name, layout, evaluations=3, evaluation_cost=1e3)
        for name, layout in (("alone", Layout()), ("spread", Layout(fsdp=8)))
    )
    execute(spec, alone)
    monkeypatch.setenv("XLA_FLAGS", with_cpu_devices(os.environ["XLA_FLAGS"], 8))
    line = json.dumps(job_of(Work(spec), spread))
    subprocess.run([sys.executable, "-c", EIGHT], input=line, text=True, check=True, timeout=300)
    said = [
        {(row.step, row.kind, row.name, row.metric): row.value for row in Store(place.store).measurements(spec.run_id)}
        for place in (alone, spread)
    ]
    assert {step for step, *_ in said[0]} == {10, 20, 40}
    assert said[1] == pytest.approx(said[0], rel=TOLERANCE)


@pytest.mark.slow
def test_processes_that_slurm_started_train_one_job_after_another(corpus, alone, tmp_path, monkeypatch):
    """Two processes, told who they are by the variables that srun sets: three layouts, a mesh that does not fit, a
    trunk with its branch, a run that diverges."""
    spec = make_spec(corpus)
    stores = {name: tmp_path / name for name in ("data", "fsdp", "tensor", "refused", "trunk", "diverging")}
    places = {name: make_place(corpus, store, Layout(data=2), processes=2) for name, store in stores.items()}
    places["fsdp"] = dataclasses.replace(places["fsdp"], layout=Layout(fsdp=2))
    places["tensor"] = dataclasses.replace(places["tensor"], layout=Layout(tensor=2))
    places["refused"] = dataclasses.replace(places["refused"], layout=Layout(data=2, fsdp=2))
    branch = make_spec(corpus, steps=100)
    diverging = make_spec(corpus, optimiser=dataclasses.replace(spec.optimiser, learning_rate=1e9, weight_decay=1e9))
    jobs = [job_of(Work(spec), places[name]) for name in ("data", "fsdp", "tensor", "refused")]
    jobs.append(job_of(Work(spec, ((STEPS_PER_DISPATCH, (branch,)),)), places["trunk"]))
    jobs.append(job_of(Work(branch), places["trunk"]))
    jobs.append(job_of(Work(diverging), places["diverging"]))
    said = run_under_slurm(monkeypatch, jobs, 2)

    for name in ("data", "fsdp", "tensor"):
        assert_same_losses(stores[name], spec.run_id, alone, processes=2, devices=2, attempt=1)
    refused = Store(stores["refused"]).read(spec.run_id)
    assert refused.status == RunStatus.FAILED
    assert "a mesh of 4 devices" in refused.sentence or "needs 4 devices" in refused.sentence
    assert {"forked": {"run_id": branch.run_id}} in said
    whole = Store(stores["trunk"]).read(spec.run_id)
    assert whole.loss == Store(stores["data"]).read(spec.run_id).loss  # that somebody parts from it changes no bit
    straight = tmp_path / "straight"
    execute(branch, make_place(corpus, straight))
    parted = assert_same_losses(stores["trunk"], branch.run_id, straight)
    assert (parted.trunk, parted.branch_step) == (spec.run_id, STEPS_PER_DISPATCH)
    lost = Store(stores["diverging"]).read(diverging.run_id)
    assert lost.status == RunStatus.DIVERGED
    ends = [message["finished"]["status"] for message in said if "finished" in message]
    assert ends == ["done", "done", "done", "failed", "done", "done", "diverged"]


def run_under_slurm(monkeypatch, jobs: list[dict], count: int) -> list[dict]:
    """What the first of `count` processes says that get these jobs and no arguments."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", f"127.0.0.1:{probe.getsockname()[1]}")
    for name, value in {"JOB_ID": 1, "STEP_NODELIST": "n1", "NTASKS": count, "STEP_NUM_NODES": 1}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    lines = "".join(json.dumps(job) + "\n" for job in jobs)
    processes = []
    for index in range(count):
        environment = {**os.environ, "SLURM_PROCID": str(index), "SLURM_LOCALID": str(index)}
        stdout = subprocess.PIPE if index == 0 else subprocess.DEVNULL
        command = [sys.executable, "-m", "sweep.process"]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, env=environment, text=True))
    try:
        for process in processes[1:]:
            process.stdin.write(lines)
            process.stdin.close()
        out, _ = processes[0].communicate(lines, timeout=600)
        assert [process.wait(timeout=60) for process in processes] == [0] * count
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_four_devices_of_several_processes_reach_the_losses_of_one(corpus, alone, tmp_path, processes):
    place = make_place(corpus, tmp_path, Layout(data=2, fsdp=2), processes=processes)
    spec = make_spec(corpus)
    said: list[dict] = []
    execute_in_group(job_of(Work(spec), place), said.append, lambda: None)
    assert_same_losses(tmp_path, spec.run_id, alone, processes=processes, devices=4, mesh="2x2x1")
    finished = {"run_id": spec.run_id, "status": "done", "sentence": f"trained {STEPS} steps", "cause": ""}
    assert said[-1] == {"finished": finished}


@pytest.mark.slow
def test_a_checkpoint_moves_from_one_device_to_four_and_on_to_two_processes(corpus, alone, tmp_path, monkeypatch):
    spec = make_spec(corpus)
    one = execute(spec, make_place(corpus, tmp_path), stopped=lambda: "asked to stop")
    assert (one.status, one.last_step) == (RunStatus.INTERRUPTED, STEPS_PER_DISPATCH)
    four = {**job_of(Work(spec), make_place(corpus, tmp_path, Layout(fsdp=2, tensor=2))), "stop": "asked again"}
    with monkeypatch.context() as patch:
        patch.setenv("XLA_FLAGS", with_cpu_devices(os.environ["XLA_FLAGS"], 4))
        subprocess.run([sys.executable, "-c", EIGHT], input=json.dumps(four), text=True, check=True, timeout=600)
    record = Store(tmp_path).read(spec.run_id)
    assert (record.status, record.last_step, record.attempt) == (RunStatus.INTERRUPTED, 2 * STEPS_PER_DISPATCH, 2)
    place = make_place(corpus, tmp_path, Layout(data=2), processes=2)
    execute_in_group(job_of(Work(spec), place), lambda message: None, lambda: None)
    assert_same_losses(tmp_path, spec.run_id, alone, attempt=3, processes=2)
    np.testing.assert_array_equal(Store(tmp_path).curve(spec.run_id)["attempt"], [1, 2, 3])


@linux
@pytest.mark.slow
def test_a_group_survives_a_death_and_says_of_too_many(corpus, tmp_path):
    """One process killed: the run is tried again. The first, which serves as coordinator, killed next: failed, as one
    restart allows no more. The same job again ends at the bits of a run that nobody touched."""
    spec = make_spec(corpus, steps=7 * STEPS_PER_DISPATCH)
    shape = {"layout": Layout(data=2), "processes": 2}
    untouched = make_place(corpus, tmp_path / "untouched", **shape)
    place = make_place(corpus, tmp_path / "killed", checkpoint_seconds=0.0, **shape)

    with LocalLauncher(tmp_path / "logs", workers=1) as launcher:
        assert [end.status for end in ends(launcher, spec, untouched)] == [RunStatus.DONE]
        killed_at: list[int] = []

        def kill() -> None:
            """Each attempt, once it has saved something new."""
            record, saved = Store(place.store).read(spec.run_id), latest_step(place, spec)
            if record is None or record.pid is None or record.attempt <= len(killed_at):
                return
            if killed_at:
                assert "process 1 of 2 ended (killed by SIGKILL)" in record.sentence
            if saved > (killed_at[-1] if killed_at else 0):
                killed_at.append(saved)
                os.kill(record.pid if len(killed_at) == 2 else youngest_sibling(record.pid), signal.SIGKILL)

        assert [end.status for end in ends(launcher, spec, place, kill, restarts=1)] == [RunStatus.FAILED]
        assert len(killed_at) == 2
        failed = Store(place.store).read(spec.run_id)
        assert (failed.status, failed.attempt) == (RunStatus.FAILED, 2)
        assert "process 0 of 2 ended (killed by SIGKILL)" in failed.sentence
        assert [end.status for end in ends(launcher, spec, place)] == [RunStatus.DONE]
    done, expected = (Store(where.store).read(spec.run_id) for where in (place, untouched))
    assert (done.attempt, done.loss) == (3, expected.loss)
    mine, theirs = (Store(where.store).curve(spec.run_id) for where in (place, untouched))
    for name in ("step", "loss", "gradient_norm", "learning_rate"):
        np.testing.assert_array_equal(mine[name], theirs[name])
    for attempt, step in zip((2, 3), killed_at, strict=True):  # each went on from what was saved
        assert mine["step"][mine["attempt"] == attempt].min() > step


def ends(launcher, spec: RunSpec, place: Place, meanwhile=lambda: None, restarts: int = 0) -> list[Finished]:
    flow = Flow(launcher, [Job((Work(spec),), place)], restarts)
    flow.start()
    deadline = time.monotonic() + 300
    while not flow.ended and time.monotonic() < deadline:
        flow.step(0.02)
        meanwhile()
    return list(flow.ended.values())


def latest_step(place: Place, spec: RunSpec) -> int:
    folder = Store(place.store).checkpoint_folder(spec.run_id)
    return max((int(entry.name) for entry in folder.glob("[0-9]*") if entry.name.isdigit()), default=0)


def youngest_sibling(pid: int) -> int:
    """The process that the parent of this one started last."""
    parent = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
    return int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[-1])


@pytest.mark.slow
def test_a_group_that_is_asked_to_stop_or_left_alone_saves_and_ends(corpus, tmp_path):
    spec = make_spec(corpus, steps=1_000_000)
    place = make_place(corpus, tmp_path, Layout(data=2), processes=2)
    steps = []
    for how, sentence in (("asked", "interrupted by SIGTERM"), ("left", "the launcher is gone")):
        worker = subprocess.Popen([sys.executable, "-m", "sweep.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        worker.stdin.write(json.dumps(job_of(Work(spec), place)).encode() + b"\n")
        worker.stdin.flush()
        assert b"progress" in worker.stdout.readline()
        if how == "asked":
            worker.send_signal(signal.SIGTERM)
            rest = [json.loads(line) for line in worker.stdout]
            assert rest[-1]["finished"]["status"] == RunStatus.INTERRUPTED
        worker.stdin.close()
        worker.stdout.close()
        assert worker.wait(timeout=120) == 0
        record = Store(tmp_path).read(spec.run_id)
        assert record.status == RunStatus.INTERRUPTED
        assert record.sentence.startswith(sentence)
        assert latest_step(place, spec) == record.last_step
        steps.append(record.last_step)
    assert steps[1] > steps[0] > 0


@linux
def test_an_error_in_one_process_ends_all_and_is_told(corpus, tmp_path, monkeypatch):
    """The second process cannot keep to a core that does not exist; the first waits for it in vain."""
    monkeypatch.setattr(sweep.group, "share_of_machine", lambda *a: {"ISOFLOP_CORES": "9999" if a[3] else "0"})
    monkeypatch.setattr(sweep.group, "FOLLOW_SECONDS", 0.2)
    said: list[dict] = []
    place = make_place(corpus, tmp_path, Layout(data=2), processes=2)
    spec = make_spec(corpus)
    execute_in_group(job_of(Work(spec), place), said.append, lambda: None)
    (message,) = said
    assert message["finished"]["status"] == RunStatus.FAILED
    assert "process 1 of 2 ended (exit code 1)" in message["finished"]["sentence"]
    assert "OSError" in message["finished"]["sentence"]


def test_the_machine_is_shared_out_among_processes(corpus, tmp_path):
    place = make_place(corpus, tmp_path, Layout(data=4), processes=2)
    assert share_of_machine({"CUDA_VISIBLE_DEVICES": "4,5,6,7"}, [0, 1], place, 1) == {"CUDA_VISIBLE_DEVICES": "6,7"}
    assert share_of_machine({}, [0, 1, 2, 3], place, 1) == {"ISOFLOP_CORES": "1,3"}
    flags = "--xla_cpu_prefer_vector_width=512 --xla_force_host_platform_device_count=2"
    assert with_cpu_devices(flags, 8).split() == [
        "--xla_cpu_prefer_vector_width=512",
        "--xla_force_host_platform_device_count=8",
    ]


def test_a_death_is_told_with_the_last_words_and_without_noise(tmp_path):
    (tmp_path / "log").write_text(
        "[Gloo] Rank 1 is connected to 1 peer ranks.\n\nwrite(it)\n  ^^^^^^\nOSError: disk full\n"
    )
    assert how_it_ended(1, tmp_path / "log") == "(exit code 1); last words: write(it) | OSError: disk full"
    assert how_it_ended(-9, tmp_path / "none") == "(killed by SIGKILL)"
