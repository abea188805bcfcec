"""Laws of runbooks: data answer what they can and say where they cannot, people tick the rest, a changed file changes no past."""

import contextlib
import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_triage import HOUR, T0, signal
from walked import EMBEDDER, Store, asked, thumb

from andon.changes import Change
from andon.errors import ConfigError, InputError
from andon.incidents import Incident, RunbookEntry, RunbookState
from andon.incidents.answers import (
    Answer,
    QueryType,
    after_answer,
    changes_answer,
    evidence_answer,
    goes_on_answer,
    held_answer,
    mitigated_us,
    queries_answer,
    sample_answer,
    shift_answer,
)
from andon.incidents.run import ack_incident, mark_incident
from andon.incidents.run.reports import receive_report
from andon.incidents.run.runbook import brought_up_to_date, query_log, runbook_for, runbook_of, tick_item
from andon.incidents.runbooks import ANSWERS, PHASES, clock_text, entry_of, next_item, parse_runbook
from andon.levers import Lever
from andon.levers.run import declare, hold, release
from andon.traffic.clock import minute_text

MINUTE = 60_000_000
DAY = 24 * HOUR
ITEM = '[[item]]\nid = "one"\nphase = "scope"\ntext = "Look."\n'
SMALL = f'name = "ours"\n{ITEM}[[item]]\nid = "two"\nphase = "triage"\ntext = "Is it on?"\nanswer = "goes-on"\n'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store on disk."""
    made = Store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Where the file of settings would be; there is none."""
    (tmp_path / "ours").mkdir()
    return str(tmp_path / "ours" / "andon.toml")


def answered(store: Store, incident: Incident, config: str, now_us: int, **more) -> RunbookState:
    """The runbook after it was brought up to date; traffic is known until now, unless said otherwise."""
    told = {"config": config, "now_us": now_us, "seen_us": now_us, "rng": np.random.default_rng(0), **more}
    return brought_up_to_date(store.warehouse, store.ledger, EMBEDDER, incident, **told)


def test_the_built_in_runbook_has_all_phases_and_asks_all_questions(config: str) -> None:
    """Every phase has items for people, and everything that Andon can answer is asked."""
    found = runbook_for(config, None)
    assert found.source == "built in"
    assert {i.answer for i in found.items} - {""} == set(ANSWERS)
    assert {i.phase for i in found.items if not i.answer} == {p.name for p in PHASES}


