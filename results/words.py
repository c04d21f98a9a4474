"""What does the store say, in sentences? The headline of a report: runs, law, forecast against truth, next budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fitting.allocate import Allocation
from fitting.fit import Fit, FitStatus
from fitting.show import held_out_sentence, si
from results.context import no_context_used
from results.listing import shown_status
from results.outcome import Outcome
from results.record import RunStatus
from results.scores import laws_of, told_of
from results.view import View, dearest_6nd

GOOD, CAUTION, BAD, PLAIN = (
    "good",
    "caution",
    "bad",
    "plain",
)  # tones; the page gives each a colour and the words say it


MOST_LEFT_OUT = 2  # named in the headline
MOST_SENTENCES = 6  # on forecasts, one each; of more, one for each law


@dataclass(frozen=True)
class Headline:
    """One card: what it is about, the answer in a few words, and the sentences behind it."""

    topic: str
    answer: str
    sentences: tuple[str, ...]
    tone: str = PLAIN


def headlines(view: View, best: Allocation | None) -> list[Headline]:
    """`best`: the law's optimum at the budgets to be named (6ND)."""
    cards = [_runs(view)]
    if view.records:
        cards += [_law(view), *_forecasts(view)]
    if view.fit is not None:
        cards.append(_budget(view.fit, best))
    return cards


def _runs(view: View) -> Headline:
    if not view.records:
        folder = "holds no runs" if view.exists else "does not exist"
        said = f"The store {view.store!r} {folder}. Train some with: python -m sweep -m experiment=quickstart"
        return Headline("What was run", "nothing yet", (said, *_missing(view)), CAUTION)
    targets = len(view.targets)
    answer = _count(len(view.grid), "run") + (f" + {_count(targets, 'target')}" if targets else "")
    statuses = Counter(shown_status(record) for record in view.records)
    flops = sum(record.flops for record in view.records if record.status == RunStatus.DONE)
    seconds = sum(record.seconds or 0.0 for record in view.records)
    best = [record for record in view.records if record.loss is not None and record.status == RunStatus.DONE]
    sentences = [
        f"N from {_range(record.n_params_non_embedding for record in view.records)} non-embedding parameters, D from "
        f"{_range(record.d_tokens for record in view.records)} tokens.",
        f"{', '.join(f'{count} {status}' for status, count in statuses.most_common())}; {short(flops)} exact training "
        f"FLOPs of finished runs in {duration(seconds)} of training.",
    ]
    if best:
        lowest = min(best, key=lambda record: record.loss or 0.0)
        bpb = "" if lowest.bpb is None else f" ({lowest.bpb:.3f} bits/byte)"
        sentences.append(f"Lowest held-out loss: {lowest.loss:.3f} nats/token{bpb}.")
    bad = set(statuses) - {RunStatus.DONE.value, RunStatus.RUNNING.value}
    return Headline("What was run", answer, (*sentences, *_missing(view)), CAUTION if bad or view.unknown else PLAIN)


def _missing(view: View) -> tuple[str, ...]:
    sentences = []
    if view.unknown:
        sentences.append(f"Asked for, but not in the store: {', '.join(view.unknown)}.")
    if view.damaged:
        sentences.append(f"{_count(len(view.damaged), 'file')} could not be read; named below.")
    return tuple(sentences)


def _law(view: View) -> Headline:
    fit = view.fit
    if fit is None:
        reason = view.no_fit or "no reason given"
        return Headline("Scaling law", "no law", (reason[0].upper() + reason[1:] + ".",), CAUTION)
    tone = {FitStatus.CONVERGED: GOOD, FitStatus.NOT_CONVERGED: BAD, FitStatus.NOT_IDENTIFIED: BAD}
    c = fit.constants
    written = ", ".join(f"{name} = {short(value)}" for name, value in c.items())
    more = len(fit.points.excluded) - MOST_LEFT_OUT
    named = [*fit.points.excluded[:MOST_LEFT_OUT], *([f"{more} more, named below"] if more > 0 else [])]
    left = f" Left out: {'; '.join(named)}." if named else ""
    return Headline(
        "Scaling law",
        fit.status.value,
        (
            f"{fit.law.equation} with {written}.",
            f"From {_count(len(fit.points), 'run')}; {fit.sentence}.{left}",
            f"{_capital(held_out_sentence(fit))}; noise of one run {fit.noise:.1%}.",
            *([f"{_capital(fit.chosen)}."] if fit.chosen else []),
        ),
        tone.get(fit.status, CAUTION),
    )


