"""Laws of alerts of other systems: reading them, keeping them once, and laying them beside incidents."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from closing import close
from hypothesis import given
from hypothesis import strategies as st
from test_triage import HOUR, T0, signal

from andon.errors import InputError
from andon.incidents import Incident, TimelineEvent
from andon.incidents.alerts import ALERTS_BACK_US, MOST_ALERTS, alerts_of_body, touches
from andon.incidents.records import Alert
from andon.incidents.run import MOST_TOLD, receive_alerts, respond, timeline_of
from andon.store import Ledger
from andon.traffic import format_time, parse_time

MINUTE = 60_000_000
ONSET_US = T0 - 2 * HOUR
"""Lower end of the onset of the signal's incident."""


def sent(**fields: Any) -> dict[str, Any]:
    """An alert as Alertmanager sends it."""
    told = {
        "status": "firing",
        "labels": {"alertname": "HighErrorRate", "service": "bot", "severity": "critical", "instance": "10.0.0.1:9100"},
        "annotations": {"summary": "Error rate above 5 %", "runbook_url": "https://shop.example/runbook"},
        "startsAt": "2026-09-21T13:20:00.739266876+00:00",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.shop.example:9090/graph?g0.expr=rate&g0.tab=1",
        "fingerprint": "1a30ba71cca2921f",
    }
    return {**told, **fields}


