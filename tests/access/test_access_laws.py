"""Whatever people do, in whatever order: who is let in is who should be, and no secret is written."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from andon.access import ROLES, SCOPES
from andon.access.run import (
    SIGNED_IN_US,
    Keyring,
    accept,
    add_person,
    change_password,
    end_sessions,
    found,
    invite,
    invited,
    make_token,
    owned,
    people,
    remove_person,
    revoke_token,
    set_role,
    sign_in,
    sign_out,
    signed_in,
    token_of,
)
from andon.errors import InputError, StateError
from andon.store import Ledger

NAMES = ("Ann", "Bob", "Cy")
DAY_US = 24 * 3_600_000_000
OWNER_PASSWORD = "violet gravel 41 otters"


class Office(RuleBasedStateMachine):
    """People who come and go, beside a list of what should count."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger, self.now = Ledger("sqlite://"), 1_790_000_000_000_000
        self.passwords: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.open: dict[str, tuple[str, int]] = {}
        self.tokens: dict[str, tuple[str, int | None]] = {}
        self.secrets: set[str] = set()
        self.made = 0

    @initialize()
    def first(self) -> None:
        self.secrets.add(OWNER_PASSWORD)
        self._in("Ann", found(self.ledger, "Ann", OWNER_PASSWORD, now_us=self.now)[1])
        self.passwords["Ann"] = OWNER_PASSWORD

    def _new_password(self) -> str:
        self.made += 1
        self.secrets.add(text := f"nine copper ladders {self.made} up")
        return text

    def _in(self, name: str, secret: str) -> None:
        self.open[secret] = (name, self.now + SIGNED_IN_US)
        self.secrets.add(secret)

    def _out(self, name: str) -> None:
        self.open = {s: (n, until) for s, (n, until) in self.open.items() if n != name}

    def _active(self, name: str) -> bool:
        return any(p.id == name and p.active for p in people(self.ledger))

    def _last_owner(self, name: str) -> bool:
        return {p.id for p in people(self.ledger) if p.active and p.role == "owner" and p.password} == {name}

    @rule(name=st.sampled_from(NAMES), role=st.sampled_from(tuple(ROLES)))
    def add(self, name: str, role: str) -> None:
        if self._active(name):
            with pytest.raises(StateError):
                add_person(self.ledger, name.upper(), role, by="Ann", now_us=self.now)
        else:
            add_person(self.ledger, name, role, by="Ann", now_us=self.now)

    @rule(name=st.sampled_from(NAMES))
    def link(self, name: str) -> None:
        if self._active(name):
            self.links[name] = invite(self.ledger, name.lower(), by="Ann", now_us=self.now)
            self.secrets.add(self.links[name])

    @rule(name=st.sampled_from(NAMES))
    def join(self, name: str) -> None:
        link = self.links.pop(name, None)
        if link is None:
            return
        if invited(self.ledger, link, self.now) is None:  # a week has gone
            with pytest.raises(InputError):
                accept(self.ledger, link, self._new_password(), now_us=self.now)
            return
        self._out(name)
        self.passwords[name] = self._new_password()
        self._in(name, accept(self.ledger, link, self.passwords[name], now_us=self.now)[1])

    @rule(name=st.sampled_from(NAMES), right=st.booleans())
    def enter(self, name: str, right: bool) -> None:
        if right and name in self.passwords:
            self._in(name, sign_in(self.ledger, name, self.passwords[name], now_us=self.now)[1])
        else:
            with pytest.raises(InputError):
                sign_in(self.ledger, name, "not the password at all", now_us=self.now)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.open:
            secret = data.draw(st.sampled_from(sorted(self.open)))
            sign_out(self.ledger, secret, now_us=self.now)
            del self.open[secret]

    @rule(name=st.sampled_from(NAMES))
    def leave_everywhere(self, name: str) -> None:
        if self._active(name):
            end_sessions(self.ledger, name, by="Ann", now_us=self.now)
            self._out(name)

    @rule(name=st.sampled_from(NAMES))
    def another_password(self, name: str) -> None:
        if name in self.passwords:
            old, self.passwords[name] = self.passwords[name], self._new_password()
            self._out(name)
            self.links.pop(name, None)
            self._in(name, change_password(self.ledger, name, old, self.passwords[name], now_us=self.now)[1])

    @rule(name=st.sampled_from(NAMES), role=st.sampled_from(tuple(ROLES)))
    def promote(self, name: str, role: str) -> None:
        if not self._active(name):
            return
        if self._last_owner(name) and role != "owner":
            with pytest.raises(StateError):
                set_role(self.ledger, name, role, by="Ann", now_us=self.now)
        else:
            assert set_role(self.ledger, name, role, by="Ann", now_us=self.now).role == role

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        if not self._active(name):
            return
        if self._last_owner(name):
            with pytest.raises(StateError):
                remove_person(self.ledger, name, why="left", by="Ann", now_us=self.now)
            return
        remove_person(self.ledger, name, why="left", by="Ann", now_us=self.now)
        self._out(name)
        self.passwords.pop(name, None)
        self.links.pop(name, None)

    @rule(days=st.sampled_from((None, 3)), scopes=st.sets(st.sampled_from(tuple(SCOPES)), min_size=1))
    def token(self, days: int | None, scopes: set[str]) -> None:
        until = None if days is None else self.now + days * DAY_US
        token, secret = make_token(self.ledger, "bot", scopes, by="Ann", now_us=self.now, until_us=until)
        self.tokens[secret] = (token.id, until)
        self.secrets.add(secret)

    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        if self.tokens:
            secret = data.draw(st.sampled_from(sorted(self.tokens)))
            revoke_token(self.ledger, self.tokens.pop(secret)[0], by="Ann", now_us=self.now)

    @rule(days=st.sampled_from((0, 1, 5, 15)))
    def wait(self, days: int) -> None:
        self.now += days * DAY_US

    @invariant()
    def who_should_be_in_is_in(self) -> None:
        """Each secret that was ever given out lets in exactly whom it should, now."""
        keyring = Keyring(self.ledger)
        keyring.refresh()
        for secret in self.secrets:
            name, until = self.open.get(secret, ("", 0))
            person = signed_in(self.ledger, secret, self.now)
            assert (None if person is None else person.id) == (name if self.now < until else None)
            token, end = self.tokens.get(secret, (None, None))
            wanted = token if token is not None and (end is None or self.now < end) else None
            known = token_of(self.ledger, secret, self.now)
            assert (None if known is None else known.id) == wanted
            assert (keyring.scopes_of(secret, self.now) is not None) == (wanted is not None)

    @invariant()
    def nobody_is_locked_out(self) -> None:
        """There is an owner who can sign in."""
        assert owned(self.ledger) or not self.secrets

    @invariant()
    def no_secret_is_written(self) -> None:
        """No version of any record holds a secret, or a password."""
        bodies = "\n".join(body for _, body in self.ledger.bodies())
        assert not [s for s in self.secrets if s in bodies]

    def teardown(self) -> None:
        self.ledger.close()


@pytest.mark.usefixtures("cheap")
def test_who_is_let_in_is_who_should_be() -> None:
    """In any order of joining, signing in and out, changing and removing, exactly the right secrets count, and none is written."""
    run_state_machine_as_test(Office, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
