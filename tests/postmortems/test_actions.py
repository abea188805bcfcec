"""Laws of action items: nobody is committed by a proposal, and nothing is done before its proof says so."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drafted import investigation, signal
from records_made import DAY, HOUR, T0, action, draft, incident

from andon.errors import InputError, StateError
from andon.evals import EvalRun
from andon.evals.records import CaseResult
from andon.evals.rules import parse_rules
from andon.golden import Case
from andon.incidents import Incident
from andon.incidents.run import respond
from andon.investigations import Gap
from andon.levers import Lever, Pull
from andon.levers.proofs import cases_pass, catches, gate_blocks, lever_exists
from andon.monitors import Objective, Signal
from andon.postmortems import ActionItem, Criterion, Proof, propose_actions
from andon.postmortems.actions import (
    SOME_LEVER,
    SOME_MONITOR,
    SOME_VERSION,
    add,
    criterion_of,
    merged,
    nag_message,
    nags,
    prove,
    state_text,
    steps_of,
    take,
)
from andon.postmortems.run.actions import (
    actions_of,
    add_action,
    claim_action,
    commitments_of,
    drop_action,
    find_action,
    monitor_fires,
    overdue,
    prove_action,
    take_action,
)
from andon.scores import score_schema
from andon.scores.builtin import SCORERS
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS

LEVER = Criterion(kind="lever exists", subject="strict")


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger with one incident and its draft, which proposes two actions."""
    book = Ledger("sqlite://")
    book.put(incident(), now_us=T0, by="andon")
    book.put(draft(None, action(), action("INC-0001-A2", kind="detect")), now_us=T0, by="andon")
    yield book
    book.close()


def met(item: ActionItem, now_us: int) -> Proof:
    """A test that is met."""
    return Proof(met=True, text="seen", at_us=now_us)


def unmet(item: ActionItem, now_us: int) -> Proof:
    """A test that is not met."""
    return Proof(met=False, text="not seen", at_us=now_us)


def unknown(item: ActionItem, now_us: int) -> Proof:
    """A test that cannot be run."""
    return Proof(met=None, text="nothing there", at_us=now_us)


@pytest.mark.parametrize(
    ("text", "kind", "subject", "times"),
    [
        ("case passes G-123 x5", "case passes", "G-123", 5),
        ("  Case   passes G-1, G-2 ", "case passes", "G-1, G-2", 1),
        ("case passes cases of INC-0001 x3", "case passes", "cases of INC-0001", 3),
        ("monitor fires bot/production/refusal.up/segment=a b", "monitor fires", "bot/production/refusal.up/segment=a b", 1),
        ("gate blocks gpt x5", "gate blocks", "gpt x5", 1),
        ("lever exists strict", "lever exists", "strict", 1),
    ],
)  # fmt: skip
def test_a_criterion_is_read_from_words(text: str, kind: str, subject: str, times: int) -> None:
    """The four forms are understood; only cases are asked for several runs in a row."""
    assert criterion_of(text) == Criterion(kind=kind, subject=subject, times=times)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "be more careful", "case passes", "lever exists ", "case passes G-1 x0", "case passes G-1 x999"])  # fmt: skip
def test_what_cannot_be_tested_is_no_criterion(text: str) -> None:
    """A promise without a test that Andon can run is refused."""
    with pytest.raises(InputError):
        criterion_of(text)


def test_a_proposal_is_nobodys_commitment(ledger: Ledger) -> None:
    """Proposals of a draft are listed as such, never overdue, cannot be proved or claimed, and only taking changes that."""
    assert [i.state for i in actions_of(ledger)] == ["proposed", "proposed"]
    assert overdue(ledger, T0 + 999 * DAY) == ()
    for refused in (
        lambda: prove_action(ledger, "INC-0001-A1", {"lever exists": met}, now_us=T0, by="ann"),
        lambda: claim_action(ledger, "INC-0001-A1", said="ann", now_us=T0, by="ann"),
    ):
        with pytest.raises(StateError):
            refused()
    assert ledger.all(ActionItem) == []
    taken = take_action(ledger, "INC-0001-A1", owner="ann", now_us=T0, by="bob")
    assert (taken.state, taken.owner) == ("open", "ann")
    assert [i.state for i in actions_of(ledger)] == ["open", "proposed"]


