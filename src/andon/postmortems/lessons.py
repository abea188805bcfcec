"""What the record teaches by itself: how factors worked together, what looked fine, what went well, which layer is suspect.

Pure sentences from one `Postmortem`. Each is said only where the record supports it; the rest is for people to write.
"""

import re
from itertools import combinations

from andon.incidents import duration, odds, phrase_of, scope_text
from andon.incidents.words import exactly
from andon.investigations import Analysis, Suspect
from andon.investigations.usual import COST, USUAL_BEFORE, USUAL_SINCE, WATCHED
from andon.monitors.verdicts import percent
from andon.postmortems.draft import STALE, beyond_limit, lag_texts, named_suspects, refs_to, since_onset
from andon.postmortems.happened import Held, hold_text, since_alarm
from andon.postmortems.records import ContributingFactor, Postmortem

__all__ = [
    "COST",
    "LAYERS",
    "USUAL_BEFORE",
    "USUAL_SINCE",
    "WATCHED",
    "alike",
    "checklist",
    "cost_usd",
    "harm_went",
    "interactions",
    "lag_rows",
    "layers",
    "lesson_of",
    "moved",
    "steady",
    "went_well",
    "why_late",
]

LAYERS: dict[str, tuple[str, ...]] = {
    "data": ("corpus", "traffic", "traffic source"),
    "features": ("index", "embedding model"),
    "model logic": ("model", "prompt", "policy", "sampling parameter"),
    "deployment": ("routing", "code", "config", "lever"),
    "infrastructure": ("provider", "tool schema", "permission", "budget"),
    "monitoring": ("scorer",),
    "process": (),
}
"""The seven layers in which a model can fail, and the kinds of suspects that speak for each."""

_ANALYSES = {
    "corpus": "data",
    "fresh": "data",
    "drift": "data",
    "tool": "infrastructure",
    "retr": "infrastructure",
    "refus": "model logic",
    "silent": "monitoring",
}
_RATE = r"[\d.e-]+ % \(of [\d,]+\)"
_WENT = re.compile(
    rf" (fell|rose|went) from {_RATE} to {_RATE}: [-+.\de]+ points(?: \(95 % interval |, without an interval)"
)
"""How the effect of a hold says where harm went under it: longer than any value of traffic that stands before it."""
_LESSONS = ("How the factors worked together", "Lessons", "What we learned")
_SENTENCE = re.compile(r"(?<=[.!?])\s")
_EVIDENCE = re.compile(r" ?\[E\d+(?:, E\d+)*\]")
_PROCESS = ("change control", "testing", "incentives")


def interactions(p: Postmortem) -> tuple[str, ...]:
    """How the contributing factors worked together: a sentence for each pair of areas that the record supports."""
    first: dict[str, ContributingFactor] = {}
    for factor in p.factors:
        first.setdefault(factor.area, factor)
    told = (_together(p, frozenset(pair)) for pair in combinations(first, 2))
    return tuple(text for text in told if text)


def _together(p: Postmortem, pair: frozenset[str]) -> str:
    lag, _, _ = lag_texts(p.incident)
    harmed, n = p.before_alarm or (0, 0)
    answers = f"{harmed:,} of {n:,} answers went out harmed" if harmed else "harmed answers went out"
    if not p.incident.lead:
        lag = "as long as nobody complained"
    texts = {
        frozenset({"change control", "observability"}): (
            f"change control × observability: the change went live at once for this traffic, the evidence took {lag}; "
            f"in between {answers}"
        ),
        frozenset({"change control", "testing"}): (
            "change control × testing: no golden case asks these questions, so the change met nothing before users that "
            "answers them"
        ),
        frozenset({"change control", "data"}): (
            "change control × data: the change and the data it relies on move by separate steps, and either step alone "
            "looks complete"
        ),
        frozenset({"data", "observability"}): (
            f"data × observability: corpus and index were apart{_apart(p)} had enough evidence, because only answers are "
            "watched"
        ),
        frozenset({"data", "testing"}): (
            "data × testing: no golden case asks about these passages, so no gate compares corpus and index"
        ),
        frozenset({"dependency", "observability"}): (
            f"dependency × observability: what moved outside is visible to us only in answers; the chart needed {lag} of "
            f"them, and {answers}"
        ),
        frozenset(
            {"dependency", "testing"}
        ): f"dependency × testing: {_untested(p)}, so the first test of it was users' own",
        frozenset({"observability", "testing"}): (
            f"observability × testing: without a case that fails, the chart was the first test; it needed {lag}, and "
            f"{answers}"
        ),
    }
    return texts.get(pair, "")