def body(*alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A body of Alertmanager's webhook, version 4, with keys that newer versions add."""
    told = {
        "receiver": "andon",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": {"alertname": "HighErrorRate"},
        "commonLabels": {"alertname": "HighErrorRate", "service": "bot"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.shop.example:9093",
        "version": "4",
        "groupKey": '{}/{severity="critical"}:{alertname="HighErrorRate"}',
        "truncatedAlerts": 0,
        "notification_reason": "new alerts",
    }
    return {**told, **fields}


def one(**fields: Any) -> Alert:
    """The alert of a body."""
    (alert,) = alerts_of_body(body(sent(**fields)))
    return alert


def fired(at_us: int, name: str = "a1", ends_us: int | None = None, **labels: str) -> Alert:
    """An alert that fired at a time, and was resolved if it ended."""
    fields = {"status": "resolved", "endsAt": format_time(ends_us, "microsecond")} if ends_us is not None else {}
    told = {"alertname": name, "service": "bot", **labels}
    return one(labels=told, startsAt=format_time(at_us, "microsecond"), fingerprint=name, **fields)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on disk."""
    book = Ledger.open(tmp_path / "ledger.db")
    yield book
    book.close()


def open_one(ledger: Ledger, name: str = "s1", **fields: Any) -> Incident:
    """Open an incident at T0, whose onset began two hours before."""
    told = signal(name, **fields)
    ledger.put(told, now_us=told.at_us, by="andon")
    (incident,) = respond(ledger, [told])
    return incident


def entries(ledger: Ledger, incident: Incident) -> list[tuple[int, int, str]]:
    """What the timeline says of alerts: happened, learned, words."""
    return [(e.happened_us, e.learned_us, e.text) for e in timeline_of(ledger, incident) if e.kind == "alert"]


def everything(ledger: Ledger) -> tuple[list[object], ...]:
    """Every version of every alert, incident and event."""
    return ledger.history(Alert), ledger.history(Incident), ledger.history(TimelineEvent)


def test_an_alert_of_alertmanager() -> None:
    """Labels, times, link and name are read, the zero end means that it fires, and every other key is kept."""
    alert = one()
    assert (alert.state, alert.title, alert.severity) == ("firing", "Error rate above 5 %", "critical")
    assert (alert.app, alert.environment) == ("bot", None)
    assert (alert.starts_us, alert.ends_us) == (parse_time("2026-09-21T13:20:00.739266Z"), None)
    assert alert.link == "http://prometheus.shop.example:9090/graph?g0.expr=rate&g0.tab=1"
    assert (alert.labels["instance"], alert.annotations["runbook_url"]) == (
        "10.0.0.1:9100",
        "https://shop.example/runbook",
    )
    assert alert.attributes["groupKey"] == '{}/{severity="critical"}:{alertname="HighErrorRate"}'
    assert alert.attributes["notification_reason"] == "new alerts"
    assert one(silenceURL="https://g.example/silence").attributes["silenceURL"] == "https://g.example/silence"


def test_an_alert_is_its_fingerprint_and_start() -> None:
    """The same alert has one id whatever else changes; another start or fingerprint is another alert."""
    alert = one()
    over = one(status="resolved", endsAt="2026-09-21T14:00:00Z", annotations={})
    assert (over.id, over.state, over.ends_us) == (alert.id, "resolved", parse_time("2026-09-21T14:00:00Z"))
    assert one(startsAt="2026-09-21T13:21:00Z").id != alert.id
    assert one(fingerprint="x").id != alert.id
    assert one(fingerprint="").id == one(fingerprint=None).id != one(fingerprint="", labels={"alertname": "x"}).id


def test_the_end_of_a_firing_alert_is_a_guess() -> None:
    """Senders put the time by which they would give up into a firing alert; it is not taken as its end."""
    assert one(endsAt="2026-09-21T23:00:00Z").ends_us is None
    assert one(status="resolved").ends_us is None


@pytest.mark.parametrize(
    ("labels", "app", "environment"),
    [
        ({"app": "bot", "service": "x"}, "bot", None),
        ({"job": "bot", "env": "staging"}, "bot", "staging"),
        ({"namespace": "shop", "deployment_environment": "eu"}, "shop", "eu"),
        ({"alertname": "x"}, "desk", "prod"),
    ],
)
def test_labels_say_whose_alert_it_is(labels: dict[str, str], app: str, environment: str | None) -> None:
    """The surest label names the application and environment; the address of the request holds where none does."""
    (alert,) = alerts_of_body(body(sent(labels=labels)), app="desk", environment="prod")
    assert (alert.app, alert.environment) == (app, environment or "prod")


@pytest.mark.parametrize("link", ["javascript:alert(1)", "http://[", "/graph", ""])
def test_only_http_is_a_link(link: str) -> None:
    """Anything but an http or https address is kept as text and never as a link."""
    alert = one(generatorURL=link)
    assert alert.link is None
    assert alert.attributes.get("generatorURL", "") == link


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (7, "list `alerts`"),
        ({}, "list `alerts`"),
        (body(alerts="x"), "list `alerts`"),
        (body(7), "alert 1: it is 7"),
        (body(sent(), sent(status="maybe")), "alert 2: status"),
        (body(sent(startsAt="soon")), "startsAt: "),
        (body(sent(startsAt="0001-01-01T00:00:00Z")), "startsAt is missing"),
        (body(sent(status="resolved", endsAt="2200-01-01")), "endsAt: "),
        (body(sent(labels=[])), "labels is"),
        (body(sent(annotations="x")), "annotations is"),
        (body(*[sent()] * (MOST_ALERTS + 1)), "max_alerts"),
    ],
)
def test_an_error_names_the_alert_and_the_part(wrong: Any, says: str) -> None:
    """What is no alert is refused with its number, the part, its value and what is allowed."""
    with pytest.raises(InputError, match=says) as caught:
        alerts_of_body(wrong)
    assert str(caught.value).isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON, key=st.sampled_from([*sent(), "alerts", "labels.app", "groupKey"]))
def test_any_part_of_another_type_is_no_crash(value: Any, key: str) -> None:
    """A body in which any one part is replaced by any value is read or refused in words."""
    data = body(sent())
    place = data if key in data else data["alerts"][0]["labels"] if "." in key else data["alerts"][0]
    place[key.rpartition(".")[2]] = value
    try:
        found = alerts_of_body(data)
    except InputError as error:
        found = ()
        words = str(error)
        if not words.isprintable():
            raise AssertionError(words) from error
    for alert in found:
        assert alert.title.isprintable()
        assert len(alert.title) <= 300
        assert all(len(v) <= 1_000 for v in (*alert.labels.values(), *alert.annotations.values()))


def test_the_same_alerts_again_write_nothing(ledger: Ledger) -> None:
    """Firing again writes nothing, resolved is the next version, and a late word that it fires changes nothing."""
    incident = open_one(ledger)
    firing, over = fired(T0), fired(T0, ends_us=T0 + HOUR)
    first = receive_alerts(ledger, [firing], now_us=T0 + MINUTE)
    assert (first.fired, first.resolved, first.known, first.incidents) == (1, 0, 0, (incident.id,))
    before = everything(ledger)
    assert receive_alerts(ledger, [replace(firing, attributes={"x": "y"})] * 2, now_us=T0 + 2 * MINUTE).known == 1
    assert everything(ledger) == before
    assert receive_alerts(ledger, [over], now_us=T0 + HOUR).resolved == 1
    after = everything(ledger)
    assert receive_alerts(ledger, [firing, over], now_us=T0 + 3 * HOUR).known == 2
    assert everything(ledger) == after
    assert [v.record.state for v in ledger.history(Alert)] == ["firing", "resolved"]


def test_an_alert_stands_in_the_timeline_of_an_open_incident(ledger: Ledger) -> None:
    """It has one entry when it fired and one when it was resolved, each with the time that it happened and was learned."""
    incident = open_one(ledger)
    receive_alerts(ledger, [fired(T0 - MINUTE, severity="critical")], now_us=T0 + MINUTE)
    receive_alerts(ledger, [fired(T0 - MINUTE, ends_us=T0 + HOUR, severity="critical")], now_us=T0 + 2 * HOUR)
    assert entries(ledger, incident) == [
        (T0 - MINUTE, T0 + MINUTE, "alert fired: Error rate above 5 % (critical)"),
        (T0 + HOUR, T0 + 2 * HOUR, "alert resolved: Error rate above 5 % (critical)"),
    ]


def test_the_order_of_alert_and_incident_is_no_matter() -> None:
    """An incident has the same entries whether it opens before, between or after its alerts."""
    steps = {
        "fire": lambda book: receive_alerts(book, [fired(T0 - HOUR)], now_us=T0 - HOUR),
        "resolve": lambda book: receive_alerts(book, [fired(T0 - HOUR, ends_us=T0 - MINUTE)], now_us=T0),
        "open": open_one,
    }
    seen = set()
    for order in permutations(steps):
        if order.index("fire") < order.index("resolve"):
            book = Ledger("sqlite://")
            for name in order:
                steps[name](book)
            seen.add(tuple(entries(book, book.all(Incident)[0])))
            book.close()
    ((fire, resolve),) = seen
    assert (fire[:2], resolve[:2]) == ((T0 - HOUR, T0), (T0 - MINUTE, T0))


def test_an_alert_alone_opens_no_incident(ledger: Ledger) -> None:
    """Without signals there is no incident, however loud the alerts are."""
    assert receive_alerts(ledger, [fired(T0)], now_us=T0).incidents == ()
    assert ledger.all(Incident) == []
    assert len(ledger.all(Alert)) == 1


def test_an_alert_of_nobody_belongs_to_all(ledger: Ledger) -> None:
    """An alert that does not say whose it is stands in every open incident; others in those of their application."""
    bot, other = open_one(ledger), open_one(ledger, "s2", app="other")
    (nobody,) = alerts_of_body(body(sent(labels={"alertname": "DiskFull"})))
    assert set(receive_alerts(ledger, [nobody], now_us=T0).incidents) == {bot.id, other.id}
    assert receive_alerts(ledger, [fired(T0, service="OTHER")], now_us=T0).incidents == (other.id,)
    assert receive_alerts(ledger, [fired(T0, "a2", service="third")], now_us=T0).incidents == ()


@pytest.mark.parametrize(
    ("change", "belongs"),
    [
        ({}, True),
        ({"app": None, "labels": {}}, True),
        ({"app": "third", "labels": {"service": "third"}}, False),
        ({"app": "third", "labels": {"service": "third", "namespace": "Bot"}}, True),
        ({"environment": "prod"}, True),
        ({"environment": "staging"}, False),
        ({"ends_us": ONSET_US - ALERTS_BACK_US}, True),
        ({"ends_us": ONSET_US - ALERTS_BACK_US - 1}, False),
    ],
)
def test_what_belongs_to_an_incident(ledger: Ledger, change: dict[str, Any], belongs: bool) -> None:
    """An alert belongs by application and environment, unless it was over hours before the onset or the incident is closed."""
    incident, alert = open_one(ledger), replace(fired(T0 - 30 * HOUR), **change)
    assert touches(alert, incident) == belongs
    closed = close(ledger, incident, "over", now_us=T0, by="ann")
    assert not touches(alert, closed)
    assert receive_alerts(ledger, [alert], now_us=T0).incidents == ()


def test_a_storm_does_not_bury_the_timeline(ledger: Ledger) -> None:
    """Beyond a hundred entries one more says that there were others; all alerts are kept, and again writes nothing."""
    incident = open_one(ledger)
    storm = [replace(fired(T0 + k, f"a{k}"), title=f"alert {k}") for k in range(MOST_TOLD + 20)]
    receive_alerts(ledger, storm, now_us=T0 + HOUR)
    assert len(entries(ledger, incident)) == MOST_TOLD + 1
    assert len(ledger.all(Alert)) == len(storm)
    before = everything(ledger)
    receive_alerts(ledger, storm, now_us=T0 + 2 * HOUR)
    assert everything(ledger) == before


def test_alerts_and_a_crash_between_writes(ledger: Ledger) -> None:
    """When the process died after keeping an alert and before telling the incident, the next delivery tells it."""
    incident = open_one(ledger)
    ledger.put(fired(T0), now_us=T0 + MINUTE, by="alertmanager")
    assert receive_alerts(ledger, [fired(T0)], now_us=T0 + HOUR).known == 1
    assert [(h, learned) for h, learned, _ in entries(ledger, incident)] == [(T0, T0 + MINUTE)]


def test_the_body_is_not_touched() -> None:
    """Reading alerts leaves the body as it was."""
    data = body(sent())
    before = deepcopy(data)
    assert alerts_of_body(data) == alerts_of_body(data)
    assert data == before


def test_every_snippet_of_the_page_is_accepted() -> None:
    """Each body of alerts that the page shows is read as alerts of an application."""
    text = (Path(__file__).resolve().parents[2] / "docs/how-to/record-changes.md").read_text(encoding="utf-8")
    found = [
        json.loads(b) for b in re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if '"alerts"' in b
    ]
    assert found
    for snippet in found:
        assert all(alert.app == "bot" for alert in alerts_of_body(snippet))
