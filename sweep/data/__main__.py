"""python -m sweep.data: turn text into token shards, look into a corpus, compress a file by a trained model."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from fitting.errors import InputError, run_command
from results.store import DEFAULT_STORE, Store
from sweep.data.corpus import Corpus
from sweep.data.manifest import MANIFEST
from sweep.data.settings import DataSettings

app = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
_DEFAULTS = DataSettings("python_source")
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
StorePath = Annotated[str, typer.Option(help="store that holds the run")]


@app.command()
def prepare(
    sources: Annotated[
        list[str], typer.Argument(help="folders, globs, files, URLs, each as PATH or DOMAIN=PATH; or python_source")
    ],
    out: Annotated[Path, typer.Option(help="folder of the corpus, new or empty")],
    source_format: Annotated[str, typer.Option("--format", help="auto tells by file names")] = "auto",
    tokenizer: Annotated[str, typer.Option(help="bytes, bpe, none, or a vocabulary's path")] = _DEFAULTS.tokenizer,
    vocab_size: Annotated[int, typer.Option(help="tokens, for bpe and none")] = _DEFAULTS.vocab_size,
    separator: Annotated[str | None, typer.Option(help="token that ends a document")] = None,
    column: Annotated[str, typer.Option(help="text column of JSONL, Parquet and Hugging Face rows")] = _DEFAULTS.column,
    domain_column: Annotated[str | None, typer.Option(help="column that names each row's domain")] = None,
    held_out: Annotated[list[str] | None, typer.Option(help="files held out whole; else 1 document in 20")] = None,
    split: Annotated[str, typer.Option(help="of a Hugging Face data set")] = _DEFAULTS.split,
    synthetic_tokens: Annotated[int, typer.Option(help="of a synthetic corpus")] = _DEFAULTS.synthetic_tokens,
    synthetic_seed: Annotated[int, typer.Option(help="of a synthetic corpus")] = _DEFAULTS.synthetic_seed,
    workers: Annotated[int | None, typer.Option(help="processes; default: one a core")] = None,
    as_json: AsJson = False,
) -> None:
    """Tokenise sources into shards. Run again after an interruption, it goes on where it was."""
    from sweep.data.prepare import prepare as prepare_corpus
    from sweep.data.sources.formats import PATHLESS

    if sources[0] in PATHLESS:
        source_format, sources = sources[0], []
    pairs = [source.partition("=") for source in sources]
    settings = DataSettings(
        source=source_format,
        paths=tuple((name, path) if path else (None, name) for name, _, path in pairs),
        held_out_paths=tuple(held_out or ()),
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        separator=separator,
        column=column,
        domain_column=domain_column,
        split=split,
        synthetic_tokens=synthetic_tokens,
        synthetic_seed=synthetic_seed,
    )
    with progress() as report:
        corpus = prepare_corpus(settings, report, out, workers)
    _show(corpus, as_json)


@app.command()
def inspect(
    folder: Annotated[
        Path | None, typer.Argument(help="a prepared corpus, or a folder of text files; default: python_source")
    ] = None,
    verify: Annotated[bool, typer.Option(help="read every shard and compare its SHA-256")] = False,
    as_json: AsJson = False,
) -> None:
    """Documents, bytes, tokens, domains and fingerprint of a corpus."""
    from sweep.data.prepare import prepare as prepare_corpus

    if folder is None:
        with progress() as report:
            corpus = prepare_corpus(_DEFAULTS, report)
    elif folder.is_dir() and not (folder / MANIFEST).exists():  # as data=text reads it
        text = dataclasses.replace(_DEFAULTS, source="text", paths=((None, str(folder)),))
        with progress() as report:
            corpus = prepare_corpus(text, report)
    else:
        corpus = Corpus.open(folder)
    if verify:
        corpus.verify()
    _show(corpus, as_json)


@app.command("compress")
def compress_command(
    run: Annotated[str, typer.Argument(help="finished run, or the beginning of its name")],
    file: Annotated[Path, typer.Argument(help="text to compress; any bytes for a run with data.tokenizer=bytes")],
    out: Annotated[Path | None, typer.Option(help="archive; default: FILE.isoflop")] = None,
    store: StorePath = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Lossless: the better a model predicts a text, the smaller it becomes."""
    from sweep.data.archive import compress_file

    with progress() as report:
        made = compress_file(_store(store), run, file, out or file.with_name(file.name + ".isoflop"), report)
    facts = dataclasses.asdict(made)
    facts |= {"bits_per_byte": made.bits_per_byte, "ratio": made.ratio, "lossless_ratio": made.lossless_ratio}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    typer.echo(
        f"{made.archive}: {made.archive_bytes:,} bytes for {made.raw_bytes:,} ({made.ratio:.2f}x, "
        f"{made.bits_per_byte:.3f} bits per byte; predicted {made.predicted_bytes:,.0f}, coded "
        f"{made.coded_bytes:,}). With the model's {made.model_bytes:,.0f} bytes counted: {made.lossless_ratio:.3g}x"
    )


