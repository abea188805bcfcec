"""Laws of reading all levers at once: what is in the answer, when it is 304, and that nothing fails as a whole."""

import json
import time
from typing import Any

import httpx2
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_levers import BULK, EVENTS, KEY, LEVERS, Live

from andon.api import Deps, LeverDeps, create_app
from andon.errors import StateError, StoreError

REASONS = {"STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN", "DEFAULT"}


def post(live: Live, body: bytes, path: str = BULK) -> httpx2.Response:
    """A request with this body."""
    return httpx2.post(f"{live.url}{path}", content=body, headers=KEY, timeout=20)


def tag(answer: httpx2.Response) -> str:
    """Its ETag."""
    return answer.headers["etag"]


def test_all_levers_come_whole_and_in_order(live: Live) -> None:
    """The answer has every lever by key, with value, known reason, variant and flat metadata; the state; and where events are."""
    live.hold()
    live.hold("limit")
    answer = live.bulk()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    body = answer.json()
    assert set(body) == {"flags", "metadata", "eventStreams"}
    assert [f["key"] for f in body["flags"]] == sorted(lever.id for lever in LEVERS)
    for flag in body["flags"]:
        assert set(flag) == {"key", "value", "reason", "variant", "metadata"}
        assert flag["reason"] in REASONS
        assert all(isinstance(v, bool | str | int | float) for v in flag["metadata"].values())
    values = {f["key"]: f["value"] for f in body["flags"]}
    assert values == {"kill-switch": True, "limit": 2.0, "temperature": 1.0, "policy": "v2", "never-held": True}
    assert b'"value":2.0' in answer.content
    [stream] = body["eventStreams"]
    assert stream == {"type": "sse", "endpoint": {"requestUri": EVENTS}, "inactivityDelaySec": 120}


def test_each_entry_is_what_the_single_read_gives(live: Live) -> None:
    """For levers that nobody splits, bulk and single give the same bodies, whatever the context."""
    live.hold()
    for context in ({}, {"targetingKey": "u1", "environment": "staging"}):
        for flag in live.bulk(context).json()["flags"]:
            single = httpx2.post(f"{live.url}{BULK}/{flag['key']}", json={"context": context}, headers=KEY)
            assert (single.status_code, single.json()) == (200, flag)


def test_nothing_changed_is_304_without_a_body(live: Live) -> None:
    """Who has the answer is told so: 304, no body, the same ETag; also after other things were read and time went by."""
    first = live.bulk({"targetingKey": "u"})
    time.sleep(1.1)
    live.bulk({"targetingKey": "other"})
    again = live.bulk({"targetingKey": "u"}, tag=tag(first))
    assert (again.status_code, again.content, tag(again)) == (304, b"", tag(first))
    assert "content-length" not in again.headers or again.headers["content-length"] == "0"


def test_every_form_of_if_none_match_is_read(live: Live) -> None:
    """Lists, weak tags, tags without quotes, repeated headers and `*` match; other tags, alone or in a list, do not."""
    known = tag(live.bulk())
    for form in (known, f"W/{known}", f'"x", {known}', f'W/"x" ,W/{known},"y"', known.strip('"'), "*"):
        assert live.bulk(tag=form).status_code == 304, form
    repeated = [("x-api-key", KEY["x-api-key"]), ("if-none-match", '"x"'), ("if-none-match", known)]
    assert httpx2.post(live.url + BULK, json={}, headers=repeated).status_code == 304
    for form in ("", '"x"', 'W/"x", "y"', known[:-3] + '"', '""', ",", "W/"):
        assert live.bulk(tag=form).status_code == 200, form


def test_the_etag_is_of_the_context_too(live: Live) -> None:
    """Another attribute with the same targeting key is another ETag: a client that keeps its tag is not served stale values."""
    plans = [{"targetingKey": "u"}, {"targetingKey": "u", "plan": "free"}, {"targetingKey": "u", "plan": "pro"}, {}]
    tags = [tag(live.bulk(context)) for context in plans]
    assert len(set(tags)) == len(plans)
    for context, known in zip(plans, tags, strict=True):
        assert [live.bulk(other, tag=known).status_code == 304 for other in plans] == [o == context for o in plans]


