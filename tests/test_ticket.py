"""Jobs that are handed to another machine, as files: what is to be done, and what has happened."""

from __future__ import annotations

import dataclasses

import pytest
from tiny_runs import byte_corpus, make_spec, place

from results.store import Store
from sweep.events import Cause, Elsewhere, Finished, Forked, Progress, Retried, Started
from sweep.launchers.launcher import Job
from sweep.launchers.settings import Resources
from sweep.launchers.ticket import EventLog, drop_ticket, new_ticket, read_ticket, tickets, write_ticket
from sweep.place import Work

EVENTS = [
    Started("a"),
    Progress("a", 64, 128, 3.25, 1e5),
    Forked("b"),
    Elsewhere("c"),
    Retried("a", "again"),
    Finished("a", "failed", "went <b>wrong</b>\n\u2028 twice", Cause.MEMORY),
]


@pytest.fixture
def ticket(text_folder, tmp_path):
    corpus = byte_corpus(text_folder)
    branch = make_spec(corpus, steps=100)
    work = Work(make_spec(corpus, steps=200), ((70, (branch,)),))
    resources = Resources(nodes=2, accelerators=8, cores=96, memory_gb=None, hours=12.5)
    return new_ticket("slurm", [Job((work,), place(corpus, tmp_path))], resources, 2, 30.0, 600.0)


def test_a_ticket_survives_the_round_trip(ticket, tmp_path):
    store = Store(tmp_path)
    file = write_ticket(store, ticket)
    assert read_ticket(file) == ticket
    assert ticket.run_ids == [ticket.jobs[0].works[0].spec.run_id, ticket.jobs[0].works[0].forks[0][1][0].run_id]
    handed_over = dataclasses.replace(ticket, job="12_0")
    write_ticket(store, handed_over)
    (tmp_path / "jobs" / "broken.json").write_text("{")
    assert tickets(store) == [handed_over]
    drop_ticket(store, ticket.name)
    assert tickets(store) == []


def test_events_survive_the_round_trip_and_come_once(tmp_path):
    log, reader = EventLog(tmp_path / "x.events"), EventLog(tmp_path / "x.events")
    assert reader.news() == []
    log.append(EVENTS[:2])
    assert reader.news() == EVENTS[:2]
    assert reader.news() == []
    log.append(EVENTS[2:])
    assert reader.news() == EVENTS[2:]


def test_a_line_that_a_kill_cut_short_is_skipped_and_half_a_line_waits(tmp_path):
    file = tmp_path / "x.events"
    log, reader = EventLog(file), EventLog(file)
    log.append(EVENTS[:1])
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"progress": {"run_')
    assert reader.news() == EVENTS[:1]
    log.append(EVENTS[5:])
    assert reader.news() == EVENTS[5:]
