"""Laws of reading changes from any sender."""

import base64
import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from change_bodies import DEPLOYED, PAGERDUTY, PLAIN, PUSHED, RELEASED, cdevent, cloudevent
from hypothesis import given
from hypothesis import strategies as st

from andon.changes import KINDS, Change, Ignored, Received, changes_of_body
from andon.changes.attributes import LEFT_OUT, MOST_KEYS, MOST_NAME, MOST_TEXT, SECRET, attributes_of, is_link
from andon.changes.cdevents import CUSTOM, STANDARD
from andon.changes.fields import kind_of_words
from andon.changes.intake import MOST_CHANGES, pagerduty_of_body
from andon.errors import InputError

T0 = 1_790_000_000_000_000
NOON = 1_789_992_000_000_000
"""2026-09-21T12:00:00Z, when all bodies say that they happened."""

ROOT = Path(__file__).resolve().parents[2]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def read(data: Any, now_us: int = T0, **address: str) -> Received:
    """What a body holds, without headers."""
    return changes_of_body(data, headers={}, now_us=now_us, **address)


def one(data: Any, **headers: str) -> Change:
    """The only change of a body."""
    found = changes_of_body(data, headers={k.replace("_", "-"): v for k, v in headers.items()}, now_us=T0)
    (change,) = found.changes
    assert found.ignored == ()
    assert (change.origin, change.kind in KINDS) == ("recorded", True)
    return change


def word(data: Any, **headers: str) -> Ignored:
    """Why a body was ignored."""
    found = changes_of_body(data, headers={k.replace("_", "-"): v for k, v in headers.items()}, now_us=T0)
    (ignored,) = found.ignored
    assert found.changes == ()
    return ignored


def test_our_own_json() -> None:
    """Every field of our own form is taken as sent, and unknown keys become attributes."""
    change = one({**PLAIN, "scope": {"task": "returns"}, "version_field": "prompt_version", "run": {"id": 7}})
    assert (change.kind, change.title, change.at_us, change.app) == ("prompt", "shorter answers", NOON, "bot")
    assert (change.before, change.after, change.author) == ("v12", "v13", "ann")
    assert (change.scope, change.version_field) == ({"task": "returns"}, "prompt_version")
    assert change.attributes == {"run.id": "7"}


def test_usual_names_are_understood() -> None:
    """Other usual names of a field are read, and where the field itself is there they stay attributes."""
    sent = {
        "summary": "prompt v13 is out",
        "time": "2026-09-21T12:00:00Z",
        "service": {"name": "bot"},
        "env": "staging",
    }
    change = one({**sent, "version": 13, "user": {"login": "ann"}, "url": "https://shop.example/1"})
    assert (change.kind, change.title, change.at_us) == ("prompt", "prompt v13 is out", NOON)
    assert (change.app, change.environment, change.after) == ("bot", "staging", "13")
    assert (change.author, change.link) == ("ann", "https://shop.example/1")
    assert one({**PLAIN, "version": "other"}).attributes == {"version": "other"}


def test_an_origin_is_ours_to_say() -> None:
    """Nobody can send a change as one that Andon found itself; the word is kept beside it."""
    change = one({**PLAIN, "origin": "lever"})
    assert (change.origin, change.attributes) == ("recorded", {"origin": "lever"})


@pytest.mark.parametrize("event", STANDARD)
def test_every_cdevent_of_the_table_is_a_change(event: str) -> None:
    """An event of the table is a change of its kind, at its time, of the application and environment that it names."""
    change = one(cdevent(f"dev.cdevents.{event}.0.3.0"))
    assert (change.kind, change.at_us) == (STANDARD[event], NOON + 315_384)
    assert (change.environment, change.after) == ("production", "pkg:oci/shop-bot@sha256%3A7f83b1657ff1fc53")
    assert change.app == ("shop-bot" if event.startswith("service.") else "default")
    assert change.attributes["event.chainId"] == "8d2f7b0e-8f2b-4a55-9b54-3c9a6c1d2e77"
    assert change.attributes["customData.board.ticket"] == "OPS-7"
    assert all(part in change.title for part in event.split("."))


