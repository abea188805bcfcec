"""Traffic into the store and out of it: the only file of this stage that touches the Warehouse and the Ledger."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from andon.errors import ConfigError, StoreError
from andon.settings import Settings
from andon.store import Ledger, Lookup, Rollup, Slice, Span, Warehouse, Where, kept_secret
from andon.traffic.conventions.annotations import annotations_of, evaluation_of
from andon.traffic.conventions.messages import join_logs
from andon.traffic.conventions.traces import assemble
from andon.traffic.erasure import Traces, texts_of
from andon.traffic.files.reading import check_file, read_traffic
from andon.traffic.followups import find_follow_ups
from andon.traffic.intake import BadRow
from andon.traffic.otlp import Form, logs_of, points_of, traces_of
from andon.traffic.records import Feedback, Interaction, LogRow, SpanRow
from andon.traffic.redaction import Redaction, own_rules, redact, redaction
from andon.traffic.rows import (
    SCHEMAS,
    feedback_from_rows,
    feedback_to_rows,
    from_rows,
    logs_from_rows,
    logs_to_rows,
    spans_from_rows,
    spans_to_rows,
    to_rows,
)
from andon.traffic.sampling import Sampling, sample
from andon.traffic.settling import LOG_HEAD, SPAN_HEAD, TraceCursor, settle

__all__ = [
    "MOST_WAITING",
    "Assembled",
    "FollowUpCursor",
    "ImportResult",
    "Intake",
    "Progress",
    "assemble_traces",
    "erase_traffic",
    "feedback_on",
    "find_follow_ups_in",
    "import_files",
    "intake_report",
    "open_intake",
    "open_redaction",
    "read_interactions_by_id",
    "read_new",
    "read_new_feedback",
    "record",
    "record_feedback",
    "traffic_of",
]

_BATCH = 20_000
_COMMIT_ROWS = 100_000
_KEPT_BAD_ROWS = 1_000
_TRACES_AT_ONCE = 5_000
_SPANS_AT_ONCE = 40_000
"""About how many spans one call of `assemble_traces` turns into interactions."""
_HEADS_AT_ONCE = 2_000_000
"""About how many spans one call of `assemble_traces` looks at."""
MOST_WAITING = 2**30
"""Bytes in the journal from which on nothing more is taken in, so that a sender that never stops fills no disk."""

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_SESSION_COLUMNS = (
    "id", "time_us", "app", "environment", "session_id", "query", "answer", "latency_s", "tool_calls", "error",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an import is; reported after each batch is durable."""

    file: str
    rows: int
    """Rows read so far, over all files."""
    acknowledged: int
    """Rows that will survive a crash from now on."""
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What an import did."""

    files: tuple[str, ...]
    rows: int
    acknowledged: int
    """Rows taken in; those that were there before (the same id) are in the table once."""
    bad: int
    bad_rows: tuple[BadRow, ...]
    """The first 1,000 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpCursor:
    """How far interactions have been looked through for follow-ups, as a seq of their table."""

    id: str = "follow-ups"
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What one call of `assemble_traces` did."""

    written: int = 0
    """Interactions that are new."""
    updated: int = 0
    """Interactions of which more came to light: a late span or message."""
    waiting: int = 0
    """Traces that have not settled yet."""
    behind: int = 0
    """Traces that have settled and are left to the next call, so that one call does not take too long."""
    foreign: int = 0
    """Traces of something else than an AI system; they are kept in the table of spans."""
    sampled_out: int = 0
    """Traces that are not in the sample; they are kept in the table of spans."""


def record(warehouse: Warehouse, interactions: Sequence[Interaction]) -> int:
    """Take interactions in as they are; durable on return, visible after the next commit. Returns their number.

    Raises:
        InputError: a value does not fit its column; nothing was taken.
        StoreError: the disk refused; sending again is safe.
    """
    return warehouse.append("interactions", to_rows(interactions)) if interactions else 0


def record_feedback(warehouse: Warehouse, feedback: Sequence[Feedback]) -> int:
    """Take feedback in as it is; durable on return, visible after the next commit. Returns its number.

    Raises:
        InputError: a value does not fit its column; nothing was taken.
        StoreError: the disk refused; sending again is safe.
    """
    return warehouse.append("feedback", feedback_to_rows(feedback)) if feedback else 0


class Intake:
    """The door for what comes from outside: redacts, samples and counts before anything is written.

    Every method returns after its rows are on disk, and may be called from any thread. `flush` writes the counts.
    """

    def __init__(
        self, warehouse: Warehouse, *, redaction: Redaction | None = None, sampling: Sampling | None = None
    ) -> None:
        self._warehouse, self._redaction, self._sampling = warehouse, redaction, sampling
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def traces(self, body: bytes, form: Form) -> tuple[int, list[str]]:
        """Take the spans of a trace request in; returns their number, and why others were refused.

        Raises:
            InputError: the body is no trace request.
            StoreError: the disk refused; sending again is safe.
        """
        rows, refused = traces_of(body, form)
        return self._append("spans", rows), refused

    def logs(self, body: bytes, form: Form, now_us: int) -> tuple[int, list[str]]:
        """Take a log request in: what was said in model calls, and evaluations; other records are counted.

        Raises:
            InputError: the body is no log request.
            StoreError: the disk refused; sending again is safe.
        """
        found = logs_of(body, form, now_us=now_us)
        evaluations = {r.id: e for r in found.rows if (e := evaluation_of(r)) is not None}
        self.feedback(list(evaluations.values()))
        self._append("logs", logs_to_rows([r for r in found.rows if r.id not in evaluations]))
        self._count({("not kept", "log records of something else"): found.others})
        return len(found.rows) + found.others, list(found.refused)

    def metrics(self, body: bytes, form: Form) -> int:
        """Count the data points of a metrics request; they are not kept.

        Raises:
            InputError: the body is no metrics request.
        """
        points = points_of(body, form)
        self._count({("not kept", "metric points"): points})
        return points

    def interactions(self, interactions: Sequence[Interaction], *, whole: bool = False) -> int:
        """Take interactions in; returns how many were given. Of what is `whole` nothing is sampled out: probes are few.

        Raises:
            InputError: a value does not fit its column; nothing was taken.
            StoreError: the disk refused; sending again is safe.
        """
        kept = list(interactions) if whole else self.sampled(interactions)
        if kept:
            self._append("interactions", to_rows(kept))
        return len(interactions)

    def feedback(self, feedback: Sequence[Feedback]) -> int:
        """Take feedback in; returns its number.

        Raises:
            InputError: a value does not fit its column; nothing was taken.
            StoreError: the disk refused; sending again is safe.
        """
        return self._append("feedback", feedback_to_rows(feedback)) if feedback else 0

    def records(self, records: Sequence[Interaction | Feedback | SpanRow | LogRow]) -> int:
        """Take in what a file holds; returns the number of records.

        Raises:
            InputError: a value does not fit its column.
            StoreError: the disk refused; sending again is safe.
        """
        self.interactions([r for r in records if isinstance(r, Interaction)])
        self.feedback([r for r in records if isinstance(r, Feedback)])
        self._append("spans", spans_to_rows([r for r in records if isinstance(r, SpanRow)]))
        self._append("logs", logs_to_rows([r for r in records if isinstance(r, LogRow)]))
        return len(records)

    def sampled(self, interactions: Sequence[Interaction]) -> list[Interaction]:
        """Those that are in the sample, with their weights."""
        if self._sampling is None:
            return list(interactions)
        kept, left_out = sample(interactions, self._sampling)
        self._count({("sampled out", "interactions"): left_out})
        return kept

    def flush(self, now_us: int) -> None:
        """Write what was counted since the last call, so that `intake_report` can tell it."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        rows = [
            {"id": f"{now_us}/{what}/{subject}", "time_us": now_us, "what": what, "subject": subject, "count": n}
            for (what, subject), n in sorted(counts.items())
        ]
        if rows:
            self._warehouse.append("intake", pa.Table.from_pylist(rows, schema=SCHEMAS["intake"]))

    def _append(self, table: str, rows: pa.Table) -> int:
        if not rows.num_rows:
            return 0
        if self._warehouse.uncommitted_bytes() > MOST_WAITING:
            raise StoreError(
                "more came in than could be moved from the journal into the tables; see /readyz", retryable=True
            )
        if self._redaction is not None:
            rows, found = redact(rows, self._redaction)
            self._count({("redacted", f"{rule} in {table}.{column}"): n for (column, rule), n in found.items()})
        return self._warehouse.append(table, rows)

    def _count(self, counts: Mapping[tuple[str, str], int]) -> None:
        with self._lock:
            self._counts.update({key: n for key, n in counts.items() if n})


