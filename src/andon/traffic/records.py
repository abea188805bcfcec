"""What came in and went out: the records that every later stage reads.

One record fits a chat answer, a RAG answer, an agent's run and a classical prediction. A field that nobody sent is
None: never an invented zero, never an empty answer taken for a good one.
"""

from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["SEGMENTS", "VERSIONS", "Context", "Feedback", "Interaction", "ToolCall"]

VERSIONS = MappingProxyType(
    {
        "provider": "provider",
        "model": "model",
        "requested_model": "model",
        "prompt_version": "prompt",
        "policy_version": "policy",
        "index_version": "index",
        "corpus_version": "corpus",
        "embedding_model": "embedding model",
        "route_version": "routing",
        "tools_version": "tool schema",
        "code_version": "code",
        "sampling_params": "sampling parameter",
        "source": "traffic source",
    }
)
"""Fields that say which version of each part an interaction saw, and the kind of `Change` that a new value is."""

SEGMENTS = ("risk_category", "task", "segment", "requested_model")
"""Fields by which quality is watched apart, because a mean over them hides harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One retrieved passage that the answer could draw on."""

    text: str
    id: str | None = None
    score: float | None = None
    """Retrieval score as the retriever gave it (unit of the retriever)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool within an interaction."""

    name: str
    arguments: str | None = None
    """Arguments as JSON text."""
    result: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One question and its answer, with everything that could explain the answer."""

    id: str
    time_us: int
    """When it began: microseconds since 1970 UTC."""
    app: str = "default"
    environment: str = "production"
    session_id: str | None = None
    user_id: str | None = None
    trace_id: str | None = None

    query: str | None = None
    answer: str | None = None
    """What the user got; for a classical model the predicted class or value as text."""
    contexts: tuple[Context, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()

    provider: str | None = None
    model: str | None = None
    """The model that answered, as the provider resolved it."""
    requested_model: str | None = None
    """The model that was asked for; an alias here and another `model` there is a provider's silent move."""
    prompt_version: str | None = None
    policy_version: str | None = None
    index_version: str | None = None
    corpus_version: str | None = None
    embedding_model: str | None = None
    route_version: str | None = None
    tools_version: str | None = None
    code_version: str | None = None
    sampling_params: str | None = None
    source: str | None = None
    """Where the traffic comes from: a referrer, a channel, a campaign."""
    arm: str | None = None
    """Experiment arm (the variant of a flag) that served this interaction."""

    risk_category: str | None = None
    task: str | None = None
    segment: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    """Free attributes, kept as they came."""

    error: str | None = None
    """Type of the error, when the call failed."""
    finish_reason: str | None = None
    refused: bool | None = None
    """The application's own word on whether this is a refusal; None where it does not say."""
    escalated: bool | None = None
    guardrail: str | None = None
    """Result of a guardrail: ``pass``, ``block`` or the rule that spoke."""
    confidence: float | None = None
    """The system's own confidence, 0..1."""
    latency_s: float | None = None
    first_token_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    expected_answer: str | None = None
    """The right answer where it is known (a probe, a test set, a label that came with the traffic)."""

    features: dict[str, float | str] = field(default_factory=dict)
    """Inputs of a classical model."""
    prediction: str | None = None
    prediction_score: float | None = None
    label: str | None = None
    """The truth of a prediction; often later, then as `Feedback` of kind ``label``."""

    weight: float = 1.0
    """How many interactions this one stands for (1 / its sampling rate at the source)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What somebody said about an interaction afterwards."""

    id: str
    interaction_id: str
    time_us: int
    kind: str
    """``thumb``, ``correction``, ``label``, ``rating``, ``abandonment``, ``follow_up``, ``copy``."""
    value: float | None = None
    """A thumb is 1 (up) or 0 (down); a rating is 0..1."""
    text: str | None = None
    """A correction's right answer, a label, a comment."""
    author: str | None = None
