"""Laws of the two documents of a postmortem: complete, inert, the same every time."""

import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from drafted import HOUR, T0, incident, investigation, minimal, postmortem, signal
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from andon.incidents import TimelineEvent
from andon.incidents.words import signals_text
from andon.monitors import Point
from andon.postmortems import (
    ContributingFactor,
    Postmortem,
    SignOff,
    Written,
    contributing_factors,
    propose_actions,
    render_html,
    render_markdown,
    summarise,
)
from andon.postmortems.draft import beyond_limit, plain, slo_times
from andon.postmortems.html import draw_postmortem_chart
from andon.postmortems.lessons import interactions, layers, steady, went_well
from andon.postmortems.lint import lint_text
from andon.postmortems.markdown import BUILT_IN, inert, sections_of, signed_text
from andon.postmortems.run import write_documents


class Seen(HTMLParser):
    """Every element with its attributes, every text, comment and declaration of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.other: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, tuple(attrs)))
        if tag not in ("meta", "circle", "line", "rect", "polyline", "polygon"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.elements.append((tag, tuple(attrs)))

    def handle_endtag(self, tag) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.texts.append(data)

    def handle_comment(self, data) -> None:
        self.other.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


HOSTILE = {
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)><!-- \"'><b>",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "closing": "</title></style></svg></p></td></body></html><iframe src=//evil>",
    "cdata": "]]><script>alert(1)</script><![CDATA[",
    "javascript link": "[click](javascript:alert(1)) ![x](javascript:alert(1)) <javascript:alert(1)>",
    "bare address": "https://evil.example/x www.evil.example HTTP://evil.example",
    "table": "a | b |\n|---|---|\n| `c` | d |",
    "blocks": "\n\n# heading\n\n- list\n\n> quote\n\n```\ncode\n```\n\n---\n\n<div>",
    "backticks": "`` ` ``` code",
    "ansi": "\x1b[2J\x1b]0;title\x07\x00\x08\x7f",
    "direction": "\u202eevil\u2066\u200b",
    "entities": "&lt;script&gt; &#60;script&#62; &amp;",
    "jinja": "{{ 7 * 7 }}{% raw %}{{ p }}",
    "reference": "[E1] [E3, E4](javascript:alert(1))",
    "list": "- a",
    "number": "1. a",
    "rule": "---",
    "underline": "===",
    "long": "A" * 10**6,
    "long hostile": "<b>|`[x](y)" * 10**5,
}


NAMED = ("aria-label", "data-label")
"""Attributes that repeat what is written in the page, for those who cannot see the chart or the head of a table."""


def skeleton(p: Postmortem) -> list[tuple[str, tuple[tuple[str, str | None], ...]]]:
    """The elements and attributes of the page, in order; a reference to evidence that is there is none of them."""
    page = Seen(render_html(p))
    assert page.open == []
    elements = [(tag, tuple((k, v if k not in NAMED else "") for k, v in attrs)) for tag, attrs in page.elements]
    return [(tag, attrs) for tag, attrs in elements if ("class", "ref") not in attrs]


def by(template: str, p: Postmortem) -> Postmortem:
    """The same record by another built-in template."""
    return replace(p, review=replace(p.review, template=template))


@pytest.mark.parametrize("template", BUILT_IN)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_element_or_attribute_comes_from_content(text: str, template: str) -> None:
    """Whatever stands in every field, the page has exactly the elements and attributes that it has for plain words."""
    hostile, usual = by(template, postmortem(text)), by(template, postmortem("words"))
    assert skeleton(hostile) == skeleton(usual)
    page = Seen(render_html(hostile))
    assert not {"script", "iframe", "img", "object", "embed", "form", "link", "base"} & {t for t, _ in page.elements}
    assert not any(
        k.startswith("on") or (k == "href" and not v.startswith("#")) for _, a in page.elements for k, v in a
    )
    assert [o.lower() for o in page.other] == ["doctype html"]


@given(st.text(min_size=1, max_size=200))
@settings(deadline=None, max_examples=40)
@example(" ")
@example("\x00")
def test_any_text_leaves_the_page_as_it_is(text: str) -> None:
    """For any text at all, the structure of the page is that of plain words, and the Markdown has as many lines."""
    assert skeleton(postmortem(text)) == skeleton(postmortem("words"))
    assert len(render_markdown(postmortem(text)).split("\n")) == len(render_markdown(postmortem("words")).split("\n"))


@pytest.mark.parametrize("text", ["", " ", "\u200b"])
def test_what_has_no_text_is_told_in_fitting_words(text: str) -> None:
    """A field without a visible character leaves no empty quotation marks and no lone stop; only an answer is “no answer”."""
    markdown = render_markdown(postmortem(text))
    assert not re.search(r"“ *”|\*\* +\.|^ *\.|[:;] *\.", markdown, re.MULTILINE)
    before, _, answers = markdown.partition("## What the answers looked like")
    answers, _, after = answers.partition("\n## ")
    assert "(no answer)" in answers
    assert "no answer" not in before + after
    assert "The most probable explanation is “(blank)” (90 %)." in before


def test_the_policy_of_the_page() -> None:
    """The page forbids scripts, requests, forms and another base by its Content-Security-Policy."""
    page = Seen(render_html(postmortem()))
    policies = [dict(a)["content"] for t, a in page.elements if t == "meta" and dict(a).get("http-equiv")]
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]
    assert "script-src" not in policies[0]
    assert "base-uri 'none'" in policies[0]
    assert "form-action 'none'" in policies[0]


@pytest.mark.parametrize("template", BUILT_IN)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_markdown_shows_content_and_obeys_none(text: str, template: str) -> None:
    """In Markdown, content adds no line, no cell, no heading, no link, no HTML and no code, and the table rows keep their cells."""
    made, usual = (render_markdown(by(template, postmortem(t))).split("\n") for t in (text, "words"))
    assert len(made) == len(usual)
    for line, plain_line in zip(made, usual, strict=True):
        for mark in (r"(?<!\\)\|", r"(?<!\\)`", r"^#*", r"^ *(?:[-*+>]|\d+[.)]) "):
            assert len("".join(re.findall(mark, line))) == len("".join(re.findall(mark, plain_line))), line
        assert not re.search(r"<(?!/?$)", line)
        assert not re.search(r"(?i)[a-z]://|\bwww\.", line)
        assert set(re.findall(r"(?<!\\)\]\(([^)]*)\)", line)) <= {"#evidence", "INC-0001-chart.svg"}
    assert all(c == "\n" or c.isprintable() for c in "\n".join(made))


@pytest.mark.parametrize("template", BUILT_IN)
def test_a_huge_answer_costs_and_takes_little(template: str) -> None:
    """A megabyte in every field makes documents of less than 250 kB each within seconds."""
    began = time.process_time()
    p = by(template, postmortem("<b>x|" * 200_000))
    assert len(render_html(p)) < 250_000
    assert len(render_markdown(p)) < 250_000
    assert time.process_time() - began < 5


SECTIONS = {
    "llm": ("Summary", "What explains it", "Impact", "Timeline", "Why it was not seen sooner", "Fix", "Prevention"),
    "ml": ("What the model was supposed to do", "Diagnosis checklist", "Causes by layer", "Which assumption failed"),
    "questions": ("1. What was the output", "2. What changed?", "3. Isolated", "4. What was the detection gap?"),
}


@pytest.mark.parametrize("template", BUILT_IN)
@pytest.mark.parametrize("p", [minimal(), postmortem()], ids=["minimal", "rich"])
def test_all_documents_render_and_are_the_same_again(p: Postmortem, template: str, tmp_path: Path) -> None:
    """A bare and a rich record render by every template, the same bytes every time, with every section."""
    first = write_documents(by(template, p), tmp_path / "one")
    again = write_documents(by(template, p), tmp_path / "two")
    assert [path.name for path in first] == [path.name for path in again]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    markdown, html = (path.read_text(encoding="utf-8") for path in first[:2])
    for section in (*SECTIONS[template], "Contributing factors", "Evidence"):
        assert f"## {section}" in markdown
        assert section in html
    assert p.incident.id in html
    assert "None" not in html.replace("None that the record shows", "").replace("None yet", "")
    assert "nan" not in markdown


def test_a_bare_record_says_what_is_missing() -> None:
    """Without examples, suspects, users or traffic, the documents say so in words."""
    markdown, html = render_markdown(minimal()), render_html(minimal())
    for document in (markdown, html):
        assert "No failing interaction could be read back" in document
        assert "traffic names no users" in document
        assert "Nothing could be named that explains it" in document
        assert "No observations to draw" in document
        assert "How many interactions in all traffic of app refusals were hit cannot be told" in document
    assert "Label the 0" not in markdown
    assert "chart.svg" not in markdown


def test_a_reported_incident_has_a_draft_without_a_chart() -> None:
    """What people reported and no chart saw is summarised as such: no lag, no baseline, an action to watch it."""
    i = replace(incident(), lead="", metric="", origin="report")
    lost, lag, _ = summarise(i, investigation(), None)
    assert "interactions of the kind that was reported" in lost
    assert "is not measured: people reported it." in summarise(i, minimal().investigation, None)[0]
    assert "baseline" not in lost
    assert lag.startswith("No chart saw it")
    assert ContributingFactor(area="observability", text="people noticed it, and no chart did") in contributing_factors(
        i, investigation()
    )
    p = replace(minimal(), incident=i, summary=summarise(i, minimal().investigation, None))
    assert "no chart saw it" in render_markdown(p)


def test_every_figure_of_the_summary_is_that_of_its_evidence() -> None:
    """Harm, traffic, baseline, excess and the last rate in the summary are those of the evidence that they point at."""
    found = investigation()
    lost, lag, cause = summarise(incident(), found, signal())
    by_id = {e.id: e.figures.get("refusal.n", 0.0) for e in found.evidence}
    assert f"{by_id['E3']:,.0f} of {by_id['E4']:,.0f} interactions" in lost
    assert "refuse [E3, E4]" in lost
    assert f"the baseline of {by_id['E1'] / by_id['E2']:.0%} [E1, E2]".replace("%", " %") in lost
    assert f"about {by_id['E3'] - by_id['E4'] * by_id['E1'] / by_id['E2']:,.0f} more" in lost
    assert "It hit 321 users, 12 of them more than once." in lost
    assert "detection lag of 3 h (2 h to 4 h)" in lag
    assert "“words” (90 %)" in cause


def test_a_baseline_without_evidence_is_the_charts() -> None:
    """Where no traffic from before is left, the summary takes the chart's baseline and points at no evidence for it."""
    found = replace(investigation(), evidence=())
    assert "the baseline of 2 %." in summarise(incident(), found, signal())[0]