@pytest.mark.parametrize(("severity", "days"), [("P1", 15), ("P2", 30), ("P3", 30)])
def test_an_action_is_due_by_the_severity(severity: str, days: int) -> None:
    """Fifteen days for P1, thirty else, from when it is taken; another owner later does not move the date."""
    book = Ledger("sqlite://")
    book.put(incident(severity=severity), now_us=T0, by="andon")
    book.put(draft(None, action()), now_us=T0, by="andon")
    first = take_action(book, "INC-0001-A1", owner="ann", now_us=T0 + 2 * DAY, by="ann")
    assert first.due_us == T0 + (2 + days) * DAY
    again = take_action(book, "INC-0001-A1", owner="bob", now_us=T0 + 5 * DAY, by="ann")
    assert (again.owner, again.due_us) == ("bob", first.due_us)
    book.close()


def test_a_commitment_needs_an_owner_a_date_to_come_and_a_test(ledger: Ledger) -> None:
    """Without owner, date or test an action is refused, and nothing is written."""
    for wrong in ({"owner": " "}, {"owner": "ann", "due_us": T0 - 1}):
        with pytest.raises(InputError):
            take_action(ledger, "INC-0001-A1", now_us=T0, by="ann", **wrong)
    with pytest.raises(InputError):
        take(action(criterion=None), owner="ann", due_us=T0 + DAY, now_us=T0)
    assert ledger.all(ActionItem) == []
    with pytest.raises(InputError, match="INC-0001-A1, INC-0001-A2"):
        take_action(ledger, "INC-0001-A9", owner="ann", now_us=T0, by="ann")


@pytest.mark.parametrize(
    ("test", "asks"),
    [
        (Criterion(kind="lever exists", subject=SOME_LEVER), '--criterion "lever exists KEY"'),
        (Criterion(kind="gate blocks", subject=f"{SOME_VERSION}INC-0001"), '--criterion "gate blocks TARGET"'),
        (Criterion(kind="monitor fires", subject=SOME_MONITOR), '--criterion "monitor fires '),
    ],
)
def test_what_nothing_could_prove_is_no_commitment(test: Criterion, asks: str) -> None:
    """A test that does not say of which lever, version or monitor makes no commitment; the message says what to give."""
    told = {"owner": "ann", "due_us": T0 + DAY, "now_us": T0}
    refusals = []
    with pytest.raises(InputError, match="before it is said which") as refused:
        take(action(criterion=test), **told)  # type: ignore[arg-type]
    refusals.append(refused.value)
    with pytest.raises(InputError, match="before it is said which") as refused:
        add("INC-0001", (), title="t", kind="prevent", criterion=test, **told)  # type: ignore[arg-type]
    refusals.append(refused.value)
    assert all(asks in r.commands and "--" not in str(r) for r in refusals)
    assert take(action(criterion=test), criterion=LEVER, **told).criterion == LEVER  # type: ignore[arg-type]


def test_what_a_draft_proposes_is_taken_or_asks_for_what_it_leaves_open() -> None:
    """Cases and a monitor that is there are taken as proposed; lever, version and a monitor to be added must be named."""
    found = investigation()
    measured, kept = found, replace(found, gap=replace(found.gap, proposals=()))
    refused = []
    for case_ in (measured, kept):
        for item in propose_actions(incident(), case_, signal()):
            try:
                take(item, owner="ann", due_us=T0 + DAY, now_us=T0)
            except InputError:
                refused.append(item.id)
    assert refused == [f"INC-0001-A{n}" for n in (2, 3, 4, 2, 4)]