def test_the_order_of_attributes_does_not_matter(live: Live) -> None:
    """The same context written in another order, with other spaces, or with a null targeting key, has the same ETag."""
    known = tag(live.bulk({"b": {"y": 1, "x": 2}, "a": [1, 2]}))
    assert tag(post(live, b'{"context": { "a":[1,2],"b":{"x":2,"y":1}, "targetingKey": null} }')) == known
    assert tag(post(live, b'{"context": {"a":[2,1],"b":{"x":2,"y":1}}}')) != known


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\u00e9", max_size=2), inner, max_size=3),
    max_leaves=6,
)
CONTEXTS = st.dictionaries(st.text("abc", max_size=2), JSON, max_size=3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=CONTEXTS, other=CONTEXTS)
def test_two_contexts_share_an_etag_only_if_they_are_one(client: Any, one: Any, other: Any) -> None:
    """The ETags of two contexts are the same exactly when their JSON, keys sorted, is."""
    tags = [client.post(BULK, json={"context": context}).headers["etag"] for context in (one, other)]
    plain = [json.dumps(context, sort_keys=True) for context in (one, other)]
    assert (tags[0] == tags[1]) == (plain[0] == plain[1])


def test_a_pull_and_its_end_change_the_etag(live: Live) -> None:
    """A pull changes ETag and state, and the old tag is answered with the new value; the end of it changes both again."""
    before = live.bulk()
    live.hold()
    held = live.bulk(tag=tag(before))
    assert (held.status_code, live.served()) == (200, True)
    live.release()
    after = live.bulk(tag=tag(held))
    assert (after.status_code, live.served()) == (200, False)
    states = [answer.json()["metadata"]["state"] for answer in (before, held, after)]
    assert states[0] != states[1] != states[2]


def test_an_expiry_alone_changes_the_etag(live: Live) -> None:
    """A hold whose time is over is 304 before and not after, though nobody wrote anything."""
    live.hold(for_us=1_500_000)
    held = live.bulk()
    assert live.bulk(tag=tag(held)).status_code == 304
    time.sleep(1.6)
    after = live.bulk(tag=tag(held))
    assert after.status_code == 200
    assert {f["key"]: f["value"] for f in after.json()["flags"]}["kill-switch"] is False


def test_a_state_that_differs_is_never_answered_304(live: Live) -> None:
    """After an event the state is sent along: one that differs from ours forbids 304, the same one decides nothing (ADR-8)."""
    answer = live.bulk()
    known, state = tag(answer), answer.json()["metadata"]["state"]
    for query in (f"?flagConfigEtag={state}", f"?flagConfigEtag=%22{state}%22", f"?flagConfigEtag=W/%22{state}%22"):
        assert live.bulk(query=query, tag=known).status_code == 304
        assert live.bulk(query=query, tag='"stale"').status_code == 200
        assert live.bulk(query=query).status_code == 200
    for query in ("?flagConfigEtag=other", "?flagConfigEtag=%22other%22", f"?flagConfigEtag={state}x"):
        assert live.bulk(query=query, tag=known).status_code == 200
        assert live.bulk(query=query, tag="*").status_code == 200
    for query in (
        "?flagConfigLastModified=1771622898",
        "?flagConfigLastModified=2026-02-20T21:28:18Z",
        "?flagConfigEtag=",
    ):
        assert live.bulk(query=query, tag=known).status_code == 304


def test_a_lever_that_splits_stands_in_the_bulk_answer(live: Live) -> None:
    """Without a user the control is given to no arm, with one an arm; the ETag differs, and the other levers are there too."""
    live.split("policy", "v3")
    nobody = live.bulk({"environment": "staging"})
    somebody = live.bulk({"environment": "staging", "targetingKey": "u1"})
    assert tag(nobody) != tag(somebody)
    flags = [{f["key"]: f for f in answer.json()["flags"]} for answer in (nobody, somebody)]
    assert flags[0]["policy"]["value"] == "v2"
    assert flags[1]["policy"]["reason"] == "SPLIT"
    assert {k: v for k, v in flags[0].items() if k != "policy"} == {k: v for k, v in flags[1].items() if k != "policy"}


