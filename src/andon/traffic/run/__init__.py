"""Traffic into the store and out of it: what touches the Warehouse and the Ledger."""

from andon.traffic.run.assembling import Assembled, assemble_traces
from andon.traffic.run.erasing import erase_traffic, traffic_of
from andon.traffic.run.importing import ImportResult, Progress, import_files
from andon.traffic.run.reading import (
    Size,
    came_by_app,
    feedback_on,
    read_interactions_by_id,
    read_new,
    read_new_feedback,
    sizes,
)
from andon.traffic.run.searching import Found, Volume, search_traffic, volume
from andon.traffic.run.sessions import FollowUpCursor, find_follow_ups_in
from andon.traffic.run.showing import scores_of
from andon.traffic.run.stories import Story, interaction_at, interaction_story
from andon.traffic.run.taking import (
    MOST_WAITING,
    Intake,
    intake_report,
    open_intake,
    open_redaction,
    record,
    record_feedback,
)

__all__ = [
    "MOST_WAITING",
    "Assembled",
    "FollowUpCursor",
    "Found",
    "ImportResult",
    "Intake",
    "Progress",
    "Size",
    "Story",
    "Volume",
    "assemble_traces",
    "came_by_app",
    "erase_traffic",
    "feedback_on",
    "find_follow_ups_in",
    "import_files",
    "intake_report",
    "interaction_at",
    "interaction_story",
    "open_intake",
    "open_redaction",
    "read_interactions_by_id",
    "read_new",
    "read_new_feedback",
    "record",
    "record_feedback",
    "scores_of",
    "search_traffic",
    "sizes",
    "traffic_of",
    "volume",
]
