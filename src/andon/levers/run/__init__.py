"""What touches the store: read, decide with the pure functions of the stage, write."""

from andon.levers.run.board import Board
from andon.levers.run.declaring import (
    add_version,
    approve_version,
    declare,
    known_lever,
    live_in,
    note_gate,
    promote,
    versions_of,
)
from andon.levers.run.pulling import Expiry, expire, hold, plan_hold, release, review, version_before
from andon.levers.run.splitting import act_on, allocation_of, check_start, start_split, stop_split
from andon.levers.run.telling import Readers, note_first_reads, tell_levers
from andon.levers.run.turning import look_and_act, turn_levers

__all__ = [
    "Board",
    "Expiry",
    "Readers",
    "act_on",
    "add_version",
    "allocation_of",
    "approve_version",
    "check_start",
    "declare",
    "expire",
    "hold",
    "known_lever",
    "live_in",
    "look_and_act",
    "note_first_reads",
    "note_gate",
    "plan_hold",
    "promote",
    "release",
    "review",
    "start_split",
    "stop_split",
    "tell_levers",
    "turn_levers",
    "version_before",
    "versions_of",
]
