"""The calls of one trace: each counted once, in one definition of a token, and kept as the steps of a run."""

import pytest
from made_spans import one, span

from andon.traffic.conventions.steps import MOST_STEPS
from andon.traffic.conventions.traces import assemble

COUNTED = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param({"gen_ai.usage.input_tokens": 107, "gen_ai.usage.output_tokens": 21,
                      "gen_ai.usage.cache_read.input_tokens": 2, "gen_ai.usage.cache_write.input_tokens": 5},
                     (107, 21, 2, 5, None), id="the cache is in the input, as OpenTelemetry says"),
        pytest.param({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
                      "gen_ai.usage.cache_read_input_tokens": 2000, "gen_ai.usage.cache_creation_input_tokens": 300},
                     (2310, 5, 2000, 300, None), id="a cache larger than the input was not in it"),
        pytest.param({"gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.total_tokens": 1305,
                      "gen_ai.usage.cache_read_input_tokens": 400},
                     (1300, 5, 400, None, None), id="the sender's total says that the cache is besides"),
        pytest.param({"gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.total_tokens": 905,
                      "gen_ai.usage.cache_read.input_tokens": 400, "gen_ai.usage.reasoning.output_tokens": 2},
                     (900, 5, 400, None, 2), id="the sender's total says that all is in it"),
        pytest.param({"llm.token_count.prompt": 10, "llm.token_count.completion": 5, "llm.token_count.total": 35,
                      "llm.token_count.completion_details.reasoning": 20},
                     (10, 25, None, None, 20), id="reasoning that was not in the output"),
        pytest.param({"llm.token_count.prompt": 100, "llm.token_count.completion": 50, "llm.token_count.total": 230,
                      "llm.token_count.completion_details.reasoning": 20, "llm.token_count.prompt_details.cache_read": 60},
                     (160, 70, 60, None, 20), id="neither cache nor reasoning was in it"),
        pytest.param({"llm.token_count.prompt": 100, "llm.token_count.completion": 50, "llm.token_count.total": 170,
                      "llm.token_count.completion_details.reasoning": 20, "llm.token_count.prompt_details.cache_read": 20},
                     (120, 50, 20, None, 20), id="of two parts of one size only one can be missing"),
        pytest.param({"ai.model.provider": "anthropic.messages", "ai.usage.inputTokens": 900, "ai.usage.outputTokens": 5,
                      "ai.usage.cachedInputTokens": 400, "ai.usage.totalTokens": 905},
                     (1300, 5, 400, None, None), id="Vercel 5 with Anthropic passes the raw count on"),
        pytest.param({"ai.model.provider": "anthropic.messages", "ai.usage.inputTokens": 900, "ai.usage.outputTokens": 5,
                      "ai.usage.inputTokenDetails.cacheReadTokens": 400, "ai.usage.inputTokenDetails.noCacheTokens": 500},
                     (900, 5, 400, None, None), id="Vercel 6 counts all"),
        pytest.param({"ai.model.provider": "openai.responses", "ai.usage.inputTokens": 900, "ai.usage.outputTokens": 5,
                      "ai.usage.cachedInputTokens": 400}, (900, 5, 400, None, None), id="Vercel with OpenAI counts all"),
        pytest.param({"gen_ai.usage.cache_read.input_tokens": 7}, (None, None, 7, None, None), id="no input is no input"),
        pytest.param({"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}, (0, 0, None, None, None),
                     id="zero is a count"),
        pytest.param({"gen_ai.usage.input_tokens": -5, "gen_ai.usage.output_tokens": "NaN"}, (None,) * 5, id="no counts"),
    ],
)  # fmt: skip
def test_tokens_have_one_definition(attributes, expected):
    """Input is all that went in, cache included, and output all that came out, reasoning included, whoever counted."""
    found = one(span(gen_ai__operation__name="chat", **attributes))
    assert tuple(getattr(found, name) for name in COUNTED) == expected


def test_a_part_that_another_instrumentation_counted_completes_the_count():
    """Of a call seen twice, the outer's counts stand, and what only the inner counted is added to them, not summed."""
    outer = span(1, openinference__span__kind="LLM", llm__token_count__prompt=107, llm__token_count__completion=21)
    inner = span(2, 1, 1, 900, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=107,
                 gen_ai__usage__output_tokens=21, gen_ai__usage__reasoning__output_tokens=9)  # fmt: skip
    found = one(outer, inner)
    assert tuple(getattr(found, name) for name in COUNTED) == (107, 21, None, None, 9)
    assert found.steps == ()


def test_the_ids_of_all_responses_are_kept():
    """An interaction can be found by the provider's id of any response in it, each told once."""
    chat = {"gen_ai.operation.name": "chat"}
    first, again = (
        span(1, took=9, **chat, gen_ai__response__id="r-1"),
        span(2, 1, 1, 5, **chat, gen_ai__response__id="r-1"),
    )
    last = span(3, start=20, openinference__span__kind="LLM", ai__response__id="r-2")
    assert one(first, again, last).attributes == {"gen_ai.response.id": "r-1,r-2"}