HOSTILE: list[tuple[bytes, int, str | None]] = [
    (b"", 200, None),
    (b"{}", 200, None),
    (b'{"context": null}', 200, None),
    (b'{"context": {"targetingKey": null}}', 200, None),
    (b'{"context": {"targetingKey": ""}}', 200, None),
    (b'{"context": {"targetingKey": "a", "targetingKey": "b", "x": 1, "x": 2}}', 200, None),
    (b'{"context": {"a": "' + b"x" * 2_000_000 + b'"}}', 200, None),
    (b'{"context": {"a": ' + b"[" * 500 + b"]" * 500 + b"}}", 200, None),
    (b'{"context": {"a": 1' + b"0" * 40 + b"}}", 200, None),
    (b'{"context": {"a": 1' + b"0" * 400 + b"}}", 400, "PARSE_ERROR"),
    (b'{"context": {"__proto__": {}, "constructor": 1, "\\u0000": "\\u0000", "": ""}}', 200, None),
    (b'{"context": {"key": "kill-switch", "value": false, "environment": 7, "shadow": "yes"}}', 200, None),
    (b'{"context": {}, "flags": ["kill-switch"], "metadata": 3}', 200, None),
    (b'{"context": {"a": NaN}}', 400, "PARSE_ERROR"),
    (b'{"context": {"a": Infinity}}', 400, "PARSE_ERROR"),
    (b'{"context": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", 400, "PARSE_ERROR"),
    (b'{"context": {"a": "\\ud800"}}', 400, "PARSE_ERROR"),
    (b'{"context": {"a": "\xff"}}', 400, "PARSE_ERROR"),
    (b'{"context": [1]}', 400, "PARSE_ERROR"),
    (b'{"context": "u"}', 400, "PARSE_ERROR"),
    (b"[]", 400, "PARSE_ERROR"),
    (b"\x00", 400, "PARSE_ERROR"),
    (b'{"context": {"targetingKey": 42}}', 200, None),
    (b'{"context": {"targetingKey": true}}', 200, None),
    (b'{"context": {"targetingKey": ["<script>"]}}', 200, None),
    (b'{"context": {"targetingKey": {"a": "b"}}}', 200, None),
]


def test_hostile_contexts_are_answered_and_harm_nobody(live: Live) -> None:
    """Each strange body is the held value or a 400 with its code and details, in bulk and single; then all is as before."""
    live.hold()
    for body, status, code in HOSTILE:
        for path, names in ((BULK, set()), (f"{BULK}/kill-switch", {"key"})):
            answer = post(live, body, path)
            assert answer.status_code == status, (body[:60], path)
            if code is not None:
                assert set(answer.json()) == names | {"errorCode", "errorDetails"}
                assert answer.json()["errorCode"] == code
                assert 0 < len(answer.json()["errorDetails"]) < 1_000
        if status == 200:
            known = tag(post(live, body))
            again = httpx2.post(f"{live.url}{BULK}", content=body, headers={**KEY, "if-none-match": known})
            assert again.status_code == 304, body[:60]
    assert live.served() is True


def test_what_is_too_large_says_so(live: Live) -> None:
    """A body of more than 16 MiB is 413 with errorCode and errorDetails, in bulk and single."""
    for path in (BULK, f"{BULK}/kill-switch"):
        answer = post(live, b" " * (16 * 2**20 + 1), path)
        assert (answer.status_code, answer.json()["errorCode"]) == (413, "GENERAL")
        assert "16" in answer.json()["errorDetails"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", BULK, {"x-api-key": "wrong"}, 401),
        ("POST", f"{BULK}/kill-switch", {}, 401),
        ("GET", EVENTS, {}, 401),
        ("POST", BULK, {**KEY, "origin": "https://evil.example"}, 403),
        ("GET", BULK, KEY, 405),
        ("POST", EVENTS, KEY, 405),
        ("GET", f"{BULK}/kill-switch", KEY, 405),
        ("POST", "/ofrep/v1/evaluate", KEY, 404),
        ("GET", "/ofrep/v1/configuration", KEY, 404),
    ],
)
def test_every_refusal_carries_its_details(live: Live, method: str, path: str, headers: Any, status: int) -> None:
    """Whoever refuses, the guard or the router, answers JSON with errorCode and errorDetails, besides our own shape."""
    answer = httpx2.request(method, live.url + path, headers=headers)
    assert answer.status_code == status
    body = answer.json()
    assert body["errorCode"] == "GENERAL"
    assert body["errorDetails"] == body["error"]["message"] != ""