def test_only_a_met_proof_closes(ledger: Ledger) -> None:
    """A test that fails or cannot be run leaves the action open with what was found; one that is met closes it."""
    take_action(ledger, "INC-0001-A1", owner="ann", now_us=T0, by="ann")
    for test, state in ((unknown, "open"), (unmet, "open"), (met, "done")):
        item = prove_action(ledger, "INC-0001-A1", {"lever exists": test}, now_us=T0 + HOUR, by="bob")
        assert (item.state, item.proof) == (state, replace(test(item, T0 + HOUR), by="bob"))
    assert find_action(ledger, "INC-0001-A1").state == "done"
    nobody = prove_action(
        ledger, take_action(ledger, "INC-0001-A2", owner="a", now_us=T0, by="a").id, {}, now_us=T0, by="b"
    )
    assert (nobody.state, nobody.proof and nobody.proof.met) == ("open", None)


def test_a_proof_that_fails_later_opens_it_again(ledger: Ledger) -> None:
    """Done means that the test holds: a later failure reopens the action, a test that cannot be run does not."""
    take_action(ledger, "INC-0001-A1", owner="ann", now_us=T0, by="ann")
    states = [
        prove_action(ledger, "INC-0001-A1", {"lever exists": test}, now_us=T0 + k, by="bob").state
        for k, test in enumerate((met, unknown, unmet, met))
    ]
    assert states == ["done", "done", "open", "done"]
    (c,) = commitments_of(ledger)
    assert (c.taken_us, c.proved_us, c.item.state) == (T0, T0, "done")


def test_a_closed_ticket_elsewhere_closes_nothing(ledger: Ledger) -> None:
    """A claim is kept with its link, the action stays open and overdue, and another test drops an earlier proof."""
    take_action(ledger, "INC-0001-A1", owner="ann", now_us=T0, by="ann")
    item = claim_action(ledger, "INC-0001-A1", said="closed by eve", link="https://x.example/7", now_us=T0, by="eve")
    assert (item.state, item.claimed, item.link) == ("open", "closed by eve", "https://x.example/7")
    assert overdue(ledger, T0 + 31 * DAY) == (item,)
    assert "claimed but not proved" in state_text(item, T0)
    for link in ("javascript:alert(1)", "x", "https://a b"):
        with pytest.raises(InputError):
            claim_action(ledger, "INC-0001-A1", said="eve", link=link, now_us=T0, by="eve")
    failed = prove_action(ledger, "INC-0001-A1", {"lever exists": unmet}, now_us=T0, by="bob")
    assert failed.proof is not None
    other = take_action(
        ledger, "INC-0001-A1", owner="ann", criterion=criterion_of("lever exists other"), now_us=T0, by="a"
    )
    assert other.proof is None


def test_what_is_dropped_says_why(ledger: Ledger) -> None:
    """Dropping needs a reason and is kept, for proposals too; what is proved cannot be dropped, and what is dropped is over."""
    with pytest.raises(InputError):
        drop_action(ledger, "INC-0001-A1", "  ", now_us=T0, by="ann")
    assert drop_action(ledger, "INC-0001-A1", "superseded", now_us=T0, by="ann").why == "superseded"
    for refused in (
        lambda: take_action(ledger, "INC-0001-A1", owner="ann", now_us=T0, by="ann"),
        lambda: prove_action(ledger, "INC-0001-A1", {"lever exists": met}, now_us=T0, by="ann"),
    ):
        with pytest.raises(StateError):
            refused()
    take_action(ledger, "INC-0001-A2", owner="ann", now_us=T0, by="ann")
    prove_action(ledger, "INC-0001-A2", {"lever exists": met}, now_us=T0, by="ann")
    with pytest.raises(StateError):
        drop_action(ledger, "INC-0001-A2", "done anyway", now_us=T0, by="ann")


