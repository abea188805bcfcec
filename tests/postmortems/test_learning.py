"""Laws of learning across incidents: intervals that hold, nothing claimed from a few, nothing unresolved forgotten."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_made import DAY, HOUR, T0, action, draft, incident

from andon.errors import InputError
from andon.incidents import Incident
from andon.investigations import Suspect
from andon.postmortems import Comment, Postmortem, Proof, Review
from andon.postmortems.actions import Commitment
from andon.postmortems.learning import (
    Learned,
    Recurrence,
    agenda_of,
    learn,
    quarter_of,
    recurrences_of,
    share_of,
    share_text,
    spread_of,
    spread_text,
)
from andon.postmortems.run.actions import claim_action, prove_action, take_action
from andon.postmortems.run.learning import learn_from
from andon.postmortems.run.review import change_review
from andon.store import Ledger

NOW = T0 + 400 * DAY


@pytest.mark.parametrize("n", range(6))
def test_a_few_durations_have_no_median(n: int) -> None:
    """Below six the exact interval does not exist, so there is no median: the text says too few, and shows the range."""
    found = spread_of([60.0 * (k + 1) for k in range(n)])
    assert (found.n, found.median_s, found.low_s) == (n, None, None)
    assert ("too few" in spread_text(found)) == (n > 0)
    assert "cannot tell" in spread_text(spread_of([]))
    assert "mean" not in spread_text(found)


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        ((), "cannot tell: none yet"),
        ((3,), "too few to tell (1: 3 min)"),
        ((9, 3, 5), "too few to tell (3: 3 min to 9 min)"),
        ((60, 3, 9, 20, 5, 10), "median 10 min (95 % interval 3 min to 60 min; all 6: 3 min to 60 min)"),
        (
            (5, 10, 15, 20, 25, 30, 35, 40, 45, 100),
            "median 28 min (95 % interval 10 min to 45 min, 10 % under 10 min, 10 % over 50 min; all 10: 5 min to 100 min)",
        ),
    ],
)
def test_a_spread_is_told_to_the_letter(minutes: tuple[int, ...], said: str) -> None:
    """Of few durations the range is told, from six on the median (10 of 3, 5, 9, 10, 20, 60 is 9.5, told as 10), from ten the tails."""
    assert spread_text(spread_of([60.0 * m for m in minutes])) == said


def test_the_interval_is_that_of_the_order_statistics() -> None:
    """For n = 6, 10 and 25 the interval ends at the order statistics of Conover's table (1, 6), (2, 9), (8, 18)."""
    for n, low, high in ((6, 1, 6), (10, 2, 9), (25, 8, 18)):
        found = spread_of([float(k) for k in range(1, n + 1)])
        assert (found.low_s, found.high_s) == (low, high)


@pytest.mark.parametrize("n", [6, 9, 15, 40])
def test_the_interval_covers_the_median(n: int) -> None:
    """Over 4,000 samples of a heavy-tailed duration the interval holds the true median at least 95 % of the time (3 sigma)."""
    rng = np.random.default_rng(n)
    draws = rng.lognormal(8.0, 1.5, (4_000, n))
    held = [s.low_s <= np.exp(8.0) <= s.high_s for s in map(spread_of, draws.tolist())]  # type: ignore[operator]
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 4_000)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e4), st.floats(0, 1e4)), min_size=6, max_size=40))
def test_what_is_not_known_of_each_widens_the_interval(rows) -> None:
    """With bounds around every duration the interval holds the one without them, and the median lies in it."""
    best = [b for b, _, _ in rows]
    plain = spread_of(best)
    wide = spread_of(best, [b - d for b, d, _ in rows], [b + u for b, _, u in rows])
    assert wide.median_s == plain.median_s
    assert wide.low_s <= plain.low_s <= plain.median_s <= plain.high_s <= wide.high_s


def test_bounds_must_belong_to_the_durations() -> None:
    """Bounds that are fewer than the durations are refused, never dropped in silence."""
    with pytest.raises(InputError):
        spread_of([1.0, 2.0], [1.0])


