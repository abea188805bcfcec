"""The golden set: its cases, how they are added, taken in and taken along."""

from typing import Any
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from starlette.responses import Response

from andon.errors import InputError, StateError
from andon.evals.run import quarantined
from andon.golden import Case, NearDuplicate
from andon.golden import run as golden
from andon.golden.formats import FORMATS, OWN
from andon.golden.records import ImportResult
from andon.golden.thresholds import thresholds_of
from andon.golden.words import added_words
from andon.scores import hashed, minilm
from andon.web.asking import Ask, Done, Page
from andon.web.pages.golden_shown import ORIGINS, apps_of, case_table, fits
from andon.web.pages.labels_shown import queue_of
from andon.web.routing import Pages
from andon.web.site import NoErrands
from andon.web.tables import Column, Table

__all__ = ["address", "ask_or_do", "golden_frame", "number_of", "pages"]

pages = Pages()

PAGE = 50
MOST = 10_000
FILTERS = ("q", "app", "risk", "metric", "origin", "incident", "state")
STATES = {"": "tested", "quarantined": "in quarantine", "retired": "retired", "all": "all"}

_IMPORTED: "WeakKeyDictionary[Any, dict[str, tuple[int, ImportResult]]]" = WeakKeyDictionary()
"""What became of each person's last import, until the server ends: nothing that needs to be kept."""


@pages.read("/golden")
def listed(ask: Ask) -> Page:
    """The cases."""
    cases: list[Case] = ask.ledger.all(Case)
    held = quarantined(ask.ledger, ask.now_us)
    given = {k: ask.query[k][:200] for k in FILTERS if ask.query.get(k)}
    found = [c for c in reversed(cases) if fits(c, given, held)]
    at = 0 if ask.exporting else max(0, number_of(ask.query.get("page")) - 1) * PAGE
    table = case_table(
        found[:MOST] if ask.exporting else found[at : at + PAGE], held, filtered=bool(given), exporting=ask.exporting
    )
    grown = golden.growth(ask.ledger, now_us=ask.now_us, queue=queue_of(ask))
    return Page(
        template="golden/cases.html",
        title=f"{grown.tested:,} golden cases",
        tables=[table],
        context={
            **golden_frame(ask),
            "table": table,
            "total": len(found),
            "page_now": at // PAGE + 1,
            "pages_all": -(-len(found) // PAGE),
            "given": given,
            "grown": grown,
            "held": len(held),
            "apps": apps_of(ask, cases),
            "choices": {
                "app": sorted({c.app for c in cases}),
                "risk": sorted({c.risk_category for c in cases if c.risk_category}),
                "metric": sorted({c.metric for c in cases}),
                "origin": ORIGINS,
                "incident": sorted({c.incident for c in cases if c.incident}),
            },
            "states": STATES,
            "ready": queue_of(ask).ready(ask.ledger),
            "formats": [f for f in FORMATS if f != OWN],
        },
    )


@pages.read("/golden/export")
def export(ask: Ask) -> Response:
    """The set as a file, in our own format or in that of another tool."""
    form = ask.query.get("format", OWN)
    if form not in FORMATS:
        raise InputError(f"there is no format {form[:40]!r}; {', '.join(FORMATS)} are allowed")
    app = ask.query.get("app") or None
    text, _ = golden.export_text(ask.ledger, form, app=app)
    end = "yaml" if form == "promptfoo" else "jsonl"
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in app or "golden")[:60]
    headers = {
        "content-disposition": f'attachment; filename="{name}-{form}.{end}"', "cache-control": "no-store",
        "x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'; sandbox",
    }  # fmt: skip
    return Response(text, headers=headers, media_type="application/octet-stream")


