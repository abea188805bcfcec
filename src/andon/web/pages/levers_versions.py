"""The versions of a lever and its declaration: written by one person, approved by another, tried, promoted, taken back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from andon.errors import InputError, StateError
from andon.evals import EvalRun
from andon.evals import run as evals
from andon.evals.run.rules import rules_in
from andon.golden.run.sets import load_set
from andon.levers import ENVIRONMENTS, GateResult, Lever, Promotion, Version, diff, find_version, in_force
from andon.levers import run as levers
from andon.levers.gating import names_version, result_of
from andon.levers.registry import check_approved, check_environment, not_passed, origin_of, value_text
from andon.levers.run.declaring import DEFAULT
from andon.levers.run.reading import pulls_of
from andon.levers.words import code_of, parsed, rule_of, value_of_text
from andon.traffic import quoted
from andon.web.asking import Ask, Done, Page, Undo
from andon.web.pages.levers_shown import brief, clock, lever_of, on_page, versions_table
from andon.web.routing import Pages

__all__ = ["Line", "lines_of", "pages"]

pages = Pages()

MOST_RUNS = 30
"""Ids of runs that are offered."""

MOST_LINES = 2_000
"""Lines of a comparison that are shown."""

KINDS = {"boolean": "boolean: on or off", "string": "string: a text", "number": "number", "object": "object: JSON"}
FAILS = {
    "open": "open: without an answer the default is right",
    "closed": "closed: without an answer the safe value is right",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a comparison."""

    kind: Literal["ins", "del", "same", "place"]
    text: str
    """With characters that nobody sees written out."""


def lines_of(text: str) -> list[Line]:
    """The lines of a unified diff, without its head."""
    kinds: dict[str, Literal["ins", "del", "same", "place"]] = {"+": "ins", "-": "del", "@": "place"}
    found = []
    for line in text.split("\n")[2:] if text else ():
        said = line if line.startswith("@") else line[1:]
        found.append(
            Line(kind=kinds.get(line[:1], "same"), text=quoted(said, max(1, len(said)))[1:-1].replace("\\t", "\t"))
        )
    return found


@pages.read("/levers/new")
def new(ask: Ask) -> Page:
    """Declare a lever; where one has this very key, its page."""
    if "form" not in ask.query and ask.ledger.get(Lever, "new") is not None:
        from andon.web.pages.levers import lever

        found: Page = lever(ask, "new")
        return found
    return Page(
        template="levers/declaration.html", title="Declare a lever", live=False,
        context={"lever": None, "seen": 0, "kinds": KINDS, "fails": FAILS, "apps": _apps(ask), "code": None, "versions": 0},
    )  # fmt: skip


@pages.act("/levers/new", role="responder")
def declare_new(ask: Ask) -> Done:
    """Declare a lever that is not there yet."""
    key = ask.given("key", "the key")
    made = levers.declare(ask.ledger, _declared(ask, key, ask.given("kind", "the kind")), ask.now_us, ask.by, seen=0)
    return Done(
        to=f"/levers/{made.id}",
        said=f"{made.id} is declared: default {brief(made.default)}, safe value {brief(made.safe)}.",
    )


@pages.read("/levers/{key}/declaration")
def declaration(ask: Ask, key: str) -> Page:
    """How a lever is declared."""
    one = lever_of(ask, key)
    latest = ask.ledger.latest(Lever, key)
    return Page(
        template="levers/declaration.html", title=f"Declaration of {key}",
        context={
            "lever": one, "seen": latest.version if latest else 0, "kinds": KINDS, "fails": FAILS, "apps": _apps(ask),
            "code": code_of(one), "by": latest.by if latest else "", "at_us": latest.at_us if latest else None,
            "versions": len(levers.versions_of(ask.ledger, key)),
        },
    )  # fmt: skip


@pages.act("/levers/{key}/declaration", role="responder")
def declare_anew(ask: Ask, key: str) -> Done:
    """Declare a lever otherwise; what somebody else declared meanwhile is not overwritten."""
    known = lever_of(ask, key)
    made = levers.declare(ask.ledger, _declared(ask, key, known.kind), ask.now_us, ask.by, seen=_number(ask))
    latest = ask.ledger.latest(Lever, key)
    fields = {
        "default": value_text(known.default), "safe": value_text(known.safe), "fail": known.fail, "about": known.about, "app": known.app,
        "seen": str(latest.version if latest else 0),
    }  # fmt: skip
    undo = (
        Undo(action=f"/levers/{key}/declaration", fields=fields) if made != known and len(str(fields)) < 1_500 else None
    )
    return Done(
        to=f"/levers/{key}/declaration",
        said=f"{key} is declared anew." if undo or made != known else "Nothing was different.",
        undo=undo,
    )


def _number(ask: Ask) -> int:
    text = ask.maybe("seen") or ""
    if not text.isdecimal() or len(text) > 9:
        raise InputError("this form does not say what you have read: load the page again")
    return int(text)


