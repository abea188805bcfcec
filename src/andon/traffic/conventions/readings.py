"""Which attribute of a span becomes which field of an interaction: one table for all conventions.

A new convention is a new name in a row. Names stand in reading order: our own word first, then OpenTelemetry GenAI from
the newest generation to the oldest (1.42, 1.37, 1.28, OpenLLMetry), then OpenInference, then the Vercel AI SDK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from andon.traffic.conventions.values import listed, text

__all__ = [
    "FINISH_REASONS",
    "KEPT",
    "PARAMETERS",
    "PROVIDERS",
    "READINGS",
    "TOTALS",
    "Reading",
    "finish_reason",
    "names_of",
]

Of = Literal["trace", "top", "call", "calls", "embedding", "retrieval", "tool", "any"]
Kind = Literal["text", "number", "count", "flag", "milliseconds", "messages", "documents", "definitions", "json"]


@dataclass(frozen=True, slots=True)
class Reading:
    """Where one field is read."""

    field: str
    """A field of `Interaction`; ``tool_calls.name`` is a field of its entries."""
    names: tuple[str, ...]
    """Attribute names; the first that is present is taken. One of kind ``messages``, ``documents`` or ``definitions`` is
    also read flattened (``llm.input_messages.0.message.role``)."""
    of: Of = "trace"
    """``trace``: the root, then the other spans in time order; ``top``: the outermost spans of the application; ``call``:
    the model call that answered; ``calls``: the sum over model calls; ``embedding``, ``retrieval`` and ``tool``: spans of
    that kind; ``any``: every span."""
    kind: Kind = "text"
    parts: tuple[str, ...] = ()
    """Names whose sum is taken where none of `names` is present."""


def _own(name: str) -> tuple[str, ...]:
    """The names under which an application says a thing that no convention has."""
    return (f"andon.{name}", *_own_besides(name))


def _own_besides(name: str) -> tuple[str, ...]:
    return (f"metadata.{name}", f"traceloop.association.properties.{name}", f"ai.telemetry.metadata.{name}")


_WHO = (
    Reading("app", ("andon.app", "service.name", "openinference.project.name")),
    Reading("environment", ("andon.environment", "deployment.environment.name", "deployment.environment")),
    Reading("session_id", ("andon.session_id", "gen_ai.conversation.id", "session.id", *_own_besides("session_id"))),
    Reading("user_id", ("andon.user_id", "user.id", "enduser.id", "llm.user", *_own_besides("user_id"))),
    Reading("risk_category", _own("risk_category")),
    Reading("task", _own("task")),
    Reading("segment", _own("segment")),
    Reading("source", _own("source")),
)

_SAID = (
    Reading("query", ("andon.query",), "top"),
    Reading(
        "query",
        (
            "gen_ai.input.messages",
            "pydantic_ai.all_messages",
            "gen_ai.prompt",
            "llm.input_messages",
            "llm.prompts",
            "ai.prompt.messages",
        ),
        "call",
        "messages",
    ),
    Reading("query", ("traceloop.entity.input", "input.value", "ai.prompt"), "top"),
    Reading("query", ("gen_ai.retrieval.query.text", "reranker.query", "input.value"), "retrieval"),
    Reading("query", ("embedding.embeddings", "input.value", "ai.value", "ai.values"), "embedding"),
    Reading("answer", ("andon.answer",), "top"),
    Reading(
        "answer",
        ("gen_ai.output.messages", "gen_ai.completion", "llm.output_messages", "llm.choices", "ai.response.text"),
        "call",
        "messages",
    ),
    Reading(
        "answer",
        ("traceloop.entity.output", "output.value", "final_result", "ai.response.object"),
        "top",
    ),
    Reading("contexts", ("reranker.output_documents",), "retrieval", "documents"),
    Reading("contexts", ("gen_ai.retrieval.documents", "retrieval.documents"), "retrieval", "documents"),
    Reading("expected_answer", _own("expected_answer")),
    Reading("features", ("andon.features",), "trace", "json"),
    Reading("prediction", _own("prediction")),
    Reading("prediction_score", _own("prediction_score"), kind="number"),
    Reading("label", _own("label")),
)

_TOOLS = (
    Reading(
        "tool_calls.name",
        ("gen_ai.tool.name", "traceloop.entity.name", "tool.name", "ai.toolCall.name"),
        "tool",
    ),
    Reading(
        "tool_calls.arguments",
        (
            "gen_ai.tool.call.arguments",
            "traceloop.entity.input",
            "input.value",
            "tool.parameters",
            "input",
            "ai.toolCall.args",
        ),
        "tool",
        "json",
    ),
    Reading(
        "tool_calls.result",
        ("gen_ai.tool.call.result", "traceloop.entity.output", "output.value", "output", "ai.toolCall.result"),
        "tool",
    ),
    Reading("tool_calls.id", ("gen_ai.tool.call.id", "tool.id", "tool_call.id", "ai.toolCall.id"), "tool"),
    Reading("tool_calls", ("llm.function_call", "ai.response.toolCalls"), "call", "json"),
    Reading(
        "tools_version",
        ("gen_ai.tool.definitions", "llm.request.functions", "llm.tools", "ai.prompt.tools"),
        "call",
        "definitions",
    ),
)

_VERSIONS = (
    Reading(
        "provider",
        ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"),
        "call",
    ),
    Reading(
        "model",
        (
            "gen_ai.response.model",
            "llm.response.model",
            "llm.response.model_name",
            "llm.model_name",
            "ai.response.model",
        ),
        "call",
    ),
    Reading(
        "requested_model",
        (
            "gen_ai.request.model",
            "llm.request.model",
            "llm.request.model_name",
            "llm.invocation_parameters.model",
            "llm.invocation_parameters.model_name",
            "ai.model.id",
        ),
        "call",
    ),
    Reading(
        "prompt_version",
        (
            "andon.prompt_version",
            "gen_ai.prompt.version",
            "traceloop.prompt.version",
            "traceloop.prompt.version_hash",
            "llm.prompt_template.version",
            *_own_besides("prompt_version"),
            "prompt.id",
        ),
    ),
    Reading("policy_version", _own("policy_version")),
    Reading("index_version", (*_own("index_version"), "gen_ai.data_source.id")),
    Reading("corpus_version", _own("corpus_version")),
    Reading(
        "embedding_model",
        (
            "andon.embedding_model",
            "gen_ai.response.model",
            "gen_ai.request.model",
            "embedding.model_name",
            "embedding.invocation_parameters.model",
            "ai.response.model",
            "ai.model.id",
        ),
        "embedding",
    ),
    Reading("route_version", _own("route_version")),
    Reading("code_version", ("andon.code_version", "service.version", "deployment.id", "vcs.ref.head.revision")),
    Reading("revision", ("andon.revision", "vcs.ref.head.revision")),
    Reading(
        "agent_version",
        ("andon.agent_version", "gen_ai.agent.version", "traceloop.entity.version", *_own_besides("agent_version")),
    ),
    Reading("arm", (*_own("arm"), "feature_flag.result.variant", "feature_flag.variant", "feature_flag.result.value")),
)

_OUTCOME = (
    Reading("error", ("error.type",), "any"),
    Reading(
        "finish_reason",
        (
            "gen_ai.response.finish_reasons",
            "llm.response.finish_reason",
            "llm.response.stop_reason",
            "llm.finish_reason",
            "ai.response.finishReason",
        ),
        "call",
    ),
    Reading("refused", _own("refused"), kind="flag"),
    Reading("escalated", _own("escalated"), kind="flag"),
    Reading("guardrail", _own("guardrail")),
    Reading("confidence", _own("confidence"), kind="number"),
    Reading("first_token_s", ("gen_ai.response.time_to_first_chunk",), "call", "number"),
    Reading("first_token_s", ("ai.response.msToFirstChunk",), "call", "milliseconds"),
    Reading("weight", _own("weight"), kind="number"),
)

_SPENT = (
    Reading(
        "input_tokens",
        (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.usage.prompt_tokens",
            "llm.token_count.prompt",
            "ai.usage.inputTokens",
            "ai.usage.promptTokens",
            "ai.usage.tokens",
        ),
        "calls",
        "count",
    ),
    Reading(
        "output_tokens",
        (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.usage.completion_tokens",
            "llm.token_count.completion",
            "ai.usage.outputTokens",
            "ai.usage.completionTokens",
        ),
        "calls",
        "count",
    ),
    Reading(
        "cache_read_tokens",
        (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.details.cache_read_tokens",
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
        ),
        "calls",
        "count",
    ),
    Reading(
        "cache_write_tokens",
        (
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_write_input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.details.cache_write_tokens",
            "llm.token_count.prompt_details.cache_write",
            "ai.usage.inputTokenDetails.cacheWriteTokens",
        ),
        "calls",
        "count",
    ),
    Reading(
        "reasoning_tokens",
        (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.details.reasoning_tokens",
            "llm.usage.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
        ),
        "calls",
        "count",
    ),
    Reading(
        "cost_usd",
        ("andon.cost_usd", "gen_ai.usage.cost", "operation.cost", "llm.cost.total"),
        "calls",
        "number",
        parts=("llm.cost.prompt", "llm.cost.completion"),
    ),
)

TOTALS = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens")
"""Input and output together as the sender counts them: the witness of what its input includes."""


def _parameter(name: str, *names: str, of: Of = "call") -> Reading:
    return Reading(f"sampling_params.{name}", names, of, "json")


PARAMETERS = (
    _parameter(
        "temperature", "gen_ai.request.temperature", "llm.invocation_parameters.temperature", "ai.settings.temperature"
    ),
    _parameter("top_p", "gen_ai.request.top_p", "llm.invocation_parameters.top_p", "ai.settings.topP"),
    _parameter("top_k", "gen_ai.request.top_k", "llm.top_k", "llm.invocation_parameters.top_k", "ai.settings.topK"),
    _parameter(
        "max_tokens",
        "gen_ai.request.max_tokens",
        "llm.request.max_tokens",
        "llm.invocation_parameters.max_tokens",
        "llm.invocation_parameters.max_completion_tokens",
        "llm.invocation_parameters.max_output_tokens",
        "ai.settings.maxOutputTokens",
        "ai.settings.maxTokens",
    ),
    _parameter("seed", "gen_ai.request.seed", "llm.invocation_parameters.seed", "ai.settings.seed"),
    _parameter(
        "stop_sequences",
        "gen_ai.request.stop_sequences",
        "llm.chat.stop_sequences",
        "llm.invocation_parameters.stop_sequences",
        "llm.invocation_parameters.stop",
        "ai.settings.stopSequences",
    ),
    _parameter(
        "frequency_penalty",
        "gen_ai.request.frequency_penalty",
        "llm.frequency_penalty",
        "llm.invocation_parameters.frequency_penalty",
        "ai.settings.frequencyPenalty",
    ),
    _parameter(
        "presence_penalty",
        "gen_ai.request.presence_penalty",
        "llm.presence_penalty",
        "llm.invocation_parameters.presence_penalty",
        "ai.settings.presencePenalty",
    ),
    _parameter("choice.count", "gen_ai.request.choice.count", "llm.invocation_parameters.n"),
    _parameter(
        "reasoning.level",
        "gen_ai.request.reasoning.level",
        "gen_ai.request.reasoning_effort",
        "llm.invocation_parameters.reasoning_effort",
        "llm.invocation_parameters.reasoning.effort",
        "llm.invocation_parameters.output_config.effort",
    ),
    _parameter(
        "retrieval.top_k", "gen_ai.retrieval.top_k", "gen_ai.request.top_k", "db.vector.query.top_k", of="retrieval"
    ),
    _parameter("reranker.top_k", "reranker.top_k", of="retrieval"),
)
"""The parameters that make up `Interaction.sampling_params`, by the name that they have there."""

READINGS = (*_WHO, *_VERSIONS, *_SAID, *_TOOLS, *PARAMETERS, *_OUTCOME, *_SPENT)
"""Every field that is read from an attribute, with the names in reading order."""

KEPT = (
    "deployment.id",
    "cicd.pipeline.run.id",
    "gen_ai.prompt.name",
    "gen_ai.agent.id",
    "gen_ai.agent.name",
    "gen_ai.workflow.name",
    "gen_ai.data_source.id",
    "gen_ai.output.type",
    "gen_ai.conversation.compacted",
    *(f"gen_ai.usage.{m}.{way}_tokens" for m in ("text", "image", "audio", "video") for way in ("input", "output")),
    "traceloop.workflow.name",
    "traceloop.prompt.key",
    "agent.name",
    "prompt.id",
    "prompt.url",
    "prompt.vendor",
    "reranker.model_name",
)
"""Attributes without a field of their own that are kept as free attributes, from whichever span has them."""

PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "xai": "x_ai",
        "az.ai.openai": "azure.ai.openai",
        "az.ai.inference": "azure.ai.inference",
        "vertex_ai": "gcp.vertex_ai",
        "gemini": "gcp.gemini",
    }
)
"""Names that OpenTelemetry has renamed: a newer instrumentation is no other provider."""

FINISH_REASONS: Mapping[str, str] = MappingProxyType(
    {
        said: word
        for word, synonyms in {
            "stop": ("end_turn", "stop_sequence", "completed", "complete", "eos", "eos_token", "finish_reason_stop"),
            "length": (
                "max_tokens",
                "max_output_tokens",
                "model_length",
                "model_context_window_exceeded",
                "finish_reason_max_tokens",
            ),
            "tool_calls": ("tool_use", "tool_call", "function_call"),
            "content_filter": (
                "content_filtered",
                "safety",
                "refusal",
                "guardrail_intervened",
                "prohibited_content",
                "blocklist",
                "recitation",
                "spii",
            ),
            "error": ("failed", "malformed_function_call"),
        }.items()
        for said in (word, *synonyms)
    }
)
"""What providers say, in lower case and with underscores, and the word for it here; any other word is kept."""


def finish_reason(value: Any) -> str | None:
    """One word for why generation ended; several choices that ended differently are joined by commas."""
    said = listed(value)
    words = (text(v) for v in (said if said is not None else [value]))
    found = (FINISH_REASONS.get(w.strip().lower().replace("-", "_"), w) for w in words if w is not None)
    return ",".join(dict.fromkeys(found)) or None


def names_of(field: str, of: Of | None = None) -> tuple[str, ...]:
    """The names of a field in reading order, over all its rows or those of one place."""
    return tuple(n for r in READINGS if r.field == field and of in (None, r.of) for n in r.names)
