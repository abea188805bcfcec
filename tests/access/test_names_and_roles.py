"""Laws of names, roles and scopes."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.access import ROLES, SCOPES, Role, check_name, check_role, check_scopes, letters, may
from andon.errors import InputError

LADDER: tuple[Role, ...] = ("viewer", "reviewer", "responder", "owner")


def test_the_roles_are_a_ladder() -> None:
    """A role may exactly what it and those below it may."""
    assert tuple(ROLES) == LADDER
    for low, high in combinations(LADDER, 2):
        assert may(high, low)
        assert not may(low, high)
    assert all(may(role, role) for role in LADDER)


def test_a_role_is_found_by_its_name_alone() -> None:
    """Case and spaces around it make no difference; anything else is refused with the roles there are."""
    assert check_role(" Reviewer ") == "reviewer"
    for wrong in ("", "admin", "owners", "view"):
        with pytest.raises(InputError, match="viewer, reviewer, responder, owner"):
            check_role(wrong)


def test_scopes_are_known_and_at_least_one() -> None:
    """Scopes come back each once and in one order; an unknown one and none are refused."""
    assert check_scopes(["levers", "Ingest", "levers"]) == ("ingest", "levers")
    assert set(check_scopes(SCOPES)) == set(SCOPES)
    for wrong in ([], ["ingest", "all"], [""]):
        with pytest.raises(InputError, match="ingest, levers, read"):
            check_scopes(wrong)


@pytest.mark.parametrize("spelt", ["ANN BELL", " ann  bell ", "ann-bell", "Ann.Bell", "ａｎｎ bell"])
def test_spellings_of_a_name_are_one_name(spelt: str) -> None:
    """Case, form, spaces and signs do not make another person."""
    assert letters(spelt) == letters("Ann Bell")


@pytest.mark.parametrize(
    "name", ["", "  ", "x" * 101, "a\u200bnn", "a\x07nn", "a\u034fnn", "Аnn", "***", "\ufdfa" * 100, "a\ud800"]
)
def test_names_by_which_one_could_be_two_are_refused(name: str) -> None:
    """Empty, too long, unseen and mixed letters: the name is refused with a reason."""
    with pytest.raises(InputError, match="name"):
        check_name(name)


@given(st.text(max_size=120))
def test_a_name_that_is_taken_stays_the_same(text: str) -> None:
    """A checked name is printable, has 1 to 100 characters, can be written as UTF-8, and is its own checked form."""
    try:
        name = check_name(text)
    except InputError:
        return
    assert 1 <= len(name) <= 100
    assert name.isprintable()
    assert name.encode()
    assert check_name(name) == name
    assert letters(name) == letters(text)
