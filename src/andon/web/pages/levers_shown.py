"""What the pages of levers show: holds, pulls, versions and effects as tables and small drawings."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from andon.levers import Effect, FirstRead, Lever, LeverValue, Promotion, Pull, Version, digest_of
from andon.levers.effects import Waits, ended_us_of
from andon.levers.given import Given
from andon.levers.pulls import how_ended
from andon.levers.registry import not_passed, value_text
from andon.levers.run.effects import waits_for
from andon.levers.words import gave_way
from andon.web.asking import Ask, Gone
from andon.web.tables import Cell, Column, Table
from andon.web.zones import clock_text

__all__ = [
    "Told",
    "brief",
    "clock",
    "difference",
    "effects_of",
    "ending",
    "held_table",
    "kind_of",
    "lever_of",
    "levers_table",
    "live_where",
    "on_page",
    "pulls_table",
    "quiet",
    "readers_of",
    "told_of",
    "versions_table",
]

HOUR_US = 3_600_000_000
WIDE = 44
"""Characters of a value in a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One pull with what is known of it."""

    pull: Pull
    ended_us: int | None
    """None while it holds."""
    ending: str
    """How it ended, in words."""
    read: FirstRead | None
    effects: tuple[Effect, ...] = ()
    waits: Waits | None = None
    """What the next measurement waits for; None once it is over."""


def brief(value: LeverValue, most: int = 60) -> str:
    """A value on one line of a page: its beginning where it is long."""
    text = " ".join(value_text(value).split())
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return f"“{text}”" if isinstance(value, str) else text


def on_page(text: str) -> str:
    """A sentence of the stage without the commands that it advises: the page has a button for each."""
    said = re.split(r"[:;,] (?:another person says )?`andon ", text)[0]
    return said if said == text else f"{said}. Write a version, and have it approved: see Versions"


def quiet(text: str) -> str:
    """What is given, without the marks that a terminal needs: a warning of its own stands beside it."""
    return text.replace("\\x0a", " ").replace("THE GATE DID NOT PASS IT", "the gate did not pass it")


def lever_of(ask: Ask, key: str) -> Lever:
    """The lever of a page.

    Raises:
        Gone: there is none.
    """
    found: Lever | None = ask.ledger.get(Lever, key)
    if found is None:
        raise Gone(f"There is no lever {key[:100]!r}", "/levers", "All levers")
    return found


def clock(ask: Ask, us: int) -> str:
    """A time as the reader's clock shows it, for sentences."""
    return clock_text(us, ask.zone, ask.now_us)


def kind_of(now: Given) -> str:
    """In a word why a lever gives what it gives."""
    if now.held is not None:
        return "held"
    if now.split is not None:
        return "experiment"
    return "default" if now.digest is None else "version"


def effects_of(ask: Ask) -> dict[str, tuple[Effect, ...]]:
    """Pull -> what was measured of it."""
    found: dict[str, tuple[Effect, ...]] = {}
    for effect in sorted(ask.ledger.all(Effect), key=lambda e: (e.at_us, e.id)):
        found[effect.pull] = (*found.get(effect.pull, ()), effect)
    return found


def told_of(ask: Ask, pulls: Iterable[Pull], effects: Mapping[str, tuple[Effect, ...]]) -> list[Told]:
    """Pulls with all that is known of them, in the order in which they are given."""
    return [
        Told(
            pull=p, ended_us=ended_us_of(p, ask.now_us), ending=ending(p, ask.now_us), read=ask.ledger.get(FirstRead, p.id),
            effects=effects.get(p.id, ()),
            waits=waits_for(ask.ledger, p, ask.now_us) if ended_us_of(p, ask.now_us) is None else None,
        )
        for p in pulls
    ]  # fmt: skip


def ending(pull: Pull, now_us: int) -> str:
    """How a pull ended; empty while it holds."""
    if ended_us_of(pull, now_us) is None:
        return ""
    if pull.released_us is None or how_ended(pull) == "expired":
        return "its time was over"
    if other := gave_way(pull.released_why):
        return f"{other} took its place"
    return f"released by {pull.released_by}: {pull.released_why}"