def intake_report(warehouse: Warehouse, span: Span | None = None) -> list[tuple[str, str, int]]:
    """What was done to rows on their way in, as (what, to which, how many), the most frequent first."""
    plan = Rollup(table="intake", metrics=("count",), keys=("what", "subject"), span=span)
    rows = warehouse.run(plan).to_pylist()
    return sorted(((r["what"], r["subject"], int(r["count.sum"])) for r in rows), key=lambda r: (r[0], -r[2], r[1]))


def open_intake(warehouse: Warehouse, settings: Settings) -> Intake:
    """The door as the settings want it.

    Raises:
        ConfigError: a rule, a rate or a file of rules cannot be used.
        StoreError: the key of the marks cannot be kept.
    """
    return Intake(warehouse, redaction=open_redaction(settings), sampling=_sampling(settings))


def open_redaction(settings: Settings) -> Redaction:
    """The redaction as the settings want it; its key is made once and kept in the home folder.

    Raises:
        ConfigError: a rule or the file of rules cannot be used.
        StoreError: the key cannot be kept.
    """
    own = None
    if settings.redact_rules:
        try:
            own = own_rules(Path(settings.redact_rules).read_bytes())
        except OSError as error:
            raise ConfigError(f"ANDON_REDACT_RULES={settings.redact_rules} cannot be read: {error.strerror}") from error
    key = settings.redact_key.encode() or kept_secret(settings.home / "redaction.key")
    return redaction(settings.redact, key, own)


