"""What the record teaches by itself: how factors worked together, what looked fine, what went well, which layer is suspect.

Pure sentences from one `Postmortem`. Each is said only where the record supports it; the rest is for people to write.
"""

from itertools import combinations

from andon.incidents import duration, odds, phrase_of
from andon.investigations import Analysis, Suspect
from andon.monitors.verdicts import percent
from andon.postmortems.draft import beyond_limit, refs_to
from andon.postmortems.records import ContributingFactor, Postmortem

__all__ = [
    "COST",
    "LAYERS",
    "USUAL_BEFORE",
    "USUAL_SINCE",
    "WATCHED",
    "checklist",
    "cost_usd",
    "interactions",
    "layers",
    "moved",
    "steady",
    "went_well",
]

WATCHED = {
    "error": "up",
    "latency_s": "up",
    "thumbs": "down",
    "rating": "down",
    "tool_error": "up",
    "truncated": "up",
    "cost_usd": "up",
}
"""What dashboards usually show, and the direction in which it harms."""
USUAL_BEFORE = "metrics that are usually watched, before the onset"
USUAL_SINCE = "metrics that are usually watched, since the onset"
COST = "cost of the harmed interactions since the onset"

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
_PROCESS = ("change control", "testing", "incentives")


def harmed_before_alarm(p: Postmortem) -> int:
    """Harmed interactions between onset and first alarm, in whole windows of the chart."""
    i = p.incident
    return sum(point.x for point in p.points if point.end_us > i.onset_us and point.start_us < i.alarmed_us)


def interactions(p: Postmortem) -> tuple[str, ...]:
    """How the contributing factors worked together: a sentence for each pair of areas that the record supports."""
    first: dict[str, ContributingFactor] = {}
    for factor in p.factors:
        first.setdefault(factor.area, factor)
    told = (_together(p, frozenset(pair)) for pair in combinations(first, 2))
    return tuple(text for text in told if text)


def _together(p: Postmortem, pair: frozenset[str]) -> str:
    i, lag = p.incident, duration(p.incident.lag_s[0])
    n = harmed_before_alarm(p)
    answers = f"about {n:,} harmed answers went out" if n else "harmed answers went out"
    if not i.lead:
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
            f"data × observability: corpus and index were apart for {lag} before answers showed it, because only answers "
            "are watched"
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


def _untested(p: Postmortem) -> str:
    first = p.investigation.suspects[0] if p.investigation.suspects else None
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
        out.append((what + note, f"T+{duration(max(0, at - p.incident.onset_us) / 1e6)}"))
    return tuple(out)


def steady(p: Postmortem) -> tuple[tuple[str, str, str], ...]:
    """What is usually watched and did not speak: (what, before, since), from the evidence kept with the document."""
    by_claim = {e.claim: e for e in p.evidence}
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
    for e in p.evidence:
        if e.claim == COST and e.figures.get("cost_usd.n"):
            return e.figures["cost_usd.wsum"], f" [{e.id}]"
    return None


def went_well(p: Postmortem) -> tuple[str, ...]:
    """What worked, from the record: alarms, acknowledgements, levers, recovery, with times."""
    i = p.incident
    out = []
    if i.lead:
        broken, _, _ = beyond_limit(p.points, i.onset_us)
        text = (
            f"a chart alarmed {_after(i.alarmed_us, i.onset_us)} the estimated onset, before anybody had to report it"
        )
        noticed = i.noticed_us
        if noticed is not None and noticed < i.alarmed_us:
            text = f"a chart alarmed {_after(i.alarmed_us, i.onset_us)} the estimated onset"
        out.append(text + ("" if broken or not p.points else "; the chart never left its limits in the windows drawn"))
    else:
        out.append("somebody said that an answer was wrong, and it was written down")
    if i.acked_us is not None:
        out.append(f"somebody was at it {_after(i.acked_us, i.alarmed_us)} the alarm")
    levers = [e for e in p.timeline if e.kind == "lever" and e.happened_us >= i.alarmed_us]
    out += [f"a lever was pulled {_after(e.happened_us, i.alarmed_us)} the alarm: {e.text}" for e in levers[:3]]
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


def _after(at_us: int, since_us: int) -> str:
    return f"{duration(max(0, at_us - since_us) / 1e6)} after"


def layers(p: Postmortem) -> tuple[tuple[str, str], ...]:
    """What the record shows by layer: suspects with their probability, analyses that found something, the gap."""
    return tuple((layer, "; ".join(_of_layer(p, layer)) or "nothing in the record points here") for layer in LAYERS)


def _of_layer(p: Postmortem, layer: str) -> list[str]:
    found = p.investigation
    out = [f"{s.title} ({odds(s.probability)})" for s in found.suspects if _layer(s) == layer and s.probability >= 0.01]
    out += [f"{a.name}: {a.text}" for a in found.analyses if a.found == "yes" and _layer_of(a) == layer]
    if layer == "monitoring" and found.gap.kind != "none":
        out.append(f"{found.gap.kind}: {found.gap.text}")
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
    narrow = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in where.items())
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
            found.verdict + (f"; most of it in {narrow}" if narrow else ""),
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


def _kinds(p: Postmortem, *kinds: str) -> str:
    known = [s for s in p.investigation.suspects if s.kind in kinds]
    if not known:
        return "nothing of this kind is recorded"
    best = max(known, key=lambda s: s.probability)
    more = f", and {len(known) - 1} more" if len(known) > 1 else ""
    return f"{odds(best.probability)}: {best.title}{more}"