def test_the_page_for_users_is_true() -> None:
    """The runbook that the how-to shows can be read, and its table has every answer and every key."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "follow-the-runbook.md").read_text(encoding="utf-8")
    shown = page.partition("```toml\n")[2].partition("```")[0]
    assert [i.id for i in parse_runbook(shown, source="page").items] == ["index", "counsel"]
    assert not [word for word in (*ANSWERS, "id", "phase", "text", "answer") if f"| `{word}` |" not in page]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name = ", "not TOML"),
        (ITEM, "name = null must be a text"),
        (f"name = 3\n{ITEM}", "name = 3 must be"),
        ('name = "x"', "item must be 1 to 200"),
        ('name = "x"\nitem = ["look"]', 'item 1 is "look"; a table'),
        (f'name = "x"\nfoo = 1\n{ITEM}', '"foo" is not a key of a runbook'),
        (f'name = "x"\n{ITEM}who = "me"', 'item 1 .*"one".*: "who" is not a key of an item; id, phase, text, answer'),
        (f'name = "x"\n{ITEM}{ITEM}', 'item 2: id = "one" is that of an earlier item'),
        (f'name = "x"\n{ITEM.replace("one", "One item")}', "must be up to 40 of a-z"),
        (f'name = "x"\n{ITEM.replace("scope", "later")}', '"later" is not a phase; triage, scope, mitigate, after'),
        (f'name = "x"\n{ITEM.replace("Look.", " ")}', "text = .* must be 1 to 500"),
        (f'name = "x"\n{ITEM}answer = "weather"', "nothing that Andon answers; goes-on, .*ticked by a person"),
        (f'name = "x"\n{ITEM}answer = ["goes-on"]', "nothing that Andon answers"),
    ],
)
def test_a_wrong_runbook_is_refused_by_name(text: str, match: str) -> None:
    """The message names the file, the item and the key, and what is allowed."""
    with pytest.raises(ConfigError, match=match) as caught:
        parse_runbook(text, source="runbook.toml")
    assert str(caught.value).startswith("runbook.toml")


@given(st.text(max_size=300))
def test_any_text_is_a_runbook_or_refused(text: str) -> None:
    """Whatever stands in a file, nothing but a `ConfigError` leaves the reader."""
    with contextlib.suppress(ConfigError):
        assert parse_runbook(text, source="f").items


def test_items_stand_in_the_order_of_the_phases() -> None:
    """A file may name its items in any order; they are worked through phase by phase."""
    assert [i.id for i in parse_runbook(SMALL, source="f").items] == ["two", "one"]


def test_the_file_for_a_type_of_failure_comes_first(config: str) -> None:
    """The most special file of a team is read; without one, the built-in runbook."""
    folder = Path(config).parent
    (folder / "runbook.toml").write_text(SMALL)
    (folder / "runbooks").mkdir()
    (folder / "runbooks" / "retrieval-regression.toml").write_text(SMALL.replace("ours", "retrieval"))
    assert runbook_for(config, "retrieval regression").name == "retrieval"
    assert runbook_for(config, "model drift").name == runbook_for(config, None).name == "ours"
    (folder / "runbook.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        runbook_for(config, None)


def test_a_changed_file_changes_no_past(store: Store, config: str) -> None:
    """The runbook is frozen at the first use, for this incident only; a broken file does not reach it any more."""
    old = store.raise_()
    before = runbook_of(store.ledger, old, config=config, now_us=T0)
    (Path(config).parent / "runbook.toml").write_text(SMALL)
    assert runbook_of(store.ledger, old, config=config, now_us=T0 + HOUR) == before
    new = store.raise_(signal("z", app="other"))
    assert runbook_of(store.ledger, new, config=config, now_us=T0).runbook.name == "ours"
    (Path(config).parent / "runbook.toml").write_text("name =")
    assert runbook_of(store.ledger, new, config=config, now_us=T0).runbook.name == "ours"


def test_the_clock_says_where_a_phase_stands() -> None:
    """T counts from the alarm; a phase has not begun, runs, or is over."""
    triage, scope, _, after = PHASES
    assert clock_text(triage, 7 * MINUTE) == "T+0:07 of 15 min"
    assert clock_text(scope, 7 * MINUTE) == "15 min to 60 min; begins in 8 min"
    assert clock_text(triage, 75 * MINUTE) == "15 min; over since 60 min"
    assert clock_text(after, 30 * HOUR) == "T+30:00 of 3 d"


def test_a_tick_of_a_person_stays(store: Store, config: str) -> None:
    """What a person found takes the place of Andon's answer and is not overwritten by the next one; each version is kept."""
    incident = store.raise_()
    (Path(config).parent / "runbook.toml").write_text(SMALL)
    state = answered(store, incident, config, T0)
    assert [(e.item, e.found, e.by) for e in state.entries] == [("two", "cannot tell", "andon")]
    assert next_item(state).id == "two"
    told = {"config": config, "now_us": T0 + MINUTE}
    state = tick_item(store.ledger, incident, "two", note="it is\n off", by="mia", **told)
    assert entry_of(state, "two") == RunbookEntry(item="two", text="it is off", by="mia", at_us=T0 + MINUTE)
    assert next_item(state).id == "one"
    state = answered(store, incident, config, T0 + HOUR, anew=True)
    assert entry_of(state, "two").by == "mia"
    assert next_item(tick_item(store.ledger, incident, "one", by="ann", **told)) is None
    assert [v.by for v in store.ledger.history(RunbookState, incident.id)] == ["andon", "andon", "mia", "ann"]
    kept = store.ledger.get(Incident, incident.id)
    assert (kept.noticed_us, kept.noticed_by) == (T0 + MINUTE, "mia")
    with pytest.raises(InputError, match='no item "three"; it has two, one'):
        tick_item(store.ledger, incident, "three", by="mia", **told)


def change(name: str, at_us: int, kind: str, **fields) -> Change:
    """A change of the app `bot`."""
    return Change(id=name, at_us=at_us, kind=kind, title=f"{kind} {name}", app="bot", **fields)


