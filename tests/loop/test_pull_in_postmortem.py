"""A pull, from the alarm to the postmortem: who held what, when it worked, what it did, how it ended."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_loop_laws import MINUTE_US, START_US, _loop, _traffic

from andon.incidents import Incident, TimelineEvent
from andon.incidents.run import mark_incident, timeline_of
from andon.levers import Lever
from andon.levers.run import declare, expire, hold
from andon.levers.run.effects import measure_effects
from andon.levers.run.telling import Readers, note_first_reads
from andon.postmortems import Postmortem
from andon.postmortems.happened import held, milestones, moves
from andon.postmortems.html import render_html
from andon.postmortems.lessons import lag_rows, went_well
from andon.postmortems.markdown import render_markdown
from andon.traffic import Interaction
from andon.traffic.run import record

pytestmark = pytest.mark.slow

HOUR_US = 60 * MINUTE_US
SECOND_US = 1_000_000
LEVER = Lever(id="model.version", kind="string", default="m-2", safe="m-1", app="shop")


def calm(since_us: int, minutes: int) -> list[Interaction]:
    """Ten interactions a minute of the old model, one in twenty refused."""
    rng = np.random.default_rng(1)
    return [
        Interaction(
            id=f"c{k}", time_us=since_us + k * MINUTE_US // 10, app="shop", query=f"question {k % 40}", answer="x",
            refused=bool(rng.random() < 0.05), requested_model="m", model="m-1", latency_s=1.0,
        )
        for k in range(minutes * 10)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Postmortem, int]:
    """The draft after a hold that stopped the harm and expired, and when that was."""
    home: Path = tmp_path_factory.mktemp("home")
    loop = _loop(home)
    record(loop.warehouse, _traffic(hours=6))
    now_us = START_US + 5 * HOUR_US
    while not loop.ledger.all(Incident):
        now_us += 5 * MINUTE_US
        loop.tick(now_us)
    (incident,) = loop.ledger.all(Incident)
    pull_us = START_US + 6 * HOUR_US
    declare(loop.ledger, LEVER, START_US, "ann")
    pull = hold(
        loop.ledger, LEVER.id, why="refusals", by="maria", until_us=pull_us + HOUR_US, now_us=pull_us, incident=incident.id
    )  # fmt: skip
    seen = Readers(lambda _: LEVER.app)
    seen.note([{"key": LEVER.id, "metadata": {"pull": pull.id}}], LEVER.app, pull_us + 1_300_000)
    note_first_reads(loop.ledger, seen, pull_us + 2 * SECOND_US)
    record(loop.warehouse, calm(pull_us + 2 * SECOND_US, 90))
    for minute in range(0, 90, 5):
        at_us = pull_us + minute * MINUTE_US
        loop.tick(at_us)
        expire(loop.ledger, at_us)
        measure_effects(loop.warehouse, loop.ledger, at_us)
    mark_incident(
        loop.ledger, incident, "stabilised", "held", at_us=pull_us + MINUTE_US, now_us=pull_us + 80 * MINUTE_US, by="maria"
    )  # fmt: skip
    (incident,) = loop.ledger.all(Incident)
    draft = loop.look_into(incident, pull_us + 95 * MINUTE_US)
    assert timeline_of(loop.ledger, incident) == list(draft.timeline)
    loop.close()
    return draft, pull_us


def test_the_timeline_tells_of_a_hold_in_five_entries(told: tuple[Postmortem, int]) -> None:
    """Held, effective, what it did so far, its end, what it did in the end: each once, at its own time."""
    draft, pull_us = told
    entries = [e for e in draft.timeline if e.kind == "lever"]
    begins = [
        ('lever: lever model.version held at "m-1" (maria)', 0),
        ("lever model.version effective in an application 1.3 s after the pull, ", 1_300_000),
        ("effect of lever model.version so far: answers that refuse in all traffic fell from ", None),
        ('lever: hold of lever model.version expired: back to "m-2" (andon)', HOUR_US),
        ("effect of lever model.version: answers that refuse in all traffic fell from ", HOUR_US),
    ]
    assert len(entries) == len(begins)
    for entry, (text, after_us) in zip(
        sorted(entries, key=lambda e: (e.happened_us, e.learned_us)), begins, strict=True
    ):
        assert entry.text.startswith(text)
        assert after_us is None or entry.happened_us == pull_us + after_us


def test_the_document_says_what_was_held_and_what_it_did(told: tuple[Postmortem, int]) -> None:
    """One hold, with its author, its times after the alarm, its effect with the interval, and its end."""
    draft, pull_us = told
    (hold_,) = held(draft.timeline)
    assert (hold_.lever, hold_.value, hold_.by, hold_.glass) == ("model.version", '"m-1"', "maria", False)
    assert (hold_.at_us, hold_.effective_us, hold_.ended_us) == (pull_us, pull_us + 1_300_000, pull_us + HOUR_US)
    assert not hold_.so_far
    assert "95 % interval" in hold_.effect
    document = render_markdown(draft)
    assert "### What was held" in document
    assert "**model.version** held at" in document
    assert "effective in an application 1.3 s later" in document
    assert "It expired after 60 min" in document
    table = milestones(draft)
    assert (
        table.index("| lever held |") < table.index("| effective in an application |") < table.index("| stabilised |")
    )
    assert "What was held" in render_html(draft)


def test_what_worked_and_the_lag_use_it(told: tuple[Postmortem, int]) -> None:
    """What went well names the hold with its effect, once; the steps of the lag go on to the lever and to stable."""
    draft, _ = told
    well = [t for t in went_well(draft) if "lever" in t]
    assert len(well) == 1
    assert well[0].startswith("a lever was held ")
    assert (
        'after the alarm: model.version at "m-1" (maria), effective in an application 1.3 s later; answers that refuse'
        in well[0]
    )
    assert well[0].endswith(")")
    steps = {step: took for step, took, _ in lag_rows(draft)}
    assert steps["lever held → effective in an application"] == "1.3 s"
    assert set(steps) >= {"alarmed → lever held", "alarmed → stabilised"}


def test_a_hold_under_which_harm_rose_is_not_what_worked(told: tuple[Postmortem, int]) -> None:
    """It stands among what was held, with its figures, and not under what went well."""
    draft, _ = told
    rose = replace(
        draft, timeline=tuple(replace(e, text=e.text.replace(" fell from ", " rose from ")) for e in draft.timeline)
    )
    assert "rose from 50.2 %" in milestones(rose)
    assert not any("lever" in t for t in went_well(rose))


def test_the_chart_marks_moves_alone(told: tuple[Postmortem, int]) -> None:
    """On the chart stand the hold and its end, not what was said of them."""
    draft, pull_us = told
    assert moves(draft) == [(pull_us, "lever held"), (pull_us + HOUR_US, "hold ended")]


def entry(text: str, at_us: int) -> TimelineEvent:
    """An entry of a lever."""
    return TimelineEvent(
        id=f"{at_us}-{text}", incident="INC-0001", happened_us=at_us, learned_us=at_us, kind="lever", text=text
    )


def test_a_renewed_hold_is_one_and_another_value_is_another(told: tuple[Postmortem, int]) -> None:
    """Of two pulls at one value the document makes one hold; a pull at another value ends the one before it."""
    draft, at = told
    events = (
        entry('lever: BREAK GLASS: lever dose held at 0.5 by the rule "low" (rule low of jo)', at),
        entry('lever: BREAK GLASS: lever dose held at 0.5 by the rule "low" (rule low of jo)', at + 1),
        entry("lever: lever dose held at 0.0 (ann)", at + 2),
        entry("effect of lever dose: it fell (95 %)", at + 2),
        entry("lever: hold of lever dose released: back to 1.0 (bob)", at + 3),
        entry('lever: version abc of lever dose promoted to production: "x" (bob)', at + 4),
        entry("something else about levers", at + 5),
    )
    one, two = held(events)
    assert (one.at_us, one.ended_us, one.glass, one.effect, one.by) == (
        at,
        at + 2,
        True,
        "it fell (95 %)",
        "rule low of jo",
    )
    assert one.ended == "another hold took its place"
    assert (two.at_us, two.ended_us, two.glass, two.effect, two.ended) == (at + 2, at + 3, False, "", "bob released it")
    marks = moves(replace(draft, timeline=events))
    assert [word for _, word in marks].count("lever") == 2
    text = milestones(replace(draft, timeline=events))
    assert "The glass was broken for it" in text
    assert "Its effect is not measured yet" in text
