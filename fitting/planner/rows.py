"""What does a plan say, line by line? (title, headers, rows): the same for the terminal and for the page."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from fitting.planner import words
from fitting.planner.belief import Provenance
from fitting.planner.plan import Plan
from fitting.planner.quantity import Quantity
from fitting.planner.request import Request, flag
from fitting.show import si

SMALLEST_SHARE = 0.005  # of a variance: 0% says nothing


@dataclass(frozen=True)
class Section:
    """One table."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def sections(plan: Plan) -> list[Section]:
    """In the order in which people ask; what was not asked for is not there."""
    found = [_run(plan), _bill(plan), _smaller(plan), _recipe(plan)]
    found += [one for one in (_served(plan), _repeated(plan), _off(plan)) if one is not None]
    return [*found, _compression(plan), _causes(plan)]


def answer(plan: Plan) -> str:
    """The plan in one sentence."""
    bill = plan.bill
    cost = words.money(bill.dollars) if bill.dollars is not None else f"{words.plain(bill.chip_hours)} chip-hours"
    return (
        f"{words.counted(plan.n_params)} parameters on {words.counted(plan.d_tokens)} tokens: loss "
        f"{words.loss(plan.loss)}, {cost}"
    )


def distance(plan: Plan) -> str:
    """How far beyond the runs behind the law it is."""
    largest = f"the largest run behind the law ({plan.law.largest_flops:.2g} FLOPs)"
    if plan.decades_beyond == 0:
        return f"no extrapolation: at most as much compute as {largest}"
    return f"extrapolation: {10**plan.decades_beyond:.3g} times, {plan.decades_beyond:.1f} decades, beyond {largest}"


def asked(request: Request) -> str:
    """The request, in the words of the command line."""
    said = []
    for field in dataclasses.fields(request):
        value = getattr(request, field.name)
        if value is not None:
            word = "--days" if field.name == "days" else flag(field.name)
            values = value if isinstance(value, tuple) else (value,)
            said.append(" ".join([word, *(one if isinstance(one, str) else f"{one:g}" for one in values)]))
    return " ".join(said)


def belief_sentences(law: Provenance) -> list[str]:
    """Provenance, status and what the brackets mean."""
    counts = {"n_params": "all parameters", "n_params_non_embedding": "parameters without embedding and head"}
    return [
        f"law: {law.name}: {law.equation}",
        f"from: {law.source}",
        f"status: {law.status}: {law.sentence}",
        f"N counts {counts.get(law.n_definition, law.n_definition)}; in brackets: {law.band}",
    ]


def _run(plan: Plan) -> Section:
    rows = [
        ("N", "parameters", words.counted(plan.n_params)),
        ("D", "training tokens", words.counted(plan.d_tokens)),
        ("D/N", "tokens a parameter", words.plain(plan.ratio)),
        ("loss", "nats per token, of one run of this N and D", words.loss(plan.loss)),
    ]
    if plan.bpb is not None:
        rows.append(("bits per byte", "of raw text", words.loss(plan.bpb)))
    rows.append(("C = 6ND", "training FLOPs", words.flops(plan.flops)))
    if plan.flops_exact is not None:
        rows.append(("C exact", "with attention and head", words.flops(plan.flops_exact)))
    if plan.shape is not None:
        s = plan.shape
        rows.append(
            (
                "shape",
                f"vocabulary {s.vocab_size:,}, context {s.context:,}",
                f"{s.depth} layers x {s.width}, {s.heads} heads, MLP {s.mlp_width}; {si(s.total)} parameters in all",
            )
        )
    if plan.multiplier is not None and plan.request.change is not None:
        before, after = plan.request.change
        rows.append(("compute multiplier", f"of a change {before:g} -> {after:g} nats", words.times(plan.multiplier)))
    return Section("The run", ("", "unit", "value and interval"), tuple(rows))


