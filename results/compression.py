"""How small does a run make text? Bits per byte, coded bytes and ratios of every run, and by source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.measurement import Measurement
from results.record import RunRecord

PARAMETER_BYTES = 4  # float32, as `python -m sweep.data compress` counts a model


@dataclass(frozen=True)
class Coded:
    """One finished run as a compressor of text. Ratios are raw bytes / coded bytes."""

    record: RunRecord
    bpb: float  # bits per byte of the held-out text
    ratio: float  # 8 / bpb: of held-out text, the model not counted
    stream_bytes: float | None  # raw, of the training text that was coded while it was learned
    coded_bytes: float | None  # of the same: prequential code length / 8, no model has to be sent with it
    model_bytes: float  # of the parameters

    @property
    def stream_ratio(self) -> float | None:
        """Of the training text, the model included: a reader who repeats the training needs no parameters."""
        return self.stream_bytes / self.coded_bytes if self.stream_bytes and self.coded_bytes else None


def coded(records: Sequence[RunRecord]) -> list[Coded]:
    """Finished runs whose bytes are known, by compute."""
    found = []
    for record in sorted(records, key=lambda record: record.flops):
        if record.bpb is None or not record.bpb > 0:
            continue
        bits = record.prequential_bits
        found.append(
            Coded(
                record=record,
                bpb=record.bpb,
                ratio=8 / record.bpb,
                stream_bytes=record.prequential_bytes,
                coded_bytes=None if bits is None else bits / 8,
                model_bytes=PARAMETER_BYTES * record.n_params,
            )
        )
    return found


def source_bits(measured: Sequence[Measurement]) -> Mapping[str, float]:
    """Bits per byte by source (domain) at the last evaluation."""
    last = max((one.step for one in measured), default=0)
    return {
        one.name: one.value for one in measured if one.step == last and one.kind == "domain" and one.metric == "bpb"
    }
