"""The OpenFeature provider: what an application sees, whatever became of the server."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lever_server import STREAM, closed_port, flag, serving, silent, until
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

from andon.client import levers
from andon.client.allocation import allocate
from andon.client.answers import read_answer
from andon.client.kept import file_name
from andon.client.openfeature import AndonProvider


@pytest.fixture
def set_provider():
    """Register a provider as the application does, and give a client."""

    def register(url, **more):
        api.set_provider_and_wait(AndonProvider(url, **{"cache": None, "timeout_s": 2.0, **more}))
        return api.get_client()

    yield register
    api.clear_providers()


@pytest.fixture
def quick(monkeypatch):
    """Waits of milliseconds instead of seconds."""
    monkeypatch.setattr(levers, "POLL_S", 0.06)
    monkeypatch.setattr(levers, "_LONGEST_WAIT_S", 0.1)


def splitting(key="prompt", *, shadow=False, shares=(0.3, 0.7), values=("new", "old")):
    """A lever that splits users, as the server writes it in a bulk answer: the treatment first."""
    arms = [
        {"variant": v, "share": s, "value": x} for v, s, x in zip(("treatment", "control"), shares, values, strict=True)
    ]
    split = json.dumps({"salt": "EXP-1", "shadow": shadow, "arms": arms})
    return {
        "key": key, "value": values[1], "reason": "DEFAULT", "variant": "unallocated",
        "metadata": {"held": False, "experiment": "EXP-1", "split": split},
    }  # fmt: skip


def user(key, **attributes):
    """An evaluation context."""
    return EvaluationContext(targeting_key=key, attributes=attributes)


def test_an_application_reads_every_type_with_its_details(set_provider):
    """Value, reason, variant and metadata arrive as they are served, whatever the default in the code."""
    held = {"held": True, "incident": "INC-0001"}
    with serving(
        flag("b", False, variant="held", metadata=held), flag("s", "grün"), flag("n", 2.5), flag("whole", 3.0),
        flag("o", {"a": [1]}), flag("l", ["x"]),
    ) as server:  # fmt: skip
        client = set_provider(server.url)
        details = client.get_boolean_details("b", True)
        assert (details.value, details.reason, details.variant) == (False, Reason.STATIC, "held")
        assert (details.flag_metadata, details.error_code) == (held, None)
        assert client.get_string_value("s", "") == "grün"
        assert client.get_float_value("n", 0.0) == 2.5
        assert client.get_float_value("whole", 0.0) == 3.0
        assert client.get_integer_value("whole", 0) == 3
        assert client.get_object_value("o", {}) == {"a": [1]}
        assert client.get_object_value("l", []) == ["x"]
        assert asyncio.run(client.get_boolean_value_async("b", True)) is False


@pytest.mark.parametrize(
    ("kind", "default", "wrong"),
    [("boolean", True, ("s", "n", "o", "one")), ("string", "d", ("b", "n", "o")), ("integer", 7, ("b", "s", "n", "o", "l")),
     ("float", 7.5, ("b", "s", "o", "vast")), ("object", {"d": 1}, ("b", "s", "n"))],
)  # fmt: skip
def test_another_type_gives_the_code_default_and_says_so(set_provider, kind, default, wrong):
    """A lever of another type is TYPE_MISMATCH with the code default; true is never 1, and 2.5 never 2."""
    values = {"b": True, "s": "x", "n": 2.5, "o": {}, "l": [], "one": 1.0, "vast": 10**400}
    with serving(*(flag(k, v) for k, v in values.items())) as server:
        client = set_provider(server.url)
        for key in wrong:
            details = getattr(client, f"get_{kind}_details")(key, default)
            assert (details.value, details.error_code) == (default, ErrorCode.TYPE_MISMATCH), key


def test_what_does_not_exist_gives_the_code_default(set_provider):
    """An unknown lever is FLAG_NOT_FOUND; one without a value gives the code default without an error."""
    empty = {"key": "none", "reason": "DEFAULT", "variant": "default", "metadata": {}}
    failed = {"key": "bad", "errorCode": "TARGETING_KEY_MISSING", "errorDetails": "who?"}
    with serving(empty, failed, {"key": "odd", "errorCode": "NEW_CODE", "errorDetails": "?"}) as server:
        client = set_provider(server.url)
        details = client.get_boolean_details("gone", True)
        assert (details.value, details.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
        details = client.get_boolean_details("none", True)
        assert (details.value, details.reason, details.variant, details.error_code) == (
            True,
            "DEFAULT",
            "default",
            None,
        )
        details = client.get_boolean_details("bad", True)
        assert (details.value, details.error_code, details.error_message) == (
            True,
            ErrorCode.TARGETING_KEY_MISSING,
            "who?",
        )
        assert client.get_boolean_details("odd", True).error_code == ErrorCode.GENERAL


def test_an_object_may_be_changed_by_whoever_reads_it(set_provider):
    """Each read gives a new object and new metadata: what one caller does to them nobody else sees."""
    with serving(flag("o", {"a": [1]})) as server:
        client = set_provider(server.url)
        details = client.get_object_details("o", {})
        details.value["a"].append(2)
        details.flag_metadata["held"] = "changed"
        again = client.get_object_details("o", {})
        assert (again.value, again.flag_metadata) == ({"a": [1]}, {"held": False})


def test_users_get_the_arm_that_the_server_would_give_them(set_provider):
    """A lever that splits gives each user the arm of `allocate`; without a user the control's value, as no arm."""
    with serving(splitting(), splitting("model", values=({"m": 2}, {"m": 1}))) as server:
        client = set_provider(server.url)
        variants = ("treatment", "control")
        seen = []
        for n in range(300):
            details = client.get_string_details("prompt", "code", user(f"user-{n}"))
            arm = allocate(f"user-{n}", "EXP-1", (0.3, 0.7))
            assert (details.value, details.variant, details.reason) == (("new", "old")[arm], variants[arm], "SPLIT")
            assert details.flag_metadata == {"held": False, "experiment": "EXP-1"}
            assert client.get_object_value("model", {}, user(f"user-{n}")) == {"m": 2 - arm}
            seen.append(arm)
        assert 50 < seen.count(0) < 130
        for context in (None, user(None), user(""), user(7.5), user(True), user(10**5000)):
            details = client.get_string_details("prompt", "code", context)
            assert (details.value, details.variant, details.reason) == ("old", "unallocated", "DEFAULT")


