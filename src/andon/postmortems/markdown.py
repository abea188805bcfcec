"""A postmortem as Markdown: headings, tables, no raw HTML from traffic."""

import re
from collections.abc import Sequence

from andon.incidents import duration, odds, scope_text
from andon.investigations import Suspect
from andon.postmortems.draft import counts_of, minute, plain
from andon.postmortems.records import Postmortem

__all__ = ["inert", "render_markdown"]

FOR_PEOPLE = "_For people to write; Andon does not guess it._"
_SPECIAL = re.compile(r"([\\`*_{}\[\]|#~!$])")
_LINK = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{1,20}):(?=//)|\b(www)\.")
_ENTITIES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}


def inert(text: str | None, limit: int = 240, blank: str = "(no answer)") -> str:
    """Text from traffic on one line, shortened, with every character that Markdown or HTML reads made harmless.

    Bare addresses are broken as well: GitHub would make links of them.
    """
    line = " ".join(plain((text or "").strip()[: 20 * limit]).split())
    if not line:
        return blank
    if len(line) > limit:
        line = line[: limit - 1] + "…"
    escaped = _SPECIAL.sub(r"\\\1", line).translate(_ENTITIES)
    return _LINK.sub(lambda m: f"{m[1]}\\:" if m[1] else f"{m[2]}\\.", escaped)


def render_markdown(p: Postmortem) -> str:
    """The whole document. Everything that came from traffic or people is escaped."""
    i = p.incident
    head = [
        f"# {i.id}: {inert(i.title, 400)}",
        f"**{i.severity} · {i.impact} · {i.state} · {inert(i.app)} ({inert(i.environment)}) · {p.status} of {minute(p.at_us)}**",
        *(_prose(text) for text in p.summary),
    ]
    parts = [*head, *_impact(p), *_timeline(p), *_questions(p), *_learning(p), *_evidence(p)]
    return "\n\n".join(parts) + "\n"


def _prose(text: str) -> str:
    """Our own sentence, which may quote names from traffic: escaped, but evidence references stay links."""
    return re.sub(r"\\\[(E\d[E\d, ]*)\\\]", lambda m: f"[{m[1]}](#evidence)", inert(text, 2000))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _impact(p: Postmortem) -> list[str]:
    i, impact = p.incident, p.investigation.impact
    rows = [
        ("who", f"{inert(scope_text(i.scope))} of {inert(i.app)}"),
        ("harmed", f"{impact.harmed:,} of {impact.n:,} interactions (about {impact.excess:,.0f} beyond the baseline)"),
        ("users", f"{impact.users:,}" if impact.users else "traffic names no users"),
        ("class", _prose(i.impact_reason)),
        ("severity", _prose(i.severity_reason)),
    ]
    return ["## Impact", _table(("", ""), rows)]


def _timeline(p: Postmortem) -> list[str]:
    rows = [
        (
            minute(e.happened_us),
            _offset(e.happened_us - p.incident.onset_us),
            inert(e.kind),
            _prose(e.text),
            _later(e.learned_us - e.happened_us),
        )
        for e in p.timeline
    ]
    return ["## Timeline", _table(("happened at", "T", "what", "", "learned"), rows)]


def _offset(us: int) -> str:
    return "T+0" if us == 0 else f"T{'+' if us > 0 else '−'}{duration(abs(us) / 1e6)}"


def _later(us: int) -> str:
    return "at once" if us < 60_000_000 else f"{duration(us / 1e6)} later"


def _questions(p: Postmortem) -> list[str]:
    found = p.investigation
    examples = [
        (
            inert(e.question, blank="(no question)"),
            inert(e.answer),
            f"{inert(e.expected)} ({inert(e.expected_from)})" if e.expected else "not known yet",
        )
        for e in found.examples
    ]
    parts = [
        (
            f"{inert(part.field.replace('_', ' '))} {inert(part.value, blank='(blank)')}",
            _share(part.before_x, part.before_n),
            _share(part.after_x, part.after_n),
            _interval(part.low, part.high),
        )
        for part in found.parts
    ]
    alarms = "; ".join(f"{inert(name)} at {minute(at)}" for name, at in found.first_alarms)
    return [
        "## 1. What was the output, and what should it have been?",
        _table(("question", "answer", "expected"), examples)
        if examples
        else "No failing interaction could be read back.",
        "## 2. What changed?",
        _table(
            ("explanation", "probability", "for", "against", "what would disprove it"),
            [_suspect(s) for s in found.suspects[:8]],
        ),
        "## 3. Isolated or systematic?",
        f"**{found.verdict.capitalize()}**: {_prose(found.verdict_reason)}.",
        _table(("part of the traffic", "before", "since", "difference (95 %)"), parts)
        if parts
        else "No part of the traffic can be told apart.",
        "## 4. What was the detection gap?",
        _prose(found.gap.text) + ".",
        f"First alarms: {alarms or 'none'}.",
    ]


def _suspect(s: Suspect) -> tuple[str, ...]:
    return (
        f"**{inert(s.title)}**",
        inert(odds(s.probability)),
        _prose("; ".join(s.supports)) if s.supports else "–",
        _prose("; ".join(s.against)) if s.against else "–",
        _prose(s.disproof),
    )


def _share(x: int, n: int) -> str:
    return f"{x:,} of {n:,} ({x / n:.1%})" if n else "no traffic"


def _interval(low: float, high: float) -> str:
    return "cannot tell" if (low, high) == (-1.0, 1.0) else f"{low:+.1%} to {high:+.1%}"


def _learning(p: Postmortem) -> list[str]:
    factors = "\n".join(f"- **{f.area}**: {_prose(f.text)}" for f in p.factors)
    actions = [
        (
            inert(a.id),
            a.kind,
            _prose(a.title),
            inert(a.owner, blank="nobody yet"),
            minute(a.due_us)[:10],
            inert((a.criterion.text if a.criterion else "nobody has chosen a test yet").replace("`", ""), 2000),
        )
        for a in p.actions
    ]
    return [
        "## Contributing factors",
        factors or "None that the record shows.",
        "How they worked together: " + FOR_PEOPLE,
        "## Why were we surprised? What went well?",
        FOR_PEOPLE,
        "## Actions",
        _table(("", "kind", "action", "owner", "due", "done when"), actions) if actions else "None yet.",
    ]


def _evidence(p: Postmortem) -> list[str]:
    rows = [
        (
            e.id,
            inert(e.claim),
            ", ".join(f"{inert(k)}: {v:,.0f}" for k, v in counts_of(e)),
            str(e.plan.get("plan", "")),
        )
        for e in p.investigation.evidence
    ]
    return [
        "## Evidence",
        "Each figure can be computed again from the plan that is stored with it.",
        _table(("", "what", "figures", "plan"), rows),
    ]