def test_a_silent_log_is_no_proof() -> None:
    """Without an entry the answer is no only where one would have been made, and says for which kinds that does not hold."""
    told = {"onset_us": T0, "span": "then"}
    ask = lambda carried, recorded: changes_answer(  # noqa: E731
        "retrieval-changes", [change("p", T0, "prompt")], carried=carried, recorded=recorded, **told
    )
    assert ask((), False).found == "cannot tell"
    assert ask((), True).found == "no"
    some = ask(("index",), False)
    assert some.found == "no"
    assert some.text.endswith("of corpus and embedding model only what is recorded is known")
    assert "only what is recorded" not in ask(("index", "corpus", "embedding model"), False).text
    assert changes_answer("other-changes", [], carried=("code",), recorded=False, **told).found == "cannot tell"


def test_changes_are_told_the_nearest_first() -> None:
    """Each stands with its distance from the onset; levers, the traffic and other kinds are not counted."""
    changes = [change(f"c{h}", T0 - h * HOUR, "corpus") for h in range(6, 0, -1)]
    changes += [change("x", T0, kind) for kind in ("lever", "traffic source", "prompt")]
    found = changes_answer("retrieval-changes", changes, onset_us=T0, carried=(), recorded=False, span="then")
    assert found.found == "yes"
    assert found.text.startswith("6 then: corpus: corpus c1 (60 min before the onset); corpus: corpus c2")
    assert found.text.endswith("; and 2 more")
    other = changes_answer("other-changes", changes, onset_us=T0, carried=(), recorded=True, span="then")
    assert other.found == "no"


@pytest.mark.parametrize(
    ("x", "n", "found"),
    [(60, 200, "yes"), (4, 200, "no"), (0, 200, "no"), (0, 0, "cannot tell"), (1, 4, "cannot tell"), (6, 40, "yes"),
     (2, 40, "cannot tell")],
)  # fmt: skip
def test_a_fresh_sample_is_held_against_the_baseline(x: int, n: int, found: str) -> None:
    """Yes when the exact intervals do not overlap, no when the rate is a usual one and surely not the alarm's; else unknown."""
    assert sample_answer(signal("a"), x, n, "now").found == found


def test_the_sample_has_its_figures() -> None:
    """The sentence has counts, rate, exact interval and baseline."""
    text = sample_answer(signal("a", scope={"task": "faq"}), 60, 200, "in the last hour").text
    assert text == (
        "answers that refuse in task “faq”: 60 of 200 in the last hour (30 %, interval 23.7 % to 36.9 %) against 2 % "
        "(20 of 1,000 in the baseline)"
    )


def test_without_a_chart_nothing_is_measured() -> None:
    """A reported incident has no baseline: cannot tell, said so."""
    assert sample_answer(None, 0, 0, "").found == "cannot tell"
    assert goes_on_answer(None, None, "").found == "cannot tell"
    assert shift_answer(None, "then").found == "cannot tell"


def test_what_is_held_is_read_from_the_changes(store: Store) -> None:
    """A pull is held until it is released or expires; the next pull of the same lever takes its place."""
    assert held_answer([]).found == "no"
    at = {"why": "harm", "by": "mia"}
    for name in ("a-b", "c"):
        declare(store.ledger, Lever(id=name, kind="boolean", default=False, safe=True, app="bot"), T0, "mia")
        hold(store.ledger, name, until_us=T0 + HOUR, now_us=T0 + 1, **at)
    hold(store.ledger, "c", until_us=T0 + HOUR, now_us=T0 + 2, **at)
    found = held_answer(store.ledger.all(Change))
    assert (found.found, found.text) == ("yes", "lever a-b held at true by mia; lever c held at true by mia")
    release(store.ledger, "a-b", now_us=T0 + 3, **at)
    assert held_answer(store.ledger.all(Change)).text == "lever c held at true by mia"
    release(store.ledger, "c", now_us=T0 + 4, **at)
    found = held_answer(store.ledger.all(Change))
    assert (found.found, found.text) == ("no", "nothing is held now; holds of this application's levers until now: 3")


