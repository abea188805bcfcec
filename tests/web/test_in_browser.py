"""Every page in a real browser: nothing is refused, nothing leaves the host, axe finds nothing, nothing is cut off, all by keys."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import PAGE_SIZES, Tab, open_browser
from lived_in import STORM, live_in
from served import Served, place_of, serve_pages

pytestmark = pytest.mark.slow

PLACES = (
    "/", "/traffic", "/monitors", "/changes", "/incidents", "/incidents/INC-0001", "/incidents/INC-0002", "/incidents/INC-0002/timeline", "/levers",
    "/levers/support.campaign", "/levers/support.prompt", "/levers/new", "/levers/support.prompt/versions", "/postmortems", "/postmortems/learning", "/postmortems/agenda",
    "/postmortems/INC-0001", "/postmortems/INC-0002", "/postmortems/INC-0002/edit", "/actions", "/labels", "/labels/conflicts", "/labels/agreement", "/golden", "/golden/growth", "/golden/coverage", "/evals", "/rollouts", "/rollouts/EXP-0001", "/rollouts/EXP-0002", "/rollouts/new",
    "/settings", "/settings/people", "/settings/tokens", "/settings/channels", "/settings/budget", "/settings/health",
    "/settings/audit",
)  # fmt: skip
DEEPER = ("monitor", "interaction", "agent", "compare", "change", "case", "run", "action", "failure", "runs", "plan")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests of this module."""
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The pages over a store in which something of everything has happened."""
    home = tmp_path_factory.mktemp("lived") / "store"
    live_in(home)
    with serve_pages(home) as found:
        yield found
    shutil.rmtree(home, ignore_errors=True)


def address_of(served: Served, place: str) -> str:
    """A place of the list as an address."""
    return place if place.startswith("/") else place_of(served, place)


@pytest.mark.parametrize("place", [*PLACES, *DEEPER])
def test_a_page_is_sound(browser: Any, served: Served, place: str) -> None:
    """Light and dark: 200, axe (WCAG 2.2 A and AA) finds nothing, no error in the console, no request to another host."""
    from axe_playwright_python.sync_playwright import Axe

    for theme in ("light", "dark"):
        with Tab(browser, served.address, served.secrets["owner"], theme=theme) as tab:
            answer = tab.goto(address_of(served, place))
            assert answer.status == 200
            assert len(answer.body()) < 150_000, f"{len(answer.body()):,} bytes"
            rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
            found = Axe().run(tab.page, options=rules)
            told = [
                f"{v['id']}: {v['help']}: {[n['target'] for n in v['nodes'][:3]]}" for v in found.response["violations"]
            ]
            assert not told, f"{theme}: " + "\n".join(told)
            assert not tab.wrong


@pytest.mark.parametrize("place", [*PLACES, *DEEPER])
@pytest.mark.parametrize("size", ["zoomed to 200 %", "phone"])
def test_nothing_is_cut_off(browser: Any, served: Served, place: str, size: str) -> None:
    """Zoomed to 200 % and on a phone no page scrolls sideways, and no button lies outside of it."""
    with Tab(browser, served.address, served.secrets["owner"], size=PAGE_SIZES[size]) as tab:
        tab.goto(address_of(served, place))
        wide = tab.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PAGE_SIZES[size][0] + 1, f"it is {wide} wide"
        outside = tab.page.evaluate(
            """() => [...document.querySelectorAll('main button, main a.btn, main h1')].filter(e => e.checkVisibility() &&
            !e.closest('.scroll, .tabs')).map(e => [e.textContent.trim(), e.getBoundingClientRect()]).filter(([, r]) =>
            r.left < -1 || r.right > innerWidth + 1).map(([t]) => t)"""
        )
        assert not outside


@pytest.mark.parametrize("place", PLACES)
def test_a_page_works_without_a_script(browser: Any, served: Served, place: str) -> None:
    """With scripts switched off the page shows its heading and its links all the same."""
    with Tab(browser, served.address, served.secrets["owner"], script=False) as tab:
        assert tab.goto(place).status == 200
        assert tab.page.locator("h1").count() == 1
        assert tab.page.locator("nav a").count() > 10


def test_everything_is_reached_by_keys(browser: Any, served: Served) -> None:
    """`?` lists the keys, `g` and a letter goes to every page of the navigation, j and Enter open a row, Tab comes to every button."""
    with Tab(browser, served.address, served.secrets["responder"]) as tab:
        tab.goto("/")
        tab.page.keyboard.press("?")
        assert tab.page.locator("dialog#keys[open]").count() == 1
        tab.page.keyboard.press("Escape")
        keys = tab.page.eval_on_selector_all("[data-go]", "all => all.map(e => [e.dataset.go, e.getAttribute('href')])")
        assert len(keys) >= 12
        for key, path in keys:
            tab.page.keyboard.press("g")
            with tab.page.expect_navigation():
                tab.page.keyboard.press(key)
            assert tab.page.url.removeprefix(served.address).split("?")[0] == path
        tab.goto("/incidents")
        tab.page.keyboard.press("j")
        with tab.page.expect_navigation():
            tab.page.keyboard.press("Enter")
        assert "/incidents/INC-" in tab.page.url
        assert not tab.wrong


def test_a_note_is_written_by_keys_alone(browser: Any, served: Served) -> None:
    """On an incident, `n` leads to the note, what is typed is sent by keys, and stands in the timeline with its author."""
    with Tab(browser, served.address, served.secrets["responder"]) as tab:
        tab.goto(f"/incidents/{STORM}")
        tab.page.keyboard.press("n")
        tab.page.keyboard.type("written without a mouse")
        tab.page.keyboard.press("Tab")
        for _ in range(6):
            if tab.page.evaluate("document.activeElement.matches('button[type=submit]')"):
                break
            tab.page.keyboard.press("Tab")
        with tab.page.expect_navigation():
            tab.page.keyboard.press("Enter")
        assert "written without a mouse" in tab.page.locator("main").inner_text()
        assert not tab.wrong