def test_the_number_of_a_user_is_its_text(set_provider):
    """Applications give whole numbers as targeting keys: each is given the arm of its text."""
    with serving(splitting()) as server:
        client = set_provider(server.url)
        seen = set()
        for n in range(1, 40):  # the SDK itself takes 0 for nobody
            details = client.get_string_details("prompt", "code", user(n))
            assert details.variant == client.get_string_details("prompt", "code", user(str(n))).variant
            seen.add(details.variant)
        assert seen == {"treatment", "control"}


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1), st.integers(0, 100), st.integers(0, 100))
def test_allocation_is_one_function_on_both_sides(key, salt, first, second):
    """For every key, salt and shares, what is allocated here is what `allocate` says; nobody is in an arm that has no share."""
    shares = (first / 200, second / 200)
    arms = [{"variant": str(i), "share": s, "value": float(i)} for i, s in enumerate(shares)]
    said = {
        "key": "x",
        "value": -1.0,
        "variant": "none",
        "reason": "DEFAULT",
        "metadata": {"split": json.dumps({"salt": salt, "arms": arms})},
    }
    entry = read_answer(json.dumps({"flags": [said]}).encode()).entries["x"]
    assert entry.given(key, False).value == allocate(key, salt, shares)


def test_a_shadow_request_gets_the_treatment_under_another_name(set_provider):
    """Where a candidate runs in the shadow, only a request with shadow=true gets it, and as no arm."""
    with serving(splitting(shadow=True, shares=(0.0, 1.0)), splitting("plain", shares=(0.0, 1.0))) as server:
        client = set_provider(server.url)
        details = client.get_string_details("prompt", "", user("u", shadow=True))
        assert (details.value, details.variant, details.reason) == ("new", "treatment-shadow", "SPLIT")
        for lever, context in (
            ("prompt", user("u")),
            ("prompt", user("u", shadow="true")),
            ("plain", user("u", shadow=True)),
        ):
            details = client.get_string_details(lever, "", context)
            assert (details.value, details.variant) == ("old", "control")


