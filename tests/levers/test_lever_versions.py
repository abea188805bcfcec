"""Laws of versions: what they are called, what changed in them, and who may let them be served."""

from collections.abc import Callable
from typing import Any

import pytest

from andon.changes import Change
from andon.errors import InputError, StateError
from andon.levers import GateResult, Lever, Version, diff, find_version
from andon.levers.run import add_version, approve_version, declare, hold, note_gate, promote, review, versions_of
from andon.store import Ledger

T0 = 1_790_000_000_000_000
HOUR = 3600 * 1_000_000
# two texts of one digest, found by hashing 25 million in half a minute
TWINS = ("Answer with sources only. #22640368", "Answer with sources only. #24676409")


def add(ledger: Ledger, value: Any, **more: Any) -> Version:
    """A version of the prompt, by ann."""
    fields: dict[str, Any] = {"why": "shorter", "by": "ann", "now_us": T0}
    return add_version(ledger, "prompt", value, **{**fields, **more})


def gate(outcome: Any, at_us: int = T0) -> GateResult:
    """What the gate said."""
    return GateResult(outcome=outcome, reason="2 of 40 cases fail", by="ann", at_us=at_us)


def test_the_same_value_is_the_same_version(ledger: Ledger) -> None:
    """A value that was added before is the version that it was then, with its first author; nothing is written."""
    first, entry = add(ledger, "x"), ledger.last_entry()
    assert add(ledger, "x", by="bob", why="mine", now_us=T0 + 5) == first
    assert (ledger.last_entry(), first.by, first.id) == (entry, "ann", f"prompt@{first.digest}")
    assert add(ledger, "x ").digest != first.digest


def test_the_same_value_is_another_version_of_another_lever(ledger: Ledger) -> None:
    """Approval is of a lever's version, not of a text: another lever has its own version of the same text."""
    declare(ledger, Lever(id="policy", kind="string", default="", safe=""), T0, "ann")
    mine = add(ledger, "x")
    approve_version(ledger, "prompt", mine.digest, why="w", by="bob", now_us=T0)
    other = add_version(ledger, "policy", "x", why="w", by="ann", now_us=T0)
    assert (other.digest, other.id, other.approvals) == (mine.digest, f"policy@{mine.digest}", ())
    with pytest.raises(StateError, match="not approved"):
        hold(ledger, "policy", "x", why="w", by="ann", until_us=T0 + 5, now_us=T0)


def test_one_digest_does_not_let_in_another_value(ledger: Ledger) -> None:
    """Of two values with one digest the approval of one says nothing of the other: it can be neither added nor held."""
    good, evil = TWINS
    version = add(ledger, good)
    approve_version(ledger, "prompt", version.digest, why="read it", by="bob", now_us=T0)
    with pytest.raises(StateError, match="does not happen by chance"):
        add(ledger, evil)
    with pytest.raises(StateError, match="nothing unapproved is served"):
        hold(ledger, "prompt", evil, why="w", by="ann", until_us=T0 + HOUR, now_us=T0)
    broken = hold(ledger, "prompt", evil, why="w", by="ann", until_us=T0 + HOUR, now_us=T0, break_glass=True)
    assert broken.digest is None
    assert hold(ledger, "prompt", good, why="w", by="ann", until_us=T0 + HOUR, now_us=T0).digest == version.digest


def test_a_version_knows_what_it_was_made_from(ledger: Ledger, live: Callable[[str], Version]) -> None:
    """Its parent is the version that is live in production unless another is named, and must be one of this lever."""
    assert add(ledger, "0").parent is None
    one = live("1")
    assert add(ledger, "2").parent == one.digest
    assert add(ledger, "3", parent=add(ledger, "2").digest[:6]).parent == add(ledger, "2").digest
    with pytest.raises(InputError, match="is no version of prompt; there are"):
        add(ledger, "4", parent="ffffffffffff")


def test_the_diff_of_a_text_is_by_lines_and_of_an_object_by_its_keys(ledger: Ledger) -> None:
    """A changed line of a text, a changed key of an object is one line out and one in, whatever the order of keys was."""
    one, two = add(ledger, "a\nb\nc"), add(ledger, "a\nB\nc")
    lines = diff(one, two).split("\n")
    assert lines[:2] == [f"--- {one.digest}", f"+++ {two.digest}"]
    assert [x for x in lines[3:] if x[0] in "+-"] == ["-b", "+B"]
    lever = ledger.get(Lever, "prompt")
    assert lever is not None
    assert diff(lever, one).split("\n") == [
        "--- default",
        f"+++ {one.digest}",
        "@@ -1 +1,3 @@",
        "-be helpful",
        "+a",
        "+b",
        "+c",
    ]
    assert diff(one, one) == ""
    declare(ledger, Lever(id="policy", kind="object", default={}, safe={}), T0, "ann")
    old = add_version(ledger, "policy", {"tools": ["search"], "k": {"a": 1, "b": 2}}, why="w", by="ann", now_us=T0)
    new = add_version(ledger, "policy", {"k": {"b": 3, "a": 1}, "tools": ["search"]}, why="w", by="ann", now_us=T0)
    assert [x.strip() for x in diff(old, new).split("\n")[3:] if x[0] in "+-"] == ['-    "b": 2', '+    "b": 3']