def _forecasts(view: View) -> list[Headline]:
    if not view.outcomes:
        what = "A target was not forecast before it was trained" if view.targets else "No run was held out as a target"
        said = f"{what}: nothing here shows that the law predicts beyond its own runs."
        return [Headline("Forecast against truth", "no forecast", (said,), CAUTION)]
    told = told_of(view.outcomes)
    held = sum(bool(outcome.inside) for outcome in told)
    if len(view.outcomes) == 1:
        only = view.outcomes[0]
        answer = only.verdict if only.error is None else f"{only.verdict}, error {only.error:+.1%}"
    else:
        answer = f"{held} of {len(told)} inside" if told else "open"
    tone = PLAIN if not told else GOOD if held == len(told) else BAD
    if any(outcome.sealed_before is False for outcome in view.outcomes):
        tone = CAUTION if tone != BAD else BAD
    sentences = tuple(outcome.sentence for outcome in view.outcomes)
    if len(sentences) > MOST_SENTENCES:
        sentences = tuple(_of_law(law, view.outcomes) for law in laws_of(view.outcomes))
    if (warning := no_context_used(view.context)) is not None:
        sentences = (*sentences, f"{warning[0].upper()}{warning[1:]}.")
    return [Headline("Forecast against truth", answer, sentences, tone)]


def _of_law(law: str, outcomes: Sequence[Outcome]) -> str:
    """One sentence on all that a law foretold; a forecast that was sealed too late counts for nothing."""
    mine = [one for one in outcomes if one.forecast.law == law and one.sealed_before is not False]
    told = told_of(mine)
    if not told:
        return f"{law}: none of {_count(len(mine), 'forecast')} is told yet."
    errors = sorted(abs(one.error or 0.0) for one in told)
    middle = (errors[(len(errors) - 1) // 2] + errors[len(errors) // 2]) / 2
    held = sum(bool(one.inside) for one in told)
    still_open = f"; {len(mine) - len(told)} open" if len(mine) > len(told) else ""
    return (
        f"{law}: {held} of {len(told)} inside their {told[0].forecast.level:.0%} interval, error {middle:.1%} at the "
        f"median and {errors[-1]:.1%} at most{still_open}."
    )


def _budget(fit: Fit, best: Allocation | None) -> Headline:
    topic = "How to spend more"
    if best is None:
        said = "The fitted exponents leave no compute-optimal run (one is zero): no N* and D* can be given."
        return Headline(topic, "no optimum", (said,), BAD)
    sentences = []
    dearest = dearest_6nd(fit)
    for row, flops in enumerate(best.flops):
        n, d, loss = best.n_params, best.d_tokens, best.loss
        sentences.append(
            f"At {flops / dearest:.3g}x the dearest fitted run (C = 6ND = {short(flops, 2)} FLOPs): "
            f"N* = {si(n.value[row])} ({si(n.low[row])} .. {si(n.high[row])}), "
            f"D* = {si(d.value[row])} tokens ({si(d.low[row])} .. {si(d.high[row])}), "
            f"loss {loss.value[row]:.2f} ({loss.low[row]:.2f} .. {loss.high[row]:.2f}) nats/token."
        )
    ratio = fit.points.flops / fit.points.flops_6nd
    if ratio.max() > 1.1:
        least, most = f"{ratio.min():.2g}", f"{ratio.max():.2g}"
        times = most if least == most else f"{least} to {most}"
        sentences.append(
            f"C counts 6ND of non-embedding parameters; with head and attention these runs cost {times} times that, so "
            f"small budgets favour a larger N than said here."
        )
    n, d = best.n_params.value[0], best.d_tokens.value[0]
    answer = f"{best.flops[0] / dearest:.3g}x: N* = {si(n)}, D* = {si(d)}"
    return Headline(topic, answer, (*sentences,), PLAIN if fit.status == FitStatus.CONVERGED else CAUTION)


def short(value: float, digits: int = 3) -> str:
    """4309.4 -> '4,310', 1.8e13 -> '1.8e13'."""
    rounded = float(f"{value:.{digits}g}")
    if 1e-3 <= abs(rounded) < 1e6:
        return f"{rounded:,.10g}"
    return f"{rounded:.{digits}g}".replace("e+", "e")


def duration(seconds: float) -> str:
    for size, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _range(values: Iterable[float]) -> str:
    found = list(values)
    return si(found[0]) if len(set(found)) == 1 else f"{si(min(found))} to {si(max(found))}"


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