@pytest.mark.parametrize(
    "split",
    ["", "[]", "{}", '{"salt": 1, "arms": []}', '{"salt": "x", "arms": [{"variant": "a", "share": 2, "value": 1}]}', 7,
     '{"salt": "x", "arms": [{"variant": "a", "share": NaN, "value": 1}]}', '{"salt": "x", "arms": {"a": 1}}',
     '{"salt": "x", "arms": [{"variant": "a", "share": 1}]}', '{"salt": "x", "arms": [{"variant": 1, "share": 1, "value": 1}]}',
     '{"salt": "x", "arms": [{"variant": "a", "share": 1, "value": null}]}', "[" * 50_000, '{"salt": "\\ud800", "arms": [{"variant": "a", "share": 1, "value": "x"}]}'],
)  # fmt: skip
def test_a_split_that_cannot_be_read_gives_the_control_as_no_arm(set_provider, split):
    """When how a lever splits cannot be read, everybody gets the control's value and counts for no arm."""
    bad = splitting()
    bad["metadata"]["split"] = split
    with serving(bad) as server:
        details = set_provider(server.url).get_string_details("prompt", "code", user("u"))
        assert (details.value, details.variant, "split" in details.flag_metadata) == ("old", "unallocated", False)


def test_without_a_server_and_without_a_file_the_code_default_is_given(set_provider):
    """Where nothing was ever known every read gives the code default, as PROVIDER_NOT_READY; registering raises nothing."""
    client = set_provider(closed_port(), timeout_s=0.1)
    details = client.get_boolean_details("a", True)
    assert (details.value, details.error_code) == (True, ErrorCode.PROVIDER_NOT_READY)


@pytest.mark.parametrize("register", [api.set_provider, api.set_provider_and_wait])
def test_a_provider_that_knows_nothing_is_ready_with_the_first_answer(quick, register):
    """Registering raises nothing while Andon is away; the status is ERROR until the first answer, which READY comes with."""
    told = []
    api.add_handler(ProviderEvent.PROVIDER_READY, lambda _: told.append(api.get_client().get_boolean_value("a", True)))
    try:
        with serving(flag("a", False)) as server:
            server.answers = [(500, b"", {})] * 1_000
            register(AndonProvider(server.url, cache=None))
            until(lambda: api.get_client().get_provider_status() == ProviderStatus.ERROR)
            until(lambda: len(server.asked) > 3)
            assert api.get_client().get_provider_status() == ProviderStatus.ERROR
            details = api.get_client().get_boolean_details("a", True)
            assert (details.value, details.error_code) == (True, ErrorCode.PROVIDER_NOT_READY)
            server.answers = []
            until(lambda: told[-1:] == [False])
            assert api.get_client().get_provider_status() == ProviderStatus.READY
    finally:
        api.clear_providers()


def test_registering_waits_a_tenth_of_a_second_at_most(set_provider):
    """With a server that accepts and never answers the application starts after 0.1 s."""
    with silent() as url:
        began = time.monotonic()
        set_provider(url, timeout_s=0.1)
        assert time.monotonic() - began < 0.6


def test_a_hold_outlives_server_and_process(set_provider, tmp_path):
    """A held lever stays held, as STALE, in an application that starts while the server is away, also beyond the hold's time."""
    with serving(flag("a", False, variant="held", metadata={"until": "2020-01-01T00:00:00Z"}), splitting()) as server:
        url = server.url
        set_provider(url, cache=tmp_path)
        until((tmp_path / file_name(url, "default", "production")).exists)
    api.clear_providers()
    client = set_provider(url, cache=tmp_path, timeout_s=0.1)
    details = client.get_boolean_details("a", True)
    assert (details.value, details.reason, details.variant, details.error_code) == (False, Reason.STALE, "held", None)
    assert client.get_string_value("prompt", "code", user("user-0")) in ("new", "old")