def test_a_new_draft_takes_nothing_back(ledger: Ledger) -> None:
    """Decisions replace the proposals of the same id and stay when a later draft proposes less; added ones have ids of their own."""
    take_action(ledger, "INC-0001-A2", owner="ann", now_us=T0, by="ann")
    added = [
        add_action(ledger, incident(), f"more {k}", kind="process", owner="bob", criterion=LEVER, now_us=T0, by="bob")
        for k in range(2)
    ]
    assert [i.id for i in added] == ["INC-0001-B1", "INC-0001-B2"]
    ledger.put(draft(None, action()), now_us=T0 + DAY, by="andon")
    assert [(i.id, i.state) for i in actions_of(ledger, "INC-0001")] == [
        ("INC-0001-A1", "proposed"), ("INC-0001-A2", "open"), ("INC-0001-B1", "open"), ("INC-0001-B2", "open"),
    ]  # fmt: skip
    assert actions_of(ledger) == actions_of(ledger, "INC-0001")
    many = [action(f"INC-0001-B{n}") for n in (10, 2, 1)]
    assert [i.id for i in merged((), many)] == ["INC-0001-B1", "INC-0001-B2", "INC-0001-B10"]


def test_an_added_action_is_complete(ledger: Ledger) -> None:
    """Title, kind and owner are required of an added action, and its title stands on one line."""
    told = {"title": "a\nb", "kind": "prevent", "owner": "ann", "criterion": LEVER, "due_us": T0 + DAY, "now_us": T0}
    assert add("INC-0001", (), **told).title == "a b"  # type: ignore[arg-type]
    for wrong in ({"title": " "}, {"kind": "improve"}, {"owner": ""}, {"due_us": T0}):
        with pytest.raises(InputError):
            add("INC-0001", (), **{**told, **wrong})  # type: ignore[arg-type]


def test_overdue_items_nag_and_others_do_not() -> None:
    """Only open commitments past their date nag, the longest first; at the very time of the date nothing is late."""
    base = {"state": "open", "owner": "ann"}
    items = [
        action("INC-0001-A1", **base, due_us=T0), action("INC-0001-A2", **base, due_us=T0 - DAY),
        action("INC-0001-A3", **base, due_us=T0 + 1), action("INC-0001-A4", due_us=T0 - DAY),
        action("INC-0001-A5", state="done", due_us=T0 - DAY), action("INC-0001-A6", state="dropped", due_us=T0 - DAY),
    ]  # fmt: skip
    assert [i.id for i in nags(items, T0 + 1)] == ["INC-0001-A2", "INC-0001-A1"]
    assert [i.id for i in nags(items, T0)] == ["INC-0001-A2"]


def test_a_nag_is_harmless_and_short() -> None:
    """Names and titles in a nag mention nobody, link nowhere and fake no line; a long list is cut and says so."""
    items = [
        action(
            f"INC-0001-A{n}",
            state="open",
            owner="<!channel> ann\nbob: none",
            due_us=T0 + n,
            title="@here evil.com [x](y)",
        )
        for n in range(30)
    ]
    message = nag_message(items, T0 + 40 * DAY)
    assert message.title == "30 actions overdue, the first since 2026-09-21"
    for text in (message.text, message.markdown):
        assert not {"<", "@", "[", "`"} & set(text)
        assert "evil.com" not in text
        assert "and 20 more" in text
        assert len(text) < 6_000
    assert len(message.text.split("\n")) == 12


def test_a_nag_says_what_proves_it_done() -> None:
    """Each line of a nag holds the owner, by how much it is late, what was promised and the test; one without a test has none."""
    item = action("INC-0001-A1", state="open", owner="ann", due_us=T0, title="declare a lever")
    bare = replace(item, id="INC-0001-A2", criterion=None)
    first, second, _ = nag_message([item, bare], T0 + 3 * DAY).text.split("\n")
    done = "Done when: lever strict has a safe value and was pulled once in a drill."
    assert first == f"ann: INC-0001-A1, overdue by 3 d: declare a lever. {done}"
    assert second == "ann: INC-0001-A2, overdue by 3 d: declare a lever."


