"""What do we do about it? Signals become one incident with a class, a severity, a state and a timeline.

In: signals, people's words, alerts of other systems. Out: `Incident`, `TimelineEvent` and `Delivery` records. Always true:
related signals are one incident, and one page; an incident is never reopened, lost or opened twice for one signal; no message
is sent twice; *happened at* and *learned at* are two clocks.
"""

from andon.incidents.channels import open_channels
from andon.incidents.messages import message_of, neutral, sample_message
from andon.incidents.notices import due
from andon.incidents.records import (
    Alert,
    AlertsTaken,
    Channel,
    Delivery,
    ExitCriterion,
    FailureType,
    Incident,
    Message,
    Overrule,
    Recovery,
    Report,
    Runbook,
    RunbookEntry,
    RunbookItem,
    RunbookState,
    Step,
    TimelineEvent,
    TimelineMark,
)
from andon.incidents.related import Related, signature_of
from andon.incidents.timeline import brief
from andon.incidents.triage import classify, join, merges, open_incident, pages, severity_of, title_of
from andon.incidents.words import duration, odds, phrase_of, scope_text

__all__ = [
    "Alert",
    "AlertsTaken",
    "Channel",
    "Delivery",
    "ExitCriterion",
    "FailureType",
    "Incident",
    "Message",
    "Overrule",
    "Recovery",
    "Related",
    "Report",
    "Runbook",
    "RunbookEntry",
    "RunbookItem",
    "RunbookState",
    "Step",
    "TimelineEvent",
    "TimelineMark",
    "brief",
    "classify",
    "due",
    "duration",
    "join",
    "merges",
    "message_of",
    "neutral",
    "odds",
    "open_channels",
    "open_incident",
    "pages",
    "phrase_of",
    "sample_message",
    "scope_text",
    "severity_of",
    "signature_of",
    "title_of",
]
