"""Which pulls are about an incident."""

from dataclasses import replace

from andon.incidents import Incident
from andon.levers import Lever, Pull
from andon.levers.concerning import pulls_about
from andon.levers.effects import incident_of

HOUR = 3_600_000_000
INCIDENT = Incident(
    id="INC-0001", title="", app="bot", environment="production", metric="error", lead="s", onset_us=0, onset_low_us=0, onset_high_us=0,
    alarmed_us=HOUR, last_signal_us=HOUR,
)  # fmt: skip
LEVER = Lever(id="bot.model", kind="string", default="a", safe="b", app="bot")


def a_pull(number: int, **fields: object) -> Pull:
    """A hold of the lever."""
    told = {"lever": "bot.model", "value": "b", "at_us": 2 * HOUR, "by": "ann", "why": "", "until_us": 9 * HOUR}
    return Pull(id=f"pull-bot.model-{number}", **{**told, **fields})  # type: ignore[arg-type]


def test_a_pull_is_about_the_incident_whose_effect_is_measured() -> None:
    """The pulls of an incident are those, and only those, that `incident_of` gives to it, in the order of pulling."""
    worse = replace(INCIDENT, id="INC-0002", severity="P1", alarmed_us=4 * HOUR)
    other = replace(LEVER, id="web.model", app="web")
    pulls = [
        a_pull(3, at_us=5 * HOUR), a_pull(2), a_pull(1, incident="INC-0002"), a_pull(4, incident="INC-0001", at_us=0),
        a_pull(5, environment="staging"), a_pull(6, lever="web.model"), a_pull(7, at_us=0), a_pull(8, lever="gone"),
    ]  # fmt: skip
    incidents, levers = [INCIDENT, worse], {x.id: x for x in (LEVER, other)}
    for incident in incidents:
        found = pulls_about(incident, pulls, levers.values(), incidents)
        wanted = {
            p.id
            for p in pulls
            if p.lever in levers
            and (i := incident_of(p, levers[p.lever], incidents)) is not None
            and i.id == incident.id
        }
        assert {p.id for p in found} == wanted
    assert [p.id[-1] for p in pulls_about(INCIDENT, pulls, levers.values(), incidents)] == ["2", "4"]
