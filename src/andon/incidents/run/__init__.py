"""What touches the store: read, decide with the pure functions of the stage, write."""

from andon.incidents.run.alerts import MOST_TOLD, receive_alerts
from andon.incidents.run.growing import grow_timeline
from andon.incidents.run.recovery import (
    add_exit_criterion,
    add_recovery_step,
    close_incident,
    do_recovery_step,
    drop_exit_criterion,
    measure_recovery,
    recovery_of,
    see_exit_check,
)
from andon.incidents.run.related import related_to
from andon.incidents.run.reports import receive_report
from andon.incidents.run.runbook import brought_up_to_date, query_log, read_runbook, runbook_of, tick_item
from andon.incidents.run.signals import respond, restate
from andon.incidents.run.states import ack_incident, goes_on, mark_incident, noticed, overrule_incident, tell_visible
from andon.incidents.run.telling import notify
from andon.incidents.run.timeline import (
    add_note,
    find_entry,
    find_incident,
    mark_entry,
    marks_of,
    signals_of,
    timeline_of,
)

__all__ = [
    "MOST_TOLD",
    "ack_incident",
    "add_exit_criterion",
    "add_note",
    "add_recovery_step",
    "brought_up_to_date",
    "close_incident",
    "do_recovery_step",
    "drop_exit_criterion",
    "find_entry",
    "find_incident",
    "goes_on",
    "grow_timeline",
    "mark_entry",
    "mark_incident",
    "marks_of",
    "measure_recovery",
    "noticed",
    "notify",
    "overrule_incident",
    "query_log",
    "read_runbook",
    "receive_alerts",
    "receive_report",
    "recovery_of",
    "related_to",
    "respond",
    "restate",
    "runbook_of",
    "see_exit_check",
    "signals_of",
    "tell_visible",
    "tick_item",
    "timeline_of",
]