def test_a_call_within_a_tool_of_a_call_is_a_call_of_its_own():
    """A model call that a tool makes within another model call's span is counted besides it."""
    outer = span(1, took=900, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=10)
    tool = span(2, 1, 1, 800, gen_ai__operation__name="execute_tool", gen_ai__tool__name="ask")
    inner = span(3, 2, 2, 700, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=5)
    through = span(4, 1, 3, 5, name="retry", gen_ai__unknown="x")
    again = span(5, 4, 4, 3, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=10)
    assert one(outer, tool, inner, through, again).input_tokens == 15


def test_tokens_of_embeddings_count_where_there_is_nothing_else():
    """An embedding's tokens are the interaction's only where no model spoke; its model is never the answering model."""
    embedded = span(1, gen_ai__operation__name="embeddings", gen_ai__usage__input_tokens=3, gen_ai__provider__name="openai",
                    gen_ai__request__model="e", gen_ai__response__model="e-1")  # fmt: skip
    alone = one(embedded)
    assert (alone.input_tokens, alone.provider, alone.embedding_model) == (3, "openai", "e-1")
    assert (alone.model, alone.requested_model, alone.answer) == (None, None, None)
    both = one(embedded, span(2, start=5, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=10))
    assert (both.input_tokens, [s.input_tokens for s in both.steps]) == (10, [3, 10])


def test_parts_of_a_cost_are_summed_where_no_total_is():
    """The cost is the sender's total, else the sum of its parts, over all calls."""
    parts = {"openinference.span.kind": "LLM", "llm.cost.prompt": 0.25, "llm.cost.completion": 0.5}
    assert one(span(1, **parts)).cost_usd == 0.75
    assert one(span(1, **parts), span(2, start=5, **parts, llm__cost__total=1.0)).cost_usd == 1.75


def run():
    """An agent's run: a model call seen twice, a tool seen twice, a guardrail with a model, and the answering call."""
    return [
        span(1, took=10_000, name="run", gen_ai__operation__name="invoke_agent", gen_ai__agent__name="helper"),
        span(2, 1, 1000, 1000, name="outer", openinference__span__kind="LLM", llm__model_name="m-1",
             llm__token_count__prompt=10, llm__token_count__completion=2),
        span(3, 2, 1100, 800, name="inner", gen_ai__operation__name="chat", gen_ai__response__model="m-1"),
        span(4, 1, 2000, 500, name="http", http__route="/x"),
        span(5, 4, 2100, 300, name="execute_tool", gen_ai__operation__name="execute_tool", gen_ai__tool__name="hours",
             status="error", error__type="Timeout"),
        span(6, 5, 2150, 200, name="tool again", openinference__span__kind="TOOL", tool__name="hours"),
        span(7, 1, 3000, 500, name="guard", openinference__span__kind="GUARDRAIL"),
        span(8, 7, 3100, 300, name="judge", gen_ai__operation__name="chat", gen_ai__response__model="guard-model",
             gen_ai__output__messages='[{"role": "assistant", "parts": [{"type": "text", "content": "safe"}]}]',
             gen_ai__usage__input_tokens=5),
    ]  # fmt: skip


def test_a_run_keeps_its_steps():
    """Steps have kind, name, the step that held them, start, length, model, tokens and error; what was seen twice is one."""
    found = one(*run())
    assert [(s.kind, s.name, s.parent, s.start_s, s.latency_s) for s in found.steps] == [
        ("agent", "helper", None, 0.0, 0.01), ("llm", "outer", 0, 0.001, 0.001), ("tool", "hours", 0, 0.0021, 0.0003),
        ("guardrail", "guard", 0, 0.003, 0.0005), ("llm", "judge", 3, 0.0031, 0.0003),
    ]  # fmt: skip
    assert [s.model for s in found.steps] == [None, "m-1", None, None, "guard-model"]
    assert [s.error for s in found.steps] == [None, None, "Timeout", None, None]
    assert sum(s.input_tokens or 0 for s in found.steps) == found.input_tokens == 15
    assert len(found.tool_calls) == 1


def test_a_guardrails_model_is_not_the_answering_one():
    """A guardrail's model neither answers nor asks for the user, though its tokens were spent on the way."""
    found = one(*run())
    assert (found.model, found.answer) == ("m-1", None)
    alone = one(*[s for s in run() if s.name in ("guard", "judge")])
    assert (alone.model, alone.answer) == ("guard-model", "safe")


def test_a_judge_within_the_trace_is_no_part_of_the_run():
    """What an evaluator's span holds, a judge's call among it, changes nothing in the interaction that it judges."""
    app = [span(1, took=900, openinference__span__kind="CHAIN", output__value="A."),
           span(2, 1, 5, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=10, gen_ai__response__model="m")]  # fmt: skip
    judge = [span(3, 1, 100, openinference__span__kind="EVALUATOR", output__value="0.9"),
             span(4, 3, 101, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=500,
                  gen_ai__response__model="judge")]  # fmt: skip
    assert one(*app, *judge) == one(*app)
    assert assemble(judge) == []


def test_steps_are_bounded_and_say_what_was_left_out():
    """A run of more steps keeps the first ones, with parents among them, and says how many were left out."""
    spans = [span(n + 1, 1 if n else None, n, 5000 - n, gen_ai__operation__name="chain") for n in range(MOST_STEPS + 7)]
    found = one(*[*spans[:1], *(s for s in reversed(spans[1:]))])
    assert len(found.steps) == MOST_STEPS
    assert {s.parent for s in found.steps[1:]} == {0}
    assert found.attributes["steps_left_out"] == "7"
