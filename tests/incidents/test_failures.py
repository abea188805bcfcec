"""Laws of the failure type that is suggested: from the signals of published incidents, with the reason."""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_triage import HOUR, T0, signal

from andon.changes import KINDS, Change
from andon.demo import tell
from andon.incidents import Incident
from andon.incidents.failures import FAILURE_RULES, FAMILIES, MOVES, NEAR_US, suggest_failure
from andon.monitors import Signal
from andon.monitors.records import TOPIC_SHARE, TRAFFIC
from andon.monitors.series import all_metrics
from andon.scores import SCORERS
from andon.store import Ledger

ONSET = T0 - HOUR
Move = tuple[str, float] | tuple[str, float, str]


def moved(*moves: Move) -> list[Signal]:
    """Signals of these metrics (``refusal down``), so many hours after the first alarm; a third word makes it a warning."""
    found = []
    for k, (what, hours, *level) in enumerate(moves):
        metric, direction = what.split()
        at_us = T0 + int(hours * HOUR)
        found.append(
            signal(f"s{k}", metric=metric, direction=direction, at_us=at_us, level=level[0] if level else "page")
        )
    return found


def changed(*kinds: tuple[str, float]) -> list[Change]:
    """Changes of these kinds, so many hours from the onset."""
    return [
        Change(id=f"c{k}", at_us=ONSET + int(h * HOUR), kind=kind, title=f"a {kind}")
        for k, (kind, h) in enumerate(kinds)
    ]


def suggested(signals: Sequence[Signal], changes: Sequence[Change] = ()) -> tuple[str | None, str]:
    """The suggestion for an onset that is known to two hours."""
    return suggest_failure(signals, changes, ONSET - HOUR, ONSET, ONSET + HOUR)