def _apart(p: Postmortem) -> str:
    """For how long corpus and index were apart when the alarm came: from the change, not from the onset."""
    behind = [s for s in named_suspects(p.incident, p.investigation)[:2] if any(STALE in text for text in s.supports)]
    before = "before a chart" if p.incident.lead else "before whoever reported it"
    at_us = behind[0].at_us if behind else None
    if at_us is None or at_us >= p.incident.alarmed_us:
        return f" {before}"
    return f" for {duration((p.incident.alarmed_us - at_us) / 1e6)} {before}"


def _untested(p: Postmortem) -> str:
    suspects = named_suspects(p.incident, p.investigation)
    first = suspects[0] if suspects else None
    if first is not None and first.kind in ("traffic", "traffic source"):
        return "no golden case asks what the new traffic asks"
    return "no golden case or probe asks the provider these questions again and again"


def moved(p: Postmortem) -> tuple[tuple[str, str], ...]:
    """Which charts spoke, and how long after the onset: (what, when), the first first."""
    out = []
    for name, at in p.investigation.first_alarms:
        metric, _, rest = name.partition(" ")
        direction = rest.split(" ")[0]
        what = phrase_of(metric, direction) if direction in ("up", "down") else name
        note = " (a warning that pages nobody)" if "warning" in rest else ""
        out.append((what + note, f"T+{since_onset(p.incident, max(at, p.incident.onset_us))}"))
    return tuple(out)


def steady(p: Postmortem) -> tuple[tuple[str, str, str], ...]:
    """What is usually watched and did not speak: (what, before, since), from the evidence."""
    by_claim = {e.claim: e for e in p.investigation.evidence}
    if not {USUAL_BEFORE, USUAL_SINCE} <= by_claim.keys():
        return ()
    spoke = {name.partition(" ")[0] for name, _ in p.investigation.first_alarms} | {p.incident.metric}
    before, since = by_claim[USUAL_BEFORE].figures, by_claim[USUAL_SINCE].figures
    rows = []
    for metric, direction in WATCHED.items():
        if metric in spoke or not (before.get(f"{metric}.w") and since.get(f"{metric}.w")):
            continue
        means = [f[f"{metric}.wsum"] / f[f"{metric}.w"] for f in (before, since)]
        rows.append((_watched(metric, direction), *(_level(metric, m) for m in means)))
    return tuple(rows)  # type: ignore[arg-type]


def _watched(metric: str, direction: str) -> str:
    names = {"latency_s": "mean latency", "cost_usd": "mean cost", "thumbs": "thumbs up", "rating": "mean rating"}
    return names.get(metric) or phrase_of(metric, direction)


def _level(metric: str, mean: float) -> str:
    if metric == "latency_s":
        return f"{mean:.3g} s"
    if metric == "cost_usd":
        return f"{mean:.3g} USD"
    return f"{mean:.3g}" if metric == "rating" else percent(mean)


def cost_usd(p: Postmortem) -> tuple[float, str] | None:
    """What the harmed interactions cost, with its reference; None where traffic tells no cost."""
    for e in p.investigation.evidence:
        if e.claim == COST and e.figures.get("cost_usd.n"):
            return e.figures["cost_usd.wsum"], f" [{e.id}]"
    return None


