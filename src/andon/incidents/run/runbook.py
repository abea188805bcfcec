"""Work through the runbook of an incident: what the data can answer is answered, people tick the rest."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from andon.changes import Change
from andon.changes.run import changes_of
from andon.errors import AndonError, ConfigError, InputError, StateError
from andon.incidents.answers import (
    KINDS_OF,
    Answer,
    QueryType,
    acked_answer,
    after_answer,
    changes_answer,
    criteria_answer,
    evidence_answer,
    fields_of,
    goes_on_answer,
    held_answer,
    mitigated_us,
    queries_answer,
    recent_text,
    sample_answer,
    shift_answer,
)
from andon.incidents.records import FailureType, Incident, Recovery, Runbook, RunbookEntry, RunbookItem, RunbookState
from andon.incidents.run.states import goes_on, noticed, recent
from andon.incidents.run.timeline import ATTEMPTS, of_app, timeline_of
from andon.incidents.runbooks import DUTIES, LASTING, OF_TRAFFIC, entry_of, item_of, parse_runbook, with_entry
from andon.incidents.timeline import CHANGES_BACK_US
from andon.monitors import Signal
from andon.monitors.records import TRAFFIC
from andon.monitors.run import chart_of, harm_of, scope_of, traffic_window
from andon.monitors.shift import compare_traffic
from andon.scores import Embedder
from andon.scores.rows import PROBE, TOPIC
from andon.scores.topics import Topics
from andon.store import Ledger, Rollup, Slice, Span, Warehouse, Where
from andon.traffic import format_time
from andon.traffic.clock import minute_text

__all__ = ["brought_up_to_date", "query_log", "read_runbook", "runbook_for", "runbook_of", "tick_item"]

HOUR_US = 3_600_000_000

SHIFT_US = 48 * HOUR_US
"""The traffic before the alarm that is compared."""

WEEK_US = 7 * 24 * HOUR_US

OLD_US = HOUR_US
"""An answer that is older is asked again."""

QUESTIONS = 500
"""Questions of each side that are compared by meaning: a tenth of a second to some seconds, by the embedder."""

TYPES = ("task", TOPIC, "segment")
"""Fields that say what type a query is of, the best first."""

AT_ONCE = 20_000
"""Rows of the query log that are read at once."""

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula."""


_LOG = ("id", "time", "task", "topic", "segment", "risk_category", "query", "answer", "error", "harmed")
"""Columns of the query log."""


def runbook_for(config: str, failure: FailureType | None) -> Runbook:
    """The runbook of a team for a failure type; else the team's general one; else the built-in one.

    They stand beside the file of settings: ``runbooks/retrieval-regression.toml``, ``runbook.toml``.

    Args:
        config: path of the file of settings (`Settings.config`); it need not exist.
        failure: the failure type, where one is known.

    Raises:
        ConfigError: a file cannot be read or understood; names it.
    """
    folder = Path(config).parent
    special = () if failure is None else (folder / "runbooks" / f"{failure.replace(' ', '-')}.toml",)
    for path in (*special, folder / "runbook.toml"):
        if path.exists():
            return read_runbook(path)
    text = resources.files("andon.incidents").joinpath("templates/runbook.toml").read_text(encoding="utf-8")
    return parse_runbook(text, source="built in")


