"""How fast is text prepared, and how fast are batches made? Each figure beside its floor, in one process a row.

    python benchmarks/data.py [--megabytes 200] [--out docs/data_speed.md]

Floors: for preparing, what has to be done to the bytes at least (read, BLAKE2b, widen, write, SHA-256); for a
vocabulary, the `tokenizers` library alone on the same texts in memory, one thread; for batches, a plain copy of as many
tokens.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"

import numpy as np

from sweep.data.corpus import Corpus
from sweep.data.order import Order
from sweep.data.prepare import prepare
from sweep.data.settings import DataSettings
from sweep.data.sources import parts, read

ROUNDS = 3
DEVICE_RATE = 1e6  # tokens per second that the loader has to feed


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--megabytes", type=int, default=200)
    options.add_argument("--out", type=Path)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        texts = unique_texts(chosen.megabytes * 1_000_000)
        rows = [*prepare_rows(Path(folder), texts), *vocabulary_rows(Path(folder), texts)]
        lines = ["| preparing, one core | MB/s | floor, MB/s | share |", "|---|---|---|---|", *rows, ""]
        print("\n".join(lines), flush=True)
        lines += ["| batches | tokens/s | floor, tokens/s | wait at 1M tokens/s |", "|---|---|---|---|"]
        lines += loader_rows(Path(folder), texts)
    print("\n".join(lines[-8:]))
    if chosen.out:
        chosen.out.write_text("\n".join(lines) + "\n")


def unique_texts(size: int) -> list[str]:
    """Python source over and over, each document with a number of its own, so that none is a duplicate."""
    settings = DataSettings("python_source")
    documents = [d.text.decode() for part in parts(settings) for d in read(settings, part) if d and d.text]
    made, total = [], 0
    while total < size:
        made.append(f"# {len(made)}\n{documents[len(made) % len(documents)]}")
        total += len(made[-1])
    return made


def prepare_rows(folder: Path, texts: list[str]) -> list[str]:
    size = sum(len(text.encode()) for text in texts)
    made = {
        "text files, bytes": write_files(folder / "files", texts),
        "JSONL, bytes": write_jsonl(folder / "texts.jsonl", texts),
        "JSONL.gz, bytes": write_gzip(folder / "texts.jsonl.gz", folder / "texts.jsonl"),
        "Parquet, bytes": write_parquet(folder / "texts.parquet", texts),
    }
    floor = median_of(lambda: the_least(folder / "texts.jsonl", folder / "floor.bin"))
    rows = []
    for name, path in made.items():
        seconds = median_of(lambda path=path: prepared(folder, path, "bytes"))
        rows.append(f"| {name} | {size / seconds / 1e6:.0f} | {size / floor / 1e6:.0f} | {floor / seconds:.2f} |")
    return rows


def vocabulary_rows(folder: Path, texts: list[str]) -> list[str]:
    """A BPE of 1,024 and one of 32,768 tokens, trained once."""
    rows = []
    some = texts[: max(1, len(texts) // 10)]
    path, size = write_jsonl(folder / "some.jsonl", some), sum(len(text.encode()) for text in some)
    for vocabulary in (1024, 32_768):
        settings = DataSettings("auto", ((None, str(path)),), vocab_size=vocabulary)
        made = prepare(settings, out=folder / f"bpe{vocabulary}")
        tokenizer = folder / f"{vocabulary}.json"
        tokenizer.write_bytes(made.tokenizer.content)
        import tokenizers

        library = tokenizers.Tokenizer.from_file(str(tokenizer))
        floor = median_of(lambda library=library: timed(lambda: [library.encode_batch_fast(some)]))
        seconds = median_of(lambda tokenizer=tokenizer: prepared(folder, path, str(tokenizer)))
        rows.append(
            f"| JSONL, BPE of {vocabulary:,} | {size / seconds / 1e6:.2f} | {size / floor / 1e6:.2f} | "
            f"{floor / seconds:.2f} |"
        )
    return rows


def loader_rows(folder: Path, texts: list[str]) -> list[str]:
    write_jsonl(folder / "others.jsonl", ["# another\n" + text for text in texts[::4]])
    paths = (("a", str(folder / "texts.jsonl")), ("b", str(folder / "others.jsonl")))
    corpus = prepare(DataSettings("auto", paths, tokenizer="bytes"), out=folder / "loaded")
    mixture = ((0, (("a", 0.7), ("b", 0.3))),)
    rows = []
    for name, order, batch in (
        ("64 tokens x 4", Order(0, 64), 4),
        ("128 tokens x 32", Order(0, 128), 32),
        ("2,048 tokens x 32", Order(0, 2048), 32),
        ("2,048 tokens x 32, mixture", Order(0, 2048, curriculum=mixture), 32),
        ("2,048 tokens x 32, 10M unique", Order(0, 2048, 10_000_000), 32),
    ):
        tokens = 64 * batch * order.length
        seconds = statistics.median(
            timed(lambda step=step, order=order, batch=batch: corpus.batches(order, step * 64, 64, batch))
            for step in range(12)
        )
        stream = corpus.streams("train")[0].shards[0]
        copies = (lambda k=k, n=tokens, stream=stream: stream[k * n : (k + 1) * n].copy() for k in range(12))
        floor = statistics.median(timed(copy) for copy in copies)
        waited = wait_share(corpus, order, batch)
        rows.append(f"| {name} | {tokens / seconds:,.0f} | {tokens / floor:,.0f} | {waited:.2%} |")
    return rows


def wait_share(corpus: Corpus, order: Order, batch: int) -> float:
    """Part of the time that a device of DEVICE_RATE stands still for its next 64 steps, queued as the sweep does."""
    seconds = 64 * batch * order.length / DEVICE_RATE
    rounds = max(4, min(40, int(4 / seconds)))

    def compute() -> float:
        time.sleep(seconds)
        return time.perf_counter()

    idle = 0.0
    with ThreadPoolExecutor(1) as device:
        running = device.submit(compute)
        for step in range(rounds):
            corpus.batches(order, step * 64, 64, batch)
            done = running.result()
            running = device.submit(compute)
            idle += max(0.0, time.perf_counter() - done)
    return idle / (rounds * seconds)


def prepared(folder: Path, path: Path, tokenizer: str) -> float:
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    settings = DataSettings("auto", ((None, str(path)),), tokenizer=tokenizer)
    return timed(lambda: prepare(settings, out=out, workers=1))


def the_least(source: Path, target: Path) -> float:
    def work() -> None:
        content = source.read_bytes()
        hashlib.blake2b(content).digest()
        wide = np.frombuffer(content, np.uint8).astype(np.uint16)
        target.write_bytes(wide.tobytes())
        hashlib.sha256(wide.tobytes()).digest()

    return timed(work)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_of(seconds: Callable[[], float]) -> float:
    return statistics.median(seconds() for _ in range(ROUNDS))


def write_files(folder: Path, texts: list[str]) -> Path:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"{number}.py").write_text(text)
    return folder


def write_jsonl(path: Path, texts: list[str]) -> Path:
    with path.open("w") as out:
        out.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    return path


def write_gzip(path: Path, source: Path) -> Path:
    path.write_bytes(gzip.compress(source.read_bytes(), 6))
    return path


def write_parquet(path: Path, texts: list[str]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": texts}), path, row_group_size=1000)
    return path


if __name__ == "__main__":
    main()
