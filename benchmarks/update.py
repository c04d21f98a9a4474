"""What is gained by making Adam's moments once and clipping by one factor, beside optax's own chain of the two?

    python benchmarks/update.py           # about 3 minutes; prints a table of docs/speed.md

Both programs take turns on one core; they differ in sweep.optimiser.directions alone. Medians of the ratios within the
rounds, with the smallest and the largest. The shapes are of the default recipe's steps (4 sequences of 64 tokens) and
of half of M in benchmarks/train.py, which is what one of two cores has of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

from turns import spread, start_as_worker

if TYPE_CHECKING:
    import optax

    from models import Architecture
    from sweep.spec import OptimiserSpec

SHAPES = [  # width, depth, heads, MLP width, vocabulary; sequences, tokens of each; micro-batches; steps of a dispatch
    ((32, 2, 2, 128, 1024), 4, 64, 1, 64),
    ((96, 3, 3, 384, 1024), 4, 64, 1, 32),
    ((192, 4, 6, 768, 1024), 4, 64, 1, 16),
    ((128, 5, 4, 512, 1024), 8, 128, 2, 8),
]
ROUNDS = 15


def optax_chain(optimiser: OptimiserSpec, architecture: Architecture) -> optax.GradientTransformationExtraArgs:
    """The same directions by optax alone; its moments are chosen where the gradient is finite afterwards."""
    import jax
    import jax.numpy as jnp
    import optax

    chain = optax.chain(
        optax.clip_by_global_norm(optimiser.clip_norm),
        optax.scale_by_adam(optimiser.beta1, optimiser.beta2, optimiser.epsilon),
    )

    def update(updates, state, params=None, **extra):
        directed, new = chain.update(updates, state, params)
        return directed, jax.tree.map(lambda after, before: jnp.where(extra["finite"], after, before), new, state)

    return optax.GradientTransformationExtraArgs(chain.init, update)


def main() -> None:
    start_as_worker()
    from trial import Trial

    from models import Architecture
    from sweep.layout import Layout

    print(
        "| width x depth | parameters | tokens a step | steps a second / those with optax's chain |\n|---|---|---|---|"
    )
    for sizes, sequences, sequence, micro, steps in SHAPES:
        architecture = Architecture(*sizes)
        made = architecture, Layout(accumulation=micro), sequences, sequence, steps
        ours = Trial(*made)
        with mock.patch("sweep.train.directions", optax_chain):
            theirs = Trial(*made)
        ratios = [theirs.seconds() / ours.seconds() for _ in range(ROUNDS)]
        print(
            f"| {sizes[0]} x {sizes[1]} | {architecture.count(1).total:.1e} | {sequences * sequence} | "
            f"{spread(ratios)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
