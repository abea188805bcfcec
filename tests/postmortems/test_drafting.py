"""Laws of drafting from a store: figures that can be computed again, hidden entries left out, reports without a chart."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drafted import HOUR, T0, incident, investigation, signal

from andon.incidents import Incident, TimelineEvent, TimelineMark
from andon.investigations.run import investigate
from andon.investigations.run.evidence import verify
from andon.investigations.usual import COST, USUAL_BEFORE
from andon.loop import Loop, open_loop
from andon.postmortems import Postmortem, render_markdown
from andon.postmortems.happened import since_alarm, summary_of
from andon.postmortems.lessons import cost_usd, lag_rows
from andon.postmortems.run import draft_postmortem
from andon.settings import load
from andon.traffic import Interaction
from andon.traffic.run import record

START = T0 // HOUR * HOUR - 6 * HOUR


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """A store with ten hours of traffic, six before the onset: ten answers an hour, of which four refuse since the onset."""
    made = open_loop(replace(load(), home=tmp_path / "home", embedder="hashed"))
    rows = [
        Interaction(
            id=f"i{hour}-{k}",
            time_us=START + hour * HOUR + k * 60_000_000,
            app="bot",
            environment="production",
            query="how long is it?",
            answer="I'm sorry, I cannot help with that." if hour >= 6 and k < 4 else "14 days.",
            latency_s=1.0 if hour < 6 else 3.0,
            cost_usd=0.5,
        )
        for hour in range(10)
        for k in range(10)
    ]
    record(made.warehouse, rows)
    made.tick(START + 11 * HOUR)
    yield made
    made.close()


def case() -> tuple:
    """Incident, investigation and leading signal of that traffic."""
    lead = replace(signal(), baseline_from_us=START, baseline_to_us=START + 6 * HOUR, onset_us=START + 6 * HOUR)
    i = replace(
        incident(),
        app="bot",
        environment="production",
        scope={},
        onset_us=lead.onset_us,
        onset_low_us=lead.onset_us - HOUR,
    )
    return i, replace(investigation(), at_us=START + 10 * HOUR), lead


def test_figures_of_the_document_are_those_of_the_investigation(loop: Loop) -> None:
    """What is usually watched and the cost stand in the document as the investigation froze them."""
    i, _, lead = case()
    loop.ledger.put(lead, now_us=T0, by="andon")
    rng = np.random.default_rng(1)
    found = investigate(loop.warehouse, loop.ledger, i, loop.embedder, now_us=START + 10 * HOUR, rng=rng)
    p = draft_postmortem(loop.warehouse, loop.ledger, i, found, now_us=found.at_us)
    ids = {e.claim: e.id for e in found.evidence}
    assert {c.outcome for c in verify(loop.warehouse, loop.ledger, found)} == {"same"}
    assert cost_usd(p) == (pytest.approx(16 * 0.5), f" [{ids[COST]}]")
    markdown = render_markdown(p)
    assert "8.00 USD for the harmed interactions" in markdown
    assert "| mean latency | 1 s | 3 s |" in markdown
    assert markdown.count(f"| {USUAL_BEFORE} |") == 1
    assert loop.ledger.get(Postmortem, i.id) == p


def test_the_chart_shows_the_time_before_and_since_the_onset(loop: Loop) -> None:
    """The chart reaches from before the onset to the end of the investigation, and counts what the store holds."""
    i, found, lead = case()
    loop.ledger.put(lead, now_us=T0, by="andon")
    p = draft_postmortem(loop.warehouse, loop.ledger, i, found, now_us=found.at_us)
    assert p.points[0].start_us <= i.onset_low_us
    assert sum(x.n for x in p.points) == 100
    assert sum(x.x for x in p.points) == 16


def test_hidden_entries_are_left_out_and_pinned_ones_kept(loop: Loop) -> None:
    """An entry that people hid is not in the draft; one that they pinned is marked so."""
    i, found, _ = case()
    for name, mark in (("a", "hidden"), ("b", "pinned")):
        entry = TimelineEvent(id=name, incident=i.id, happened_us=T0, learned_us=T0, kind="note", text=f"note {name}")
        loop.ledger.put(entry, now_us=T0, by="ann")
        loop.ledger.put(TimelineMark(id=name, incident=i.id, mark=mark, why="x", by="ann"), now_us=T0, by="ann")
    p = draft_postmortem(loop.warehouse, loop.ledger, replace(i, lead=""), found, now_us=found.at_us)
    assert [e.id for e in p.timeline] == ["b"]
    assert p.pinned == ("b",)


def test_an_incident_that_people_reported_has_a_draft(loop: Loop) -> None:
    """Without a leading signal there is a draft without a chart, which says that no chart saw it."""
    i, found, _ = case()
    p = draft_postmortem(
        loop.warehouse, loop.ledger, replace(i, lead="", metric="", origin="report"), found, now_us=found.at_us
    )
    assert p.points == ()
    assert "No chart saw it" in p.summary[1]
    assert "No observations to draw." in render_markdown(p)


FELL = "refusals fell from 40 % (of 10) to 0 % (of 20): -40 points (95 % interval -68.7 to -12.2). No other change"


def tell_of_a_hold(loop: Loop, i: Incident, effect: str) -> None:
    """The timeline of a hold an hour after the alarm, and what it did so far."""
    for at_us, text in (
        (START + 8 * HOUR, "lever: lever bot.safe held at true (ann)"),
        (START + 8 * HOUR + 1_500_000, "lever bot.safe effective in an application 1.5 s after the pull"),
        (START + 10 * HOUR, f"effect of lever bot.safe so far: {effect}"),
    ):
        entry = TimelineEvent(id=text, incident=i.id, happened_us=at_us, learned_us=at_us, kind="lever", text=text)
        loop.ledger.put(entry, now_us=at_us, by="andon")


@pytest.mark.parametrize(
    "effect",
    [
        FELL.replace(" fell ", " rose "),
        FELL.replace(" fell ", " went "),
        f"cannot tell what it did. 1 other change in this time: “{FELL}”",
        f"refusals in task “x fell from 40 % (of 10) to 0 % (of 20): -40 points” {FELL.replace(' fell ', ' rose ')}",
        f"{FELL.replace(' fell ', ' went ')[:-16]}. 1 other change in this time: “{FELL}”",
        "not measured: people reported this incident, and no chart saw it",
    ],
)
def test_a_hold_that_did_not_help_still_asks_for_a_lever(loop: Loop, effect: str) -> None:
    """A lever is asked for until harm fell under one; what traffic or a title says of that is not believed."""
    i, found, lead = case()
    i, found = replace(i, alarmed_us=START + 7 * HOUR), replace(found, at_us=START + 7 * HOUR)
    loop.ledger.put(lead, now_us=T0, by="andon")
    tell_of_a_hold(loop, i, effect)
    p = draft_postmortem(loop.warehouse, loop.ledger, i, found, now_us=START + 11 * HOUR)
    assert [h.lever for h in since_alarm(i, p.timeline)] == ["bot.safe"]
    assert "mitigate" in {a.kind for a in p.actions}


@pytest.mark.parametrize("opened", [False, True])
def test_every_step_of_the_lag_names_the_time_it_counts_from(loop: Loop, opened: bool) -> None:
    """A hold counts from when Andon knew of the incident, where that is recorded, and the row says so."""
    i, found, _ = case()
    opened_us = START + 7 * HOUR + HOUR // 2
    i = replace(i, alarmed_us=START + 7 * HOUR, opened_us=opened_us if opened else None)
    tell_of_a_hold(loop, i, FELL)
    p = draft_postmortem(loop.warehouse, loop.ledger, i, found, now_us=START + 11 * HOUR)
    steps = {step: took for step, took, _ in lag_rows(p) if step.endswith("→ lever held")}
    assert steps == ({"incident opened → lever held": "30 min"} if opened else {"alarmed → lever held": "60 min"})


def test_a_hold_is_in_the_summary_the_chart_and_the_actions(loop: Loop) -> None:
    """The chart goes on to the last effect, the summary says what was held and how far harm fell, no action asks for a lever."""
    i, found, lead = case()
    i, found = replace(i, alarmed_us=START + 7 * HOUR), replace(found, at_us=START + 7 * HOUR)
    loop.ledger.put(lead, now_us=T0, by="andon")
    before = draft_postmortem(loop.warehouse, loop.ledger, i, found, now_us=found.at_us)
    assert "mitigate" in {a.kind for a in before.actions}
    assert (summary_of(before), before.points[-1].end_us) == (before.summary, START + 7 * HOUR)
    tell_of_a_hold(loop, i, FELL)
    p = draft_postmortem(loop.warehouse, loop.ledger, i, found, now_us=START + 11 * HOUR)
    first, done, *rest = summary_of(p)
    assert (first, *rest) == p.summary
    assert done == (
        "A lever was held 60 min after the alarm: bot.safe at true (ann), effective in an application 1.5 s later; so far refusals "
        "fell from 40 % (of 10) to 0 % (of 20): -40 points (95 % interval -68.7 to -12.2)."
    )
    assert done in render_markdown(p).replace("\\", "")
    assert p.points[-1].end_us == START + 10 * HOUR
    assert sum(x.n for x in p.points) == 100
    assert "mitigate" not in {a.kind for a in p.actions}


def test_a_short_incident_is_no_line_at_the_edge_of_its_chart(loop: Loop) -> None:
    """Of the time before it, ten times as long as it has lasted is drawn, and two days at most."""
    i, found, lead = case()
    loop.ledger.put(replace(lead, baseline_from_us=START - 100 * HOUR, window_us=60_000_000), now_us=T0, by="andon")
    i = replace(i, onset_low_us=i.onset_us)
    p = draft_postmortem(loop.warehouse, loop.ledger, i, replace(found, at_us=i.onset_us + HOUR // 4), now_us=T0)
    assert p.points[0].start_us >= i.onset_us - 10 * HOUR // 4
    assert p.points[-1].end_us > i.onset_us
