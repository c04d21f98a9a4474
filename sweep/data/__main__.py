"""python -m sweep.data: what is in the corpus? Prepares it if needed; the same settings as in a sweep."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated

import typer

from fitting.errors import InputError

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


@app.command()
def inspect(
    source: Annotated[str, typer.Option(help="python_source, or text")] = "python_source",
    path: Annotated[str | None, typer.Option(help="folder of text files, for text")] = None,
    tokenizer: Annotated[str, typer.Option(help="bpe or bytes")] = "bpe",
    vocab_size: Annotated[int, typer.Option(help="tokens, for bpe")] = 1024,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Documents, bytes, tokens and fingerprint of a corpus."""
    from rich.console import Console
    from rich.table import Table

    from sweep.data.prepare import DataSettings, prepare

    console = Console()
    with console.status("corpus") as status:
        corpus = prepare(
            DataSettings(source, path, tokenizer, vocab_size),
            lambda words, share: status.update(f"corpus: {words} ({share:.0%})"),
        )
    facts = dataclasses.asdict(corpus.info)
    facts["bytes_per_token"] = corpus.info.train_bytes / corpus.info.train_tokens
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    table = Table(show_header=False, title="Corpus")
    for name, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if isinstance(value, float) else value
        table.add_row(name.replace("_", " "), shown)
    console.print(table)


def main() -> None:
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
