"""A postmortem as one self-contained HTML page: no script, no request, readable on a phone and on paper."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from andon.incidents import duration, odds, scope_text
from andon.monitors import draw_chart
from andon.postmortems.draft import counts_of, minute, plain
from andon.postmortems.records import Postmortem

__all__ = ["render_html"]


def render_html(p: Postmortem) -> str:
    """The whole page. Everything that came from traffic or people is escaped by the template engine."""
    return _environment().get_template("postmortem.html").render(p=p, chart=Markup(_chart(p)))  # noqa: S704


def _chart(p: Postmortem) -> str:
    """The control chart; `draw_chart` escapes what it is given."""
    i = p.incident
    first = p.investigation.suspects[0] if p.investigation.suspects else None
    marks = [(i.alarmed_us, "alarm")]
    if first is not None and first.at_us is not None:
        marks.append((first.at_us, f"{first.kind} change"))
    return draw_chart(
        p.points, title=plain(_cut(p.chart_title, 400)), marks=marks, onset=(i.onset_low_us, i.onset_high_us)
    )


def _shown(value: object) -> object:
    """What an expression of the template shows: text from traffic without control characters."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


@cache
def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("andon.postmortems"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "counts": counts_of,
        "cut": _cut,
        "minute": minute,
        "duration": duration,
        "scope": scope_text,
        "odds": odds,
        "percent": lambda v: f"{v:.1%}",
    }
    return env
