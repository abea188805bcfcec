"""The report of an experiment: the decision first, every text harmless, one page that needs nothing else."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from andon.rollouts import Allocation, Arm, Decision, Experiment, Finding, Guardrail
from andon.rollouts.drawing import Looked, draw_effect
from andon.rollouts.report import Report, headline, render_html, render_markdown, render_text

DAY = 86_400_000_000
T0 = 1_790_000_000_000_000
EVIL = (
    "<script>alert(1)</script> | [x](javascript:a) \x1b[31m\u202e **b** `c` ![i](http://e.vil/x.png) & \"q\" 'p'\n# h"
)

EXPERIMENT = Experiment(
    id="EXP-0001", kind="ab", app="bot", lever="prompt", control=None, treatment="abcdef123456", share=0.5,
    hypothesis="Sources make it refuse less.", metric="refusal", better="down", effect=0.005,
    guardrails=(Guardrail(metric="error", margin=0.002), Guardrail(metric="error", margin=0.01, risk_category="high")),
    base=0.05, planned=(29_614, 29_614), days=14, by="ann", at_us=T0,
)  # fmt: skip
SPLIT = Allocation(
    id="prompt:production", experiment="EXP-0001", lever="prompt", environment="production", control=None,
    treatment="abcdef123456", share=0.5, salt="s", from_us=T0, until_us=T0 + 14 * DAY, by="bob", why="as planned",
)  # fmt: skip


def _finding(role: str, effect: float | None, half: float | None, verdict: str, **more: object) -> Finding:
    ends = (None, None) if effect is None or half is None else (effect - half, effect + half)
    said = {
        "metric": "refusal",
        "control": 0.05,
        "treatment": None if effect is None else 0.05 + effect,
        "text": f"{role} said",
    }
    return Finding(role=role, effect=effect, low=ends[0], high=ends[1], verdict=verdict, **{**said, **more})  # type: ignore[arg-type]


def _look(k: int, outcome: str = "undecided", verdict: str = "undecided", **more: object) -> Decision:
    half = None if k == 1 else 0.02 / k
    findings = (
        _finding("primary", -0.008, half, verdict),
        _finding("guardrail", 0.0001, 0.001, "not worse", metric="error"),
        _finding("guardrail", 0.004, 0.02, "undecided", metric="error", risk_category="high"),
        _finding("segment", -0.01, 0.03, "undecided", risk_category="low"),
    )
    fields = {
        "id": f"EXP-0001@{k:04d}", "at_us": T0 + k * DAY, "app": "bot", "metric": "refusal", "look": k, "experiment": "EXP-0001",
        "control": Arm(name="control", n=2_000 * k, events=100 * k), "treatment": Arm(name="treatment", n=2_010 * k, events=84 * k),
        "outcome": outcome, "reason": f"the reason of look {k}", "effect": -0.008, "low": findings[0].low, "high": findings[0].high,
        "ratio_mismatch": 0.4, "fraction": k / 14, "more_days": 3.0, "most_days": 5.0, "findings": findings, "notes": ("2 users are in both arms",),
    }  # fmt: skip
    return Decision(**{**fields, **more})  # type: ignore[arg-type]


def _report(**more: object) -> Report:
    looks = [_look(k) for k in range(1, 8)] + [_look(8, "promote", "better")]
    fields = {
        "experiment": EXPERIMENT, "decisions": looks, "allocation": SPLIT, "written": [(T0 - DAY, "ann")],
        "gates": [("abcdef123456 (treatment)", "pass: 40 of 40")], "changes": [(T0, "lever-prompt-EXP-0001-began", "it began")],
    }  # fmt: skip
    return Report(**{**fields, **more})  # type: ignore[arg-type]


RENDERERS = pytest.mark.parametrize("render", [render_text, render_markdown, render_html])


class _Tags(HTMLParser):
    """Elements and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("outcome", ["promote", "hold", "roll back", "undecided"])
@RENDERERS
def test_the_decision_and_why_come_first(render: object, outcome: str) -> None:
    """Whatever was decided, the first sentence after the title is the decision of the last look with its reason."""
    report = _report(decisions=[_look(1), _look(2, outcome)])
    text = render(report)  # type: ignore[operator]
    first = f"{outcome.capitalize()}: the reason of look 2."
    assert headline(report) == first
    said = _Tags(text).text if render is render_html else text
    assert said.index(first) < said.lower().index("hypothesis")
    assert "the reason of look 1" not in said


def test_before_the_start_and_before_a_look_it_says_so() -> None:
    """A plan that was not started, and one that nobody looked at, say that instead of a decision."""
    assert headline(_report(allocation=None, decisions=[])).startswith("Not started")
    report = _report(decisions=[])
    assert headline(report).startswith("Undecided: it was not looked at yet")
    assert "<svg" not in render_html(report)