def test_a_share_is_exact_and_says_when_it_is_vague() -> None:
    """The interval is Clopper and Pearson's (their 2 of 10 gives 2.5 % to 55.6 %); a wide one is too few to tell."""
    assert (round(share_of(2, 10).low, 4), round(share_of(2, 10).high, 4)) == (0.0252, 0.5561)
    assert "too few to tell" in share_text(share_of(2, 10))
    assert share_text(share_of(50, 100)).startswith("50 of 100, 50 % (95 % interval")
    assert "cannot tell" in share_text(share_of(0, 0))


@pytest.mark.parametrize(("day", "quarter"), [("2026-01-01", "2026 Q1"), ("2026-03-31", "2026 Q1"), ("2026-12-31", "2026 Q4")])  # fmt: skip
def test_quarters_are_those_of_the_calendar(day: str, quarter: str) -> None:
    """A time belongs to the quarter of its day in UTC."""
    stamp = int(np.datetime64(f"{day}T12:00:00", "us").astype(np.int64))
    assert quarter_of(stamp) == quarter


def incidents(n: int, **more) -> list[Incident]:
    """Incidents of one quarter, a day apart, with lags of one hour more each."""
    return [
        incident(f"INC-{k:04d}", onset_us=T0 + k * DAY, onset_low_us=T0 + k * DAY - HOUR, onset_high_us=T0 + k * DAY + HOUR,
                 alarmed_us=T0 + k * DAY + (k + 2) * HOUR, **more)
        for k in range(n)
    ]  # fmt: skip


NOTHING: dict = {"pulls": {}, "cases": {}, "catches": {}}
"""What later stages know where nobody pulled a lever or added a case."""


def learned_of(rows: Iterable[Incident], commitments: Iterable[Commitment], **more) -> Learned:
    """What these incidents teach where later stages know nothing, unless it is given."""
    return learn(list(rows), commitments, now_us=NOW, **{**NOTHING, "kinds": {}, **more})


def test_lags_are_by_quarter_with_the_uncertainty_of_the_onset() -> None:
    """The median lag of a quarter has an interval from the shortest possible lags to the longest possible ones."""
    ((quarter, found),) = learned_of(incidents(6), ()).lags
    assert quarter == "2026 Q3"
    assert found.median_s == pytest.approx(4.5 * 3600)
    assert (found.low_s, found.high_s) == (3600.0, 8 * 3600.0)  # 2 h less 1 h, 7 h and 1 h more
    two = learned_of([*incidents(6), replace(incident("INC-0100"), alarmed_us=T0 + 100 * DAY)], ()).lags
    assert [(q, s.n) for q, s in two] == [("2026 Q3", 6), ("2026 Q4", 1)]


def test_false_alarms_and_duplicates_teach_nothing_about_lags() -> None:
    """They are counted apart, and stand in no other figure; neither does what came before the time asked about."""
    real = incidents(3)
    more = [replace(i, id=f"F{k}", closed_as=end) for k, (i, end) in enumerate(zip(real, ("false alarm", "duplicate", "false alarm"), strict=True))]  # fmt: skip
    found = learned_of([*real, *more], ())
    assert (found.incidents, found.false_alarms, found.duplicates, found.found_by_us.n) == (3, 2, 1, 3)
    assert learned_of(real, (), since_us=real[2].alarmed_us).incidents == 1


def test_found_by_us_means_before_any_person() -> None:
    """A chart that spoke before, or when, a person did counts; a report, or a person who was first, does not."""
    a, b, c, d = incidents(4)
    rows = [
        a, replace(b, noticed_us=b.alarmed_us), replace(c, noticed_us=c.alarmed_us - 1), replace(d, origin="report"),
    ]  # fmt: skip
    assert learned_of(rows, ()).found_by_us.x == 2