def _declared(ask: Ask, key: str, kind: str) -> Lever:
    default, safe = (ask.form.get(n, "").replace("\r\n", "\n") for n in ("default", "safe"))
    for name, text in (("default", default), ("safe value", safe)):
        if kind != "string" and not text.strip():
            raise InputError(f"the {name} is empty: fill it in")
    made: dict[str, Any] = {
        "id": key, "kind": kind, "default": parsed(kind, default), "safe": parsed(kind, safe), "fail": ask.maybe("fail") or "open",
    }  # fmt: skip
    return Lever(**made, about=ask.maybe("about") or "", app=ask.maybe("app") or "default")


def _apps(ask: Ask) -> list[str]:
    return sorted({x.app for x in ask.ledger.all(Lever)} - {"default"})


@pages.read("/levers/{key}/versions")
def versions(ask: Ask, key: str) -> Page:
    """The versions of a lever; one of them compared with what somebody has read before."""
    one = lever_of(ask, key)
    all_ = list(reversed(levers.versions_of(ask.ledger, key)))
    live: dict[str, Promotion | None] = {e: levers.live_in(ask.ledger, key, e) for e in reversed(ENVIRONMENTS)}
    table = versions_table(ask, one, all_, live)
    named = ask.query.get("to") or (all_[0].digest if all_ else "")
    chosen, problem = _named(one, all_, named)
    old, why = _compared_with(one, all_, chosen, live["production"], ask.query.get("from", ""))
    lines = lines_of(diff(old, chosen)) if old is not None and chosen is not None else []
    version = chosen if isinstance(chosen, Version) else None
    held = {e: in_force(pulls_of(ask.ledger, key), ask.now_us, e) for e in ENVIRONMENTS}
    return Page(
        template="levers/versions.html",
        title=f"Versions of {key}",
        tables=[table],
        context={
            "lever": one, "table_": table, "all": all_, "live": live, "held": held, "chosen": version, "is_default": chosen is one,
            "old": old, "why": why, "problem": problem, "lines": lines[:MOST_LINES], "cut": max(0, len(lines) - MOST_LINES),
            "counts": (sum(x.kind == "ins" for x in lines), sum(x.kind == "del" for x in lines)),
            "names": {DEFAULT: "the default", **{v.digest: f"{v.digest}: {quoted(v.why, 60)[1:-1]}" for v in all_}},
            "steps": _steps(version, live) if version else [], "missing": _missing(version) if version else "",
            "runs": [r for _, r in reversed(ask.ledger.ids(EvalRun)[-MOST_RUNS:])] if ask.may("reviewer") else [],
            "versions": len(all_), "shown": brief,
        },
    )  # fmt: skip


def _named(lever: Lever, known: Sequence[Version], name: str) -> tuple[Version | Lever | None, str]:
    if not name or name == DEFAULT:
        return (lever, "") if name else (None, "")
    try:
        return find_version(lever, known, name), ""
    except InputError as error:
        return None, str(error)


def _compared_with(
    lever: Lever, known: Sequence[Version], new: Version | Lever | None, live: Promotion | None, name: str
) -> tuple[Version | Lever | None, str]:
    """What a version is compared with: what was asked for, else what somebody has read before."""
    if new is None:
        return None, ""
    if name:
        return _named(lever, known, name)[0], "as asked"
    return (None, "") if isinstance(new, Lever) else origin_of(lever, new, known, live)


def _steps(version: Version, live: Mapping[Any, Promotion | None]) -> list[tuple[str, bool, str]]:
    """What a version has behind it on its way to production: step, whether it is done, and what there is to say."""
    approved = ", ".join(a.by for a in version.approvals)
    gate: GateResult | None = version.gates[-1] if version.gates else None
    there = {e: p is not None and p.digest == version.digest for e, p in live.items()}
    return [
        ("Written", True, f"by {version.by}"),
        ("Approved", bool(approved), f"by {approved}" if approved else f"by somebody else than {version.by}"),
        ("Gate", gate is not None and gate.outcome == "pass", "not asked" if gate is None else gate.outcome),
        ("Staging", there["staging"], "live" if there["staging"] else "to be tried there"),
        ("Production", there["production"], "live" if there["production"] else "not yet"),
    ]


def _missing(version: Version) -> str:
    try:
        check_approved(version)
    except StateError as error:
        return _short(error)
    return ""


def _short(error: StateError) -> str:
    """A rule, without the commands that the page has buttons for."""
    return on_page(rule_of(error)).partition(". Write a version")[0]


