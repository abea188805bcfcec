"""The commands about who is let in: what they print, and that what they print works."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from andon.access.run import accept, found, invited, person_of, sign_in, token_of
from andon.cli.screen import now_us
from andon.errors import InputError
from andon.store import Ledger

Type = Callable[..., tuple[int, str, str]]
PASSWORD = "violet gravel 41 otters"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """The ledger of the home in which commands are typed."""
    (tmp_path / "home").mkdir()
    return Ledger.open(tmp_path / "home" / "ledger.db")


def link_in(out: str, address: str = "http://127.0.0.1:4318") -> str:
    """The secret of the one link that was printed."""
    (secret,) = re.findall(rf"^  {re.escape(address)}/join/([\w-]{{43}})$", out, re.MULTILINE)
    return str(secret)


def test_a_person_is_let_in_by_a_link(type_: Type, ledger: Ledger) -> None:
    """`person add` prints what the role may and a link that works; the list says the state, and never a secret."""
    code, out, _ = type_("person", "add", "Mia Lang", "--role", "reviewer")
    assert code == 0
    assert out.startswith("Mia Lang is reviewer: Reads, labels failures")
    secret = link_in(out)
    assert "has no password yet, has a link until" in type_("person", "list")[1]
    accept(ledger, secret, PASSWORD, now_us=now_us())
    _, out, _ = type_("person", "list")
    assert re.search(r"^Mia Lang\s+reviewer\s+signs in\s+\S+Z\s+ann", out, re.MULTILINE)
    assert secret not in out


@pytest.mark.parametrize(
    ("name", "value", "address"),
    [
        ("ANDON_URL", "https://andon.example/", "https://andon.example"),
        ("ANDON_HOST", "0.0.0.0", "http://localhost:4318"),
        ("ANDON_HOST", "::1", "http://[::1]:4318"),
        ("ANDON_PORT", "5000", "http://127.0.0.1:5000"),
        ("ANDON_PORT", "no number", ""),
    ],
)
def test_the_link_leads_to_this_andon(
    type_: Type, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, name: str, value: str, address: str
) -> None:
    """The link begins with ANDON_URL, else with host and port; with settings that cannot be read it is the path alone."""
    monkeypatch.setenv(name, value)
    code, out, _ = type_("person", "add", "mia", "--role", "viewer")
    assert code == 0
    assert invited(ledger, link_in(out, address), now_us()) is not None


def test_a_forgotten_password_is_a_new_link(type_: Type, ledger: Ledger) -> None:
    """`person link` makes a link, in any spelling of the name, and the link before it does not count any more."""
    first = link_in(type_("person", "add", "mia", "--role", "viewer")[1])
    second = link_in(type_("person", "link", "MIA")[1])
    assert invited(ledger, first, now_us()) is None
    assert invited(ledger, second, now_us()) is not None


def test_a_role_and_a_removal_are_recorded(type_: Type, ledger: Ledger) -> None:
    """Role and removal are written with who typed them and why; the last owner stays, and a wrong role is refused."""
    found(ledger, "Root", PASSWORD, now_us=now_us())
    type_("person", "add", "mia", "--role", "viewer")
    assert type_("person", "role", "mia", "responder")[1].startswith("mia is responder: ")
    code, _, err = type_("person", "role", "mia", "boss")
    assert (code, "viewer, reviewer, responder, owner" in err) == (2, True)
    assert type_("person", "remove", "mia", "--why", "left the team")[0] == 0
    gone = person_of(ledger, "mia")
    assert gone is not None
    assert (gone.active, gone.role, gone.why) == (False, "responder", "left the team")
    assert "removed: left the team" in type_("person", "list")[1]
    code, _, err = type_("person", "remove", "root", "--why", "x")
    assert (code, "last owner" in err) == (2, True)
    assert sign_in(ledger, "root", PASSWORD, now_us=now_us())[0].id == "Root"
    with pytest.raises(InputError):
        sign_in(ledger, "mia", PASSWORD, now_us=now_us())


def test_a_token_is_shown_once(type_: Type, ledger: Ledger) -> None:
    """`token make` prints the secret on its own line, for a script; the list shows the token without it; a revoked one is over."""
    code, out, _ = type_("token", "make", "shop", "--scope", "levers", "--scope", "ingest", "--until", "90d")
    secret = out.splitlines()[0]
    token = token_of(ledger, secret, now_us())
    assert code == 0
    assert token is not None
    assert (token.scopes, token.by, token.name) == (("ingest", "levers"), "ann", "shop")
    assert 0 < (token.until_us or 0) - token.at_us == 90 * 24 * 3_600_000_000
    _, out, _ = type_("token", "list")
    assert re.search(rf"^{token.id}\s+shop\s+ingest, levers\s+until \S+Z", out, re.MULTILINE)
    assert secret not in out
    assert type_("token", "revoke", token.id)[0] == 0
    assert token_of(ledger, secret, now_us()) is None
    assert "revoked" in type_("token", "list")[1]
    assert type_("token", "revoke", token.id)[0] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("person", "link", "nobody"), "andon person list"),
        (("person", "add", "  ", "--role", "viewer"), "the name is empty"),
        (("token", "make", "a", "--scope", "all"), "ingest, levers, read"),
        (("token", "make", "a", "--scope", "read", "--until", "soon"), "soon"),
        (("token", "revoke", "tok_none"), "andon token list"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(
    type_: Type, ledger: Ledger, words: tuple[str, ...], said: str
) -> None:
    """A wrong name, scope, time or id ends with 2 and says what to do; the ledger stays as it was."""
    code, _, err = type_(*words)
    assert code == 2
    assert said in err
    assert list(ledger.bodies()) == []


def test_nobody_yet_says_what_to_type(type_: Type) -> None:
    """Empty lists say how the first entry is made."""
    assert "andon person add" in type_("person", "list")[1]
    assert "andon token make" in type_("token", "list")[1]
