"""The doors for what comes from outside, and what they did to it."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from andon.errors import ConfigError, StoreError
from andon.settings import Settings
from andon.store import Rollup, Span, Warehouse, kept_secret
from andon.traffic.conventions.annotations import evaluation_of
from andon.traffic.otlp import Form, logs_of, points_of, traces_of
from andon.traffic.records import Feedback, Interaction, LogRow, SpanRow
from andon.traffic.redaction import Redaction, own_rules, redact, redaction
from andon.traffic.rows import SCHEMAS, feedback_to_rows, logs_to_rows, spans_to_rows, to_rows
from andon.traffic.sampling import Sampling, sample

__all__ = ["MOST_WAITING", "Intake", "intake_report", "open_intake", "open_redaction", "record", "record_feedback"]

MOST_WAITING = 2**30

"""Bytes in the journal from which on nothing more is taken in, so that a sender that never stops fills no disk."""


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
    """The redaction as the settings want it; its key is made once and kept beside the tables.

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
    key = settings.redact_key.encode() or kept_secret(settings.place / "redaction.key")
    return redaction(settings.redact, key, own)


def _sampling(settings: Settings) -> Sampling | None:
    keep = tuple(k.strip() for k in settings.sample_all.split(",") if k.strip())
    return Sampling(rate=settings.sample, keep=keep) if settings.sample < 1 else None