@pages.read("/golden/import")
def importing(ask: Ask) -> Page:
    """Take in a set that a team has, and what became of the last one."""
    at_us, last = _IMPORTED.get(ask.ledger, {}).get(ask.by, (0, None))
    columns = (Column(key="place", title="where", kind="code"), Column(key="why", title="why", wide=True))
    rows = [{"place": r.id, "why": r.reason} for r in (*last.refused, *last.doubts)] if last else []
    table = Table(name="refused", title="What was not taken in, or needs a look", columns=columns, rows=rows)
    return Page(
        template="golden/import.html",
        title="Take in a golden set",
        tables=[table],
        live=False,
        context={
            **golden_frame(ask),
            "last": last,
            "last_us": at_us,
            "table": table,
            "formats": list(FORMATS),
            "apps": apps_of(ask, ask.ledger.all(Case)),
        },
    )


@pages.act("/golden/import", role="reviewer")
def take_in(ask: Ask) -> Done:
    """Take in what was pasted."""
    text = ask.given("text", "the cases")
    form = ask.maybe("form")
    if form is not None and form not in FORMATS:
        raise InputError(f"there is no format {form[:40]!r}; {', '.join(FORMATS)} are allowed")
    done = golden.import_text(
        ask.ledger,
        text,
        name="what was pasted",
        now_us=ask.now_us,
        by=ask.by,
        app=ask.maybe("app") or "default",
        form=form,
    )
    _IMPORTED.setdefault(ask.ledger, {})[ask.by] = (ask.now_us, done)
    parts = [f"{len(done.added)} added", f"{len(done.known)} known", f"{len(done.refused)} refused"]
    parts += [
        f"{len(ids)} {what}"
        for what, ids in (("changed", done.changed), ("retired", done.retired), ("brought back", done.back))
        if ids
    ]
    return Done(to="/golden/import", said=f"Read as {done.form}: {', '.join(parts)}")


@pages.act("/golden/add", role="reviewer")
def add(ask: Ask) -> Done:
    """Make cases of settled labels."""

    def now() -> str:
        return added_words(
            golden.add_cases(
                ask.ledger, hashed.load(ask.site.settings), now_us=ask.now_us, by=ask.by,
                thresholds=thresholds_of(ask.site.settings.tables, ask.site.settings.config),
                vectors=golden.CaseVectors(hashed.load(ask.site.settings), ask.site.settings.place),
            )
        )  # fmt: skip

    return Done(
        to="/golden", said=ask_or_do(ask, "add", now) or "Cases are being made; this page tells when they are there."
    )


def ask_or_do(ask: Ask, verb: str, do: Any, **args: str) -> str:
    """Have long work done beside the server; without anybody beside it at once, where that takes no model.

    Returns what came of it, where it was done at once.

    Raises:
        StateError: nobody is there to do it, and a model would have to be loaded.
    """
    if not isinstance(ask.site.errands, NoErrands):
        ask.site.errands.ask(verb, ask.by, **args)
        return ""
    settings = ask.site.settings
    if settings.embedder != "hashed" and not (settings.embedder == "auto" and not minilm.available(settings)):
        raise StateError(
            f"this server does no long work, and this needs the embedder {settings.embedder!r}: use the command line beside it"
        )
    said: str = do()
    return said


def golden_frame(ask: Ask) -> dict[str, Any]:
    """What every page of the golden set shows: its tabs with their counts, and what is being done."""
    near = sum(d.by == "andon" for d in ask.ledger.all(NearDuplicate))
    tabs = [
        ("/golden", "Cases"), ("/golden/coverage", "Coverage"), ("/golden/growth", "Growth"), ("/golden/versions", "Versions"),
        ("/golden/duplicates", f"Near-duplicates ({near:,})" if near else "Near-duplicates"), ("/golden/capture", "Capture"),
    ]  # fmt: skip
    return {
        "tabs_all": tabs,
        "errands": [e for e in ask.site.errands.all() if e.what in ("add", "capture", "cover")][:3],
    }


def number_of(text: str | None) -> int:
    """A small whole number of a query or a form; 0 where it is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else 0


def address(path: str, **query: str | None) -> str:
    """A path with a query of what is not empty."""
    text = urlencode({k: v for k, v in query.items() if v})
    return path + (f"?{text}" if text else "")