@pytest.mark.parametrize(
    "event",
    ["testcaserun.finished", "build.started", "incident.detected", "ticket.created", "taskrun.finished",
     "environment.visited", "change.created", "artifact.signed", "pipelinerun.queued", "nonsense.happened"],
)  # fmt: skip
def test_other_cdevents_are_ignored_with_a_word(event: str) -> None:
    """What changes nothing that runs is accepted, and the answer says what it was and why it does not count."""
    ignored = word(cdevent(f"dev.cdevents.{event}.0.3.0-draft"))
    assert event in ignored.what
    assert ignored.why


def test_what_did_not_succeed_is_no_change() -> None:
    """A pipeline that failed, and a convergence that changed nothing, put nothing live."""
    finished = "dev.cdevents.pipelinerun.finished.0.3.0"
    assert "failure" in word(cdevent(finished, {"outcome": "failure"})).why
    assert one(cdevent(finished, {"outcome": "success"})).kind == "code"
    settled = cdevent("dev.cdevents.reconciliation.finished.0.1.0", {"outcome": "success", "changed": False})
    assert word(settled).why == "it changed nothing"


@pytest.mark.parametrize("subject", CUSTOM)
@pytest.mark.parametrize("tool", ["andon-", "my-tool-", ""])
def test_every_custom_subject_is_a_change(subject: str, tool: str) -> None:
    """A custom subject is a change of its kind, with both versions, whatever the tool is called."""
    content = {"previousVersion": "v12", "version": "v13", "app": "bot", "user": "ann"}
    change = one(cdevent(f"dev.cdeventsx.{tool}{subject}.updated.0.1.0", content))
    assert (change.kind, change.before, change.after) == (CUSTOM[subject], "v12", "v13")
    assert (change.app, change.author) == ("bot", "ann")
    assert "v12 -> v13" in change.title


def test_hyphens_in_custom_subjects_do_not_matter() -> None:
    """``embedding-model`` is the embedding model, not the model; an unknown subject is of kind other."""
    assert one(cdevent("dev.cdeventsx.andon-embedding-model.updated.0.1.0")).kind == "embedding model"
    assert one(cdevent("dev.cdeventsx.harbor-Traffic-Source.added.0.1.0")).kind == "traffic source"
    assert one(cdevent("dev.cdeventsx.mytool-resource.created.0.1.0")).kind == "other"
    assert "exceeded" in word(cdevent("dev.cdeventsx.harbor-quota.exceeded.0.1.0")).why


def test_a_migration_and_an_environment() -> None:
    """Versions of a migration are before and after; an environment that changed is the environment of the change."""
    migrated = one(cdevent("dev.cdevents.migration.finished.0.1.0-draft", {"fromVersion": "11", "toVersion": "12"}))
    assert (migrated.before, migrated.after) == ("11", "12")
    modified = cdevent("dev.cdevents.environment.modified.0.3.0", {"name": "staging", "url": "https://e.example"}, "e1")
    assert (one(modified).environment, one(modified).link) == ("staging", "https://e.example")
    assert one(cdevent("dev.cdevents.environment.deleted.0.3.0", {}, "e1")).environment == "e1"


@pytest.mark.parametrize("mode", ["structured", "binary", "base64", "batch", "content"])
def test_every_mode_of_cloudevents_tells_the_same(mode: str) -> None:
    """A CDEvent is the same change alone and in every mode of CloudEvents."""
    event = cdevent("dev.cdevents.service.deployed.0.3.0")
    alone, name = one(event), event["context"]["type"]
    headers, body = {}, cloudevent(event, name)
    if mode == "binary":
        headers = {f"CE-{k}": v for k, v in body.items() if k not in ("data", "datacontenttype")}
        body = event
    elif mode == "base64":
        body["data_base64"] = base64.b64encode(json.dumps(body.pop("data")).encode()).decode()
    elif mode == "batch":
        body = [body]
    elif mode == "content":
        body |= {"data": event["subject"]["content"], "subject": event["subject"]["id"], "id": event["context"]["id"]}
        body |= {"source": event["context"]["source"], "time": event["context"]["timestamp"]}
    (change,) = changes_of_body(body, headers=headers, now_us=T0 + 5).changes
    assert (change.id, change.title, change.at_us) == (alone.id, alone.title, alone.at_us)
    assert (change.app, change.environment, change.after) == (alone.app, alone.environment, alone.after)


