"""Traffic: search, one interaction as a story, two beside each other."""

import time
from dataclasses import replace
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from starlette.responses import RedirectResponse

from andon.changes.run import facets
from andon.errors import InputError
from andon.monitors import Signal
from andon.monitors.cuts import cuts_of
from andon.scores.judging import Judged, Measured, judge, measured_of
from andon.scores.run import installed_scorers
from andon.traffic import SEGMENTS, VERSIONS
from andon.traffic.records import FEEDBACK_KINDS, Hit
from andon.traffic.run import Found, Volume, interaction_at, scores_of, search_traffic, volume
from andon.traffic.searching import ScoreCondition, Search
from andon.web.asking import Ask, Page
from andon.web.pages import traffic_beside, traffic_one
from andon.web.pages.traffic_asked import RANGES, Asked, asked_of, href, looks_like_an_id, tidy, words_of
from andon.web.pages.traffic_one import link_of
from andon.web.pages.traffic_shown import STRICTER, bad_name
from andon.web.pages.traffic_steps import took
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table
from andon.web.zones import clock_text

__all__ = ["any_traffic", "pages"]

pages = Pages()

SHOWN = 50
"""Interactions of one page."""

MOST = 10_000
"""Interactions of one file."""

WITHIN_S, LONG_S, FILE_S = 0.1, 0.6, 20.0
"""How long a page looks back, one that a script fetches to go on, and a file."""

COUNTED = 400_000
"""Rows over which the histogram of a page is counted: more would be slow."""

BARS = 60
DAY_US = 86_400_000_000
FRESH_US = 60_000_000
"""So long the choices of the filters are kept, however much comes in."""

KEPT = 32
"""Choices that are kept, by application and environment."""

_FACETS: "WeakKeyDictionary[Any, dict[tuple[str | None, str | None], tuple[int, int, dict[str, tuple[str, ...]]]]]" = (
    WeakKeyDictionary()
)
_LOCK = Lock()
_EMPTY = Found(rows=(), searched_back_to_us=None, complete=True, next=None)


def any_traffic(warehouse: Any) -> bool:
    """Whether there is any traffic at all."""
    return bool(warehouse.newest("interactions"))


@pages.read("/traffic")
def traffic(ask: Ask) -> Page | RedirectResponse:
    """What came, newest first."""
    problem = ""
    try:
        to = tidy(ask)
        if to is not None:
            return _straight(ask, to)
        asked = asked_of(ask)
        found = _searched(ask, asked)
    except InputError as error:
        if ask.exporting:
            raise
        problem = str(error)
        asked, found = Asked(search=Search(), plain=Search(), range="", before=None), _EMPTY
    known = measured_of(installed_scorers())
    judged = _judged(ask, found.rows, known)
    chips = words_of(ask, asked)
    seen, seen_words = (None, "") if problem or ask.exporting else _volume(ask, asked)
    choices = _choices(ask, asked.search)
    return Page(
        template="traffic/list.html",
        title="Traffic",
        tables=[_table(found, judged)],
        status=422 if problem else 200,
        context={
            "asked": asked, "found": found, "problem": problem, "judged": judged, "chips": chips, "link_of": link_of,
            "head": _head(ask, asked, found, seen), "seen": _bars(ask, asked, seen) if seen else None, "seen_words": seen_words,
            "any": any_traffic(ask.warehouse), "choices": choices, "ranges": RANGES, "href": href, "plain_search": asked.plain,
            "go_on": href(asked.plain, range_=asked.range, before=found.next) if found.next else "",
            "back": href(asked.plain, range_=asked.range), "kinds": FEEDBACK_KINDS, "known": known, "presets": _presets(asked, known),
            "versions": [f for f in (*VERSIONS, *SEGMENTS, "arm") if choices.get(f) and f not in ("risk_category", "task", "segment", "source")],
            "day_href": _range_href, "shown": SHOWN, "took": took, "bad_name": bad_name,
        },
    )  # fmt: skip


pages.all += [*traffic_beside.pages.all, *traffic_one.pages.all]


def _range_href(asked: Asked, range_: str) -> str:
    return href(replace(asked.plain, start_us=None, end_us=None), range_=range_)