@RENDERERS
def test_all_that_is_known_stands_in_it(render: object) -> None:
    """Hypothesis, split, primary, guardrails, risk categories, looks, plan, gate and changes are in every form."""
    text = render(_report())  # type: ignore[operator]
    for said in (
        "Sources make it refuse less.", "2 users are in both arms", "error in high", "refusal in low", "29,614", "pass: 40 of 40",
        "lever-prompt-EXP-0001-began", "16,080", "−0.80 points", "p = 0.4",
    ):  # fmt: skip
        assert said in text, said
    assert len(re.findall(r"undecided, 3 to 5 days more", text)) == 7


def test_the_treatment_that_is_still_served_is_told_with_the_command() -> None:
    """After a decision, who reads is told how to take the treatment out and how to promote it; after the end, who ended it."""
    text = render_text(_report(decisions=[_look(1, "hold")]))
    assert 'The treatment is still served: andon rollout stop EXP-0001 --why "..."' in text
    text = render_text(_report())
    stop, *promote = [
        'andon rollout stop EXP-0001 --why "it is promoted"',
        'andon lever promote prompt abcdef123456 --to staging --why "EXP-0001"',
        'andon lever promote prompt abcdef123456 --to production --why "EXP-0001"',
    ]
    assert commands(text) == [stop, *promote]
    ended = replace(SPLIT, ended_us=T0 + 8 * DAY, ended_by="cy", ended_why="promoted")
    text = render_text(_report(allocation=ended))
    assert commands(text) == promote
    assert "still served" not in text
    assert "by cy: promoted" in text
    over = render_text(_report(now_us=SPLIT.until_us))
    assert commands(over) == promote
    assert "still served" not in over
    default = render_text(_report(experiment=replace(EXPERIMENT, treatment=None, control="abcdef123456")))
    assert commands(default)[1:] == ['andon lever promote prompt default --to production --why "EXP-0001"']


@pytest.mark.parametrize(
    ("outcome", "ended", "says"),
    [
        ("roll back", None, "Andon does not serve prompt_version: take the treatment out where it is served. "),
        ("roll back", "cy", "Andon does not serve prompt_version: take the treatment out where it is served. "),
        ("hold", None, None),
        ("undecided", "cy", None),
    ],
)
def test_the_end_takes_nothing_out_that_something_else_serves(
    outcome: str, ended: str | None, says: str | None
) -> None:
    """After harm was shown, also an experiment that is over says that whoever serves the treatment takes it out."""
    field = replace(EXPERIMENT, lever=None, field="prompt_version", treatment="v2", control="v1")
    split = replace(SPLIT, lever=None, ended_us=ended and T0 + 8 * DAY, ended_by=ended, ended_why=ended and "enough")
    report = _report(experiment=field, allocation=split, decisions=[_look(8, outcome)], now_us=SPLIT.until_us)
    text = render_text(report)
    assert ("take the treatment out" in text) == (says is not None)
    assert says is None or says in text
    assert "andon rollout stop" not in text
    running = render_text(replace(report, allocation=replace(SPLIT, lever=None), now_us=T0 + 8 * DAY))
    assert ("andon rollout stop" in running) == (outcome != "undecided")


def test_a_look_that_is_late_is_told_once() -> None:
    """A look that is not taken stands in the opening, save where the first sentence says that the last one is not."""
    late = "A look waits since 2026-09-29T14:13:20Z: andon rollout look EXP-0001 takes it, or says what it waits for."
    report = _report(decisions=[_look(7)], late_us=T0 + 8 * DAY)
    assert late in render_text(replace(report, now_us=T0 + 9 * DAY))
    over = render_text(replace(report, now_us=SPLIT.until_us))
    assert "a look waits" not in over.lower()
    assert over.count("andon rollout look") == 1
    assert late in render_text(replace(report, decisions=[_look(7, "hold")], now_us=SPLIT.until_us))


def commands(text: str) -> list[str]:
    """What a report says to type."""
    return [line for line in text.splitlines() if line.startswith("andon ")]


@pytest.mark.parametrize("ended", [None, T0 + 9 * DAY])
def test_an_end_without_its_last_look_is_told_first(ended: int | None) -> None:
    """After a stop, and after the planned time, the first sentence does not say that it runs, and how many days more."""
    split = replace(SPLIT, ended_us=ended, ended_by=ended and "cy", ended_why=ended and "enough")
    report = _report(decisions=[_look(8)], allocation=split, now_us=SPLIT.until_us if ended is None else ended)
    assert headline(report).startswith(f"Not decided yet: it ended {'2026-10-05' if ended is None else '2026-09-30'}")
    assert "andon rollout look EXP-0001" in headline(report)
    assert headline(_report(decisions=[_look(8)], now_us=SPLIT.until_us - 1)).startswith(
        "Undecided: the reason of look 8"
    )
    assert headline(_report(allocation=split, now_us=report.now_us)).startswith("Promote")


