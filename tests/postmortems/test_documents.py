"""Laws of the two documents of a postmortem: complete, inert, the same every time."""

import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.incidents import Incident, TimelineEvent
from andon.investigations import Evidence, Example, Gap, Impact, Investigation, Part, Suspect, Twin
from andon.monitors import Point, Signal
from andon.postmortems import (
    ActionItem,
    ContributingFactor,
    Criterion,
    Postmortem,
    contributing_factors,
    propose_actions,
    render_html,
    render_markdown,
    summarise,
)
from andon.postmortems.draft import plain
from andon.postmortems.markdown import inert
from andon.postmortems.run import write_documents

T0 = 1_790_000_000_000_000
HOUR = 3_600_000_000


def incident(text: str = "refusals") -> Incident:
    """An incident with this text in every free field."""
    return Incident(
        id="INC-0001",
        title=f"The share of {text} rose",
        app=text,
        environment=text,
        impact_reason=text,
        severity="P1",
        severity_reason=text,
        scope={"risk_category": text},
        metric="refusal",
        lead="s1",
        signals=("s1",),
        onset_us=T0,
        onset_low_us=T0 - HOUR,
        onset_high_us=T0 + HOUR,
        alarmed_us=T0 + 3 * HOUR,
        last_signal_us=T0 + 3 * HOUR,
    )


def signal() -> Signal:
    """Its leading signal."""
    return Signal(
        id="s1",
        monitor="bot/refusal.up",
        app="bot",
        environment="production",
        metric="refusal",
        direction="up",
        at_us=T0 + 3 * HOUR,
        window_us=HOUR,
        x=40,
        n=100,
        baseline_x=1,
        baseline_n=50,
        baseline_from_us=T0 - 99 * HOUR,
        baseline_to_us=T0 - 9 * HOUR,
        statistic=1.0,
        threshold=1e4,
        onset_us=T0,
        onset_low_us=T0 - HOUR,
        onset_high_us=T0 + HOUR,
    )


def evidence(claim: str = "harmed interactions") -> tuple[Evidence, ...]:
    """The four totals, with this claim."""
    return tuple(
        Evidence(id=f"E{k}", claim=claim, plan={"plan": "Rollup"}, figures={"refusal.n": float(n)})
        for k, n in enumerate((30, 1000, 1234, 2000), 1)
    )


def investigation(text: str = "words", n: int = 2) -> Investigation:
    """An investigation with this text in every free field."""
    return Investigation(
        id="INC-0001",
        at_us=T0 + 5 * HOUR,
        examples=tuple(
            Example(
                interaction_id=f"i{k}",
                at_us=T0 + k,
                question=f"{text} {k}",
                answer=text,
                value=1.0,
                expected=f"not {text}",
                expected_from="passing twin",
                twin=Twin(answer=f"not {text}", at_us=T0 - 1),
            )
            for k in range(n)
        ),
        suspects=(
            Suspect(
                id="c",
                title=text,
                kind="prompt",
                probability=0.9,
                own=True,
                at_us=T0 - HOUR,
                supports=(text,),
                against=(text,),
                disproof=text,
            ),
            Suspect(id="no own change: unknown", title=text, kind="unknown", probability=0.1, own=False),
        ),
        verdict="systematic",
        verdict_reason=text,
        parts=(
            Part(field="segment", value=text, before_x=1, before_n=10, after_x=5, after_n=10, low=0.1, high=0.6),
            Part(field="segment", value=f"{text}2", before_x=0, before_n=0, after_x=5, after_n=10, low=-1.0, high=1.0),
        ),
        impact=Impact(n=2000, harmed=1234, excess=1174.0, users=321, sessions=400),
        first_alarms=((text, T0 + 3 * HOUR),),
        gap=Gap(kind="evaluation lag", text=text),
        evidence=evidence(text),
    )


