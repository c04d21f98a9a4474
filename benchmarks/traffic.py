"""How many bytes does one training step move on a GPU that is not here? Prints a table.

    python benchmarks/traffic.py --on h200     # some minutes: compiles (targets.py), runs nothing

Counted in the compiled program: what every kernel reads and writes, times the trips of the loops around it. Of what a
kernel slices, the slice counts; of what it updates in place, the update (the embedding's gradient counts whole). Caches
are not modelled, and kernels that the device's autotuning would choose may differ: a floor for its memory, and a
comparison of programs, not a speed.
"""

from __future__ import annotations

import argparse
import collections
import re
import time
from dataclasses import dataclass, field
from unittest import mock

from memory import LARGE, analysed, compiled_for
from targets import TARGETS, compiling_for

from models import decoder
from sweep.train import _compiled

BYTES = {"pred": 1, "u8": 1, "s8": 1, "u16": 2, "bf16": 2, "f16": 2, "s64": 8, "u64": 8}  # all others: 4
NOTHING = {"parameter", "tuple", "get-tuple-element", "constant", "bitcast", "while", "call", "after-all", "iota"}
KINDS = ("products", "attention", "stacks", "rest")


@dataclass
class Instruction:
    name: str
    shape: str
    operation: str
    operands: list[str]
    line: str


@dataclass
class Computation:
    instructions: dict[str, Instruction] = field(default_factory=dict)
    parameters: dict[int, str] = field(default_factory=dict)

    def readers(self, name: str) -> list[Instruction]:
        """Through bitcasts."""
        found = []
        for reader in self.instructions.values():
            if name in reader.operands:
                found += self.readers(reader.name) if reader.operation == "bitcast" else [reader]
        return found


def size(shape: str) -> int:
    """Bytes of "f32[2,3]{1,0}", or of a tuple of such."""
    total = 0
    for kind, dimensions in re.findall(r"(\w+)\[([\d,]*)\]", shape):
        count = 1
        for dimension in filter(None, dimensions.split(",")):
            count *= int(dimension)
        total += count * BYTES.get(kind, 4)
    return total


def parse(text: str) -> tuple[dict[str, Computation], str]:
    """Computations of XLA's text by name, and the name of the entry."""
    found: dict[str, Computation] = {}
    entry, current = "", Computation()
    for line in text.splitlines():
        if opening := re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            current = found[opening[2]] = Computation()
            entry = opening[2] if opening[1] else entry
        elif told := re.match(
            r"\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)(?= [\w\-]+\()|\S+) ([\w\-]+)\((.*?)\)(, |$)", line
        ):
            name, shape, operation, rest = told.groups()[:4]
            operands = re.findall(r"%([\w.\-]+)", rest)
            current.instructions[name] = Instruction(name, shape, operation, operands, line)
            if operation == "parameter":
                current.parameters[int(rest)] = name
    return found, entry


def moved(instruction: Instruction, inside: Computation, fused: Computation | None) -> int:
    """Bytes that one kernel reads and writes."""
    if instruction.operation.endswith("-start") and instruction.shape.startswith("("):
        return size(instruction.shape)  # of a collective: the tuple holds what is read and what is written
    total, untouched = size(instruction.shape), set()
    inner = fused.instructions if fused is not None else {}
    for update in (one for one in inner.values() if one.operation == "dynamic-update-slice"):
        total += size(inner[update.operands[1]].shape) - size(update.shape)
        untouched.add(update.name)
    for index, operand in enumerate(instruction.operands):
        whole = size(inside.instructions[operand].shape) if operand in inside.instructions else 0
        readers = fused.readers(fused.parameters[index]) if fused is not None and index in fused.parameters else []
        if any(reader.name in untouched and size(reader.shape) == whole for reader in readers):
            continue  # the rest of what is updated in place stays where it is
        if readers and all(reader.operation in ("dynamic-slice", "slice", "gather") for reader in readers):
            whole = min(whole, sum(size(reader.shape) for reader in readers))
        total += whole
    return max(total, 0)


def kind(instruction: Instruction) -> str:
    if "cudnn" in instruction.line or "tpu_custom_call" in instruction.line:
        return "attention"
    if "gemm" in instruction.name or "cublas" in instruction.line or instruction.operation in ("dot", "convolution"):
        return "products"
    stacking = ("dynamic_update_slice", "loop_dynamic_slice", "copy", "loop_broadcast")
    return "stacks" if instruction.name.startswith(stacking) or stacking[0] in instruction.name else "rest"


def traffic(text: str) -> tuple[collections.Counter[str], int]:
    """(bytes by kind, kernels) of one run of the program; a loop whose trips nobody knows, as that over steps, runs
    once."""
    computations, entry = parse(text)
    found: collections.Counter[str] = collections.Counter()

    def run(name: str, times: int) -> int:
        inside, kernels = computations[name], 0
        for one in inside.instructions.values():
            called = re.search(r"(?:body|calls|to_apply)=%?([\w.\-]+)", one.line)
            if one.operation in ("while", "call") and called:
                trips = re.search(r'known_trip_count":\{"n":"(\d+)"', one.line)
                kernels += run(called[1], times * (int(trips[1]) if trips else 1))
            elif one.operation not in NOTHING and not one.operation.endswith("-done"):
                fused = computations.get(called[1]) if called and one.operation == "fusion" else None
                found[kind(one)] += times * moved(one, inside, fused)
                kernels += times
        return kernels

    return found, run(entry, 1)


def main(on: str) -> None:
    columns = ["width x depth", "batch", "data x fsdp x tensor", "micro-batches", "remat", "blocks"]
    columns += [f"{name} GB" for name in KINDS] + ["all GB", "kernels", "memory GB", "compiling s"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    with compiling_for(on) as devices:
        for case in LARGE:
            at = case.layout
            chosen = decoder.unrolled(case.depth, at.remat, at.fsdp > 1, TARGETS[on].backend)
            for how in ("scanned", "unrolled") if chosen else ("scanned",):
                _compiled.cache_clear()
                started = time.perf_counter()
                with mock.patch.object(decoder, "unrolled", return_value=how == "unrolled"):
                    compiled = compiled_for(case, devices)
                took = time.perf_counter() - started
                found, kernels = traffic(compiled.as_text())
                cells = [f"{case.width} x {case.depth}", case.batch, f"{at.data} x {at.fsdp} x {at.tensor}"]
                cells += [at.accumulation, at.remat, how]
                cells += [f"{found[name] / 1e9:.1f}" for name in KINDS] + [f"{found.total() / 1e9:.1f}", kernels]
                cells += [f"{analysed(compiled) / 1e9:.1f}", f"{took:.0f}"]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--on", choices=[name for name, target in TARGETS.items() if target.backend == "gpu"], default="h200"
    )
    main(parser.parse_args().on)
