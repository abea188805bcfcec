"""Sampling at the door: everything that is high-risk, and a share of the rest with its weight, so that rates stay true.

Whether an interaction is kept follows from the seed and its session (or its id, where it has no session) alone, so retries,
restarts, replicas and other processes decide alike, and what is kept at 1 % is kept at 5 %. How rates and their errors are
worked out from such rows is in `docs/methods/sampling.md`.

Source: Horvitz & Thompson, J. Amer. Statist. Assoc. 47 (1952), 663-685 (weights of 1 / probability make totals unbiased).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa

from andon.errors import ConfigError, InputError
from andon.settings import HIGH_RISK
from andon.traffic.quoting import quoted
from andon.traffic.records import Interaction

__all__ = ["Sampling", "sample", "sample_rows"]

_LEAST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Which interactions are kept. Apply it once: a second time with the same seed keeps the same ones and weighs them again.

    Raises:
        ConfigError: the rate is not from a millionth to 1.
    """

    rate: float = 1.0
    """Share of the interactions that is kept where not everything is, from a millionth to 1."""
    seed: int = 0
    """Another seed keeps others; all processes that take traffic of one application in must share it."""
    keep: tuple[str, ...] = HIGH_RISK
    """Risk categories of which everything is kept, in any case; an interaction without category is sampled."""

    def __post_init__(self) -> None:
        """Refuse a rate of which no weight can be made."""
        if not _LEAST <= self.rate <= 1:
            raise ConfigError(f"sampling rate {self.rate} is not allowed; from {_LEAST:.6f} to 1 is (0.05 is 5 %)")


def sample(interactions: Sequence[Interaction], sampling: Sampling) -> tuple[list[Interaction], int]:
    """The interactions that are kept, in their order, and how many were left out.

    Where an interaction had to be drawn, its `weight` is multiplied by 1 / rate; where everything is kept it stays.
    """
    if sampling.rate == 1:
        return list(interactions), 0
    always = _always(sampling)
    kept = []
    for i in interactions:
        if (i.risk_category or "").casefold() in always:
            kept.append(i)
        elif _drawn(i.session_id, i.id, sampling):
            kept.append(replace(i, weight=i.weight / sampling.rate))
    return kept, len(interactions) - len(kept)


def sample_rows(table: pa.Table, sampling: Sampling) -> tuple[pa.Table, int]:
    """The same as `sample`, for rows of the table `interactions`; columns that it lacks are null, and a weight of null is 1.

    Raises:
        InputError: the table has no column `id`.
    """
    if "id" not in table.column_names:
        raise InputError(f"the table has no column id; its columns are {quoted(', '.join(table.column_names), 200)}")
    if sampling.rate == 1 or table.num_rows == 0:
        return table, 0
    always = _always(sampling)
    whole = np.array([(r or "").casefold() in always for r in _column(table, "risk_category")])
    pairs = zip(_column(table, "session_id"), _column(table, "id"), strict=True)
    taken = np.array([_drawn(session, identity, sampling) for session, identity in pairs])
    kept = whole | taken
    weight = np.array([1.0 if w is None else w for w in _column(table, "weight")])
    weights = pa.array(np.where(whole, weight, weight / sampling.rate), pa.float64())
    if "weight" in table.column_names:
        table = table.set_column(table.column_names.index("weight"), "weight", weights)
    else:
        table = table.append_column("weight", weights)
    return table.filter(pa.array(kept)), int((~kept).sum())


def _drawn(session: str | None, identity: str, sampling: Sampling) -> bool:
    """Whether it is in the sample: the hash of its session, else of its id, lies in the first share of all hashes."""
    # bad Unicode is refused later, with its column
    unit = f"{sampling.seed}/{session or identity}".encode(errors="surrogatepass")
    hashed = int.from_bytes(blake2b(unit, digest_size=8).digest(), "little")
    return hashed < int(sampling.rate * 2**64)


def _always(sampling: Sampling) -> frozenset[str]:
    return frozenset(k.casefold() for k in sampling.keep)


def _column(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else [None] * table.num_rows
