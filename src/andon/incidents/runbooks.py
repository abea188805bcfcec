"""Pure decisions about runbooks: read one from its text, what comes next, how late it is."""

import re
import tomllib
from dataclasses import dataclass, replace
from typing import Any

from andon.errors import ConfigError, InputError
from andon.incidents.records import Runbook, RunbookEntry, RunbookItem, RunbookState
from andon.incidents.words import duration
from andon.traffic import quoted

__all__ = [
    "ANSWERS",
    "DUTIES",
    "LASTING",
    "OF_TRAFFIC",
    "PHASES",
    "Phase",
    "clock_text",
    "entry_of",
    "item_of",
    "next_item",
    "parse_runbook",
    "with_entry",
]

_MINUTE_US, _HOUR_US = 60_000_000, 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase of a runbook: from when to when after the alarm, and what it is for."""

    name: str
    from_us: int
    until_us: int
    about: str


PHASES = (
    Phase(name="triage", from_us=0, until_us=15 * _MINUTE_US, about="is it real, is it going on, what moved?"),
    Phase(name="scope", from_us=15 * _MINUTE_US, until_us=_HOUR_US, about="who is harmed, by what, how much?"),
    Phase(name="mitigate", from_us=_HOUR_US, until_us=4 * _HOUR_US, about="stop the harm before the cause is known"),
    Phase(name="after", from_us=24 * _HOUR_US, until_us=72 * _HOUR_US, about="it can not fail like this again unseen"),
)
"""The four phases, by the time since the alarm; between the last two, people sleep."""

ANSWERS = {
    "goes-on": "whether harm is seen in the last hour, or in six windows where that is longer",
    "fresh-sample": "the rate of harm in the same time against the baseline",
    "model-changes": "changes of models and providers, from 7 days before the onset until the alarm",
    "retrieval-changes": "the same of index, corpus and embedding model",
    "prompt-changes": "the same of prompts and policies",
    "other-changes": "the same of everything else that is ours, apart from levers",
    "traffic-shift": "the traffic of the 48 hours before the alarm against those of the week before",
    "held": "levers that are held now",
    "query-log": "how many questions of each type came since the onset, and how many were harmed",
    "acked": "whether somebody said that they are at it",
    "evidence": "when evidence was frozen, and whether a lever had moved before",
    "criteria": "exit criteria, and how many are met",
}
"""What Andon can answer: the word for it in a runbook, and what it reads."""

DUTIES = ("acked", "evidence", "criteria")
"""Answers about what people or Andon have to do: as long as one is no, the item is not done."""

OF_TRAFFIC = ("goes-on", "fresh-sample", "traffic-shift", "query-log")
"""Answers that hold as of the last traffic that is known; the others hold as of now."""

LASTING = ("traffic-shift",)
"""Answers about the time before the alarm that take seconds: they are given once."""

MOST_ITEMS, MOST_CHARS = 200, 500
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_KEYS = ("id", "phase", "text", "answer")


def parse_runbook(text: str, *, source: str) -> Runbook:
    """A runbook from the text of its file: a ``name``, and ``[[item]]`` tables with ``id``, ``phase``, ``text`` and ``answer``.

    Args:
        text: TOML.
        source: how messages call the file.

    Raises:
        ConfigError: it cannot be understood; names file, item and key, and says what is allowed.
    """
    try:
        data = tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source} is not TOML that can be read: {error}") from error
    strange = sorted(data.keys() - {"name", "item"})
    if strange:
        raise ConfigError(f"{source}: {quoted(strange[0])} is not a key of a runbook; name and [[item]] are")
    name, rows = data.get("name"), data.get("item")
    if not isinstance(name, str) or not name.strip() or len(name) > MOST_CHARS:
        raise ConfigError(f'{source}: name = {quoted(name)} must be a text, e.g. name = "answers without sources"')
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST_ITEMS:
        raise ConfigError(f"{source}: item must be 1 to {MOST_ITEMS} tables, each written as [[item]]")
    items: dict[str, RunbookItem] = {}
    for number, row in enumerate(rows, 1):
        item = _item(row, f"{source}: item {number}")
        if item.id in items:
            raise ConfigError(f"{source}: item {number}: id = {quoted(item.id)} is that of an earlier item too")
        items[item.id] = item
    order = [p.name for p in PHASES]
    ordered = sorted(items.values(), key=lambda i: order.index(i.phase))  # stable: the file's order within a phase
    return Runbook(name=name.strip(), items=tuple(ordered), source=source)


def _item(row: Any, place: str) -> RunbookItem:
    if not isinstance(row, dict):
        raise ConfigError(f"{place} is {quoted(row)}; a table with {', '.join(_KEYS)} is allowed")
    if isinstance(row.get("id"), str):
        place = f"{place} ({quoted(row['id'])})"
    strange = sorted(row.keys() - set(_KEYS))
    if strange:
        raise ConfigError(f"{place}: {quoted(strange[0])} is not a key of an item; {', '.join(_KEYS)} are")
    name, phase, text, answer = (row.get(k) for k in _KEYS)
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise ConfigError(f"{place}: id = {quoted(name)} must be up to 40 of a-z, 0-9 and -, e.g. model-changes")
    if not isinstance(phase, str) or phase not in [p.name for p in PHASES]:
        raise ConfigError(f"{place}: phase = {quoted(phase)} is not a phase; {', '.join(p.name for p in PHASES)} are")
    if not isinstance(text, str) or not text.strip() or len(text) > MOST_CHARS:
        raise ConfigError(
            f"{place}: text = {quoted(text)} must be 1 to {MOST_CHARS} characters: what to find out or do"
        )
    if answer is not None and (not isinstance(answer, str) or answer not in ANSWERS):
        raise ConfigError(
            f"{place}: answer = {quoted(answer)} is nothing that Andon answers; {', '.join(ANSWERS)} are, and an item without "
            "answer is ticked by a person"
        )
    line = " ".join(text.split())
    return RunbookItem(id=name, phase=phase, text=line, answer=answer or "")  # type: ignore[arg-type]


def entry_of(state: RunbookState, item: str) -> RunbookEntry | None:
    """What was found or done of an item; None where nothing was yet."""
    return next((e for e in state.entries if e.item == item), None)


def item_of(runbook: Runbook, name: str) -> RunbookItem:
    """The item with this id.

    Raises:
        InputError: there is none; names those there are.
    """
    found = next((i for i in runbook.items if i.id == name), None)
    if found is None:
        known = ", ".join(i.id for i in runbook.items)
        raise InputError(f"the runbook {quoted(runbook.name)} has no item {quoted(name)}; it has {known}")
    return found


def with_entry(state: RunbookState, entry: RunbookEntry) -> RunbookState:
    """The state with this entry in place of an earlier one of the same item."""
    order = {item.id: k for k, item in enumerate(state.runbook.items)}
    entries = [e for e in state.entries if e.item != entry.item]
    return replace(state, entries=tuple(sorted([*entries, entry], key=lambda e: order.get(e.item, len(order)))))


def next_item(state: RunbookState) -> RunbookItem | None:
    """The first item that nobody has answered or ticked, or that is not done; one that could not be told is not answered.

    None when there is none.
    """
    duties = {i.id for i in state.runbook.items if i.answer in DUTIES}
    open_ = {e.item for e in state.entries if e.found == "cannot tell" or (e.found == "no" and e.item in duties)}
    done = {e.item for e in state.entries} - open_
    return next((i for i in state.runbook.items if i.id not in done), None)


def clock_text(phase: Phase, since_us: int) -> str:
    """Where the clock stands in a phase: ``T+0:07 of 15 min``; else from when to when it is, and for how long it is over."""
    ends = " to ".join(duration(t / 1e6) for t in (phase.from_us, phase.until_us) if t)
    if since_us < phase.from_us:
        return f"{ends}; begins in {duration((phase.from_us - since_us) / 1e6)}"
    if since_us < phase.until_us:
        minutes = max(0, since_us) // _MINUTE_US
        return f"T+{minutes // 60}:{minutes % 60:02d} of {duration(phase.until_us / 1e6)}"
    return f"{ends}; over since {duration((since_us - phase.until_us) / 1e6)}"
