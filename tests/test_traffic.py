"""benchmarks/traffic.py counts what a compiled program moves: slices and updates by their own size, loops by trips."""

from __future__ import annotations

import sys

import pytest
from conftest import ROOT

PROGRAM = """
HloModule step

%sliced (p: f32[10,100], i: s32[]) -> f32[1,100] {
  %p = f32[10,100]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %slice = f32[1,100]{1,0} dynamic-slice(%p, %i, %zero), dynamic_slice_sizes={1,100}
}

%updated (q: bf16[10,100], u: bf16[1,100], j: s32[]) -> bf16[10,100] {
  %q = bf16[10,100]{1,0} parameter(0)
  %u = bf16[1,100]{1,0} parameter(1)
  %j = s32[] parameter(2)
  %none = s32[] constant(0)
  ROOT %update = bf16[10,100]{1,0} dynamic-update-slice(%q, %u, %j, %none)
}

%body (t: (s32[], f32[10,100], bf16[10,100], bf16[1,100])) -> (s32[], f32[10,100], bf16[10,100], bf16[1,100]) {
  %t = (s32[], f32[10,100]{1,0}, bf16[10,100]{1,0}, bf16[1,100]{1,0}) parameter(0)
  %n = s32[] get-tuple-element(%t), index=0
  %stack = f32[10,100]{1,0} get-tuple-element(%t), index=1
  %kept = bf16[10,100]{1,0} get-tuple-element(%t), index=2
  %one = bf16[1,100]{1,0} get-tuple-element(%t), index=3
  %loop_dynamic_slice_fusion = f32[1,100]{1,0} fusion(%stack, %n), kind=kLoop, calls=%sliced
  %loop_dynamic_update_slice_fusion = bf16[10,100]{1,0} fusion(%kept, %one, %n), kind=kLoop, calls=%updated
  %gemm_fusion_dot = f32[1,1]{1,0} dot(%loop_dynamic_slice_fusion, %loop_dynamic_slice_fusion), lhs_contracting_dims={1}
  ROOT %out = (s32[], f32[10,100]{1,0}, bf16[10,100]{1,0}, bf16[1,100]{1,0}) tuple(%n, %stack, %kept, %one)
}

ENTRY %main (a: f32[10,100]) -> f32[10,100] {
  %a = f32[10,100]{1,0} parameter(0)
  %start = (s32[], f32[10,100]{1,0}, bf16[10,100]{1,0}, bf16[1,100]{1,0}) tuple(%a)
  %loop = (s32[]) while(%start), body=%body, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %rest = f32[10,100]{1,0} negate(%a)
}
"""


@pytest.fixture
def traffic(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "benchmarks")])
    import traffic

    return traffic.traffic


def test_slices_updates_and_loops_are_counted_by_what_they_touch(traffic):
    found, kernels = traffic(PROGRAM)
    read, written, index = 400, 200, 4  # bytes of a slice, of an update, of a position
    assert found["stacks"] == 3 * ((read + read + index) + (written + written + index))
    assert found["products"] == 3 * (400 + 400 + 4)
    assert found["rest"] == 2 * 4000
    assert kernels == 3 * 3 + 1