@pytest.mark.parametrize("template", BUILT_IN)
def test_every_reference_leads_to_evidence(template: str) -> None:
    """Each reference of the Markdown leads to the section of evidence, each of the page to the row of that evidence."""
    p = by(template, postmortem())
    markdown, page = render_markdown(p), Seen(render_html(p))
    named = set(re.findall(r"\[\[(E\d+)\]\]\(#evidence\)", markdown))
    assert {"E1", "E2", "E3", "E4", "E8"} <= named
    assert named == set(re.findall(r"\[(E\d+)\]", markdown))
    hrefs = {dict(a)["href"] for t, a in page.elements if t == "a" and ("class", "ref") in a}
    anchors = [dict(a)["id"] for _, a in page.elements if dict(a).get("id")]
    assert hrefs == {f"#{e}" for e in named}
    assert hrefs <= {f"#{a}" for a in anchors}
    assert len(anchors) == len(set(anchors))
    assert {"evidence", "chart"} <= set(anchors)
    assert "## Evidence" in markdown


def test_a_reference_to_no_evidence_is_text() -> None:
    """A text from traffic that looks like a reference to evidence that is not there leads nowhere."""
    assert "[[E99]]" not in render_markdown(postmortem("as [E99] shows"))
    assert "\\[E99\\]" in render_markdown(postmortem("as [E99] shows"))