@pytest.mark.parametrize(
    ("fails", "status"),
    [
        (RuntimeError("secret"), 500),
        (StoreError("secret"), 500),
        (StoreError("x", retryable=True), 503),
        (StateError("x"), 409),
    ],
)
def test_our_own_failure_carries_details_too(client: Any, doubles: Any, fails: Exception, status: int) -> None:
    """Should reading a lever ever fail here, the client finds errorDetails (that tell no secret) and an integer Retry-After."""
    doubles.fails = fails
    for path in (BULK, f"{BULK}/kill-switch"):
        answer = client.post(path, json={})
        assert (answer.status_code, answer.json()["errorCode"]) == (status, "GENERAL")
        assert answer.json()["errorDetails"]
        assert "secret" not in answer.text
        assert status != 503 or answer.headers["retry-after"].isdigit()


def test_other_routes_keep_the_one_shape(client: Any) -> None:
    """Outside of /ofrep/ an error has the one error shape and nothing else."""
    assert set(client.post("/v1/nothing").json()) == {"error"}


def mixed(bodies: list[dict[str, Any]]) -> Any:
    """A client of an API whose levers are these bodies."""
    from starlette.testclient import TestClient

    def none(*_: Any) -> Any:
        raise AssertionError

    levers = LeverDeps(
        evaluate=lambda key, _: next((b for b in bodies if b["key"] == key), None),
        evaluate_all=lambda _: bodies,
        state=lambda: "s",
        keys=lambda: [b["key"] for b in bodies],
    )
    deps = Deps(receive=none, record=none, webhooks=none, levers=levers)  # type: ignore[arg-type]
    return TestClient(create_app(deps), base_url="http://127.0.0.1", client=("127.0.0.1", 1))


def test_successes_and_failures_are_mixed() -> None:
    """A lever that fails stands among those that do not, in order; single, the same body is a 400."""
    good = {"key": "a", "value": 1.0, "reason": "STATIC", "variant": "held", "metadata": {}}
    bad = {"key": "b", "errorCode": "TARGETING_KEY_MISSING", "errorDetails": "send the user's id"}
    client = mixed([good, bad, {**good, "key": "c"}])
    answer = client.post(BULK)
    assert (answer.status_code, answer.json()["flags"]) == (200, [good, bad, {**good, "key": "c"}])
    assert [client.post(f"{BULK}/{key}").status_code for key in "abcd"] == [200, 400, 200, 404]


def test_a_lever_that_cannot_be_written_is_one_failure() -> None:
    """A value that is no JSON, or too deep for it, fails alone: the other levers are served."""
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    good = {"key": "z", "value": True, "reason": "STATIC", "variant": "held", "metadata": {}}
    client = mixed([{**good, "key": "a", "value": deep}, {**good, "key": "b", "value": object()}, good])
    flags = client.post(BULK).json()["flags"]
    assert [f.get("errorCode") for f in flags] == ["GENERAL", "GENERAL", None]
    assert [f["key"] for f in flags] == ["a", "b", "z"]
    assert flags[2] == good


def test_reading_all_outlives_the_ledger(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the ledger fails, bulk goes on from memory, holds and all."""
    live.hold()

    def fail(*_: object) -> None:
        raise StoreError("gone", retryable=True)

    for name in ("all", "get", "put", "ids", "latest", "history", "last_entry"):
        monkeypatch.setattr(live.ledger, name, fail)
    time.sleep(0.2)
    assert (live.bulk().status_code, live.served()) == (200, True)


def test_a_slash_at_the_end_of_the_path_asks_for_all_levers() -> None:
    """A base URL and a path that were joined with a slash too many get the answer with all levers."""
    good = {"key": "a", "value": 1.0, "reason": "STATIC", "variant": "held", "metadata": {}}
    assert mixed([good]).post(f"{BULK}/").json() == mixed([good]).post(BULK).json()


def test_no_levers_is_an_empty_answer() -> None:
    """A server on which nothing is declared answers an empty list, not an error."""
    answer = mixed([]).post(BULK)
    assert (answer.status_code, orjson.loads(answer.content)["flags"]) == (200, [])
