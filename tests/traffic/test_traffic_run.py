"""Traffic into a real store and out of it."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_traffic_otlp import agent_trace

from andon.errors import InputError, StoreError
from andon.store import Ledger, Rollup, Span, Warehouse
from andon.traffic import SCHEMAS, Feedback, Interaction, SpanRow, assemble, spans_of, spans_to_rows
from andon.traffic.records import LogRow
from andon.traffic.redaction import redaction
from andon.traffic.rows import logs_to_rows
from andon.traffic.run import (
    Assembled,
    Intake,
    assemble_traces,
    assembling,
    find_follow_ups_in,
    import_files,
    intake_report,
    read_interactions_by_id,
    read_new,
    read_new_feedback,
    record,
    record_feedback,
)
from andon.traffic.sampling import Sampling
from andon.traffic.settling import TraceCursor

US = 1_790_000_000_000_000
S = 1_000_000


@pytest.fixture
def warehouse(tmp_path):
    """An empty store with the tables of this stage."""
    opened = Warehouse(tmp_path / "store", SCHEMAS)
    yield opened
    opened.close()


@pytest.fixture
def ledger():
    """An empty ledger in memory."""
    opened = Ledger("sqlite://")
    yield opened
    opened.close()


def rows_in(warehouse, table="interactions"):
    """How many rows a table has."""
    return warehouse.run(Rollup(table=table))["rows"].to_pylist()[0]


def test_what_is_recorded_can_be_read_and_is_there_once(warehouse):
    """Interactions and feedback come back as they were recorded; recorded again they are still there once."""
    items = [Interaction(id=str(i), time_us=US + i, query="q", features={"x": 1.5}) for i in range(5)]
    said = [Feedback(id="f", interaction_id="1", time_us=US, kind="thumb", value=1.0)]
    for _ in range(2):
        assert record(warehouse, items) == 5
        assert record_feedback(warehouse, said) == 1
        warehouse.commit()
    found, seq = read_new(warehouse, 0, 100)
    assert found == items
    assert read_new(warehouse, seq, 100) == ([], seq)
    assert read_new_feedback(warehouse, 0, 100)[0] == said
    assert read_interactions_by_id(warehouse, ["3", "1", "none", "1"]) == [items[1], items[3]]
    assert read_interactions_by_id(warehouse, ["3"], Span(start_us=0, end_us=US)) == []
    assert record(warehouse, []) == 0


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(1, 12))
def test_reading_on_skips_and_repeats_nothing(tmp_path_factory, commits, limit):
    """Reading by seq with any limit gives every row once, commit by commit, also when old times come late."""
    warehouse = Warehouse(tmp_path_factory.mktemp("read"), SCHEMAS)
    expected = []
    for n, size in enumerate(commits):
        items = [Interaction(id=f"{n}-{i}", time_us=US - n * S + i) for i in range(size)]
        record(warehouse, items[::-1])
        warehouse.commit()
        expected += items
    found, seq = [], 0
    for _ in range(20):
        more, seq = read_new(warehouse, seq, limit)
        found += more
    assert found == expected
    warehouse.close()


def test_an_import_counts_and_keeps_what_is_good(warehouse, tmp_path):
    """An import takes the good rows of all files, names the bad ones with file and line, and adds none twice."""
    good = [orjson.dumps({"time": US + i, "query": str(i)}) for i in range(50)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*good, b"broken"]))
    (tmp_path / "b.ndjson").write_bytes(b"\n".join([orjson.dumps({"query": "no time"}), *good[:10]]))
    seen = []
    for _ in range(2):
        result = import_files(warehouse, [tmp_path / "a.jsonl", str(tmp_path / "b.ndjson")], report=seen.append)
        assert (result.rows, result.acknowledged, result.bad) == (62, 60, 2)
        assert [(b.line, Path(b.file).name) for b in result.bad_rows] == [(51, "a.jsonl"), (1, "b.ndjson")]
        assert rows_in(warehouse) == 50
    assert (seen[1].rows, seen[1].acknowledged, seen[1].bad) == (62, 60, 2)
    (tmp_path / "f.jsonl").write_bytes(orjson.dumps({"time": US, "interaction_id": "a", "thumb": "up"}))
    assert import_files(warehouse, [tmp_path / "f.jsonl"], table="feedback").acknowledged == 1
    assert rows_in(warehouse, "feedback") == 1


def test_an_import_that_cannot_start_takes_nothing(warehouse, tmp_path):
    """When one of the files is not there, nothing of the others is taken."""
    (tmp_path / "a.jsonl").write_bytes(orjson.dumps({"time": US}))
    with pytest.raises(InputError, match="cannot be read"):
        import_files(warehouse, [tmp_path / "a.jsonl", tmp_path / "none.jsonl"])
    warehouse.commit()
    assert rows_in(warehouse) == 0


def test_bad_rows_are_all_counted_but_not_all_kept(warehouse, tmp_path):
    """Of very many bad rows the first 1,000 are kept, and the count is that of all."""
    (tmp_path / "a.jsonl").write_bytes(b"broken\n" * 25_000)
    result = import_files(warehouse, [tmp_path / "a.jsonl"])
    assert (result.bad, len(result.bad_rows), result.acknowledged) == (25_000, 1_000, 0)


def bodies(parts):
    """One trace as several requests, as it would be exported, and its interaction."""
    recorder = agent_trace()
    finished = sorted(recorder.exporter.get_finished_spans(), key=lambda s: s.end_time)
    (expected,) = assemble(spans_of(recorder.body())[0])
    size = -(-len(finished) // parts)
    return [recorder.body(finished[i : i + size]) for i in range(0, len(finished), size)], expected


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_a_trace_split_over_requests_is_written_once_when_settled(warehouse, ledger, parts):
    """Spans that come in several requests, with calls in between, give one interaction, when the last has settled."""
    requests, expected = bodies(parts)
    end_us = expected.time_us + round(expected.latency_s * 1e6)
    for body in requests:
        assert Intake(warehouse).traces(body, "protobuf")[1] == []
        found = assemble_traces(warehouse, ledger, now_us=end_us + 29 * S, settle_us=30 * S)
        assert found == Assembled(waiting=1)
    Intake(warehouse).traces(requests[0], "protobuf")
    found = assemble_traces(warehouse, ledger, now_us=end_us + 30 * S, settle_us=30 * S)
    assert found == Assembled(written=1)
    assert read_new(warehouse, 0, 10)[0] == [expected]
    assert assemble_traces(warehouse, ledger, now_us=end_us + 99 * S, settle_us=30 * S).written == 0


@pytest.mark.parametrize("first", [0, 1], ids=["its end is late", "its begin is late"])
def test_late_spans_make_the_same_interaction_whole(warehouse, ledger, first):
    """Spans that come after their trace was written lead to the same one interaction as if they had come in time."""
    requests, expected = bodies(2)
    Intake(warehouse).traces(requests[first], "protobuf")
    assert assemble_traces(warehouse, ledger, now_us=US + 999 * S, settle_us=S).written == 1
    assert read_new(warehouse, 0, 10)[0] != [expected]
    Intake(warehouse).traces(requests[1 - first], "protobuf")
    late = assemble_traces(warehouse, ledger, now_us=US + 1000 * S, settle_us=S)
    assert (late.written, late.updated) == (0, 1)
    assert read_new(warehouse, 0, 10)[0] == [expected]
    assert assemble_traces(warehouse, ledger, now_us=US + 1001 * S, settle_us=S) == Assembled()
    Intake(warehouse).traces(requests[0], "protobuf")
    assert assemble_traces(warehouse, ledger, now_us=US + 1002 * S, settle_us=S) == Assembled()


def test_what_a_dead_replica_derived_replaces_nothing_later(tmp_path, ledger, monkeypatch):
    """One that dies amid assembling and whose machine comes back after another one knew more leaves what the other wrote."""
    requests, expected = bodies(2)
    dead, other = (Warehouse(tmp_path / "store", SCHEMAS, home=tmp_path / home) for home in ("dead", "other"))
    Intake(dead).traces(requests[1], "protobuf")
    dead.commit()
    commits, commit = iter([dead.commit]), dead.commit

    def dies(*_, **__):
        raise StoreError("the machine is gone")

    def once():
        return next(commits, dies)()

    with monkeypatch.context() as patch:
        patch.setattr(dead, "commit", once)
        patch.setattr(ledger, "put", dies)
        with pytest.raises(StoreError):
            assemble_traces(dead, ledger, now_us=US + 999 * S, settle_us=S)
    Intake(other).traces(requests[0], "protobuf")
    assemble_traces(other, ledger, now_us=US + 1000 * S, settle_us=S)
    assert read_new(other, 0, 10)[0] == [expected]
    commit()
    assert read_new(dead, 0, 10)[0] == [expected]
    dead.close()
    other.close()


def test_a_paused_replica_replaces_nothing_that_another_one_knew_meanwhile(tmp_path, ledger, monkeypatch):
    """One that has read half a trace, and goes on when another one has written the whole, reads it again and changes nothing."""
    requests, expected = bodies(2)
    paused, other = (Warehouse(tmp_path / "store", SCHEMAS, home=tmp_path / home) for home in ("paused", "other"))
    book = Ledger("sqlite://")  # what the other one notes, this one does not see: the worst case
    Intake(paused).traces(requests[1], "protobuf")

    assembled = assembling.assembled

    def overtaken(*given):
        half = assembled(*given)
        monkeypatch.setattr(assembling, "assembled", assembled)
        Intake(other).traces(requests[0], "protobuf")
        assemble_traces(other, book, now_us=US + 999 * S, settle_us=S)
        return half

    monkeypatch.setattr(assembling, "assembled", overtaken)
    assemble_traces(paused, ledger, now_us=US + 999 * S, settle_us=S)
    assert read_new(paused, 0, 10)[0] == [expected]
    assemble_traces(paused, ledger, now_us=US + 1000 * S, settle_us=S)
    assert read_new(paused, 0, 10)[0] == [expected]
    paused.close()
    other.close()
    book.close()


def test_a_span_that_comes_a_day_late_still_finds_its_trace(warehouse, ledger):
    """However late a span comes, it joins the interaction of its trace, and other interactions stay as they are."""
    first, other, late = span(1, 1, 0, 1), span(2, 1, 0, 1), span(1, 2, 0, 1, parent=1, **{"user.id": "u"})
    warehouse.append("spans", spans_to_rows([first, other]))
    assert assemble_traces(warehouse, ledger, now_us=US + 60 * S, settle_us=S).written == 2
    _, seq = read_new(warehouse, 0, 10)
    warehouse.append("spans", spans_to_rows([late]))
    assert assemble_traces(warehouse, ledger, now_us=US + 86_400 * S, settle_us=S).updated == 1
    [changed] = read_new(warehouse, seq, 10)[0]
    assert (changed.id, changed.user_id) == (f"{1:032x}", "u")
    assert rows_in(warehouse) == 2


def log_of(trace, name, at_s, event, **body):
    """A log record within a span, as the official instrumentations send what was said."""
    at = US + at_s * S
    return LogRow(
        id=f"{trace}-{name}-{event}", time_us=at, trace_id=f"{trace:032x}", span_id=f"{trace:08x}{name:08x}", name=event,
        body=body,
    )  # fmt: skip


@pytest.mark.parametrize("late", [False, True])
def test_what_was_said_may_come_as_log_records(warehouse, ledger, late):
    """Messages in log records become query and answer, whether they come before the trace is written or after."""
    said = [
        log_of(1, 1, 0, "gen_ai.user.message", content="What is AF?"),
        log_of(
            1,
            1,
            1,
            "gen_ai.choice",
            index=0,
            finish_reason="stop",
            message={"role": "assistant", "content": "A flutter."},
        ),
    ]
    warehouse.append("spans", spans_to_rows([span(1, 1, 0, 1)]))
    if not late:
        warehouse.append("logs", logs_to_rows(said))
    assert assemble_traces(warehouse, ledger, now_us=US + 60 * S, settle_us=S).written == 1
    if late:
        warehouse.append("logs", logs_to_rows(said))
        assert assemble_traces(warehouse, ledger, now_us=US + 120 * S, settle_us=S).updated == 1
    [found] = read_new(warehouse, 0, 10)[0]
    assert (found.query, found.answer) == ("What is AF?", "A flutter.")


def test_log_records_that_come_before_their_spans_wait_for_them(warehouse, ledger):
    """Log records alone are no interaction; when the spans come after all, they are read together."""
    warehouse.append("logs", logs_to_rows([log_of(1, 1, 0, "gen_ai.user.message", content="What is AF?")]))
    assert assemble_traces(warehouse, ledger, now_us=US + 60 * S, settle_us=S).foreign == 1
    warehouse.append("spans", spans_to_rows([span(1, 1, 0, 1)]))
    assert assemble_traces(warehouse, ledger, now_us=US + 120 * S, settle_us=S).written == 1
    assert read_new(warehouse, 0, 10)[0][0].query == "What is AF?"


def test_a_backlog_is_worked_off_call_by_call(warehouse, ledger, monkeypatch):
    """A call hands out a bounded number of spans, those that settled first; further calls do the rest, each trace once."""
    monkeypatch.setattr("andon.traffic.run.assembling._SPANS_AT_ONCE", 10)
    spans = [span(t, n, t // 7, 1, parent=0 if n else None) for t in range(40) for n in range(3)]
    warehouse.append("spans", spans_to_rows(spans))
    counts = []
    while not counts or counts[-1].behind:
        counts.append(assemble_traces(warehouse, ledger, now_us=US + 600 * S, settle_us=S))
    assert len(counts) > 3
    assert [c.behind for c in counts] == sorted((c.behind for c in counts), reverse=True)
    assert sum(c.written for c in counts) == 40
    assert all(c.updated == 0 for c in counts)
    assert read_interactions_by_id(warehouse, [f"{t:032x}" for t in range(40)]) == assemble(spans)
    assert assemble_traces(warehouse, ledger, now_us=US + 700 * S, settle_us=S) == Assembled()


def test_the_door_redacts_samples_and_counts(warehouse):
    """What the rules find is gone before it is on disk, what is not in the sample is left out, and the report tells both."""
    intake = Intake(
        warehouse,
        redaction=redaction("email", b"k" * 32),
        sampling=Sampling(rate=0.1, keep=("high",)),
    )
    items = [Interaction(id=str(i), time_us=US, query=f"I am user{i}@example.com") for i in range(200)]
    items += [Interaction(id=f"h{i}", time_us=US, query="hello", risk_category="high") for i in range(5)]
    assert intake.interactions(items) == 205
    intake.feedback([Feedback(id="f", interaction_id="1", time_us=US, kind="copy", author="ann@example.com")])
    intake.flush(US)
    warehouse.commit()
    found, _ = read_new(warehouse, 0, 1_000)
    report = {(what, subject): n for what, subject, n in intake_report(warehouse)}
    drawn = [i for i in found if i.risk_category is None]
    assert 5 <= len(drawn) <= 45
    assert all(i.weight == 10 and "@" not in i.query and "[email:" in i.query for i in drawn)
    assert [i.weight for i in found if i.risk_category == "high"] == [1.0] * 5
    assert report[("sampled out", "interactions")] == 200 - len(drawn)
    assert report[("redacted", "email in interactions.query")] == len(drawn)
    assert report[("redacted", "email in feedback.author")] == 1
    assert b"@example.com" not in b"".join(p.read_bytes() for p in warehouse.place.here.rglob("*") if p.is_file())


def test_a_full_journal_takes_nothing_more_in_until_it_is_committed(warehouse, monkeypatch):
    """Beyond the limit every kind of row is refused as something to send again, and after a commit it is taken."""
    monkeypatch.setattr("andon.traffic.run.taking.MOST_WAITING", 1)
    intake = Intake(warehouse)
    said = Feedback(id="f", interaction_id="a", time_us=US, kind="copy")
    assert intake.interactions([Interaction(id="a", time_us=US)]) == 1
    for take in (
        lambda: intake.interactions([Interaction(id="b", time_us=US)]),
        lambda: intake.feedback([said]),
        lambda: intake.records([span(1, 1, 0, 1)]),
    ):
        with pytest.raises(StoreError, match="journal") as refused:
            take()
        assert refused.value.retryable
    warehouse.commit()
    assert intake.feedback([said]) == 1
    warehouse.commit()
    assert (rows_in(warehouse), rows_in(warehouse, "feedback"), rows_in(warehouse, "spans")) == (1, 1, 0)


def test_follow_ups_are_found_by_themselves_and_once(warehouse, ledger):
    """A question that is asked again at once is feedback on the answer before it, also when the two come in two commits."""
    first, again, other = (
        Interaction(id=i, time_us=US + at * S, session_id=s, query=q, answer="Yes.", latency_s=1.0)
        for i, at, s, q in (
            ("a", 0, "s1", "how do I reset my password"),
            ("b", 20, "s1", "how can I reset my password?"),
            ("c", 25, "s2", "how can I reset my password?"),
        )
    )
    for item in (first, other, again):
        record(warehouse, [item])
        warehouse.commit()
        find_follow_ups_in(warehouse, ledger, now_us=US)
    warehouse.commit()
    assert find_follow_ups_in(warehouse, ledger, now_us=US) == 0
    [found] = read_new_feedback(warehouse, 0, 10)[0]
    assert (found.kind, found.interaction_id, found.source) == ("follow_up", "a", "andon")


def span(trace, name, at_s, took_s, parent=None, **attributes):
    """A span of trace number `trace`, with a number for its name and times in seconds."""
    at = US + at_s * S
    return SpanRow(
        trace_id=f"{trace:032x}", span_id=f"{trace:08x}{name:08x}", time_us=at, end_us=at + took_s * S,
        parent_span_id=None if parent is None else f"{trace:08x}{parent:08x}",
        attributes={"gen_ai.operation.name": "chat", **attributes},
    )  # fmt: skip


def test_a_trace_without_its_root_waits_longer(warehouse, ledger):
    """While a span's parent is missing the trace waits four times as long, so that a long call is not cut in two."""
    warehouse.append("spans", spans_to_rows([span(1, 2, 0, 1, parent=1)]))
    assert assemble_traces(warehouse, ledger, now_us=US + 60 * S, settle_us=30 * S).waiting == 1
    warehouse.append("spans", spans_to_rows([span(1, 1, 0, 59)]))
    assert assemble_traces(warehouse, ledger, now_us=US + 88 * S, settle_us=30 * S).waiting == 1
    assert assemble_traces(warehouse, ledger, now_us=US + 89 * S, settle_us=30 * S).written == 1
    warehouse.append("spans", spans_to_rows([span(2, 2, 0, 1, parent=1)]))
    assert assemble_traces(warehouse, ledger, now_us=US + 121 * S, settle_us=30 * S).written == 1


