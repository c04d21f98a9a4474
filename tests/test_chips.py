"""Accelerators: names that JAX gives them find their row, and every row has a source."""

from __future__ import annotations

import pytest

from fitting.chips import chip_named, chip_of, chips, peak_flops


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


def test_every_chip_has_a_price_with_its_source_and_power_where_it_is_published():
    for chip in chips():
        assert chip.price is not None
        assert chip.price_source
        assert chip.power is not None or chip.name.startswith("tpu")


def test_kin_of_a_chip_lend_it_their_public_runs():
    from fitting.planner.speed import speed_of

    assert "on h100" in speed_of(chip_named("h200"), 7e10).source
    assert "none on b200, so on NVIDIA" in speed_of(chip_named("b200"), 7e10).source
    assert "assumption" in speed_of(chip_named("h100"), 1e6).source
    low, middle, high = (getattr(speed_of(chip_named("a100-80gb"), 7e10), name) for name in ("low", "value", "high"))
    assert 0.3 < low < 0.4 < middle < 0.5 < high < 0.6


def test_memory_of_a_public_run_is_what_its_paper_says():
    """ZeRO (arXiv:1910.02054): 7.5B parameters on 64 chips need 120 GB in one piece, 1.9 GB each when all is cut."""
    from fitting.planner.memory import STATE_BYTES, smallest_mesh

    assert STATE_BYTES * 7.5e9 == 120e9
    assert pytest.approx(1.9e9, rel=0.02) == STATE_BYTES * 7.5e9 / 64
    mesh = smallest_mesh(chip_named("a100-80gb"), 7.5e9, None)
    assert mesh is not None
    assert (mesh.chips, mesh.serving_chips) == (2, 1)


def test_activations_are_korthikantis():
    """22B: 48 layers, width 6144, 2048 tokens (arXiv:2205.05198, table 3): 2 s h a layer kept, 34 s h at work."""
    from fitting.planner.memory import activation_bytes
    from fitting.planner.shape import Shape

    shape = Shape(6144, 48, 64, 24576, 51200, 2048, 22e9, 21e9, 22e9, 6 * 22e9)
    expected = 2048 * 6144 * (2 * 48 + 34) + 2048 * 51200 * 6
    assert activation_bytes(shape) == expected