def _sampling(settings: Settings) -> Sampling | None:
    keep = tuple(k.strip() for k in settings.sample_all.split(",") if k.strip())
    return Sampling(rate=settings.sample, keep=keep) if settings.sample < 1 else None


def import_files(
    warehouse: Warehouse,
    paths: Iterable[Path | str],
    *,
    table: Literal["interactions", "feedback"] | None = None,
    report: Callable[[Progress], None] | None = None,
    intake: Intake | None = None,
) -> ImportResult:
    """Import files of traffic, and commit; what their rows are, the files and the rows say, unless `table` does.

    A crash at any moment loses no row that `report` has counted as acknowledged, and importing again adds no row twice.

    Raises:
        InputError: a file cannot be opened or read; checked for all files before the first row is taken.
        StoreError: the disk refused; importing again is safe.
    """
    intake = intake or Intake(warehouse)
    checked = [check_file(path) for path in paths]
    rows = acknowledged = bad = uncommitted = 0
    kept: list[BadRow] = []
    for path in checked:
        for batch in _batches(read_traffic(path, table), _BATCH):
            wrong = [row for row in batch if isinstance(row, BadRow)]
            taken = intake.records([row for row in batch if not isinstance(row, BadRow)])
            rows, bad = rows + len(batch), bad + len(wrong)
            acknowledged, uncommitted = acknowledged + taken, uncommitted + taken
            kept.extend(replace(row, file=str(path)) for row in wrong[: _KEPT_BAD_ROWS - len(kept)])
            if uncommitted >= _COMMIT_ROWS:
                warehouse.commit()
                uncommitted = 0
            if report is not None:
                report(Progress(file=str(path), rows=rows, acknowledged=acknowledged, bad=bad))
    warehouse.commit()
    return ImportResult(
        files=tuple(map(str, checked)), rows=rows, acknowledged=acknowledged, bad=bad, bad_rows=tuple(kept)
    )