def test_a_cloudevent_with_a_plain_change() -> None:
    """Our own form inside an envelope takes time and name of the envelope, so that a second delivery is the same."""
    sent = {k: v for k, v in PLAIN.items() if k != "at"}
    change = one(cloudevent(sent))
    assert (change.kind, change.at_us, change.title) == ("prompt", NOON, "shorter answers")
    assert change.attributes["event.source"] == "/staging/tekton/"
    assert one({**cloudevent(sent), "data": {**sent, "author": "bob"}}).id == change.id
    assert one({**cloudevent(sent), "source": "/other"}).id != change.id


def test_a_cloudevent_of_somebody_elses_type() -> None:
    """Any other CloudEvent is a change of the kind that its words speak of, with its data as attributes."""
    change = one(cloudevent({"kind": "Deployment", "link": 5, "version": "v13"}, "com.example.prompt.updated"))
    assert (change.kind, change.after) == ("prompt", "v13")
    assert change.title == "com.example.prompt.updated answers: v13"
    assert (change.attributes["data.kind"], change.attributes["data.link"]) == ("Deployment", "5")
    assert one(cloudevent(None, "com.example.x")).kind == "other"


def test_a_change_event_of_pagerduty() -> None:
    """Summary, time, first link and details are read; the routing key goes nowhere."""
    change = one(PAGERDUTY)
    assert (change.title, change.at_us) == (PAGERDUTY["payload"]["summary"], NOON + 315_000)
    assert (change.kind, change.app, change.after) == ("prompt", "bot", "v13")
    assert (change.link, change.author) == ("https://shop.example/build/2", "unknown")
    assert change.attributes["build_state"] == "passed"
    assert PAGERDUTY["routing_key"] not in repr(change)
    assert "routing_key" not in change.attributes
    assert pagerduty_of_body(PAGERDUTY, now_us=T0).changes == (change,)


def test_an_alert_event_of_pagerduty_is_no_change() -> None:
    """What would page somebody is ignored with a word."""
    assert "alert" in word({**PAGERDUTY, "event_action": "trigger", "dedup_key": "x"}).why


def test_a_deployment_of_github() -> None:
    """A status that became success is a change to the commit, by who caused it, in that environment."""
    change = one(DEPLOYED, x_github_event="deployment_status", x_github_delivery="72d3162e-cc78-11e3-81ab-4c9367dc0958")
    assert (change.kind, change.at_us, change.environment) == ("code", NOON, "production")
    assert change.title == "shop/shop-bot: deploy f95f852 (main) to production"
    assert (change.after, change.author, change.app) == (DEPLOYED["deployment"]["sha"], "ann-dev", "shop-bot")
    assert change.link == "https://github.com/shop/shop-bot/actions/runs/7"
    assert change.attributes["ring"] == "one"


def test_the_teams_own_words_in_a_deployment_win() -> None:
    """The payload that a team gave its deployment says kind, versions and application."""
    sent = deepcopy(DEPLOYED)
    sent["deployment"]["payload"] = {"kind": "prompt", "app": "bot", "before": "v12", "after": "v13"}
    change = one(sent, X_GitHub_Event="deployment_status")
    assert (change.kind, change.app, change.before, change.after) == ("prompt", "bot", "v12", "v13")


def test_a_release_and_a_push_of_github() -> None:
    """A published release and a push to the default branch are changes, at the time of publishing and pushing."""
    release = one(RELEASED, x_github_event="release")
    assert (release.title, release.after, release.at_us) == ("shop/shop-bot: release 1.4.0", "1.4.0", NOON)
    push = one(PUSHED, x_github_event="push")
    assert push.title == "shop/shop-bot: 1 commit merged to main: Answer in two sentences"
    assert (push.before, push.after, push.at_us) == (PUSHED["before"], PUSHED["after"], NOON)
    assert one({**PUSHED, "before": "0" * 40}, x_github_event="push").before is None


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("ping", {"zen": "Keep it logically awesome.", "hook_id": 7}),
        ("deployment", DEPLOYED),
        ("deployment_status", {**DEPLOYED, "deployment_status": {"state": "in_progress"}}),
        ("deployment_status", {}),
        ("workflow_run", {"action": "completed"}),
        ("release", {**RELEASED, "action": "created"}),
        ("release", {**RELEASED, "release": {**RELEASED["release"], "prerelease": True}}),
        ("push", {**PUSHED, "ref": "refs/heads/branch"}),
        ("push", {**PUSHED, "after": "0" * 40}),
        ("issues", {"action": "closed"}),
    ],
)
def test_other_deliveries_of_github_are_ignored_with_a_word(event: str, data: dict[str, Any]) -> None:
    """What does not say that something else runs now is answered with what it was and why."""
    ignored = word(data, x_github_event=event)
    assert ignored.what.startswith(event)
    assert ignored.why