def run(
    name: str, at: int, outcomes: dict[str, str], target: str = "https://new.example/chat", golden: str = "g"
) -> EvalRun:
    """An eval run with these outcomes."""
    results = tuple(CaseResult(case_id=c, outcome=o) for c, o in outcomes.items())  # type: ignore[arg-type]
    return EvalRun(id=name, at_us=T0 + at, target=target, golden=golden, scorers="normalised_match@1", results=results)


def case(name: str, of: str | None = "INC-0001") -> Case:
    """A golden case of an incident."""
    return Case(
        question=name, answer=None, contexts=(), ground_truth="x", source="", failure_reason="", added_date="2026-11-20",
        id=name, incident=of,
    )  # fmt: skip


GOOD, BAD = {"G-1": "pass", "G-2": "pass"}, {"G-1": "pass", "G-2": "fail"}


@pytest.mark.parametrize(
    ("runs", "met", "says"),
    [
        ([], None, "no kept run"),
        ([run("a", 1, {"G-1": "pass"})], None, "no kept run"),
        ([run("a", 1, GOOD)], None, "passed 1 of 2"),
        ([run("a", 1, GOOD), run("b", 2, GOOD)], True, "passed the last 2 runs"),
        ([run("a", 1, GOOD), run("b", 2, BAD), run("c", 3, GOOD)], None, "passed 1 of 2"),
        ([run("a", 1, GOOD), run("b", 2, GOOD), run("c", 3, BAD)], False, "G-2"),
        ([run("a", 1, GOOD), run("b", 2, {"G-1": "pass", "G-2": "error"}), run("c", 3, GOOD)], True, "last 2 runs"),
        ([run("a", 1, GOOD), run("b", 2, GOOD), run("c", 3, BAD, target="old")], False, "old"),
        ([run("a", 1, GOOD), run("b", 2, GOOD), run("c", 3, GOOD, target="old")], None, 'in a row on "old"'),
        ([run("a", 1, GOOD), run("b", 2, GOOD), run("c", 3, {"G-1": "pass"}, target="old")], True, "new.example"),
        ([run("a", 1, BAD, target="old"), run("b", 2, GOOD), run("c", 3, GOOD)], True, "new.example"),
        ([run("a", 1, GOOD, target="recorded:a"), run("b", 2, GOOD, target="recorded:a")], None, "live target"),
        ([run("a", 1, GOOD), run("b", 2, GOOD), run("c", 3, BAD, target="recorded:a")], True, "new.example"),
    ],
)
def test_cases_pass_in_a_row(runs: list[EvalRun], met: bool | None, says: str) -> None:
    """Runs in a row of the target that ran last; a failure breaks the row, an execution error and a recording count neither way."""
    item = action(criterion=criterion_of("case passes G-1,G-2 x2"))
    proof = cases_pass(item, [case("G-1"), case("G-2")], runs, T0)
    assert proof.met is met
    assert says in proof.text


def test_cases_of_an_incident_are_all_of_them() -> None:
    """`cases of INC-0001` names the incident's own cases; none, or an unknown id, cannot tell."""
    item = action(criterion=criterion_of("case passes cases of INC-0001"))
    cases = [case("G-1"), case("G-2"), case("G-3", of="INC-0002")]
    assert cases_pass(item, cases, [run("a", 1, GOOD)], T0).met is True
    assert cases_pass(item, cases, [run("a", 1, {"G-1": "pass", "G-3": "pass"})], T0).met is None
    assert cases_pass(item, cases[2:], [run("a", 1, GOOD)], T0).met is None
    missing = cases_pass(action(criterion=criterion_of("case passes G-9")), cases, [run("a", 1, {"G-9": "pass"})], T0)
    assert (missing.met, "G-9" in missing.text) == (None, True)