def readers_of(ask: Ask, lever: Lever) -> list[tuple[str, int]] | None:
    """The applications that may be given a lever and asked since the server began, with when they asked last; None: not known."""
    readers = ask.site.readers
    if readers is None:
        return None
    fits = {a: us for a, us in readers.asked().items() if a and lever.app in ("default", a)}
    return sorted(fits.items(), key=lambda pair: (-pair[1], pair[0]))


def held_table(held: Sequence[Given], effects: Mapping[str, tuple[Effect, ...]]) -> Table:
    """The levers that are held now, as a file."""
    names = ("lever", "environment", "value", "until", "by", "why", "incident", "since", "trade-off", "exit", "effect")
    kinds: dict[str, Any] = {"lever": "code", "until": "time", "since": "time"}
    columns = [Column(key=n.replace("-", "_"), title=n, kind=kinds.get(n, "text"), wide=n == "why") for n in names]
    rows = []
    for now in held:
        pull = now.held
        assert pull is not None
        known = effects.get(pull.id, ())
        rows.append(
            {
                "lever": pull.lever, "environment": pull.environment, "value": value_text(pull.value), "until": pull.until_us,
                "by": pull.by, "why": pull.why, "incident": pull.incident, "since": pull.at_us, "trade_off": pull.trade_off,
                "exit": pull.exit, "effect": known[-1].text if known else None,
            }
        )  # fmt: skip
    return Table(name="held", title="Levers that are held", columns=columns, rows=rows, empty="No lever is held.")


def levers_table(ask: Ask, rows: Sequence[tuple[Given, Given]], last: Mapping[str, Pull], *, filtered: bool) -> Table:
    """All levers, a line each."""
    columns = (
        Column(key="lever", title="lever"), Column(key="app", title="read by"),
        Column(key="production", title="production"), Column(key="staging", title="staging"),
        Column(key="default", title="default"), Column(key="safe", title="safe value"), Column(key="pulled", title="last pulled", kind="time"),
    )  # fmt: skip
    files = ask.exporting
    found = []
    for staging, production in rows:
        lever = production.lever
        pull = last.get(lever.id)
        found.append(
            {
                "lever": lever.id if files else Cell(value=lever.id, link=f"/levers/{lever.id}", note=lever.about[:120]),
                "app": "any" if lever.app == "default" else lever.app, "production": _now(ask, production), "staging": _now(ask, staging),
                "default": value_text(lever.default) if files else brief(lever.default, WIDE),
                "safe": value_text(lever.safe) if files else brief(lever.safe, WIDE),
                "pulled": None if pull is None else Cell(value=pull.at_us, note=f"by {pull.by}"),
                "_tone": "warn" if production.held or production.gate else "",
            }
        )  # fmt: skip
    empty = (
        "No lever is like that." if filtered else
        "No lever is declared yet. A lever is a setting that your application reads over OpenFeature, with a default and a value "
        "that stops harm: a kill switch, the name of a model, a prompt. Declare one before you need it."
    )  # fmt: skip
    link = ("/levers", "All levers") if filtered else ("/levers/new", "Declare a lever")
    return Table(name="levers", title="All levers", columns=columns, rows=found, empty=empty, empty_link=link)


def _now(ask: Ask, now: Given) -> Cell:
    kind = kind_of(now)
    if ask.exporting:
        return Cell(value=value_text(now.value))
    if kind == "default":
        return Cell(value=brief(now.value, WIDE), tone="soft")
    note = f"version {now.digest}" if kind == "version" else ""
    if now.held is not None:
        note = f"held until {clock(ask, now.held.until_us)}"
    if kind == "experiment" and now.split is not None:
        note = f"split by {now.split.experiment}"
    return Cell(value=brief(now.value, WIDE), tone="bad" if now.gate else "warn" if kind == "held" else "", note=note)