def assemble_traces(
    warehouse: Warehouse, ledger: Ledger, *, now_us: int, settle_us: int, intake: Intake | None = None
) -> Assembled:
    """Write the interactions of the traces that have settled, and what their spans say as feedback (`settle`).

    Commits before reading and after writing. A span or log record that comes after its trace was written leads to the same
    interaction, written anew. A crash at any point is repaired by the next call: interactions have the id of their trace.

    Raises:
        StoreError: the disk or the ledger refused; calling again is safe.
    """
    warehouse.commit()
    cursor = ledger.get(TraceCursor, "traffic") or TraceCursor()
    spans, upto_spans = _heads(warehouse, "spans", SPAN_HEAD, cursor.seq, cursor.held)
    logs, upto_logs = _heads(warehouse, "logs", LOG_HEAD, cursor.logs_seq, cursor.held)
    if not len(spans) and not len(logs):
        return Assembled()
    upto = max(upto_spans, cursor.read_seq), max(upto_logs, cursor.logs_read_seq)
    found = settle(spans, logs, cursor, upto, now_us=now_us, settle_us=settle_us, most=_SPANS_AT_ONCE)
    given = foreign = sampled_out = 0
    for chunk in _chunks(found.ready, _TRACES_AT_ONCE):
        interactions, feedback = _assembled(warehouse, chunk)
        kept = interactions if intake is None else intake.sampled(interactions)
        foreign += len(chunk) - len(interactions)
        sampled_out += len(interactions) - len(kept)
        given += record(warehouse, kept)
        record_feedback(warehouse, feedback)
    done = warehouse.commit()
    ledger.put(found.following, now_us=now_us, by="traffic")
    return Assembled(
        written=done.added.get("interactions", 0) if given else 0,
        updated=done.replaced.get("interactions", 0),
        waiting=found.waiting,
        behind=found.behind,
        foreign=foreign,
        sampled_out=sampled_out,
    )


def _heads(
    warehouse: Warehouse, table: str, columns: tuple[str, ...], after_seq: int, held: tuple[tuple[str, int], ...]
) -> tuple[pa.Table, int]:
    """Heads of the rows above a seq, as far as one call looks, and of the held traces; and the seq looked up to."""
    last = _last_seq(warehouse, table, after_seq, _HEADS_AT_ONCE)
    upto = Where(column="seq", op="lt", value=last + 1)
    after = Where(column="seq", op="ge", value=after_seq + 1)
    parts = [warehouse.run(Slice(table=table, columns=columns, where=(after, upto)))]
    for chunk in _chunks(held, _TRACES_AT_ONCE):
        since = Span(start_us=min(first for _, first in chunk), end_us=2**62)
        mine = Where(column="trace_id", op="in", value=tuple(trace for trace, _ in chunk))
        before = Where(column="seq", op="lt", value=after_seq + 1)
        parts.append(warehouse.run(Slice(table=table, columns=columns, span=since, where=(mine, before))))
    return pa.concat_tables(parts).combine_chunks(), last