@pytest.mark.parametrize("by", ["ann", "Ann", " ANN ", "ａｎｎ", "ann\u00a0", "ann.", "a-nn", "_ann_"])
def test_the_author_cannot_approve(ledger: Ledger, by: str) -> None:
    """Whoever wrote a version cannot approve it, in any spelling of their name; nothing is written."""
    version = add(ledger, "x")
    with pytest.raises(StateError, match="ask another person"):
        approve_version(ledger, "prompt", version.digest, why="fine", by=by, now_us=T0)
    assert ledger.get(Version, version.id) == version


NOBODY_SEES = ("an\u200bn", "ann\u3164", "ann\u034f", "ann\ufe0f", "ann\u2800", "ann\U000e0100", "\u202eann")
LOOK_ALIKE = ("\u0430nn", "an\u0578", "ann\u03bf")


@pytest.mark.parametrize(
    ("by", "said"),
    [*((n, "nobody sees") for n in NOBODY_SEES), *((n, "look alike") for n in LOOK_ALIKE), ("...", "has no letter")],
)
def test_no_character_makes_one_person_two(ledger: Ledger, by: str, said: str) -> None:
    """A name with characters that no eye sees, or of two scripts, neither writes, approves, reviews nor breaks the glass."""
    version, entry = add(ledger, "x"), ledger.last_entry()
    until = {"until_us": T0 + HOUR, "now_us": T0}
    for act in (
        lambda: add(ledger, "y", by=by),
        lambda: approve_version(ledger, "prompt", version.digest, why="fine", by=by, now_us=T0),
        lambda: hold(ledger, "prompt", "z", why="w", by=by, break_glass=True, **until),
    ):
        with pytest.raises(InputError, match=said):
            act()
    assert ledger.last_entry() == entry
    pull = hold(ledger, "prompt", "z", why="w", by="ann", break_glass=True, **until)
    with pytest.raises(InputError, match=said):
        review(ledger, pull.id, why="w", by=by, now_us=T0)
    assert hold(ledger, "prompt", why="w", by=by, **until).by == by.strip()  # stopping harm needs no fine name


@pytest.mark.parametrize(
    "by", ["山田 たろう", "Łukasz Ó Dónaill", "Оксана", "محمد", "김철수", "नेहा", "d’Arcy-Smith", "a.b@c.de", "r2d2"]
)
def test_a_name_of_any_people_is_a_name(ledger: Ledger, by: str) -> None:
    """Names of one script write and approve as they are; only its own bearer is the same person."""
    version = add(ledger, "x", by=by)
    with pytest.raises(StateError, match="ask another person"):
        approve_version(ledger, "prompt", version.digest, why="w", by=f"{by.upper()} ", now_us=T0)
    assert approve_version(ledger, "prompt", version.digest, why="w", by="bob", now_us=T0).approvals[0].by == "bob"
    assert approve_version(ledger, "prompt", add(ledger, "y").digest, why="w", by=by, now_us=T0).approvals[0].by == by


def test_one_person_approves_once(ledger: Ledger) -> None:
    """Who approved already adds nothing, in any spelling; another person is a second approval."""
    version = add(ledger, "x")
    for by in ("bob", "Bob ", "eve"):
        approve_version(ledger, "prompt", version.digest, why="fine", by=by, now_us=T0)
    kept = ledger.get(Version, version.id)
    assert kept is not None
    assert [a.by for a in kept.approvals] == ["bob", "eve"]


@pytest.mark.parametrize("outcome", ["fail", "undecided", "could not run"])
def test_a_gate_that_did_not_pass_blocks_until_it_passes(
    ledger: Ledger, approved: Callable[[str], Version], outcome: str
) -> None:
    """The newest result of the gate counts: anything but a pass blocks hold and promotion in production, a later pass frees."""
    version = approved("x")
    promote(ledger, "prompt", version.digest, to="staging", why="w", by="ann", now_us=T0)
    for result, free in ((gate("pass"), True), (gate(outcome), False), (gate("pass"), True)):
        note_gate(ledger, "prompt", version.digest, result, T0)
        for act in (
            lambda: hold(ledger, "prompt", "x", why="w", by="ann", until_us=T0 + HOUR, now_us=T0 + 1),
            lambda: promote(ledger, "prompt", version.digest, to="production", why="w", by="ann", now_us=T0 + 2),
        ):
            entry = ledger.last_entry()
            if free:
                act()
                continue
            with pytest.raises(StateError, match=f"did not pass {version.id}: {outcome}.*gate again"):
                act()
            assert ledger.last_entry() == entry


def test_a_gate_that_passed_is_no_approval(ledger: Ledger) -> None:
    """A pass of the gate is not another person's word."""
    version = add(ledger, "x")
    note_gate(ledger, "prompt", version.digest, gate("pass"), T0)
    with pytest.raises(StateError, match="not approved"):
        hold(ledger, "prompt", "x", why="w", by="ann", until_us=T0 + HOUR, now_us=T0)


