"""The whole loop by hand: two people at two browsers, a server in a process of its own, and an application that goes wrong."""

import random
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from alarms import alarm
from chromium import Tab, open_browser
from desk import APP, LEVER, Desk, rows
from lived_in import ENDS
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from running import free_port, serving
from served import PASSWORD, PEOPLE, Served, serve_pages, serve_site

from andon.api import Streams
from andon.incidents.run import find_incident
from andon.levers import Lever, Pull
from andon.levers.run import declare
from andon.monitors.run import open_board
from andon.scores import hashed, score_schema
from andon.scores.run import installed_scorers, score_new
from andon.settings import load
from andon.store import Ledger, RememberingLedger, Warehouse
from andon.traffic import SCHEMAS, Interaction
from andon.traffic.intake import interaction_of
from andon.traffic.run import record
from andon.web import Site

pytestmark = pytest.mark.slow(90)

QUICK = {"ANDON_WINDOW_S": "10", "ANDON_SETTLE_S": "12"}
"""A window stays open for 12 s, so that the history still counts that comes after the first trace."""
FOCUSED = """(() => { const e = document.activeElement;
return (e.labels?.[0]?.textContent ?? e.getAttribute('aria-label') ?? e.textContent ?? '').trim(); })()"""
"""The name of what has the focus."""
WRITTEN = "The release was not tried on the golden set first."
WHY = "The chart is inside its limits again, without the lever."
LONGEST_MS = 90_000
"""Longest wait for what the loop does by itself."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for both tests."""
    with open_browser() as opened:
        yield opened


class Hand:
    """One person at a browser: clicks, types, reads."""

    def __init__(self, tab: Tab) -> None:
        self.tab, self.page = tab, tab.page

    def go(self, path: str) -> None:
        """Go to a page."""
        assert self.tab.goto(path).status == 200, path

    def fill(self, label: str, text: str, within: str = "main") -> None:
        """Type into the field with a label."""
        self.page.locator(within).get_by_label(label).fill(text)

    def press(self, name: str, within: str = "main") -> None:
        """Press the button, and wait for the page that it leads to."""
        with self.page.expect_navigation():
            self.page.locator(within).get_by_role("button", name=name).click()

    def open(self, name: str, within: str = "main") -> None:
        """Open the menu with a name."""
        self.page.locator(within).locator("summary").filter(has_text=name).click()

    def link(self, name: str, within: str = "main") -> None:
        """Follow the link with a name."""
        with self.page.expect_navigation():
            self.page.locator(within).get_by_role("link", name=name).first.click()

    def sees(self, text: str, within: str = "main", ms: float = 15_000) -> None:
        """Wait until the open page shows a text."""
        self.page.locator(within).get_by_text(text).first.wait_for(timeout=ms)

    def unloaded(self) -> None:
        """Mark the document, to see later that it was never loaded anew."""
        self.page.evaluate("window.sameDocument = true")

    def still(self) -> bool:
        """Whether it is the marked document."""
        return bool(self.page.evaluate("window.sameDocument === true"))