def _bill(plan: Plan) -> Section:
    paid = plan.bill
    chip, speed = paid.rates.chip, paid.rates.speed
    mfu = Quantity(speed.value, speed.low, speed.high)
    assumed = "" if plan.request.chip else "assumed (--chip): "
    rows = [
        ("chip", f"{assumed}{chip.peak_flops:.3g} FLOP/s dense bf16, {chip.memory / 1e9:.0f} GB", chip.name),
        ("MFU", f"6ND over the peak; {speed.source}", words.share(mfu)),
    ]
    if paid.rates.price is not None:
        low, value, high = paid.rates.price
        rows.append(("price", f"a chip-hour; {paid.rates.price_source}", words.money(Quantity(value, low, high))))
    rows.append(("chip-hours", "of training, at that MFU", words.plain(paid.chip_hours)))
    if paid.chips is not None and paid.days is not None:
        rows += [("chips", "", words.plain(paid.chips)), ("days", "wall clock", words.plain(paid.days))]
    else:
        rows.append(("days", "wall clock, were there so many chips", _days(paid.chip_hours)))
    if paid.dollars is not None:
        rows.append(("dollars", "training alone, no failed runs, no staff", words.money(paid.dollars)))
    if paid.megawatt_hours is not None:
        rows.append(("energy", "MWh, data centre included", words.plain(paid.megawatt_hours)))
    else:
        rows.append(("energy", f"the power of {chip.name} is not published", "unknown"))
    if plan.mesh is not None:
        mesh = plan.mesh
        how = f", {mesh.tensor} a sequence" if mesh.tensor > 1 else ""
        each = f"{(mesh.state + mesh.activations) / 1e9:.3g} GB each, of it {mesh.state / 1e9:.3g} GB state"
        rows.append(("smallest mesh", each, f"{mesh.chips} chip{'s' * (mesh.chips > 1)}{how}"))
        rows.append(("to serve", "bf16 weights alone", f"{mesh.serving_chips} chip{'s' * (mesh.serving_chips > 1)}"))
    limit = plan.deadline
    fifth, twice = si(limit.limits.fifth_more), si(limit.limits.twice)
    batches = f"a batch of {fifth} tokens wants a fifth more tokens for the same loss, one of {twice} twice as many"
    rows.append(("chips that help", batches, f"up to {limit.useful_chips:,}: {_time(limit.days)}"))
    note = "brackets here: 90% of the ranges of MFU, price and power, and of what the law leaves open"
    return Section("The bill", ("", "what it is", "value and range"), tuple(rows), note)


def _days(hours: Quantity) -> str:
    """11.6 on 1, 1.5 on 8: powers of eight that take from an hour to three years."""
    shown = [(8**power, hours.value / 24 / 8**power) for power in range(8)]
    near = [f"{days:.2g} on {chips:,}" for chips, days in shown if 1 / 24 <= days <= 1100]
    return ", ".join(near[-3:]) or f"{hours.value / 24:.3g} on 1"


def _time(days: float) -> str:
    hours = 24 * days
    return f"{days:.3g} days" if days >= 1 else f"{hours:.2g} hours" if hours >= 1 else "less than an hour"


def _smaller(plan: Plan) -> Section:
    rows = []
    cost = plan.bill.dollars
    for one in plan.smaller:
        if one.d_tokens is None or one.overhead is None:
            where = f"no D reaches this loss (in {one.impossible:.0%} of the draws)"
            rows.append((f"{one.share:g} N", si(one.n_params), f"impossible: {where}", "", ""))
            continue
        extra = words.dollars(one.overhead.value * cost.value) if cost is not None else ""
        doubt = f"; impossible in {one.impossible:.0%} of the draws" if one.impossible > 0.05 else ""
        overhead = words.percent(one.overhead) + doubt
        rows.append((f"{one.share:g} N", si(one.n_params), words.counted(one.d_tokens), overhead, extra))
    return Section(
        "Smaller models that reach the same loss",
        ("size", "N", "D", "extra training compute", "extra dollars"),
        tuple(rows),
        "de Vries 2023; below zero: in some draws the run above is too large for its compute; dollars at the values",
    )