def test_a_long_trace_does_not_hold_up_the_others(warehouse, ledger):
    """A trace that goes on for long is held apart: the cursor moves on, others are written, and so is it at last."""
    for minute in range(20):
        others = [span(100 + minute, 1, minute * 60, 1)]
        warehouse.append("spans", spans_to_rows([span(1, minute + 2, minute * 60, 1, parent=1), *others]))
        found = assemble_traces(warehouse, ledger, now_us=US + minute * 60 * S + 10 * S, settle_us=5 * S)
        assert (found.written, found.waiting, found.updated) == (1, 1, 0)
    cursor = ledger.get(TraceCursor, "traffic")
    assert cursor.seq == warehouse.newest("spans")
    assert len(cursor.held) == 1
    warehouse.append("spans", spans_to_rows([span(1, 1, 0, 1200)]))
    assert assemble_traces(warehouse, ledger, now_us=US + 1205 * S, settle_us=5 * S).written == 1
    (long,) = read_interactions_by_id(warehouse, [f"{1:032x}"])
    assert long.latency_s == 1200
    assert ledger.get(TraceCursor, "traffic").held == ()


def test_foreign_traces_are_counted_and_do_not_hide_a_late_model_call(warehouse, ledger):
    """A trace without a model is passed over once; when a model call of it comes after all, all its spans are read."""
    web = replace(span(1, 1, 0, 1), attributes={"http.route": "/chat", "service.name": "shop"})
    warehouse.append("spans", spans_to_rows([web, span(9, 1, 55, 4)]))  # another trace holds up the cursor
    assert assemble_traces(warehouse, ledger, now_us=US + 60 * S - 1, settle_us=S).foreign == 1
    assert assemble_traces(warehouse, ledger, now_us=US + 60 * S - 1, settle_us=S).foreign == 0
    warehouse.append("spans", spans_to_rows([span(1, 2, 0, 1, parent=1)]))
    assert assemble_traces(warehouse, ledger, now_us=US + 62 * S, settle_us=S).written == 2
    (found,) = read_interactions_by_id(warehouse, [f"{1:032x}"])
    assert found.app == "shop"


