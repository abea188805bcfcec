"""Coming in."""

from dataclasses import replace
from pathlib import Path

from browsing import NOW, PASSWORD, House, seen

from andon.access.run import add_person, invite, owned
from andon.settings import load
from andon.store import Ledger
from andon.web.routing import SESSION


def test_the_first_one_becomes_the_owner(house: House) -> None:
    """With nobody there every page leads to the welcome, and whoever fills it in owns the house and is signed in."""
    house.ledger, empty = Ledger("sqlite://"), None
    object.__setattr__(house.site, "ledger", house.ledger)
    visitor = house.visitor(empty)
    assert visitor.get("/incidents").headers["location"] == "/welcome"
    answer = visitor.send("/welcome", {"name": "Eve", "password": PASSWORD, "again": PASSWORD}, origin="/welcome")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert owned(house.ledger)
    assert "Eve" in visitor.sees("/").text


def test_nobody_becomes_the_owner_of_an_owned_house(house: House) -> None:
    """The welcome makes one owner, once."""
    said = {"name": "Eve", "password": PASSWORD, "again": PASSWORD}
    answer = house.visitor(None).send("/welcome", said, origin="/welcome")
    assert answer.status_code == 409
    assert SESSION not in answer.cookies


def test_the_first_page_says_what_is_needed(tmp_path: Path) -> None:
    """It has the lines to send, a token's among them where one is needed, and says that older traffic is read at a start."""
    for token in ("", "a token"):
        house = House(tmp_path / (token or "open"), more={"settings": replace(load({}), home=tmp_path, token=token)})
        page = house.visitor("owner").sees("/")
        assert "charts read what is older only when the server starts" in page.text
        assert ("OTEL_EXPORTER_OTLP_HEADERS" in page.text) == bool(token)
        assert ("/settings/tokens" in page.links) == bool(token)
        assert token == "" or token not in page.text
        assert "/settings/tokens" not in house.visitor("viewer").sees("/").links


def test_a_wrong_password_lets_nobody_in(house: House) -> None:
    """A wrong password is refused with what was typed kept but for the password, and a right one leads to where one wanted to go."""
    visitor = house.visitor(None)
    wrong = visitor.send("/sign-in", {"name": "Ada", "password": "no", "to": "/levers"}, origin="/sign-in?to=/levers")
    assert wrong.status_code == 422
    assert ("input", "Ada") in [(t, a.get("value")) for t, a in seen(wrong).tags]
    assert 'value="no"' not in wrong.text
    right = visitor.send("/sign-in", {"name": "Ada", "password": PASSWORD, "to": "/levers"})
    assert (right.status_code, right.headers["location"]) == (303, "/levers")


def test_nobody_is_sent_elsewhere(house: House) -> None:
    """However an address to go to is written, it stays in this house."""
    for to in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\n//evil"):
        answer = house.visitor(None).send("/sign-in", {"name": "Ada", "password": PASSWORD, "to": to})
        assert answer.headers["location"] == "/", to


def test_five_wrong_passwords_are_enough(house: House) -> None:
    """After five wrong passwords the right one is not even tried, and it is said how long to wait."""
    visitor = house.visitor(None)
    for _ in range(5):
        visitor.send("/sign-in", {"name": "Walter", "password": "no"})
    answer = visitor.send("/sign-in", {"name": "Walter", "password": PASSWORD})
    assert answer.status_code == 409
    assert "wait" in seen(answer).text


def test_a_link_is_used_once(house: House) -> None:
    """A link sets a password and lets in; a second use of it finds nothing."""
    add_person(house.ledger, "Nora", "reviewer", by="Ada", now_us=NOW)
    link = invite(house.ledger, "Nora", by="Ada", now_us=NOW)
    visitor = house.visitor(None)
    assert "Nora" in visitor.sees(f"/join/{link}").text
    assert visitor.send(f"/join/{link}", {"password": PASSWORD, "again": PASSWORD}).status_code == 303
    assert house.visitor(None).get(f"/join/{link}").status_code == 404


def test_the_cookie_of_a_session_is_kept_from_scripts(house: House) -> None:
    """The cookie is HttpOnly and SameSite; its value stands in no page."""
    visitor = house.visitor(None)
    answer = visitor.send("/sign-in", {"name": "Ada", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert visitor.client.cookies[SESSION] not in visitor.client.get("/").text


def test_signing_out_ends_the_session(house: House) -> None:
    """The session is over for good: its cookie, kept by somebody, opens nothing."""
    owner = house.visitor("owner")
    owner.send("/sign-out")
    again = house.visitor(None)
    again.client.cookies.set(SESSION, owner.secret)
    assert again.get("/").status_code == 303
