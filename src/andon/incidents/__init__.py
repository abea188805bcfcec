"""What do we do about it? Signals become one incident with a class, a severity, a state and a timeline.

In: signals, people's words, alerts of other systems. Out: `Incident` and `TimelineEvent` records. Always true: related signals are one incident;
an incident is never reopened, lost or opened twice for one signal; *happened at* and *learned at* are two clocks.
"""

from andon.incidents.records import Alert, AlertsTaken, Incident, TimelineEvent
from andon.incidents.triage import classify, join, merges, open_incident, severity_of, title_of
from andon.incidents.words import duration, odds, phrase_of, scope_text

__all__ = [
    "Alert",
    "AlertsTaken",
    "Incident",
    "TimelineEvent",
    "classify",
    "duration",
    "join",
    "merges",
    "odds",
    "open_incident",
    "phrase_of",
    "scope_text",
    "severity_of",
    "title_of",
]