def test_the_chart_is_inline_and_beside_the_markdown(tmp_path: Path) -> None:
    """The page holds the chart itself, marked with the alarm and the change; the Markdown names the file written beside it."""
    p = replace(postmortem(), points=points(0.5, 0.05, 0.3, 0.3))
    paths = write_documents(p, tmp_path)
    assert [path.name for path in paths] == ["INC-0001.md", "INC-0001.html", "INC-0001-chart.svg"]
    markdown, html, svg = (path.read_text(encoding="utf-8") for path in paths)
    assert "](INC-0001-chart.svg)" in markdown
    assert svg in html
    assert ">alarm</text>" in svg
    assert svg.startswith("<svg")


def test_a_phone_sees_the_whole_chart_and_whole_labels() -> None:
    """On a phone a chart of that width takes the place of the wide one, and a cell is as high as its name beside it."""
    page = render_html(replace(postmortem(), points=points(0.5, 0.05, 0.3, 0.3)))
    assert 'viewBox="0 0 860 300"' in page
    assert 'viewBox="0 0 400 300"' in page
    narrow = page[page.index("@media screen and (max-width: 42rem)") : page.index("@media print")]
    assert ".plot { display: none; } .plot.phone { display: block; }" in narrow
    assert "overflow-x" not in narrow
    (cell,) = re.findall(r"\n  table\.wide td \{([^}]*)\}", narrow)
    (name,) = re.findall(r"table\.wide td::before \{([^}]*)\}", narrow)
    assert "display: flow-root" in cell
    assert "float: left" in name
    assert "absolute" not in name


