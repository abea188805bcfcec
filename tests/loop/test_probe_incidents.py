"""Laws of the incidents that probes open: whose they are, when they began, who else is told, and what their first look sees."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_probes import START_US, WEEK_US, case, recorded

from andon.evals import Probed
from andon.golden import Failure
from andon.incidents import Incident
from andon.incidents.run import timeline_of
from andon.incidents.run.recovery import measure_recovery
from andon.investigations import Investigation
from andon.loop import Loop, open_loop
from andon.monitors import Signal
from andon.monitors.run import chart_of
from andon.settings import Settings, load

MINUTE_US, HOUR_US = 60_000_000, 3_600_000_000
OF = 30


@pytest.fixture
def hourly(tmp_path: Path) -> Loop:
    """A loop with two hourly probes of one application: thirty sums, and thirty rivers with a bar of a half."""
    tables = [
        f'[[probe]]\nname = "{name}"\napp = "legal"\ntarget = "recorded:{tmp_path}/{name}.jsonl"\nevery = "1h"\n'
        f'risk = "{name}"\nbar = {bar}\n'
        for name, bar in (("sums", 0.95), ("rivers", 0.5))
    ]
    (tmp_path / "andon.toml").write_text("\n".join(tables), encoding="utf-8")
    made = open_loop(settings(tmp_path))
    for n in range(2 * OF):
        made.ledger.put(case(n, risk_category="sums" if n < OF else "rivers"), now_us=START_US, by="ann")
    right(tmp_path, sums=True, rivers=True)
    return made


def weekly(home: Path) -> Loop:
    """A loop with a weekly probe of thirty cases, whose target is not there yet."""
    (home / "andon.toml").write_text(
        f'[[probe]]\nname = "weekly"\napp = "legal"\ntarget = "recorded:{home}/weekly.jsonl"\nevery = "7d"\n',
        encoding="utf-8",
    )
    made = open_loop(settings(home))
    for n in range(OF):
        made.ledger.put(case(n), now_us=START_US, by="ann")
    return made


def settings(home: Path) -> Settings:
    """Settings of a home with a configuration."""
    return load(
        {"ANDON_HOME": str(home / "home"), "ANDON_CONFIG": str(home / "andon.toml"), "ANDON_EMBEDDER": "hashed"}
    )


def right(home: Path, **passing: bool) -> None:
    """What the two systems answer from now on: all rightly, or none."""
    for name, good in passing.items():
        recorded(home / f"{name}.jsonl", right=2 * OF if good else 0, of=2 * OF)


def only(loop: Loop) -> Incident:
    """The one incident."""
    (incident,) = loop.ledger.all(Incident)
    return incident


def test_each_probe_has_a_chart_of_its_own(hourly: Loop, tmp_path: Path) -> None:
    """Two probes of one application: the incident is of the one that fails, and the chart of the other shows its own answers."""
    right(tmp_path, rivers=False)
    asked = {p.id: p for p in hourly.probe(START_US)}
    assert [(asked[n].passed, asked[n].failed, len(asked[n].signals)) for n in ("sums", "rivers")] == [
        (OF, 0, 0),
        (0, OF, 1),
    ]
    hourly.tick(START_US + 2 * MINUTE_US)
    incident = only(hourly)
    assert incident.scope["segment"] == "rivers"
    assert "rivers" in incident.title
    assert "sums" not in incident.title
    (signal,) = hourly.ledger.all(Signal)
    hour = START_US // HOUR_US * HOUR_US
    for scope, x in ((signal.scope, OF), ({**signal.scope, "segment": "sums"}, 0)):
        chart = replace(signal, scope=scope)
        (point,) = chart_of(hourly.warehouse, chart, start_us=hour, end_us=hour + HOUR_US, points=1)
        assert (point.x, point.n) == (x, OF)
    hourly.close()


def test_the_first_look_sees_the_answers_that_paged(hourly: Loop, tmp_path: Path) -> None:
    """Asked two minutes after a good run, all fail: the first look counts these, and no rate mixes them with those before."""
    hourly.probe(START_US, "sums")
    hourly.tick(START_US + MINUTE_US)
    right(tmp_path, sums=False)
    hourly.probe(START_US + 2 * MINUTE_US, "sums")
    hourly.tick(START_US + 4 * MINUTE_US)
    incident = only(hourly)
    first = hourly.ledger.history(Investigation, incident.id)[0].record
    assert (first.impact.n, first.impact.harmed, first.impact.lately) == (OF, OF, 1.0)
    assert "is 100 % where" in incident.title
    hourly.close()


def test_what_a_probe_asked_is_a_case_already(hourly: Loop, tmp_path: Path) -> None:
    """The examples of its incident are golden questions: nobody is asked to label them again."""
    right(tmp_path, sums=False)
    hourly.probe(START_US)
    hourly.tick(START_US + 2 * MINUTE_US)
    assert hourly.ledger.get(Investigation, only(hourly).id).examples
    assert hourly.ledger.all(Failure) == []
    hourly.close()


@pytest.mark.parametrize("then", ["passes", "fails again", "cannot be asked"])
def test_no_page_is_lost(hourly: Loop, tmp_path: Path, then: str) -> None:
    """A page opens its incident whatever the probe says before the next turn of the loop; failing again adds none."""
    right(tmp_path, sums=False)
    (fallen,) = [p for p in hourly.probe(START_US) if p.id == "sums"]
    right(tmp_path, sums=then == "passes")
    if then == "cannot be asked":
        (tmp_path / "sums.jsonl").unlink()
    for k in (1, 2):
        (again,) = hourly.probe(START_US + k * MINUTE_US, "sums")
        assert again.signals == (fallen.signals if then == "fails again" else ())
        assert again.waiting == fallen.signals
    hourly.tick(START_US + 4 * MINUTE_US)
    assert only(hourly).signals == fallen.signals
    (later,) = hourly.probe(START_US + 5 * MINUTE_US, "sums")
    assert later.waiting == ()
    hourly.close()


@pytest.mark.slow
def test_what_goes_on_is_told_once(hourly: Loop, tmp_path: Path) -> None:
    """Five failing runs are one page and one onset, between the last run that passed and the first that failed.

    The chart that adds the runs up speaks once as well. When it was over, or closed, the next failing run pages again.
    """
    hourly.probe(START_US)
    right(tmp_path, sums=False)
    for hour in range(1, 6):
        asked = hourly.probe(START_US + hour * HOUR_US)
        hourly.tick(START_US + hour * HOUR_US + 2 * MINUTE_US)
        assert len(asked[0].signals) == 1
    incident = only(hourly)
    assert (incident.onset_low_us, incident.onset_high_us) == (START_US, START_US + HOUR_US)
    assert [e.kind for e in timeline_of(hourly.ledger, incident)] == ["onset", "signal", "signal"]
    page, of_chart = sorted(hourly.ledger.all(Signal), key=lambda s: s.at_us)
    assert (page.monitor, "binomial test of a probe" in of_chart.rule) == (of_chart.monitor, False)
    over = replace(incident, recovered_us=START_US + 6 * HOUR_US, state="recovered")
    hourly.ledger.put(over, now_us=START_US + 6 * HOUR_US, by="andon")
    hourly.probe(START_US + 7 * HOUR_US)
    hourly.tick(START_US + 7 * HOUR_US + 2 * MINUTE_US)
    again = next(p for p in hourly.ledger.all(Probed) if p.id == "sums").signals
    assert (only(hourly).recovered_us, page.id in again, {page.id, *again} <= {*only(hourly).signals}) == (
        None,
        False,
        True,
    )
    closed = replace(only(hourly), state="closed", closed_us=START_US + 8 * HOUR_US, closed_as="false alarm")
    hourly.ledger.put(closed, now_us=START_US + 8 * HOUR_US, by="ann")
    hourly.tick(START_US + 8 * HOUR_US)
    assert len(hourly.ledger.all(Incident)) == 1
    (signal,) = next(p for p in hourly.probe(START_US + 8 * HOUR_US) if p.id == "sums").signals
    hourly.tick(START_US + 8 * HOUR_US + 2 * MINUTE_US)
    assert hourly.ledger.all(Incident)[1].signals == (signal,)
    assert hourly.ledger.get(Signal, signal).onset_low_us == page.onset_low_us
    hourly.close()


def test_half_of_the_probes_failing_is_no_recovery(hourly: Loop, tmp_path: Path) -> None:
    """Whether a probe passed is told in a row of its own: the share that passed counts, not the share that was answered."""
    right(tmp_path, sums=False)
    for hour in range(3):
        hourly.probe(START_US + hour * HOUR_US)
        hourly.tick(START_US + hour * HOUR_US + 2 * MINUTE_US)
    _, plan = measure_recovery(hourly.warehouse, hourly.ledger, only(hourly), now_us=START_US + 3 * HOUR_US, by="ann")
    assert plan.criteria[-1].measured == f"0 % of {3 * OF} probes passed in 3 h of 49 h: not yet"
    hourly.close()


def test_a_weekly_probe_recovers_by_one_good_run(tmp_path: Path) -> None:
    """The watch is as long as the time between two runs and two days, so that it holds a run: 25 or 160 hours after it all is met.

    A run that does not come again when it should says nothing any more.
    """
    loop = weekly(tmp_path)
    for week, good in enumerate((True, True, False, True)):
        right(tmp_path, weekly=good)
        loop.probe(START_US + week * WEEK_US)
        loop.tick(START_US + week * WEEK_US + 2 * MINUTE_US)
    met = {}
    for hours in (25, 49, 72, 160, 240):
        now_us = START_US + 3 * WEEK_US + hours * HOUR_US
        _, plan = measure_recovery(loop.warehouse, loop.ledger, only(loop), now_us=now_us, by="ann")
        met[hours] = [c.met for c in plan.criteria]
        if hours == 72:
            chart, probes = plan.criteria
            assert chart.measured.startswith(f"0 % of {OF} in 1 run inside limits")
            assert probes.measured == f"100 % of {OF} probes passed in 216 h of 216 h"
    assert met == {25: [False, False], 49: [True, True], 72: [True, True], 160: [True, True], 240: [None, None]}
    loop.close()


def test_the_screen_says_when_it_is_asked_next(tmp_path: Path, type_: Callable[..., tuple[int, str, str]]) -> None:
    """A probe that could not be asked is tried again within the hour, and the list says so.

    The exit code is that of this run: 1 where it fails, 0 where it passes, though the page before still waits for its incident.
    """
    weekly(tmp_path).close()
    assert type_("probe", "ask", "weekly")[0] == 4
    row = type_("probe", "list")[1].splitlines()[-1].split("  ")
    then = datetime.fromisoformat(row[-1].strip()).replace(tzinfo=UTC)
    assert timedelta(minutes=57) < then - datetime.now(UTC) <= timedelta(hours=1)
    for good, code in ((False, 1), (False, 1), (True, 0)):
        right(tmp_path, weekly=good)
        assert type_("probe", "ask", "weekly")[0] == code