def pulls_table(told: Sequence[Told]) -> Table:
    """All pulls of a lever, the newest first, with what they did."""
    columns = (
        Column(key="pull", title="pull", kind="code"), Column(key="environment", title="where"), Column(key="value", title="held at"),
        Column(key="by", title="by"), Column(key="at", title="from", kind="time"), Column(key="ended", title="until", kind="time"),
        Column(key="why", title="why", wide=True), Column(key="incident", title="incident"), Column(key="end", title="ended"),
        Column(key="trade_off", title="trade-off"), Column(key="exit", title="to be released when"),
        Column(key="evidence", title="evidence"), Column(key="effect", title="effect"),
        Column(key="before_x", title="harmed before", kind="number"), Column(key="before_n", title="of, before", kind="number"),
        Column(key="after_x", title="harmed since", kind="number"), Column(key="after_n", title="of, since", kind="number"),
        Column(key="low", title="difference from", kind="number"), Column(key="high", title="to", kind="number"),
        Column(key="glass", title="glass broken", kind="mark"), Column(key="reviewed", title="reviewed by"),
    )  # fmt: skip
    rows = []
    for one in told:
        p, e = one.pull, (one.effects[-1] if one.effects else None)
        measured: dict[str, Any] = {} if e is None else {
            "before_x": e.before_x, "before_n": e.before_n, "after_x": e.after_x, "after_n": e.after_n, "low": e.low, "high": e.high,
        }  # fmt: skip
        rows.append(
            {
                "pull": p.id, "environment": p.environment, "value": value_text(p.value), "by": p.by, "at": p.at_us,
                "ended": one.ended_us or p.until_us, "why": p.why, "incident": p.incident, "end": one.ending or "holds",
                "trade_off": p.trade_off, "exit": p.exit, "evidence": p.evidence, "effect": e.text if e else None, **measured,
                "glass": p.break_glass, "reviewed": p.reviewed.by if p.reviewed else None,
            }
        )  # fmt: skip
    return Table(name="pulls", title="Pulls of this lever", columns=columns, rows=rows)


def live_where(version: Version, live: Mapping[str, Promotion | None]) -> list[str]:
    """Where a version is live now: of ``staging`` and ``production``."""
    return [place for place, promotion in live.items() if promotion is not None and promotion.digest == version.digest]


def versions_table(ask: Ask, lever: Lever, versions: Sequence[Version], live: Mapping[str, Promotion | None]) -> Table:
    """The versions of a lever, the newest first."""
    columns = (
        Column(key="version", title="version", kind="code"), Column(key="why", title="what it is for", wide=True),
        Column(key="by", title="author"), Column(key="at", title="written", kind="time"), Column(key="approved", title="approved by"),
        Column(key="gate", title="gate", kind="tag"), Column(key="live", title="live"), Column(key="parent", title="made from", kind="code"),
        *((Column(key="value", title="value"),) if ask.exporting else ()),
    )  # fmt: skip
    rows = []
    for v in versions:
        gate = v.gates[-1] if v.gates else None
        where = live_where(v, live)
        rows.append(
            {
                "version": Cell(value=v.digest, link=f"/levers/{lever.id}/versions?to={v.digest}"), "why": v.why,
                "by": v.by, "at": v.at_us,
                "approved": ", ".join(a.by for a in v.approvals) or Cell(value="nobody yet", tone="warn"),
                "gate": "not asked" if gate is None else Cell(value=gate.outcome, note=gate.run or ""),
                "live": Cell(value=" and ".join(where), tone="bad" if not_passed(v) else "good") if where else None,
                "parent": v.parent, "value": value_text(v.value),
                "_tone": "bad" if "production" in where and not_passed(v) else "",
            }
        )  # fmt: skip
    empty = f"No version yet: {lever.id} gives its default (version {digest_of(lever.default)} by its content). A version is a value that one person writes and another approves."
    return Table(name="versions", title=f"Versions of {lever.id}", columns=columns, rows=rows, empty=empty)


def difference(effect: Effect) -> Markup:
    """The difference of the rate of harm with its interval, around zero: to the left less harm, to the right more."""
    low, high, point = effect.low, effect.high, effect.difference
    if low is None or high is None or point is None:
        return Markup("")
    most = max(abs(low), abs(high), 1e-9) * 1.08
    x1, x2, x = (100 + 100 * v / most for v in (low, high, point))
    tone = "good" if high < 0 else "bad" if low > 0 else ""
    said = (
        f"difference of the rate of harm {100 * point:+.1f} points, 95 % interval {100 * low:+.1f} to {100 * high:+.1f}"
    )
    return Markup(
        '<svg class="interval {}" viewBox="0 0 200 16" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="zero" d="M100 0V16"/><path class="whisker" d="M{} 8H{}M{} 4V12M{} 4V12"/><path class="point" d="M{} 3V13"/></svg>'
    ).format(tone, said, *(f"{v:.1f}" for v in (x1, x2, x1, x2, x)))
