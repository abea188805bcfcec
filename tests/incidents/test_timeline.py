"""Laws of timelines: they build themselves, have two clocks, and nothing in them is ever rewritten."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from test_triage import HOUR, T0, signal
from walked import Store, asked, week_of_feedback

from andon.changes import Change
from andon.errors import InputError
from andon.incidents import Delivery, Incident, TimelineEvent, TimelineMark
from andon.incidents.run import add_note, timeline_of
from andon.incidents.run.growing import grow_timeline
from andon.incidents.run.recovery import close_incident
from andon.incidents.run.timeline import event, find_entry, first_told, mark_entry, marks_of
from andon.incidents.timeline import brief, spike_text, spikes, t_of
from andon.levers import Lever
from andon.levers.run import declare, hold, release
from andon.store import Ledger

MINUTE = 60_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store on disk."""
    made = Store(tmp_path)
    yield made
    made.close()


def change(name: str, at_us: int, **fields) -> Change:
    """A change of the app `bot`."""
    told = {"kind": "prompt", "title": name, "app": "bot", "author": "mia"}
    return Change(id=name, at_us=at_us, **{**told, **fields})


def kinds(events: list[TimelineEvent], *wanted: str) -> list[tuple[str, str]]:
    """Kinds and texts of the entries of some kinds, in their order."""
    return [(e.kind, e.text) for e in events if e.kind in wanted]


@pytest.mark.parametrize(("before", "hours", "bound"), [(0, 168, 1), (168, 168, 5), (0, 24, 2), (1000, 24, 64)])
def test_the_bound_of_a_spike_is_exact(before: int, hours: int, bound: int) -> None:
    """The bound is the greatest count that is not below one in a thousand, given the sum of both sides."""
    chance = [stats.binom.sf(k - 1, before + k, 1 / (hours + 1)) for k in (bound, bound + 1)]
    assert chance[0] > 0.001 >= chance[1]
    args = {"first": 500, "last": 502, "before": before, "hours": hours, "most": 0}
    assert spikes({500: bound}, **args) == ()
    (found,) = spikes({500: bound + 1}, **args)
    assert (found.start_us, found.hours, found.n, found.bound) == (500 * HOUR, 1, bound + 1, bound)


def test_chance_alone_is_a_spike_at_most_once_in_a_thousand_hours() -> None:
    """Where thumbs-down come at one rate, at most 1 of 1,000 hours is beyond the bound, whatever the rate."""
    rng = np.random.default_rng(5)
    for rate in (0.05, 1.0, 20.0):
        found = judged = 0
        for _ in range(300):
            old, new = rng.poisson(rate, 168), rng.poisson(rate, 40)
            counts = {500 + 2 * k: int(n) for k, n in enumerate(new)}  # every other hour: no two in a row
            found += len(spikes(counts, first=500, last=580, before=int(old.sum()), hours=168, most=0))
            judged += len(new)
        assert stats.binom.sf(found - 1, judged, 0.001) > 1e-3, (rate, found, judged)


