"""Settings: one's own, people, tokens, channels, the budget, health, the audit trail."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from browsing import NOW, PASSWORD, House, seen

from andon.access import Person, Token, TokenUse
from andon.access.run import add_person, make_token, person_of
from andon.changes import Change
from andon.incidents import Delivery
from andon.settings import load
from andon.web.recorded import TRAIL, differences, kind_text

HOSTILE = '<script>alert(1)</script>"><img onerror=x>\u202e\x07'


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[int, list[bytes]]]:
    """A webhook on this machine, and what it was sent."""
    got: list[bytes] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, got
    server.shutdown()
    server.server_close()


def test_preferences_are_kept_in_cookies(house: House) -> None:
    """The look and the time zone are kept, and the next page has both; what is neither is refused with what was typed."""
    viewer = house.visitor("viewer")
    page = viewer.does("/settings/me", {"theme": "dark", "zone": "Europe/Berlin"}, origin="/settings")
    assert ("html", "dark") in [(t, a.get("data-theme")) for t, a in page.tags]
    assert ("body", "Europe/Berlin") in [(t, a.get("data-zone")) for t, a in page.tags]
    refused = viewer.send("/settings/me", {"theme": "auto", "zone": "Mars/Olympus"}, origin="/settings")
    assert refused.status_code == 422
    assert "no time zone" in seen(refused).text
    assert ("input", "Mars/Olympus") in [(t, a.get("value")) for t, a in seen(refused).tags]
    assert viewer.send("/settings/me", {"theme": "<b>", "zone": "UTC"}, origin="/settings").status_code == 422


def test_a_new_password_ends_all_other_sessions(house: House) -> None:
    """Who knows the old password sets another one: this browser goes on, others are signed out; a wrong one changes nothing."""
    viewer = house.visitor("viewer")
    said = {"old": "wrong", "new": "another horse of mine", "again": "another horse of mine"}
    before = house.ledger.last_entry()
    assert viewer.send("/settings/password", said, origin="/settings").status_code == 422
    assert viewer.send("/settings/password", {**said, "again": "x"}, origin="/settings").status_code == 422
    assert house.ledger.last_entry() == before
    other = house.visitor("viewer")
    page = viewer.does("/settings/password", {**said, "old": PASSWORD}, origin="/settings")
    assert "password is changed" in page.text
    assert other.get("/").status_code == 303


def test_a_weak_new_password_is_no_guess_at_the_old(house: House) -> None:
    """Who types the right old password and five new ones that are refused may still take a good one."""
    viewer = house.visitor("viewer")
    for weak in ("short", "aaaaaaaaaaaaaaaa", "123456789012345", "viewer", "passwordpassword"):
        said = {"old": PASSWORD, "new": weak, "again": weak}
        assert viewer.send("/settings/password", said, origin="/settings").status_code == 422
    good = "nine quiet lanterns 40"
    assert (
        "password is changed"
        in viewer.does("/settings/password", {"old": PASSWORD, "new": good, "again": good}, origin="/settings").text
    )


def test_passwords_are_not_guessed_on_the_settings(house: House) -> None:
    """After five wrong ones the right one is not even tried."""
    viewer = house.visitor("viewer")
    said = {"old": "wrong", "new": "another horse of mine", "again": "another horse of mine"}
    for _ in range(5):
        viewer.send("/settings/password", said, origin="/settings")
    answer = viewer.send("/settings/password", {**said, "old": PASSWORD}, origin="/settings")
    assert answer.status_code == 409
    assert "wait" in seen(answer).text


def test_signing_out_everywhere_ends_this_session_too(house: House) -> None:
    """All sessions end at once."""
    one, two = house.visitor("viewer"), house.visitor("viewer")
    assert "this one" in one.sees("/settings").text
    assert one.send("/settings/sessions", origin="/settings").headers["location"] == "/sign-in"
    assert {v.get("/").status_code for v in (one, two)} == {303}


@pytest.mark.parametrize("role", ["viewer", "reviewer", "responder"])
def test_only_owners_look_after_people(house: House, role: str) -> None:
    """Others see neither the tabs of owners nor their pages."""
    visitor = house.visitor(role)
    for path in ("people", "tokens", "channels", "audit", "audit/1"):
        assert visitor.get(f"/settings/{path}").status_code == 403
        assert f"/settings/{path}" not in visitor.sees("/settings").links


def test_somebody_is_let_in_by_a_link_that_is_shown_once(house: House) -> None:
    """The owner adds somebody and is given a whole address, once; whoever opens it sets a password and is in."""
    owner = house.visitor("owner")
    page = owner.does("/settings/people", {"name": "Nora North", "role": "responder"}, origin="/settings/people")
    link = next(w for w in page.words if w.startswith("http://127.0.0.1:4318/join/"))
    assert "Nora North" in page.text
    assert link not in owner.client.get("/settings/people").text
    stranger = house.visitor(None)
    path = link.removeprefix("http://127.0.0.1:4318")
    assert stranger.send(path, {"password": PASSWORD, "again": PASSWORD}).status_code == 303
    known = house.ledger.latest(Person, "Nora North")
    assert (known.record.role, known.record.by, known.by) == ("responder", "Ada", "Nora North")


def test_the_link_has_the_address_that_people_use(house: House) -> None:
    """Where ANDON_URL is set, links begin with it: behind a proxy the server does not know how people reach it."""
    object.__setattr__(house.site, "settings", replace(house.site.settings, url="https://andon.example.com/"))
    page = house.visitor("owner").does(
        "/settings/people", {"name": "Nora", "role": "viewer"}, origin="/settings/people"
    )
    assert any(w.startswith("https://andon.example.com/join/") for w in page.words)


def test_what_is_done_about_people_is_done(house: House) -> None:
    """Another role, which can be undone, a new link, an end of sessions, a removal with its reason: each under the owner's name."""
    owner, viewer = house.visitor("owner"), house.visitor("viewer")
    assert "Undo" in owner.does("/settings/people/Vic/role", {"role": "reviewer"}).text
    assert person_of(house.ledger, "Vic").role == "reviewer"
    assert house.ledger.latest(Person, "Vic").by == "Ada"
    assert any("/join/" in w for w in owner.does("/settings/people/Vic/link").words)
    owner.does("/settings/people/Vic/sessions")
    assert viewer.get("/").status_code == 303
    refused = owner.send("/settings/people/Vic/remove", {"why": " "}, origin="/settings/people")
    assert (refused.status_code, person_of(house.ledger, "Vic").active) == (422, True)
    page = owner.does("/settings/people/Vic/remove", {"why": "moved on"}, origin="/settings/people")
    assert "moved on" in page.text
    assert not person_of(house.ledger, "Vic").active


