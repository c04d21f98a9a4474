"""What does a plan say, line by line? (title, headers, rows): the same for the terminal and for the page."""

from __future__ import annotations

from dataclasses import dataclass

from fitting.planner import words
from fitting.planner.belief import Provenance
from fitting.planner.plan import Plan
from fitting.planner.quantity import Quantity
from fitting.show import si


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
        ("loss", "nats per token", words.loss(plan.loss)),
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
    rows = [
        ("chip", f"{chip.peak_flops:.3g} FLOP/s dense bf16, {chip.memory / 1e9:.0f} GB", chip.name),
        ("MFU", speed.source, words.share(mfu)),
    ]
    if paid.rates.price is not None:
        low, value, high = paid.rates.price
        rows.append(("price", f"a chip-hour; {paid.rates.price_source}", words.money(Quantity(value, low, high))))
    rows.append(("chip-hours", "", words.plain(paid.chip_hours)))
    if paid.chips is not None and paid.days is not None:
        rows += [("chips", "", words.plain(paid.chips)), ("days", "", words.plain(paid.days))]
    if paid.dollars is not None:
        rows.append(("dollars", "training alone, no failed runs, no staff", words.money(paid.dollars)))
    if paid.megawatt_hours is not None:
        rows.append(("energy", "MWh, data centre included", words.plain(paid.megawatt_hours)))
    else:
        rows.append(("energy", f"the power of {chip.name} is not published", "unknown"))
    if plan.mesh is not None:
        mesh = plan.mesh
        how = f", {mesh.tensor} to a sequence" if mesh.tensor > 1 else ""
        each = f"{(mesh.state + mesh.activations) / 1e9:.3g} GB each, of it {mesh.state / 1e9:.3g} GB state"
        rows.append(("smallest mesh", each, f"{mesh.chips} chip{'s' * (mesh.chips > 1)}{how}"))
        rows.append(("to serve", "bf16 weights alone", f"{mesh.serving_chips} chip{'s' * (mesh.serving_chips > 1)}"))
    if plan.deadline is not None:
        limit = plan.deadline
        fifth, twice = limit.limits.fifth_more, limit.limits.twice
        batches = f"a batch of {si(fifth)} tokens takes a fifth more tokens, one of {si(twice)} twice as many"
        rows.append(("chips that help", batches, f"up to {limit.useful_chips:,}; {limit.least_days:.3g} days at least"))
    return Section("The bill", ("", "what it is", "value and range"), tuple(rows))


def _smaller(plan: Plan) -> Section:
    rows = []
    cost = plan.bill.dollars
    for one in plan.smaller:
        if one.d_tokens is None or one.overhead is None:
            rows.append((f"{one.share:g} N", si(one.n_params), "impossible: no D reaches this loss", "", ""))
            continue
        extra = words.dollars(one.overhead.value * cost.value) if cost is not None else ""
        doubt = f"; impossible in {one.impossible:.0%} of the draws" if one.impossible > 0.05 else ""
        overhead = words.percent(one.overhead) + doubt
        rows.append((f"{one.share:g} N", si(one.n_params), words.counted(one.d_tokens), overhead, extra))
    return Section(
        "Smaller models that reach the same loss",
        ("size", "N", "D", "extra training compute", "extra dollars"),
        tuple(rows),
        "de Vries 2023, Go smol or go home",
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
    rows.append(("own sweep", plan.recipe.own or "says nothing: no learning rates in its columns", ""))
    return Section(
        "Learning rate and batch: the rules disagree, so look at all",
        ("rule", "peak learning rate (AdamW)", "batch (tokens)"),
        tuple(rows),
        f"weight decay = batch / (learning rate x {plan.recipe.timescale:.3g} D), in tokens (Bergsma et al. 2025)",
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
        ("N", "parameters", si(found.n_params)),
        ("D", "training tokens", f"{si(found.d_tokens)} = {found.epochs:.3g} epochs"),
        ("worth", "new tokens", si(found.effective_tokens)),
        ("loss", "nats per token", f"{found.loss:.4f} (without the limit {found.loss_unlimited:.4f})"),
    )
    title = f"With {si(found.unique_tokens)} unique tokens and the same compute"
    return Section(title, ("", "unit", "value"), rows, "Muennighoff et al. 2023; read the difference, not the digits")


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
    ]
    return Section("What the uncertainty comes from", ("of the", "cause", "share of variance"), tuple(rows))