def test_a_lever_that_fails_closed_gives_what_is_safe_when_nobody_confirms_it(
    set_provider, quick, monkeypatch, tmp_path
):
    """After a minute without contact, from the file, and when the server lost it; a hold keeps its value, a split ends."""
    closed = {"held": False, "failClosed": True, "safe": '{"stop": [1]}'}
    split = splitting("split")
    split["metadata"] |= {"failClosed": True, "safe": '"safest"'}
    flags = [
        flag("o", {"go": 1}, metadata=closed), flag("open", "x"), split,
        flag("held", 7.0, metadata={"held": True, "failClosed": True}), flag("bad", "last", metadata={"safe": "{"}),
    ]  # fmt: skip

    def read(client):
        assert client.get_object_details("o", {}).flag_metadata == {"held": False, "failClosed": True}
        found = [client.get_object_details("o", {}), client.get_string_details("split", "", user("u"))]
        found += [client.get_string_details("open", ""), client.get_float_details("held", 0.0)]
        found += [client.get_string_details("bad", "")]
        return [(d.value, d.variant, d.reason) for d in found]

    last = [("x", "default", "STALE"), (7.0, "default", "STALE"), ("last", "default", "STALE")]
    stale = [({"stop": [1]}, "safe", "STALE"), ("safest", "safe", "STALE"), *last]
    with serving(*flags) as server:
        client = set_provider(server.url, cache=tmp_path)
        fresh = read(client)
        assert [v for v, *_ in fresh] == [{"go": 1}, fresh[1][0], "x", 7.0, "last"]
        assert fresh[1][0] in ("new", "old")
        until((tmp_path / file_name(server.url, "default", "production")).exists)
        server.flags = []
        until(lambda: client.get_object_value("o", {}) == {"stop": [1]})
        assert read(client) == stale
        server.flags = flags
        until(lambda: client.get_object_value("o", {}) == {"go": 1})
        assert read(client) == fresh
        monkeypatch.setattr(levers, "STALE_S", 0.2)
        server.answers = [(500, b"", {})] * 1_000
        until(lambda: client.get_object_value("o", {}) == {"stop": [1]})
        assert read(client) == stale
        url = server.url
    api.clear_providers()
    assert read(set_provider(url, cache=tmp_path, timeout_s=0.1)) == stale


def test_handlers_of_the_application_are_told(set_provider, quick, monkeypatch):
    """Changes are told with their keys, staleness and its end too, and the provider's status follows; reads go on throughout."""
    monkeypatch.setattr(levers, "STALE_S", 0.2)
    told = []
    for event in ProviderEvent:
        api.add_handler(event, lambda details, event=event: told.append((event, details.flags_changed)))
    with serving(flag("a", True), flag("b", True)) as server:
        client = set_provider(server.url)
        server.flags = [flag("a", False), flag("b", True)]
        until(lambda: (ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, ["a"]) in told)
        server.answers = [(500, b"", {})] * 1_000
        until(lambda: (ProviderEvent.PROVIDER_STALE, None) in told)
        assert client.get_provider_status() == ProviderStatus.STALE
        assert client.get_boolean_details("a", True).value is False
        assert client.get_boolean_details("a", True).reason == Reason.STALE
        told.clear()
        server.answers = []
        until(lambda: (ProviderEvent.PROVIDER_READY, None) in told)
        assert client.get_provider_status() == ProviderStatus.READY


def test_shutting_down_ends_the_threads(set_provider):
    """When the provider is replaced or OpenFeature is shut down its threads end; it may be registered again."""
    with serving(flag("a", True), streams=STREAM) as server:
        provider = AndonProvider(server.url, cache=None, timeout_s=2.0)
        for _ in range(2):
            api.set_provider_and_wait(provider)
            assert api.get_client().get_boolean_value("a", False) is True
            api.clear_providers()
            until(lambda: not [t for t in threading.enumerate() if t.name.startswith("andon-levers")])


def test_reads_through_openfeature_take_microseconds(set_provider, record_property):
    """The whole read, OpenFeature's own part included, is far below a millisecond with the server gone."""
    with serving(flag("a", True)) as server:
        client = set_provider(server.url)
    times = []
    for _ in range(5_000):
        began = time.perf_counter_ns()
        client.get_boolean_value("a", False)
        times.append(time.perf_counter_ns() - began)
    p99 = sorted(times)[4_950] / 1000
    record_property("p99_us", p99)
    assert p99 < 1_000


@pytest.mark.parametrize("hanging", [False, True])
def test_a_program_ends_at_once_and_says_nothing(hanging):
    """A program that ends while threads of ours wait for the server ends without delay and without a word."""
    code = """
import sys, time
from openfeature import api
from andon.client.openfeature import AndonProvider
api.set_provider_and_wait(AndonProvider(sys.argv[1], cache=None, timeout_s=1.0))
time.sleep(0.3)
print(time.time())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with serving(flag("a", True), streams=STREAM) as server:
        server.hanging = hanging
        done = subprocess.run(
            [sys.executable, "-c", code, server.url],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert time.time() - float(done.stdout) < 2