def test_the_gate_blocks_what_it_fails() -> None:
    """The verdict on the latest run of the named target decides, against the newest run of another one; without one, or undecided, nobody can tell."""
    good = {f"G-{k}": "pass" for k in range(12)}
    bad = {c: "fail" if k < 9 else "pass" for k, c in enumerate(good)}
    old, new = "recorded:gpt-4-0613.jsonl", "recorded:gpt-4-0314.jsonl"
    item = action(criterion=criterion_of("gate blocks gpt-4-0613"))

    def met(*runs: EvalRun) -> bool | None:
        return gate_blocks(item, runs, T0).met

    assert met() is None
    assert met(run("a", 1, good, new)) is None
    assert met(run("a", 1, good, new), run("b", 2, bad, old)) is True
    assert met(run("a", 1, good, new), run("b", 2, good, old)) is False
    assert met(run("a", 1, good, new), run("b", 2, bad, old), run("c", 3, good, old)) is False
    assert met(run("a", 1, good, new), run("b", 2, {**good, "G-0": "fail", "G-1": "fail"}, old)) is None
    assert met(run("b", 2, bad, old)) is None  # below a bar that nobody set
    assert met(run("a", 1, good, new, golden="other"), run("b", 2, bad, old)) is None  # another set is no baseline
    pair = [run("a", 1, good, new), run("b", 2, bad, old)]
    assert gate_blocks(item, pair, T0, quarantined=[f"G-{k}" for k in range(8)]).met is None
    lenient = parse_rules('[[rule]]\ncategory = "*"\nat_most = 0.9\n')
    assert gate_blocks(item, pair, T0, rules=lenient).met is not True
    part = action(criterion=criterion_of("gate blocks gpt-4"))
    assert gate_blocks(part, [run("b", 2, bad, old)], T0).met is None  # not the word that was named


def test_a_lever_exists_when_it_was_held_at_its_safe_value() -> None:
    """Declared is not enough: it must have been held once, and at its safe value."""
    lever = Lever(id="strict", kind="boolean", default=False, safe=True)
    pull = Pull(id="p1", lever="strict", value=True, at_us=T0, by="ann", why="drill", until_us=T0 + HOUR)
    item = action()
    assert lever_exists(item, [], [pull], T0).met is False
    assert lever_exists(item, [lever], [], T0).met is False
    assert lever_exists(item, [lever], [replace(pull, value=False)], T0).met is False
    assert lever_exists(item, [lever], [replace(pull, lever="other")], T0).met is False
    proof = lever_exists(item, [lever], [pull], T0)
    assert (proof.met, "p1" in proof.text) == (True, True)


def test_cases_catch_what_had_passed_before() -> None:
    """A run counts once for an incident when one of its cases fails that had passed; a case that never passed caught nothing."""
    runs = [
        run("a", 1, BAD),
        run("b", 2, {"G-1": "fail", "G-2": "fail"}),
        run("c", 3, GOOD),
        run("d", 4, BAD, target="x"),
    ]
    cases = [case("G-1"), case("G-2"), case("G-3", of="INC-0002"), case("G-4", of=None)]
    assert catches(cases, runs) == {"INC-0001": 2, "INC-0002": 0}


