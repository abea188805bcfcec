"""The same record for others: AVID, the AI Incident Database, and the report of Article 73 of the EU AI Act with its clocks.

What the record does not know is never guessed: it stands in the list of what people must still say.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from andon.errors import ConfigError
from andon.incidents import Incident, duration, odds, phrase_of, scope_text
from andon.postmortems.draft import minute, named_suspects, reports
from andon.postmortems.escaping import inert, table
from andon.postmortems.happened import summary_of
from andon.postmortems.records import Postmortem
from andon.traffic import format_time

__all__ = [
    "DAYS",
    "ORGANISATION",
    "Clock",
    "aiid_of",
    "article_73_of",
    "avid_of",
    "awareness_of",
    "deadlines",
    "organisation_of",
]

DAY_US = 86_400_000_000

Clock = Literal["general", "death", "widespread"]
DAYS: Mapping[Clock, int] = {"general": 15, "death": 10, "widespread": 2}
"""Days from awareness (Regulation (EU) 2024/1689, Article 73): (2) 15 in general, (4) 10 where a person died, (3) 2 for a
widespread infringement or a serious and irreversible disruption of critical infrastructure."""

ORGANISATION = (
    "provider",
    "contact",
    "deployer",
    "developer",
    "system",
    "version",
    "registration",
    "intended_purpose",
    "member_states",
)
"""Keys of the table ``[organisation]`` of andon.toml."""

ASSUMED = "assumed"

_SEP = {
    "retrieval regression": "P0104: Data quality issues",
    "prompt regression": "P0201: Resilience/ Stability",
    "model drift": "P0102: Concept drift",
    "config error": "P0201: Resilience/ Stability",
    "infrastructure failure": "P0201: Resilience/ Stability",
    "data quality regression": "P0104: Data quality issues",
}
_SEP_OF_CLASS = {
    "safety": "P0400: Safety",
    "correctness": "E0402: Generative Misinformation",
    "compliance": "P0300: Privacy",
}
_DOMAIN = {"safety": "Ethics", "correctness": "Ethics", "compliance": "Security"}


def organisation_of(tables: Mapping[str, Any], file: str = "andon.toml") -> dict[str, str]:
    """The table ``[organisation]``: who provides which system; what is missing is empty.

    Raises:
        ConfigError: a key is unknown or no text.
    """
    ours = tables.get("organisation", {})
    if not isinstance(ours, Mapping):
        raise ConfigError(f"{file}: organisation must be a table: [organisation]")
    for key, value in ours.items():
        if key not in ORGANISATION:
            raise ConfigError(f"{file}: organisation.{key} is not known; allowed are {', '.join(ORGANISATION)}")
        if not isinstance(value, str):
            raise ConfigError(f"{file}: organisation.{key} must be text in quotation marks")
    return {key: str(ours.get(key, "")) for key in ORGANISATION}


def deadlines(aware_us: int) -> dict[Clock, int]:
    """When the report of Article 73 is due for each kind, counted from when the provider became aware."""
    return {kind: aware_us + days * DAY_US for kind, days in DAYS.items()}


def avid_of(p: Postmortem, organisation: Mapping[str, str]) -> dict[str, Any]:
    """A report in the data model of the AI Vulnerability Database (avidtools, ``datamodels/report.py``)."""
    i, impact = p.incident, p.investigation.impact
    name = organisation.get("system") or i.app
    sep = list(dict.fromkeys(filter(None, (_SEP.get(i.failure or ""), _SEP_OF_CLASS.get(i.impact)))))
    metric = {
        "name": i.metric,
        "features": {"part of the traffic": scope_text(i.scope), "direction": "share of " + phrase_of(i.metric, "up")},
        "detection_method": {"type": "Significance Test", "name": "sequential e-detector on counts"},
        "results": {"harmed": impact.harmed, "interactions": impact.n, "beyond the baseline": impact.excess},
    }
    return {
        "data_type": "AVID",
        "data_version": "0.2",
        "metadata": {"report_id": ""},
        "affects": {
            "developer": _list(organisation.get("developer") or organisation.get("provider")),
            "deployer": _list(organisation.get("deployer") or organisation.get("provider")),
            "artifacts": [{"type": "System", "name": name}],
        },
        "problemtype": {
            "classof": "LLM Evaluation",
            "type": "Issue",
            "description": _text(i.title),
        },
        "metrics": [metric] if i.metric else [],
        "references": [],
        "description": _text("\n\n".join(_unlinked(s) for s in summary_of(p))),
        "impact": {
            "avid": {
                "risk_domain": [_DOMAIN.get(i.impact, "Performance")],
                "sep_view": sep or ["P0204: Accuracy"],
                "lifecycle_view": ["L06: Deployment"],
                "taxonomy_version": "0.2",
            }
        },
        "credit": [],
        "reported_date": format_time(p.at_us)[:10],
    }


def aiid_of(p: Postmortem, organisation: Mapping[str, str]) -> dict[str, Any]:
    """An incident as the AI Incident Database keeps it (its GraphQL type ``Incident``)."""
    i = p.incident
    return {
        "title": i.title,
        "description": " ".join(_unlinked(s) for s in summary_of(p)),
        "date": format_time(i.onset_us)[:10],
        "Alleged deployer of AI system": _list(organisation.get("deployer") or organisation.get("provider")),
        "Alleged developer of AI system": _list(organisation.get("developer") or organisation.get("provider")),
        "Alleged harmed or nearly harmed parties": [f"users of {scope_text(i.scope, i.app)}"],
        "implicated_systems": _list(organisation.get("system") or i.app),
        "reports": [],
        "editor_notes": "",
        "editor_similar_incidents": [],
        "editor_dissimilar_incidents": [],
    }


def awareness_of(incident: Incident) -> tuple[int, str]:
    """When the provider became aware, as far as the record knows, and how that is known.

    The first word of a person; where nobody has said anything yet, the alarm is assumed, the earliest that the clock can
    begin by our record, and the text says that it is an assumption.
    """
    if incident.noticed_us is None:
        return incident.alarmed_us, f"{ASSUMED}: the alarm; nobody has said anything yet (--aware)"
    by = f" by {incident.noticed_by}" if incident.noticed_by else ""
    return incident.noticed_us, f"the first word of a person{by}"


def article_73_of(
    p: Postmortem, organisation: Mapping[str, str], *, aware_us: int, kind: Clock, now_us: int, how: str = ""
) -> str:
    """The report of a serious incident (Regulation (EU) 2024/1689, Article 73) as Markdown, with what is still to be said.

    A first report may be incomplete (paragraph 5). Before the authority is informed, nothing may be done to the system that
    hinders finding the cause later (paragraph 6): evidence is frozen when an incident opens, before any lever moves.

    Args:
        p: the postmortem.
        organisation: who provides which system.
        aware_us: when the provider became aware.
        kind: which clock holds.
        now_us: the clock.
        how: how the time of awareness is known (`awareness_of`); empty where people said it.
    """
    due = deadlines(aware_us)
    left = (due[kind] - now_us) / 1e6
    clock = f"in {duration(left)}" if left >= 0 else f"{duration(-left)} ago"
    assumed = " (which is assumed, see below)" if how.startswith(ASSUMED) else ""
    rows = _entries(p, organisation, minute(aware_us) + (f" ({inert(how)})" if how else ""))
    open_ = [name for name, value in rows if not value]
    entries = table(("", ""), [(name, value or "_to be said by people_") for name, value in rows])
    clocks = table(
        ("kind", "from awareness", "due"),
        [(f"**{text}**" if k == kind else text, f"{DAYS[k]} days", minute(due[k])) for k, text in _CLOCKS.items()],
    )
    return (
        f"# Report of a serious incident (EU AI Act, Article 73): {p.incident.id}\n\n"
        f"**Due {minute(due[kind])}, {clock}: {DAYS[kind]} days after awareness{assumed}.** {len(open_)} of {len(rows)} entries are still to "
        "be said by people; a first report may be incomplete (paragraph 5).\n\n"
        f"{entries}\n\n"
        f"## Clocks\n\n{clocks}\n\n"
        "Whether this is a serious incident, and which clock holds, is for people to decide. Do not alter the system in a way "
        "that hinders finding the cause before the authority is informed (paragraph 6).\n"
    )


def _entries(p: Postmortem, organisation: Mapping[str, str], awareness: str) -> list[tuple[str, str]]:
    """The entries of the report, as (name, what the record says of it); empty where people must say it."""
    i, found = p.incident, p.investigation
    suspects = named_suspects(i, found)
    first = suspects[0] if suspects else None
    cause = f"{inert(first.title)} ({inert(odds(first.probability))})" if first else ""
    users = f"{found.impact.users:,} users" if found.impact.users else ""
    pulls = [e for e in p.timeline if e.kind == "lever" and (not i.lead or e.happened_us >= i.onset_low_us)]
    levers = [inert(e.text, 400) for e in pulls]
    return [
        ("Provider", inert(organisation.get("provider", ""), blank="")),
        ("Contact", inert(organisation.get("contact", ""), blank="")),
        ("System", inert(organisation.get("system", ""), blank="") or inert(i.app)),
        ("Version", inert(organisation.get("version", ""), blank="")),
        ("Registration in the EU database", inert(organisation.get("registration", ""), blank="")),
        ("Intended purpose", inert(organisation.get("intended_purpose", ""), blank="")),
        ("Member States concerned", inert(organisation.get("member_states", ""), blank="")),
        (
            "Time of the incident",
            f"{minute(i.onset_us)} (between {minute(i.onset_low_us)} and {minute(i.onset_high_us)})"
            if i.lead
            else f"reported {minute(i.alarmed_us)}; when it began is not known",
        ),
        ("Time of awareness", awareness),
        ("What happened", inert(i.title, 400)),
        ("Persons affected", users),
        ("Extent", _extent(p)),
        ("Kind of harm (Article 3 (49))", ""),
        ("Causal link or reasonable likelihood", ""),
        ("Most probable cause so far", cause),
        ("Containment", "; ".join(levers)),
        ("Corrective action", ""),
        ("Evidence kept", f"{len(found.evidence)} figures with plans and digests, {len(found.examples)} examples"),
    ]


def _extent(p: Postmortem) -> str:
    impact = p.investigation.impact
    if impact.n:
        return f"{impact.harmed:,} of {impact.n:,} interactions"
    return "cannot tell: no measured traffic is left" if p.incident.lead else f"not measured: {reports(p)}"


_CLOCKS: Mapping[Clock, str] = {
    "general": "a serious incident (paragraph 2)",
    "death": "a person died, or it is suspected (paragraph 4)",
    "widespread": "widespread infringement, or critical infrastructure disrupted (paragraph 3)",
}


def _list(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _text(value: str) -> dict[str, str]:
    return {"lang": "eng", "value": value}


def _unlinked(paragraph: str) -> str:
    """A paragraph of the summary without its references to evidence, which mean nothing elsewhere."""
    return re.sub(r"\s*\[E\d[E\d, ]*\]", "", paragraph)
