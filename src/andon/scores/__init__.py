"""How good was it? One number per interaction and metric, each with its scorer's version.

In: interactions and feedback. Out: rows of the table ``scores`` (one column per metric, null where it does not apply),
with the keys by which quality is watched. Always true: this is the only place that measures quality, so online and
offline agree by construction; a missing answer is never a good answer; a score that does not apply is None, never 0.
"""

from andon.scores.answers import answers_match, final_answer
from andon.scores.builtin import SCORERS
from andon.scores.grounding import Claim, explain_groundedness, groundedness
from andon.scores.records import Embedder, Harm, Scorer, Vectors
from andon.scores.refusals import is_refusal, refusal_reason
from andon.scores.rows import KEYS, LABELS, failing, score_schema

__all__ = [
    "KEYS",
    "LABELS",
    "SCORERS",
    "Claim",
    "Embedder",
    "Harm",
    "Scorer",
    "Vectors",
    "answers_match",
    "explain_groundedness",
    "failing",
    "final_answer",
    "groundedness",
    "is_refusal",
    "refusal_reason",
    "score_schema",
]
