"""The dashboard without a browser: who may look, what a URL may say, what is reckoned once, what the table holds."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from sample_store import HOSTILE, write_sample
from typer.testing import CliRunner
from werkzeug.test import Client

from fitting.errors import InputError
from results.__main__ import app as command
from results.dashboard import controls as c
from results.dashboard.app import make_app
from results.dashboard.moment import Live
from results.dashboard.run_table import COLUMNS, GROUPS, column_definitions, group_definitions, grouped, rows
from results.dashboard.serve import check_access, is_loopback, make_dashboard_server
from results.dashboard.tabs import TABS
from results.record import record_fields
from results.store import Store

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Live:
    return Live(write_sample(tmp_path_factory.mktemp("dashboard") / "store"))


def client(live: Live, host: str = "127.0.0.1", token: str | None = None) -> Client:
    app = make_app(live, "store")
    server = make_dashboard_server(app, host, 0, token)
    server.server_close()
    return Client(app.server)


def test_only_this_machine_may_look_unless_there_is_a_token():
    for host in ("0.0.0.0", "::", "192.168.0.7", "example.com"):
        assert not is_loopback(host)
        with pytest.raises(InputError, match=r"^--host [^\n]+ lets others [^\n]+$"):
            check_access(host, None)
        check_access(host, TOKEN)
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert is_loopback(host)
        check_access(host, None)
    with pytest.raises(InputError, match="16 and more"):
        check_access("127.0.0.1", "short")


def test_a_visitor_without_the_token_gets_nothing(live: Live):
    asked = client(live, "0.0.0.0", TOKEN)
    for path in ("/", "/_dash-layout", "/isoflop.js", "/plotly.js", "/_dash-dependencies"):
        assert asked.get(path).status_code == 401
        assert asked.get(f"{path}?token=wrong").status_code == 401
    opened = asked.get(f"/law?cut=12&token={TOKEN}")
    assert opened.status_code == 302
    assert opened.headers["Location"] == "/law?cut=12"
    assert "HttpOnly" in opened.headers["Set-Cookie"]
    assert asked.get("/").status_code == 200  # by the cookie


def test_a_page_elsewhere_cannot_reach_it_under_a_name_of_its_own(live: Live):
    asked = client(live)
    assert asked.get("/", base_url="http://127.0.0.1:8050").status_code == 200
    assert asked.get("/", base_url="http://localhost:8050").status_code == 200
    assert asked.get("/", base_url="http://[::1]:8050").status_code == 200
    assert asked.get("/_dash-layout", base_url="http://evil.example:8050").status_code == 403


def test_every_answer_forbids_what_is_not_its_own(live: Live):
    answer = client(live).get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'self' 'sha256-" in policy
    assert "http" not in policy
    assert "https://" not in answer.get_data(as_text=True)


def test_a_port_that_is_taken_is_refused_in_one_line(live: Live):
    first = make_dashboard_server(make_app(live, "store"), "127.0.0.1", 0, None)
    with pytest.raises(InputError, match=r"^127.0.0.1 port \d+: [^\n]+ give another with --port[^\n]*$"):
        make_dashboard_server(make_app(live, "store"), "127.0.0.1", first.server_port, None)
    first.server_close()


def test_the_command_refuses_others_without_a_token(tmp_path: Path):
    done = CliRunner().invoke(command, ["dashboard", "--store", str(tmp_path), "--host", "0.0.0.0"])
    assert isinstance(done.exception, InputError)
    assert "--token" in str(done.exception)


def test_a_url_is_checked_like_any_input():
    options = [c.Option("a", "A"), c.Option("b", "B")]
    asked = [
        c.Choice("one", "", options, "a"),
        c.Choices("some", "", options, ("a",)),
        c.Slide("at", "", 0.0, 10.0, 1.0, 5.0, {}),
        c.Number("number", ""),
        c.Hidden("run"),
    ]
    read = c.read_query(asked, "?one=x&some=b,evil,a&at=99&number=2e6&run=" + "x" * 500)
    assert read == {"one": "a", "some": ["b", "a"], "at": 10.0, "number": 2e6, "run": "x" * 200}
    assert c.read_query(asked, None) == {"one": "a", "some": ["a"], "at": 5.0, "number": None, "run": ""}
    for text, value in {"nan": None, "1e999": None, "5%": 0.05, "$2,500": 2500.0, "-": None}.items():
        assert c.read_query(asked, f"number={text.replace('%', '%25')}")["number"] == value


def test_what_a_tab_says_by_default_is_left_out_of_its_url_and_read_back(live: Live):
    for tab in TABS:
        asked = tab.controls(live, live.moment())
        said = "&".join(f"{name}={value}" for name, value in c.defaults(asked).items() if value)
        assert c.read_query(asked, said) == c.read_query(asked, ""), tab.name


def test_two_that_ask_at_once_wait_for_one_answer(live: Live):
    made, barrier, got = [], threading.Barrier(4), []

    def make() -> int:
        made.append(1)
        threading.Event().wait(0.1)
        return 7

    def ask() -> None:
        barrier.wait()
        got.append(live.once("slow", make))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [7] * 4
    assert len(made) == 1


def test_a_result_that_could_not_be_made_is_asked_for_again(live: Live):
    def fail() -> int:
        raise InputError("not yet")

    with pytest.raises(InputError):
        live.once("fails", fail)
    assert live.once("fails", lambda: 3) == 3


def test_the_version_changes_with_a_record_and_not_without(tmp_path: Path):
    from test_figures import a_record

    watched = Live(Store(tmp_path))
    before = watched._look()
    assert before.version == watched._look().version
    watched.store.write(a_record(status="running", loss=None))
    running = watched._look()
    assert running.version != before.version
    watched.store.write_curve("run-0", [{"step": 1, "tokens": 1.0, "loss": 1.0, "attempt": 1}])
    assert watched._look().version == running.version
    assert watched._look().curves_version != running.curves_version


def test_rows_are_json_with_hostile_text_as_text_and_no_number_that_json_lacks(live: Live):
    records = [*live.moment().records, live.moment().records[0].replace(run_id="nan", loss=float("nan"))]
    made = rows(records, [column.field for column in COLUMNS])
    json.dumps(made, allow_nan=False)
    hostile = next(row for row in made if row["id"] == "bad-hostile")
    assert hostile["sweep"] == HOSTILE.replace("\x1b", "\ufffd")
    assert made[0]["loss"] is None


def test_columns_are_those_of_the_record():
    own = {"run", "started"}
    assert {column.field for column in COLUMNS} - own <= record_fields().keys()
    assert set(GROUPS) <= {column.field for column in COLUMNS}
    for by in GROUPS:
        assert group_definitions(by)[0]["field"] == "value"
    assert column_definitions(["loss"])[0]["pinned"] == "left"


def test_groups_count_runs_and_their_losses(live: Live):
    records = list(live.moment().records)
    by_recipe = {row["value"]: row for row in grouped(records, "mlp")}
    mine = [record.loss for record in records if record.mlp == "swiglu" and record.loss is not None]
    assert by_recipe["swiglu"]["runs"] == 16
    assert by_recipe["swiglu"]["best"] == min(mine)
    assert by_recipe["swiglu"]["mean"] == pytest.approx(sum(mine) / 16)
    assert sum(row["runs"] for row in grouped(records, "status")) == len(records)
