"""How many tokens at a time does a CPU core train fastest on? Behind sweep.smallest.CACHED_TOKENS.

    python benchmarks/micro.py            # about 8 minutes; prints a table of docs/speed.md
    python benchmarks/micro.py S          # this shape

One step has the same tokens throughout, cut into micro-batches whose gradients are added up (mesh.accumulation). All
programs of a shape take turns on one core; medians of the ratios within the rounds, with the smallest and the largest.
S and M as in benchmarks/train.py; W: width 256, 6 layers, vocabulary 4096, 8 sequences of 256.
"""

from __future__ import annotations

import sys

from turns import spread, start_as_worker

SHAPES = {  # width, depth, heads, MLP width, vocabulary; sequences, tokens of each; steps of a dispatch
    "S": ((64, 2, 2, 256, 256), 32, 128, 16),
    "M": ((128, 5, 4, 512, 1024), 16, 128, 8),
    "W": ((256, 6, 8, 1024, 4096), 8, 256, 2),
}
ROUNDS = 9


def main() -> None:
    start_as_worker()
    from trial import Trial

    from models import Architecture
    from sweep.layout import Layout

    print("| shape | tokens a step | tokens at a time | steps a second / those of the whole batch at a time |")
    print("|---|---|---|---|")
    for name in sys.argv[1:] or SHAPES:
        sizes, sequences, sequence, steps = SHAPES[name]
        counts = [2**k for k in range(sequences.bit_length())]
        trials = [Trial(Architecture(*sizes), Layout(accumulation=c), sequences, sequence, steps) for c in counts]
        rounds = [[trial.seconds() for trial in trials] for _ in range(ROUNDS)]
        for count, times in list(zip(counts, zip(*rounds, strict=True), strict=True))[1:]:
            ratios = [whole / mine for (whole, *_), mine in zip(rounds, times, strict=True)]
            print(
                f"| {name} | {sequences * sequence} | {sequences * sequence // count} | {spread(ratios)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