def _straight(ask: Ask, to: RedirectResponse) -> RedirectResponse:
    """Straight to an interaction where what was searched for is the id of one."""
    text = ask.query.get("text", "").strip()
    if ask.query.get("in", "") in ("", "question") and looks_like_an_id(text):
        at_us = interaction_at(ask.warehouse, text)
        if at_us is not None:
            return RedirectResponse(link_of(text, at_us), 303)
    return to


def _searched(ask: Ask, asked: Asked) -> Found:
    return search_traffic(
        ask.warehouse, asked.search, limit=MOST if ask.exporting else SHOWN, before=asked.before,
        within_s=FILE_S if ask.exporting else LONG_S if ask.query.get("long") == "yes" else WITHIN_S, clock=time.monotonic,
    )  # fmt: skip


def _judged(ask: Ask, rows: tuple[Hit, ...], known: dict[str, Measured]) -> dict[str, list[Judged]]:
    """What is bad about each interaction, by id."""
    if not rows:
        return {}
    signals = ask.ledger.all(Signal)
    cuts: dict[tuple[str, ...], dict[tuple[str, str], float]] = {}
    found: dict[str, list[Judged]] = {}
    for h in rows:
        key = (h.app, h.environment, h.risk_category or "")
        if key not in cuts:
            cuts[key] = cuts_of(signals, h.app, h.environment, {"risk_category": h.risk_category})
    telling = {m.metric for m in known.values() if m.kind == "binary" and m.bad in ("up", "down")} | {
        m for c in cuts.values() for m, _ in c
    }
    values = scores_of(ask.warehouse, rows, telling - {"error", STRICTER})
    for h in rows:
        judged = judge(values.get(h.id, {}), known, cuts[h.app, h.environment, h.risk_category or ""])
        found[h.id] = [j for j in judged if j.bad]
    return found


