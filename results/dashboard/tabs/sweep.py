"""How does the sweep stand? Status, ETA and cost, the runs over N and D, their curves, a table, and one run in full."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import dash_ag_grid as dag
import plotly.graph_objects as go
from dash import Dash, Input, Output, State, ctx, html, no_update
from dash.development.base_component import Component

from fitting.show import si
from results.dashboard.controls import Choice, Choices, Control, Hidden, Option, Slide, Values, key_of
from results.dashboard.moment import Live, Moment
from results.dashboard.parts import cards, command, empty, heading, table
from results.dashboard.run_table import (
    BY_FIELD,
    COLUMNS,
    DEFAULT_COLUMNS,
    GROUPS,
    as_columns,
    column_definitions,
    group_definitions,
    grouped,
    rows,
)
from results.dashboard.tab import Drawn, Fixed, Panel, Tab, Words
from results.figures.loss_curves import WINDOW, Along, Unit, loss_curves
from results.figures.run_course import run_course
from results.figures.run_grid import chosen_mark, run_grid
from results.listing import shown_status
from results.planned import Eta, PlannedRun, SweepPlan, eta
from results.record import RunRecord, RunStatus
from results.reproduce import command_of, needs_path
from results.words import CAUTION, GOOD, PLAIN, duration, short

NAME = "sweep"
MOST_CURVES = 60  # lines; more are neither seen nor fast
TABLE = "runs-table"
SHOWN = (Option("all", f"all (at most {MOST_CURVES})"), Option("running", "running"), Option("chosen", "ticked below"))


def controls(live: Live, moment: Moment) -> list[Control]:
    columns = [Option(column.field, column.label) for column in COLUMNS if column.field != "run"]
    groups = [Option("", "no groups"), *(Option(name, BY_FIELD[name].label) for name in GROUPS)]
    return [
        Choice("along", "curves against", [Option(one.name.lower(), one.value) for one in Along], "tokens"),
        Choice("unit", "loss in", [Option("nats", "nats per token"), Option("bits", "bits per byte")], "nats"),
        Slide("smooth", "smoothing (rows of a curve)", 1, 51, 2, WINDOW, {1: "none", 25: "25", 51: "51"}),
        Choice("show", "curves of", SHOWN, "all"),
        Choice("group", "group the table by", groups, ""),
        Choices("columns", "columns of the table", columns, tuple(name for name in DEFAULT_COLUMNS if name != "run")),
        Hidden("run"),
        Hidden("ticked"),
    ]


def _state(live: Live, moment: Moment, values: Values) -> list[Component]:
    if not moment.records and not moment.plans:
        folder = "holds no runs yet" if moment.store.exists else "does not exist yet"
        said = f"The store {moment.store.address} {folder}. This page follows it: start a sweep and watch."
        return [empty("No runs", said), command("python -m sweep -m experiment=quickstart")]
    shown = [_runs_card(moment)]
    plan, left = _current(live, moment)
    if plan is not None and left is not None and (left.waiting or left.running):
        shown.append(_eta_card(plan, left))
    shown.append(_cost_card(moment, left))
    if (best := _lowest(moment.records)) is not None:
        bpb = "" if best.bpb is None else f", {best.bpb:.4f} bits/byte"
        size = f"N = {si(best.n_params_non_embedding)} on {si(best.d_tokens)} tokens ({best.run_id[:8]})"
        shown.append(("Lowest loss", f"{best.loss:.4f} nats/token", [f"{size}{bpb}."], PLAIN))
    drawn: list[Component] = [cards(shown)]
    if moment.damaged:
        drawn += heading("Files that could not be read", "They are left out of everything here.")
        drawn.append(table(("file", "why"), [(one.path, one.reason) for one in moment.damaged]))
    return drawn


def _runs_card(moment: Moment) -> tuple[str, str, list[str], str]:
    statuses = Counter(shown_status(record) for record in moment.records)
    said = ", ".join(f"{count:,} {status}" for status, count in statuses.most_common())
    bad = [r for r in moment.records if r.status in (RunStatus.FAILED, RunStatus.DIVERGED)]
    sentences = [f"{said}."] if said else ["None has begun."]
    if bad:
        sentences.append(f"Last to fail: {bad[-1].run_id[:8]}, {bad[-1].sentence}.")
    return "Runs", f"{len(moment.records):,}", sentences, CAUTION if bad else GOOD if statuses else PLAIN


def _eta_card(plan: SweepPlan, left: Eta) -> tuple[str, str, list[str], str]:
    counts = f"{left.done:,} of {len(plan.runs):,} runs done, {left.running:,} running, {left.waiting:,} waiting"
    answer = f"{left.share:.0%} done"
    if left.seconds is not None:
        answer += f", {duration(left.seconds)} left"
    return f"Sweep {plan.sweep}", answer, [f"{counts}, {left.failed:,} failed. By FLOPs, at the rate so far."], PLAIN


def _cost_card(moment: Moment, left: Eta | None) -> tuple[str, str, list[str], str]:
    seconds = sum(record.seconds or 0.0 for record in moment.records)
    flops = sum(_spent(record) for record in moment.records)
    said = [f"{short(flops)} training FLOPs in {duration(seconds)} of training, all runs of the store."]
    if left is not None and left.dollars is not None:
        all_in = "" if left.dollars_in_all is None else f" of about ${left.dollars_in_all:,.2f}"
        return "Cost so far", f"${left.dollars:,.2f}{all_in}", said, PLAIN
    return "Cost so far", duration(seconds), [*said, "In dollars with launcher.price=DOLLARS_AN_HOUR."], PLAIN


def _spent(record: RunRecord) -> float:
    spent = record.flops if record.flops_spent is None else record.flops_spent
    return spent * (record.last_step / record.steps if record.status != RunStatus.DONE and record.steps else 1.0)


def _current(live: Live, moment: Moment) -> tuple[SweepPlan | None, Eta | None]:
    """The newest plan that is not finished, else the newest."""
    found: list[tuple[SweepPlan, Eta]] = []
    for plan in reversed(moment.plans):
        records = [moment.by_id[run.run_id] for run in plan.runs if run.run_id in moment.by_id]
        found.append((plan, eta(plan, records, time.time(), _steps(live, records))))
        if found[-1][1].waiting or found[-1][1].running:
            return found[-1]
    return found[0] if found else (None, None)


def _steps(live: Live, records: Sequence[RunRecord]) -> dict[str, int]:
    """Where running runs are, from their curves."""
    running = [record for record in records if record.status == RunStatus.RUNNING]
    curves = live.curves(running[-MOST_CURVES:])
    return {run_id: int(curve["step"][-1]) for run_id, curve in curves.items() if len(curve["step"])}


def _waiting(moment: Moment) -> list[PlannedRun]:
    """Of the newest plan: those of older ones may have been given up."""
    if not moment.plans:
        return []
    return [run for run in moment.plans[-1].runs if run.run_id not in moment.by_id]


def _lowest(records: Sequence[RunRecord]) -> RunRecord | None:
    done = [record for record in records if record.loss is not None and record.status == RunStatus.DONE]
    return min(done, key=lambda record: record.loss or 0.0, default=None)


def _grid(live: Live, moment: Moment, values: Values) -> Drawn:
    waiting = _waiting(moment)
    if not moment.records and not waiting:
        return "No run has begun."
    drawn = live.once(("grid", moment.version), lambda: run_grid(moment.records, waiting))
    made = live.once(("grid as JSON", moment.version), drawn.to_dict)  # of 10,000 runs, for every run that is clicked
    ring = chosen_mark(drawn, values["run"])
    return made if ring is None else {"data": [*made["data"], ring], "layout": made["layout"]}


def _curves(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    chosen = _chosen(moment, values)
    if not chosen:
        return {"running": "No run is in training.", "chosen": "Tick runs in the table below."}.get(
            values["show"], "No run has begun."
        )
    curves = live.curves(chosen)
    if not any(len(curve["tokens"]) for curve in curves.values()) and all(record.loss is None for record in chosen):
        return "No curve is written yet."
    return loss_curves(
        chosen, curves, Along[values["along"].upper()], Unit[values["unit"].upper()], int(values["smooth"])
    )


def _chosen(moment: Moment, values: Values) -> list[RunRecord]:
    if values["show"] == "running":
        return [record for record in moment.records if record.status == RunStatus.RUNNING][-MOST_CURVES:]
    if values["show"] == "chosen":
        ticked = values["ticked"].split(",")
        return [moment.by_id[name] for name in ticked if name in moment.by_id][:MOST_CURVES]
    if len(moment.records) <= MOST_CURVES:
        return list(moment.records)
    ordered = sorted(moment.records, key=lambda record: record.flops)
    step = (len(ordered) - 1) / (MOST_CURVES - 1)
    return [ordered[round(place * step)] for place in range(MOST_CURVES)]


def _table(live: Live, moment: Moment, values: Values) -> Component:
    return html.Div(
        [
            *heading("Runs", "Click a run to see all of it below; tick runs to draw their curves."),
            dag.AgGrid(
                id=TABLE,
                getRowId="params.data.id",
                defaultColDef={"resizable": True, "sortable": True, "floatingFilter": True, "minWidth": 90},
                columnSize="autoSize",
                dashGridOptions={
                    "rowSelection": {"mode": "multiRow", "enableClickSelection": False, "headerCheckbox": False},
                    "pagination": True,
                    "paginationPageSize": 50,
                    "animateRows": False,
                    "tooltipShowDelay": 400,
                    "suppressColumnVirtualisation": True,
                },
                style={"height": "30rem", "width": "100%"},
            ),
        ]
    )


def _register(app: Dash, live: Live) -> None:
    @app.callback(
        Output(TABLE, "rowData"),
        Output(TABLE, "columnDefs"),
        Input("version", "data"),
        Input(key_of(NAME, "group"), "value"),
        Input(key_of(NAME, "columns"), "value"),
        State(TABLE, "columnDefs"),
    )
    def fill(version: str, group: str | None, columns: list[str] | None, before: Any) -> tuple[Any, Any]:
        moment = live.moment()
        if group in GROUPS:
            found, made = grouped(moment.records, str(group)), group_definitions(str(group))
        else:
            names = ["run", *as_columns([name for name in columns or () if name != "run"])]
            found, made = live.once(("rows", moment.version, tuple(names)), lambda: rows(moment.records, names)), None
            made = column_definitions(list(dict.fromkeys(names)))
        return found, no_update if made == before else made  # new definitions would undo widths and order

    @app.callback(
        Output(key_of(NAME, "run"), "value"),
        Input({"panel": f"{NAME}-grid", "part": "graph"}, "clickData"),
        Input({"panel": f"{NAME}-curves", "part": "graph"}, "clickData"),
        Input(TABLE, "cellClicked"),
        State(key_of(NAME, "group"), "value"),
        prevent_initial_call=True,
    )
    def choose(grid: Any, curves: Any, cell: Any, group: str | None) -> Any:
        if ctx.triggered_id == TABLE:
            return no_update if group or not cell else str(cell.get("rowId", ""))
        clicked = (ctx.triggered[0]["value"] or {}).get("points") or [{}]
        name = clicked[0].get("customdata")
        return no_update if name is None else str(name[0] if isinstance(name, list) else name)

    @app.callback(
        Output(key_of(NAME, "ticked"), "value"),
        Input(TABLE, "selectedRows"),
        prevent_initial_call=True,
    )
    def tick(selected: Any) -> Any:
        if not isinstance(selected, list):
            return no_update
        return ",".join(str(row.get("id", "")) for row in selected[:MOST_CURVES])


def _run(live: Live, moment: Moment, values: Values) -> list[Component]:
    if not values["run"]:
        return heading("One run", "None is chosen: click a mark, a curve or a row above.")
    record = moment.by_id.get(values["run"])
    if record is None:
        planned = next((run for run in _waiting(moment) if run.run_id == values["run"]), None)
        if planned is None:
            return [*heading("One run"), empty("Not in the store", f"No run is called {values['run'][:60]!r}.")]
        said = f"{si(planned.n_params)} parameters on {si(planned.d_tokens)} tokens, about {duration(planned.seconds)}."
        return [*heading(f"Run {planned.run_id}"), cards([("Status", "waiting", [said], PLAIN)])]
    status = shown_status(record)
    tone = GOOD if status == "done" else PLAIN if status == "running" else CAUTION
    loss = "none yet" if record.loss is None else f"{record.loss:.4f} nats/token"
    error = "" if record.loss_se is None else f"± {record.loss_se:.4f} (standard error over held-out windows)"
    speed = "not known" if record.tokens_per_second is None else f"{si(record.tokens_per_second)} tokens/s"
    shown = [
        (
            "Status",
            status,
            [f"{record.sentence}.", f"Attempt {record.attempt}, step {_step(live, record):,} of {record.steps:,}."],
            tone,
        ),
        ("Held-out loss", loss, [one for one in (error, _bits(record)) if one], PLAIN),
        ("Size", f"N = {si(record.n_params_non_embedding)}, D = {si(record.d_tokens)}", _size(record), PLAIN),
        ("Hardware", speed, _hardware(record), PLAIN),
    ]
    drawn = [*heading(f"Run {record.run_id}"), cards(shown)]
    line = command_of(record)
    if line is None:
        drawn.append(html.P("Its specification cannot be read as a command of this version.", className="under"))
    else:
        hint = " Add data.path=… where its text lies." if needs_path(record) else ""
        drawn += [
            html.P(
                f"Train it again (same specification, same bits on the same kind of machine):{hint}", className="under"
            )
        ]
        drawn.append(command(line))
    drawn.append(html.Details([html.Summary("everything that is recorded of it"), _everything(record)]))
    return drawn


def _step(live: Live, record: RunRecord) -> int:
    """A running run's record does not tell; its curve does."""
    return _steps(live, [record]).get(record.run_id, record.last_step)


