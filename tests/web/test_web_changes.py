"""The log of changes on the page: found, filtered, recorded by hand; one change with what came after it."""

from dataclasses import replace
from typing import Any

import pytest
from browsing import NOW, House, Seen, seen
from hypothesis import given
from hypothesis import strategies as st

from andon.changes import Change
from andon.changes.searching import Wanted, counts_over, search
from andon.incidents import Incident
from andon.investigations import Impact, Investigation, Suspect
from andon.levers import Lever
from andon.levers.run import declare, hold
from andon.monitors import Signal
from andon.store import Ledger

HOUR = 3_600_000_000
DAY = 24 * HOUR
EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(1)>\u202e\x07'


def _change(ledger: Ledger, name: str, **more: Any) -> Change:
    change = Change(
        **{"id": name, "at_us": NOW - HOUR, "kind": "prompt", "title": f"title of {name}", "app": "bot", **more}
    )
    ledger.put(change, now_us=NOW, by="ci")
    return change


def _incident(ledger: Ledger, suspect: str, odds: float) -> None:
    incident = Incident(
        id="INC-0001", title="wrong doses", app="bot", environment="production", metric="m", lead="", onset_us=NOW - HOUR // 2,
        onset_low_us=NOW - HOUR, onset_high_us=NOW - HOUR // 2, alarmed_us=NOW, last_signal_us=NOW,
    )  # fmt: skip
    impact = Impact(n=10, harmed=5, excess=4.0, users=None, sessions=None)
    looked = Investigation(
        id="INC-0001", at_us=NOW, impact=impact,
        suspects=(Suspect(id=suspect, title="t", kind="prompt", probability=odds, own=True, supports=("a", "b"), against=("c",)),),
    )  # fmt: skip
    for record in (incident, looked):
        ledger.put(record, now_us=NOW, by="andon")


def _ids(house: House, query: str) -> list[str]:
    return [row["id"] for row in house.visitor("viewer").get(f"/changes?as=json&table=changes&{query}").json()]


def test_an_empty_log_says_how_it_is_filled(house: House) -> None:
    """Without a change it is said where changes come from, and a viewer sees no form."""
    page = house.visitor("viewer").sees("/changes")
    assert "/v1/changes" in page.text
    assert page.forms == []
    assert house.visitor("responder").sees("/changes").forms == ["/changes"]


def test_the_log_is_filtered_by_its_address(house: House) -> None:
    """Each filter keeps others out, they are said in words, and the newest stands first."""
    _change(house.ledger, "a", kind="model", author="maria", at_us=NOW - 2 * HOUR, before="v1", after="v2")
    _change(house.ledger, "b", app="shop", environment="staging")
    _change(house.ledger, "c", own=False, origin="traffic", at_us=NOW - 3 * HOUR)
    _change(house.ledger, "old", at_us=NOW - 60 * DAY)
    assert _ids(house, "") == ["b", "a", "c"]
    cases = {
        "kind=model": ["a"], "author=maria": ["a"], "app=shop": ["b"], "environment=staging": ["b"], "origin=traffic": ["c"],
        "origin=not+ours": ["c"], "text=V2+title": ["a"], "range=all": ["b", "a", "c", "old"], "range=1d&kind=model": ["a"],
        "from=2026-03-01T21:30:00Z&to=2026-03-01T22:30:00Z": ["a"], "from=nonsense": ["b", "a", "c"], "text=nothing": [],
    }  # fmt: skip
    for query, wanted in cases.items():
        assert _ids(house, query) == wanted, query
    page = house.visitor("viewer").sees("/changes?kind=model&app=bot&author=maria&range=7d")
    assert "1 model changes of bot by maria of the last 7 days" in page.text
    assert "No change is like that" in house.visitor("viewer").sees("/changes?text=nothing").text


def test_pulls_and_versions_seen_in_traffic_are_marked(house: House) -> None:
    """Our own levers, versions that traffic showed and what we did not do are told apart by words."""
    declare(house.ledger, Lever(id="cite", kind="boolean", default=True, safe=False, app="bot"), NOW - 2 * HOUR, "Ada")
    pull = hold(house.ledger, "cite", why="doses", by="Rob", until_us=NOW + HOUR, now_us=NOW - HOUR)
    _change(house.ledger, "seen", origin="traffic")
    _change(house.ledger, "moved", own=False)
    page = house.visitor("viewer").sees("/changes")
    for word in ("our lever", "seen in traffic", "not ours", "1 is our own lever"):
        assert word in page.text.replace("levers", "lever"), word
    assert _ids(house, "lever=cite") == [f"{pull.id}-held"]
    of_pull = house.visitor("viewer").sees(f"/changes/{pull.id}-held")
    assert "/levers/cite" in of_pull.links


def test_a_long_log_has_pages(house: House) -> None:
    """Fifty changes stand on a page with ways to newer and older ones; a file has all of them; the strip counts each once."""
    for n in range(120):
        _change(house.ledger, f"c{n:03}", at_us=NOW - n * HOUR)
    viewer = house.visitor("viewer")
    first, last = viewer.sees("/changes"), viewer.sees("/changes?page=2")
    assert _rows(first) == 50
    assert _rows(last) == 20
    assert "/changes?page=1" in first.links
    assert len(_ids(house, "page=2")) == 120
    titles = [w for w in first.words if " change" in w and " to " in w]
    assert sum(int(w.split()[0]) for w in titles) == 120


def _rows(page: Seen) -> int:
    return sum(tag == "tr" for tag, _ in page.tags) - 1