def _volume(ask: Ask, asked: Asked) -> tuple[Volume | None, str]:
    """How much there is over time, of all of it or of its last part; else why that is not told."""
    search = asked.search
    if search.scores or search.topic or search.feedback:
        return None, "How many there are over time is not counted for conditions on scores, topic and feedback."
    extent = ask.warehouse.extent("interactions")
    if extent is None:
        return None, ""
    end = min(search.end_us or extent.end_us, extent.end_us)
    start = max(search.start_us or extent.start_us, extent.start_us)
    if start >= end:
        return None, ""
    for width, words in ((end - start, ""), (DAY_US, "Its last 24 hours:"), (DAY_US // 24, "Its last hour:")):
        if width > end - start:
            continue
        some = volume(ask.warehouse, replace(search, start_us=max(start, end - width), end_us=end), BARS, COUNTED)
        if some is not None:
            return some, words
    return None, "There is too much of it to count at once: choose a shorter time."


def _bars(ask: Ask, asked: Asked, seen: Volume) -> dict[str, Any]:
    """The histogram: each bar leads to its stretch of time."""
    edges = [
        (seen.start_us + n * seen.width_us, seen.start_us + (n + 1) * seen.width_us) for n in range(len(seen.counts))
    ]
    words = [
        f"{n:,} from {clock_text(a, ask.zone, ask.now_us)} to {clock_text(b, ask.zone, ask.now_us)}"
        for n, (a, b) in zip(seen.counts, edges, strict=True)
    ]
    links = [href(replace(asked.plain, start_us=a, end_us=b)) for a, b in edges]
    total = sum(seen.counts)
    label = f"{total:,} answers over time, at most {max(seen.counts):,} in one bar"
    return {
        "counts": seen.counts, "links": links, "titles": words, "label": label, "total": total, "most": max(seen.counts),
        "width_s": seen.width_us / 1e6, "start_us": edges[0][0], "end_us": edges[-1][1],
    }  # fmt: skip


def _head(ask: Ask, asked: Asked, found: Found, seen: Volume | None) -> str:
    """One sentence: what is shown."""
    s = asked.search
    app = s.value("app")
    whole = found.complete and found.next is None and asked.before is None
    n = f"{len(found.rows):,}" if whole else "The newest" if asked.before is None else "Older"
    if not found.complete and not found.rows:
        n = "Looking for"  # never "no answer" where not all was looked through
    elif not whole and seen is not None and asked.before is None:
        since = s.start_us if s.start_us is not None else 0
        if seen.start_us <= since or _covers(ask, seen):
            n = f"{sum(seen.counts):,}"
    one = n == "1"
    n = "No" if n == "0" else n
    what = f"answer{'' if one or n == 'No' else 's'}"
    of = f" of {app}" if app else ""
    rest = [
        c.words for c in words_of(ask, asked) if c.words != f"app {app}" and not c.words.startswith(("from ", "until "))
    ]
    when = f" in the {RANGES[asked.range]}" if asked.range else ""
    if asked.plain.start_us is not None:
        when += f" from {clock_text(asked.plain.start_us, ask.zone, ask.now_us)}"
    if asked.plain.end_us is not None:
        when += f" until {clock_text(asked.plain.end_us, ask.zone, ask.now_us)}"
    return f"{n} {what}{of}{when}{': ' if rest else ''}{', '.join(rest)}"


def _covers(ask: Ask, seen: Volume) -> bool:
    extent = ask.warehouse.extent("interactions")
    return extent is not None and seen.start_us <= extent.start_us


def _choices(ask: Ask, search: Search) -> dict[str, tuple[str, ...]]:
    """What filters may be set to, with what they are set to."""
    app, environment = search.value("app"), search.value("environment")
    newest = ask.warehouse.newest("interactions")
    with _LOCK:
        kept = _FACETS.setdefault(ask.warehouse, {})
        known = kept.get((app, environment))
    if known is None or (known[0] != newest and not 0 <= ask.now_us - known[1] < FRESH_US):
        known = (newest, ask.now_us, facets(ask.warehouse, ask.ledger, app=app, environment=environment))
        with _LOCK:
            kept[app, environment] = known
            while len(kept) > KEPT:
                kept.pop(next(iter(kept)))
    values = dict(known[2])
    for field, value in search.exact:
        if value not in values.get(field, ()):
            values[field] = (value, *values.get(field, ()))
    return values


def _presets(asked: Asked, known: dict[str, Measured]) -> list[tuple[str, str]]:
    """Conditions that people want most, as words and addresses: what harms, of measures that are yes or no."""
    found = []
    for m in known.values():
        if m.kind == "binary" and m.bad in ("up", "down"):
            condition = ScoreCondition(metric=m.metric, op="ge" if m.bad == "up" else "lt", value=0.5)
            if condition not in asked.plain.scores:
                search = replace(asked.plain, scores=(*asked.plain.scores, condition)[:8])
                found.append((bad_name(m), href(search, range_=asked.range)))
    return found


def _table(found: Found, judged: dict[str, list[Judged]]) -> Table:
    columns = (
        Column(key="time", title="when", kind="time"), Column(key="id", title="interaction", kind="code"),
        Column(key="app", title="app"), Column(key="environment", title="environment"),
        Column(key="question", title="question", wide=True), Column(key="answer", title="answer", kind="long"),
        Column(key="prediction", title="prediction"), Column(key="error", title="error"), Column(key="bad", title="bad scores"),
        Column(key="latency_s", title="took", kind="duration"), Column(key="model", title="model"),
        Column(key="prompt", title="prompt"), Column(key="risk", title="risk"), Column(key="user", title="user"),
        Column(key="session", title="session"),
    )  # fmt: skip
    shown = [
        {
            "time": h.time_us, "id": Cell(value=h.id, link=link_of(h.id, h.time_us)), "app": h.app, "environment": h.environment,
            "question": h.query, "answer": h.answer, "prediction": h.prediction, "error": h.error,
            "bad": ", ".join(f"{j.measured.metric} {j.value:g}" for j in judged.get(h.id, ())), "latency_s": h.latency_s,
            "model": h.model, "prompt": h.prompt_version, "risk": h.risk_category, "user": h.user_id, "session": h.session_id,
        }
        for h in found.rows
    ]  # fmt: skip
    more = found.next is not None or not found.complete
    return Table(name="traffic", title="Traffic", columns=columns, rows=shown, more=more)
