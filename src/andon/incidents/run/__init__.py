"""What touches the store: read, decide with the pure functions of the stage, write."""

from andon.incidents.run.alerts import MOST_TOLD, receive_alerts
from andon.incidents.run.signals import respond, restate
from andon.incidents.run.states import ack_incident, close_incident, goes_on
from andon.incidents.run.telling import notify
from andon.incidents.run.timeline import add_note, find_incident, signals_of, timeline_of

__all__ = [
    "MOST_TOLD",
    "ack_incident",
    "add_note",
    "close_incident",
    "find_incident",
    "goes_on",
    "notify",
    "receive_alerts",
    "respond",
    "restate",
    "signals_of",
    "timeline_of",
]
