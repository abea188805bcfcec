"""Laws of messages: the sentence that is needed comes first, and nothing in them is obeyed by what shows them."""

import re
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_triage import HOUR, T0, signal

from andon.incidents import Incident, Message, message_of, neutral, open_incident, sample_message
from andon.incidents.records import Reason

HOSTILE = [
    "<!channel> look",
    "<!here|here>",
    "@channel @here @everyone",
    "<@U012AB3CD>",
    "<https://evil.example|click>",
    "[x](http://evil.example)",
    "![x](https://evil.example/pixel.png)",
    "<img src=x onerror=alert(1)>",
    "&lt;!channel&gt;",
    "\x1b[2J\x1b]0;owned\x07",
    "a\nP1: fake\r\n# heading",
    "www.evil.example mailto:a@b.example tel:112",
    "`code` **bold** ||spoiler|| ~~gone~~",
    "\u202egnp.exe\u2028next\u200b",
    "javascript://%0aalert(1)",
    "#general <#C123>",
    "evil.com/login sub.evil.co.uk, evil.example",
    "__bold__ _it_ a _b c_",
]
OBEYED = re.compile(
    r"[<>@\[\]`*|\\~#&_\x00-\x1f\x7f\u2028\u202e\u200b]|(?i:\b[a-z][a-z0-9+.-]*://|www\.|mailto:|tel:)|(?i:\w\.[a-z]{2,})"
)


def incident(**fields) -> Incident:
    """An incident from one signal."""
    return replace(open_incident(1, [signal("a", harm="safety", scope={"task": "triage"})]), **fields)


def ours(text: str) -> str:
    """A text without what Andon itself writes on purpose: the command to run and the link."""
    for part in (r"`?andon incident (show|ack) INC-0001`?", r"\[See INC-0001\]\(\S+\)", r"https://andon\.example\S*"):
        text = re.sub(part, "", text)
    return text.replace("\n", " ")


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("reason", get_args(Reason))
def test_nothing_from_traffic_or_people_is_obeyed(hostile: str, reason: Reason) -> None:
    """App, environment, scope, suspects, mix and the reason of a close hold no mention, link, markup, escape or line break."""
    lead = signal("a", scope={"task": hostile}, app=hostile, environment=hostile)
    about = replace(open_incident(1, [lead]), closed_us=T0 + HOUR, closed_why=hostile)
    for url in ("", "https://andon.example"):
        made = message_of(about, reason, now_us=T0 + HOUR, url=url, suspects=[hostile] * 5, mix=hostile, told_us=T0)
        assert not OBEYED.findall(made.title)
        assert not OBEYED.findall(ours(made.text))
        assert not OBEYED.findall(ours(made.markdown))


@given(st.text(max_size=400))
def test_any_text_is_made_neutral(text: str) -> None:
    """Whatever the text, what is left is printable, on one line, short, and holds nothing that is obeyed."""
    line = neutral(text)
    assert line.isprintable()
    assert len(line) <= 301
    assert not OBEYED.findall(line)
    assert neutral(line) == line or "…" in line


def test_plain_words_stay_as_they_are() -> None:
    """Names with digits and dashes, versions, percentages, times and sentences are shown as they are."""
    text = "P1: +28.5 % of task my-task-2.1 (gpt-4.1-mini), since 2026-09-21 13:13 UTC; 3/4, e.g. this. And v1.2b."
    assert neutral(text) == text
    assert neutral("my_task of evil.com/login") == "my＿task of evil․com/login"


def test_the_first_sentence_is_the_one_that_is_needed() -> None:
    """The title of a page is its severity and the incident's title; the text says why, where, since when and how late."""
    made = message_of(
        incident(), "opened", now_us=T0, url="", suspects=["62 %: prompt 7", "20 %: model", "9 %: x", "4th"]
    )
    assert made.title == (
        "P1: The share of answers that refuse rose from 2 % to 30 % in task “triage” of app bot since 2026-09-21 13:13 UTC"
    )
    assert made.text.splitlines() == [
        "P1: any safety harm (+28 % of task “triage”).",
        "bot (production), since 2026-09-21 13:13 UTC (between 2026-09-21 12:13 and 2026-09-21 13:43), alarmed after 60 min "
        "(30 min to 2 h).",
        "See: andon incident show INC-0001",
        "I am on it: andon incident ack INC-0001",
        "Suspects: 62 %: prompt 7; 20 %: model; 9 %: x.",
    ]
    assert "1. 62 %: prompt 7\n2. 20 %: model\n3. 9 %: x" in made.markdown
    assert "4th" not in made.text + made.markdown


def test_a_link_leads_to_the_incident() -> None:
    """With an address the message links to the page of the incident."""
    link = "https://andon.example/incidents/INC-0001"
    made = message_of(incident(), "opened", now_us=T0, url="https://andon.example/")
    assert f"See: {link}" in made.text.splitlines()
    assert f"[See INC-0001]({link})" in made.markdown
    assert "andon incident show" not in made.text


@pytest.mark.parametrize(
    ("reason", "title", "tone", "says"),
    [
        ("opened", "P1: The share", "urgent", "any safety harm"),
        ("worse", "Now P1: The share", "urgent", "more urgent since the message of 2026-09-21 14:13 UTC"),
        (
            "still",
            "Still P1: The share",
            "urgent",
            "It goes on. Nobody has acknowledged it since the message of 2026-09-21 14:13 UTC",
        ),
        ("unsure", "P1: The share", "urgent", "not known"),
        ("late", "Was, and went away: The share", "note", "Learned 8 h after the signal"),
        ("closed", "Closed: The share", "over", "Closed 9 h after the onset: rate is back"),
    ],
)
def test_each_reason_has_its_words_and_its_tone(reason: Reason, title: str, tone: str, says: str) -> None:
    """What is told why can be seen from the first words, and only a page is urgent."""
    about = incident(closed_us=T0 + 8 * HOUR, closed_why="rate is back")
    made = message_of(about, reason, now_us=T0 + 8 * HOUR, told_us=T0, suspects=["x"])
    assert made.title.startswith(title)
    assert made.tone == tone
    assert says in made.text
    assert says in made.markdown
    assert ("incident ack" in made.text) == (reason not in ("late", "closed"))


def test_what_cannot_be_told_is_said() -> None:
    """Where nobody knows whether harm goes on, a page and a reminder say so, and neither says that it is over."""
    for reason, title in (("opened", "P1: The share"), ("still", "Perhaps still P1: The share")):
        made = message_of(incident(), reason, now_us=T0 + 8 * HOUR, told_us=T0, sure=False)
        assert made.title.startswith(title)
        assert made.tone == "urgent"
        assert "Whether it goes on cannot be told" in made.text.splitlines()[0]
        assert "Whether it goes on cannot be told" in made.markdown
    assert "Learned 8 h after the signal." in message_of(incident(), "opened", now_us=T0 + 8 * HOUR, sure=False).text


@pytest.mark.parametrize(("severity", "tone"), [("P1", "urgent"), ("P2", "warning"), ("P3", "note")])
def test_the_tone_follows_the_severity(severity: str, tone: str) -> None:
    """P1 is urgent, P2 a warning, P3 a note."""
    assert message_of(incident(severity=severity), "opened", now_us=T0).tone == tone


def test_a_sample_says_that_it_is_none() -> None:
    """The test message says in its title and text that it is a test."""
    made = sample_message("https://andon.example")
    assert isinstance(made, Message)
    assert made.title.startswith("TEST")
    assert "test" in made.text
    assert made.tone == "note"