def _assembled(warehouse: Warehouse, chunk: Sequence[tuple[str, int, int]]) -> tuple[list[Interaction], list[Feedback]]:
    """What the spans and log records of some traces say."""
    span = Span(  # a day more on both sides: parts of a trace may have been read by an earlier call
        start_us=min(first for _, first, _ in chunk) - _DAY_US, end_us=max(last for _, _, last in chunk) + _DAY_US
    )
    mine = (Where(column="trace_id", op="in", value=tuple(trace for trace, _, _ in chunk)),)
    names = {"spans": tuple(f.name for f in fields(SpanRow)), "logs": tuple(f.name for f in fields(LogRow))}
    rows = {t: warehouse.run(Slice(table=t, columns=c, span=span, where=mine)) for t, c in names.items()}
    spans = join_logs(spans_from_rows(rows["spans"]), logs_from_rows(rows["logs"]))
    return assemble(spans), annotations_of(spans)


def find_follow_ups_in(
    warehouse: Warehouse, ledger: Ledger, *, now_us: int, similar: Callable[[str, str], float] | None = None
) -> int:
    """Look through the sessions that have gone on since the last call for questions that say that an answer failed.

    What is found is feedback of kind ``follow_up``; returns how many. Calling again adds nothing.
    """
    cursor = ledger.get(FollowUpCursor, "follow-ups") or FollowUpCursor()
    seq, found = cursor.seq, 0
    while True:
        rows, reached = _read_commits(warehouse, "interactions", seq, _BATCH, _SESSION_COLUMNS)
        if reached == seq:
            break
        rows = rows.filter(pc.is_valid(rows["session_id"]))
        sessions = rows["session_id"].unique().to_pylist()
        for chunk in _chunks(sessions, _TRACES_AT_ONCE):
            times = pc.min_max(rows["time_us"]).as_py()
            span = Span(start_us=times["min"] - _HOUR_US, end_us=times["max"] + _HOUR_US)
            mine = (Where(column="session_id", op="in", value=tuple(chunk)),)
            plan = Slice(table="interactions", columns=_SESSION_COLUMNS, span=span, where=mine)
            found += record_feedback(warehouse, find_follow_ups(from_rows(warehouse.run(plan)), similar=similar))
        seq = reached
    if seq != cursor.seq:
        ledger.put(FollowUpCursor(seq=seq), now_us=now_us, by="traffic")
    return found


def traffic_of(warehouse: Warehouse, names: Sequence[str]) -> Traces:
    """What the users of these names left behind: interactions of theirs, and traces in which they are named as the user."""
    warehouse.commit()
    columns = tuple(SCHEMAS["interactions"].names)
    mine = (Where(column="user_id", op="in", value=tuple(names)),)
    interactions = from_rows(warehouse.run(Slice(table="interactions", columns=columns, where=mine)))
    ids = {i for found in interactions for i in (found.id, found.trace_id) if i}
    for name in names:  # traces that gave no interaction yet, or none in the sample
        heard = (Where(column="attributes", op="contains", value=orjson.dumps(name).decode()[1:-1]),)
        rows = warehouse.run(Slice(table="spans", columns=("trace_id", "time_us", "end_us"), where=heard)).to_pylist()
        parts = sorted({r["trace_id"]: (r["trace_id"], r["time_us"], r["end_us"]) for r in rows}.values())
        for chunk in _chunks([part for part in parts if part[0] not in ids], _TRACES_AT_ONCE):
            theirs = [i for i in _assembled(warehouse, chunk)[0] if i.user_id in names]
            interactions += theirs
            ids |= {i.id for i in theirs}
    sessions = frozenset(i.session_id for i in interactions if i.session_id)
    said = _said(warehouse, "interaction_id", ids | sessions) | _said(warehouse, "author", names)
    texts = {t for i in interactions for t in texts_of(i)}
    asked = frozenset((i.app, i.query, i.answer) for i in interactions if i.query)
    return Traces(ids=frozenset(ids), sessions=sessions, texts=frozenset(texts | said), asked=asked)