def test_hours_in_a_row_are_one_spike() -> None:
    """A spike lasts as long as its hours are beyond the bound; after a calm hour there is another one."""
    counts = {500: 9, 501: 30, 502: 9, 503: 1, 504: 9}
    found = spikes(counts, first=500, last=506, before=168, hours=168, most=2)
    assert [(s.start_us // HOUR, s.hours, s.n) for s in found] == [(500, 3, 9), (504, 1, 9)]
    assert spike_text(found[0]) == "9 thumbs down within an hour, where 1 an hour are usual; chance explains at most 5"


def test_the_busy_hour_of_every_day_is_no_spike() -> None:
    """An hour as bad as one of the week before is none, though a constant rate would not explain it."""
    day = {h: 20 if h % 24 == 12 else 0 for h in range(168 + 48)}
    found = spikes(day, first=168, last=216, before=140, hours=168, most=20)
    assert found == ()
    assert spikes(day | {180: 21}, first=168, last=216, before=140, hours=168, most=20)


def test_without_a_day_before_nothing_is_usual() -> None:
    """With fewer than 24 hours before the onset no spike is claimed."""
    assert spikes({500: 99}, first=500, last=501, before=0, hours=23, most=0) == ()
    assert len(spikes({500: 99}, first=500, last=501, before=0, hours=24, most=0)) == 1


def test_t_is_the_time_since_the_alarm() -> None:
    """T is signed, in hours and minutes, and never minus nothing."""
    at = [T0 + 7 * MINUTE, T0 - 26 * HOUR - 5 * MINUTE, T0, T0 - MINUTE // 3, T0 + 100 * HOUR]
    assert [t_of(t, T0) for t in at] == ["T+0:07", "T-26:05", "T+0:00", "T+0:00", "T+100:00"]


def grown(folder: Path, times: list[int]) -> list[TimelineEvent]:
    """The timeline of an incident that grew at these times, with changes, levers and feedback before and after the alarm."""
    store = Store(folder)
    store.take(*week_of_feedback())
    store.ledger.put(change("known", T0 - 3 * HOUR), now_us=T0 - 3 * HOUR, by="mia")
    incident = store.raise_()
    store.ledger.put(change("late", T0 - 5 * HOUR), now_us=T0 + 20 * MINUTE, by="mia")
    store.ledger.put(change("too old", T0 - 9 * 24 * HOUR), now_us=T0 + 20 * MINUTE, by="mia")
    store.ledger.put(change("elsewhere", T0, app="other"), now_us=T0, by="mia")
    store.ledger.put(change("fix", T0 + 30 * MINUTE), now_us=T0 + 40 * MINUTE, by="mia")
    store.ledger.put(change("to come", T0 + 99 * HOUR), now_us=T0, by="mia")
    declare(store.ledger, Lever(id="safe-mode", kind="boolean", default=False, safe=True, app="bot"), T0, "mia")
    at = {"why": "harm", "by": "mia", "now_us": T0 + 10 * MINUTE}
    hold(store.ledger, "safe-mode", until_us=T0 + HOUR, **at)
    release(store.ledger, "safe-mode", why="over", by="mia", now_us=T0 + 50 * MINUTE)
    for now_us in times:
        grow_timeline(store.warehouse, store.ledger, incident, now_us=now_us)
    events = timeline_of(store.ledger, incident)
    store.close()
    return events


def test_how_often_it_grows_makes_no_difference(tmp_path: Path) -> None:
    """Every ten minutes or once at the end: the same entries with the same clocks."""
    end = T0 + 3 * HOUR
    often = grown(tmp_path / "often", [T0 + k * 10 * MINUTE for k in range(6, 19)])
    assert often == grown(tmp_path / "once", [end]) == grown(tmp_path / "again", [end, end, end])
    assert kinds(often, "change", "lever", "feedback") == [
        ("change", "prompt: late (mia)"),
        ("change", "prompt: known (mia)"),
        ("feedback", "12 thumbs down within an hour, where 2 an hour are usual; chance explains at most 8"),
        ("lever", "lever: lever safe-mode held at true (mia)"),
        ("change", "prompt: fix (mia)"),
        ("lever", "lever: hold of lever safe-mode released: back to false (mia)"),
    ]


def test_an_hour_is_judged_when_it_has_settled(tmp_path: Path) -> None:
    """Whoever looks a second after an hour of thumbs-down ended, before the last of them came, freezes no count."""
    store = Store(tmp_path)
    traffic, thumbs = week_of_feedback()
    first = (T0 - 2 * HOUR) // HOUR * HOUR
    store.take(traffic, [f for f in thumbs if f.time_us < first + HOUR // 2])
    incident = store.raise_()
    assert not kinds(grow_timeline(store.warehouse, store.ledger, incident, now_us=first + HOUR + 1), "feedback")
    store.take((), [f for f in thumbs if f.time_us >= first + HOUR // 2])
    grow_timeline(store.warehouse, store.ledger, incident, now_us=T0 + 3 * HOUR)
    told = kinds(timeline_of(store.ledger, incident), "feedback")
    store.close()
    assert [text.split(" thumbs")[0] for _, text in told] == ["12"]


def test_both_clocks_are_kept(tmp_path: Path) -> None:
    """A change is learned when it was recorded but not before the alarm, a spike at the end of its first hour."""
    events = {e.text.split(" (")[0]: e for e in grown(tmp_path, [T0 + 3 * HOUR])}
    late, known, fix = (events[f"prompt: {name}"] for name in ("late", "known", "fix"))
    assert (late.happened_us, late.learned_us) == (T0 - 5 * HOUR, T0 + 20 * MINUTE)
    assert (known.happened_us, known.learned_us) == (T0 - 3 * HOUR, T0)
    assert (fix.happened_us, fix.learned_us) == (T0 + 30 * MINUTE, T0 + 40 * MINUTE)
    (spike,) = [e for e in events.values() if e.kind == "feedback"]
    first = (T0 - 2 * HOUR) // HOUR * HOUR
    assert (spike.happened_us, spike.learned_us) == (first, T0)


def test_a_pull_before_the_alarm_stands_there_once(store: Store) -> None:
    """It has the kind of a pull from when the incident opens, and growing does not write it again."""
    store.ledger.put(change("pull", T0 - HOUR, kind="lever", origin="lever"), now_us=T0 - HOUR, by="mia")
    incident = store.raise_()
    for now_us in (T0 + HOUR, T0 + 2 * HOUR):
        assert [e.kind for e in timeline_of(store.ledger, incident) if "pull" in e.text] == ["lever"]
        grow_timeline(store.warehouse, store.ledger, incident, now_us=now_us)


def test_a_close_takes_in_what_came_just_before_it(store: Store) -> None:
    """A change that nobody has told yet stands in the timeline of an incident that closes, before the close."""
    incident = store.raise_()
    store.ledger.put(change("fix", T0 + HOUR), now_us=T0 + HOUR, by="mia")
    what = {"now_us": T0 + HOUR + 1, "by": "ann", "ending": "false alarm"}
    closed = close_incident(store.warehouse, store.ledger, incident, "a load test", **what)
    assert kinds(timeline_of(store.ledger, closed), "change", "state") == [
        ("change", "prompt: fix (mia)"),
        ("state", "closed as false alarm: a load test"),
    ]


def test_a_note_of_what_is_to_come_is_refused(store: Store) -> None:
    """A note for a future time is refused with both times, and nothing is written."""
    incident = store.raise_()
    before = list(store.ledger.bodies())
    with pytest.raises(InputError, match=r"2026-09-21T15:13:20Z lies in the future \(it is 2026-09-21T14:13:20Z\)"):
        add_note(store.ledger, incident, "we will look", happened_us=T0 + HOUR, now_us=T0, by="ann")
    assert list(store.ledger.bodies()) == before


def test_a_turn_without_news_writes_nothing(store: Store) -> None:
    """Within the hour, and without a new change, nothing is written; a closed incident does not grow."""
    store.take([asked("one", T0)])
    incident = store.raise_()
    grow_timeline(store.warehouse, store.ledger, incident, now_us=T0 + HOUR)
    before = list(store.ledger.bodies())
    assert grow_timeline(store.warehouse, store.ledger, incident, now_us=T0 + HOUR + MINUTE) == []
    assert list(store.ledger.bodies()) == before
    store.ledger.put(change("new", T0 + HOUR), now_us=T0 + HOUR, by="mia")
    over = replace(incident, state="closed")
    assert grow_timeline(store.warehouse, store.ledger, over, now_us=T0 + 2 * HOUR) == []
    assert len(grow_timeline(store.warehouse, store.ledger, incident, now_us=T0 + 2 * HOUR)) == 1


def test_feedback_that_comes_late_adds_no_second_entry(store: Store) -> None:
    """A spike that grows, or begins an hour earlier than it seemed, is still one entry, with the words that it had."""
    traffic, feedback = week_of_feedback()
    first = (T0 - 2 * HOUR) // HOUR
    store.take(traffic, [f for f in feedback if not f.id.startswith(f"d{first}-") or int(f.id.split("-")[1]) < 3])
    incident = store.raise_()
    (one,) = grow_timeline(store.warehouse, store.ledger, incident, now_us=T0 + HOUR)
    store.take([], feedback)
    assert grow_timeline(store.warehouse, store.ledger, incident, now_us=T0 + 3 * HOUR) == []
    assert [e for e in timeline_of(store.ledger, incident) if e.kind == "feedback"] == [one]


def opened(store: Store) -> tuple[Ledger, Incident, TimelineEvent]:
    """An incident with a note in its timeline."""
    incident = store.raise_()
    note = add_note(store.ledger, incident, "we looked", happened_us=T0 + 1, now_us=T0 + 2, by="ann")
    return store.ledger, incident, note


def test_a_hidden_entry_is_kept_and_comes_back(store: Store) -> None:
    """Hidden entries stand only in the whole timeline; the entry has one version for ever, its marks all of theirs."""
    ledger, incident, note = opened(store)
    mark_entry(ledger, incident, note, "hidden", why="twice", now_us=T0 + 3, by="mia")
    assert note not in timeline_of(ledger, incident)
    assert note in timeline_of(ledger, incident, hidden=True)
    mark_entry(ledger, incident, note, "shown", why="it matters", now_us=T0 + 4, by="ann")
    assert note in timeline_of(ledger, incident)
    mark_entry(ledger, incident, note, "pinned", why="the turn", now_us=T0 + 5, by="ann")
    assert note in timeline_of(ledger, incident)
    assert marks_of(ledger, incident)[note.id].mark == "pinned"
    assert len(ledger.history(TimelineEvent, note.id)) == 1
    assert [v.by for v in ledger.history(TimelineMark, note.id)] == ["mia", "ann", "ann"]


@pytest.mark.parametrize(("mark", "why", "match"), [("pinned", " ", "say why"), ("deleted", "no", "pinned, hidden or")])
def test_a_mark_is_one_of_three_and_has_a_reason(store: Store, mark: str, why: str, match: str) -> None:
    """Nothing is marked without a reason, nor with another word."""
    ledger, incident, note = opened(store)
    with pytest.raises(InputError, match=match):
        mark_entry(ledger, incident, note, mark, why=why, now_us=T0, by="mia")
    assert marks_of(ledger, incident) == {}


def test_an_entry_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    """The whole id or a beginning that only one has; none or several are refused with what to do."""
    ledger, incident, note = opened(store)
    ids = [e.id.rpartition("-")[2] for e in timeline_of(ledger, incident)]
    assert find_entry(ledger, incident, note.id) == find_entry(ledger, incident, note.id[-12:][:8].upper()) == note
    for wrong in ("", "zz"):
        with pytest.raises(InputError, match="the whole timeline shows their ids") as refused:
            find_entry(ledger, incident, wrong)
        assert "incident timeline INC-0001 --all" in refused.value.commands
    while not any(sum(i[0] == j[0] for j in ids) > 1 for i in ids):
        ids.append(add_note(ledger, incident, f"note {len(ids)}", happened_us=T0, now_us=T0, by="ann").id[-12:])
    twice = next(i[0] for i in ids if sum(i[0] == j[0] for j in ids) > 1)
    with pytest.raises(InputError, match="2 entries"):
        find_entry(ledger, incident, twice)


def test_what_was_erased_is_not_written_again(store: Store) -> None:
    """An entry that comes again never replaces what stands there, not even where its text was erased."""
    ledger, incident, note = opened(store)
    ledger.blank(
        lambda body: {**body, "text": "(erased)"} if body.get("text") == "we looked" else body, [TimelineEvent]
    )
    again = event(ledger, incident, note.happened_us, T0 + 9, "note", "we looked", by="ann")
    assert again.text == "(erased)"
    assert len(ledger.history(TimelineEvent, note.id)) == 1


def deliver(store: Store, channel: str, at_us: int, state: str = "sent", incident: str = "INC-0001") -> None:
    """Write how a message to a channel ended."""
    told = {"reason": "opened", "severity": "P1", "signal_us": T0, "state": state}
    made = Delivery(id=f"{incident}/opened/{channel}", incident=incident, channel=channel, at_us=at_us, **told)
    store.ledger.put(made, now_us=at_us, by="andon")


def test_that_people_were_told_late_stands_there_once(store: Store) -> None:
    """The first message that a channel took, where that was more than five minutes after the alarm; failures are none."""
    incident = store.raise_()
    deliver(store, "mail", T0 + MINUTE, "failed")
    deliver(store, "chat", T0 + MINUTE, "unknown")
    deliver(store, "chat", T0 + MINUTE, incident="INC-0002")
    assert first_told(store.ledger, incident) is None
    assert grow_timeline(store.warehouse, store.ledger, incident, now_us=T0 + MINUTE) == []
    deliver(store, "pager", T0 + 3 * HOUR + 20 * MINUTE)
    (told,) = grow_timeline(store.warehouse, store.ledger, incident, now_us=T0 + 4 * HOUR)
    assert (told.kind, told.text) == ("told", "first told over pager, 3 h 20 min after the alarm")
    assert told.happened_us == told.learned_us == T0 + 3 * HOUR + 20 * MINUTE
    deliver(store, "chat", T0 + 3 * HOUR)  # a slow one that turns out to have been earlier adds no second entry
    assert grow_timeline(store.warehouse, store.ledger, incident, now_us=T0 + 5 * HOUR) == []
    assert first_told(store.ledger, incident).channel == "chat"


def test_who_is_told_at_once_is_no_entry(store: Store) -> None:
    """Within five minutes of the alarm nothing is said, however late another channel is."""
    incident = store.raise_()
    deliver(store, "pager", T0 + 5 * MINUTE)
    deliver(store, "mail", T0 + HOUR)
    assert grow_timeline(store.warehouse, store.ledger, incident, now_us=T0 + 2 * HOUR) == []


def test_the_short_form_leaves_out_later_signals_only(store: Store) -> None:
    """Signals of the first day that page, whatever is pinned, and every other kind of entry stay."""
    signals = [signal("a"), signal("w", at_us=T0 + HOUR, level="warning")]
    signals += [signal("b", at_us=T0 + 30 * HOUR), signal("c", at_us=T0 + 40 * HOUR)]
    store.raise_(*signals)
    incident = store.ledger.all(Incident)[0]
    late = add_note(store.ledger, incident, "late", happened_us=T0 + 90 * HOUR, now_us=T0 + 90 * HOUR, by="ann")
    events = timeline_of(store.ledger, incident)
    last = [e for e in events if e.kind == "signal"][-1]
    mark_entry(store.ledger, incident, last, "pinned", why="the turn", now_us=T0, by="ann")
    short, left = brief(events, marks_of(store.ledger, incident), alarmed_us=T0)
    assert left == 2
    assert [e.happened_us for e in short if e.kind == "signal"] == [T0, T0 + 40 * HOUR]
    assert late in short


def test_the_commands_show_pin_and_hide(type_) -> None:
    """The timeline has both clocks and an id by which an entry is marked; hostile text moves no cursor."""
    from andon.cli.screen import opened as open_

    with open_() as loop:
        for s in (signal("a", app="bot\x1b[2J"),):
            loop.ledger.put(s, now_us=s.at_us, by="andon")
        from andon.incidents.run import respond

        (incident,) = respond(loop.ledger, [signal("a", app="bot\x1b[2J")])
        note = add_note(loop.ledger, incident, "\x1b[31mred", happened_us=T0 + HOUR, now_us=T0 + 2 * HOUR, by="ann")
    code, out, _ = type_("incident", "timeline", "INC-0001")
    assert code == 0
    assert "\x1b" not in out
    (line,) = [row for row in out.splitlines() if "red" in row]
    short = note.id[-12:][:6]
    assert line.split()[:5] == [short, "T+1:00", "2026-09-21", "15:13:20", "T+2:00"]
    assert type_("incident", "hide", "INC-0001", short, "--why", "twice")[0] == 0
    assert "red" not in type_("incident", "timeline", "INC-0001")[1]
    assert "[hidden: twice]" in type_("incident", "timeline", "INC-0001", "--all")[1]
    assert type_("incident", "unmark", "INC-0001", short, "--why", "not twice")[0] == 0
    assert type_("incident", "pin", "INC-0001", short, "--why", "the turn")[0] == 0
    assert "[pinned: the turn]" in type_("incident", "timeline", "INC-0001")[1]
    assert type_("incident", "pin", "INC-0001", "zz", "--why", "x")[0] == 2
