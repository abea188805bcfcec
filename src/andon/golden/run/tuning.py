"""Measure thresholds of near-duplicates on pairs of a file, or on what people decided."""

from pathlib import Path

import numpy as np

from andon.errors import InputError
from andon.golden.files import read_text
from andon.golden.records import Case, Failure, NearDuplicate
from andon.golden.run.cases import PROPOSED
from andon.golden.tune import Pair, Tuned, parse_pairs, tune
from andon.scores import Embedder
from andon.scores.language import language_of
from andon.store import Ledger

__all__ = ["decided_pairs", "read_pairs", "tune_on"]


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """The pairs of a file, JSONL or CSV.

    Raises:
        InputError: the file cannot be read, or a row is no pair; names the lines.
    """
    return parse_pairs(read_text(path), name=str(path))


def decided_pairs(ledger: Ledger, app: str | None = None) -> tuple[Pair, ...]:
    """What people decided about near-duplicates (of one app) as pairs: ``refuse`` and ``variant`` say that they are the same.

    Such pairs have a cosine from a little below the threshold that was in use, so they say nothing about a much lower one.

    Raises:
        StoreError: the ledger failed.
    """
    found = []
    for word in ledger.all(NearDuplicate):
        failure, case = ledger.get(Failure, word.id), ledger.get(Case, word.case)
        if word.by == PROPOSED or failure is None or case is None or app not in (None, failure.app):
            continue
        language = language_of(failure.question) or ""
        found.append(Pair(a=failure.question, b=case.question, same=word.choice != "keep", language=language))
    return tuple(found)


def tune_on(embedder: Embedder, pairs: tuple[Pair, ...]) -> tuple[Tuned, ...]:
    """What thresholds do to pairs, with this embedder.

    Raises:
        InputError: there are no pairs.
    """
    if not pairs:
        raise InputError(
            "nobody has decided about a near-duplicate yet; give a file of pairs (a, b, same), or decide with"
            " `andon golden decide`"
        )
    rows = {text: k for k, text in enumerate(dict.fromkeys(t for p in pairs for t in (p.a, p.b)))}
    vectors = embedder.embed(list(rows)).astype(np.float64)
    cosines = np.einsum("ij,ij->i", vectors[[rows[p.a] for p in pairs]], vectors[[rows[p.b] for p in pairs]])
    return tune(pairs, cosines)