def test_levers_are_timed_from_the_alarm() -> None:
    """The first pull at or after the alarm counts; recovery is timed from it; incidents without one are counted."""
    a, b, c = incidents(3)
    a = replace(a, recovered_us=a.alarmed_us + 5 * HOUR)
    pulls = {a.id: [a.alarmed_us - 1, a.alarmed_us + 3 * HOUR, a.alarmed_us + HOUR], b.id: [b.alarmed_us - 1]}
    found = learned_of([a, b, c], (), pulls=pulls)
    assert (found.to_lever.shortest_s, found.to_lever.n, found.without_lever) == (3600.0, 1, 2)
    assert (found.lever_to_recovery.n, found.lever_to_recovery.longest_s) == (1, 4 * 3600.0)


def taken(days_ago: float, proved_after: float | None, state: str = "done") -> Commitment:
    """An action that was taken so many days ago, and proved so many days after."""
    at = NOW - round(days_ago * DAY)
    return Commitment(
        item=action(state=state),
        taken_us=at,
        proved_us=None if proved_after is None else at + round(proved_after * DAY),
    )


def test_verified_actions_are_those_proved_in_time() -> None:
    """Of the actions taken at least 15 (30) days ago: proved within them and still so; dropped and reopened ones count against."""
    rows = [
        taken(40, 10), taken(40, 20), taken(40, 35), taken(40, None, "open"), taken(40, None, "dropped"),
        taken(40, 10, "open"), taken(20, 15), taken(14.9, 1),
    ]  # fmt: skip
    found = dict(learned_of([], rows).verified)
    assert (found[15].x, found[15].n) == (2, 7)
    assert (found[30].x, found[30].n) == (2, 6)


def test_recurrence_needs_the_same_signature_after_the_close() -> None:
    """The same metric, part, kind of change and failure type of the same application, alarmed after the close; not before it."""
    a, b, c, d, e = incidents(5)
    a = replace(a, closed_us=b.alarmed_us - 1)
    other = replace(c, scope={"segment": "x"})
    foreign = replace(d, app="shop")
    rows = [a, b, other, foreign, e]
    assert recurrences_of(rows, {}) == (
        Recurrence(signature=("bot", "refusal", "all traffic", "", ""), closed=a.id, again=(b.id, e.id)),
    )
    assert recurrences_of(rows, {e.id: "prompt"})[0].again == (b.id,)
    assert recurrences_of([replace(a, closed_us=e.alarmed_us + 1), b, e], {}) == ()
    assert recurrences_of([replace(i, metric="") for i in rows], {}) == ()
    found = learned_of(rows, ())
    assert (found.recurred.x, found.recurred.n) == (1, 1)


def test_cases_and_what_they_caught_are_counted_by_incident() -> None:
    """Golden cases that came of an incident stand beside the runs in which they caught something; an incident without has 0."""
    rows = incidents(2)
    both = learned_of(rows, (), cases={rows[0].id: 3}, catches={rows[0].id: 2})
    assert both.golden == ((rows[0].id, 3, 2), (rows[1].id, 0, 0))
    assert learned_of([replace(rows[0], failure="config error"), rows[1]], ()).failures == (("config error", 1), ("not told", 1))  # fmt: skip


