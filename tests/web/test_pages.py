"""The pages over a real ledger."""

from dataclasses import replace
from functools import partial
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from andon.incidents import Incident, TimelineEvent, message_of
from andon.investigations import Impact, Investigation
from andon.levers import Lever
from andon.levers.run import declare, hold
from andon.postmortems import Postmortem, Published
from andon.postmortems.run import reviewed
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


def drafted(summary: str) -> Postmortem:
    """A draft with this summary."""
    impact = Impact(n=10, harmed=5, excess=4.0, users=None, sessions=None)
    found = Investigation(id="INC-0001", at_us=NOW, impact=impact)
    return Postmortem(id=found.id, at_us=NOW, incident=incident("refusals"), investigation=found, summary=(summary,))


@pytest.fixture
def ledger() -> Ledger:
    """A fresh ledger in memory."""
    return Ledger("sqlite://")


def client(ledger: Ledger, charts: tuple[int, int] = (0, 0)) -> TestClient:
    """Who asks for pages, as the server makes them."""
    app = FastAPI()
    add_pages(app, ledger, lambda: NOW, lambda: charts, partial(reviewed, ledger))
    return TestClient(app)


def home(ledger: Ledger, charts: tuple[int, int] = (0, 0)) -> str:
    """The first page."""
    answer = client(ledger, charts).get("/")
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
    assert "held at false" in page
    assert "<td>true</td><td>false</td>" in page  # default and safe, as the commands take them
    assert not {"script", "img"} & set(tags.seen)


def page(ledger: Ledger, incident_id: str) -> Response:
    """The page of an incident."""
    return client(ledger).get(f"/incidents/{incident_id}")


def test_an_unknown_incident_is_not_found(ledger: Ledger) -> None:
    """Asking for an incident that does not exist is told as such, not as an empty page or a failure of the server."""
    answer = page(ledger, "INC-0404")
    assert answer.status_code == 404
    assert "there is no incident 'INC-0404'" in answer.text


def test_what_is_published_stays(ledger: Ledger) -> None:
    """The page is the published text, whatever is drafted later; before that it is the draft."""
    ledger.put(drafted("The draft."), now_us=NOW, by="andon")
    assert "The draft." in page(ledger, "INC-0001").text
    signed = Published(id="INC-0001", postmortem=drafted("What was signed."), at_us=NOW, by="ann")
    ledger.put(signed, now_us=NOW, by="ann")
    ledger.put(drafted("A later draft."), now_us=NOW, by="andon")
    shown = page(ledger, "INC-0001").text
    assert "What was signed." in shown
    assert "draft." not in shown


def test_what_a_person_reported_has_no_alarm(ledger: Ledger) -> None:
    """Where no chart leads, both pages say when it was reported and claim neither alarm nor onset; where one does, both stand."""
    ledger.put(incident("refusals"), now_us=NOW, by="test")
    alarmed = "larmed 2026-03-02 00:00 UTC, 0 s after the onset"
    assert alarmed in home(ledger)
    assert alarmed in page(ledger, "INC-0001").text
    ledger.put(replace(incident("a dose"), lead="", metric="", origin="near miss"), now_us=NOW, by="test")
    assert "a near miss, reported 2026-03-02 00:00 UTC" in home(ledger)
    assert "Reported 2026-03-02 00:00 UTC; no monitor has spoken." in page(ledger, "INC-0001").text
    assert "onset" not in home(ledger) + page(ledger, "INC-0001").text


def test_the_link_of_a_page_works_before_there_is_a_draft(ledger: Ledger) -> None:
    """What a message links to shows title, times and timeline at once, says what is missing, and obeys no text."""
    evil = "<script>alert(1)</script> refunds <img src=x onerror=alert(1)>"
    about = incident(evil)
    ledger.put(about, now_us=NOW, by="test")
    for other in ("INC-0001", "INC-0002"):
        event = {"happened_us": NOW, "learned_us": NOW, "kind": "signal", "text": f"{other} {evil}"}
        ledger.put(TimelineEvent(id=f"{other}-e", incident=other, **event), now_us=NOW, by="test")
    link = message_of(about, "opened", now_us=NOW, url="http://testserver").text.split("See: ")[1].split()[0]
    answer = client(ledger).get(link)
    tags = _Tags()
    tags.feed(answer.text)
    assert answer.status_code == 200
    assert not {"script", "img"} & set(tags.seen)
    assert "has not been looked into yet" in answer.text
    assert "2026-03-02 00:00" in answer.text
    assert ("INC-0001 &lt;script&gt;" in answer.text, "INC-0002" in answer.text) == (True, False)