def test_query_types_stand_with_the_most_harmed_first() -> None:
    """Counts and shares by type; without a type, or without a chart, it says so."""
    types = [QueryType(name=f"t{k}", n=100, harmed=k) for k in range(6)] + [QueryType(name=None, n=5, harmed=0)]
    found = queries_answer("task", types, "since then")
    assert found.text.startswith(
        "605 interactions since then, 15 harmed; by task: t5 5 of 100 harmed (5 %); t4 4 of 100"
    )
    assert found.text.endswith("; and 3 more")
    assert queries_answer("task", [], "since then").found == "no"
    assert "of which type" in queries_answer("", [QueryType(name=None, n=9, harmed=None)], "since then").text


def walked(store: Store) -> Incident:
    """Two weeks of traffic of two tasks, a new task in the last two days, and refusals in one task since the onset."""
    rows = []
    for k in range(14 * 24 * 2):
        at = T0 - 14 * DAY + k * HOUR // 2
        late = at >= T0 - 2 * DAY
        fields = {"task": ("faq", "refund", "visa")[k % 3] if late else ("faq", "refund")[k % 2], "model": "m1"}
        bad = at >= T0 - HOUR and fields["task"] == "faq"
        rows.append(asked(f"q{k}", at, refused=bad, prompt_version="v1", **fields))
    for k in range(60):
        rows.append(asked(f"now{k}", T0 - HOUR + k * MINUTE, refused=k % 3 == 0, task=("faq", "refund", "visa")[k % 3]))
    store.take(rows, [thumb("d", T0 - 10 * MINUTE, "now3")])
    store.ledger.put(change("nightly", T0 - 20 * HOUR, "corpus"), now_us=T0 - 20 * HOUR, by="mia")
    store.ledger.put(change("long ago", T0 - 12 * DAY, "config"), now_us=T0 - 12 * DAY, by="mia")
    return store.raise_(signal("a", onset_low_us=T0 - HOUR, onset_us=T0 - HOUR + 1))


def test_the_data_answer_what_they_can(store: Store, config: str) -> None:
    """From real tables: each answer is what was put in, with a link, and the command of the link is one that exists."""
    incident = walked(store)
    state = answered(store, incident, config, T0)
    found = {e.item: e for e in state.entries}
    assert {k: e.found for k, e in found.items()} == {
        "take": "no",
        "harm-now": "yes",
        "fresh-sample": "yes",
        "model-changes": "no",
        "retrieval-changes": "yes",
        "prompt-changes": "no",
        "other-changes": "no",
        "traffic-shift": "yes",
        "held": "no",
        "query-log": "yes",
        "evidence": "no",
        "harm-after": "cannot tell",
        "criteria": "no",
    }
    assert "1 from 7 days before the onset until the alarm: corpus: corpus nightly (19 h before" in (
        found["retrieval-changes"].text
    )
    assert found["harm-after"].text == "not asked yet: nothing was mitigated"
    assert "visa" in found["traffic-shift"].text
    assert "against the same hours of the week before" in found["traffic-shift"].text
    assert "by task: faq 20 of 20 harmed (100 %); refund 0 of 21 harmed (0 %)" in found["query-log"].text
    assert all(e.link and e.at_us == T0 for e in found.values())
    assert found["query-log"].link == "andon runbook queries INC-0001 --out queries.csv"


def test_an_answer_that_fails_keeps_no_other_from_it(store: Store, config: str) -> None:
    """A plug-in's metric that is gone: that answer says so, the others are given."""
    store.take([asked("one", T0 - HOUR)])
    incident = store.raise_(signal("a", metric="plugin_that_is_gone"))
    state = answered(store, incident, config, T0)
    assert len(state.entries) == 13
    assert entry_of(state, "fresh-sample").found == "cannot tell"
    assert entry_of(state, "held").found == "no"


def test_a_reported_incident_has_a_runbook_too(store: Store, config: str) -> None:
    """Without a leading signal nothing fails; what only a chart could tell cannot be told."""
    store.take([asked("one", T0 - HOUR, task="faq")])
    report = receive_report(store.warehouse, store.ledger, "wrong dose", interaction_id="one", by="mia", now_us=T0)
    incident = store.ledger.get(Incident, report.incident)
    state = answered(store, incident, config, T0)
    assert [entry_of(state, i).found for i in ("harm-now", "fresh-sample")] == ["cannot tell"] * 2
    assert "1 interactions" in entry_of(state, "query-log").text
    assert len(list(query_log(store.warehouse, store.ledger, incident, now_us=T0))) == 2