def read_runbook(path: Path) -> Runbook:
    """The runbook of a file.

    Raises:
        ConfigError: it cannot be read or understood.
    """
    try:
        return parse_runbook(path.read_text(encoding="utf-8"), source=str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; give the path of a runbook") from error


def runbook_of(ledger: Ledger, incident: Incident, *, config: str, now_us: int) -> RunbookState:
    """What was done of the runbook of an incident; at the first call the runbook is frozen as it is now."""
    known = ledger.get(RunbookState, incident.id)
    if known is not None:
        return known
    state = RunbookState(id=incident.id, runbook=runbook_for(config, incident.failure))
    try:
        ledger.put(state, now_us=now_us, by="andon", expect=0)
    except StateError:  # another process froze it a moment ago
        return ledger.get(RunbookState, incident.id) or state
    return state


def tick_item(
    ledger: Ledger, incident: Incident, item: str, *, note: str = "", config: str, now_us: int, by: str
) -> RunbookState:
    """Record that a person did, or found out, what an item asks for.

    Raises:
        InputError: the runbook has no such item.
    """
    asked = item_of(runbook_of(ledger, incident, config=config, now_us=now_us).runbook, item)
    done = RunbookEntry(item=asked.id, text=" ".join(note.split()), found="done", by=by, at_us=now_us)
    noticed(ledger, incident, now_us=now_us, by=by)
    return _put(ledger, incident, [done], now_us=now_us, by=by)


def brought_up_to_date(
    warehouse: Warehouse,
    ledger: Ledger,
    embedder: Embedder,
    incident: Incident,
    *,
    frozen_us: Sequence[int] = (),
    config: str,
    now_us: int,
    seen_us: int,
    rng: np.random.Generator,
    anew: bool = False,
) -> RunbookState:
    """The runbook with answers that hold: what data can answer and nobody has ticked is asked where the answer may have changed.

    That is: at first; when the answer is `OLD_US` old; when a lever moved or a state was reached since; and what has to be done
    (`DUTIES`) each time, as nobody should have to tick what the ledger knows. What lies before the alarm (`LASTING`) is asked
    once. An answer takes the place of the one before it, which stays in the ledger as an earlier version of the record. One that
    cannot be read is "cannot tell" with the reason, so that it keeps no other from being asked. Of a closed incident only the
    duties that were asked before are followed.

    Args:
        warehouse: the tables.
        ledger: changes, signals, and the state of the runbook.
        embedder: makes vectors of questions, for the shift of the traffic.
        incident: the incident.
        frozen_us: until when each version of the evidence knew, the first one first.
        config: path of the file of settings (`Settings.config`), beside which a team's runbooks stand.
        now_us: the clock, as of which the ledger answers.
        seen_us: until when traffic is known, as of which traffic answers (`OF_TRAFFIC`); not after `now_us`.
        rng: the seeded generator of the permutation test of questions.
        anew: ask all of it, whatever is known.

    Raises:
        ConfigError: the runbook cannot be read.
        StoreError: the ledger refused.
    """
    state = runbook_of(ledger, incident, config=config, now_us=now_us)
    incident = ledger.get(Incident, incident.id) or incident
    closed = incident.state == "closed" and not anew
    reading = _Reading(warehouse, ledger, embedder, incident, frozen_us, now_us, seen_us, rng)
    acted_us = _acted_us(ledger, incident, reading.changes)
    entries = []
    for item in state.runbook.items:
        known = entry_of(state, item.id)
        at_us = seen_us if item.answer in OF_TRAFFIC else now_us
        if not item.answer or (known is None and closed):
            continue
        if known is not None and (known.by != "andon" or known.at_us > at_us):  # what is known later holds
            continue
        lasting = closed or item.answer in LASTING
        old = anew or known is None or (not lasting and known.at_us <= max(at_us - OLD_US, acted_us))
        if old or item.answer in DUTIES:
            new = _entry(item, reading.found(item), incident, at_us)
            if old or known is None or (known.found, known.text) != (new.found, new.text):
                entries.append(new)
    return _put(ledger, incident, entries, now_us=now_us, by="andon") if entries else state


def _acted_us(ledger: Ledger, incident: Incident, changes: Sequence[Change]) -> int:
    """When a lever last moved, or a state of the incident was last said to be reached."""
    levers = [c.at_us for c in changes if c.origin == "lever"]
    said = [e.learned_us for e in timeline_of(ledger, incident, hidden=True) if e.kind == "state"]
    return max([0, *levers, *said])


def _entry(item: RunbookItem, answer: Answer, incident: Incident, now_us: int) -> RunbookEntry:
    links = {
        "query-log": f"andon runbook queries {incident.id} --out queries.csv",
        "goes-on": f"/incidents/{incident.id}#chart",
        "fresh-sample": f"/incidents/{incident.id}#chart",
        "held": "andon lever list",
        "acked": f"andon incident ack {incident.id}",
        "evidence": f"andon evidence verify {incident.id}",
        "criteria": f"andon incident recovery {incident.id}",
    }
    link = answer.link or links.get(item.answer, f"andon incident timeline {incident.id}")
    return RunbookEntry(item=item.id, text=answer.text, found=answer.found, link=link, at_us=now_us)


def _put(ledger: Ledger, incident: Incident, entries: Sequence[RunbookEntry], *, now_us: int, by: str) -> RunbookState:
    """Write entries over the latest state; an answer never takes the place of what a person ticked meanwhile."""
    for attempt in range(ATTEMPTS):
        latest = ledger.latest(RunbookState, incident.id)
        assert latest is not None
        state = latest.record
        for entry in entries:
            known = entry_of(state, entry.item)
            if entry.by != "andon" or known is None or known.by == "andon":
                state = with_entry(state, entry)
        try:
            ledger.put(state, now_us=now_us, by=by, expect=latest.version)
        except StateError:  # somebody ticked an item at the same moment
            if attempt == ATTEMPTS - 1:
                raise
            continue
        return state
    raise AssertionError("the loop returns or raises")


class _Reading:
    """What the answers of one incident read; `found` gives one by its item."""

    def __init__(
        self,
        warehouse: Warehouse,
        ledger: Ledger,
        embedder: Embedder,
        incident: Incident,
        frozen_us: Sequence[int],
        now_us: int,
        seen_us: int,
        rng: np.random.Generator,
    ) -> None:
        self.warehouse, self.ledger, self.embedder = warehouse, ledger, embedder
        self.incident, self.frozen_us, self.now_us, self.seen_us, self.rng = incident, frozen_us, now_us, seen_us, rng
        self.lead = ledger.get(Signal, incident.lead)
        self.recent = None if self.lead is None else recent(self.lead, seen_us)
        self.where = of_app(incident)
        self.changes = changes_of(ledger, incident.app, incident.environment, 0, now_us + 1)

    def found(self, item: RunbookItem) -> Answer:
        """The answer to an item; from the phase `mitigate` on, whether harm goes on is asked of the time after."""
        try:
            told = self._answer(item.answer)
        except AndonError as error:
            return Answer(found="cannot tell", text=str(error))
        if item.answer != "goes-on" or item.phase in ("triage", "scope") or self.recent is None:
            return told
        return after_answer(told, mitigated_us(self.incident, self.changes), self.recent.start_us, self.recent.end_us)

    def _answer(self, name: str) -> Answer:
        if name in KINDS_OF:
            return self._changes(name)
        answers: dict[str, Callable[[], Answer]] = {
            "goes-on": self._goes_on,
            "fresh-sample": self._sample,
            "traffic-shift": self._shift,
            "held": lambda: held_answer(self.changes),
            "query-log": self._queries,
            "acked": lambda: acked_answer(self.incident),
            "evidence": lambda: evidence_answer(self.frozen_us, self.changes, self.incident.onset_low_us),
            "criteria": lambda: criteria_answer(self.ledger.get(Recovery, self.incident.id)),
        }
        if name not in answers:
            raise InputError(f"this version has no answer {name!r}; tick the item by hand")  # frozen by another version
        return answers[name]()

    def _goes_on(self) -> Answer:
        if self.lead is None or self.recent is None:
            return goes_on_answer(None, None, "")
        seen = goes_on(self.warehouse, self.ledger, self.incident, now_us=self.seen_us)
        return goes_on_answer(seen, self.lead, recent_text(self.recent.start_us, self.recent.end_us))

    def _changes(self, name: str) -> Answer:
        i = self.incident
        span = Span(start_us=i.onset_low_us - CHANGES_BACK_US, end_us=i.alarmed_us + 1)
        carried = {kind for field, kind in fields_of(name).items() if self._comes(field, span)}
        return changes_answer(
            name,
            [c for c in self.changes if span.start_us <= c.at_us < span.end_us],
            onset_us=i.onset_us,
            carried=sorted(carried),
            recorded=any(c.kind in KINDS_OF[name] and c.origin == "recorded" for c in self.changes),
            span="from 7 days before the onset until the alarm",
        )

    def _comes(self, field: str, span: Span) -> bool:
        said = Where(column=field, op="not_null")
        plan = Slice(table="interactions", columns=("id",), span=span, where=(*self.where, said), limit=1)
        return len(self.warehouse.run(plan)) > 0

    def _sample(self) -> Answer:
        if self.lead is None or self.recent is None:
            return sample_answer(None, 0, 0, "")
        start, end = self.recent.start_us, self.recent.end_us
        points = (end - start) // self.lead.window_us
        seen = chart_of(self.warehouse, self.lead, start_us=start, end_us=end, points=points)
        return sample_answer(self.lead, sum(p.x for p in seen), sum(p.n for p in seen), recent_text(start, end))

    def _shift(self) -> Answer:
        after = Span(start_us=self.incident.alarmed_us - SHIFT_US, end_us=self.incident.alarmed_us)
        before, words = _earlier(after, WEEK_US), "against the same hours of the week before"
        if not self._comes("app", before):
            before, words = _earlier(after, SHIFT_US), "against the 48 hours before them"
        old, new = (
            traffic_window(self.warehouse, self.embedder, span, self.where, questions=QUESTIONS)
            for span in (before, after)
        )
        found = compare_traffic(old, new, self.rng, embedder=self.embedder.name)
        told = shift_answer(found, f"in the 48 hours before the alarm, {words}")
        since, until, *against = (
            format_time(t) for t in (after.start_us, after.end_us, before.start_us, before.end_us)
        )
        link = f"andon traffic-shift --since {since} --until {until} --against {'..'.join(against)}"
        return replace(told, link=link)

    def _queries(self) -> Answer:
        span = Span(start_us=self.incident.onset_low_us, end_us=self.seen_us + 1)
        people = (*_scope(self.incident, self.lead), Where(column="error", op="not_null"))
        kind = next((t for t in TYPES if self._typed(t, span, people)), "")
        every = self._counts(kind, span, people)
        harmed = None
        if self.lead is not None and self.lead.metric != TRAFFIC:
            harmed = self._counts(kind, span, (*people, harm_of(self.lead)))
        named = self._topics() if kind == TOPIC else {}
        types = [
            QueryType(name=named.get(v or "", v), n=n, harmed=None if harmed is None else harmed.get(v, 0))
            for v, n in every.items()
        ]
        return queries_answer(kind, types, f"since {minute_text(span.start_us)} UTC")

    def _typed(self, field: str, span: Span, where: tuple[Where, ...]) -> bool:
        said = Where(column=field, op="not_null")
        plan = Slice(table="scores", columns=("id",), span=span, where=(*where, said), limit=1)
        return len(self.warehouse.run(plan)) > 0

    def _counts(self, kind: str, span: Span, where: tuple[Where, ...]) -> dict[str | None, int]:
        keys = (kind,) if kind else ()
        table = self.warehouse.run(Rollup(table="scores", keys=keys, span=span, where=where))
        values = table[kind].to_pylist() if kind else [None]
        return dict(zip(values, table["rows"].to_pylist(), strict=True))

    def _topics(self) -> dict[str, str]:
        found = self.ledger.get(Topics, f"{self.incident.app}/{self.incident.environment}")
        return {} if found is None else {t.key: t.name for t in found.topics}


def _scope(incident: Incident, lead: Signal | None) -> tuple[Where, ...]:
    """The part of the traffic of the leading signal; all of the application's where there is none."""
    if lead is not None:
        return scope_of(lead)
    return (*of_app(incident), Where(column="source", op="ne", value=PROBE))


def _earlier(span: Span, by_us: int) -> Span:
    return Span(start_us=span.start_us - by_us, end_us=span.end_us - by_us)


def query_log(warehouse: Warehouse, ledger: Ledger, incident: Incident, *, now_us: int) -> Iterator[str]:
    """The full query log of the window from the onset until now, as the lines of a CSV file, ordered by time.

    ``harmed`` is 1 where the leading chart calls an answer harm, 0 where not, empty where it did not measure it. A cell that a
    spreadsheet would run as a formula gets an apostrophe in front (OWASP, "CSV Injection"). It is read in stretches, so that a
    log of any length takes little memory.
    """
    lead = ledger.get(Signal, incident.lead)
    where = _scope(incident, lead)
    yield _line(_LOG)
    for span in _stretches(warehouse, where, Span(start_us=incident.onset_low_us, end_us=now_us + 1)):
        known = _harm_by_id(warehouse, lead, where, span)
        columns = ("id", "time_us", *(c for c in _LOG if c not in ("time", "topic", "harmed", "id")))
        plan = Slice(table="interactions", columns=columns, span=span, where=of_app(incident))
        for row in warehouse.run(plan).to_pylist():
            if row["id"] in known:
                more = {"time": format_time(row["time_us"]), **known[row["id"]]}
                yield _line([{**row, **more}.get(c) for c in _LOG])


def _stretches(warehouse: Warehouse, where: tuple[Where, ...], span: Span) -> Iterator[Span]:
    """The span in parts of whole hours that hold about `AT_ONCE` rows each."""
    table = warehouse.run(Rollup(table="scores", window_us=HOUR_US, span=span, where=where))
    start, held = span.start_us, 0
    for window, rows in zip(table["window_us"].to_pylist(), table["rows"].to_pylist(), strict=True):
        if held and held + rows > AT_ONCE:
            yield Span(start_us=start, end_us=window)
            start, held = window, 0
        held += rows
    if held:
        yield Span(start_us=start, end_us=span.end_us)


def _harm_by_id(
    warehouse: Warehouse, lead: Signal | None, where: tuple[Where, ...], span: Span
) -> Mapping[str, dict[str, Any]]:
    """Topic and harm of every interaction of the part of the traffic, by its id."""
    measured = lead is not None and lead.metric != TRAFFIC
    answered = Where(column="error", op="not_null")  # rows of feedback are no interactions
    plan = Slice(table="scores", columns=("interaction_id", TOPIC), span=span, where=(*where, answered))
    found = {r["interaction_id"]: {"topic": r[TOPIC], "harmed": None} for r in warehouse.run(plan).to_pylist()}
    if lead is None or not measured:
        return found
    told = (*where, answered, Where(column=lead.metric, op="not_null"))
    for conditions, harmed in ((told, 0), ((*told, harm_of(lead)), 1)):
        plan = Slice(table="scores", columns=("interaction_id",), span=span, where=conditions)
        for r in warehouse.run(plan).to_pylist():
            if r["interaction_id"] in found:  # else it came between the two plans
                found[r["interaction_id"]]["harmed"] = harmed
    return found


def _line(cells: Sequence[Any]) -> str:
    return ",".join(_cell(c) for c in cells) + "\r\n"


def _cell(value: Any) -> str:
    text = "" if value is None else "".join(c if c.isprintable() else " " for c in str(value))  # no terminal obeys it
    if text.lstrip().startswith(_FORMULA):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ",\"\r\n;\t'") else text
