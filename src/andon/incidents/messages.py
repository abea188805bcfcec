"""What people are told: short texts whose first sentence is the one that is needed, harmless wherever they are shown."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from andon.incidents.records import Incident, Message, Reason, Tone
from andon.incidents.words import duration, one_line, scope_text
from andon.traffic import format_time
from andon.traffic.clock import minute_text

__all__ = ["MOST_SUSPECTS", "link_of", "message_of", "neutral", "sample_message"]

MOST_SUSPECTS = 3

_LOOK_ALIKE = str.maketrans(
    {
        "<": "‹", ">": "›", "@": "＠", "[": "［", "]": "］", "`": "ˋ", "*": "∗", "|": "¦", "\\": "⧵", "~": "∼", "#": "＃",
        "&": "＆", "_": "＿",
    }
)  # fmt: skip
"""Characters that Slack, Teams, Discord, Markdown or HTML obey, and what is shown instead: what one of these undoes by a
backslash, another one prints with the backslash, so none is escaped. Mentions, links, images, tags, emphasis and code need
one of them."""

_ADDRESS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*):(?=//)|\b(www|mailto|tel)([.:])")
"""What chats make links of by themselves."""

_DOMAIN = re.compile(r"(?<=\w)\.(?=[^\W\d_]{2})")
"""The dots of ``evil.com/login``, which many chats and mail programs make a link of; not those of numbers and versions."""

_MOST = 220
"""Characters of an incident's title and of the reason for its severity: with these, PagerDuty takes the link as well."""

_UNTOLD = "Whether it goes on cannot be told from the traffic that came since."

_TONES: dict[str, Tone] = {"P1": "urgent", "P2": "warning", "P3": "note"}


def neutral(text: str, limit: int = 300) -> str:
    """Text from traffic or people on one line, shortened, that no terminal, chat or mail program obeys.

    It cannot mention anybody (``@channel``, ``<!here>``), link anywhere, not even by a bare ``evil.com``, be set in bold or
    italics, or look like a message of its own. Signs that could are shown as others that look alike.
    """
    line = _DOMAIN.sub("․", one_line(text, limit).translate(_LOOK_ALIKE))
    return _ADDRESS.sub(lambda m: f"{m[1]}∶" if m[1] else f"{m[2]}{'∶' if m[3] == ':' else '․'}", line)


def message_of(
    incident: Incident,
    reason: Reason,
    *,
    now_us: int,
    url: str = "",
    suspects: Sequence[str] = (),
    mix: str = "",
    proposal: str = "",
    told_us: int | None = None,
    sure: bool = True,
) -> Message:
    """The message that tells of an incident for a reason; what is needed most comes first, because services cut the end off.

    Args:
        incident: its latest version.
        reason: why people are told.
        now_us: the clock.
        url: address of this Andon; without it the command is named instead.
        suspects: explanations, the most likely first; the first three are told.
        mix: what the check of the traffic's mix said.
        proposal: what the broken limit proposes to be done.
        told_us: when the channel was told last.
        sure: False where nobody can tell whether harm goes on; then the message says so.
    """
    best, low, high = (duration(s) for s in incident.lag_s)
    times = [minute_text(t) for t in (incident.onset_us, incident.onset_low_us, incident.onset_high_us)]
    place = f"{neutral(incident.app, 60)} ({neutral(incident.environment, 60)})"
    when = f"since {times[0]} UTC (between {times[1]} and {times[2]}), alarmed after {best} ({low} to {high})"
    if not incident.lead:  # nobody measured an onset: a person spoke
        when = f"reported at {minute_text(incident.alarmed_us)} UTC"
    facts = [neutral(incident.severity_reason, _MOST) + ".", f"{place}, {when}."]
    more = [f"Traffic mix: {neutral(mix)}."] if mix else []
    causes = [] if reason == "closed" or not incident.lead else [neutral(s, 160) for s in suspects[:MOST_SUSPECTS]]
    plain = [*_why(incident, reason, now_us, told_us, sure), *facts]
    plain += [f"Proposed: {neutral(proposal)}."] if proposal and reason != "closed" else []
    here = link_of(incident, url)
    show = f"andon incident show {incident.id}"
    ack = [] if reason in ("closed", "late") or incident.acked_us else [f"andon incident ack {incident.id}"]
    text = [*plain, f"See: {here or show}", *(f"I am on it: {c}" for c in ack), *more]
    text += [f"Suspects: {'; '.join(causes)}."] if causes else []
    see = f"[See {incident.id}]({here})" if here else f"See: `{show}`"
    markdown = [*plain, see, *(f"I am on it: `{c}`" for c in ack), *more]
    markdown += ["Suspects:\n\n" + "\n".join(f"{k}. {c}" for k, c in enumerate(causes, 1))] if causes else []
    about = f"andon-{incident.id}-{incident.alarmed_us}"
    return Message(
        title=_title(incident, reason, sure),
        text="\n".join(text),
        markdown="\n\n".join(markdown),
        tone="over" if reason == "closed" else "note" if reason == "late" else _TONES[incident.severity],
        about=about,
        id=f"{about}-{reason}-{told_us or 0}",
        reason=reason,
        at_us=now_us,
        link=here,
        details=_details(incident, causes),
    )