def went_well(p: Postmortem) -> tuple[str, ...]:
    """What worked, from the record: alarms, acknowledgements, levers, recovery, with times."""
    i = p.incident
    out = []
    if i.lead:
        broken, _, _ = beyond_limit(p.points, i.onset_us, p.investigation.at_us)
        text = f"a chart alarmed {lag_texts(i)[0]} after the estimated onset, before anybody had to report it"
        noticed = i.noticed_us
        if noticed is not None and noticed < i.alarmed_us:
            text = f"a chart alarmed {lag_texts(i)[0]} after the estimated onset"
        out.append(text + ("" if broken or not p.points else "; the chart never left its limits in the windows drawn"))
    else:
        out.append("somebody said that an answer was wrong, and it was written down")
    if i.acked_us is not None:
        out.append(f"somebody was at it {_after(i.acked_us, i.alarmed_us)} the alarm")
    out += [hold_text(i, h) for h in since_alarm(i, p.timeline) if harm_went(h) != "rose"][:3]
    for word, at in (("harm stopped", i.stabilised_us), ("the cause was known", i.diagnosed_us)):
        if at is not None:
            out.append(f"{word} {_after(at, i.alarmed_us)} the alarm")
    if i.recovered_us is not None:
        out.append(
            f"recovery was measured, not declared: all exit criteria were met {_after(i.recovered_us, i.alarmed_us)} the alarm"
        )
    if p.investigation.examples:
        out.append(
            f"{len(p.investigation.examples)} failing answers were copied out at once, so that they can become golden cases"
        )
    return tuple(out)


def harm_went(h: Held) -> str:
    """Where harm went under a hold: ``fell``, ``rose``, ``went`` (either, as far as is known); empty where nothing tells it."""
    found = None if h.effect.startswith("cannot tell") else _WENT.search(h.effect)
    return found[1] if found else ""


def lesson_of(p: Postmortem) -> str:
    """What an incident taught, in a sentence: what people wrote of how the factors worked together, else the first factor.

    A factor that people added comes before those of the record; empty where nothing is known.
    """
    for section in p.review.sections:
        if section.section in _LESSONS and (said := " ".join(section.text.split())):
            return _SENTENCE.split(said, maxsplit=1)[0]
    factors = [*p.review.factors, *p.factors]
    if not factors:
        return ""
    return f"{factors[0].area.capitalize()}: {_EVIDENCE.sub('', factors[0].text).split('; ')[0].rstrip('. ')}."


def _after(at_us: int, since_us: int) -> str:
    return f"{duration(max(0, at_us - since_us) / 1e6)} after"


def why_late(p: Postmortem) -> str:
    """The reason for the gap, without the figures of the lag and of proposals, which the document tells in tables.

    It is the clause of the gap's sentence that begins with the kind of the gap; empty where there is none.
    """
    gap = p.investigation.gap
    clauses = gap.text.rstrip(".").split("; ")
    return next((c.removeprefix(f"{gap.kind}: ") for c in clauses if c.startswith(f"{gap.kind}: ")), "")


def lag_rows(p: Postmortem) -> tuple[tuple[str, str, str], ...]:
    """The lag step by step: (from what to what, how long, its interval); empty where no chart dates the onset."""
    i = p.incident
    if not i.lead:
        return ()
    best, low, high = lag_texts(i)
    rows = [("onset → alarmed", best, f"{low} to {high}, 95 %")]
    if i.visible_us is not None:
        rows.insert(0, ("onset → first visible to users", since_onset(i, max(i.visible_us, i.onset_us)), ""))
    if i.noticed_us is None:
        rows.append(("alarmed → noticed by a person", "nobody has said anything yet", ""))
    elif i.noticed_us < i.alarmed_us:
        rows.append(("noticed by a person → alarmed", duration((i.alarmed_us - i.noticed_us) / 1e6), ""))
    else:
        rows.append(("alarmed → noticed by a person", duration((i.noticed_us - i.alarmed_us) / 1e6), ""))
    first = next(iter(since_alarm(i, p.timeline)), None)
    if first is not None:
        begins, begin_us = "alarmed", i.alarmed_us
        if i.opened_us is not None and i.alarmed_us <= i.opened_us <= first.at_us:
            rows.append(("end of the window that alarmed → incident opened", exactly(i.opened_us - i.alarmed_us), ""))
            begins, begin_us = "incident opened", i.opened_us
        rows.append((f"{begins} → lever held", exactly(first.at_us - begin_us), ""))
        rows += [("lever held → effective in an application", first.effective, "")] if first.effective else []
    if i.stabilised_us is not None and i.stabilised_us >= i.alarmed_us:
        rows.append(("alarmed → stabilised", duration((i.stabilised_us - i.alarmed_us) / 1e6), ""))
    return tuple(rows)


