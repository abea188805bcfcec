"""Remove what came from one user: rows of every table, and texts in every kind of record."""

import hmac

from andon.access import KINDS
from andon.changes import Change
from andon.changes.discover import Inventory
from andon.errors import InputError
from andon.evals import Baseline, Confirmed, EvalRun, Probed, Quarantine
from andon.evals.run import forget_kept
from andon.golden import CaptureCursor, CaptureDay, Case, CoverageMap, Failure, Label, NearDuplicate
from andon.golden.run import forget_vectors, made_of, without_erased
from andon.incidents import (
    Alert,
    Delivery,
    Incident,
    Recovery,
    Report,
    RunbookState,
    TimelineEvent,
    TimelineMark,
)
from andon.incidents.run.timeline import Attached, TimelineCursor
from andon.investigations import Investigation
from andon.levers import Announced, Effect, FirstRead, Lever, Promotion, Pull, Version
from andon.levers.rules import PullRefused
from andon.monitors import Signal
from andon.monitors.records import Crowded, NewNormal
from andon.postmortems import ActionItem, Nagged, Postmortem, Published, Review
from andon.rollouts import Allocation, Decision, Experiment
from andon.scores.measuring import ScorerFailure
from andon.scores.run import MeasuredBy, ScoreCursor
from andon.scores.topics import Topics
from andon.settings import Settings
from andon.store import Ledger, Warehouse
from andon.traffic.erasure import Blanking
from andon.traffic.files.inbox import Imported
from andon.traffic.records import Erasure
from andon.traffic.redaction import mark_of
from andon.traffic.run import (
    FollowUpCursor,
    erase_traffic,
    open_redaction,
    traffic_of,
)
from andon.traffic.settling import TraceCursor

__all__ = ["RECORDS", "erase_user"]

RECORDS = (
    ActionItem, Alert, Allocation, Announced, Attached, Baseline, CaptureCursor, CaptureDay, Case, Change, Confirmed, CoverageMap, Crowded, Decision, Delivery, Effect,
    Erasure, EvalRun, Experiment, Failure, FirstRead, FollowUpCursor, Imported, Incident, Inventory, Investigation, Label, Lever, MeasuredBy, Nagged,
    NearDuplicate, NewNormal, Postmortem, Probed, Promotion, Published, Pull, PullRefused, Quarantine, Recovery, Report, Review, RunbookState, ScoreCursor, ScorerFailure, Signal, TimelineCursor, TimelineEvent, TimelineMark,
    Topics, TraceCursor, Version,
)  # fmt: skip
"""Every kind of record that the ledger holds and that may hold a text: an erasure leaves any other as it is."""

_TEAM = frozenset(k.__name__ for k in KINDS)
"""About those who work with Andon: nothing in them came with traffic, and a user who takes the name of one of them is another."""


def erase_user(warehouse: Warehouse, ledger: Ledger, settings: Settings, user: str, *, now_us: int, by: str) -> Erasure:
    """Remove what came from one user: rows of every table, and texts in evidence, failures and cases; then look again.

    A golden case whose question or right answer is gone is retired, and a failure without its question is dismissed. Of
    failures, labels and cases those alone are changed that were made of the user's traffic, and what others asked stays.

    Found are interactions of this `user_id`, whole traces in which the user is named, feedback and scores of both, and
    feedback by the user. Files that a team keeps elsewhere (golden cases in git) are not reached.

    Raises:
        InputError: the user is empty.
        StoreError: the disk or the ledger refused; calling again goes on.
    """
    if not user.strip():
        raise InputError("say which user: the `user_id` that your application sends")
    rules = open_redaction(settings)
    names = tuple(dict.fromkeys((user, mark_of(user, rules))))
    found = traffic_of(warehouse, names)
    rows = erase_traffic(warehouse, names, found)
    made = made_of(warehouse, ledger, found)
    ids, said = found.ids | made.ids, found.texts | made.texts
    anywhere = Blanking(names=names, ids=ids, texts=said)
    theirs = Blanking(names=names, ids=ids, texts=said - made.shared, only_about=True)
    golden = {Case: theirs, Failure: theirs, Label: theirs}
    records = ledger.blank(theirs, golden) + ledger.blank(anywhere, {*RECORDS} - {*golden})
    retired, dismissed = without_erased(ledger, now_us=now_us, by=by)
    again = traffic_of(warehouse, names)
    forget_kept(settings.place / "evals")  # answers of targets and vectors of questions: they are asked and made again
    forget_vectors(settings.place)
    left = [f"{len(again.ids)} rows of traffic"] if again.ids else []
    of = {k.__name__: texts for k, texts in golden.items()}
    if any(of.get(kind, anywhere).touches(body) for kind, body in ledger.bodies() if kind not in _TEAM):
        left.append("records of the ledger")
    if warehouse.uncommitted_bytes():
        left.append("rows that another process has not committed yet: run this again in a few seconds")
    digest = hmac.new(rules.key, user.encode(), "sha256").hexdigest()[:12]
    done = Erasure(
        id=f"ERASE-{digest}", at_us=now_us, rows=rows, records=records, retired=retired, dismissed=dismissed,
        left=tuple(left),
    )  # fmt: skip
    ledger.put(done, now_us=now_us, by=by)
    return done
