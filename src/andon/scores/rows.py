"""The table ``scores``: one row per scored interaction, one column per metric, and the keys it is watched by."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from andon.scores.records import Harm, Scorer
from andon.traffic import SEGMENTS, VERSIONS, Feedback, Interaction

__all__ = [
    "EVALUATION",
    "EVALUATOR",
    "EVENTS",
    "KEYS",
    "LABELS",
    "NOVELTY",
    "PROBE",
    "TOPIC",
    "failing",
    "feedback_columns",
    "is_measure",
    "is_probe",
    "possible_events",
    "score_row",
    "score_schema",
]

KEYS: tuple[str, ...] = ("app", "environment", *dict.fromkeys((*SEGMENTS, *VERSIONS)), "arm", "user_id", "session_id")
"""Columns copied from the interaction, so that a metric can be sliced without a join."""

LABELS: Mapping[str, tuple[str, str, Harm, str]] = {
    "thumbs": ("thumb", "down", "usefulness", "Thumbs up."),
    "label_match": ("label", "down", "correctness", "The label that came later equals the answer or prediction."),
    "rating": ("rating", "down", "correctness", "A person's rating, 0..1."),
    "follow_up": ("follow_up", "up", "usefulness", "The user asked again or objected at once."),
    "correction": ("correction", "up", "correctness", "The user said what would have been right."),
    "abandonment": ("abandonment", "up", "usefulness", "The user gave up."),
    "probe_pass": ("probe", "down", "correctness", "The answer to a probe passes its golden case."),
}
"""Metrics that people give: name -> (kind of feedback, bad direction, harm, what it is)."""

EVENTS = ("follow_up", "correction", "abandonment")
"""Those of `LABELS` of which only the bad ones are ever told: nobody reports not having given up.

So that they have a denominator, an interaction in which they are possible carries 0 itself, at its own time, and the feedback
carries 1, at the time when it was given. Of E events on N interactions the rate is E / (N + E): it rises with the events per
interaction E / N and with nothing else, and is nearly that where events are rare (0.1 events per interaction are 0.091).
"""

EVALUATION, EVALUATOR = "evaluation", "evaluator"
"""Columns of an evaluation: its number, and who gave it (`Relevance@2 by ragas`).

Evaluators come and go, so they share one column; only rows with the same `evaluator` are one series. The version is part of
it: another judge begins another series, and is never taken for a change of what it judges. Which direction harms, nobody
says: both should be watched.
"""

TOPIC, NOVELTY = "topic", "query_novelty"
"""Columns that say what a question is about: the key of its topic (`andon.scores.topics`), and how unlike every topic it is."""

PROBE = "probe"
"""The `source` of a score row of a probe: a question that is asked again and again to watch the answer, by nobody who needs
it. So probes are a part of the traffic of their own, however they were marked."""

EVALUATOR_CHARS = 200
"""Longest name of an evaluator that is kept."""

_YES = "pass passed true yes correct right relevant grounded supported faithful factual helpful good positive safe"
_NO = (
    "fail failed false no incorrect wrong irrelevant notrelevant ungrounded notgrounded unsupported notsupported unfaithful "
    "hallucinated nonfactual notfactual unhelpful bad negative unsafe"
)
_WORDS = {**dict.fromkeys(_YES.split(), 1.0), **dict.fromkeys(_NO.split(), 0.0)}
"""Numbers of the words that evaluations give where they give no number; any other word has none."""


def score_schema(scorers: Sequence[Scorer]) -> pa.Schema:
    """Schema of the table ``scores`` for these scorers, the metrics that people give, and evaluations."""
    metrics = [*(s.name for s in scorers), *LABELS, EVALUATION, NOVELTY]
    return pa.schema(  # an interaction of which more came to light is scored again
        metadata={"andon.repeated": "replaces"},
        fields=[pa.field("id", pa.string(), nullable=False), pa.field("time_us", pa.int64(), nullable=False)]
        + [pa.field("interaction_id", pa.string()), pa.field("weight", pa.float64()), pa.field("scorers", pa.string())]
        + [pa.field(k, pa.string()) for k in (*KEYS, EVALUATOR, TOPIC)]
        + [pa.field(m, pa.float64()) for m in metrics],
    )


def score_row(
    interaction: Interaction, values: Mapping[str, float | str], scorers: str, row_id: str, time_us: int
) -> dict[str, object]:
    """One row: the keys of the interaction and these metric values; `scorers` names the versions that made them."""
    row: dict[str, object] = {k: getattr(interaction, k) for k in KEYS}
    if is_probe(interaction):
        row["source"] = PROBE
    row.update(values)
    row.update(id=row_id, time_us=time_us, interaction_id=interaction.id, weight=interaction.weight, scorers=scorers)
    return row


def is_probe(interaction: Interaction) -> bool:
    """Whether this is a probe: its `source` says so, or OpenTelemetry's ``user_agent.synthetic.type`` is ``test``."""
    return (interaction.source or "").strip().casefold() == PROBE or (
        interaction.attributes.get("user_agent.synthetic.type", "").strip().casefold() == "test"
    )