def scored(folder: Path, times: np.ndarray, refused: np.ndarray) -> Warehouse:
    """A store with a score of each of these interactions of an app."""
    import pyarrow as pa

    warehouse = Warehouse(folder, {**SCHEMAS, "scores": score_schema(SCORERS)})
    schema = score_schema(SCORERS)
    rows = [
        {"id": f"i{k}", "interaction_id": f"i{k}", "time_us": int(t), "app": "shop", "environment": "production",
         "source": "live", "weight": 1.0, "error": 0.0, "refusal": float(r)}
        for k, (t, r) in enumerate(zip(times, refused, strict=True))
    ]  # fmt: skip
    known = set(schema.names)
    rows = [{k: v for k, v in row.items() if k in known} for row in rows]
    warehouse.append("scores", pa.Table.from_pylist(rows, schema=schema))
    warehouse.commit()
    return warehouse


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Warehouse, Ledger, Incident]]:
    """Twelve days of scores of an app whose refusals rise from 2 % to 20 % for the last two, and the incident of it."""
    rng = np.random.default_rng(5)
    onset = T0 // DAY * DAY
    times = np.sort(rng.integers(onset - 10 * DAY, onset + 2 * DAY, 24_000))
    refused = rng.random(len(times)) < np.where(times < onset, 0.02, 0.2)
    warehouse = scored(tmp_path_factory.mktemp("shop"), times, refused)
    book = Ledger("sqlite://")
    signal = Signal(
        id="s1", monitor="shop/production/refusal.up/all", app="shop", environment="production", metric="refusal",
        direction="up", at_us=onset + 6 * HOUR, window_us=HOUR, x=100, n=500, baseline_x=400, baseline_n=20_000,
        baseline_from_us=onset - 10 * DAY, baseline_to_us=onset, statistic=1.0, threshold=1e4, onset_us=onset,
        onset_low_us=onset, onset_high_us=onset + HOUR,
    )  # fmt: skip
    book.put(signal, now_us=signal.at_us, by="andon")
    (found,) = respond(book, [signal])
    yield warehouse, book, found
    warehouse.close()
    book.close()


@pytest.mark.parametrize(
    ("subject", "met", "says"),
    [
        ("shop/production/refusal.up/all", True, "after the onset"),
        ("shop/production/refusal.up/*", True, "signals at"),
        ("shop/production/error.up/all", False, "did not signal"),
        ("shop/production/nothing.up/all", False, "no chart"),
        ("shop/production/traffic.down/all", False, "did not signal"),
    ],
)
def test_a_monitor_fires_on_the_incidents_own_traffic(shop, subject: str, met: bool | None, says: str) -> None:
    """The replay signals for the chart that moved, not for one that did not."""
    warehouse, book, found = shop
    item = action(f"{found.id}-A1", criterion=Criterion(kind="monitor fires", subject=subject))
    proof = monitor_fires(warehouse, book, SCORERS)(item, found.alarmed_us + 10 * DAY)
    assert proof.met is met, proof.text
    assert says in proof.text


@pytest.mark.parametrize(("at_most", "met"), [(0.05, True), (0.5, False)])
def test_a_limit_is_proved_by_replay(shop, at_most: float, met: bool) -> None:
    """A limit below the harm of the incident signals on its traffic, one above it does not; by its id and by the form of a draft."""
    warehouse, book, found = shop
    limit = Objective(name="few", metric="refusal", direction="up", at_most=at_most, source="andon.toml")
    test = monitor_fires(warehouse, book, SCORERS, objectives=[limit])
    for subject in ("shop/production/refusal.up/all/objective=few", "shop/production/refusal.up/all/objective=*"):
        item = action(f"{found.id}-A3", criterion=Criterion(kind="monitor fires", subject=subject))
        proof = test(item, found.alarmed_us + 10 * DAY)
        assert proof.met is met, proof.text
    gone = monitor_fires(warehouse, book, SCORERS)(item, found.alarmed_us + 10 * DAY)
    assert (gone.met, "no chart" in gone.text) == (False, True)


def test_missing_traffic_is_proved_by_replay(tmp_path: Path) -> None:
    """Where the traffic of an app stops, the replay of its chart of traffic signals."""
    onset = T0 // DAY * DAY
    times = np.arange(onset - 14 * DAY, onset + 2 * DAY, 60_000_000)
    times = times[(times < onset) | (times % (30 * 60_000_000) == 0)]
    warehouse = scored(tmp_path, times, np.zeros(len(times), dtype=bool))
    book = Ledger("sqlite://")
    book.put(incident(onset_us=onset, onset_low_us=onset, onset_high_us=onset, alarmed_us=onset + HOUR, last_signal_us=onset + DAY), now_us=T0, by="t")  # fmt: skip
    item = action(criterion=Criterion(kind="monitor fires", subject="shop/production/traffic.down/all"))
    proof = monitor_fires(warehouse, book, SCORERS)(item, onset + 3 * DAY)
    assert proof.met is True, proof.text
    warehouse.close()
    book.close()


