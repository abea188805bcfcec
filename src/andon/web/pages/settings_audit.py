"""The audit trail: every change of every record, by whom and when."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from andon.access import Person
from andon.errors import InputError
from andon.web.asking import Ask, Gone, Page
from andon.web.pages.settings import settings_page
from andon.web.recorded import TRAIL, differences, kind_text, page_of
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["pages"]

pages = Pages()
ROWS, MOST = 50, 10_000
LARGE = frozenset({"Postmortem", "Published", "Investigation", "EvalRun", "CoverageMap", "Failure", "Topics"})
"""Records that are too large to be compared for a list."""

MOVING = frozenset({"at_us", "version", "seen_us", "updated_us", "last_signal_us"})
"""Fields that change with everything else, and are no news."""


@pages.read("/settings/audit", role="owner")
def trail(ask: Ask) -> Page:
    """The newest changes, of all or of what is asked for."""
    given = {name: ask.query.get(name, "").strip() for name in ("by", "kind", "id", "from", "to")}
    wrong = ""
    span: tuple[int | None, int | None] = (None, None)
    try:
        span = _when(ask, given["from"]), _when(ask, given["to"])
    except InputError as error:
        wrong = str(error)
    kinds = [given["kind"]] if given["kind"] in TRAIL else TRAIL
    before = int(n) if (n := ask.query.get("before", "")).isascii() and n.isdigit() and len(n) < 19 else None
    most = MOST if ask.exporting else ROWS
    found = ask.ledger.trail(
        kinds, by=given["by"], begins=given["id"], start_us=span[0], end_us=span[1],
        before=before, limit=most + 1,
    )  # fmt: skip
    table = _table(ask, found[:most])
    people = sorted({p.id for p in ask.ledger.all(Person)} | {"andon"})
    return settings_page(
        ask, "/settings/audit", "Audit trail", tables=(table,), live=before is None, rows=table, given=given, wrong=wrong,
        kinds={k: kind_text(k) for k in sorted(TRAIL, key=kind_text)}, people=people,
        older=found[most - 1].entry if len(found) > most else None, before=before,
        words=_words(given),
    )  # fmt: skip


@pages.read("/settings/audit/{entry}", role="owner")
def one(ask: Ask, entry: str) -> Page:
    """One change: what differs from the version before."""
    found = ask.ledger.entry_at(int(entry)) if entry.isascii() and entry.isdigit() and len(entry) < 19 else None
    if found is None or found.kind not in TRAIL:
        raise Gone(f"There is no change {entry[:40]!r}", "/settings/audit", "Audit trail")
    after = ask.ledger.plain(found.kind, found.id, found.version)
    before = ask.ledger.plain(found.kind, found.id, found.version - 1) if found.version > 1 else None
    changed, more = differences(before, after)
    beside = [e for e in ask.ledger.trail([found.kind], begins=found.id, limit=400) if e.id == found.id]
    columns = (
        Column(key="field", title="field", kind="code"), Column(key="before", title="before", wide=True),
        Column(key="after", title="after", wide=True),
    )  # fmt: skip
    rows = [{"field": d.path, "before": d.before, "after": d.after} for d in changed]
    table = Table(name="differences", title="What changed", columns=columns, rows=rows)
    page = settings_page(
        ask, "/settings/audit", f"{kind_text(found.kind)} {_name(ask, found)}", tables=(table,), found=found, changed=changed, more=more,
        name=_name(ask, found), what=kind_text(found.kind), link=page_of(found.kind, found.id), versions=beside,
        trail="/settings/audit?" + urlencode({"kind": found.kind, "id": found.id}) if _shows_id(found) else "",
    )  # fmt: skip
    return Page(template="settings/entry.html", title=page.title, tables=page.tables, live=False, context=page.context)


def _when(ask: Ask, text: str) -> int | None:
    """A time of the query, in the zone of who asks."""
    from dataclasses import replace

    return replace(ask, form={"when": text}).time_us("when")


def _words(given: dict[str, str]) -> str:
    """What is shown, as words; empty where it is everything."""
    parts = [
        f"by {given['by']}" if given["by"] else "",
        f"of kind {kind_text(given['kind'])}" if given["kind"] in TRAIL else "",
    ]
    parts += [f"of records whose id begins with {given['id']}" if given["id"] else ""]
    parts += [f"since {given['from']}" if given["from"] else "", f"until {given['to']}" if given["to"] else ""]
    return ", ".join(filter(None, parts))


def _shows_id(entry: Any) -> bool:
    """Whether a record's id is no secret's digest."""
    return entry.kind not in ("Session", "Invitation")


def _name(ask: Ask, entry: Any) -> str:
    """What a record is called where its id may not be shown: whose it is."""
    if entry.kind == "Session":
        return f"of {entry.by}"
    if entry.kind == "Invitation":
        return f"for {(ask.ledger.plain(entry.kind, entry.id, entry.version) or {}).get('person', 'somebody')}"
    return str(entry.id)


def _summary(ask: Ask, entry: Any) -> str:
    """What changed, in a few words."""
    if entry.version == 1:
        return "made"
    if ask.exporting or entry.kind in LARGE:
        return "changed"
    before, after = (ask.ledger.plain(entry.kind, entry.id, v) for v in (entry.version - 1, entry.version))
    told = [d for d in differences(before, after)[0] if d.path.rpartition(".")[2] not in MOVING]
    parts = [
        f"{d.path}: {_short(d.before)} → {_short(d.after)}" if len(f"{d.before}{d.after}") < 60 and d.before != d.after else d.path
        for d in told[:3]
    ]  # fmt: skip
    return "; ".join(parts) + (f" and {len(told) - 3} more" if len(told) > 3 else "") or "changed"


def _short(value: str | None) -> str:
    return "nothing" if value is None else value


def _table(ask: Ask, found: Sequence[Any]) -> Table:
    columns = (
        Column(key="at", title="when", kind="time"), Column(key="by", title="who"), Column(key="kind", title="what"),
        Column(key="record", title="which"), Column(key="change", title="change", wide=True),
        Column(key="version", title="version", kind="number"), Column(key="entry", title="entry", kind="number"),
    )  # fmt: skip
    rows = []
    for e in found:
        name = _name(ask, e)
        rows.append({
            "at": e.at_us, "by": e.by, "kind": kind_text(e.kind), "record": Cell(value=name, link=page_of(e.kind, e.id)),
            "change": Cell(value=_summary(ask, e), link=f"/settings/audit/{e.entry}"), "version": e.version, "entry": e.entry,
        })  # fmt: skip
    return Table(name="trail", title="Audit trail", columns=columns, rows=rows, empty="Nothing was changed that fits.")