def is_measure(feedback: Feedback) -> bool:
    """Whether this kind of feedback becomes a score at all.

    Feedback on a whole session does only where it is one of `EVENTS`, which then belongs to the last interaction before it.
    """
    if feedback.error is not None or (feedback.scope != "interaction" and feedback.kind not in EVENTS):
        return False
    return feedback.kind == "evaluation" or any(feedback.kind == kind for kind, *_ in LABELS.values())


def feedback_columns(feedback: Feedback, interaction: Interaction) -> dict[str, float | str]:
    """The columns that one piece of feedback fills in, or none when it is not a measure."""
    if not is_measure(feedback):
        return {}
    if feedback.kind == "evaluation":
        return _evaluation(feedback)
    metric = next(name for name, (kind, *_) in LABELS.items() if kind == feedback.kind)
    if metric in EVENTS:
        return {metric: 0.0 if feedback.value == 0 else 1.0}
    if feedback.kind == "label" and feedback.text is not None:
        if not feedback.text.strip():
            return {}
        given = interaction.prediction if interaction.prediction is not None else interaction.answer
        return {metric: float(given is not None and given.strip() == feedback.text.strip())}
    return {} if feedback.value is None else {metric: float(feedback.value)}


def possible_events(interaction: Interaction) -> dict[str, float]:
    """A 0 for each of `EVENTS` where one is possible: a user was told something in a session in which more can follow."""
    said = interaction.answer if interaction.prediction is None else interaction.prediction
    told = interaction.session_id is not None and bool((said or "").strip()) and not is_probe(interaction)
    return dict.fromkeys(EVENTS, 0.0) if told else {}


def _evaluation(feedback: Feedback) -> dict[str, float | str]:
    word = "".join(c for c in (feedback.label or "").casefold() if c.isalpha())
    value = feedback.value if feedback.value is not None else _WORDS.get(word)
    if value is None or feedback.name is None:
        return {}
    version = "" if feedback.version is None else f"@{feedback.version}"
    # people who rate are many, and together one measure
    author = f" by {feedback.author}" if feedback.author is not None and feedback.source != "human" else ""
    return {EVALUATION: float(value), EVALUATOR: f"{feedback.name}{version}{author}"[:EVALUATOR_CHARS]}


def failing(kind: str, direction: str, cut: float | None) -> tuple[str, float]:
    """The condition under which one value of a metric counts as failing, as (operator, bound) for a plan's `Where`.

    A rate fails at 1 when it harms upward and at 0 when it harms downward; a number fails beyond the baseline's `cut`.
    """
    if kind == "binary":
        return ("ge", 0.5) if direction == "up" else ("lt", 0.5)
    if cut is None:
        raise ValueError("a number fails beyond a cut; the monitor has not learned one yet")
    return ("ge", cut) if direction == "up" else ("lt", cut)