@app.command("decompress")
def decompress_command(
    archive: Annotated[Path, typer.Argument(help="what compress wrote")],
    out: Annotated[Path | None, typer.Option(help="file to write; default: ARCHIVE without .isoflop")] = None,
    store: StorePath = DEFAULT_STORE,
) -> None:
    """The exact bytes again; refused where they are not. On the kind of machine and software that compressed them."""
    from sweep.data.archive import decompress_file

    target = out or archive.with_name(archive.name.removesuffix(".isoflop"))
    if target.exists() and out is None:
        raise InputError(f"{target} is there already; name another with --out")
    with progress() as report:
        size = decompress_file(_store(store), archive, target, report)
    typer.echo(f"{target}: {size:,} bytes, SHA-256 as before")


def _store(path: str) -> Store:
    from fitting.cache import use_compile_cache

    use_compile_cache()
    return Store(path)


@contextmanager
def progress() -> Generator[Callable[[str, float], None]]:
    """A bar with an ETA on a terminal; a line each tenth elsewhere, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    shown, began = "", time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("corpus", total=1.0)

        def report(words: str, share: float) -> None:
            nonlocal shown
            bar.update(task, description=words, completed=share)
            line = f"{words} ({int(share * 10) * 10}%)"
            if not console.is_terminal and line != shown:
                left = (time.monotonic() - began) * (1 - share) / share if share else 0.0
                print(line + (f", {left:.0f} s to go" if 0 < share < 1 else ""), file=sys.stderr)
            shown = line

        yield report


def _show(corpus: Corpus, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    facts: dict[str, Any] = dataclasses.asdict(corpus.info)
    info = corpus.info
    if as_json:
        typer.echo(json.dumps({"folder": str(corpus.folder), **facts}, indent=2))
        return
    console = Console() if Console().is_terminal else Console(width=110)
    del facts["shards"]
    if info.entropy is None:
        del facts["entropy"]
    else:
        facts["entropy"] = "{:.6f} nats for a window's first target, {:.6f} for the others".format(*info.entropy)
    facts["sources"] = ", ".join(info.sources) or "-"
    if info.train_bytes:
        facts["bytes_per_token"] = info.train_bytes / max(1, info.train_tokens - info.documents)
    table = Table(show_header=False, title="Corpus")
    for name, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), shown)
    console.print(table)
    domains = Table("domain", "documents", "MB", "tokens", "held-out tokens", title="Domains")
    for name in info.domains:
        here = [shard for shard in info.shards if shard.domain == name]
        train = sum(shard.tokens for shard in here if shard.split == "train")
        held_out = sum(shard.tokens for shard in here if shard.split == "held_out")
        documents, size = sum(shard.documents for shard in here), sum(shard.bytes for shard in here)
        domains.add_row(name, f"{documents:,}", f"{size / 1e6:,.2f}", f"{train:,}", f"{held_out:,}")
    console.print(domains)
    console.print(f"folder: {corpus.folder}", highlight=False, soft_wrap=True)


def main() -> None:
    run_command(app)


if __name__ == "__main__":
    main()