def test_the_agenda_is_what_is_unresolved() -> None:
    """What came back comes first, then claims and overdue actions, then what nobody said; false alarms ask for nothing."""
    old = incident(closed_us=NOW - 8 * DAY)
    young, false = incident("INC-0002", closed_us=NOW - 6 * DAY), incident("INC-0003", closed_us=NOW - 9 * DAY, closed_as="false alarm")  # fmt: skip
    review = Review(id="x", comments=(Comment(id="C1", text="why?", by="ann", at_us=T0), Comment(id="C2", text="?", by="a", at_us=T0, resolved_by="b")))  # fmt: skip
    drafts = {i.id: draft(i, action("INC-0001-A9"), review=review) for i in (old, false)}
    commitments = [
        Commitment(item=action("INC-0001-A1", state="open", owner="ann", due_us=NOW - DAY), taken_us=T0),
        Commitment(item=action("INC-0001-A2", state="open", owner="bob", due_us=NOW + DAY, claimed="#7 was closed"), taken_us=T0),
        Commitment(item=action("INC-0001-A3", state="done", due_us=NOW - DAY), taken_us=T0),
        Commitment(item=action("INC-0001-A4", state="open", owner="c", due_us=NOW + DAY, proof=Proof(met=False, text="G-1 fails", at_us=T0)), taken_us=T0),
        Commitment(item=action("INC-0001-A5", state="open", owner="c", due_us=NOW + DAY), taken_us=T0),
    ]  # fmt: skip
    again = [Recurrence(signature=("x",), closed="INC-0001", again=("INC-0002",))]
    told = {
        "empty": {old.id: ["What went well"], false.id: ["What went well"]},
        "commitments": commitments,
        "recurrences": again,
        "now_us": NOW,
    }
    found = agenda_of([old, young, false], drafts, published=(), **told)  # type: ignore[arg-type]
    assert [(a.incident, a.what) for a in found] == [
        ("INC-0001", "came back"), ("INC-0001", "claimed"), ("INC-0001", "overdue"), ("INC-0001", "not proved"),
        ("INC-0001", "open comment"), ("INC-0001", "not published"), ("INC-0001", "empty sections"), ("INC-0001", "not decided"),
    ]  # fmt: skip
    rest = agenda_of([old, young, false], drafts, published=("INC-0001",), **told)  # type: ignore[arg-type]
    assert [a.what for a in rest][4:] == ["open comment", "not decided"]  # publishing decides no proposal


def agenda(*rows: Incident, drafts: dict[str, Postmortem] | None = None, at: int = NOW) -> list[tuple[str, str]]:
    """What is unresolved about these incidents, as (incident, what)."""
    told = agenda_of(rows, drafts or {}, {}, (), (), published=(), now_us=at)
    return [(a.incident, a.what) for a in told]


def test_what_goes_on_is_unresolved() -> None:
    """An open incident is on the agenda while nobody is on it, and when it is open for longer than its runbook lasts."""
    i = incident()
    mine = replace(i, acked_us=i.alarmed_us, acked_by="ann")
    over = i.alarmed_us + 3 * DAY
    assert agenda(i, at=i.alarmed_us + HOUR) == [(i.id, "nobody on it")]
    assert agenda(mine, at=over) == []
    assert agenda(mine, at=over + 1) == [(i.id, "still open")]
    assert agenda(replace(i, state="stabilised"), at=over) == []  # whoever declared that is on it
    assert agenda(replace(i, state="stabilised"), at=over + 1) == [(i.id, "still open")]
    assert agenda(replace(i, closed_us=over), at=over + 1) == []
    (still,) = agenda_of([mine], {}, {}, (), (), published=(), now_us=i.alarmed_us + 40 * DAY)
    assert still.text == "alarmed 40 d ago, not closed: it is open, and ann is at it"


def test_proposals_that_nobody_decides_are_unresolved() -> None:
    """A week after the alarm, proposals are on the agenda until somebody takes or drops them, the incident open or closed."""
    i = incident(acked_us=T0, state="recovered")
    week = i.alarmed_us + 7 * DAY
    proposed = {i.id: draft(i, action(), action("INC-0001-A2", state="open", owner="ann"))}
    decided = {i.id: draft(i, action(state="dropped", why="x"))}
    assert (i.id, "not decided") not in agenda(i, drafts=proposed, at=week)
    assert (i.id, "not decided") in agenda(i, drafts=proposed, at=week + 1)
    assert (i.id, "not decided") in agenda(replace(i, closed_us=week), drafts=proposed, at=week + 1)
    assert (i.id, "not decided") not in agenda(i, drafts=decided, at=week + 1)


