"""Laws of evidence: frozen with its rows, and given again to the same number, or said why not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted import EMBEDDER, HOUR, MINUTE, T0, Planted, asked, prompt_failure

from andon.errors import InputError, SeamError
from andon.incidents import Incident
from andon.investigations import Evidence, Investigation
from andon.investigations.evidence import MOST_ROWS, checked, figures_from, intact, plain_rows, sealed
from andon.investigations.run import investigate
from andon.investigations.run.evidence import Frozen, freeze_open, investigation_of, verify
from andon.investigations.usual import COST, USUAL_BEFORE, USUAL_SINCE
from andon.scores import SCORERS
from andon.scores.run import score_new
from andon.store import Rollup, Span
from andon.traffic.records import Erasure
from andon.traffic.run import record

ROLLUP = {"plan": "Rollup", "table": "scores", "metrics": ["m"], "keys": [], "window_us": None}
KEYED = {**ROLLUP, "keys": ["task"]}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Planted]:
    """A prompt that refuses half of the traffic."""
    made = Planted(tmp_path, prompt_failure())
    yield made
    made.close()


def outcomes(store: Planted, found: Investigation) -> dict[str, str]:
    """Outcome by id."""
    return {c.id: c.outcome for c in verify(store.warehouse, store.ledger, found)}


def late_rows(store: Planted, n: int) -> None:
    """More refused interactions of the time since the onset, that come after the investigation."""
    record(store.warehouse, [asked(k, T0 + k * MINUTE + 7, refused=True, user_id="late") for k in range(n)])
    store.warehouse.commit()
    score_new(store.warehouse, store.ledger, SCORERS, EMBEDDER, now_us=T0)
    store.warehouse.commit()


def test_figures_are_a_function_of_the_rows() -> None:
    """A roll-up's one row is its figures; of keyed ones counts and sums are added; rows are counted and summed by column."""
    assert figures_from(ROLLUP, [{"rows": 3, "m.n": 3, "m.w": 1.5, "m.min": None}]) == {"rows": 3, "m.n": 3, "m.w": 1.5}
    rows = [{"task": "a", "rows": 3, "m.w": 1.5, "m.max": 9.0}, {"task": "b", "rows": 4, "m.w": 2.5, "m.max": 1.0}]
    assert figures_from(KEYED, rows) == {"rows": 7, "m.w": 4.0, "groups": 2}
    sample = {"plan": "Sample", "columns": ["id", "time_us", "m"]}
    assert figures_from(sample, [{"id": "x", "time_us": 5, "m": 0.25}, {"id": "y", "time_us": 6, "m": None}]) == {
        "rows": 2,
        "m.n": 1,
        "m.sum": 0.25,
    }
    assert figures_from(sample, []) == {"rows": 0}


def test_frozen_rows_are_json_and_bounded() -> None:
    """What is frozen holds no number that JSON has not, at most 2,000 rows, and figures of all rows."""
    assert plain_rows([{"a": float("nan"), "b": 0.1 + 0.2, "c": (1, "x")}]) == ({"a": None, "b": 0.3, "c": [1, "x"]},)
    rows = [{"task": str(k), "rows": 1, "m.w": 1.0} for k in range(MOST_ROWS + 5)]
    e = sealed(Evidence(id="E1", claim="c", plan=KEYED, figures={}), rows, 3)
    assert len(e.rows) == MOST_ROWS
    assert e.figures["rows"] == MOST_ROWS + 5
    assert intact(e)


@pytest.mark.parametrize("field", ["plan", "figures", "rows", "upto"])
def test_an_edited_record_differs(field: str) -> None:
    """Whatever of a piece of evidence is edited, its digest says so, before the tables are asked."""
    e = sealed(Evidence(id="E1", claim="c", plan=ROLLUP, figures={}), [{"rows": 3, "m.n": 3}], 1)
    other = {"plan": {**ROLLUP, "table": "spans"}, "figures": {"rows": 4.0}, "rows": ({"rows": 4},), "upto": 2}
    edited = replace(e, **{field: other[field]})
    assert not intact(edited)
    assert checked(edited, edited.figures, late=0, gone=0).outcome == "DIFFERS"
    assert checked(e, e.figures, late=0, gone=0).outcome == "same"