@pages.act("/levers/{key}/versions", role="responder")
def add(ask: Ask, key: str) -> Done:
    """Write a version; nothing is served by that."""
    one = lever_of(ask, key)
    text = ask.form.get("value", "").replace("\r\n", "\n")
    if not text.strip() and one.kind != "string":
        raise InputError("the value is empty: fill it in")
    made = levers.add_version(
        ask.ledger,
        key,
        value_of_text(one, text),
        why=ask.given("why", "what it is for"),
        by=ask.by,
        parent=ask.maybe("parent"),
        now_us=ask.now_us,
    )
    again = made.at_us != ask.now_us
    said = (
        f"Version {made.digest} is there already, written by {made.by}."
        if again
        else f"Version {made.digest} is written; nothing is served by that. Somebody else approves it."
    )
    return Done(to=f"/levers/{key}/versions?to={made.digest}", said=said)


@pages.act("/levers/{key}/versions/{digest}/approve", role="reviewer")
def approve(ask: Ask, key: str, digest: str) -> Done:
    """Say that production may see a version that somebody else wrote."""
    lever_of(ask, key)
    done = levers.approve_version(ask.ledger, key, digest, why=ask.given("why", "why"), by=ask.by, now_us=ask.now_us)
    said = (
        "You approved it before." if done.approvals[-1].at_us != ask.now_us else f"Version {done.digest} is approved."
    )
    if why := not_passed(done):
        said += f" Production still must not see it: the gate says {why}."
    return Done(to=f"/levers/{key}/versions?to={done.digest}", said=said)


@pages.act("/levers/{key}/versions/{digest}/gate", role="reviewer")
def gate(ask: Ask, key: str, digest: str) -> Done:
    """Have the gate judge a kept run that tested a version, and write its word beside the version."""
    one, known = lever_of(ask, key), levers.versions_of(ask.ledger, key)
    version = find_version(one, known, digest)
    run: EvalRun | None = ask.ledger.get(EvalRun, ask.given("run", "the run"))
    if run is None:
        raise InputError(f"there is no run {quoted(ask.given('run'), 80)}: take the id of one that is kept")
    says = names_version(run, version, one, known)
    if not says and ask.maybe("vouch") is None:
        raise InputError(
            f'run {run.id} does not say which version of {key} it tested: write `version = "{version.digest}"` into the file of the '
            f"target and run it again, or vouch for it if you know that it was this one"
        )
    before = evals.baseline_of(ask.ledger, run.app) if run.app else None
    if before is not None and before.id == run.id:
        raise InputError(
            f"run {run.id} is the baseline itself, and a comparison with itself shows nothing: run the golden set again"
        )
    verdict = evals.judge_kept(
        ask.ledger, run, before, load_set(ask.ledger), rules=rules_in(None, now_us=ask.now_us), now_us=ask.now_us
    )
    result = result_of(run, before, verdict, vouched_by=None if says else ask.by, by=ask.by, now_us=ask.now_us)
    levers.note_gate(ask.ledger, key, version.digest, result, ask.now_us)
    said = f"The gate: {result.outcome}. {result.reason}"
    return Done(to=f"/levers/{key}/versions?to={version.digest}", said=said)


@pages.act("/levers/{key}/promote/{place}", role="responder")
def promote(ask: Ask, key: str, place: str) -> Done:
    """Make a version what is given while nobody holds the lever."""
    return _promoted(ask, key, ask.given("version", "the version"), place)


@pages.act("/levers/{key}/default/{place}", role="responder")
def back_to_default(ask: Ask, key: str, place: str) -> Done:
    """Make the declared default what is given again while nobody holds the lever."""
    return _promoted(ask, key, DEFAULT, place)


def _promoted(ask: Ask, key: str, name: str, place: str) -> Done:
    lever_of(ask, key)
    environment = check_environment(place)
    live = levers.live_in(ask.ledger, key, environment)
    before = (live.digest if live else None) or DEFAULT
    seen = ask.form.get("seen")
    if seen is not None and seen != before:
        who = live.by if live else "somebody"
        raise StateError(
            f"{who} promoted {before} to {environment} meanwhile, which you have not seen: look at it, and promote again if it is "
            "still right"
        )
    try:
        done = levers.promote(
            ask.ledger, key, name, to=environment, why=ask.given("why", "why"), by=ask.by, now_us=ask.now_us
        )
    except StateError as error:
        raise StateError(_short(error)) from error
    title = "The default" if done.digest is None else f"Version {done.digest}"
    is_new = done.at_us == ask.now_us
    said = f"{title} is live in {environment}{'' if is_new else ' already'}."
    if (held := in_force(pulls_of(ask.ledger, key), ask.now_us, environment)) is not None:
        said += f" But {held.by} holds {environment} until {clock(ask, held.until_us)}: it is given after that."
    fields = {"version": before, "why": f"taken back: {title.lower()} was promoted", "seen": done.digest or DEFAULT}
    undo = Undo(action=f"/levers/{key}/promote/{environment}", fields=fields) if is_new else None
    query = f"?to={done.digest}" if done.digest else ""
    return Done(to=f"/levers/{key}/versions{query}", said=said, undo=undo)
