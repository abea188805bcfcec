"""Two interactions beside each other: what differs first, in words."""

from typing import Any

from starlette.responses import RedirectResponse

from andon.errors import InputError
from andon.traffic import SEGMENTS, VERSIONS, Interaction
from andon.traffic.run import Story
from andon.web.asking import Ask, Gone, Page
from andon.web.differing import word_diff
from andon.web.pages.traffic_one import judged_of, link_of, story_of
from andon.web.pages.traffic_shown import FOLD, clean, name_of, shown_value
from andon.web.pages.traffic_steps import took
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["pages"]

pages = Pages()
FIELDS = (
    "error", *VERSIONS, "arm", *(s for s in SEGMENTS if s not in VERSIONS), "app", "environment", "finish_reason", "refused", "escalated", "guardrail",
    "latency_s", "first_token_s", "input_tokens", "output_tokens", "cost_usd", "confidence", "prediction", "user_id", "session_id",
)  # fmt: skip
QUIET = (
    "latency_s",
    "first_token_s",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "user_id",
    "session_id",
    "confidence",
)
"""Fields that differ between any two: they are told below, not in the sentence."""


@pages.read("/traffic/compare")
def compare(ask: Ask) -> Page | RedirectResponse:
    """What is the same of two interactions, and what is not."""
    picked = [v for k, v in ask.pairs if k == "pick" and v]
    if picked:
        if len(picked) != 2:
            raise InputError(f"{len(picked)} interactions are chosen: choose two to see them beside each other")
        return _chosen(picked)
    given = {k: ask.query.get(k, "").strip() for k in ("a", "b")}
    if not all(given.values()):
        return Page(
            template="traffic/compare.html",
            title="Compare",
            live=False,
            context={"a": None, "b": None, "given": given, "missing": ""},
        )
    try:
        a, b = (story_of(ask, given[k], ask.query.get(f"{k}_at", "")) for k in ("a", "b"))
    except Gone as gone:
        return Page(
            template="traffic/compare.html", title="Compare", live=False, status=404,
            context={"a": None, "b": None, "given": given, "missing": gone.message},
        )  # fmt: skip
    return _beside(ask, a, b)


def _chosen(picked: list[str]) -> RedirectResponse:
    """The address of two that were ticked in a list: ``TIME:ID`` each, the earlier one first."""
    from urllib.parse import urlencode

    pairs = sorted(
        (int(at) if at.isdecimal() and len(at) < 19 else 0, id_) for at, _, id_ in (p.partition(":") for p in picked)
    )
    (a_at, a), (b_at, b) = pairs
    return RedirectResponse(f"/traffic/compare?{urlencode({'a': a, 'a_at': a_at, 'b': b, 'b_at': b_at})}", 303)


def _beside(ask: Ask, a: Story, b: Story) -> Page:
    scores = _scores(ask, a, b)
    told = {r["metric"] for r in scores}
    rows = [r for r in _fields(a.interaction, b.interaction) if r["name"] not in told] + scores
    columns = (Column(key="field", title="what"), Column(key="a", title="first"), Column(key="b", title="second"))
    different = Table(
        name="differences", title="What differs", columns=columns, rows=[r for r in rows if r["differs"]],
        empty="They have the same versions, segments and scores.",
    )  # fmt: skip
    same = Table(
        name="same",
        title="What is the same",
        columns=columns,
        rows=[r for r in rows if not r["differs"]],
        empty="Nothing is.",
    )
    texts = [
        (name, *word_diff((x or "")[: FOLD * 5], (y or "")[: FOLD * 5]), bool(x), bool(y))
        for name, x, y in (
            ("Question", a.interaction.query, b.interaction.query), ("Answer", a.interaction.answer, b.interaction.answer),
        )
        if x or y
    ]  # fmt: skip
    return Page(
        template="traffic/compare.html",
        title="Compare",
        tables=[different, same],
        live=False,
        context={
            "a": a, "b": b, "head": _head(rows), "different": different, "same": same, "texts": texts, "link_of": link_of,
            "passages": _passages(a.interaction, b.interaction), "given": {},
        },
    )  # fmt: skip


def _fields(a: Interaction, b: Interaction) -> list[dict[str, Any]]:
    rows = []
    for name in FIELDS:
        x, y = getattr(a, name), getattr(b, name)
        if x is None and y is None:
            continue
        shown = [_word(name, v) for v in (x, y)]
        tone = "bad" if name == "error" and x != y else ""
        rows.append(
            {
                "name": name, "field": name_of(name.removesuffix("_version")), "a": Cell(value=shown[0], tone=tone if x else ""),
                "b": Cell(value=shown[1], tone=tone if y else ""), "differs": x != y, "loud": x != y and name not in QUIET,
            }
        )  # fmt: skip
    return rows


def _word(name: str, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return took(value) if name.endswith("_s") else value


def _scores(ask: Ask, a: Story, b: Story) -> list[dict[str, Any]]:
    left, right = ({j.measured.metric: j for j in judged_of(ask, s)} for s in (a, b))
    rows = []
    for metric in sorted({*left, *right}):
        pair = [left.get(metric), right.get(metric)]
        x, y = (None if j is None else j.value for j in pair)
        cells = [
            Cell(value=None)
            if j is None
            else Cell(value=shown_value(j.value, j.measured.unit, j.measured.kind), tone="bad" if j.bad else "")
            for j in pair
        ]
        verdicts = [None if j is None else j.bad for j in pair]
        loud = verdicts[0] != verdicts[1] or any(j is not None and j.measured.kind == "binary" for j in pair)
        rows.append(
            {
                "metric": metric,
                "field": f"score: {name_of(metric)}",
                "a": cells[0],
                "b": cells[1],
                "differs": x != y,
                "loud": x != y and loud,
            }
        )
    return rows


def _head(rows: list[dict[str, Any]]) -> str:
    """What differs, in one sentence: versions, segments and outcomes before figures."""
    loud = [r for r in rows if r["loud"]]
    if not loud:
        return "They differ in nothing that is known of their versions, segments and outcomes"
    words = [
        f"{r['field'].removeprefix('score: ')} ({_short(r['a'].value)} → {_short(r['b'].value)})" for r in loud[:4]
    ]
    more = f" and {len(loud) - 4} more" if len(loud) > 4 else ""
    return f"They differ in {', '.join(words)}{more}"


def _short(value: Any) -> str:
    text = "none" if value is None else clean(str(value))
    return text if len(text) <= 40 else f"{text[:39]}…"


def _passages(a: Interaction, b: Interaction) -> list[tuple[str, str, bool, bool, str]]:
    """Passages of both: id, text, whether each has it, and a word for it."""
    found: dict[tuple[str, str], list[bool]] = {}
    for n, i in enumerate((a, b)):
        for c in i.contexts:
            found.setdefault((c.id or "", c.text), [False, False])[n] = True
    words = {(True, True): "both", (True, False): "only the first", (False, True): "only the second"}
    return [(id_, text, has[0], has[1], words[has[0], has[1]]) for (id_, text), has in found.items()]
