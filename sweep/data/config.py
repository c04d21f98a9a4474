"""The data group of a composed configuration: which corpus, and how a run reads it."""

from __future__ import annotations

from typing import Any

from fitting.errors import InputError
from sweep.data.epochs import drawn_domains
from sweep.data.manifest import CorpusInfo
from sweep.data.order import Mixture, Order
from sweep.data.settings import DataSettings
from sweep.reader import Reader
from sweep.spec import DataSpec

EVAL_TOKENS = 65_536  # or the whole held-out split where that is smaller
MIXTURE_SUM = 1e-6  # by which the shares of a mixture may miss 1


class TooLittleText(InputError):
    """A run asks for more tokens than its epochs of the text have; a design can do without that run."""


def data_settings(read: Reader) -> DataSettings:
    """Raises InputError naming the first field that is wrong."""
    return DataSettings(
        source=read.text("data.source"),
        paths=read.paths("data.path"),
        held_out_paths=tuple(path for _, path in read.paths("data.held_out_path")),
        tokenizer=read.text("data.tokenizer"),
        vocab_size=read.whole("data.vocab_size", 2, 2**24),
        separator=read.optional_text("data.separator"),
        column=read.text("data.column"),
        domain_column=read.optional_text("data.domain_column"),
        split=read.text("data.split"),
        synthetic_tokens=read.whole("data.synthetic_tokens", 1, 10**13),
        synthetic_seed=read.whole("data.synthetic_seed", 0, 2**31 - 1),
    )


def data_spec(read: Reader, corpus: CorpusInfo, sequence: int, batch: int, steps: int) -> DataSpec:
    """What a run of so many steps of `batch` sequences reads. Raises InputError where the corpus does not hold it."""
    spec = DataSpec(
        corpus=corpus.source,
        fingerprint=corpus.fingerprint,
        sequence=sequence,
        eval_tokens=_eval_tokens(read, corpus, sequence),
        seed=read.whole("data.seed", 0, 2**31 - 1),
        unique_tokens=_unique_tokens(read, corpus, sequence, steps * batch * sequence),
        curriculum=_curriculum(read, corpus),
        separator=_separator(read, corpus),
    )
    if not corpus.is_stand_in:
        _check_domains(read, corpus, spec.order, batch, steps)
    return spec


def _eval_tokens(read: Reader, corpus: CorpusInfo, sequence: int) -> int:
    available = corpus.held_out_windows(sequence) * sequence
    asked = read.optional_whole("data.eval_tokens", sequence, 10**12)
    if asked is None:
        return max(sequence, min(EVAL_TOKENS, available))
    if asked > available > 0:
        raise InputError(
            f"data.eval_tokens is {asked:,}; the held-out split has {available:,} tokens in windows of {sequence}. Set "
            f"it to that or less, or to null for what there is"
        )
    return asked


def _unique_tokens(read: Reader, corpus: CorpusInfo, sequence: int, d_tokens: int) -> int | None:
    asked = read.optional_whole("data.unique_tokens", 1, 10**15)
    epochs = read.number("data.max_epochs", 1.0, 1e9)
    if asked is not None and not sequence <= asked <= corpus.train_tokens:
        raise InputError(
            f"data.unique_tokens is {asked:,}; allowed is data.sequence {sequence} to the {corpus.train_tokens:,} of "
            f"the training split"
        )
    unique = asked or corpus.train_tokens
    if d_tokens > epochs * unique:
        raise TooLittleText(
            f"data.tokens is {d_tokens:,}, {d_tokens / unique:.2f} epochs of {unique:,} unique tokens; data.max_epochs "
            f"is {epochs:g}. Raise it to let text repeat, give more text, or ask for fewer tokens (data.tokens, or "
            f"the budgets of the design)"
        )
    return asked


def _check_domains(read: Reader, corpus: CorpusInfo, order: Order, batch: int, steps: int) -> None:
    """Each domain of a mixture may repeat as often as the whole corpus may, no more."""
    epochs = read.number("data.max_epochs", 1.0, 1e9)
    key = "data.curriculum" if read.raw("data.curriculum") is not None else "data.mixture"
    cap = "" if order.unique_tokens is None else f", its part of data.unique_tokens {order.unique_tokens:,}"
    for drawn in drawn_domains(order, corpus.train_windows(order.length), batch, steps):
        if drawn.windows > epochs * drawn.unique:
            asked, held = drawn.windows * order.length, drawn.unique * order.length
            raise InputError(
                f"{key}: domain {drawn.domain!r} with a share of {drawn.windows / (steps * batch):.4g} is asked for "
                f"{asked:,} tokens and has {held:,} in windows of {order.length}{cap}; data.max_epochs is {epochs:g}. "
                f"Raise data.max_epochs to let text repeat, or lower the share of {drawn.domain!r} or data.tokens"
            )


def _curriculum(read: Reader, corpus: CorpusInfo) -> tuple[tuple[int, Mixture], ...]:
    """data.mixture from the first step on, or data.curriculum: {step: mixture}."""
    mixture, stages = read.mapping("data.mixture"), read.mapping("data.curriculum")
    if mixture is not None and stages is not None:
        raise InputError(
            "data.mixture and data.curriculum are both set; a curriculum says every mixture, from step 0 on"
        )
    if stages is None:
        return () if mixture is None else ((0, _mixture("data.mixture", mixture, corpus)),)
    made = []
    for step, shares in stages.items():
        if not step.isdigit() or not isinstance(shares, dict):
            raise InputError(f"data.curriculum holds {step}: {shares}; allowed are steps, such as {{0: {{web: 1}}}}")
        made.append((int(step), _mixture(f"data.curriculum[{step}]", shares, corpus)))
    made.sort()
    if not made or made[0][0] != 0:
        raise InputError("data.curriculum does not begin at step 0; say which mixture the run begins with")
    return tuple(made)


def _mixture(key: str, shares: dict[str, Any], corpus: CorpusInfo) -> Mixture:
    unknown = [] if corpus.is_stand_in else sorted({str(name) for name in shares} - set(corpus.domains))
    if unknown:
        raise InputError(f"{key} names {', '.join(unknown)}; the domains of the corpus are {', '.join(corpus.domains)}")
    for name, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise InputError(f"{key} has {name}: {share}; allowed is a share from 0 to 1")
    total = sum(shares.values())
    if abs(total - 1) > MIXTURE_SUM:
        raise InputError(f"{key} adds up to {total:g}; shares of a mixture add up to 1")
    return tuple(sorted((str(name), float(share)) for name, share in shares.items() if share > 0))


def _separator(read: Reader, corpus: CorpusInfo) -> int | None:
    if read.boolean("data.cross_documents"):
        return None
    if corpus.separator is None:
        raise InputError(
            "data.cross_documents is false and the corpus has no separator token; attention cannot tell documents apart"
        )
    return corpus.separator