def postmortem(text: str = "words", **more) -> Postmortem:
    """A rich record with this text in every field that traffic or people write."""
    i, found = incident(text), investigation(text)
    told = {
        "timeline": (
            TimelineEvent(id="t1", incident=i.id, happened_us=T0, learned_us=T0 + HOUR, kind="onset", text=text),
            TimelineEvent(id="t2", incident=i.id, happened_us=T0, learned_us=T0, kind=text, text=text, by=text),
        ),
        "points": (Point(start_us=T0, end_us=T0 + HOUR, n=10, x=3, low=0.0, centre=0.02, high=0.1),) * 3,
        "chart_title": text,
        "summary": (*summarise(i, found, signal()), text),
        "factors": (*contributing_factors(i, found), ContributingFactor(area="data", text=text)),
        "actions": (
            *propose_actions(i, found, signal()),
            ActionItem(
                id="A9",
                incident=i.id,
                kind="process",
                title=text,
                criterion=Criterion(kind="lever exists", subject=text),
                due_us=T0 + 99 * HOUR,
                owner=text,
            ),
        ),
    }
    return Postmortem(id=i.id, at_us=T0 + 5 * HOUR, incident=i, investigation=found, **{**told, **more})


def minimal() -> Postmortem:
    """A record of an incident of which nothing else is known."""
    bare = Investigation(id="INC-0001", at_us=T0, impact=Impact(n=0, harmed=0, excess=0.0, users=None, sessions=None))
    i = replace(incident(), scope={})
    return Postmortem(
        id=i.id,
        at_us=T0,
        incident=i,
        investigation=bare,
        summary=summarise(i, bare, signal()),
        factors=contributing_factors(i, bare),
        actions=propose_actions(i, bare, signal()),
    )


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
    "long": "A" * 10**6,
    "long hostile": "<b>|`[x](y)" * 10**5,
}


def skeleton(p: Postmortem) -> list[tuple[str, tuple[tuple[str, str | None], ...]]]:
    """The elements and attributes of the page, in order."""
    page = Seen(render_html(p))
    assert page.open == []
    return [(tag, tuple((k, v if k != "aria-label" else "") for k, v in attrs)) for tag, attrs in page.elements]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_element_or_attribute_comes_from_content(text: str) -> None:
    """Whatever stands in every field, the page has exactly the elements and attributes that it has for plain words."""
    assert skeleton(postmortem(text)) == skeleton(postmortem("words"))
    page = Seen(render_html(postmortem(text)))
    assert not {"script", "iframe", "img", "object", "embed", "form", "link", "base"} & {t for t, _ in page.elements}
    assert not any(
        k.startswith("on") or (k == "href" and not v.startswith("#")) for _, a in page.elements for k, v in a
    )
    assert [o.lower() for o in page.other] == ["doctype html"]


@given(st.text(max_size=200))
@settings(deadline=None, max_examples=40)
def test_any_text_leaves_the_page_as_it_is(text: str) -> None:
    """For any text at all, the structure of the page is that of plain words, and the Markdown has as many lines."""
    assert skeleton(postmortem(text or "x")) == skeleton(postmortem("words"))
    assert len(render_markdown(postmortem(text)).split("\n")) == len(render_markdown(postmortem("words")).split("\n"))


def test_the_policy_of_the_page() -> None:
    """The page forbids scripts, requests, forms and another base by its Content-Security-Policy."""
    page = Seen(render_html(postmortem()))
    policies = [dict(a)["content"] for t, a in page.elements if t == "meta" and dict(a).get("http-equiv")]
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]
    assert "script-src" not in policies[0]
    assert "base-uri 'none'" in policies[0]
    assert "form-action 'none'" in policies[0]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_markdown_shows_content_and_obeys_none(text: str) -> None:
    """In Markdown, content adds no line, no cell, no heading, no link, no HTML and no code, and the table rows keep their cells."""
    made, usual = render_markdown(postmortem(text)).split("\n"), render_markdown(postmortem("words")).split("\n")
    assert len(made) == len(usual)
    for line, plain_line in zip(made, usual, strict=True):
        assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", plain_line))
        assert re.match(r"#*", line)[0] == re.match(r"#*", plain_line)[0]
        assert not re.search(r"<(?!/?$)", line)
        assert not re.search(r"(?<!\\)`", line)
        assert not re.search(r"(?i)[a-z]://|\bwww\.", line)
        links = re.findall(r"(?<!\\)\]\(([^)]*)\)", line)
        assert set(links) <= {"#evidence"}
    text_ = "\n".join(made)
    assert all(c == "\n" or c.isprintable() for c in text_)


def test_a_huge_answer_costs_and_takes_little() -> None:
    """A megabyte in every field makes documents of less than 150 kB each within seconds."""
    began = time.process_time()
    p = postmortem("<b>x|" * 200_000)
    html, markdown = render_html(p), render_markdown(p)
    assert len(html) < 150_000
    assert len(markdown) < 150_000
    assert time.process_time() - began < 5


