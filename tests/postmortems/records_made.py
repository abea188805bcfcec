"""Records that the tests of actions, review, learning and search put into a ledger."""

from andon.incidents import Incident
from andon.investigations import Impact, Investigation
from andon.postmortems import ActionItem, Criterion, Postmortem

T0 = 1_790_000_000_000_000
HOUR = 3_600_000_000
DAY = 24 * HOUR


def incident(name: str = "INC-0001", **more) -> Incident:
    """A P2 incident that a chart found three hours after its onset."""
    fields = {
        "title": "refusals rose", "app": "bot", "environment": "production", "severity": "P2", "metric": "refusal",
        "lead": "s1", "onset_us": T0, "onset_low_us": T0 - HOUR, "onset_high_us": T0 + HOUR,
        "alarmed_us": T0 + 3 * HOUR, "last_signal_us": T0 + 3 * HOUR,
    }  # fmt: skip
    return Incident(id=name, **{**fields, **more})


def action(name: str = "INC-0001-A1", **more) -> ActionItem:
    """A proposal with a test."""
    fields = {
        "incident": name.rpartition("-")[0], "kind": "mitigate", "title": "declare a lever", "due_us": T0 + 30 * DAY,
        "criterion": Criterion(kind="lever exists", subject="strict"),
    }  # fmt: skip
    return ActionItem(id=name, **{**fields, **more})


def draft(i: Incident | None = None, *actions: ActionItem, **more) -> Postmortem:
    """A draft of an incident, with these proposals."""
    i = i or incident()
    found = Investigation(
        id=i.id, at_us=i.alarmed_us, impact=Impact(n=100, harmed=40, excess=38.0, users=None, sessions=None)
    )
    return Postmortem(id=i.id, at_us=i.alarmed_us, incident=i, investigation=found, actions=actions, **more)
