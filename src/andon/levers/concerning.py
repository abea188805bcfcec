"""Pure: which pulls are about an incident."""

from collections.abc import Iterable, Sequence

from andon.incidents import Incident
from andon.levers.effects import incident_of
from andon.levers.pulls import turn
from andon.levers.records import Lever, Pull

__all__ = ["pulls_about"]


def pulls_about(
    incident: Incident, pulls: Iterable[Pull], levers: Iterable[Lever], incidents: Sequence[Incident]
) -> list[Pull]:
    """The pulls whose effect is measured on this incident (`incident_of`), in the order in which they were made.

    Args:
        incident: the one that is asked about.
        pulls: all pulls.
        levers: all levers.
        incidents: all incidents: a pull that names none is about the worst one.
    """
    known = {lever.id: lever for lever in levers}
    found = []
    for pull in pulls:
        lever = known.get(pull.lever)
        if lever is None or pull.incident not in (None, incident.id):
            continue
        if pull.incident is None and not _may_be(incident, pull, lever):
            continue
        about = incident_of(pull, lever, incidents)
        if about is not None and about.id == incident.id:
            found.append(pull)
    return sorted(found, key=turn)


def _may_be(incident: Incident, pull: Pull, lever: Lever) -> bool:
    """Whether the incident was open where and when it was pulled: all others need not be asked about."""
    there = pull.environment == incident.environment and lever.app in (incident.app, "default")
    return there and incident.alarmed_us <= pull.at_us < (incident.closed_us or pull.at_us + 1)
