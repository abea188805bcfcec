"""A small postmortem whose figures are known."""

from dataclasses import replace
from typing import Any

from andon.incidents import Incident, TimelineEvent
from andon.investigations import Evidence, Impact, Investigation, Suspect
from andon.postmortems import ContributingFactor, Postmortem

T0 = 1_790_000_000_000_000
HOUR = 3_600_000_000
DAY = 24 * HOUR


def postmortem(**fields: Any) -> Postmortem:
    """1,234 of 20,000 interactions refused for 321 users, noticed after five hours."""
    incident = Incident(
        id="INC-0001",
        title="The share of refused answers rose from 3 % to 41 %",
        app="triage",
        environment="production",
        impact="safety",
        severity="P1",
        failure="prompt regression",
        scope={"risk_category": "high"},
        metric="refusal",
        lead="s1",
        onset_us=T0,
        onset_low_us=T0 - HOUR,
        onset_high_us=T0 + HOUR,
        alarmed_us=T0 + 5 * HOUR,
        noticed_us=T0 + 6 * HOUR,
        noticed_by="mia",
        last_signal_us=T0 + 5 * HOUR,
    )
    found = Investigation(
        id=incident.id,
        at_us=T0 + DAY,
        suspects=(Suspect(id="C-1", title="prompt v8", kind="prompt", probability=0.87, own=True),),
        verdict="systematic",
        impact=Impact(n=20_000, harmed=1_234, excess=1_174.0, lately=0.41, users=321, sessions=400),
        evidence=(Evidence(id="E1", claim="harmed", plan={}, figures={"refusal.w": 1234.0}),),
    )
    lever = TimelineEvent(
        id="t", incident=incident.id, happened_us=T0, learned_us=T0, kind="lever", text="safe answer pulled <b>now</b>"
    )
    p = Postmortem(
        id=incident.id,
        at_us=T0 + DAY,
        incident=incident,
        investigation=found,
        timeline=(lever,),
        summary=("1,234 of 20,000 interactions were refused [E3, E4], 321 users.",),
        factors=(ContributingFactor(area="testing", text="no case asks for it"),),
    )
    return replace(p, **fields)
