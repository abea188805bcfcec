"""Laws of what a lever may be and what it serves."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError, StateError
from andon.levers import (
    Lever,
    LeverValue,
    Pull,
    Served,
    Version,
    check_key,
    check_lever,
    check_value,
    digest_of,
    evaluate,
    in_force,
)
from andon.levers.pulls import ended_change, expired, pulled_change
from andon.levers.registry import approve, check_served, origin_of, shown_value

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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (0.5, "0.5"),
        ("false", '"false"'),
        ("a\x1b\u202eb", '"a\\x1b\\u202eb"'),
        ({"b": [1, "ü"], "a": None}, '{"a": null, "b": [1, "ü"]}'),
        ("x" * 81, '"' + "x" * 80 + '…"'),
        (["x" * 90], '["' + "x" * 78 + "…"),
    ],
)
def test_a_value_reads_the_same_in_every_sentence(value: LeverValue, text: str) -> None:
    """Texts are quoted and nothing else is, what nobody sees is written out, and what is long is cut: in both changes of a pull."""
    held = pull(1, value=value)
    assert shown_value(value) == text
    assert pulled_change(KILL, None, held, False).title == f"lever kill-switch held at {text}"
    assert ended_change(KILL, expired(pull(1)), value).title == f"hold of lever kill-switch expired: back to {text}"


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
        read = orjson.loads(orjson.dumps(evaluate(Served(lever=lever), {}, T0)))
        assert type(read["value"]) is float
        assert read["value"] == float(lever.default)


def test_an_unheld_lever_serves_its_default() -> None:
    """Without a pull the body is the default with reason, variant and metadata, none of them left out."""
    assert evaluate(Served(lever=KILL), {}, T0) == {
        "key": "kill-switch",
        "value": False,
        "reason": "STATIC",
        "variant": "default",
        "metadata": {"held": False},
    }


def test_a_held_lever_says_who_and_until_when() -> None:
    """A held lever serves the value of the pull, and its metadata say who holds it, until when and for which incident."""
    body = evaluate(Served(lever=KILL, pulls=(pull(1, incident="INC-1", until_us=1_790_000_060_000_000),)), {}, T0 + 5)
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
    """The pull in force is the last by number, whatever its clock said, not released nor expired; an older one never comes back."""
    pulls = [
        pull(n, at_us=T0 + start, until_us=T0 + start + length, released_us=None if end is None else T0 + end)
        for n, (start, length, end) in enumerate(spans)
    ]
    held = in_force(pulls, T0 + at)
    if held is not None:
        assert held == pulls[-1]
        assert held.released_us is None
        assert held.until_us > T0 + at


def test_metadata_hold_only_what_the_protocol_allows() -> None:
    """Metadata values are booleans, strings or numbers, and the reason is one that the client's enum knows."""
    from openfeature.flag_evaluation import Reason

    body = evaluate(Served(lever=KILL, pulls=(pull(1, incident=None),)), {}, T0 + 5)
    assert body["reason"] in Reason.__members__
    assert all(isinstance(v, bool | str | int | float) for v in body["metadata"].values())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECT = Lever(id="x", kind="object", default={}, safe={})


def turned(value: Any) -> Any:
    """The same JSON value with the keys of every object in the opposite order."""
    if isinstance(value, dict):
        return {k: turned(v) for k, v in reversed(value.items())}
    return [turned(v) for v in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), JSON, max_size=5) | st.lists(JSON, max_size=5))
def test_the_order_of_keys_does_not_matter(value: Any) -> None:
    """An object has one digest whatever the order of its keys, at every depth; what is kept equals what was given."""
    try:
        checked = check_value(OBJECT, value)
    except InputError:  # surrogates
        return
    assert checked == value
    assert digest_of(checked) == digest_of(check_value(OBJECT, turned(value)))


@given(st.integers(-(2**53), 2**53))
def test_a_number_is_one_version_however_it_is_written(value: int) -> None:
    """1 and 1.0 are one version of a number lever, and so are 0.0 and -0.0."""
    lever = Lever(id="x", kind="number", default=0.0, safe=0.0)
    assert digest_of(check_value(lever, value)) == digest_of(check_value(lever, float(value)))
    assert digest_of(check_value(lever, -0.0)) == digest_of(check_value(lever, 0))


def version_of(value: LeverValue, **fields: Any) -> Version:
    """A version that nobody approved."""
    digest = digest_of(value)
    made = Version(id=f"x@{digest}", lever="x", digest=digest, value=value, at_us=T0, by="ann", why="w")
    return replace(made, **fields)


