"""Laws of what incidents are told of their golden cases."""

import pytest

from andon.evals import CaseResult, EvalRun
from andon.evals.run import keep_run
from andon.golden import Case
from andon.incidents import Incident, TimelineEvent
from andon.store import Ledger

INCIDENT = Incident(
    id="INC-0001", title="t", app="shop", environment="production", metric="error", lead="s", onset_us=1, onset_low_us=1,
    onset_high_us=1, alarmed_us=1, last_signal_us=1,
)  # fmt: skip


def case(name: str, incident: str | None = INCIDENT.id) -> Case:
    """A case that came of the incident."""
    return Case(
        id=name, question=name, answer=None, contexts=(), ground_truth="x", source="", failure_reason="", added_date="",
        incident=incident,
    )  # fmt: skip


def run(at_us: int, *outcomes: tuple[str, str], target: str = "shop v2") -> EvalRun:
    """A run with these (case, outcome) attempts."""
    results = tuple(CaseResult(case_id=c, outcome=o) for c, o in outcomes)  # type: ignore[arg-type]
    return EvalRun(id=f"E-{at_us}", at_us=at_us, target=target, golden="g", scorers="", results=results)


def test_telling_reads_what_the_run_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of a few cases reads neither the whole golden set nor the timelines of other incidents."""
    ledger = Ledger("sqlite://")
    other = TimelineEvent(
        id="INC-0002-x", incident="INC-0002", happened_us=1, learned_us=1, kind="note", text="t", by="ann"
    )
    for record in (INCIDENT, case("a"), case("b", "INC-0002"), other):
        ledger.put(record, now_us=1, by="ann")
    read: list[str] = []
    get = ledger.get
    monkeypatch.setattr(ledger, "all", lambda kind: pytest.fail(f"all of {kind.__name__} was read"))
    monkeypatch.setattr(ledger, "get", lambda kind, name: (read.append(name), get(kind, name))[1])
    keep_run(ledger, run(2, ("a", "pass")), now_us=2, by="ann")
    assert "b" not in read
    assert other.id not in read


def test_a_run_stands_in_the_timeline_of_each_incident_whose_cases_it_held() -> None:
    """The timeline tells how many of the incident's cases pass on what, and tells it again only when that changed."""
    ledger = Ledger("sqlite://")
    for record in (INCIDENT, case("a"), case("b"), case("c", None)):
        ledger.put(record, now_us=1, by="ann")
    keep_run(ledger, run(2, ("c", "pass")), now_us=2, by="ann")
    keep_run(ledger, run(3, ("a", "pass"), ("a", "fail"), ("b", "pass"), ("c", "pass")), now_us=3, by="ann")
    keep_run(ledger, run(4, ("a", "fail"), ("b", "pass")), now_us=4, by="ann")
    keep_run(ledger, run(5, ("a", "pass"), ("b", "error")), now_us=5, by="ann")
    keep_run(ledger, run(6, ("a", "pass"), ("b", "pass")), now_us=6, by="ann")
    told = sorted(ledger.all(TimelineEvent), key=lambda e: e.happened_us)
    assert [(e.kind, e.happened_us, e.text) for e in told] == [
        ("evaluation", 3, '1 of 2 golden cases of this incident pass on "shop v2"'),
        ("evaluation", 5, '1 of 2 golden cases of this incident pass, 1 could not be run on "shop v2"'),
        ("evaluation", 6, '2 of 2 golden cases of this incident pass on "shop v2"'),
    ]
