"""Who may see and do what: every page and everything that can be done, as stranger, viewer, reviewer, responder and owner."""

import re

import pytest
from browsing import ROLES, House, Seen

from andon.access import may
from andon.web.pages import PARTS
from andon.web.routing import Act, Read

ENTRIES = [entry for part in PARTS for entry in part.all]
READS = [e for e in ENTRIES if isinstance(e, Read)]
ACTS = [e for e in ENTRIES if isinstance(e, Act)]
OPEN = {"/welcome", "/sign-in", "/join/{secret}"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> House:
    """One house for all that is refused: none of it writes anything."""
    return House(tmp_path_factory.mktemp("house"))


def concrete(path: str) -> str:
    """A path with something in each of its places."""
    return re.sub(r"\{[^}]+\}", "INC-0001", path)


def test_only_the_doors_are_open_to_strangers() -> None:
    """What needs no role is named here, and nothing else is."""
    assert {e.path for e in ENTRIES if e.role is None} == OPEN


def test_nothing_is_changed_by_a_viewer() -> None:
    """What changes something needs more than a viewer, but for what is a person's own."""
    own = {"/sign-out", "/settings/me", "/settings/password", "/settings/sessions"}
    assert {e.path for e in ACTS if e.role == "viewer"} <= own


@pytest.mark.parametrize("entry", READS, ids=lambda e: e.path)
def test_a_stranger_sees_no_page(shared: House, entry: Read) -> None:
    """A stranger is sent to sign in from every page, there or not, and what is sent says nothing else."""
    if entry.role is None:
        return
    answer = shared.visitor(None).get(concrete(entry.path))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    assert answer.text == ""


@pytest.mark.parametrize("entry", ACTS, ids=lambda e: e.path)
def test_a_stranger_does_nothing(shared: House, entry: Act) -> None:
    """What a stranger sends is refused, and nothing is written."""
    if entry.role is None:
        return
    before = shared.ledger.last_entry()
    answer = shared.visitor(None).send(concrete(entry.path))
    assert answer.status_code == 401
    assert shared.ledger.last_entry() == before


@pytest.mark.parametrize("role", ROLES)
def test_each_role_does_what_is_its_own(house: House, role: str) -> None:
    """What a role may not do is refused with 403 and writes nothing; what it may is not refused for who asks."""
    visitor = house.visitor(role)
    before = house.ledger.last_entry()
    for entry in ACTS:
        if entry.role is None or entry.path == "/sign-out":
            continue
        if not may(role, entry.role):  # type: ignore[arg-type]
            answer = visitor.send(concrete(entry.path))
            assert answer.status_code == 403, entry.path
            assert house.ledger.last_entry() == before, entry.path


@pytest.mark.parametrize("role", ROLES)
def test_each_page_of_an_empty_house(house: House, role: str) -> None:
    """Every page is there with nothing in the store, or says that there is no such thing; none fails."""
    visitor = house.visitor(role)
    for entry in READS:
        answer = visitor.get(concrete(entry.path))
        wanted = (200, 303, 404) if entry.role is None or may(role, entry.role) else (403,)  # type: ignore[arg-type]
        assert answer.status_code in wanted, (entry.path, answer.status_code, Seen(answer.text).text[:300])


@pytest.mark.parametrize("entry", ACTS, ids=lambda e: e.path)
def test_a_form_of_another_session_is_refused(shared: House, entry: Act) -> None:
    """A form without this session's proof is refused, whoever sends it, and nothing is written."""
    if entry.role is None:
        return
    owner = shared.visitor("owner")
    before = shared.ledger.last_entry()
    answer = owner.send(concrete(entry.path), {"csrf": "0" * 32})
    assert answer.status_code == 403
    assert shared.ledger.last_entry() == before


@pytest.mark.parametrize("entry", READS, ids=lambda e: e.path)
def test_a_page_is_the_same_each_time(shared: House, entry: Read) -> None:
    """A page that is asked for again while nothing happened is the same to the letter: open pages exchange only what differs."""
    owner = shared.visitor("owner")
    first, again = (owner.get(concrete(entry.path)).text for _ in range(2))
    assert first == again
