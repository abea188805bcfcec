"""Laws of what a lever may be and what it serves."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError
from andon.levers import Lever, Pull, check_key, check_lever, check_value, evaluate, in_force

KILL = Lever(id="kill-switch", kind="boolean", default=False, safe=True)
T0 = 1_790_000_000_000_000


def pull(n: int, **fields: object) -> Pull:
    """A pull of one lever, the n-th."""
    made = Pull(id=f"pull-x-{n:05d}", lever="x", value=True, at_us=T0 + n, by="ann", why="harm", until_us=T0 + 1000)
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["a", "kill-switch", "a.b_c-9", "0", "x" * 100, "...", "-"])
def test_keys_that_clients_carry_are_allowed(key: str) -> None:
    """A key of a-z 0-9 . _ - with up to 100 characters is taken as it is."""
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key", ["", ".", "..", "A", "a b", "a/b", "a?b", "a#b", "a%20", "ä", "a\n", "x" * 101, "a\x00", "٣", "🙂"]
)
def test_keys_that_clients_mangle_are_refused(key: str) -> None:
    """Any key that a client would change on its way into a URL is refused when it is declared."""
    with pytest.raises(InputError, match="is not a key"):
        check_key(key)


def test_fail_closed_needs_a_safe_default() -> None:
    """A lever that fails closed has its safe value as default, and the refusal says that clients return the code default."""
    with pytest.raises(InputError, match="returns the code default"):
        check_lever(replace(KILL, fail="closed"))
    assert check_lever(replace(KILL, fail="closed", default=True)).default is True


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("boolean", 1),
        ("boolean", 0.0),
        ("boolean", "true"),
        ("boolean", None),
        ("string", b"x"),
        ("string", 1.0),
        ("string", True),
        ("string", "\ud800"),
        ("number", True),
        ("number", "1"),
        ("number", float("nan")),
        ("number", float("inf")),
        ("number", 10**400),
        ("number", None),
        ("number", [1.0]),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(kind: str, value: object) -> None:
    """A value of another type than the lever's is refused, and the message names its type and what is allowed."""
    defaults = {"boolean": False, "string": "", "number": 0.0}
    lever = Lever(id="x", kind=kind, default=defaults[kind], safe=defaults[kind])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=type(value).__name__):
        check_value(lever, value)
    with pytest.raises(InputError):
        check_lever(replace(lever, safe=value))  # type: ignore[arg-type]


@given(st.one_of(st.integers(-(10**300), 10**300), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_number_lever_serves_a_float(value: float) -> None:
    """Whatever number is declared, the JSON that is served reads back as a float, never as an integer."""
    checked = check_lever(Lever(id="x", kind="number", default=value, safe=value))
    for lever in (
        checked,
        Lever(id="x", kind="number", default=float(value), safe=0),
        Lever(id="x", kind="number", default=7, safe=0),
    ):
        read = orjson.loads(orjson.dumps(evaluate(lever, [], T0)))
        assert type(read["value"]) is float
        assert read["value"] == float(lever.default)


def test_an_unheld_lever_serves_its_default() -> None:
    """Without a pull the body is the default with reason, variant and metadata, none of them left out."""
    assert evaluate(KILL, [], T0) == {
        "key": "kill-switch",
        "value": False,
        "reason": "STATIC",
        "variant": "default",
        "metadata": {"held": False},
    }


def test_a_held_lever_says_who_and_until_when() -> None:
    """A held lever serves the value of the pull, and its metadata say who holds it, until when and for which incident."""
    body = evaluate(KILL, [pull(1, incident="INC-1", until_us=1_790_000_060_000_000)], T0 + 5)
    assert body["value"] is True
    assert (body["reason"], body["variant"]) == ("STATIC", "held")
    assert body["metadata"] == {
        "held": True,
        "pull": "pull-x-00001",
        "author": "ann",
        "until": "2026-09-21T14:14:20Z",
        "incident": "INC-1",
    }


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 30), st.none() | st.integers(0, 20)), max_size=8),
    st.integers(0, 60),
)
def test_only_the_newest_pull_can_be_in_force(spans: list[tuple[int, int, int | None]], at: int) -> None:
    """The pull in force is the newest one, is not released and has not expired; an older one never comes back."""
    pulls = [
        pull(n, at_us=T0 + start, until_us=T0 + start + length, released_us=None if end is None else T0 + end)
        for n, (start, length, end) in enumerate(spans)
    ]
    held = in_force(pulls, T0 + at)
    if held is not None:
        assert held == max(pulls, key=lambda p: (p.at_us, p.id))
        assert held.released_us is None
        assert held.until_us > T0 + at


def test_metadata_hold_only_what_the_protocol_allows() -> None:
    """Metadata values are booleans, strings or numbers, and the reason is one that the client's enum knows."""
    from openfeature.flag_evaluation import Reason

    body = evaluate(KILL, [pull(1, incident=None)], T0 + 5)
    assert body["reason"] in Reason.__members__
    assert all(isinstance(v, bool | str | int | float) for v in body["metadata"].values())