SCENARIOS = {
    "R1 medical refusal": ([("refusal down", 0), ("policy_refusal down", 0)], [("model", -96)], "model drift"),
    "R2 legal RAG": (
        [("retrieval_score down", 0), ("groundedness down", 8), ("citation_valid down", 20)],
        [("corpus", -42 * 24)],
        "retrieval regression",
    ),
    "R3 escalation storm": (
        [("escalation up", 0), ("confidence down", 0), ("topic_share up", 1.5, "warning")],
        [("traffic source", -48), ("code", -3)],
        "data quality regression",
    ),
    "R4 context routing": ([("thumbs down", 0), ("normalised_match down", 3)], [("routing", -1)], "config error"),
    "R5 corrupted tokens": ([("language_match down", 0)], [("config", -0.5)], "config error"),
    "R6 less effort by default": (
        [("reasoning_tokens down", 0), ("normalised_match down", 9)],
        [("sampling parameter", -0.5)],
        "config error",
    ),
    "R6 cache bug in the code": ([("follow_up up", 0)], [("code", -10)], None),
    "R6 twenty-five words": (
        [("output_tokens down", 0), ("normalised_match down", 9)],
        [("prompt", -0.5)],
        "prompt regression",
    ),
    "R7 sycophancy": ([("normalised_match down", 0)], [("model", -12)], "model drift"),
    "R8 silent version of the provider": (
        [("output_tokens down", 0), ("refusal up", 0), ("normalised_match down", 1)],
        [],
        "model drift",
    ),
    "R9 malformed requests, routed wrongly": ([("error up", 0)], [("routing", -0.2)], "config error"),
    "R10 clean-up by a third party": ([("error up", 0), ("latency_s up", 0)], [], "infrastructure failure"),
    "R11 feature file doubled": ([("error up", 0)], [("permission", -0.25)], "config error"),
    "R12 latent ranking fault": ([("evaluation down", 0)], [("code", -71)], None),
    "R13 case mix": ([("escalation up", 0), ("input_tokens up", 2, "warning")], [], "data quality regression"),
    "R14 empty answers after a roll-forward": ([("error up", 0)], [("code", -0.1)], "infrastructure failure"),
    "R15 writes in a freeze": ([("tool_error up", 0)], [("permission", -20)], "config error"),
    "R16 upgrade by a vendor": ([("policy_refusal down", 0), ("thumbs down", 5)], [("provider", -30)], "model drift"),
    "R17 small steady shift": ([("normalised_match down", 0)], [], None),
    "silence": ([(f"{TRAFFIC} down", 0)], [], "infrastructure failure"),
    "tools without a change": ([("tool_error up", 0), ("refusal up", 1)], [], "infrastructure failure"),
    "refusals since the index moved": ([("capability_refusal up", 0)], [("index", -1)], "retrieval regression"),
    "longer answers are slower": ([("latency_s up", 0), ("output_tokens up", 0)], [("model", -1)], "model drift"),
    "refusals of new questions": (
        [("refusal up", 0), ("query_novelty up", -2, "warning")],
        [],
        "data quality regression",
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_published_incidents(name: str) -> None:
    """The signals that each published incident would have raised point to its kind, and to none where only outcomes moved."""
    moves, changes, expected = SCENARIOS[name]
    failure, reason = suggested(moved(*moves), changed(*changes))
    assert failure == expected
    assert reason.startswith(f"{expected or 'cannot tell'}: ")


def test_retrieval_that_follows_is_a_consequence() -> None:
    """Retrieval counts where it moves first; what moved before it is nearer to the cause."""
    first = moved(("retrieval_score down", 0), ("refusal up", 2))
    later = moved(("retrieval_score down", 2), ("refusal up", 0))
    assert suggested(first)[0] == "retrieval regression"
    assert suggested(later, changed(("prompt", -1)))[0] == "prompt regression"


def test_the_nearest_change_decides() -> None:
    """Of changes whose kind tells something of what moved the nearest counts, and the reason names it; a far one does not."""
    both = changed(("prompt", -20), ("model", -2))
    failure, reason = suggested(moved(("refusal up", 0)), both)
    assert failure == "model drift"
    assert "a model" in reason
    assert suggested(moved(("refusal up", 0)), changed(("prompt", -1), ("model", -20)))[0] == "prompt regression"
    assert suggested(moved(("error up", 0)), changed(("prompt", -1), ("routing", -5)))[0] == "config error"
    assert suggested(moved(("refusal up", 0)), changed(("code", -1)))[0] is None
    far = [Change(id="far", at_us=ONSET - HOUR - NEAR_US - 1, kind="prompt", title="long ago")]
    assert suggested(moved(("thumbs down", 0)), far)[0] is None
    after = changed(("prompt", 1.5))
    assert suggested(moved(("thumbs down", 0)), after)[0] is None


def test_what_moves_after_a_day_does_not_count() -> None:
    """Signals of later days are as likely consequences."""
    assert suggested(moved(("thumbs down", 0), ("error up", 25)))[0] is None
    assert suggested(moved(("thumbs down", 0), ("error up", 23)))[0] == "infrastructure failure"


def test_warnings_count_only_where_they_say_what_is_asked() -> None:
    """A warning of another metric has no say; without a page nothing can be told."""
    assert suggested(moved(("thumbs down", 0), ("error up", 0, "warning")))[0] is None
    assert suggested(moved(("error up", 0, "warning"))) == (None, "cannot tell: no chart has signalled")
    mixed = [signal("a", metric="thumbs", direction="down", mix="other questions explain half of it")]
    assert suggested(mixed)[0] == "data quality regression"


@given(st.permutations(range(5)))
def test_order_is_no_matter(order: list[int]) -> None:
    """Signals and changes in any order give the same suggestion and reason."""
    signals = moved(
        ("refusal up", 0), ("error up", 0), ("thumbs down", 0), ("output_tokens up", 0), ("refusal down", 0)
    )
    changes = changed(("prompt", -1), ("model", -1), ("code", 0), ("routing", -1), ("index", -1))
    assert suggested([signals[k] for k in order], [changes[k] for k in order]) == suggested(signals, changes)


def test_the_table_is_whole() -> None:
    """Every kind of change has a family, every group a last row, every pair of group and family one row, every metric a group."""
    assert set(FAMILIES) == set(KINDS)
    for group in (*MOVES, "outcome"):
        rows = [r.change for r in FAILURE_RULES if r.moved == group]
        assert None in rows
        assert len(set(rows)) == len(rows)
    known = {m.name for m in all_metrics(SCORERS)} | {TRAFFIC, TOPIC_SHARE}
    assert {m for metrics in MOVES.values() for m in metrics} <= known
    assert not any(set(a) & set(b) for a, b in permutations(MOVES.values(), 2))


def test_hostile_titles_stay_on_one_line() -> None:
    """The reason names a change on one short line that no terminal obeys."""
    change = Change(id="x", at_us=ONSET, kind="prompt", title="\x1b[2J\n# hi" + "A" * 5000)
    reason = suggested(moved(("refusal up", 0)), [change])[1]
    assert reason.isprintable()
    assert len(reason) < 400


@pytest.mark.slow(80)
def test_the_three_stories(tmp_path: Path) -> None:
    """The stories of the demo, run through the whole loop, are called what guides to AI incidents call them."""
    tell(tmp_path / "demo")
    found = {}
    for name in ("legal", "triage", "support"):
        ledger = Ledger.open(tmp_path / "demo" / name / "store" / "ledger.db")
        found[name] = [i.failure for i in ledger.all(Incident)]
        ledger.close()
    assert found == {
        "legal": ["retrieval regression"],
        "triage": ["model drift"],
        "support": ["data quality regression"],
    }