@pytest.mark.parametrize("data", [DEPLOYED, RELEASED, PUSHED])
def test_saved_deliveries_of_github_need_no_header(data: dict[str, Any]) -> None:
    """A delivery in a file is recognised by its content."""
    assert one(data).attributes["repository"] == "shop/shop-bot"


def test_the_address_says_what_the_sender_does_not() -> None:
    """Application and environment of the address hold where the body names none, and before what is only guessed."""
    address = {"app": "returns-desk", "environment": "eu"}
    (deployed,) = changes_of_body(DEPLOYED, headers={}, now_us=T0, **address).changes
    assert (deployed.app, deployed.environment) == ("returns-desk", "production")
    (plain,) = read(PLAIN, **address).changes
    assert (plain.app, plain.environment) == ("bot", "eu")
    with pytest.raises(InputError, match="app of the address"):
        read(PLAIN, app=" ")


FORMS = [
    PLAIN,
    PAGERDUTY,
    DEPLOYED,
    RELEASED,
    PUSHED,
    cdevent("dev.cdevents.service.deployed.0.3.0"),
    cloudevent(PLAIN),
]


@pytest.mark.parametrize("data", FORMS)
def test_a_second_delivery_is_the_same_change(data: dict[str, Any]) -> None:
    """The same body again, later and with its keys in another order, gives equal changes; the body itself is not touched."""
    before = deepcopy(data)
    again = json.loads(json.dumps(data, sort_keys=True))
    assert read(data).changes == read(again, now_us=T0 + 99).changes
    assert data == before


@pytest.mark.parametrize("data", FORMS)
def test_a_change_without_a_time_keeps_its_id(data: dict[str, Any]) -> None:
    """A body that says no time gets that of its arrival, an id that does not depend on it, and is marked as undated."""
    bare = deepcopy(data)
    for part in (bare, *(v for v in bare.values() if isinstance(v, dict)), bare.get("data") or {}):
        for key in ("at", "time", "timestamp", "created_at", "updated_at", "published_at", "pushed_at"):
            part.pop(key, None)
    first, second = read(bare), read(bare, now_us=T0 + 99)
    (a,), (b,) = first.changes, second.changes
    assert (a.id, a.at_us, b.id, b.at_us) == (b.id, T0, a.id, T0 + 99)
    assert first.undated == {a.id}
    assert first.unnamed == ({a.id} if data in (PLAIN, PAGERDUTY) else set())


def test_an_array_is_all_or_nothing() -> None:
    """An array gives its changes in order; one item that cannot be read refuses all, by its number."""
    found = read([PLAIN, cdevent("dev.cdevents.build.started.0.3.0"), {**PLAIN, "title": "second"}])
    assert [c.title for c in found.changes] == ["shorter answers", "second"]
    assert len(found.ignored) == 1
    with pytest.raises(InputError, match=r"item 2: .*title"):
        read([PLAIN, {"kind": "prompt"}])
    with pytest.raises(InputError, match="at most"):
        read([PLAIN] * (MOST_CHANGES + 1))
    assert read([]) == Received()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("text", "a change is a JSON object"),
        (7, "a change is a JSON object"),
        ({}, "title"),
        ({**PLAIN, "kind": "deploy"}, "choose one of"),
        ({**PLAIN, "title": 7}, "title"),
        ({**PLAIN, "title": "x" * 301}, "title.*300"),
        ({**PLAIN, "at": "1999-01-01"}, "at: .*from 2000 to 2100"),
        ({**PLAIN, "after": ["v13"]}, "after"),
        ({**PLAIN, "attributes": 7}, "attributes"),
        ({"alerts": [], "status": "firing"}, "/v1/alerts"),
        ({"routing_key": "hunter2", "payload": "text"}, "payload is"),
        ({"routing_key": "hunter2", "payload": {"summary": " "}}, r"payload\.summary"),
        ({**PAGERDUTY, "payload": {"summary": "x", "timestamp": "2200-01-01"}}, r"payload\.timestamp: "),
        (cdevent("com.example.x"), r"context\.type is"),
        ({"context": {"type": 7}}, "type of context"),
        ({"context": {"type": "dev.cdevents.a.b"}, "subject": 7}, "subject of the CDEvent"),
        (cdevent("dev.cdevents.service.deployed") | {"context": {"type": "dev.cdevents.service.deployed", "timestamp": "x"}}, r"context\.timestamp"),
        ({"specversion": "1.0", "type": " "}, "type of the CloudEvent"),
        ({"specversion": "1.0", "type": "x", "data_base64": "!"}, "data_base64"),
        ({**DEPLOYED, "deployment": 7}, "deployment is 7"),
        ({**PLAIN, "x": json.loads("[" * 60 + "]" * 60)}, "deeper than 50"),
    ],
)  # fmt: skip
def test_an_error_names_the_part(wrong: Any, says: str) -> None:
    """What cannot be a change is refused with the part, its value and what is allowed, on one clean line."""
    with pytest.raises(InputError, match=says) as caught:
        read(wrong)
    assert str(caught.value).isprintable()
    assert "hunter2" not in str(caught.value)


