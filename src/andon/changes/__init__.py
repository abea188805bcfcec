"""What moved in the control plane: models, prompts, policies, indexes, routes, tools, traffic sources, our own levers.

In: people, pipelines, webhooks, versions first seen in traffic, lever pulls. Out: `Change` records in the ledger. Always
true: a change has one time and one kind; a version that traffic shows for the first time is a change even if nobody
recorded it; our own actions are changes like any other.
"""

from andon.changes.discover import Inventory, Sighting, discover, group_field
from andon.changes.intake import changes_of_body
from andon.changes.records import KINDS, Change, Ignored, Received

__all__ = [
    "KINDS",
    "Change",
    "Ignored",
    "Inventory",
    "Received",
    "Sighting",
    "changes_of_body",
    "discover",
    "group_field",
]
