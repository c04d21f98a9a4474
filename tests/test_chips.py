"""Accelerators: names that JAX gives them find their row, and every row has a source."""

from __future__ import annotations

import pytest

from fitting.chips import chip_of, chips, peak_flops


@pytest.mark.parametrize(
    ("device_kind", "name"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA GB200", "gb200"),
        ("TPU v4", "tpu-v4"),
        ("TPU v5 lite", "tpu-v5e"),
        ("TPU v5", "tpu-v5p"),
        ("TPU v6 lite", "tpu-v6e"),
    ],
)
def test_the_names_that_jax_gives_find_their_chip(device_kind, name):
    chip = chip_of(device_kind)
    assert chip is not None
    assert chip.name == name


def test_a_cpu_has_no_peak():
    assert peak_flops("cpu") is None
    assert peak_flops("AMD EPYC 9B14") is None


def test_every_figure_has_a_source_and_a_date():
    assert all(chip.source and chip.date for chip in chips())
    assert peak_flops("NVIDIA H200") == 989e12  # dense bf16, half of the datasheet's figure with sparsity