def test_a_change_says_what_came_after_it(house: House) -> None:
    """A change names the incidents that suspect it with their odds, the charts that left their limits, and what moved beside it."""
    _change(
        house.ledger,
        "a",
        before="first\nsecond\n" + "x" * 200,
        after="first\nthird\n" + "x" * 200,
        link="https://ci.example/1",
        scope={"task": "dose"},
    )
    _change(house.ledger, "b", at_us=NOW - 2 * HOUR, kind="code")
    _incident(house.ledger, "a", 0.83)
    signal = Signal(
        id="s", monitor="bot/production/error.up/all", app="bot", environment="production", metric="error", direction="up", at_us=NOW,
        window_us=HOUR, n=100, x=30, baseline_n=1000, baseline_x=10, baseline_from_us=1, baseline_to_us=2, statistic=9.0, threshold=5.0,
        onset_us=NOW - HOUR, onset_low_us=NOW - HOUR, onset_high_us=NOW,
    )  # fmt: skip
    for s in (
        signal,
        replace(signal, id="other", app="shop", monitor="shop/x"),
        replace(signal, id="late", at_us=NOW + 2 * DAY),
    ):
        house.ledger.put(s, now_us=NOW, by="andon")
    page = house.visitor("viewer").sees("/changes/a")
    for word in ("title of a", "INC-0001", "83 %", "wrong doses", "title of b", "by unknown"):
        assert word in page.text, word
    assert [t for t, _ in page.tags if t in ("ins", "del")] == ["del", "ins"]
    assert [x for x in page.links if x.startswith("/monitors/")] == ["/monitors/bot%2Fproduction%2Ferror.up%2Fall"]
    assert {"/incidents/INC-0001", "/changes/b", "https://ci.example/1"} <= set(page.links)
    assert house.visitor("viewer").get("/changes/a?as=json&table=suspected").json()[0]["for"] == 2
    assert "No incident suspects it" in house.visitor("viewer").sees("/changes/b").text
    assert house.visitor("viewer").get("/changes/nothing").status_code == 404


def test_a_change_is_recorded_by_hand(house: House) -> None:
    """A responder records a change under their own name; sent twice it is one; what is wrong is said and what was typed is kept."""
    form = {
        "kind": "policy",
        "title": "refunds up to 50",
        "app": "bot",
        "environment": "production",
        "after": "v7",
        "at": "2026-03-01T20:00",
    }
    responder = house.visitor("responder")
    for _ in range(2):
        assert "The change is in the log" in responder.does("/changes", form).text
    (change,) = house.ledger.all(Change)
    assert (change.author, change.kind, change.after, change.at_us) == ("Rob", "policy", "v7", NOW - 4 * HOUR)
    latest = house.ledger.latest(Change, change.id)
    assert latest is not None
    assert latest.by == "Rob"
    for wrong in (
        {"title": ""},
        {"kind": "mood"},
        {"link": "javascript:alert(1)"},
        {"at": "2030-01-01T00:00"},
        {"version_field": "mood"},
    ):
        refused = responder.send("/changes", {**form, **wrong}, origin="/changes")
        assert refused.status_code == 422, wrong
        assert "v7" in [a.get("value") for t, a in seen(refused).tags if t == "input"]
    assert len(house.ledger.all(Change)) == 1


def test_hostile_changes_are_shown_harmlessly(house: House) -> None:
    """What a sender wrote is text in every field, and a link that is no address of the web is no link."""
    _change(
        house.ledger, "a/b ?#" + EVIL, title=EVIL, kind="other", app=EVIL, author=EVIL, environment="production", before=EVIL, after=EVIL + "\nx",
        link="javascript:alert(1)", attributes={EVIL: EVIL}, scope={EVIL: EVIL},
    )  # fmt: skip
    viewer = house.visitor("viewer")
    (link,) = {p for p in viewer.sees("/changes").links if p.startswith("/changes/")}
    for path in ("/changes", link, "/changes?text=%3Cscript%3E&kind=%22onx&author=%3Cimg"):
        page = viewer.client.get(path)
        assert page.status_code == 200, path
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert "javascript:" not in " ".join(Seen(page.text).links)
    assert "\u202e" not in " ".join(viewer.sees(link).words)
    _change(house.ledger, "formula", title="=1+1")
    assert ",'=1+1," in viewer.get("/changes?as=csv").text


@pytest.mark.parametrize(
    "query", ["page=-1", "page=99", "page=x", "range=never", "from=2026-03-01&to=2020-01-01", "text=" + "a" * 2000]
)
def test_any_address_is_answered(house: House, query: str) -> None:
    """No query makes the page fail."""
    _change(house.ledger, "a")
    assert house.visitor("viewer").get(f"/changes?{query}").status_code == 200


TIMES = st.lists(st.integers(0, 1_000), max_size=30)


@given(TIMES, st.integers(0, 900), st.integers(1, 500), st.integers(1, 80))
def test_each_change_of_a_time_is_counted_once(times: list[int], start: int, length: int, bins: int) -> None:
    """However a time is cut, the counts of its parts add up to the changes that the search finds in it, the newest first."""
    changes = [Change(id=str(n), at_us=t, kind="code", title="t") for n, t in enumerate(times)]
    found = search(changes, Wanted(from_us=start, until_us=start + length))
    counts = counts_over(changes, start, start + length, bins)
    assert len(counts) == bins
    assert sum(counts) == len(found)
    assert [c.at_us for c in found] == sorted((t for t in times if start <= t < start + length), reverse=True)
