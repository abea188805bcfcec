"""What came in and went out: the records that every later stage reads.

One record fits a chat answer, a RAG answer, an agent's run and a classical prediction. A field that nobody sent is
None: never an invented zero, never an empty answer taken for a good one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

__all__ = [
    "FEEDBACK_KINDS",
    "SEGMENTS",
    "VERSIONS",
    "Context",
    "Erasure",
    "Feedback",
    "Hit",
    "Interaction",
    "LogRow",
    "SpanRow",
    "Step",
    "ToolCall",
]

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
        "revision": "code",
        "agent_version": "code",
        "sampling_params": "sampling parameter",
        "source": "traffic source",
    }
)
"""Fields that say which version of each part an interaction saw, and the kind of `Change` that a new value is."""

SEGMENTS = ("risk_category", "task", "segment", "requested_model")
"""Fields by which quality is watched apart, because a mean over them hides harm."""

FEEDBACK_KINDS = ("thumb", "correction", "label", "rating", "abandonment", "follow_up", "copy", "evaluation", "probe")
"""What a piece of feedback can be."""


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
class Step:
    """One step of an agent's run, or of any interaction that took more than one."""

    kind: str
    """``agent``, ``chain``, ``llm``, ``tool``, ``retriever``, ``reranker``, ``embedding``, ``guardrail`` or ``other``."""
    name: str
    parent: int | None = None
    """Position in the list of the step within which this one ran; None at the top."""
    start_s: float
    """Seconds after the interaction began."""
    latency_s: float
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
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
    steps: tuple[Step, ...] = ()
    """Steps in the order in which they began; empty where there was only one."""

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
    revision: str | None = None
    """Revision of the source code (``vcs.ref.head.revision``)."""
    agent_version: str | None = None
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
    """Type of the error, when the call failed; ``false`` says that it did not."""
    finish_reason: str | None = None
    refused: bool | None = None
    """The application's own word on whether this is a refusal; None where it does not say."""
    escalated: bool | None = None
    guardrail: str | None = None
    """Result of a guardrail: ``pass``, ``passed``, ``ok``, ``none``, ``safe``, ``allow`` or ``allowed`` (in any case), or what
    it blocked for."""
    confidence: float | None = None
    """The system's own confidence, 0..1."""
    latency_s: float | None = None
    first_token_s: float | None = None
    input_tokens: int | None = None
    """All tokens that went in, those read from a cache and those written to one included."""
    output_tokens: int | None = None
    """All tokens that came out, reasoning included."""
    cache_read_tokens: int | None = None
    """Part of `input_tokens`."""
    cache_write_tokens: int | None = None
    """Part of `input_tokens`."""
    reasoning_tokens: int | None = None
    """Part of `output_tokens`."""
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
    """What somebody, or something, said about an interaction afterwards. The same id sent again replaces it."""

    id: str
    interaction_id: str
    """The interaction; with scope ``session`` the session."""
    time_us: int
    kind: str
    """One of `FEEDBACK_KINDS`."""
    value: float | None = None
    """A thumb is 1 (up) or 0 (down), a probe 1 (passed) or 0 (failed); a rating is 0..1; an evaluation has the scale of its evaluator."""
    text: str | None = None
    """A correction's right answer, a label, a comment."""
    author: str | None = None
    """Who said it: a person, or the name of an evaluator."""
    scope: str = "interaction"
    """``interaction`` or ``session``."""
    name: str | None = None
    """What an evaluation measured (``Relevance``)."""
    label: str | None = None
    """The word that an evaluation gave (``relevant``)."""
    source: str = "human"
    """``human``, ``model`` (a judge), ``code``, or ``andon`` for what was found in the traffic itself."""
    version: str | None = None
    """Version of the evaluator: another judge is another measure."""
    error: str | None = None
    """Type of the error of an evaluation that could not be made; it is neither good nor bad then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRow:
    """One span, with the attributes of its resource and scope merged under its own."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    parent_span_id: str | None = None
    parent_remote: bool | None = None
    """Whether the parent lives in another process; None where the sender did not say."""
    name: str = ""
    kind: str = "unspecified"
    time_us: int
    end_us: int
    status: str = "unset"
    """``unset``, ``ok`` or ``error``."""
    status_message: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    events: tuple[dict[str, Any], ...] = ()
    """Each with ``name``, ``time_us`` and ``attributes``."""
    links: tuple[dict[str, Any], ...] = ()
    """Each with ``trace_id``, ``span_id`` and ``attributes``."""

    @property
    def id(self) -> str:
        """Identity of the span: re-sent spans have the same."""
        return f"{self.trace_id}:{self.span_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One log record that holds what was said in a model call."""

    id: str
    """A digest of its content: a record that is sent again is the same."""
    time_us: int
    trace_id: str | None = None
    span_id: str | None = None
    name: str = ""
    """Name of the event (``gen_ai.user.message``)."""
    body: Any = None
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One interaction as a list shows it; long texts end after 300 characters, with an ellipsis."""

    id: str
    time_us: int
    app: str
    environment: str
    query: str | None
    answer: str | None
    prediction: str | None
    error: str | None
    latency_s: float | None
    model: str | None
    prompt_version: str | None
    risk_category: str | None
    user_id: str | None
    session_id: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Hit":
        """The entry of a row of the table ``interactions``, of which other columns are passed over."""
        texts = {name: _cut(row[name]) for name in ("query", "answer", "prediction")}
        return cls(**{f.name: row[f.name] for f in fields(cls)} | texts)


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= 300 else f"{text[:300]}…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The proof that what came from one user was erased; it does not say who it was."""

    id: str
    """``ERASE-`` and a keyed digest of the user."""
    at_us: int
    rows: dict[str, int]
    """Rows that were removed, by table."""
    records: int
    """Versions of records of the ledger (evidence, failures, cases) in which texts were blanked."""
    retired: int = 0
    """Golden cases that are tested no more, because their question or right answer was the user's."""
    dismissed: int = 0
    """Captured failures of which no case comes, because their question was the user's."""
    left: tuple[str, ...] = ()
    """Where something was still found afterwards; empty when the check found nothing."""