def test_a_wrong_clock_of_a_sender_does_not_wait_for_years(warehouse, ledger):
    """A span that ends more than an hour in the future is not waited for."""
    warehouse.append("spans", spans_to_rows([span(1, 1, 10**7, 1)]))
    assert assemble_traces(warehouse, ledger, now_us=US, settle_us=S).written == 1


class StopError(Exception):
    """A crash."""


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_course_of_events_writes_each_trace_once_and_whole(tmp_path_factory, rng):
    """Requests in any order, calls at any time and crashes before the cursor is written: each trace is there once.

    A trace whose spans all come before it settles is complete; no trace is lost; no call after the end finds work.
    """
    warehouse, ledger = Warehouse(tmp_path_factory.mktemp("any"), SCHEMAS), Ledger("sqlite://")
    spans = [span(t, n, t * 5, 5 - n, parent=0 if n else None) for t in range(8) for n in range(3)]
    expected = assemble(spans)
    arrivals = sorted((s.time_us + rng.randrange(0, 12) * S, n) for n, s in enumerate(spans))
    put = ledger.put
    for at, n in arrivals:
        warehouse.append("spans", spans_to_rows([spans[n]]))
        if rng.random() < 0.4:
            crash = rng.random() < 0.3

            def put_or_stop(*args, crash=crash, **kwargs):
                if crash:
                    raise StopError
                return put(*args, **kwargs)

            ledger.put = put_or_stop
            with suppress(StopError):
                assemble_traces(warehouse, ledger, now_us=at, settle_us=20 * S)
    ledger.put = put
    last = assemble_traces(warehouse, ledger, now_us=US + 1000 * S, settle_us=20 * S)
    assert (last.waiting, last.foreign) == (0, 0)
    assert read_interactions_by_id(warehouse, [i.id for i in expected]) == expected
    assert rows_in(warehouse) == len(expected)
    assert assemble_traces(warehouse, ledger, now_us=US + 2000 * S, settle_us=20 * S) == Assembled()
    warehouse.close()
    ledger.close()