def test_the_last_owner_stays(house: House) -> None:
    """The last owner is neither removed nor given another role, and it is said beside the form why."""
    owner = house.visitor("owner")
    for verb, fields in (("role", {"role": "viewer"}), ("remove", {"why": "I leave"})):
        answer = owner.send(f"/settings/people/Ada/{verb}", fields, origin="/settings/people")
        assert answer.status_code == 409
        assert "last owner" in seen(answer).text


def test_a_name_with_any_signs_is_looked_after(house: House) -> None:
    """Names with spaces, slashes and quotes are reached by their forms, and a refusal stands beside the right one."""
    name = "O'Neil & Sons/Ops 50%"
    add_person(house.ledger, name, "viewer", by="Ada", now_us=NOW)
    add_person(house.ledger, "Bea", "viewer", by="Ada", now_us=NOW)
    owner = house.visitor("owner")
    path = next(f for f in owner.sees("/settings/people").forms if f.endswith("/remove") and "Neil" in f)
    refused = owner.send(path, {"why": ""}, origin="/settings/people")
    assert refused.status_code == 422
    assert sum("wrong" in (a.get("class") or "") for _, a in seen(refused).tags) == 1
    owner.does(path, {"why": "closed"}, origin="/settings/people")
    assert not person_of(house.ledger, name).active


def test_a_token_is_shown_once_and_revoked(house: House) -> None:
    """A token with chosen scopes and an end is made, shown once, listed without its secret, opens tables, and ends when it is revoked."""
    owner = house.visitor("owner")
    page = owner.does(
        "/settings/tokens", {"name": "grafana", "scope": ["read", "ingest"], "ends": "30"}, origin="/settings/tokens"
    )
    secret = next(w for w in page.words if w.startswith("andon_"))
    (token,) = house.ledger.all(Token)
    assert (token.scopes, token.until_us, token.by) == (("ingest", "read"), NOW + 30 * 86_400_000_000, "Ada")
    again = owner.client.get("/settings/tokens").text
    assert token.id in again
    assert secret not in again
    assert token.digest not in again
    assert "never used" in seen(owner.client.get("/settings/tokens")).text
    house.ledger.put(TokenUse(id=token.id, at_us=NOW - 2 * 3_600_000_000), now_us=NOW, by="andon")
    assert "used last 2 h ago" in seen(owner.client.get("/settings/tokens")).text
    machine = house.visitor(None)
    bearer = {"authorization": f"Bearer {secret}"}
    assert machine.get("/incidents?as=json", **bearer).status_code == 200
    owner.does(f"/settings/tokens/{token.id}/revoke")
    assert machine.get("/incidents?as=json", **bearer).status_code in (303, 401)
    refused = owner.send("/settings/tokens", {"name": "grafana", "ends": "30"}, origin="/settings/tokens")
    assert refused.status_code == 422
    assert ("input", "grafana") in [(t, a.get("value")) for t, a in seen(refused).tags]


