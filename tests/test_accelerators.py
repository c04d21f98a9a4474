"""Which accelerators a worker sees, from the environment and the device files."""

from __future__ import annotations

import pytest

from fitting.errors import InputError
from sweep.launchers.accelerators import pinned_to, visible_accelerators


@pytest.fixture
def devices(tmp_path):
    def with_files(*names: str):
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return with_files


@pytest.mark.parametrize(
    ("environment", "files", "expected"),
    [
        ({}, (), []),
        ({}, ("nvidia0", "nvidia1", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"), ["0", "1", "2", "10"]),
        ({"CUDA_VISIBLE_DEVICES": "3, GPU-5a"}, ("nvidia0",), ["3", "GPU-5a"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, ("nvidia0",), []),
        ({"JAX_PLATFORMS": "cpu"}, ("nvidia0", "accel0"), []),
        ({}, ("accel0", "accel1", "accel2", "accel3"), ["0", "1", "2", "3"]),
        ({"TPU_VISIBLE_DEVICES": "2,3"}, ("accel0", "accel1", "accel2", "accel3"), ["2", "3"]),
        ({"JAX_PLATFORMS": "cuda"}, ("accel0", "nvidia0"), ["0"]),
        ({"JAX_PLATFORMS": "tpu"}, ("vfio/0", "vfio/1", "vfio/vfio"), ["0", "1"]),
        ({}, ("vfio/0",), []),
    ],
)
def test_what_may_be_used(environment, files, expected, devices):
    assert visible_accelerators(environment, devices(*files)) == expected


def test_a_worker_is_kept_to_its_own(devices):
    assert pinned_to(["GPU-5a"], {}, devices("nvidia0")) == {"CUDA_VISIBLE_DEVICES": "GPU-5a"}
    pinned = pinned_to(["2", "3"], {}, devices("accel0"))
    assert (pinned["TPU_VISIBLE_DEVICES"], pinned["TPU_CHIPS_PER_PROCESS_BOUNDS"]) == ("2,3", "1,2,1")
    assert pinned["TPU_PROCESS_BOUNDS"] == "1,1,1"


def test_three_chips_are_no_process(devices):
    with pytest.raises(InputError, match="allowed are 1, 2, 4, 8"):
        pinned_to(["0", "1", "2"], {}, devices("accel0"))