HEADERS = [
    {},
    {"x-github-event": "deployment_status"},
    {"x-github-event": "push"},
    {"x-github-event": "release"},
    {"ce-type": "dev.cdevents.service.deployed.0.3.0", "ce-id": "1"},
    {"ce-type": "x", "ce-time": "%zz"},
]
PARTS = ("context", "subject", "payload", "deployment_status", "deployment", "release", "repository", "data", "links",
         "sender", "type", "specversion", "title", "kind", "at", "scope", "attributes", "content", "routing_key", "ref",
         "id", "action", "after", "head_commit", "link", "app", "alerts", "state", "summary", "tag_name")  # fmt: skip
SHAPED = st.dictionaries(
    st.sampled_from(PARTS), JSON | st.dictionaries(st.sampled_from(PARTS), JSON, max_size=5), max_size=8
)


@given(data=JSON | SHAPED | st.lists(SHAPED, max_size=2), headers=st.sampled_from(HEADERS))
def test_any_json_is_changes_or_ignored_or_an_input_error(data: Any, headers: dict[str, str]) -> None:
    """Whatever is sent, the answer is changes, reasons or one clear error, and changes stay within their bounds."""
    found = tried(data, headers)
    assert found == tried(deepcopy(data), headers)
    if isinstance(found, str):
        assert found.isprintable()
        return
    for change in found.changes:
        within_bounds(change)
    assert all(i.what.isprintable() and len(i.what) <= 300 and i.why for i in found.ignored)


def tried(data: Any, headers: dict[str, str]) -> Received | str:
    """What a body holds, or why it was refused; no other exception is caught."""
    try:
        return changes_of_body(data, headers=headers, now_us=T0)
    except InputError as error:
        return str(error)


def mutants(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything within a body."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(p for k, v in inner for p in mutants(v, (*path, k)))]


@given(body=st.sampled_from(FORMS), value=JSON, pick=st.integers(0, 10**6))
def test_a_body_with_one_part_of_another_type_is_no_crash(body: dict[str, Any], value: Any, pick: int) -> None:
    """A real body in which any one part is replaced by any value is still read, ignored or refused in words."""
    data = deepcopy(body)
    paths = mutants(data)[1:]
    *way, last = paths[pick % len(paths)]
    place = data
    for step in way:
        place = place[step]
    place[last] = value
    found = tried(data, {})
    if isinstance(found, str):
        assert found.isprintable()
        return
    for change in found.changes:
        within_bounds(change)


def within_bounds(change: Change) -> None:
    """Assert that a change can be stored and is no larger than it may be."""
    assert len(change.attributes) <= MOST_KEYS
    assert all(len(k) <= MOST_NAME and len(v) <= MOST_TEXT for k, v in change.attributes.items())
    texts = [change.id, change.title, change.app, change.environment, change.author, change.before, change.after]
    assert all(t is None or len(t) <= 100_000 for t in texts)
    assert len(change.title) <= 300
    assert change.title.strip()
    json.dumps(change.attributes, ensure_ascii=False).encode()
    assert change.link is None or change.link.startswith(("http://", "https://"))


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m\n\u202e", "<script>alert(1)</script>", "x" * 2**20, "\ud800\0"])
@pytest.mark.parametrize("form", FORMS)
def test_hostile_text_is_kept_within_bounds(form: dict[str, Any], text: str) -> None:
    """Control characters, HTML and a megabyte of text are cut to their bounds or refused, never stored whole or obeyed."""
    data = deepcopy(form)

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: poison(v) for k, v in value.items()} | {text[:200]: text}
        return [poison(v) for v in value] if isinstance(value, list) else text if value in ("", None) else value

    for part in (poison(data), {**data, "note": text}):
        for change in read(part).changes:
            within_bounds(change)
            assert change.title.isprintable()