def _recipe(plan: Plan) -> Section:
    rows = [
        (
            rule.source,
            "" if rule.learning_rate is None else f"{rule.learning_rate:.3g}",
            "" if rule.batch_tokens is None else si(rule.batch_tokens),
        )
        for rule in plan.recipe.rules
    ]
    if plan.law.status != "published":
        rows.append(("own sweep", plan.recipe.own or "no learning rates in its columns", ""))
    return Section(
        "Learning rate and batch: the rules disagree, so look at all",
        ("rule", "peak learning rate (AdamW)", "batch (tokens)"),
        tuple(rows),
        f"AdamW weight decay = batch tokens / (learning rate x {plan.recipe.timescale:.3g} D) (Bergsma et al. 2025)",
    )


def _served(plan: Plan) -> Section | None:
    served = plan.served
    if served is None:
        return None
    weight = "as dear as" if served.serving_weight == 1 else f"{served.serving_weight:.3g} times as dear as"
    rows = (
        ("N", "parameters", words.counted(served.n_params)),
        ("D", "training tokens", words.counted(served.d_tokens)),
        ("training FLOPs", "", f"{served.training_flops:.3g}"),
        ("saved", "of training and serving together", words.share(served.saving)),
    )
    title = f"The cheapest model of this loss, if {si(served.serve_tokens)} tokens are served"
    note = f"a served FLOP {weight} a training FLOP; Sardana et al. 2024"
    return Section(title, ("", "unit", "value and interval"), rows, note)


def _repeated(plan: Plan) -> Section | None:
    found = plan.repeated
    if found is None:
        return None
    rows = (
        ("N", "parameters; sizes within 0.1% of the loss", words.counted(found.n_params)),
        ("D", "training tokens", f"{si(found.d_tokens)} = {found.epochs:.3g} epochs"),
        ("worth", "new tokens", si(found.effective_tokens)),
        ("loss of that", "nats per token", f"{found.loss:.4f}"),
        ("loss of the run above", "its text repeated", f"{found.loss_as_planned:.4f}"),
        ("without the limit", "the best run of this compute", f"{found.loss_unlimited:.4f}"),
    )
    title = f"With {si(found.unique_tokens)} unique tokens: the best run of the same compute"
    note = "Muennighoff et al. 2023; no interval: what a repeat is worth is known to a factor of three at best"
    return Section(title, ("", "unit", "value"), rows, note)


def _off(plan: Plan) -> Section | None:
    if plan.off is None:
        return None
    rows = (
        ("wasted", "of the compute, against the optimal run of the same loss", words.share(plan.off.wasted)),
        ("optimal N", "at this compute", si(plan.off.best_n)),
        ("optimal D", "at this compute", si(plan.off.best_d)),
    )
    return Section("The price of being off the optimum", ("", "", "value and interval"), rows)


def _compression(plan: Plan) -> Section:
    c = plan.compression
    text = f"{c.text_bytes / 1e12:.3g} TB" + (" (4.5 bytes a token: assumption)" if c.assumed else "")
    rows = (
        ("training text", text, ""),
        ("model as the archive", f"{c.model_bytes / 1e9:.4g} GB in bf16; lossy", f"{c.lossy:.3g}x"),
        ("model and coded text", f"{c.coded_bytes.value / 1e12:.3g} TB coded; lossless", words.times(c.lossless)),
    )
    return Section("As compression", ("", "what it is", "ratio"), rows, "Deletang et al. 2023")


def _causes(plan: Plan) -> Section:
    paid = "dollars" if plan.bill.dollars is not None else "chip-hours"
    rows = [
        (of, cause, f"{part:.0%}")
        for of, causes in (("loss", plan.causes), (paid, plan.bill.causes))
        for cause, part in sorted(causes.items(), key=lambda item: -item[1])
        if part >= SMALLEST_SHARE
    ]
    return Section("What the uncertainty comes from", ("of the", "cause", "share of variance"), tuple(rows))
