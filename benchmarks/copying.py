"""Which tokens does a run predict better than before? Held-out losses by what could have told them.

    python benchmarks/copying.py --store STORE --corpus SHARDS --out copying.json RUN RUN ...

A target token from position 32 of its window on is *copied* where it follows the token before it somewhere earlier in
the window too (what an induction head predicts; Olsson et al. 2022, arXiv:2209.11895), and *seen* where the nine tokens
that end with it stand in the training text (what a memory of the text predicts). SHARDS is the folder of the
prepared corpus, the runs need their checkpoints. Prints a table, writes it as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from results.store import Store
from sweep.data.corpus import Corpus
from sweep.train import program_for
from sweep.trained import load_run

FAR = 32  # tokens before, at least
SEEN = 9  # tokens in a row that count as seen
WINDOWS = 512  # at once
BASE = np.uint64(1_000_003)  # of the rolling hash, modulo 2^64


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--store", required=True)
    asked.add_argument("--corpus", required=True, type=Path)
    asked.add_argument("--out", type=Path)
    asked.add_argument("runs", nargs="+")
    arguments = asked.parse_args()
    store, corpus = Store(arguments.store), Corpus.open(arguments.corpus)
    models = [load_run(store, run) for run in arguments.runs]
    data = models[0].spec.data
    windows = corpus.held_out(data.eval_tokens, data.sequence).windows.astype(np.int64)
    classes = classify(windows, corpus)
    rows = []
    for model in models:
        program = program_for(model.spec)
        parts = [windows[first : first + WINDOWS] for first in range(0, len(windows), WINDOWS)]
        losses = np.concatenate([np.asarray(program.token_losses(model.params, part)) for part in parts])
        means = {name: float(losses[chosen].mean()) for name, chosen in classes.items()}
        rows.append({"run_id": model.record.run_id, "flops": model.record.flops, **means})
        print(json.dumps(rows[-1]), flush=True)
    shares = {name: float(chosen[:, FAR - 1 :].mean()) for name, chosen in classes.items()}
    print(json.dumps({"share of the tokens": shares}))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({"shares": shares, "runs": rows}, indent=2) + "\n")


def classify(windows: np.ndarray, corpus: Corpus) -> dict[str, np.ndarray]:
    """Masks over the targets (windows, length) from position FAR on, by class."""
    copied = np.zeros(windows.shape, bool)
    for place in range(2, windows.shape[1]):
        before = windows[:, : place - 1] == windows[:, place - 1 : place]
        copied[:, place] = (before & (windows[:, 1:place] == windows[:, place : place + 1])).any(axis=1)
    shards = [shard for stream in corpus.streams("train") for shard in stream.shards if len(shard) >= SEEN]
    known = np.unique(np.concatenate([hashes(shard[None], SEEN)[0] for shard in shards]))
    seen = np.zeros(windows.shape, bool)
    seen[:, SEEN - 1 :] = np.isin(hashes(windows, SEEN), known)
    far = np.arange(windows.shape[1]) >= FAR
    masks = {
        "copied, not seen": copied & ~seen,
        "copied and seen": copied & seen,
        "seen, not copied": ~copied & seen,
        "neither": ~copied & ~seen,
    }
    return {name: (mask & far)[:, 1:] for name, mask in masks.items()}


def hashes(rows: np.ndarray, length: int) -> np.ndarray:
    """Of every run of so many tokens, (rows, columns - length + 1)."""
    columns = rows.shape[1] - length + 1
    found = np.zeros((rows.shape[0], columns), np.uint64)
    for place in range(length):
        found = found * BASE + rows[:, place : place + columns].astype(np.uint64) + np.uint64(1)
    return found


if __name__ == "__main__":
    main()