def _bits(record: RunRecord) -> str:
    return "" if record.bpb is None else f"{record.bpb:.4f} bits per byte of {si(record.eval_bytes)} bytes."


def _size(record: RunRecord) -> list[str]:
    return [
        f"Width {record.width}, depth {record.depth}, {record.heads} heads, vocabulary {record.vocab_size:,}, context "
        f"{record.sequence:,} tokens.",
        f"{record.flops:.3g} exact training FLOPs, 6ND = {record.flops_6nd:.3g}.",
    ]


def _hardware(record: RunRecord) -> list[str]:
    told = [
        f"{record.devices} x {record.device or 'device not told'} on {record.host or 'a host not told'}, "
        f"{record.launcher}."
    ]
    if record.flops_per_second is not None:
        mfu = "" if record.mfu is None else f", MFU {record.mfu:.1%}"
        told.append(f"{si(record.flops_per_second)}FLOP/s{mfu}, {duration(record.seconds or 0.0)} in training steps.")
    if record.peak_bytes:
        told.append(f"At most {record.peak_bytes / 1e9:.2f} GB of device memory.")
    return told


def _everything(record: RunRecord) -> Component:
    fields = [(name, _text(value)) for name, value in vars(record).items() if name != "spec_json"]
    try:
        spec = json.dumps(json.loads(record.spec_json), indent=1)
    except ValueError:
        spec = record.spec_json
    return html.Div([table(("column", "value"), fields), html.Pre(spec, className="spec", tabIndex="0")])


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)