IMPORTER = """
import sys
from pathlib import Path
from andon.store import Warehouse
from andon.traffic import SCHEMAS
from andon.traffic.run import importing as run
run._BATCH, run._COMMIT_ROWS = 500, 2000
warehouse = Warehouse(Path(sys.argv[1]), SCHEMAS)
print("open", flush=True)
run.import_files(warehouse, sys.argv[2:], report=lambda p: print(p.acknowledged, flush=True))
print("done", flush=True)
"""


@pytest.mark.slow
def test_kill_9_loses_no_acknowledged_row_and_importing_again_adds_none(tmp_path):
    """An import killed at any moment keeps every row that it acknowledged; importing again makes the table whole."""
    rows = 40_000
    source = tmp_path / "rows.jsonl"
    source.write_bytes(b"\n".join(orjson.dumps({"time": US + i, "query": f"question {i}"}) for i in range(rows)))
    rng = random.Random(7)
    store = tmp_path / "store"
    command = [sys.executable, "-c", IMPORTER, str(store), str(source)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    best = 0
    for attempt in range(5):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout.readline() == "open\n"
        time.sleep(rng.uniform(0.02, 0.3 + 0.2 * attempt))
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        best = max([best, *(int(n) for n in lines if n.isdecimal())])
        warehouse = Warehouse(store, SCHEMAS)
        warehouse.commit()
        assert best <= rows_in(warehouse) <= rows
        warehouse.close()
    warehouse = Warehouse(store, SCHEMAS)
    import_files(warehouse, [source])
    assert rows_in(warehouse) == rows
    import_files(warehouse, [source])
    assert rows_in(warehouse) == rows
    warehouse.close()
    assert best > 0
