"""Laws of the limit on wrong passwords."""

from hypothesis import given
from hypothesis import strategies as st

from andon.access import Attempts, attempts
from andon.access.attempts import PER_ADDRESS, PER_NAME, WITHIN_US
from andon.access.run import add_person, person_of
from andon.store import Ledger

NOW = 1_790_000_000_000_000
SECOND = 1_000_000


def test_a_name_has_five_attempts() -> None:
    """The sixth wrong password of a name waits until the first is 15 minutes old, whatever the address and the spelling."""
    tried = Attempts()
    for n in range(PER_NAME):
        assert tried.begin("Ann", f"10.0.0.{n}", NOW + n * SECOND) == 0
    assert tried.begin("ANN", "10.0.9.9", NOW + 10 * SECOND) == 15 * 60 - 10
    assert tried.begin("bob", "10.0.9.9", NOW + 10 * SECOND) == 0
    assert tried.begin("Ann", "10.0.9.9", NOW + WITHIN_US - 1) == 1
    assert tried.begin("Ann", "10.0.9.9", NOW + WITHIN_US) == 0


@given(at=st.integers(0, 11), sign=st.sampled_from(list("- .'_/")), many=st.integers(150, 380))
def test_signs_within_a_name_give_no_attempts(at: int, sign: str, many: int) -> None:
    """However many signs stand between the letters of a name: whoever is found by it has had five attempts, and no more."""
    ledger, tried, text = Ledger("sqlite://"), Attempts(), "adalovelace"
    add_person(ledger, "Ada Lovelace", "viewer", by="Ann", now_us=NOW)
    for n in range(PER_NAME):
        assert tried.begin("Ada Lovelace", f"10.0.0.{n}", NOW) == 0
    spelt = text[:at] + sign * many + text[at:]
    assert person_of(ledger, spelt) is not None
    assert tried.begin(spelt, "10.0.9.9", NOW) > 0


def test_an_address_has_thirty() -> None:
    """Who tries names from one address waits after 30; a network of IPv6 is one address, as is IPv4 written as IPv6."""
    for first, again in (("10.0.0.1", "::ffff:10.0.0.1"), ("2001:db8::1", "2001:db8::ffff:1")):
        tried = Attempts()
        for n in range(PER_ADDRESS):
            assert tried.begin(f"n{n}", first, NOW) == 0
        assert tried.begin("other", again, NOW) == 15 * 60
        assert tried.begin("other", "2001:db8:1::1", NOW) == 0


def test_a_right_password_costs_nothing() -> None:
    """Who signs in again and again with the right password never waits, and what was wrong before is forgotten of the name."""
    tried = Attempts()
    for _ in range(3 * PER_ADDRESS):
        assert tried.begin("Ann", "10.0.0.1", NOW) == 0
        tried.right("Ann", "10.0.0.1")
    for _ in range(PER_NAME - 1):
        tried.begin("Ann", "10.0.0.1", NOW)
    tried.begin("Ann", "10.0.0.1", NOW)
    tried.right("ann", "10.0.0.1")
    assert [tried.begin("Ann", "10.0.0.1", NOW) for _ in range(PER_NAME)] == [0] * PER_NAME
    assert tried.begin("Ann", "10.0.0.1", NOW) > 0


def test_memory_is_bounded() -> None:
    """However many names and addresses are tried, no more than so many are remembered."""
    tried = Attempts()
    for n in range(2 * attempts._MOST):
        tried.begin(f"name{n}", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", NOW + n)
    assert len(tried._wrong) <= attempts._MOST


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3 * 60), st.booleans()), max_size=80))
def test_never_more_than_five_wrong_within_the_time(steps: list[tuple[str, int, bool]]) -> None:
    """Of any sequence of attempts, at most 5 wrong ones of a name fall into any 15 minutes; who is told to wait may go on then."""
    tried, now = Attempts(), NOW
    wrong: dict[str, list[int]] = {"a": [], "b": []}
    for name, pause, right in steps:
        now += pause * SECOND
        wait = tried.begin(name, f"host-{len(wrong['a'])}-{len(wrong['b'])}", now)
        if wait:
            assert 0 < wait <= 15 * 60
            continue
        if right:
            tried.right(name, f"host-{len(wrong['a'])}-{len(wrong['b'])}")
            wrong[name] = []
            continue
        wrong[name].append(now)
        assert sum(1 for at in wrong[name] if at > now - WITHIN_US) <= PER_NAME