@given(
    st.tuples(st.integers(0, 2_000), st.integers(0, 2_000)),
    st.floats(0, 1),
    st.none() | st.floats(0, 10) | st.integers(0, 10),
)
def test_between_whole_numbers_there_is_no_fraction(ends: tuple[int, int], part: float, added: float | None) -> None:
    """Production takes what lies between; a fraction only where default, safe value or a version is one."""
    versions = [] if added is None else [version_of(float(added))]
    value = min(ends) + part * abs(ends[0] - ends[1])
    fraction = added is not None and not float(added).is_integer()
    whole = Lever(id="x", kind="number", default=float(ends[0]), safe=float(ends[1]))
    check_served(whole, float(round(value)), "production", versions)
    check_served(replace(whole, default=max(ends) + 0.5, safe=float(min(ends))), value, "production", versions)
    check_served(whole, value, "staging", versions)
    if fraction or value.is_integer():
        check_served(whole, value, "production", versions)
    else:
        with pytest.raises(
            StateError, match=f"is no whole number, and x takes whole numbers.*Take {int(value)} or {int(value) + 1};"
        ):
            check_served(whole, value, "production", versions)
    other = [replace(v, lever="y") for v in versions]
    if not value.is_integer():
        with pytest.raises(StateError):
            check_served(whole, value, "production", other)


@given(st.lists(st.tuples(st.integers(0, 7), st.booleans()), min_size=1, max_size=8))
def test_what_is_to_be_approved_is_compared_with_what_was(made: list[tuple[int, bool]]) -> None:
    """The origin is approved, and nothing on the way to it is; without one it is the default, and it is never the version itself."""
    lever = Lever(id="x", kind="string", default="0", safe="")
    versions: list[Version] = []
    for n, (parent, approved) in enumerate(made):
        of = versions[parent].digest if parent < n else None
        version = version_of(str(n), parent=of)
        versions.append(approve(version, by="bob", why="w", now_us=T0) if approved else version)
    new = versions[-1]
    origin, why = origin_of(lever, new, versions, None)
    way, at = [], new.parent
    while at is not None and (isinstance(origin, Lever) or at != origin.digest):
        way.append(next(v for v in versions if v.digest == at))
        at = way[-1].parent
    assert not any(v.approvals for v in way)
    assert (at is None) == isinstance(origin, Lever)
    assert isinstance(origin, Lever) or (origin.approvals and origin != new)
    assert not way or f"{way[0].id}, which it was made from, is not approved" in why


def test_an_object_is_copied_to_its_depth() -> None:
    """What is done later to an object that was handed over does not reach what is kept."""
    value: dict[str, Any] = {"tools": [{"name": "search"}]}
    kept = check_lever(replace(OBJECT, default=value))
    value["tools"][0]["name"] = "shell"
    assert kept.default == {"tools": [{"name": "search"}]}


def nested(deep: int) -> dict[str, Any]:
    """An object within an object, so many deep."""
    value: dict[str, Any] = {}
    for _ in range(deep - 1):
        value = {"a": value}
    return value


CYCLE: dict[str, Any] = {}
CYCLE["a"] = CYCLE


@pytest.mark.parametrize(
    "value",
    [
        {1: "a"},
        {None: 1},
        {"a": (1, 2)},
        {"a": float("nan")},
        {"a": [float("inf")]},
        {"a": 2**64},
        {"a": -(2**63) - 1},
        {"a": {1}},
        {"a": b"x"},
        {"a": "\ud800"},
        {"\udfff": 1},
        nested(51),
        nested(300),
        nested(20_000),
        CYCLE,
        {"a": "x" * 1_000_000},
        "text",
        (1, 2),
        None,
        1,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_json_object_is_refused(value: Any) -> None:
    """Keys that are no text, NaN, what answers cannot carry, more than 50 deep or 1 MB: an InputError and nothing else."""
    with pytest.raises(InputError):
        check_value(OBJECT, value)


def test_what_just_fits_is_taken() -> None:
    """50 deep, 1,000,000 bytes of text and numbers of 64 bits are taken."""
    assert check_value(OBJECT, nested(50)) == nested(50)
    assert check_value(OBJECT, {"a": 2**64 - 1, "b": -(2**63)}) == {"a": 2**64 - 1, "b": -(2**63)}
    text = Lever(id="x", kind="string", default="", safe="")
    assert check_value(text, "é" * 500_000) == "é" * 500_000
    with pytest.raises(InputError, match=r"1000002 bytes.*1000000"):
        check_value(text, "é" * 500_001)
