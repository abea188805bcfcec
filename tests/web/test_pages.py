"""The pages over a real ledger."""

from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from andon.incidents import Incident, TimelineEvent, message_of
from andon.levers import Lever
from andon.levers.run import declare, hold
from andon.store import Ledger
from andon.web import add_pages

NOW = 1_772_409_600_000_000


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def incident(text: str) -> Incident:
    """An incident with this text wherever a text is."""
    return Incident(
        id="INC-0001",
        title=text,
        app=text,
        environment="production",
        metric="error",
        lead="s",
        severity_reason=text,
        onset_us=NOW,
        onset_low_us=NOW,
        onset_high_us=NOW,
        alarmed_us=NOW,
        last_signal_us=NOW,
    )


@pytest.fixture
def ledger() -> Ledger:
    """A fresh ledger in memory."""
    return Ledger("sqlite://")


def home(ledger: Ledger, charts: tuple[int, int] = (0, 0)) -> str:
    """The first page."""
    app = FastAPI()
    add_pages(app, ledger, lambda: NOW, lambda: charts)
    answer = TestClient(app).get("/")
    assert answer.status_code == 200
    assert "script" not in answer.headers["content-security-policy"]
    return answer.text


@pytest.mark.parametrize(
    ("charts", "says"), [((0, 0), "Nothing is watched yet"), ((0, 9), "Still learning"), ((5, 4), "No open incident")]
)
def test_the_first_page_never_says_fine_without_knowing(ledger: Ledger, charts: tuple[int, int], says: str) -> None:
    """Without charts the page says that nothing is watched, not that nothing is wrong."""
    assert says in home(ledger, charts)


def test_hostile_titles_are_text(ledger: Ledger) -> None:
    """A title or reason from outside is shown as text: it makes no element."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    ledger.put(incident(evil), now_us=NOW, by="test")
    declare(ledger, Lever(id="cite", kind="boolean", default=True, safe=False, about=evil), NOW, "ann")
    hold(ledger, "cite", why=evil, by="ann", until_us=NOW + 3_600_000_000, now_us=NOW)
    page, tags = home(ledger, (1, 0)), _Tags()
    tags.feed(page)
    assert "1 open incident" in page
    assert "held at False" in page
    assert not {"script", "img"} & set(tags.seen)


def test_an_unknown_incident_is_an_input_error(ledger: Ledger) -> None:
    """Asking for an incident that does not exist is told as such, not as an empty page."""
    app = FastAPI()
    add_pages(app, ledger, lambda: NOW, lambda: (0, 0))
    client = TestClient(app, raise_server_exceptions=False)
    assert client.get("/incidents/INC-0404").status_code != 200


def test_the_link_of_a_page_works_before_there_is_a_draft(ledger: Ledger) -> None:
    """What a message links to shows title, times and timeline at once, says what is missing, and obeys no text."""
    evil = "<script>alert(1)</script> refunds <img src=x onerror=alert(1)>"
    about = incident(evil)
    ledger.put(about, now_us=NOW, by="test")
    for other in ("INC-0001", "INC-0002"):
        event = {"happened_us": NOW, "learned_us": NOW, "kind": "signal", "text": f"{other} {evil}"}
        ledger.put(TimelineEvent(id=f"{other}-e", incident=other, **event), now_us=NOW, by="test")
    app = FastAPI()
    add_pages(app, ledger, lambda: NOW, lambda: (0, 0))
    link = message_of(about, "opened", now_us=NOW, url="http://testserver").text.split("See: ")[1].split()[0]
    answer = TestClient(app).get(link)
    tags = _Tags()
    tags.feed(answer.text)
    assert answer.status_code == 200
    assert not {"script", "img"} & set(tags.seen)
    assert "has not been looked into yet" in answer.text
    assert "2026-03-02 00:00" in answer.text
    assert ("INC-0001 &lt;script&gt;" in answer.text, "INC-0002" in answer.text) == (True, False)