def test_nobody_ticks_what_the_ledger_knows(store: Store, config: str) -> None:
    """Taken, evidence and exit criteria stand as they are now; what a person ticked is left alone."""
    from andon.incidents.records import ExitCriterion, Recovery

    incident = store.raise_()
    frozen_us: list[int] = []
    ask = lambda at_us: answered(store, incident, config, at_us, frozen_us=frozen_us)  # noqa: E731
    assert runbook_of(store.ledger, incident, config=config, now_us=T0).entries == ()
    state = ask(T0)
    assert [entry_of(state, i).found for i in ("take", "evidence", "criteria")] == ["no"] * 3
    assert next_item(state).id == "take"
    assert ask(T0 + MINUTE) == state
    ack_incident(store.ledger, incident, now_us=T0 + 2 * MINUTE, by="mia")
    frozen_us += [T0 + 3 * MINUTE, T0 + 4 * MINUTE]
    criteria = [ExitCriterion(id=f"C{k}", kind="check", text=f"look {k}", met=k == 1) for k in (1, 2)]
    store.ledger.put(Recovery(id=incident.id, criteria=tuple(criteria)), now_us=T0, by="andon")
    state = ask(T0 + 5 * MINUTE)
    told = {i: entry_of(state, i) for i in ("take", "evidence", "criteria")}
    assert {(e.found, e.by, e.at_us) for e in told.values()} == {("yes", "andon", T0 + 5 * MINUTE)}
    assert told["take"].text == "mia said so 2 min after the alarm"
    assert told["evidence"].text == (
        "version 1 holds what was known at 2026-09-21 14:16 UTC, version 2 at 2026-09-21 14:17 UTC"
    )
    assert told["criteria"].text == "2 set, as the signals suggest, 1 met: C1 look 1; C2 look 2"
    assert next_item(state).id != "take"
    tick_item(store.ledger, incident, "criteria", by="ann", config=config, now_us=T0 + HOUR)
    store.ledger.put(Recovery(id=incident.id), now_us=T0 + HOUR, by="ann")
    assert entry_of(ask(T0 + 2 * HOUR), "criteria").by == "ann"


def test_an_answer_that_may_have_changed_is_asked_again(store: Store, config: str) -> None:
    """After an hour what data answer is asked again, as of then, but for the shift before the alarm; earlier answers are kept."""
    incident = walked(store)
    first = answered(store, incident, config, T0)
    assert answered(store, incident, config, T0 + 59 * MINUTE) == first
    store.take([asked(f"calm{k}", T0 + (k + 1) * MINUTE, task="faq", model="m1") for k in range(70)])
    later = answered(store, incident, config, T0 + 70 * MINUTE)
    at = {i.answer: entry_of(later, i.id).at_us - T0 for i in later.runbook.items if i.answer}
    assert {a for a, t in at.items() if t == 0} == {"traffic-shift"}
    assert {t for a, t in at.items() if a != "traffic-shift"} == {70 * MINUTE}
    assert [entry_of(s, "harm-now").found for s in (first, later)] == ["yes", "no"]
    kept = [v.record for v in store.ledger.history(RunbookState, incident.id)]
    assert kept == [kept[0], first, later]
    assert kept[0].entries == ()
    anew = answered(store, incident, config, T0 + 71 * MINUTE, anew=True)
    assert {e.at_us for e in anew.entries} == {T0 + 71 * MINUTE}


