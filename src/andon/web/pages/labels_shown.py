"""What the pages of the label queue show: the queue of this server, its tables, and what a reviewer may see of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from andon.golden import Case, Failure, Label, needed
from andon.golden.cases import OWNER, case_id, person, same_text
from andon.golden.queue import ORIGINS, open_to
from andon.golden.records import Agreement, Queued, Settled
from andon.golden.run import LabelQueue
from andon.scores import hashed
from andon.web.asking import Ask
from andon.web.tables import Cell, Column, Table

__all__ = [
    "FILTERS", "PAGE", "Offer", "acceptable", "agreement_table", "case_of", "filters_of", "is_high", "next_address", "offers", "queue_of",
    "queue_table", "seen_labels", "seen_text", "today_count",
]  # fmt: skip

FILTERS = ("app", "incident", "risk")
PAGE = 50

_QUEUES: "WeakKeyDictionary[Any, LabelQueue]" = WeakKeyDictionary()
_MAKING = Lock()


def queue_of(ask: Ask) -> LabelQueue:
    """The queue of this server, made once for a ledger.

    How new a question is, is told by shared words: a page must not wait for a model.
    """
    ledger = ask.ledger
    with _MAKING:
        if ledger not in _QUEUES:
            _QUEUES[ledger] = LabelQueue(hashed.load(ask.site.settings), ask.site.settings.place)
        return _QUEUES[ledger]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A right answer that a reviewer may take with one key."""

    text: str
    whence: str
    link: str = ""


def offers(ask: Ask, failure: Failure) -> list[Offer]:
    """Right answers that may fit: the suggestion that came with the failure, then those of cases that ask nearly the same."""
    found: list[Offer] = []
    if failure.suggestion:
        whence = ORIGINS.get(failure.suggested_by or "", failure.suggested_by or "of unknown origin")
        found.append(Offer(text=seen_text(failure.suggestion), whence=whence))
    for case, cosine in queue_of(ask).near(ask.ledger, failure):
        said = case.ground_truth
        if any(same_text(o.text, said) for o in found) or (
            failure.answer is not None and same_text(said, failure.answer)
        ):
            continue
        found.append(
            Offer(
                text=seen_text(said),
                whence=f"right in {case.id}, which asks “{case.question[:120]}” (cosine {cosine:.2f})",
                link=f"/golden/{case.id}",
            )
        )
    return found[:9]


def seen_text(text: str) -> str:
    """A text without what nobody sees, but for the joiners that scripts and emoji need: fit to be put into a field."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t\u200c\u200d")


def filters_of(given: Mapping[str, str]) -> dict[str, str]:
    """The filters of a query or a form, those that are not empty."""
    return {k: given[k][:200] for k in FILTERS if given.get(k)}


def next_address(given: Mapping[str, str]) -> str:
    """Where the queue goes on after something was done, with the same filters and behind what was skipped."""
    values = {k: given[k][:200] for k in (*FILTERS, "after") if given.get(k)}
    return "/labels" + (f"?{urlencode(values)}" if values else "")


def today_count(ask: Ask) -> int:
    """Labels that who asks has given since midnight in their zone."""
    now = datetime.fromtimestamp(ask.now_us / 1e6, ask.zone)
    midnight = int(now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1e6)
    me = person(ask.by)
    return sum(
        x.author == me and x.at_us >= midnight and x.verdict != "withdrawn" and not x.final
        for x in ask.ledger.all(Label)
    )


def seen_labels(ask: Ask, failure: Failure, said: Settled) -> tuple[list[Label], bool]:
    """The labels of a failure that who asks may see, and whether some are kept from them.

    A second label is worth something only if it is given blindly: as long as a failure waits for somebody, only those who have
    labelled it see what others said.
    """
    all_ = [x for x in ask.ledger.all(Label, f"{failure.id}/") if x.verdict != "withdrawn"]
    me = person(ask.by)
    mine = [x for x in all_ if x.author == me]
    open_ = bool(mine) or said.state not in ("waits", "second")
    return (sorted(all_, key=lambda x: x.at_us) if open_ else mine), len(all_) > len(mine) and not open_


def acceptable(ask: Ask, states: Mapping[str, tuple[Failure, Settled]]) -> int:
    """How many failures wait for who asks and have an expected answer of the data's owner, which may be accepted unread."""
    return sum(
        f.suggested_by == OWNER and f.suggestion is not None and open_to(ask.by, said) for f, said in states.values()
    )


def queue_table(ask: Ask, rows: Sequence[Queued], first: int) -> Table:
    """The queue as a list."""
    columns: tuple[Column, ...] = (
        Column(key="place", title="", kind="number"), Column(key="question", title="question, and why it stands here", wide=True),
        Column(key="app", title="app"), Column(key="risk", title="risk"), Column(key="source", title="from"),
        Column(key="needs", title="needs"), Column(key="captured", title="captured", kind="time"),
    )  # fmt: skip
    if ask.exporting:
        more = (("failure", "failure"), ("priority", "priority"), ("why", "why here"), ("answer", "failing answer"))
        columns = (*columns, *(Column(key=k, title=t) for k, t in more))
    shown = [
        {
            "place": first + k, "question": Cell(value=q.failure.question[:300], link=f"/labels/{q.failure.id}", note=q.why),
            "app": q.failure.app, "risk": Cell(value=q.failure.risk_category, tone="bad" if is_high(q.failure) else ""),
            "source": q.failure.source, "needs": _needs(q), "captured": q.failure.captured_us, "failure": q.failure.id,
            "priority": q.priority, "why": q.why, "answer": q.failure.answer,
        }
        for k, q in enumerate(rows)
    ]  # fmt: skip
    return Table(
        name="queue", title="Failures that wait for a label", columns=columns, rows=shown,
        empty="Nothing waits for a label. Failures are captured from thumbs-downs, corrections, low scores and incidents.",
        empty_link=("/golden/capture", "What is captured, and why"),
    )  # fmt: skip


def is_high(failure: Failure) -> bool:
    """Whether a failure needs two reviewers."""
    return needed(failure) > 1


def _needs(q: Queued) -> str:
    if q.settled.state == "conflict":
        return "an adjudicator"
    left = needed(q.failure) - len(q.settled.authors)
    return "1 reviewer" if left == 1 else f"{left} reviewers"


def agreement_table(found: Sequence[Agreement]) -> Table:
    """How far reviewers agree."""
    columns = (
        Column(key="reviewers", title="reviewers"), Column(key="failures", title="failures", kind="number"),
        Column(key="alpha", title="alpha", kind="number"), Column(key="low", title="from", kind="number"),
        Column(key="high", title="to", kind="number"), Column(key="says", title="what it says", wide=True),
    )  # fmt: skip
    rows = [
        {
            "reviewers": "all" if k == 0 else " and ".join(a.reviewers), "failures": a.failures, "alpha": a.alpha, "low": a.low,
            "high": a.high, "says": a.text,
        }
        for k, a in enumerate(found)
    ]  # fmt: skip
    return Table(name="agreement", title="How far reviewers agree", columns=columns, rows=rows)


def case_of(ask: Ask, failure: Failure, said: Settled) -> Case | None:
    """The case that was made of a failure."""
    if said.ground_truth is None:
        return None
    found: Case | None = ask.ledger.get(Case, case_id(failure.app, failure.question, said.ground_truth))
    return found