def layers(p: Postmortem) -> tuple[tuple[str, str], ...]:
    """What the record shows by layer: suspects with their probability, analyses that found something, the gap."""
    return tuple((layer, "; ".join(_of_layer(p, layer)) or "nothing in the record points here") for layer in LAYERS)


def _of_layer(p: Postmortem, layer: str) -> list[str]:
    found = p.investigation
    suspects = named_suspects(p.incident, found)
    out = [f"{s.title} ({odds(s.probability)})" for s in suspects if _layer(s) == layer and s.probability >= 0.01]
    for a in (a for a in found.analyses if a.found == "yes" and _layer_of(a) == layer):
        out.append(f"{a.name}: {a.text.partition('; ')[0].rstrip('.')}")  # its figures stand where it is told
    if layer == "monitoring" and found.gap.kind != "none":
        out.append(": ".join(filter(None, (found.gap.kind, why_late(p)))))
    if layer == "process":
        out += [f"{f.area}: {f.text}" for f in (*p.factors, *p.review.factors) if f.area in _PROCESS]
    return out


def _layer(s: Suspect) -> str:
    return next((layer for layer, kinds in LAYERS.items() if s.kind in kinds), "")


def _layer_of(a: Analysis) -> str:
    return next((layer for word, layer in _ANALYSES.items() if word in a.name.lower()), "monitoring")


def checklist(p: Postmortem) -> tuple[tuple[str, str], ...]:
    """The diagnosis checklist of classical ML: (question, what the record answers)."""
    found, i = p.investigation, p.incident
    where = found.slices[0].where if found.slices else {}
    narrow = scope_text(where) if where else ""
    lately = found.impact.lately
    rows = [
        ("Did what is asked change?", _kinds(p, "traffic", "traffic source")),
        ("Did the data behind the answers change?", _kinds(p, "corpus")),
        ("Did features, index or embedding change?", _kinds(p, "index", "embedding model")),
        ("Did the model, its prompt or its parameters change?", _kinds(p, *LAYERS["model logic"])),
        ("Did code, configuration or routing change?", _kinds(p, *LAYERS["deployment"])),
        ("Did something outside change?", _kinds(p, *LAYERS["infrastructure"])),
        ("Did the measure itself change?", _kinds(p, "scorer")),
        (
            "Is it everywhere, or in one part?",
            found.verdict + (f"; most of it in {narrow}" if narrow else "; everywhere alike" if alike(p) else ""),
        ),
        (
            "Does it go on?",
            "cannot tell: no traffic lately"
            if lately is None
            else f"the rate of harm is {percent(lately)} lately{refs_to(found, 'harmed interactions lately', 'interactions lately')}",
        ),
        ("Was it watched?", "no chart saw it" if not i.lead else found.gap.kind.replace("none", "yes, without a gap")),
    ]
    return tuple(rows)


def alike(p: Postmortem) -> bool:
    """Whether systematic harm is in all parts of the traffic that can be told apart, and in none more than in the rest."""
    found = p.investigation
    return found.verdict == "systematic" and not found.slices and bool(found.parts)


def _kinds(p: Postmortem, *kinds: str) -> str:
    known = [s for s in p.investigation.suspects if s.kind in kinds]
    if not p.incident.lead:
        known = [s for s in known if s.own]  # the others are of no record
    if not known:
        return "nothing of this kind is recorded"
    if not p.incident.lead:
        return f"{len(known)} recorded; cannot tell whether one of them matters: nothing dates the onset"
    best = max(known, key=lambda s: s.probability)
    more = f", and {len(known) - 1} more" if len(known) > 1 else ""
    return f"{odds(best.probability)}: {best.title}{more}"