def test_places_for_people_are_visible_until_written() -> None:
    """Each section that a template asks for is marked as empty; what a person wrote takes its place, the latest counts."""
    p = postmortem()
    for name in BUILT_IN:
        assert render_markdown(by(name, p)).count("_For people to write_") == len(sections_of(name))
    texts = [
        Written(section="Fix", text=t, by="ana", at_us=T0) for t in ("Old words.", "We rolled it back.\n\n- twice")
    ]
    filled = replace(p, review=replace(p.review, sections=tuple(texts)))
    markdown = render_markdown(filled)
    assert "## Fix\n\nWe rolled it back.\n\n- twice\n" in markdown
    assert "Old words" not in markdown
    assert markdown.count("_For people to write_") == len(sections_of("llm")) - 1
    assert "<li>twice</li>" in render_html(filled)


def test_what_people_wrote_is_never_lost() -> None:
    """A section that was written for another template stands at the end, under its name."""
    kept = Written(section="Which assumption failed", text="That answers are new.", by="ana", at_us=T0)
    p = replace(postmortem(), review=replace(postmortem().review, sections=(kept,)))
    assert "## Which assumption failed\n\nThat answers are new." in render_markdown(p)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_people_write_makes_paragraphs_lists_and_quotations_only(text: str) -> None:
    """Whatever is pasted into a section, it brings no other elements than those of prose, and no attributes."""
    p = replace(
        postmortem(),
        review=replace(postmortem().review, sections=(Written(section="Fix", text=text, by="a", at_us=T0),)),
    )
    html = render_html(p)
    part = Seen(html[html.index('<h2 id="fix">') : html.index('<h2 id="why-we-were-surprised">')])
    assert {t for t, _ in part.elements} <= {"h2", "p", "ul", "ol", "li", "blockquote", "a"}
    assert all(a in ((), (("id", "fix"),)) or ("class", "ref") in a for _, a in part.elements)


