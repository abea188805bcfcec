"""From a page to its HTML: the templates, what they may call, and the frame around every page."""

from functools import cache, partial
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from andon.incidents import duration, odds
from andon.levers import value_text
from andon.monitors.verdicts import percent
from andon.web import charts
from andon.web.asking import Ask, Page
from andon.web.forms import Form
from andon.web.frame import NAVIGATION, lamp_of
from andon.web.tables import Cell
from andon.web.zones import clock_text, day_text, exact_text, second_text

if TYPE_CHECKING:
    from andon.web.told import Said

__all__ = ["STATIC", "render"]

STATIC = Path(__file__).parent / "static"


def render(ask: Ask, page: Page, *, csrf: str, said: "Said | None") -> str:
    """The HTML of a page.

    Args:
        ask: the request.
        page: what is shown.
        csrf: what its forms carry; empty where nobody is signed in.
        said: what the page before has told.
    """
    context = {
        "ask": ask,
        "page": page,
        "said": said,
        "navigation": NAVIGATION,
        "here": _section(ask.path),
        "lamp": lamp_of(ask) if ask.person.id else None,
        "form": partial(Form, ask, csrf, count(1)),
        "with_query": ask.here,
        "time": partial(_time, ask),
        "day": lambda us: day_text(us, ask.zone, ask.now_us),
        "exact": lambda us: second_text(us, ask.zone, ask.now_us),
        "clock": lambda us: clock_text(us, ask.zone, ask.now_us),
        "ago": partial(_ago, ask),
        **page.context,
    }
    return _environment().get_template(page.template).render(context)


@cache
def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("andon.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        auto_reload=False,
    )  # fmt: skip
    env.filters |= {
        "duration": duration,
        "odds": lambda p: odds(p).replace(" ", "\u00a0"),
        "percent": percent,
        "value": value_text,
        "quoted": partial(quote, safe=""),
        "count": lambda n: f"{n:,}",
        "plain": _plain,
        "tied": lambda text: text.replace(" %", "\u00a0%"),  # a figure and its sign stay on one line
        "ticks": _ticks,
        "cell": lambda v: v if isinstance(v, Cell) else Cell(value=v),
    }
    env.globals |= {"charts": charts, "static": _static, "query": _query}
    return env


def _section(path: str) -> str:
    return path.split("/", 2)[1]


@cache
def _static(name: str) -> str:
    """Address of a static file, another one when its content is: so it may be kept for ever."""
    digest = blake2b((STATIC / name).read_bytes(), digest_size=6).hexdigest()
    return f"/static/{name}?{digest}"


def _query(**values: Any) -> str:
    """A query of an address, of what is not empty."""
    return urlencode({k: v for k, v in values.items() if v not in (None, "")})


def _time(ask: Ask, us: int | None, never: str = "") -> Markup:
    """A time in the reader's zone; the machine's form and the exact one are in it too."""
    if us is None:
        return Markup('<span class="soft">{}</span>').format(never)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact_text(us, _utc()).replace(" UTC", "Z").replace(" ", "T"),
        exact_text(us, ask.zone),
        clock_text(us, ask.zone, ask.now_us),
    )


def _ago(ask: Ask, us: int | None, never: str = "never") -> Markup:
    """How long ago something was, or in how long it will be."""
    if us is None:
        return Markup('<span class="soft">{}</span>').format(never)
    seconds = (ask.now_us - us) / 1e6
    text = f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact_text(us, _utc()).replace(" UTC", "Z").replace(" ", "T"), exact_text(us, ask.zone), text
    )


def _utc() -> Any:
    from andon.web.zones import zone_of

    return zone_of("UTC")


def _ticks(text: object) -> Markup:
    """Text in which what stands between backticks is code."""
    parts = _plain(text).split("`")
    if len(parts) % 2 == 0:
        return escape("`".join(parts))
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts))


def _plain(text: object, longest: int = 0) -> str:
    """Text without characters that nobody sees; cut where it is too long."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in str("" if text is None else text))
    return shown if not longest or len(shown) <= longest else shown[: longest - 1] + "…"
