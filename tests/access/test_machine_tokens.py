"""Laws of the tokens of machines."""

import re

import pytest

from andon.access import Token, TokenUse
from andon.access.run import Keyring, make_token, revoke_token, token_of, tokens
from andon.errors import InputError, StateError
from andon.store import Ledger

NOW = 1_790_000_000_000_000


def test_a_token_is_recognised_by_its_secret(ledger: Ledger) -> None:
    """The secret names the id of its token, finds it, and is not in it."""
    token, secret = make_token(ledger, " bot ", ["levers", "ingest"], by="ann", now_us=NOW)
    assert (token.name, token.scopes, token.by) == ("bot", ("ingest", "levers"), "ann")
    assert re.fullmatch(r"tok_[a-z2-9]{8}", token.id)
    assert re.fullmatch(rf"andon_{token.id[4:]}_[\w-]{{43}}", secret)
    assert token_of(ledger, secret, NOW) == token
    assert secret.rpartition("_")[2] not in str(token)
    assert tokens(ledger) == [token]


def test_what_is_no_secret_opens_nothing(ledger: Ledger) -> None:
    """A secret that is unknown, cut, grown, of another token or of another form opens nothing, in the ledger or in memory."""
    _, one = make_token(ledger, "a", ["ingest"], by="ann", now_us=NOW)
    _, two = make_token(ledger, "b", ["ingest"], by="ann", now_us=NOW)
    keyring = Keyring(ledger)
    assert keyring.scopes_of(one, NOW) is None
    keyring.refresh()
    assert keyring.scopes_of(one, NOW) == {"ingest"}
    swapped = one[:15] + two[15:]
    for wrong in (
        "",
        "andon",
        "andon__",
        one[:-1],
        one + "x",
        swapped,
        one.upper(),
        "tok_" + one[6:14],
        "andon_\ud800_x",
    ):
        assert token_of(ledger, wrong, NOW) is None
        assert keyring.scopes_of(wrong, NOW) is None


def test_a_token_that_is_revoked_or_over_opens_nothing(ledger: Ledger) -> None:
    """A token ends at its time, and when it is revoked: in the ledger at once, in memory at the next reading; once only."""
    token, secret = make_token(ledger, "a", ["ingest"], by="ann", now_us=NOW, until_us=NOW + 10)
    keyring = Keyring(ledger)
    keyring.refresh()
    for at, lets_in in ((NOW + 9, True), (NOW + 10, False)):
        assert (token_of(ledger, secret, at) is not None) == lets_in
        assert (keyring.scopes_of(secret, at) is not None) == lets_in
    done = revoke_token(ledger, token.id, by="bob", now_us=NOW + 1)
    assert (done.revoked_us, done.revoked_by) == (NOW + 1, "bob")
    assert token_of(ledger, secret, NOW) is None
    keyring.refresh()
    assert keyring.scopes_of(secret, NOW) is None
    with pytest.raises(StateError, match="'bob' already"):
        revoke_token(ledger, token.id, by="ann", now_us=NOW + 2)
    with pytest.raises(InputError, match="andon token list"):
        revoke_token(ledger, "tok_nothing2", by="ann", now_us=NOW)


def test_uses_are_written_once_an_hour(ledger: Ledger) -> None:
    """However frequently a token is used, its last use is written at most once an hour, by no request, and a new start goes on so."""
    token, secret = make_token(ledger, "a", ["ingest"], by="ann", now_us=NOW)
    idle, _ = make_token(ledger, "b", ["ingest"], by="ann", now_us=NOW)
    minute = 60_000_000
    before = ledger.last_entry()
    for start in (0, 200):
        keyring = Keyring(ledger)
        keyring.refresh()
        for k in range(start, start + 200):
            assert keyring.scopes_of(secret, NOW + k * minute) is not None
            assert keyring.scopes_of(secret + "x", NOW + k * minute) is None
            wrote = ledger.last_entry()
            assert keyring.scopes_of(secret, NOW + k * minute) is not None
            assert ledger.last_entry() == wrote
            keyring.keep_uses()
    assert ledger.last_entry() - before == 7
    (use,) = ledger.all(TokenUse)
    assert (use.id, use.at_us) == (token.id, NOW + 360 * minute)
    assert ledger.get(TokenUse, idle.id) is None


def test_a_token_must_be_of_use(ledger: Ledger) -> None:
    """Without a name, a known scope or a time to come nothing is made."""
    for name, scopes, until in (("", ["ingest"], None), ("a", [], None), ("a", ["all"], None), ("a", ["read"], NOW)):
        with pytest.raises(InputError):
            make_token(ledger, name, scopes, by="ann", now_us=NOW, until_us=until)
    assert ledger.all(Token) == []