def trace() -> bytes:
    """A request with one span that ends now."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = APP
    now = time.time_ns()
    span = resource.scope_spans.add().spans.add(name="chat", start_time_unix_nano=now - 10**9, end_time_unix_nano=now)
    span.trace_id, span.span_id = now.to_bytes(16, "big"), now.to_bytes(8, "big")
    for key, text in (
        ("gen_ai.operation.name", "chat"),
        ("input.value", "Do you deliver on Sundays?"),
        ("output.value", "Not yet."),
    ):
        span.attributes.add(key=key).value.string_value = text
    return bytes(request.SerializeToString())


def first_trace(ann: Hand, url: str) -> None:
    """1. A fresh home: every way leads to /welcome; the first page waits for a trace and shows it when it came."""
    ann.go("/incidents")
    assert ann.page.url.endswith("/welcome")
    ann.fill("Your name", "Ann")
    ann.fill("Password", PASSWORD)
    ann.fill("The same again", PASSWORD)
    ann.press("Become the owner")
    ann.sees("Waiting for the first trace")
    ann.unloaded()
    answer = httpx2.post(
        f"{url}/v1/traces", content=trace(), headers={"content-type": "application/x-protobuf"}, timeout=10
    )
    begun = time.monotonic()
    assert answer.status_code == 200
    ann.sees("The first trace came at")
    took = time.monotonic() - begun
    print(f"the first trace was on the open page {took:.2f} s after its acknowledgement")  # noqa: T201 - the figure is the point
    assert took < 2
    assert ann.still()
    ann.sees("1 row came in")


def let_in(ann: Hand, ben: Hand) -> None:
    """2. The owner lets a responder in: the link is shown once, and works in the other browser."""
    ann.page.get_by_role("link", name="Settings").click()
    ann.link("People")
    ann.fill("Name", "Ben")
    ann.page.get_by_label("Role", exact=True).last.select_option("responder")
    ann.press("Add, and make a link")
    way = ann.page.locator("#once").inner_text()
    ben.page.goto(way)
    ben.sees("You come in as responder")
    ben.fill("Password", PASSWORD)
    ben.fill("The same again", PASSWORD)
    ben.press("Come in")
    assert ben.page.locator(".me .who").inner_text() == "Ben"


def goes_wrong(ann: Hand, desk: Desk) -> str:
    """3. Calm traffic, then a careless release: its incident appears on the open first page."""
    ann.go("/")
    desk.careless = True
    ann.unloaded()
    title = ann.page.locator("main ul.list a.title").first
    title.wait_for(timeout=LONGEST_MS)
    assert ann.still()
    assert "cite" in title.inner_text()
    with ann.page.expect_navigation():
        title.click()
    return str(ann.page.url.rpartition("/")[2])


def stops_harm(ann: Hand, incident: str) -> None:
    """4. The sentence is read, somebody is on it, a lever is declared and held for the incident; that stops the harm."""
    assert "cite" in ann.page.locator("h1").inner_text()
    ann.sees("It began at")
    ann.sees("nobody is on it yet")
    with ann.page.expect_navigation():
        ann.page.keyboard.press("a")
    ann.sees("Ann is on it")
    ann.fill("Note for the timeline", "The desk was released at noon with a prompt that asks for more sources.")
    ann.press("Add note")
    ann.sees("asks for more sources", "#timeline")
    ann.go("/levers/new")
    for label, text in (
        ("Key", LEVER),
        ("Application that reads it", APP),
        ("What it does", "Whether answers name more sources."),
    ):
        ann.fill(label, text)
    ann.page.get_by_label("Default").fill("true")
    ann.page.get_by_label("Safe value").fill("false")
    ann.press("Declare")
    ann.go(f"/incidents/{incident}")
    ann.link("Hold it for this incident", "#levers")
    assert ann.page.get_by_label("Incident it answers").input_value() == incident
    ann.fill("Why", "answers cite what nobody retrieved")
    ann.press("Show what would change")
    ann.sees("A hold would change what")
    with ann.page.expect_navigation():
        ann.page.keyboard.press("h")
    ann.sees("held")
    ann.go(f"/incidents/{incident}")
    ann.sees("Pulled for this incident", "#levers")


def looks_again(ann: Hand, incident: str) -> None:
    """4b. The harm is stopped, and it is investigated anew; the open page says when that is done."""
    ann.page.keyboard.press("s")
    ann.fill("What stopped the harm", "The lever is held, and answers cite what was retrieved.", "#mark-stabilised")
    ann.press("It is stabilised")
    ann.sees(f"{incident} is stabilised.")
    ann.press("Investigate again")
    ann.unloaded()
    ann.page.locator("[data-part=errand] .errand.done").wait_for(timeout=LONGEST_MS)
    assert ann.still()
    ann.sees("Most likely:")


def labels(ben: Hand) -> int:
    """5. The label queue by keys alone; what was settled becomes cases of the golden set."""
    from playwright.sync_api import expect

    ben.go("/labels")
    for n in range(3):
        asked = ben.page.locator("h1").inner_text()
        ben.page.keyboard.press("e")
        ben.page.keyboard.type(f"See the handbook, answer {n} to: {asked}")
        with ben.page.expect_navigation():
            ben.page.keyboard.press("Control+Enter")
    ben.go("/golden")
    ben.sees("0 cases must pass for ever")
    ben.sees("3 settled right answers are not in the golden set yet")
    with ben.page.expect_navigation():
        ben.page.keyboard.press("m")
    ben.sees("3 cases must pass for ever", ms=LONGEST_MS)
    expect(ben.page.locator("main tbody tr")).to_have_count(3)
    return 3


def writes(ann: Hand, incident: str) -> None:
    """6a. The postmortem: the draft goes to review; what blames is found while it is typed, and gone when it is rewritten."""
    ann.go(f"/postmortems/{incident}")
    ann.press("Ask for review")
    ann.sees("In review: ")
    with ann.page.expect_navigation():
        ann.page.keyboard.press("e")
    areas = ann.page.locator("section.section")
    areas.first.locator("textarea").fill("Ben carelessly released the prompt and should have known better.")
    areas.first.locator(".finding").first.wait_for()
    areas.first.locator("textarea").fill(WRITTEN)
    areas.first.locator(".finding").first.wait_for(state="detached")
    for n in range(1, areas.count()):
        areas.nth(n).locator("textarea").fill(
            "Answers named sources that nobody had looked up; the lever took them out again."
        )
    ann.press("Save and go on")
    ann.sees("sections are written")


def publishes(ann: Hand, ben: Hand, incident: str) -> None:
    """6b. Who wrote none of it reads it and signs; the writer's open page shows that, and it is published."""
    ann.go(f"/postmortems/{incident}")
    ann.sees("In review: 1 sign-off missing")
    ann.unloaded()
    ben.go("/postmortems")
    with ben.page.expect_navigation():
        ben.page.locator("ul.list a.title").first.click()
    ben.sees(WRITTEN)
    with ben.page.expect_navigation():
        ben.page.keyboard.press("s")
    ben.sees("You stand by this text.")
    ann.sees("Ready to be published, signed by Ben")
    assert ann.still()
    ann.page.once("dialog", lambda dialog: dialog.accept())
    with ann.page.expect_navigation():
        ann.page.get_by_role("button", name="Publish").click()
    ann.sees("nothing has changed since")