@pytest.mark.parametrize("act", ["hold", "mark"])
def test_a_hold_or_a_mark_asks_again_at_once(store: Store, config: str, act: str) -> None:
    """What was done may have changed every answer, however young it is; without a further act the new one stands for an hour."""
    declare(store.ledger, Lever(id="safe", kind="boolean", default=False, safe=True, app="bot"), T0, "mia")
    incident = walked(store)
    first = answered(store, incident, config, T0)
    assert answered(store, incident, config, T0 + MINUTE) == first
    if act == "hold":
        hold(store.ledger, "safe", until_us=T0 + HOUR, now_us=T0 + 2 * MINUTE, why="harm", by="mia")
    else:  # since when it holds may lie before the first answer
        at = {"at_us": T0 - MINUTE, "now_us": T0 + 2 * MINUTE}
        mark_incident(store.ledger, incident, "stabilised", "switched off", by="mia", **at)
    state = answered(store, incident, config, T0 + 3 * MINUTE)
    assert entry_of(state, "held").found == ("yes" if act == "hold" else "no")
    assert {entry_of(state, i).at_us for i in ("harm-now", "fresh-sample", "held", "harm-after")} == {T0 + 3 * MINUTE}
    assert "mitigated at" in entry_of(state, "harm-after").text
    assert answered(store, incident, config, T0 + 50 * MINUTE) == state


def test_a_store_that_rests_says_the_same_tomorrow(store: Store, config: str) -> None:
    """Traffic answers as of when it was last known, and what it said stays; the ledger answers as of now."""
    declare(store.ledger, Lever(id="safe", kind="boolean", default=False, safe=True, app="bot"), T0, "mia")
    incident = walked(store)
    first = answered(store, incident, config, T0)
    hold(store.ledger, "safe", until_us=T0 + 3 * DAY, now_us=T0 + DAY, why="harm", by="mia")
    state = answered(store, incident, config, T0 + 2 * DAY, seen_us=T0)
    for item in ("harm-now", "fresh-sample", "query-log"):
        assert entry_of(state, item) == entry_of(first, item)
    held = entry_of(state, "held")
    assert (held.found, held.at_us) == ("yes", T0 + 2 * DAY)
    after = entry_of(state, "harm-after")
    assert (after.found, after.at_us) == ("cannot tell", T0)
    assert after.text.endswith("; mitigated at 2026-09-22 14:13 UTC, and all of that traffic came before")


def test_an_older_clock_does_not_take_an_answer_back(store: Store, config: str) -> None:
    """Whoever asks as of an earlier time, after somebody did something, leaves what is known later as it is."""
    declare(store.ledger, Lever(id="safe", kind="boolean", default=False, safe=True, app="bot"), T0, "mia")
    incident = walked(store)
    hold(store.ledger, "safe", until_us=T0 + 3 * DAY, now_us=T0 + HOUR, why="harm", by="mia")
    later = answered(store, incident, config, T0 + 2 * HOUR)
    ack_incident(store.ledger, incident, now_us=T0 + 3 * HOUR, by="mia")
    earlier = answered(store, incident, config, T0 + MINUTE)
    assert entry_of(earlier, "held") == entry_of(later, "held")
    assert entry_of(earlier, "held").found == "yes"


def test_a_closed_incident_keeps_what_was_known(store: Store, config: str) -> None:
    """After the close only the duties that were asked are followed; one that was never asked is left alone."""
    incident = store.raise_()
    first = answered(store, incident, config, T0)
    ack_incident(store.ledger, incident, now_us=T0 + MINUTE, by="mia")
    over = replace(store.ledger.get(Incident, incident.id), state="closed", closed_us=T0 + HOUR)
    store.ledger.put(over, now_us=T0 + HOUR, by="mia")
    state = answered(store, incident, config, T0 + DAY)
    assert [e.item for e in state.entries if e not in first.entries] == ["take"]
    other = replace(store.raise_(signal("z", app="other")), state="closed", closed_us=T0 + HOUR)
    store.ledger.put(other, now_us=T0 + HOUR, by="mia")
    assert answered(store, other, config, T0 + DAY).entries == ()


@pytest.mark.parametrize(
    ("now", "done_us", "found", "ends"),
    [
        ("yes", None, "cannot tell", "not asked yet: nothing was mitigated"),
        ("no", None, "cannot tell", "not asked yet: nothing was mitigated"),
        ("yes", T0, "yes", "it is so; mitigated at 2026-09-21 14:13 UTC"),
        ("yes", T0 + MINUTE, "cannot tell", "14:14 UTC, and some of that traffic came before"),
        ("no", T0 + MINUTE, "no", "it is so; mitigated at 2026-09-21 14:14 UTC"),
        ("no", T0 + HOUR, "cannot tell", "15:13 UTC, and all of that traffic came before"),
        ("cannot tell", T0, "cannot tell", "it is so; mitigated at 2026-09-21 14:13 UTC"),
    ],
)
def test_whether_harm_goes_on_after_is_asked_of_the_time_after(now, done_us: int | None, found: str, ends: str) -> None:
    """Before anything was mitigated it is not asked; harm of an hour that began before says nothing, a calm one does."""
    told = after_answer(Answer(found=now, text="it is so"), done_us, T0, T0 + HOUR)
    assert told.found == found
    assert told.text.endswith(ends)