def _details(incident: Incident, causes: Sequence[str]) -> dict[str, str]:
    """The facts of a message one by one, harmless as the rest of it."""
    facts = {
        "incident": incident.id,
        "severity": incident.severity,
        "state": incident.state,
        "class": incident.impact,
        "failure": incident.failure or "",
        "app": neutral(incident.app, 60),
        "environment": neutral(incident.environment, 60),
        "what": neutral(incident.title, _MOST),
        "part": neutral(scope_text(incident.scope), _MOST),
        "metric": incident.metric,
        "since": format_time(incident.onset_us),
        "noticed": format_time(incident.alarmed_us),
        "acknowledged by": neutral(incident.acked_by or "", 60),
        "closed because": neutral(incident.closed_why or ""),
        **{f"suspect {k}": c for k, c in enumerate(causes, 1)},
    }
    return {k: v for k, v in facts.items() if v}


def sample_message(url: str = "") -> Message:
    """A message that shows what a page looks like and says that it is none."""
    here = f" This Andon is at {url}." if url else ""
    text = f"This is a test of Andon's messages. Nothing is wrong, and nobody has to do anything.{here}"
    return Message(title="TEST: this is what a page of Andon looks like", text=text, markdown=text, tone="note")


def link_of(incident: Incident, url: str) -> str:
    """The page of an incident, which begins with the chart of the breach; empty without an address."""
    return f"{url.rstrip('/')}/incidents/{quote(incident.id, safe='')}" if url else ""


def _title(incident: Incident, reason: Reason, sure: bool) -> str:
    leads: dict[Reason, str] = {
        "worse": f"Now {incident.severity}",
        "still": f"{'Still' if sure else 'Perhaps still'} {incident.severity}",
        "late": "Was, and went away",
        "closed": "Closed",
        "acked": "Acknowledged",
    }
    return f"{leads.get(reason, incident.severity)}: {neutral(incident.title, _MOST)}"


def _why(incident: Incident, reason: Reason, now_us: int, told_us: int | None, sure: bool) -> list[str]:
    """The sentence that says why there is another message."""
    told = f"the message of {minute_text(told_us)} UTC" if told_us is not None else "the last message"
    late = f"Learned {duration((now_us - incident.alarmed_us) / 1e6)} after the signal"
    lasted = duration(((incident.closed_us or now_us) - incident.onset_us) / 1e6)
    texts: dict[Reason, str] = {
        "opened": "" if sure else f"{late}. {_UNTOLD}",
        "late": f"{late}; no signal has come since. Nobody has to get up for it.",
        "worse": f"It has become more urgent since {told}.",
        "still": f"{'It goes on.' if sure else _UNTOLD} Nobody has acknowledged it since {told}.",
        "unsure": f"Whether {told} arrived is not known, so this is perhaps a repetition.",
        "acked": f"{neutral(incident.acked_by or 'somebody', 60)} is on it.",
        "closed": f"Closed {lasted} after the onset: {neutral(incident.closed_why or 'no reason was given')}",
    }
    return [texts[reason]] if texts[reason] else []
