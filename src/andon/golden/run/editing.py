"""A person changes how answers to a case are measured, or how much hangs on it; two at once are merged, or told of each other."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from andon.errors import InputError, StateError
from andon.golden.records import Case
from andon.store import Ledger, Versioned
from andon.traffic.quoting import quoted

__all__ = ["Measure", "restate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What of a case may be said anew; question and right answer may not, for they name the case."""

    metric: str
    direction: Literal["up", "down"] = "down"
    cut: float | None = None
    expect: dict[str, Any] = field(default_factory=dict)
    risk_category: str | None = None
    cluster: str | None = None

    @classmethod
    def of(cls, case: Case) -> "Measure":
        """That of a case."""
        return cls(**{f.name: getattr(case, f.name) for f in fields(cls)})


def restate(
    ledger: Ledger, case: str, wanted: Measure, *, version: int, now_us: int, by: str, over: int | None = None
) -> Case:
    """Change the measure of a case, as somebody saw it at a version; what others changed meanwhile stays, where it is elsewhere.

    Args:
        ledger: where cases are kept.
        case: id of the case.
        wanted: how it is to be from now on.
        version: of the case that the person saw.
        now_us: the clock.
        by: who changes it.
        over: the version of somebody else's change that the person was told of, and overrules.

    Raises:
        InputError: there is no such case or version, or no metric is named.
        StateError: it is retired, or somebody else changed the same meanwhile; says who, and what.
        StoreError: the ledger failed.
    """
    versions = ledger.history(Case, case)
    seen = next((v for v in versions if v.version == version), None)
    if seen is None:
        raise InputError(f"there is no version {version} of a case {quoted(case)}; open the case again")
    if not wanted.metric.strip():
        raise InputError("no metric is named: what measures an answer to this case?")
    last = versions[-1]
    if last.record.retired is not None:
        raise StateError(f"{case} is retired since {last.record.retired}; bring it back before you change it")
    before, now = Measure.of(seen.record), Measure.of(last.record)
    mine = {f.name for f in fields(Measure) if getattr(wanted, f.name) != getattr(before, f.name)}
    theirs = {f.name for f in fields(Measure) if getattr(now, f.name) != getattr(before, f.name)}
    both = sorted(n for n in mine & theirs if getattr(wanted, n) != getattr(now, n))
    if both and over != last.version:
        raise StateError(_crossed(both, now, wanted, last))
    merged = replace(last.record, **{n: getattr(wanted, n) for n in mine})
    if merged != last.record:
        ledger.put(merged, now_us=now_us, by=by, expect=last.version)
    return merged


def _crossed(both: list[str], now: Measure, wanted: Measure, last: Versioned[Case]) -> str:
    said = "; ".join(f"{n} is {_word(getattr(now, n))} now, you wrote {_word(getattr(wanted, n))}" for n in both)
    return (
        f"{last.by} changed the same meanwhile: {said}. Nothing of yours is kept yet: look at theirs, then save again"
    )


def _word(value: Any) -> str:
    return "empty" if value in (None, "", {}) else quoted(str(value), 120)