def test_a_sign_off_is_of_the_text_alone() -> None:
    """Status, sign-offs, comments and the time of the draft leave the signed text as it is.

    A written section does not, nor does a new state, title or timeline entry of the incident.
    """
    p = postmortem()
    signed = replace(
        p,
        at_us=p.at_us + HOUR,
        review=replace(p.review, status="published", comments=(), signoffs=(SignOff(by="b", at_us=T0, digest="1"),)),
    )
    assert signed_text(signed) == signed_text(p)
    fix = Written(section="Fix", text="Rolled back.", by="ana", at_us=T0)
    assert signed_text(replace(p, review=replace(p.review, sections=(fix,)))) != signed_text(p)
    new = replace(p.timeline[0], id="t3", kind="note", text="the index was rebuilt")
    for changed in (
        replace(p, incident=replace(p.incident, state="stabilised")),
        replace(p, incident=replace(p.incident, title="Renamed")),
        replace(p, timeline=(*p.timeline, new)),
    ):
        assert signed_text(changed) != signed_text(p)
    assert "## Signed off\n\nb on 2026-" in render_markdown(signed)


def points(*rates: float) -> tuple[Point, ...]:
    """Hours from the onset on, with these rates of a hundred and a limit of a tenth."""
    return tuple(
        Point(start_us=T0 + k * HOUR, end_us=T0 + (k + 1) * HOUR, n=100, x=round(100 * r), low=0, centre=0.02, high=0.1)
        for k, r in enumerate(rates)
    )