@pytest.mark.parametrize("p", [minimal(), postmortem()], ids=["minimal", "rich"])
def test_both_documents_render_and_are_the_same_again(p: Postmortem, tmp_path: Path) -> None:
    """A bare and a rich record render in both forms, the same bytes every time, with every section."""
    first = [path.read_bytes() for path in write_documents(p, tmp_path / "one")]
    again = [path.read_bytes() for path in write_documents(p, tmp_path / "two")]
    assert first == again
    markdown, html = (b.decode("utf-8") for b in first)
    for section in ("Impact", "Timeline", "1. What was the output", "2. What changed?", "3. Isolated", "4. What was"):
        assert f"## {section}" in markdown
        assert section in html or section == "Impact"
    assert p.incident.id in html
    assert "None" not in html.replace("None that the record shows", "")
    assert "nan" not in markdown


def test_a_bare_record_says_what_is_missing() -> None:
    """Without examples, suspects, users or traffic, the documents say so in words."""
    markdown, html = render_markdown(minimal()), render_html(minimal())
    for document in (markdown, html):
        assert "No failing interaction could be read back" in document
        assert "traffic names no users" in document
        assert "Nothing could be named that explains it" in document
    assert "No observations to draw" in html
    assert "Label the 0" not in markdown


def test_every_figure_of_the_summary_is_that_of_its_evidence() -> None:
    """Harm, traffic, baseline and excess in the summary are those of the evidence that the sentence points at."""
    found = investigation()
    lost, lag, cause = summarise(incident(), found, signal())
    by_id = {e.id: e.figures["refusal.n"] for e in found.evidence}
    assert f"{by_id['E3']:,.0f} of {by_id['E4']:,.0f} interactions" in lost
    assert "[E3, E4]" in lost
    assert f"the baseline of {by_id['E1'] / by_id['E2']:.1%} would have given [E1, E2]" in lost
    assert f"about {by_id['E3'] - by_id['E4'] * by_id['E1'] / by_id['E2']:,.0f} more" in lost
    assert "321 users" in lost
    assert "detection lag of 3 h (2 h to 4 h)" in lag
    assert "“words” (90 %)" in cause


def test_a_baseline_without_evidence_is_the_charts() -> None:
    """Where no traffic from before is left, the summary takes the chart's baseline and points at no evidence for it."""
    found = replace(investigation(), evidence=())
    assert "the baseline of 2.0% would have given." in summarise(incident(), found, signal())[0]


def test_every_reference_leads_to_evidence() -> None:
    """Each [E...] of the documents names evidence that the document lists."""
    p = postmortem()
    markdown, html = render_markdown(p), render_html(p)
    for document in (markdown, html):
        named = {e for group in re.findall(r"\[(E\d[E\d, ]*)\]", document) for e in group.split(", ")}
        assert named == {"E1", "E2", "E3", "E4"}
    assert all(f'id="{e}"' in html for e in ("E1", "E2", "E3", "E4"))
    assert "[E3, E4](#evidence)" in markdown
    assert "## Evidence" in markdown


def test_factors_and_actions_follow_from_the_record() -> None:
    """An own change names change control, a foreign one the dependency; actions are due, testable and without an owner."""
    own = investigation()
    foreign = replace(own, suspects=(replace(own.suspects[0], own=False, kind="provider"),))
    areas = [f.area for f in contributing_factors(incident(), own)]
    assert areas == ["observability", "change control", "testing"]
    assert "dependency" in [f.area for f in contributing_factors(incident(), foreign)]
    actions = propose_actions(incident(), own, signal())
    assert len({a.id for a in actions}) == len(actions) == 4
    assert all(a.owner is None and a.criterion and a.due_us > own.at_us for a in actions)
    assert "Pin the model version" in propose_actions(incident(), foreign, signal())[1].title


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


@pytest.mark.parametrize("text", [None, "", " \n\t"])
def test_what_is_missing_is_named(text: str | None) -> None:
    """A missing text is named as such, by the words that fit its place."""
    assert inert(text) == "(no answer)"
    assert inert(text, blank="(no question)") == "(no question)"


def test_plain_text_keeps_its_lines() -> None:
    """Control and direction characters become spaces, line breaks stay, other text is untouched."""
    assert plain("a\x1b[1m\nb\u202ec") == "a [1m\nb c"
    assert plain("Grüße – 你好") == "Grüße – 你好"