def test_what_is_written_of_versions_changes_nothing_that_is_served(
    ledger: Ledger, approved: Callable[[str], Version]
) -> None:
    """Adding, approving and gating write no change: nothing moved for any user."""
    note_gate(ledger, "prompt", approved("x").digest, gate("fail"), T0)
    assert ledger.all(Change) == []


@pytest.mark.parametrize("named", ["", "abc", "zzzz", "prompt@", "x" * 500, "\x1b[2J"])
def test_a_version_that_is_none_is_said_with_those_there_are(ledger: Ledger, named: str) -> None:
    """An unknown version is an InputError that names it in plain characters, the lever, and the versions there are."""
    version = add(ledger, "x")
    for act in (
        lambda: approve_version(ledger, "prompt", named, why="w", by="bob", now_us=T0),
        lambda: promote(ledger, "prompt", named, to="staging", why="w", by="bob", now_us=T0),
        lambda: note_gate(ledger, "prompt", named, gate("pass"), T0),
    ):
        entry = ledger.last_entry()
        with pytest.raises(InputError, match=f"is no version of prompt; there are: {version.digest}") as error:
            act()
        assert str(error.value).isprintable()
        assert ledger.last_entry() == entry


def test_a_beginning_names_a_version_where_it_is_one_alone(ledger: Ledger) -> None:
    """Four characters or more name a version, where no other begins so; so does its whole id."""
    versions = [add(ledger, str(n)) for n in range(100)]
    lever = ledger.get(Lever, "prompt")
    assert lever is not None
    assert find_version(lever, versions, versions[7].id) == versions[7]
    assert find_version(lever, versions, versions[7].digest[:8]) == versions[7]
    twins = [*versions, *(v for v in versions if v.digest[:4] == versions[7].digest[:4])]
    with pytest.raises(InputError, match="begins several versions"):
        find_version(lever, twins, versions[7].digest[:4])


def test_two_who_approve_at_once(ledger: Ledger, first: Callable[..., None]) -> None:
    """Of two who approve in the same moment one is told to do it again; the other's word is there, once."""
    version = add(ledger, "x")
    first(Version, lambda: approve_version(ledger, "prompt", version.digest, why="w", by="eve", now_us=T0))
    with pytest.raises(
        StateError, match=r"somebody else changed prompt@.* in the same moment; nothing of yours was written"
    ):
        approve_version(ledger, "prompt", version.digest, why="w", by="bob", now_us=T0)
    kept = ledger.get(Version, version.id)
    assert kept is not None
    assert [a.by for a in kept.approvals] == ["eve"]


def test_two_who_add_at_once(ledger: Ledger, first: Callable[..., None]) -> None:
    """Of two who add the same value in the same moment one is its author, and the other is told."""
    first(Version, lambda: add(ledger, "x", by="eve"))
    with pytest.raises(StateError, match="somebody else added the same version"):
        add(ledger, "x")
    assert [(v.by, v.approvals) for v in versions_of(ledger, "prompt")] == [("eve", ())]


def test_two_who_declare_at_once(ledger: Ledger, first: Callable[..., None]) -> None:
    """Of two who declare a lever in the same moment one is told, for a new lever and for a known one."""
    one = Lever(id="prompt", kind="string", default="be helpful", safe="say nothing", about="1")
    two = Lever(id="prompt", kind="string", default="say nothing", safe="say nothing", about="2")
    first(Lever, lambda: declare(ledger, one, T0 + 1, "eve"))
    with pytest.raises(StateError, match=r"somebody else declared prompt.* in the same moment"):
        declare(ledger, two, T0 + 1, "ann")
    new = Lever(id="new", kind="boolean", default=False, safe=True)
    first(Lever, lambda: declare(ledger, new, T0, "eve"))
    with pytest.raises(StateError, match="somebody else declared new in the same moment"):
        declare(ledger, Lever(id="new", kind="boolean", default=True, safe=True), T0, "ann")
    assert (ledger.get(Lever, "prompt"), ledger.get(Lever, "new"), ledger.all(Change)) == (one, new, [])


@pytest.mark.parametrize("value", [{"a": True}, {"a": 1}, {"a": 1.0}])
def test_in_objects_true_and_1_are_two_values(ledger: Ledger, value: Any) -> None:
    """An object with true is not one with 1 or 1.0: none is served to production because another was declared."""
    declare(ledger, Lever(id="policy", kind="object", default={"a": 0}, safe=value), T0, "ann")
    for other in ({"a": True}, {"a": 1}, {"a": 1.0}):
        if type(other["a"]) is type(value["a"]):
            continue
        with pytest.raises(StateError, match="nothing unapproved"):
            hold(ledger, "policy", other, why="w", by="ann", until_us=T0 + HOUR, now_us=T0)
    assert hold(ledger, "policy", why="w", by="ann", until_us=T0 + HOUR, now_us=T0).value == value