def proves(ann: Hand, incident: str) -> None:
    """7. An action that a test proves: done by its proof, which the page shows."""
    ann.go("/actions")
    ann.open("Add an action")
    ann.fill("What shall be done", "Name one source only, at the press of a lever")
    ann.page.get_by_label("Test that proves it").select_option("lever exists")
    ann.fill("Of what", LEVER)
    ann.press("Add")
    ann.sees("Not tested yet.")
    ann.unloaded()
    with ann.page.expect_navigation():
        ann.page.keyboard.press("p")
    ann.unloaded()
    ann.page.locator("[data-part=proof] .verdict.met").wait_for(timeout=LONGEST_MS)
    assert ann.still()
    ann.sees("was held at its safe value")
    ann.sees("Proved ")


def measures(ann: Hand) -> None:
    """Measure the exit criteria, and wait until the open page says what came of it."""
    with ann.page.expect_navigation():
        ann.page.keyboard.press("m")
    ann.page.locator("[data-part=errand] .errand.done").filter(has_text="exit criteria").wait_for(timeout=LONGEST_MS)


def closes(ann: Hand, incident: str) -> None:
    """8a. As far as minutes allow: a person's check is met, the chart is measured; closing is refused, and it says until when."""
    ann.go(f"/incidents/{incident}")
    ann.open("Add a criterion", "#recovery")
    ann.page.locator("#criterion").get_by_label("What is asked for").select_option("check")
    ann.fill("In words", "The desk answers ten questions of its list with one source each.", "#criterion")
    ann.press("Add it")
    ann.page.locator("#recovery li").filter(has_text="ten questions").get_by_text("Check", exact=True).click()
    ann.page.locator("#recovery li").filter(has_text="ten questions").locator("textarea").first.fill(
        "Ten asked, ten right."
    )
    ann.press("It is met")
    ann.page.locator("#recovery .criteria .tag.good").first.wait_for()
    measures(ann)
    ann.page.keyboard.press("c")
    ann.fill("Why may it be closed?", WHY, "#close")
    ann.press("Close it")
    refusal = ann.page.locator("#close .wrong")
    refusal.wait_for()
    assert "stays inside its limits" in refusal.inner_text()
    assert "not yet, at the earliest at" in refusal.inner_text()
    assert ann.page.url.endswith(f"/incidents/{incident}")
    assert ann.page.locator("#close textarea").input_value() == WHY


