"""The scorers on traces that real instrumentation libraries made of recorded calls."""

import json

import pytest
import scores_measured as measured

from andon.scores import SCORERS, Scorer
from andon.scores.run import ScorerFailure, values_of
from andon.traffic import Interaction, assemble, spans_from_rows
from andon.traffic.conventions.messages import join_logs
from andon.traffic.otlp import logs_of, traces_of

PACK = "otlp-samples"
FLAVOURS = ("openinference", "otel-genai", "openllmetry", "pydantic-ai", "rag-llamaindex")


@pytest.fixture(scope="module")
def seen() -> list[tuple[str, Interaction, dict[str, float]]]:
    """Every interaction of the pack with its flavour and its scores."""
    if not (measured.DATA / PACK).is_dir():
        pytest.skip(f"real data absent: {PACK} under {measured.DATA}; set SHARED_DATA")
    found: list[tuple[str, Interaction, dict[str, float]]] = []
    failures: dict[str, ScorerFailure] = {}
    for flavour in FLAVOURS:
        interactions = [i for r in measured.rows(f"{PACK}/{flavour}.jsonl.gz") for i in _assembled(r)]
        scores = values_of(interactions, SCORERS, measured.EMBEDDER, failures)
        found += [(flavour, i, v) for i, v in zip(interactions, scores, strict=True)]
    assert not failures
    return found


def test_what_was_sent_is_measured(seen) -> None:
    """Each metric of a field has the field's value, and none where nothing was sent."""
    fields = ("first_token_s", "input_tokens", "reasoning_tokens", "output_tokens", "latency_s", "cost_usd")
    for _, i, values in seen:
        assert all(values.get(f) == getattr(i, f) for f in fields)
        assert values.get("tool_calls", 0) == len(i.tool_calls)
        assert ("truncated" in values) == (i.finish_reason is not None)
        assert ("answer_chars" in values) == (i.output_tokens is None and bool((i.answer or "").strip()))


def test_shares_are_shares_and_rates_are_rates(seen) -> None:
    """On real traffic every binary score is 0 or 1, and every share is within 0 and 1."""
    by_name: dict[str, Scorer] = {s.name: s for s in SCORERS}
    for _, _, values in seen:
        for name, value in values.items():
            if name in by_name and by_name[name].kind == "binary":
                assert value in (0.0, 1.0)
            if name in by_name and by_name[name].unit == "share":
                assert 0.0 <= value <= 1.0


def test_real_traffic_has_what_the_metrics_need(seen) -> None:
    """Time to first token, cached and reasoning tokens, finish reasons and tool calls come in from real libraries."""
    for name in ("first_token_s", "cache_hit", "reasoning_tokens", "truncated", "tool_calls", "tool_retries"):
        assert sum(name in values for _, _, values in seen) >= 20, name
    assert any(values.get("cache_hit", 0) > 0 for _, _, values in seen)


def test_two_libraries_that_saw_the_same_call_agree(seen) -> None:
    """What OpenInference and OpenLLMetry say of the same recorded calls gives the same mean of each new rate, within 5 points."""
    rates = {}
    for flavour in ("openinference", "openllmetry"):
        of = [v for f, _, v in seen if f == flavour]
        names = ("policy_refusal", "capability_refusal", "truncated", "markdown", "language_match", "cache_hit")
        told = {n: [v[n] for v in of if n in v] for n in names}
        rates[flavour] = {n: sum(x) / len(x) for n, x in told.items()}
    one, other = rates.values()
    assert all(abs(one[n] - other[n]) <= 0.05 for n in one)


def _assembled(row: dict) -> list[Interaction]:
    rows, _ = traces_of(json.dumps(row["traces"]).encode(), "json")
    logs = logs_of(json.dumps(row["logs"]).encode(), "json", now_us=0).rows if row.get("logs") else []
    return assemble(join_logs(spans_from_rows(rows), list(logs)))