def test_channels_are_tested_and_keep_their_secrets(tmp_path: Path) -> None:
    """A test arrives, one that fails says so, and no page holds a part of a channel's address that is secret."""
    with receiver() as (port, got), socket.create_server(("127.0.0.1", 0)) as nobody:
        closed = nobody.getsockname()[1]
        nobody.close()
        urls = f"json://ann:TopSecret@127.0.0.1:{port}/hidden-path, json://127.0.0.1:{closed}/x"
        house = House(tmp_path, more={"settings": replace(load({}), home=tmp_path / "store", channels=urls)})
        owner = house.visitor("owner")
        page = owner.sees("/settings/channels")
        first = f"json://127.0.0.1:{port}"
        assert "2 channels" in page.text
        told = owner.does("/settings/channels/test", {"channel": first}, origin="/settings/channels")
        assert "took the test" in told.text
        assert b"test" in got[0].lower()
        failed = owner.does(
            "/settings/channels/test", {"channel": f"json://127.0.0.1:{closed}"}, origin="/settings/channels"
        )
        assert "could not be told" in failed.text
        html = owner.client.get("/settings/channels").text
        assert "TopSecret" not in html
        assert "hidden-path" not in html
        assert owner.send("/settings/channels/test", {"channel": "slack://…"}).status_code == 404


def test_deliveries_are_listed_and_taken_along(house: House) -> None:
    """What was told last is a table, with what went wrong, and as CSV."""
    house.ledger.put(
        Delivery(
            id="INC-0001/opened/x", incident="INC-0001", reason="opened", channel="slack://…", severity="P1", signal_us=NOW,
            at_us=NOW, state="failed", error=f"it answered {HOSTILE}",
        ),
        now_us=NOW, by="andon",
    )  # fmt: skip
    owner = house.visitor("owner")
    page = owner.client.get("/settings/channels")
    assert "/incidents/INC-0001" in seen(page).links
    assert "<script>alert" not in page.text
    assert "INC-0001" in owner.get("/settings/channels?as=csv&table=deliveries").text


def test_without_channels_it_is_said_how_to_have_one(house: House) -> None:
    """Nobody is told: the page says so, and what to set."""
    page = house.visitor("owner").sees("/settings/channels")
    assert "Nobody is told" in page.text
    assert "ANDON_CHANNELS" in page.text


def test_the_budget_says_what_it_costs(house: House) -> None:
    """What is accepted stands in the headline; fewer false pages cost longer delays in the table."""
    viewer = house.visitor("viewer")
    assert "You accept 1 false page a month" in viewer.sees("/settings/budget").text
    rows = viewer.get("/settings/budget?as=json&table=budgets").json()
    assert [r["budget"] for r in rows] == ["0.25", "1", "4", "16"]
    assert [r["double"] for r in rows] == sorted((r["double"] for r in rows), reverse=True)


def test_health_says_what_does_not_work(tmp_path: Path) -> None:
    """Problems and warnings of the process are said as they are, harmlessly, and the tables with their rows."""
    house = House(tmp_path, more={"problems": lambda: [f"loop: failed {HOSTILE}"], "warnings": lambda: ["look at `x`"]})
    answer = house.visitor("viewer").client.get("/settings/health")
    page = seen(answer)
    assert "Andon is not well" in page.text
    assert "loop: failed <script>" in page.text
    assert "<script>alert" not in answer.text
    assert "interactions" in page.text


def test_health_of_a_calm_house(house: House) -> None:
    """With nothing wrong the headline says so."""
    assert "Andon is well" in house.visitor("viewer").sees("/settings/health").text