def _course(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    record = moment.by_id.get(values["run"])
    if record is None:
        return "Choose a run above."
    curve = live.curve(record)
    return run_course(record, curve) if len(curve["tokens"]) else "It has written no curve yet."


SWEEP = Tab(
    name=NAME,
    title="Sweep",
    question="What runs, what ran, what is left, and what it costs.",
    controls=controls,
    pieces=(
        Words("state", _state, curves=True),
        Panel(
            "grid",
            "Runs by status",
            "One mark a run; runs that differ in seed or learning rate alone stand side by side. Click one for all"
            " of it.",
            _grid,
            needs=("run",),
            height=440,
        ),
        Panel(
            "curves",
            "Loss curves",
            "Lines are the training loss, markers the held-out loss after the last step. Click a line for its run.",
            _curves,
            needs=("along", "unit", "smooth", "show", "ticked"),
            height=460,
            curves=True,
            zoom=("along", "unit", "show"),
        ),
        Fixed(_table),
        Words("run", _run, needs=("run",)),
        Panel(
            "course",
            "Course of the run",
            "What the run did to its machine and to its parameters, along the tokens that it saw.",
            _course,
            needs=("run",),
            height=420,
            full=True,
            curves=True,
            zoom=("run",),
        ),
    ),
    register=_register,
)
