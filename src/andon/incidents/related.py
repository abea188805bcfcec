"""Pure decisions about related incidents: by the signature of the failure, and by what people wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from andon.incidents.records import Incident
from andon.scores import Vectors

__all__ = ["LEAST", "Related", "related", "shares", "signature_of"]

PARTS = ("metric", "part of the traffic", "kind of change", "failure type")
WEIGHTS = (0.35, 0.25, 0.2, 0.2)
"""How much each part of a signature counts where both have it and it is the same."""

TEXT = 0.3
"""Share of the texts in the score where people wrote about both incidents; the signature has the rest."""

LEAST = 0.35
"""Below this score two incidents are not called related: the same metric alone is just enough."""

ALIKE = 0.6
"""From this cosine on, texts are said to be alike; where they alone decide, less is not called related."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """An incident that is like another one."""

    id: str
    score: float
    """0..1."""
    same: tuple[str, ...]
    """Parts of the signature that both have."""
    likeness: float | None
    """Cosine of what people wrote; None where nobody wrote about one of them."""
    why: str


def signature_of(incident: Incident, top_suspect_kind: str | None = None) -> tuple[str, ...]:
    """The failure in four words: metric, part of the traffic, kind of the likeliest change, failure type.

    What is not known is empty. Two incidents recur where all four are equal and the metric is known.

    Args:
        incident: its latest version.
        top_suspect_kind: kind of the first suspect (``prompt``), where it was investigated.
    """
    part = ",".join(f"{k}={v}" for k, v in sorted(incident.scope.items())) or ("all traffic" if incident.metric else "")
    return incident.metric, part, top_suspect_kind or "", incident.failure or ""


def shares(ours: Sequence[str], other: Incident) -> bool:
    """Whether another incident has a part of a signature, apart from the kind of change."""
    return any(a and a == b for a, b in zip(ours, signature_of(other), strict=True))


def related(
    incident: Incident,
    others: Sequence[Incident],
    *,
    kinds: Mapping[str, str],
    vectors: Mapping[str, Vectors],
    most: int = 5,
) -> tuple[Related, ...]:
    """The incidents that are like this one, the most alike first.

    The score is the weight of the parts of the signature that are the same; where people wrote about both, three tenths of it
    are the cosine of the texts. Where one of the two has no metric, because only people reported it, texts alone decide.

    Args:
        incident: the one that is asked about.
        others: the ones to search; itself and its duplicates are passed over.
        kinds: kind of the likeliest change by the id of the incident.
        vectors: unit vector of what people wrote, by the id of the incident.
        most: how many are returned at most.
    """
    ours, found = signature_of(incident, kinds.get(incident.id)), []
    for other in others:
        if incident.id in (other.id, other.duplicate_of) or incident.duplicate_of == other.id:
            continue
        theirs = signature_of(other, kinds.get(other.id))
        pairs = zip(PARTS, WEIGHTS, ours, theirs, strict=True)
        shared = [(name, w, a) for name, w, a, b in pairs if a and a == b]
        likeness = _cosine(vectors.get(incident.id), vectors.get(other.id))
        measured = bool(incident.metric and other.metric)
        score = sum(w for _, w, _ in shared)
        if likeness is not None:
            score = (1 - TEXT) * score + TEXT * likeness if measured else likeness
        if score >= (LEAST if measured else ALIKE) - 1e-9:
            why = [f"same {name} ({value})" for name, _, value in shared]
            why += (
                []
                if likeness is None
                else [f"texts are {'alike' if likeness >= ALIKE else 'not alike'} ({likeness:.2f})"]
            )
            same = tuple(name for name, _, _ in shared)
            found.append(Related(id=other.id, score=round(score, 6), same=same, likeness=likeness, why="; ".join(why)))
    return tuple(sorted(found, key=lambda r: (-r.score, r.id))[:most])


def _cosine(one: Vectors | None, other: Vectors | None) -> float | None:
    if one is None or other is None or not one.any() or not other.any():
        return None
    return max(0.0, round(float(np.dot(one, other)), 6))
