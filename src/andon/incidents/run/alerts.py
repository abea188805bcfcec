"""Keep alerts of other systems beside the incidents to which they belong."""

from collections.abc import Iterable

from andon.errors import StateError
from andon.incidents.alerts import alert_text, touches
from andon.incidents.records import (
    Alert,
    AlertsTaken,
    Incident,
)
from andon.incidents.run.timeline import ATTEMPTS, event, timeline_of
from andon.store import Ledger

__all__ = ["MOST_TOLD", "receive_alerts", "tell_alerts"]


MOST_TOLD = 100
"""Entries of alerts in one timeline; a storm of them would bury the rest."""


_STORM = f"more alerts came than the {MOST_TOLD} entries that stand here; the others are kept with the alerts"


def receive_alerts(ledger: Ledger, alerts: Iterable[Alert], *, now_us: int) -> AlertsTaken:
    """Keep alerts of another system, and tell the open incidents to which they belong; none is opened by them.

    The same again writes nothing. An alert that is over stays so: a late word that it fires comes from a repeated delivery.
    """
    received = list({(a.id, a.state): a for a in alerts}.values())
    fates = [_keep_alert(ledger, alert, now_us) for alert in sorted(received, key=lambda a: a.state)]
    kept = {a.id: latest for a in received if (latest := ledger.get(Alert, a.id)) is not None}
    told = []
    for incident in ledger.all(Incident):  # read after the alerts are written: one that opens now reads them itself
        if tell_alerts(ledger, incident, kept.values()):
            told.append(incident.id)
    return AlertsTaken(
        fired=fates.count("fired"), resolved=fates.count("resolved"), known=fates.count("known"), incidents=tuple(told)
    )


def _keep_alert(ledger: Ledger, alert: Alert, now_us: int) -> str:
    for attempt in range(ATTEMPTS):
        known = ledger.latest(Alert, alert.id)
        if known is not None and (alert.state == "firing" or known.record.state == "resolved"):
            return "known"
        try:
            ledger.put(alert, now_us=now_us, by="alertmanager", expect=0 if known is None else known.version)
        except StateError:  # the same alert came twice at the same moment
            if attempt == ATTEMPTS - 1:
                raise
            continue
        break
    return "resolved" if alert.state == "resolved" else "fired"


def tell_alerts(ledger: Ledger, incident: Incident, alerts: Iterable[Alert]) -> bool:
    """Write the alerts that belong to an incident into its timeline; whether there were any."""
    ours = sorted((a for a in alerts if touches(a, incident)), key=lambda a: (a.starts_us, a.id))
    if not ours:
        return False
    known = {(e.happened_us, e.text) for e in timeline_of(ledger, incident, hidden=True) if e.kind == "alert"}
    for happened_us, learned_us, text in [entry for alert in ours for entry in _alert_entries(ledger, alert)]:
        entry = (happened_us, text)
        if entry not in known and len(known) >= MOST_TOLD:
            entry = (incident.alarmed_us, _STORM)
        if entry not in known:
            event(ledger, incident, entry[0], max(learned_us, incident.alarmed_us), "alert", entry[1])
            known.add(entry)
    return True


def _alert_entries(ledger: Ledger, alert: Alert) -> list[tuple[int, int, str]]:
    """What a timeline says of an alert: when it happened, when we learned it, in which words."""
    versions = ledger.history(Alert, alert.id)
    first, last = versions[0], versions[-1]
    entries = [(first.record.starts_us, first.at_us, alert_text(first.record, "firing"))]
    if last.record.state == "resolved":
        ended_us = last.at_us if last.record.ends_us is None else last.record.ends_us
        entries.append((ended_us, last.at_us, alert_text(first.record, "resolved")))
    return entries