@RENDERERS
def test_a_plan_that_was_changed_after_the_start_is_told_loudly(render: object) -> None:
    """A version of the plan that is later than the start takes the promise away, and that is said in capitals."""
    loud = "THE PLAN WAS CHANGED AFTER THE START"
    assert loud not in render(_report())  # type: ignore[operator]
    assert loud in render(_report(written=[(T0 - 1, "ann"), (T0 + 1, "eve")]))  # type: ignore[operator]


@RENDERERS
def test_a_broken_split_shows_no_effect(render: object) -> None:
    """Where the split is broken no finding was made, so no effect is shown, and the split is told to be broken."""
    broken = _look(2, "hold", effect=None, low=None, high=None, findings=(), ratio_mismatch=1e-9, fraction=None)
    text = render(_report(decisions=[broken]))  # type: ignore[operator]
    assert "BROKEN (p = 1e-09" in text
    assert "none read" in text
    assert "points to" not in text
    assert "Primary metric" not in text
    assert "<svg" not in text


def _hostile() -> Report:
    finding = _finding("primary", -0.008, 0.002, "better", metric=EVIL, risk_category=EVIL, text=EVIL)
    guard = _finding("guardrail", 0.0, 0.002, "worse", metric=EVIL, risk_category=EVIL, text=EVIL)
    look = _look(2, "roll back", reason=EVIL, metric=EVIL, app=EVIL, findings=(finding, guard), notes=(EVIL,))
    experiment = replace(EXPERIMENT, hypothesis=EVIL, metric=EVIL, app=EVIL, by=EVIL, guardrails=(Guardrail(metric=EVIL, margin=0.1, risk_category=EVIL),))  # fmt: skip
    split = replace(SPLIT, by=EVIL, why=EVIL, ended_us=T0 + 2 * DAY, ended_by=EVIL, ended_why=EVIL)
    name = f"c-{EVIL}"
    return Report(
        experiment=experiment, decisions=[_look(1), look], allocation=split, written=[(T0, EVIL)], gates=[(EVIL, EVIL)],
        changes=[(T0, name, EVIL)],
    )  # fmt: skip