def test_the_trail_shows_who_changed_what(house: House) -> None:
    """Each change stands there with its author and a link to what differs; filters narrow it by person, kind, id and time."""
    house.visitor("viewer")
    change = Change(id="CHG-1", at_us=NOW, kind="prompt", title=f"shorter {HOSTILE}", app="shop", author="Rob")
    house.ledger.put(change, now_us=NOW + 5, by="Rob")
    house.ledger.put(replace(change, title="longer"), now_us=NOW + 6, by="Eve")
    owner = house.visitor("owner")
    page = owner.sees("/settings/audit")
    assert "Eve" in page.text
    rows = owner.get("/settings/audit?as=json&table=trail&kind=Change").json()
    assert [(r["by"], r["version"]) for r in rows] == [("Eve", 2), ("Rob", 1)]
    assert owner.get("/settings/audit?as=json&table=trail&by=Rob").json()[0]["record"] == "CHG-1"
    assert owner.get("/settings/audit?as=json&table=trail&id=CHG-&by=Ada").json() == []
    assert owner.get("/settings/audit?as=json&table=trail&from=2031-01-01T00:00").json() == []
    assert (
        "cannot" in owner.sees("/settings/audit?from=nonsense").text
        or "time" in owner.sees("/settings/audit?from=nonsense").text
    )
    one = owner.client.get(f"/settings/audit/{rows[0]['entry']}")
    assert "longer" in seen(one).text
    assert "<script>alert" not in one.text
    assert "/changes/CHG-1" in seen(one).links
    assert "CHG-1" in owner.get("/settings/audit?as=csv").text


def test_the_trail_tells_no_secret(house: House) -> None:
    """No digest, no hash of a password and no id of a session or link stands anywhere in the trail, in no form of it."""
    house.visitor("viewer")
    token, secret = make_token(house.ledger, "app", ["read"], by="Ada", now_us=NOW)
    ledger, owner = house.ledger, house.visitor("owner")
    secrets = [secret, token.digest, *house.secrets.values()]
    secrets += [p.password for p in ledger.all(Person) if p.password]
    shown = [owner.get(f"/settings/audit?as={form}&table=trail").text for form in ("csv", "json", "md")]
    entries = [r["entry"] for r in owner.get("/settings/audit?as=json&table=trail").json()]
    shown += [owner.client.get("/settings/audit").text]
    for entry in entries:
        shown += [owner.client.get(f"/settings/audit/{entry}").text, owner.get(f"/settings/audit/{entry}?as=csv").text]
    from andon.access import Invitation, Session

    secrets += [r.id for kind in (Session, Invitation) for r in ledger.all(kind)]
    assert len(entries) > 5
    assert not [s[:12] for s in secrets for text in shown if s in text]


def test_the_trail_is_read_page_by_page(house: House) -> None:
    """Fifty lines at a time, with a link to older ones; nothing is left out between the pages."""
    for n in range(120):
        house.ledger.put(
            Change(id=f"CHG-{n:03d}", at_us=NOW, kind="prompt", title="t", app="shop", author="Rob"),
            now_us=NOW,
            by="Rob",
        )
    owner, found, path = house.visitor("owner"), [], "/settings/audit?kind=Change"
    for _ in range(3):
        page = owner.sees(path)
        found += [link for link in page.links if link.startswith("/changes/CHG-")]
        path = next((link for link in page.links if "before=" in link and "as=" not in link), "")
    assert len(set(found)) == 120
    assert path == ""


@pytest.mark.parametrize("entry", ["x", "-1", "99999999999999999999", "²", "0"])
def test_an_entry_that_is_none_is_not_there(house: House, entry: str) -> None:
    """Whatever stands in the address, an entry that is not there is 404."""
    assert house.visitor("owner").get(f"/settings/audit/{entry}").status_code == 404


def test_differences_are_of_fields() -> None:
    """What differs is told by its path, with lists of plain values as values, times as times, and passwords never."""
    before = {
        "a": 1,
        "b": [{"c": "x"}],
        "tags": ["p"],
        "password": "scrypt$1",
        "at_us": 1_772_409_600_000_000,
        "same": 5,
    }
    after = {
        "a": 2,
        "b": [{"c": "y"}, {"c": "z"}],
        "tags": ["p", "q"],
        "password": "scrypt$2",
        "at_us": None,
        "same": 5,
    }
    found, more = differences(before, after)
    told = {d.path: (d.before, d.after) for d in found}
    assert told == {
        "a": ("1", "2"), "b[1].c": ("x", "y"), "b[2].c": (None, "z"), "tags": ('["p"]', '["p","q"]'),
        "password": ("(never shown)", "(never shown)"), "at_us": ("2026-03-02T00:00:00Z", None),
    }  # fmt: skip
    assert more == 0
    assert differences(None, {"x": list(range(3))})[0][0].after == "[0,1,2]"
    assert (
        len(differences(None, {str(n): n for n in range(900)})[0])
        + differences(None, {str(n): n for n in range(900)})[1]
        == 900
    )


def test_the_trail_names_every_kind_in_words() -> None:
    """Kinds are called by words, and what only says how far a stage has come is not among them."""
    assert kind_text("TimelineEvent") == "timeline event"
    assert "Claim" not in TRAIL
    assert {"Session", "Person", "Pull", "Incident"} <= set(TRAIL)
    assert not [k for k in TRAIL if k.endswith("Cursor")]