@contextmanager
def days_later(home: Path, days: int) -> Iterator[str]:
    """The pages of the same store so many days later; the desk has answered well ever since."""
    settings = replace(load({}), home=home)
    now_us = time.time_ns() // 1000 + days * 86_400_000_000
    calm = rows([now_us - m * 60_000_000 for m in range(days * 1440, 0, -1)], random.Random(8), bad=0.0)
    scorers = installed_scorers()
    with (
        closing(RememberingLedger.open(home / "ledger.db")) as ledger,
        closing(Warehouse(home, {**SCHEMAS, "scores": score_schema(scorers)})) as warehouse,
    ):
        record(warehouse, [interaction_of(row) for row in calm])
        warehouse.commit()
        score_new(warehouse, ledger, scorers, hashed.load(settings), now_us=now_us)
        warehouse.commit()
        site = Site(
            ledger=ledger, warehouse=warehouse, settings=settings, charts=open_board(home), streams=Streams(),
            now_us=lambda: now_us,
        )  # fmt: skip
        with serve_site(site) as address:
            yield address


def closes_for_good(ann: Hand, incident: str) -> None:
    """8b. After two days within its limits the chart says that it is over: by the same form the incident is closed."""
    ann.go(f"/incidents/{incident}")
    ann.fill("Name", "Ann")
    ann.fill("Password", PASSWORD)
    ann.press("Sign in")
    ann.page.keyboard.press("c")
    ann.fill("Why may it be closed?", WHY, "#close")
    ann.press("Close it")
    ann.sees(f"{incident} is closed.")
    ann.sees("It is closed. The postmortem holds what was learned.")


def releases(ann: Hand) -> None:
    """7b. The release is mended, and the lever let go of by keys."""
    ann.go(f"/levers/{LEVER}")
    ann.page.keyboard.press("r")
    ann.fill("Why", "the release is mended", "#release-production")
    ann.press("Release", "#release-production")
    ann.sees("Nobody holds it.")