@given(
    keys=st.dictionaries(
        st.text("abcxyz_", min_size=1, max_size=20).map("x_{}".format),
        st.integers() | st.text(max_size=50),
        max_size=20,
    )
)
@pytest.mark.parametrize("form", FORMS)
def test_unknown_keys_survive(form: dict[str, Any], keys: dict[str, Any]) -> None:
    """Keys that nobody knows stand in the attributes as text, in every form."""
    (change,) = read({**form, **keys}).changes
    for key, value in keys.items():
        text = value if isinstance(value, str) else str(value)
        assert change.attributes[key] == text.replace("\0", "\ufffd")


def test_what_has_no_room_is_counted() -> None:
    """Beyond 50 attributes the rest is counted in one of them, whatever the order; a long text ends in an ellipsis."""
    many = {f"k{n:03}": n for n in range(120)}
    kept = attributes_of(many)
    assert kept == attributes_of(dict(reversed(many.items())))
    assert (len(kept), kept[LEFT_OUT], kept["k000"]) == (MOST_KEYS, "71", "0")
    assert attributes_of(kept) == kept
    long = attributes_of({"a": "x" * 5_000, "b" * 500: 1})
    assert (len(long["a"]), long["a"][-1]) == (MOST_TEXT, "…")
    assert all(len(k) <= MOST_NAME for k in long)
    assert attributes_of({"a.b": 1, "a": {"b": 2}})[LEFT_OUT] == "1"


@pytest.mark.parametrize(
    "key", ["routing_key", "Authorization", "api-key", "client_secret", "password", "headers.Cookie"]
)
def test_secrets_are_not_kept(key: str) -> None:
    """A value whose key says that it opens a door is replaced, at any depth; a word that only looks like one is kept."""
    sent = {key: "hunter2", "deep": {"deep": {"deep": {"deep": {key: "hunter2"}}}}, "list": [{key: "hunter2"}]}
    kept = attributes_of(sent)
    assert "hunter2" not in repr(kept)
    assert kept[key] == SECRET
    assert attributes_of({"max_tokens": 5, "secretary": "x"}) == {"max_tokens": "5", "secretary": "x"}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("https://a.example/b?c=d", True),
        ("HTTP://a.example", True),
        ("https:", False),
        ("http:///b", False),
        ("//a", False),
    ],
)
def test_an_address_has_a_host(text: str, is_one: bool) -> None:
    """A link is http or https and has a host."""
    assert is_link(text) == is_one


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("New system prompt for returns", "prompt"),
        ("prompt_version=13", "prompt"),
        ("Switched model to m-2", "model"),
        ("reindexed the shop", "index"),
        ("new embedding model", "embedding model"),
        ("feature flag enabled", "config"),
        ("Deployed 1.4 to production", "code"),
        ("Build Success: Increase timeout", "code"),
        ("documentation", "other"),
        ("promptly", "other"),
    ],
)
def test_words_tell_the_kind(text: str, kind: str) -> None:
    """Whole words of a text tell the kind of change; parts of an AI system go before deploys."""
    assert kind_of_words(text) == kind


PAGE = ROOT / "docs" / "how-to" / "record-changes.md"


def snippets() -> list[Any]:
    """Every JSON body of the page, in blocks of their own and in the commands."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [json.loads(b) for b in blocks + re.findall(r"(?:-d|--data) '(\{.*?\})'", text, re.DOTALL)]


def test_every_snippet_of_the_page_is_accepted() -> None:
    """Each JSON body that the page shows for changes is read as a change, not ignored and not refused."""
    bodies = [b for b in snippets() if "alerts" not in b]
    assert len(bodies) >= 5
    for body in bodies:
        one(body)


def test_the_page_names_every_event_and_subject() -> None:
    """Every CDEvent and every custom subject that is read stands on the page with its kind."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert not [e for e, kind in STANDARD.items() if not any(f"`{e}`" in r and f"| {kind} |" in r for r in rows)]
    assert not [s for s, kind in CUSTOM.items() if not any(f"`{s}`" in r and f"| {kind} |" in r for r in rows)]