def test_what_counts_as_mitigated(store: Store) -> None:
    """The last hold since the onset, or harm said to be stopped or fixed; a pull of the day before and a diagnosis are not."""
    incident = store.raise_()  # its onset is 1 to 2 hours before T0
    pulls = [Change(id=f"pull-c-{k:05d}-{what}", at_us=at, kind="lever", title="c", app="bot", origin="lever")
             for k, (at, what) in enumerate([(T0 - DAY, "held"), (T0 + HOUR, "released")])]  # fmt: skip
    assert mitigated_us(replace(incident, diagnosed_us=T0), pulls) is None
    assert mitigated_us(replace(incident, stabilised_us=T0, fixed_us=T0 + 5), pulls) == T0 + 5
    held = Change(id="pull-c-00003-held", at_us=T0 + 9, kind="lever", title="c", app="bot", origin="lever")
    assert mitigated_us(replace(incident, fixed_us=T0 + 5), [*pulls, held]) == T0 + 9


def test_a_lever_that_moved_before_the_evidence_is_told() -> None:
    """Evidence that was frozen after a pull says so; a pull of an earlier day, or a later one, is no matter."""
    pulls = [Change(id=f"pull-c-{k:05d}-held", at_us=at, kind="lever", title="c", app="bot", origin="lever")
             for k, at in enumerate((T0 - DAY, T0 + MINUTE, T0 + HOUR))]  # fmt: skip
    assert "a lever had moved before" in evidence_answer([T0 + 5 * MINUTE], pulls, T0).text
    assert "a lever" not in evidence_answer([T0 + 5 * MINUTE], [pulls[0], pulls[2]], T0).text
    assert evidence_answer([], pulls, T0).found == "no"


HOSTILE = {
    '=cmd|"/C calc"!A0': '\'=cmd|"/C calc"!A0',
    "+1": "'+1",
    "-1": "'-1",
    "@sum": "'@sum",
    "\tx": " x",
    "\t=1+1": "' =1+1",
    "\r\n=1": "'  =1",
    'a,"b"\r\nc': 'a,"b"  c',
    "\uff1d1": "'\uff1d1",
    "\uff0d1": "'\uff0d1",
    "it's; fine": "it's; fine",
    "": "",
}
"""Questions, and the cell that each becomes."""