def test_a_text_that_says_erased_excuses_nothing() -> None:
    """That texts were blanked is known from an erasure, not from the rows; numbers are never blanked, so they must agree."""
    rows = [{"task": "[erased]", "rows": 3, "m.n": 3}, {"task": "b", "rows": 4, "m.n": 4}]
    e = sealed(Evidence(id="E1", claim="c", plan=KEYED, figures={}), rows, 1)
    edited = replace(e, figures={**e.figures, "m.n": 9.0, "rows": 9.0})
    assert checked(edited, edited.figures, late=0, gone=2).outcome == "DIFFERS"
    assert checked(edited, edited.figures, late=0, gone=2, erased=True).outcome == "DIFFERS"
    blanked = replace(e, rows=({**e.rows[0], "task": "[erased]"}, {**e.rows[1], "task": "[erased]"}))
    assert checked(blanked, e.figures, late=0, gone=0).outcome == "DIFFERS"
    assert checked(blanked, e.figures, late=0, gone=0, erased=True).outcome == "same"


def test_rows_of_then_are_the_frozen_ones(store: Planted) -> None:
    """A blanked record with an edited count of rows is no record of rows that are gone: the frozen rows say how many there were."""
    found = store.look()
    e = next(e for e in found.evidence if "task" in e.claim or "risk" in e.claim)
    blanked = [{k: "[erased]" if isinstance(v, str) else v for k, v in r.items()} for r in e.rows]
    more = replace(e, rows=tuple(blanked), figures={**e.figures, "rows": e.figures["rows"] + 50})
    done = Erasure(id="ERASE-1", at_us=found.at_us + 1, rows={}, records=0)
    assert outcomes(store, replace(found, evidence=(more,))) == {e.id: "DIFFERS"}
    store.ledger.put(done, now_us=done.at_us, by="ann")
    assert outcomes(store, replace(found, evidence=(more,))) == {e.id: "DIFFERS"}
    assert outcomes(store, replace(found, evidence=(replace(more, figures=e.figures),))) == {e.id: "same"}


def test_what_documents_show_beside_the_answers_is_frozen(store: Planted) -> None:
    """Usual metrics before and since the onset and the cost are figures of the investigation: numbered, frozen, verified."""
    found = store.look()
    mine = {e.claim: e for e in found.evidence if e.claim in (USUAL_BEFORE, USUAL_SINCE, COST)}
    assert set(mine) == {USUAL_BEFORE, USUAL_SINCE, COST}
    assert mine[USUAL_BEFORE].figures["error.n"] == 590
    assert mine[USUAL_SINCE].figures["error.n"] == 240
    assert "thumbs.n" not in mine[USUAL_SINCE].figures
    assert all(e.digest and e.rows for e in mine.values())
    checks = outcomes(store, found)
    assert {checks[e.id] for e in mine.values()} == {"same"}
    assert len({e.id for e in found.evidence}) == len(found.evidence)


def test_figures_that_no_plan_gives_are_not_called_the_same() -> None:
    """A figure that is not a function of the plan's rows cannot be told, and says which."""
    e = sealed(Evidence(id="E1", claim="c", plan=ROLLUP, figures={"p": 0.5}), [{"rows": 3}], 1)
    check = checked(e, {"rows": 3.0}, late=0, gone=0)
    assert (check.outcome, check.text) == ("cannot tell", "the plan alone does not give p")
    old = Evidence(id="E1", claim="c", plan=ROLLUP, figures={"rows": 3.0})
    assert checked(old, {"rows": 3.0}, late=0, gone=0).outcome == "cannot tell"


def test_every_figure_is_frozen_with_its_rows(store: Planted) -> None:
    """Each figure carries rows, commit and digest; totals, exposures, parts, compared questions and gap are among them."""
    found = store.look()
    assert all(e.digest and e.upto is not None and e.figures for e in found.evidence)
    claims = " | ".join(e.claim for e in found.evidence)
    for word in (
        "since the onset",
        "by prompt version",
        "by risk category",
        "seeded sample",
        "limit would have spoken",
    ):
        assert word in claims
    assert set(outcomes(store, found).values()) == {"same"}


def test_the_ledger_gives_back_what_was_frozen(store: Planted) -> None:
    """Read back from the ledger, evidence is intact."""
    found = store.look()
    again, number = investigation_of(store.ledger, store.incident)
    assert (again, number) == (found, 1)
    assert all(intact(e) for e in again.evidence)


def test_rows_that_come_late_change_no_frozen_figure(store: Planted) -> None:
    """Rows of later commits are left out and counted; the first version stays, a new look states the new figures."""
    found = store.look()
    late_rows(store, 25)
    checks = verify(store.warehouse, store.ledger, found)
    assert {c.outcome for c in checks} == {"same"}
    assert next(c for c in checks if c.id == "E4").text == "same; 25 rows came late and are left out"
    newer = store.look()
    assert newer.impact.harmed == found.impact.harmed + 25
    assert investigation_of(store.ledger, store.incident, 1)[0] == found
    assert investigation_of(store.ledger, store.incident) == (newer, 2)
    with pytest.raises(InputError, match="no version 9"):
        investigation_of(store.ledger, store.incident, 9)