def _said(warehouse: Warehouse, column: str, values: Iterable[str]) -> set[str]:
    """The texts of feedback with one of these values: comments, corrections, labels."""
    mine = (Where(column=column, op="in", value=tuple(sorted(values))), Where(column="text", op="not_null"))
    return {t for t in warehouse.run(Slice(table="feedback", columns=("text",), where=mine))["text"].to_pylist() if t}


def erase_traffic(warehouse: Warehouse, names: Sequence[str], found: Traces) -> dict[str, int]:
    """Remove the rows of these users from every table that has any, from the disk too; rows removed by table."""
    wanted = {"user_id": names, "author": names, "interaction_id": sorted(found.ids), "trace_id": sorted(found.ids)}
    removed: Counter[str] = Counter()
    for table in warehouse.tables():
        columns = [c for c in wanted if c in warehouse.schema(table).names and wanted[c]]
        columns += ["id"] if table == "interactions" and found.ids else []
        for column in columns:
            removed[table] += warehouse.erase(table, column, wanted.get(column, sorted(found.ids)))
    return {table: n for table, n in removed.items() if n}


def read_new(warehouse: Warehouse, after_seq: int, limit: int) -> tuple[list[Interaction], int]:
    """Committed interactions with a seq above `after_seq`, ordered by (seq, time, id), and the highest seq read.

    About `limit` rows: whole commits are read, at least one, so that the returned seq can be the next `after_seq`. With
    nothing new the list is empty and the seq is `after_seq`.
    """
    rows, seq = _read_commits(warehouse, "interactions", after_seq, limit)
    return from_rows(rows), seq


def read_new_feedback(warehouse: Warehouse, after_seq: int, limit: int) -> tuple[list[Feedback], int]:
    """As `read_new`, for feedback."""
    rows, seq = _read_commits(warehouse, "feedback", after_seq, limit)
    return feedback_from_rows(rows), seq


def read_interactions_by_id(warehouse: Warehouse, ids: Iterable[str], span: Span | None = None) -> list[Interaction]:
    """The committed interactions with these ids, ordered by time and id; give a `span` where it is known."""
    columns = tuple(SCHEMAS["interactions"].names)
    wanted = tuple(dict.fromkeys(ids))
    if not wanted:
        return []
    return from_rows(warehouse.run(Lookup(table="interactions", ids=wanted, columns=columns, span=span)))


def feedback_on(warehouse: Warehouse, interaction_id: str) -> list[Feedback]:
    """What was said about one interaction, in order of time."""
    mine = (Where(column="interaction_id", op="eq", value=interaction_id),)
    return feedback_from_rows(
        warehouse.run(Slice(table="feedback", columns=tuple(SCHEMAS["feedback"].names), where=mine))
    )


def _batches(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _read_commits(
    warehouse: Warehouse, table: str, after_seq: int, limit: int, names: tuple[str, ...] = ()
) -> tuple[pa.Table, int]:
    last = _last_seq(warehouse, table, after_seq, limit)
    after = Where(column="seq", op="ge", value=after_seq + 1)
    columns = (*(names or SCHEMAS[table].names), "seq")
    upto = Where(column="seq", op="lt", value=last + 1)
    found = warehouse.run(Slice(table=table, columns=columns, where=(after, upto)))
    return found.sort_by([("seq", "ascending"), ("time_us", "ascending"), ("id", "ascending")]), last


def _last_seq(warehouse: Warehouse, table: str, after_seq: int, limit: int) -> int:
    """The seq of the last commit to read after this one, so that about `limit` rows are read, of at least one commit."""
    after = Where(column="seq", op="ge", value=after_seq + 1)
    sizes = warehouse.run(Rollup(table=table, keys=("seq",), where=(after,)))
    last, total = after_seq, 0
    for seq, rows in sorted(zip(sizes["seq"].to_pylist(), sizes["rows"].to_pylist(), strict=True)):
        if total and total + rows > limit:
            break
        last, total = seq, total + rows
    return last


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))