def test_what_goes_on_is_never_too_old_to_be_told() -> None:
    """An incident that is open since before the time asked about is unresolved all the same: nothing is not the answer."""
    book = Ledger("sqlite://")
    i = incident()
    book.put(i, now_us=T0, by="andon")
    book.put(draft(i, *(action(f"INC-0001-A{k}") for k in (1, 2, 3, 4))), now_us=T0, by="andon")
    _, found = learn_from(book, **NOTHING, now_us=i.alarmed_us + 40 * DAY, since_us=i.alarmed_us + 10 * DAY)
    assert [a.what for a in found] == ["nobody on it", "not decided"]
    assert "4 proposed actions (INC-0001-A1, " in found[1].text
    book.close()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger with a closed incident, its draft, and one action of each fate."""
    book = Ledger("sqlite://")
    closed = incident(closed_us=T0 + DAY)
    book.put(closed, now_us=T0, by="andon")
    book.put(draft(closed, *(action(f"INC-0001-A{k}") for k in (1, 2, 3))), now_us=T0, by="andon")
    yield book
    book.close()


def test_learning_reads_when_actions_were_taken_and_proved(ledger: Ledger) -> None:
    """Times come from the history of the ledger: taken, first proved; claims stand in the figures and on the agenda."""
    for k in (1, 2):
        take_action(ledger, f"INC-0001-A{k}", owner="ann", now_us=T0 + k * DAY, by="ann")
    yes = {"lever exists": lambda item, now: Proof(met=True, text="seen", at_us=now)}
    for day in (10, 300):  # proved again much later: the first time counts
        prove_action(ledger, "INC-0001-A1", yes, now_us=T0 + day * DAY, by="ann")
    claim_action(ledger, "INC-0001-A2", said="done, says ann", now_us=T0 + 20 * DAY, by="ann")
    comment = Comment(id="C1", text="why?", by="bob", at_us=T0)
    change_review(ledger, "INC-0001", lambda r: replace(r, comments=(comment,)), now_us=T0, by="bob")
    learned, agenda = learn_from(ledger, **NOTHING, now_us=NOW)
    assert [(d, s.x, s.n) for d, s in learned.verified] == [(15, 1, 2), (30, 1, 2)]
    assert learned.claimed == 1
    assert [a.what for a in agenda] == ["claimed", "open comment", "not published", "empty sections", "not decided"]
    nothing, _ = learn_from(ledger, **NOTHING, now_us=NOW, since_us=NOW - DAY)
    assert (nothing.incidents, nothing.lags) == (0, ())


@pytest.mark.parametrize(("lead", "recurred"), [("s1", 0), ("", 1)])
def test_no_change_of_what_only_people_reported_is_part_of_its_signature(lead: str, recurred: int) -> None:
    """Two incidents with other likeliest changes differ where a chart saw them, and are the same where nothing names a cause."""
    book = Ledger("sqlite://")
    first, second = (replace(i, lead=lead) for i in incidents(2))
    for i, kind in ((replace(first, closed_us=second.alarmed_us - 1), "prompt"), (second, "model")):
        p = draft(i)
        change = Suspect(id="c", title="x", kind=kind, probability=0.9, own=True)
        book.put(i, now_us=T0, by="andon")
        book.put(replace(p, investigation=replace(p.investigation, suspects=(change,))), now_us=T0, by="andon")
    learned, _ = learn_from(book, **NOTHING, now_us=NOW)
    assert (learned.recurred.x, learned.recurred.n) == (recurred, 1)
    book.close()


def test_an_empty_ledger_teaches_nothing_without_a_word() -> None:
    """With no incident every figure says that it cannot be told, and the agenda is empty."""
    book = Ledger("sqlite://")
    learned, agenda = learn_from(book, **NOTHING, now_us=NOW)
    assert agenda == ()
    texts = [spread_text(learned.to_lever), spread_text(learned.to_close), share_text(learned.found_by_us), share_text(learned.recurred)]  # fmt: skip
    assert all("cannot tell" in t for t in texts)
    book.close()