@pytest.mark.parametrize("how", ["expired", "erased"])
def test_rows_that_are_gone_are_told_from_a_difference(store: Planted, how: str) -> None:
    """Where rows were expired or erased, the frozen rows still give the figure, and how many are gone is said."""
    found = store.look()
    if how == "expired":
        store.warehouse.expire("scores", before_us=T0 - 2 * HOUR)
    else:
        store.warehouse.erase("scores", "user_id", "u3")
        done = Erasure(id="ERASE-1", at_us=found.at_us + 1, rows={}, records=0)
        store.ledger.put(done, now_us=done.at_us, by="ann")
    before = next(c for c in verify(store.warehouse, store.ledger, found) if c.id == "E2")
    assert before.outcome == "changed"
    gone = (
        590
        - store.warehouse.run(Rollup(table="scores", span=Span(start_us=T0 - 10 * HOUR, end_us=T0 - 5 * MINUTE)))[
            "rows"
        ][0].as_py()
        if how == "expired"
        else sum(i.user_id == "u3" for i in prompt_failure() if i.time_us < T0 - 5 * MINUTE)
    )
    assert before.text.startswith(
        f"same from the frozen rows; the tables have changed since: {gone} rows are gone ({how})"
    )
    assert "DIFFERS" not in outcomes(store, found).values()


def test_tables_that_were_altered_differ(store: Planted) -> None:
    """Where no row is gone and the tables give another figure, it is said aloud."""
    found = store.look()
    e = next(e for e in found.evidence if e.id == "E3")
    moved = replace(e, plan={**e.plan, "span": {"start_us": T0, "end_us": T0 + HOUR}})
    altered = sealed(replace(moved, figures={**e.figures, "rows": 1.0}), [{**e.rows[0], "rows": 1}], e.upto)
    broken = replace(found, evidence=(altered,))
    assert outcomes(store, broken) == {"E3": "DIFFERS"}


def test_a_table_that_is_not_there_cannot_be_asked(store: Planted) -> None:
    """A plan of a column that is gone is no crash: the frozen rows are what is left."""
    found = store.look()
    e = found.evidence[0]
    lost = sealed(replace(e, plan={**e.plan, "table": "gone"}), e.rows, e.upto)
    check = verify(store.warehouse, store.ledger, replace(found, evidence=(lost,)))[0]
    assert check.outcome == "cannot tell"
    assert "gone" in check.text


def test_an_investigation_sees_one_moment(store: Planted) -> None:
    """Rows that are committed while an investigation runs are in none of its figures."""
    frozen = Frozen(store.warehouse)
    late_rows(store, 25)
    rng = np.random.default_rng(1)
    found = investigate(frozen, store.ledger, store.incident, EMBEDDER, now_us=T0 + 2 * HOUR, rng=rng)
    assert found.impact.n == 240
    assert store.look().impact.n == 265


def test_the_same_store_gives_the_same_bytes(tmp_path: Path, store: Planted) -> None:
    """Two stores of the same traffic, clock and seed freeze the same evidence, digests included."""
    other = Planted(tmp_path / "other", prompt_failure())
    assert other.look() == store.look()
    other.close()


def test_evidence_is_frozen_before_a_lever_moves(store: Planted) -> None:
    """Open incidents of the application without an investigation are looked into; others are left alone."""
    seen: list[str] = []
    store.ledger.put(replace(store.incident, id="INC-0002", state="closed"), now_us=T0, by="ann")
    store.ledger.put(replace(store.incident, id="INC-0003", app="shop"), now_us=T0, by="ann")

    def look(incident: Incident) -> None:
        seen.append(incident.id)
        store.look()

    assert freeze_open(store.ledger, "triage", look, lambda _: 0) == ["INC-0001"] == seen
    assert freeze_open(store.ledger, "triage", look, lambda _: 0) == []


def test_what_cannot_be_frozen_costs_no_other_its_evidence(store: Planted) -> None:
    """All open incidents are looked into, though the newest fails; the error names it, and those that are frozen."""
    newer = replace(store.incident, id="INC-0002", alarmed_us=store.incident.alarmed_us + 1)
    store.ledger.put(newer, now_us=T0, by="ann")

    def look(incident: Incident) -> None:
        if incident.id == newer.id:
            raise RuntimeError("a fault")
        store.look()

    with pytest.raises(SeamError, match=r"INC-0002: RuntimeError: a fault \(frozen: INC-0001\)"):
        freeze_open(store.ledger, "triage", look, lambda _: 0)
    assert store.ledger.get(Investigation, "INC-0001") is not None