def live_within(ann: Hand, home: Path) -> float:
    """A signal and its incident that another ledger object writes: seconds until the open first page shows them."""
    ann.go("/")
    ann.sees("1 open incident")
    ann.unloaded()
    with closing(Ledger.open(home / "ledger.db")) as ledger:
        alarm(ledger, 901, time.time_ns() // 1000)
        begun = time.monotonic()
        ann.sees("Refusals of shop rose to 50 %")
        took = time.monotonic() - begun
    assert ann.still()
    return took


def test_the_whole_loop_by_hand(browser: Any, tmp_path: Path) -> None:
    """From the first trace to a verified action, by clicks and keys alone; two people; no error, no request that leaves the host."""
    home, port = tmp_path / "home", free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(home, port, QUICK), Tab(browser, url) as one, Tab(browser, url) as two:
        ann, ben, desk = Hand(one), Hand(two), Desk(port)
        first_trace(ann, url)
        desk.history()
        with desk.open():
            let_in(ann, ben)
            time.sleep(5)
            incident = goes_wrong(ann, desk)
            stops_harm(ann, incident)
            looks_again(ann, incident)
            cases = labels(ben)
            writes(ann, incident)
            publishes(ann, ben, incident)
            proves(ann, incident)
            desk.careless = False
            releases(ann)
            closes(ann, incident)
            took = live_within(ann, home)
        print(f"a signal was on the open page {took:.2f} s after it was written")  # noqa: T201 - the figure is the point
        assert took < 2
        loop = ann.page.locator("[data-part=loop]")
        for stage, text in (("Postmortems", "1"), ("Golden set", str(cases)), ("Levers", "0 held")):
            assert text in (loop.locator("a", has_text=stage).text_content() or "")
        refused = [
            w for w in one.wrong if "409 (Conflict)" in w and incident in w
        ]  # closing too early: the browser tells of it
        assert [w for w in one.wrong + two.wrong if w not in refused] == []
    with days_later(home, 3) as url, Tab(browser, url) as one:
        closes_for_good(Hand(one), incident)
        assert one.wrong == []
    with closing(Ledger.open(home / "ledger.db")) as ledger:
        over = find_incident(ledger, incident)
        assert (over.state, over.closed_as, over.closed_why) == ("closed", "recovered", WHY)


@pytest.fixture
def alarmed(browser: Any, tmp_path: Path) -> Iterator[Served]:
    """Pages over a store with one incident that nobody is on, and a lever of its application that nobody holds."""
    with closing(Ledger.open(tmp_path / "ledger.db")) as ledger:
        alarm(ledger, 1, ENDS - 60_000_000)
        lever = Lever(
            id="shop.answers", kind="boolean", default=True, safe=False, app="shop", about="Whether the bot answers."
        )
        declare(ledger, lever, ENDS - 120_000_000, "Ada")
    with serve_pages(tmp_path) as served:
        yield served


def tab_to(page: Any, name: str) -> None:
    """Press Tab until the element with this name, label or text has the focus."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED).startswith(name):
            return
    raise AssertionError(f"Tab never comes to {name!r}")


def goes(page: Any, key: str) -> None:
    """Press a key that leads to another page."""
    with page.expect_navigation():
        page.keyboard.press(key)


def test_an_incident_is_worked_on_without_a_mouse(browser: Any, alarmed: Served) -> None:
    """By keys alone: sign in, open the incident, acknowledge, note, open the lever, hold it for the incident, release it."""
    with Tab(browser, alarmed.address) as tab:
        page = tab.page
        tab.goto("/incidents")
        page.keyboard.type(PEOPLE["responder"])
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        goes(page, "Enter")
        assert page.url.endswith("/incidents")
        page.keyboard.press("j")
        goes(page, "Enter")
        goes(page, "a")
        assert "Rob is on it" in page.locator("main").inner_text()
        page.keyboard.press("n")
        page.wait_for_function("document.activeElement.matches('textarea')")
        page.keyboard.type("the bot is switched off until we know more")
        tab_to(page, "Add note")
        goes(page, "Enter")
        assert "switched off until we know more" in page.locator("#timeline").inner_text()
        tab_to(page, "Hold it for this incident")
        goes(page, "Enter")
        tab_to(page, "Why")
        page.keyboard.type("it refuses everybody")
        tab_to(page, "Show what would change")
        goes(page, "Enter")
        goes(page, "h")
        assert "held" in page.locator("h1").inner_text()
        page.keyboard.press("r")
        tab_to(page, "Why")
        page.keyboard.type("it answers again")
        tab_to(page, "Release")
        goes(page, "Enter")
        assert "Nobody holds it" in page.locator("main").inner_text()
        assert not tab.wrong
    [pull] = alarmed.ledger.all(Pull)
    assert (pull.by, pull.incident, pull.released_by) == ("Rob", "INC-0001", "Rob")


@pytest.mark.parametrize("late", [False, True])
def test_the_first_incident_comes_as_the_first_trace_goes(browser: Any, tmp_path: Path, late: bool) -> None:
    """One part of the open page goes and another one comes at once: the new one is shown, without a reload.

    Also where it comes between the making of the page and the opening of its stream, which takes a while on some networks.
    """
    with serve_pages(tmp_path) as served, Tab(browser, served.address, served.secrets["viewer"]) as tab:
        held: list[Any] = []
        if late:
            tab.page.route(re.compile(r"/live(\?|$)"), lambda route: held.append(route))  # noqa: PLW0108 - Playwright looks at its arguments
        record(
            served.site.warehouse,
            [Interaction(id="1", time_us=ENDS - 1, app="shop", query="Are you open?", answer="Yes.")],
        )
        served.site.warehouse.commit()
        ann = Hand(tab)
        ann.go("/")
        ann.sees("The first trace came at")
        ann.unloaded()
        while late and not held:
            tab.page.wait_for_timeout(20)
        alarm(served.ledger, 1, ENDS)
        served.site.streams.tell("news", ENDS)
        for route in held:
            route.continue_()
        ann.sees("Refusals of shop rose to 50 %")
        assert ann.still()
        assert not tab.wrong
