"""What does depth cost: seconds to compile a training program, and is a step faster with its blocks unrolled?

    python benchmarks/depth.py            # CPU: about 4 minutes; prints a table of docs/speed.md
    python benchmarks/depth.py 8 16       # these depths

Width 128, 4 heads, vocabulary 1024, 8 sequences of 128, one device, float32, no compile cache. Both programs of a depth
take turns for their steps. models.decoder.unrolled chooses between them.
"""

from __future__ import annotations

import os
import sys

from turns import spread

from sweep.worker import CPU_FLAGS

DEPTHS = (2, 4, 8, 16, 32)
ROUNDS, STEPS = 9, 4


def main() -> None:
    os.environ.setdefault("XLA_FLAGS", CPU_FLAGS)
    from trial import Trial

    import models.decoder
    from models import Architecture
    from sweep.layout import Layout

    def trial(depth: int, unrolled: bool) -> Trial:
        vars(models.decoder)["unrolled"] = lambda *_: unrolled
        return Trial(Architecture(128, depth, 4, 512, 1024), Layout(), 8, 128, STEPS)

    depths = tuple(map(int, sys.argv[1:])) or DEPTHS
    print("| blocks | unrolled: compiling | scanned: compiling | unrolled / scanned: steps a second |")
    print("|---|---|---|---|")
    for depth in depths:
        unrolled, scanned = trial(depth, True), trial(depth, False)
        ratios = [scanned.seconds() / unrolled.seconds() for _ in range(ROUNDS)]
        print(
            f"| {depth} | {unrolled.compiling:.1f} s | {scanned.compiling:.1f} s | {spread(ratios)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
