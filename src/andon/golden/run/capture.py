"""Capture what failed: what people said at once, weaker signs when their day is over."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from andon.golden.capture import ALWAYS, RULES, Measure, Sign
from andon.golden.cases import OWNER
from andon.golden.records import CaptureCursor, Failure, RuleCount
from andon.golden.run.keeping import ROW, Keeper, capture, feedback_of, sign_of
from andon.golden.run.twins import USERS
from andon.golden.run.weighing import start_of, weigh
from andon.golden.thresholds import Thresholds
from andon.scores import Embedder, Scorer, failing
from andon.store import Ledger, Rollup, Slice, Span, Warehouse, Where
from andon.traffic import Feedback, Interaction, format_time
from andon.traffic.run import read_interactions_by_id

__all__ = ["capture", "capture_all", "capture_new"]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MONTH_US = 31 * DAY_US

AT_ONCE = 2_000
"""About how many thumbs-downs and corrections one call looks at; whole commits are read, at least one."""

DAYS_AT_ONCE = 10
"""Days of applications that one call weighs."""

_SENT = (OWNER, "correction")
"""Origins of a suggestion that came with the data; one of another origin gives way to it."""

_STRONG = (
    Measure(rule="thumbs-down", metric="thumbs", direction="down", kind="binary"),
    Measure(rule="correction", metric="correction", direction="up", kind="binary"),
)


def capture_new(
    warehouse: Warehouse,
    ledger: Ledger,
    scorers: Sequence[Scorer],
    embedder: Embedder,
    *,
    now_us: int,
    since_us: int | None = None,
    thresholds: Thresholds | None = None,
) -> tuple[RuleCount, ...]:
    """Capture what failed since the last call, by each of `RULES`; safe to call again, and cheap when nothing came.

    Thumbs-downs and corrections are captured as soon as they are scored, however old their answer is. Weaker signs wait
    until an hour after their day (UTC): then the worst `A_DAY` of each rule and application are captured, and the rest is
    counted. Rows that come late bring their day back, however old it is, within the same bound. One call weighs the first
    `DAYS_AT_ONCE` days that wait; the next call goes on.

    Args:
        warehouse: traffic, feedback and scores.
        ledger: where failures are kept.
        scorers: those that scored the traffic.
        embedder: finds passing twins; where it fails, suggestions come from the same words only.
        now_us: the clock.
        since_us: look at everything from this time on instead, with the day that is not over yet.
        thresholds: from which cosine on two questions count as the same one, for passing twins.

    Raises:
        StoreError: the disk or the ledger failed; calling again is safe.
    """
    keeper = Keeper(warehouse, ledger, embedder, now_us, thresholds or Thresholds())
    if since_us is not None:
        span = Span(start_us=since_us, end_us=now_us + 1)
        days = _heads(warehouse, (), span)
        counts = _strong(keeper, days, (), span)
        return _told(counts + weigh(keeper, scorers, sorted({h.day_key for h in days})))
    cursor = ledger.get(CaptureCursor, CaptureCursor().id) or CaptureCursor()
    new = Where(column="seq", op="ge", value=cursor.seq + 1)
    heads: list[_Head] = []
    reached = cursor.seq
    if (newest := warehouse.newest("scores")) != cursor.seq:
        found = _heads(warehouse, (new,), None)
        reached = _upto(found)
        heads = [h for h in found if h.seq <= reached]
        if len(heads) == len(found):
            reached = max(newest, reached)
    waiting = sorted({*cursor.days, *(h.day_key for h in heads)})
    due = [d for d in waiting if now_us >= start_of(d) + DAY_US + HOUR_US][:DAYS_AT_ONCE]
    within = (new, Where(column="seq", op="lt", value=reached + 1))
    counts = _strong(keeper, heads, within, None) + weigh(keeper, scorers, due)
    after = CaptureCursor(seq=reached, days=tuple(d for d in waiting if d not in due))
    if after != cursor:
        ledger.put(after, now_us=now_us, by="andon")
    return _told(counts)


def capture_all(
    warehouse: Warehouse,
    ledger: Ledger,
    scorers: Sequence[Scorer],
    embedder: Embedder,
    *,
    now_us: int,
    thresholds: Thresholds | None = None,
) -> tuple[RuleCount, ...]:
    """Capture as `capture_new` does, until nothing is left that is due: for a caller who does not come again.

    Raises:
        StoreError: the disk or the ledger failed; calling again is safe.
    """
    counts: list[RuleCount] = []
    while True:
        before = ledger.get(CaptureCursor, CaptureCursor().id)
        counts += capture_new(warehouse, ledger, scorers, embedder, now_us=now_us, thresholds=thresholds)
        if ledger.get(CaptureCursor, CaptureCursor().id) == before:
            return _told(counts)


@dataclass(frozen=True, slots=True)
class _Head:
    """What one commit brought of one application and day."""

    seq: int
    app: str
    day_us: int
    strong: int
    """Thumbs-downs and corrections."""

    @property
    def day_key(self) -> str:
        return f"{format_time(self.day_us)[:10]}/{self.app}"


def _heads(warehouse: Warehouse, where: tuple[Where, ...], span: Span | None) -> list[_Head]:
    plan = Rollup(
        table="scores", keys=("seq", "app"), metrics=("thumbs", "correction"), measures=("n", "sum"), window_us=DAY_US,
        where=(*where, *USERS), span=span,
    )  # fmt: skip
    return [
        _Head(r["seq"], r["app"] or "", r["window_us"], round(r["thumbs.n"] - r["thumbs.sum"] + r["correction.sum"]))
        for r in warehouse.run(plan).to_pylist()
    ]


def _upto(heads: Sequence[_Head]) -> int:
    """The last commit to read, so that about `AT_ONCE` strong signs are looked at, of at least one commit."""
    strong: dict[int, int] = {}
    for h in heads:
        strong[h.seq] = strong.get(h.seq, 0) + h.strong
    last, total = 0, 0
    for seq, n in sorted(strong.items()):
        if last and total + n > AT_ONCE:
            break
        last, total = seq, total + n
    return last


def _strong(keeper: Keeper, heads: Sequence[_Head], within: tuple[Where, ...], span: Span | None) -> list[RuleCount]:
    """Capture every thumbs-down and correction."""
    if not any(h.strong for h in heads):
        return []
    signs: list[Sign] = []
    times: list[int] = []
    for m in _STRONG:
        op, bound = failing(m.kind, m.direction, None)
        where = (*within, *USERS, Where(column=m.metric, op="ge" if op == "ge" else "lt", value=bound))
        rows = keeper.warehouse.run(Slice(table="scores", columns=(*ROW, m.metric), where=where, span=span)).to_pylist()
        signs += [sign_of(r, m) for r in rows]
        times += [r["time_us"] for r in rows]
    if not signs:
        return []
    told = Span(start_us=min(times), end_us=max(times) + 1)
    said = feedback_of(keeper.warehouse, signs, told)
    about = Span(start_us=told.start_us - MONTH_US, end_us=told.end_us + DAY_US)
    known = {i.id: i for i in read_interactions_by_id(keeper.warehouse, [s.interaction_id for s in signs], about)}
    corrections = {
        f.interaction_id: f.text for f in sorted(said.values(), key=lambda f: f.time_us) if f.kind == "correction"
    }
    return [_keep_all(keeper, rule, [s for s in signs if s.rule == rule], known, said, corrections) for rule in ALWAYS]


def _keep_all(
    keeper: Keeper,
    rule: str,
    signs: Sequence[Sign],
    known: Mapping[str, Interaction],
    said: Mapping[str, Feedback],
    corrections: Mapping[str, str | None],
) -> RuleCount:
    failures: dict[str, Failure] = {}
    left_out = 0
    for sign in signs:
        words = said[sign.feedback].text if sign.feedback and sign.feedback in said else None
        failure = keeper.failure(sign, known.get(sign.interaction_id), words, corrections.get(sign.interaction_id))
        if failure is None:
            left_out += 1
        else:
            failures.setdefault(failure.id, failure)
    result = keeper.keep(list(failures.values()))
    for i in result.known:
        _improve(keeper, failures[i])
    return RuleCount(
        rule=rule, captured=len(result.captured), known=len(result.known), left_out=left_out + len(result.refused)
    )


def _improve(keeper: Keeper, failure: Failure) -> None:
    """A correction that comes after its failure was captured becomes its suggestion."""
    known = keeper.ledger.get(Failure, failure.id)
    if known is not None and failure.suggested_by in _SENT and known.suggested_by not in _SENT:
        better = replace(known, suggestion=failure.suggestion, suggested_by=failure.suggested_by)
        keeper.ledger.put(better, now_us=keeper.now_us, by="andon")


def _told(counts: Iterable[RuleCount]) -> tuple[RuleCount, ...]:
    """The counts of all rules, in their order."""
    found = {rule: RuleCount(rule=rule) for rule in RULES}
    for c in counts:
        f = found[c.rule]
        found[c.rule] = RuleCount(
            rule=c.rule, captured=f.captured + c.captured, known=f.known + c.known, left_out=f.left_out + c.left_out
        )
    return tuple(found.values())