def test_slo_minutes_are_the_windows_beyond_the_limit() -> None:
    """The limit is broken for as long as the windows above it last, not before the onset and not after the last datum."""
    end = T0 + 5 * HOUR
    assert beyond_limit(points(0.5, 0.05, 0.3), T0, end) == (2 * HOUR, 3 * HOUR, HOUR)
    assert beyond_limit(points(0.5, 0.05, 0.3), T0 + HOUR, end) == (HOUR, 2 * HOUR, HOUR)
    assert beyond_limit(points(0.5, 0.05, 0.3), T0 + HOUR // 2, end) == (3 * HOUR // 2, 5 * HOUR // 2, HOUR)
    assert beyond_limit(points(0.5, 0.05, 0.3), T0, T0 + 9 * HOUR // 4) == (5 * HOUR // 4, 9 * HOUR // 4, HOUR)
    assert beyond_limit((), T0, end) == (0, 0, 0)
    assert (
        "The control limit was broken for 120 of 180 minutes."
        in summarise(incident(), investigation(), signal(), points(0.5, 0.05, 0.3))[0]
    )
    assert (
        "objective “fast”"
        in summarise(incident(), investigation(), replace(signal(), objective="fast"), points(0.5))[0]
    )


def test_only_pairs_of_factors_that_are_there_worked_together() -> None:
    """There is a sentence for each pair of the record's areas, none with an area that no factor has."""
    p = replace(postmortem(), points=points(0.5, 0.05, 0.3, 0.3), before_alarm=(43, 100))
    areas = {f.area for f in p.factors}
    told = interactions(p)
    assert len(told) >= 3
    for text in told:
        one, other = text.split(":")[0].split(" × ")
        assert {one, other} <= areas
    assert any("43 of 100 answers went out harmed" in text for text in told)
    assert not any("0 harmed" in text for text in interactions(replace(p, before_alarm=None)))
    assert interactions(replace(p, factors=p.factors[:1])) == ()


def test_what_went_well_comes_from_the_record() -> None:
    """Alarm, acknowledgement, levers and measured recovery are told with their times, and only where they happened."""
    p = replace(postmortem(), timeline=())
    assert not any("lever" in t or "somebody was at it" in t for t in went_well(p))
    i = replace(p.incident, acked_us=T0 + 4 * HOUR, recovered_us=T0 + 9 * HOUR)
    text = 'lever: lever routing held at "safe-model" (ann)'
    pull = TimelineEvent(id="l", incident=i.id, happened_us=T0 + 5 * HOUR, learned_us=0, kind="lever", text=text)
    told = went_well(replace(p, incident=i, timeline=(pull,)))
    assert "somebody was at it 60 min after the alarm" in told
    assert 'a lever was held 2 h after the alarm: routing at "safe-model" (ann)' in told
    assert any(t.startswith("recovery was measured") for t in told)


def test_what_is_usually_watched_and_stayed_is_shown_with_its_figures() -> None:
    """A usual metric that did not signal is shown before and since; one that signalled is not called steady."""
    assert steady(postmortem()) == (("calls that fail or answer nothing", "2 %", "3 %"),)
    found = replace(investigation(), first_alarms=(("error up", T0),))
    assert steady(replace(postmortem(), investigation=found)) == ()
    assert "12.50 USD for the harmed interactions [[E8]](#evidence)" in render_markdown(postmortem())


def test_each_suspect_speaks_for_one_layer() -> None:
    """A suspect stands in the layer of its kind and in no other; the gap stands under monitoring."""
    table = dict(layers(postmortem("the prompt v2")))
    assert list(table) == ["data", "features", "model logic", "deployment", "infrastructure", "monitoring", "process"]
    assert "the prompt v2 (90 %)" in table["model logic"]
    assert table["data"] == "nothing in the record points here"
    assert "evaluation lag" in table["monitoring"]


def test_the_short_timeline_keeps_what_matters() -> None:
    """The short form keeps the first signal, states and what people pinned; the rest follows once, what is left out counted."""
    events = [
        TimelineEvent(
            id=f"s{k}", incident="INC-0001", happened_us=T0 + k, learned_us=T0 + k, kind="signal", text=f"signal {k}"
        )
        for k in range(300)
    ]
    state = TimelineEvent(
        id="x", incident="INC-0001", happened_us=T0 + 999, learned_us=T0 + 999, kind="state", text="stabilised"
    )
    p = replace(postmortem(), timeline=(*events, state), pinned=("s200",))
    timeline = render_markdown(p).split("## Timeline")[1].split("\n## ")[0]
    short, full = timeline.split("### Further entries")
    assert re.findall(r"signal \d+|stabilised", short) == ["signal 0", "signal 200", "stabilised"]
    assert "signal (pinned)" in short
    shown = re.findall(r"signal \d+", full)
    assert f"{300 - 2 - len(shown)} later entries are left out" in full
    assert not {"signal 0", "signal 200"} & set(shown)
    assert "stabilised" not in full


def test_further_signals_of_a_metric_are_one_line() -> None:
    """Beside what the short form tells, the first warning and page of a metric stay; its further signals are counted.

    Whatever the values of the traffic say: “change in address” is no part of the metric.
    """

    def told_of(x: int, topic: str = "", n: int = 50, **more: str) -> str:
        where = {"topic": topic} if topic else {}
        return signals_text(replace(signal(), x=x, n=n, scope=where, baseline_x=0, baseline_n=100, **more), 1)

    texts = (
        told_of(6, n=60),
        f"warning: {told_of(13, 'a', n=45)}",
        *(f"{level}{told_of(x, t)}" for x, t in enumerate(("a", "b", "change in address", "d"), 10)
          for level in ("warning: ", "")),
        told_of(9, metric="error"),
        *(told_of(x, "e", n=90) for x in range(4)),
    )  # fmt: skip
    events = [
        TimelineEvent(id=f"s{k}", incident="INC-0001", happened_us=T0 + k, learned_us=T0, kind="signal", text=text)
        for k, text in enumerate(texts)
    ]
    told = render_markdown(replace(postmortem(), timeline=tuple(events))).split("## Timeline")[1].split("\n## ")[0]
    assert [told.count(t) for t in ("6 of 60", "13 of 45", "9 of 50")] == [1, 1, 1]
    assert "answers that refuse: 12 further signals on 5 charts until 2026-09-21 14:13 UTC" in told
    assert told.count("answers that refuse in topic") == 1


def test_factors_and_actions_follow_from_the_record() -> None:
    """An own change names change control, a foreign one the dependency; actions are proposals, due, testable, unowned."""
    own = investigation()
    foreign = replace(own, suspects=(replace(own.suspects[0], own=False, kind="provider"),))
    areas = [f.area for f in contributing_factors(incident(), own)]
    assert areas == ["change control", "observability", "testing"]
    assert "dependency" in [f.area for f in contributing_factors(incident(), foreign)]
    actions = propose_actions(incident(), own, signal())
    assert len({a.id for a in actions}) == len(actions) == 4
    assert all(a.owner is None and a.criterion and a.due_us > own.at_us and a.state == "proposed" for a in actions)
    assert "Pin the model version" in propose_actions(incident(), foreign, signal())[1].title
    assert "2 h sooner than the first alarm" in actions[2].title
    unmeasured = replace(own, gap=replace(own.gap, proposals=()))
    kept = propose_actions(incident(), unmeasured, signal())[2]
    assert kept.title.startswith("Keep the chart of answers that refuse in all traffic of app bot, and replay")
    assert kept.criterion is not None
    assert kept.criterion.subject == "bot/refusal.up"


@given(st.text(max_size=400), st.integers(2, 60))
def test_inert_text_is_one_short_line(text: str, limit: int) -> None:
    """Made inert, any text is one printable line of at most `limit` characters as read, and is blank never."""
    made = inert(text, limit)
    assert made
    assert made.isprintable()
    shown = re.sub(r"\\(.)", r"\1", made)
    for entity, c in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        shown = shown.replace(entity, c)
    assert len(shown) <= max(limit, len("(no answer)"))
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]|#~!$<>]", made)
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(f"words\n\n{made}\n\nwords")
    assert [t.type for t in tokens] == ["paragraph_open", "inline", "paragraph_close"] * 3


@pytest.mark.parametrize("text", [None, "", " \n\t"])
def test_what_is_missing_is_named(text: str | None) -> None:
    """A missing text is named as such, by the words that fit its place."""
    assert inert(text) == "–"
    assert inert(text, blank="(no question)") == "(no question)"


def test_plain_text_keeps_its_lines() -> None:
    """Control and direction characters become spaces, line breaks stay, other text is untouched."""
    assert plain("a\x1b[1m\nb\u202ec") == "a [1m\nb c"
    assert plain("Grüße – 你好") == "Grüße – 你好"


@pytest.mark.parametrize("template", BUILT_IN)
def test_our_own_sentences_are_blameless(template: str) -> None:
    """The linter finds nothing in a draft but what is people's to do (owners of actions): answers that are shown are quoted."""
    blaming = "The nurse should have known, obviously: human error, she failed to notice and was careless."
    p = postmortem()
    examples = tuple(replace(e, question=blaming, answer=blaming, expected=blaming) for e in p.investigation.examples)
    p = by(template, replace(p, investigation=replace(p.investigation, examples=examples)))
    found = {f.rule for f in lint_text(render_markdown(p))}
    assert found <= {"incomplete-action"}


def test_marks_that_nobody_could_tell_apart_are_one() -> None:
    """Lines within a few units of the drawing share one line and one label, in order of time; others keep their own."""
    second = 1_000_000
    points = tuple(
        Point(
            start_us=T0 + k * 10 * second,
            end_us=T0 + (k + 1) * 10 * second,
            n=100,
            x=1,
            low=0.0,
            centre=0.01,
            high=0.05,
        )
        for k in range(72)
    )
    p = postmortem()
    i = replace(
        p.incident, alarmed_us=T0 + 300 * second, stabilised_us=T0 + 306 * second, recovered_us=T0 + 600 * second
    )
    quiet = replace(p.investigation, suspects=())
    svg = draw_postmortem_chart(replace(p, incident=i, investigation=quiet, timeline=(), points=points))
    assert re.findall(r'<text class="mark"[^>]*>([^<]*)</text>', svg) == ["alarm, stabilised", "recovered"]
    assert svg.count('<line class="mark"') == 2


def test_a_short_time_beyond_the_limit_is_told_in_seconds() -> None:
    """From ten minutes on whole minutes are told, before that no minute is 0 of 0."""
    assert slo_times(20_000_000, 55_000_000) == ("20 s", "55 s")
    assert slo_times(270 * 60_000_000, 480 * 60_000_000) == ("270", "480 minutes")