def test_the_query_log_is_whole_and_safe_for_spreadsheets(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every interaction of the part since the onset, once, in order, with its harm; no cell is a formula, none is torn."""
    from andon.incidents.run import runbook as stage

    monkeypatch.setattr(stage, "AT_ONCE", 7)  # several stretches
    rows = [asked(f"h{k}", T0 - HOUR + k * MINUTE, query=q, refused=k % 2 == 0) for k, q in enumerate(HOSTILE)]
    rows += [asked(f"l{k}", T0 // HOUR * HOUR + (k + 1) * HOUR, task="late") for k in range(30)]
    rows += [asked("early", T0 - 9 * HOUR), asked("other", T0, app="other"), asked("probe", T0, source="probe")]
    store.take(rows, [thumb("d", T0 + MINUTE, "h1")])
    incident = store.raise_()
    text = "".join(query_log(store.warehouse, store.ledger, incident, now_us=T0 + 100 * HOUR))
    read = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert [r["id"] for r in read] == [f"h{k}" for k in range(12)] + [f"l{k}" for k in range(30)]
    assert [r["harmed"] for r in read[:12]] == ["1", "0", "1", "0", "1", "0", "1", "0", "1", "0", "1", "0"]
    assert [r["query"] for r in read[:12]] == list(HOSTILE.values())
    assert {r["task"] for r in read[12:]} == {"late"}


def test_the_commands_show_answer_and_tick(type_, tmp_path: Path) -> None:
    """`show` answers at the first use and freezes the team's file; `tick`, `answer`, `check` and `queries` do as they say."""
    from andon.cli.screen import opened
    from andon.incidents.run import respond
    from andon.traffic.run import record

    (tmp_path / "runbook.toml").write_text(SMALL)
    with opened() as loop:
        record(loop.warehouse, [asked("one", T0 - MINUTE, query="\x1b[2Jhow?")])
        lead = signal("a")
        loop.ledger.put(lead, now_us=T0, by="andon")
        respond(loop.ledger, [lead])
    code, out, _ = type_("runbook", "check", "runbook.toml")
    assert (code, "ours: 2 items can be read" in out) == (0, True)
    code, out, _ = type_("runbook", "show", "INC-0001")
    assert code == 0
    assert "[?]   two  Is it on?" in out
    assert "next: two: Is it on?" in out
    assert (
        "see /incidents/INC-0001#chart (as of 2026-09-21 14:15 UTC)" in out
    )  # the end of the last window with traffic
    assert "TRIAGE (15 min; over since" in out
    with opened() as loop:
        record(loop.warehouse, [asked("two", T0 + 20 * MINUTE)])
    assert "14:15 UTC" in type_("runbook", "show", "INC-0001")[1]
    assert "14:35 UTC" in type_("runbook", "answer", "INC-0001")[1]
    assert "next: one" in type_("runbook", "tick", "INC-0001", "two", "--note", "off")[1]
    out = type_("runbook", "answer", "INC-0001")[1]
    assert "[x]   two" in out
    assert ": off" in out
    code, out, _ = type_("runbook", "queries", "INC-0001", "--out", str(tmp_path / "q.csv"))
    assert (code, (tmp_path / "q.csv").exists()) == (0, True)
    assert type_("runbook", "queries", "INC-0001", "--out", str(tmp_path / "no" / "q.csv"))[0] == 2
    (tmp_path / "bad.toml").write_text(f"{SMALL}why = 1")
    code, _, err = type_("runbook", "check", "bad.toml")
    assert (code, "why" in err, "bad.toml" in err) == (2, True, True)
    assert type_("runbook", "check", "missing.toml")[0] == 2


def test_the_runbook_reads_when_evidence_was_frozen(type_) -> None:
    """`show` names the versions of the investigation as the loop wrote them, and `tick` says what is next by what is known now."""
    from andon.cli.screen import opened
    from andon.incidents.run import respond
    from andon.investigations import Investigation
    from andon.investigations.records import Impact

    impact = Impact(n=1, harmed=1, excess=1.0, users=None, sessions=None)
    with opened() as loop:
        loop.ledger.put(signal("a"), now_us=T0, by="andon")
        (incident,) = respond(loop.ledger, [signal("a")])
    assert "nothing is frozen yet" in type_("runbook", "show", "INC-0001")[1]
    with opened() as loop:
        for k in range(2):
            found = Investigation(id="INC-0001", at_us=T0 + k * MINUTE, impact=impact)
            loop.ledger.put(found, now_us=T0 + HOUR, by="andon")
        ack_incident(loop.ledger, incident, now_us=T0 + MINUTE, by="mia")
    out = type_("runbook", "tick", "INC-0001", "read")[1]
    assert "next: take" not in out
    out = type_("runbook", "show", "INC-0001")[1]
    assert "version 1 holds what was known at 2026-09-21 14:13 UTC, version 2 at 2026-09-21 14:14 UTC" in out


@pytest.mark.parametrize(("window_us", "span"), [(5 * MINUTE, "in the hour"), (HOUR, "in the 6 h")])
def test_the_time_that_was_read_is_named(store: Store, config: str, window_us: int, span: str) -> None:
    """Whether harm goes on and the fresh sample are read from the same whole windows, and both say which: no hour for six."""
    store.take([asked(f"bad{k}", T0 - (k + 1) * MINUTE, refused=True) for k in range(70)])
    state = answered(store, store.raise_(signal("a", window_us=window_us)), config, T0)
    end_us = T0 // window_us * window_us
    for item in ("harm-now", "fresh-sample"):
        assert f"{span} before {minute_text(end_us)} UTC" in entry_of(state, item).text