def test_every_action_of_a_draft_has_a_way_to_its_proof() -> None:
    """The steps begin with taking it and end with proving it; what only people know is asked for when it is taken.

    What is known stands in the commands, quoted for a shell; a replay is said to use the charts as they are set now.
    """
    for lead in (
        signal(),
        None,
        replace(signal(), monitor="bot/production/refusal.up/all/objective=few", objective="few"),
    ):
        for found in (investigation(), replace(investigation(), gap=Gap(kind="none", text=""))):
            for item in propose_actions(incident(), found, lead):
                first, *middle, last = steps_of(item)
                assert first.startswith(f"andon action take {item.id} --owner NAME")
                assert ("--criterion" in first) is (actions_rule(item) is not None)
                assert middle
                assert last == f"andon action prove {item.id}"
    assert steps_of(action(state="done")) == steps_of(action(state="dropped")) == ()
    taken = steps_of(action(state="open"))
    assert not any("action take" in step for step in taken)
    assert taken[0] == "andon lever declare strict --default VALUE --safe VALUE"
    assert taken[1].startswith("andon lever hold strict --why")
    for kind, subject, step in (
        ("lever exists", SOME_LEVER, "andon lever declare KEY --default VALUE --safe VALUE"),
        ("lever exists", "x; reboot", "andon lever declare 'x; reboot' --default VALUE --safe VALUE"),
        ("monitor fires", "a/b/c.up/all", "keep the traffic of the incident: the proof replays it through the charts as they are set now"),
    ):  # fmt: skip
        assert step in steps_of(action(state="open", criterion=Criterion(kind=kind, subject=subject)))


def actions_rule(item: ActionItem) -> str | None:
    """Why an item cannot be taken as it is; None where it can."""
    try:
        take(item, owner="ann", due_us=T0 + 90 * DAY, now_us=T0)
    except InputError as error:
        return str(error)
    return None


def test_a_replay_without_the_traffic_cannot_tell(shop, tmp_path: Path) -> None:
    """Where the rows of that time are gone, or too few from before the onset are left, the proof says so."""
    warehouse, book, found = shop
    item = action(f"{found.id}-A1", criterion=Criterion(kind="monitor fires", subject="shop/production/refusal.up/all"))
    empty = Warehouse(tmp_path / "empty", {**SCHEMAS, "scores": score_schema(SCORERS)})
    gone = monitor_fires(empty, book, SCORERS)(item, found.alarmed_us)
    assert (gone.met, "cannot be replayed" in gone.text) == (None, True)
    empty.close()
    book.put(replace(found, id="INC-0009", onset_low_us=found.onset_low_us - 9 * DAY), now_us=T0, by="test")
    early = monitor_fires(warehouse, book, SCORERS)(replace(item, incident="INC-0009"), found.alarmed_us)
    assert (early.met, "48 before" in early.text) == (None, True)
    other = monitor_fires(warehouse, book, SCORERS)(replace(item, incident="INC-0404"), found.alarmed_us)
    assert other.met is None


def test_a_proved_item_needs_no_test_twice() -> None:
    """The pure rule: proposals and dropped items are refused, and what is done stays so when it cannot be told."""
    done = action(state="done", proof=Proof(met=True, text="seen", at_us=T0))
    assert prove(done, Proof(met=None, text="?", at_us=T0 + 1)) is done
    for state in ("proposed", "dropped"):
        with pytest.raises(StateError):
            prove(action(state=state), Proof(met=True, text="seen", at_us=T0))