def test_a_hostile_text_is_no_element_of_the_page() -> None:
    """No script, image, link or event handler comes from what people and traffic wrote; each text stands there as text."""
    page = render_html(_hostile())
    found = _Tags(page)
    allowed = {"html", "head", "meta", "title", "style", "body", "div", "main", "h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td",
               "strong", "figure", "figcaption", "footer", "svg", "desc", "line", "text", "polyline", "polygon", "circle"}  # fmt: skip
    assert {tag for tag, _ in found.tags} <= allowed
    assert not [a for _, attrs in found.tags for a in attrs if a.startswith("on") or a in ("href", "src")]
    assert "<script>alert(1)</script> | [x](javascript:a)" in found.text
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_the_page_needs_nothing_else() -> None:
    """No request is made: a strict policy, no address but the name space of the drawing; light and dark."""
    page = render_html(_report())
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert set(re.findall(r"(?:https?:)?//[^\s\"'<)]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme: dark" in page


def test_a_hostile_text_is_no_markdown() -> None:
    """Rendered as Markdown the report has no link, image, HTML or emphasis but its own, and no row of a table is broken."""
    md = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = md.parse(render_markdown(_hostile()))
    inner = [c for t in tokens for c in t.children or []]
    assert not [t for t in tokens if t.type == "html_block"]
    assert not [c for c in inner if c.type in ("link_open", "image", "html_inline", "code_inline", "em_open")]
    assert len([c for c in inner if c.type == "strong_open"]) == 1
    assert len([t for t in tokens if t.type == "heading_open" and t.tag == "h1"]) == 1
    titles = [tokens[k + 1].content for k, t in enumerate(tokens) if t.type == "heading_open" and t.tag == "h2"]
    assert "h" not in titles


def test_a_terminal_gets_no_control_character() -> None:
    """No character but line feeds moves anything, and no text begins a line of its own."""
    text = render_text(_hostile())
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    assert "\n# h" not in text


@pytest.mark.parametrize("width", [400, 860])
@pytest.mark.parametrize("looks", [1, 2, 14, 200])
def test_the_chart_is_one_drawing_inside_its_frame(looks: int, width: int) -> None:
    """It is well-formed XML, has a point for each look, and nothing lies outside of the paper."""
    points = [Looked(k / 24, -0.8 + 1 / k, -90.0 / k if k > 1 else None, 60.0 / k if k > 1 else None, "undecided", EVIL) for k in range(1, looks + 1)]  # fmt: skip
    drawn = draw_effect(
        points, title=EVIL, planned=-0.5, planned_label=EVIL, unit=EVIL, end=(looks / 24, EVIL), width=width
    )
    root = ET.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    circles = root.findall(f"{space}circle")
    assert len(circles) == looks
    for circle in circles:
        assert 0 <= float(circle.attrib["cx"]) <= width
        assert 0 <= float(circle.attrib["cy"]) <= 300
    lines = [float(line.attrib[k]) for line in root.findall(f"{space}line") for k in ("x1", "x2", "y1", "y2")]
    assert min(lines) >= 0
    assert max(lines) <= width
    assert {e.tag.removeprefix(space) for e in root.iter()} <= {"svg", "title", "desc", "line", "text", "polyline", "polygon", "circle"}  # fmt: skip


def test_the_chart_tells_good_from_harm() -> None:
    """A look that shows an improvement has another colour than one that shows harm; zero and the plan are lines with words."""
    both = [Looked(1, -0.5, -0.9, -0.1, "better", "a"), Looked(2, 0.5, 0.1, 0.9, "worse", "b")]
    drawn = draw_effect(both, title="t", planned=-0.5, planned_label="worth having", unit="points")
    assert [re.search(r"var\(--(\w+)", c)[1] for c in re.findall(r"<circle[^>]*>", drawn)] == ["good", "bad"]  # type: ignore[index]
    assert ">no effect<" in drawn
    assert ">worth having<" in drawn


def test_the_chart_goes_to_the_last_look_and_marks_the_decision() -> None:
    """Looks after the decision, and one that read no effect, are on the axis; the mark stands where it was decided."""
    looks = [_look(1), _look(2, "promote"), _look(3, "promote"), _look(4, "promote", findings=(), effect=None)]
    drawn = draw_effect(
        [Looked(1, 0, None, None, "undecided", "a"), Looked(3, 0, None, None, "better", "b")],
        title="t", planned=0.1, planned_label="p", until=4, width=860,
    )  # fmt: skip
    width = 860 - 18 - 64
    assert float(re.findall(r'cx="([\d.]+)"', drawn)[-1]) == pytest.approx(64 + 0.75 * width, abs=0.1)
    page = render_html(_report(decisions=looks))
    marked = float(re.findall(r'class="mark" x1="([\d.]+)"', page)[0])
    assert marked == pytest.approx(64 + 0.5 * width, abs=0.1)


def test_no_look_is_drawn_where_nothing_was_read() -> None:
    """Without any effect there is a sentence instead of an empty frame."""
    assert "nothing to draw" in draw_effect([], title="t", planned=0.1, planned_label="p")


def _titles(report: Report) -> list[str]:
    """Where a metric is named beside its figures: cells of tables, the tile and the title of the chart."""
    page = render_html(report)
    cells = re.findall(r'<td data-label="metric">([^<]*)', page)
    return [*cells, *re.findall(r'data-label="effect on ([^"]*)"><strong', page), *re.findall(r"<title>Effect of EXP-0001 on ([^<]*) at", page)[:1]]  # fmt: skip


def test_harm_of_a_metric_that_should_go_up_is_named_as_harm() -> None:
    """Where figures count harm, a fall of such a metric would look like a gain; a metric whose rise is harm keeps its name."""
    canary = replace(EXPERIMENT, kind="canary", better="up")
    named = _titles(_report(experiment=canary, should_rise=["error"]))
    assert named.count("harm of refusal") == 3  # primary, tile, chart
    assert {*named} == {"harm of refusal", "harm of error", "harm of error in high", "harm of refusal in low"}
    assert "effect on harm" in render_text(_report(experiment=canary))
    plain = {"refusal", "error", "error in high", "refusal in low"}
    assert {*_titles(_report(experiment=replace(canary, better="down")))} == plain
    assert {*_titles(_report(experiment=replace(EXPERIMENT, better="up")))} == plain  # an A/B reads its metric as it is
    assert {*_titles(_report(experiment=replace(canary, spread=0.2)))} == plain  # a mean, too


def test_a_number_is_not_told_in_points() -> None:
    """The effect on a mean stands in the metric's own unit; its guardrails are rates of harm."""
    report = _report(experiment=replace(EXPERIMENT, spread=0.25, base=0.7, effect=0.02, better="up"))
    text = render_text(report)
    assert "goes up by 0.02 or more, from 0.7" in text
    assert "−0.008" in text
    assert "+0.40 points" in text
