"""Cases that decide nothing for a while, and why."""

from collections.abc import Iterable, Iterator

from andon.errors import InputError
from andon.evals.records import EvalRun, Quarantine
from andon.evals.repeats import Flake, flakes_of
from andon.evals.rules import LONGEST_DAYS
from andon.evals.run.runs import newest_runs
from andon.golden import Case
from andon.store import Ledger
from andon.traffic import format_time
from andon.traffic.quoting import quoted

__all__ = ["quarantine", "quarantined"]


def quarantine(ledger: Ledger, case: str, until_us: int, why: str = "", *, now_us: int, by: str) -> Quarantine:
    """Let a case decide nothing until a time. Without a reason, a kept run has to show that it is flaky.

    A time that is over ends a quarantine that there is, which needs no reason.

    Raises:
        InputError: no such case, more than `LONGEST_DAYS`, or neither a reason nor a flake.
        StoreError: the ledger failed.
    """
    if until_us > now_us + LONGEST_DAYS * 86_400_000_000:
        raise InputError(
            f"a quarantine until {format_time(until_us)} is longer than {LONGEST_DAYS} days; choose an earlier time, or retire"
            " the case"
        )
    if until_us <= now_us and case not in quarantined(ledger, now_us):
        raise InputError(f"{format_time(until_us)} is over, and {quoted(case)} is in no quarantine; give a later time")
    if ledger.get(Case, case) is None and next(_runs_with(ledger, case), None) is None:
        raise InputError(
            f"there is no case {quoted(case)} in the golden set or in a kept run; `andon golden list` has ids"
        )
    reason = why.strip() or ("ended" if until_us <= now_us else "")
    if not reason:
        flaky = _flake(case, _runs_with(ledger, case))
        if flaky is None:
            raise InputError(
                f"no kept run shows that {quoted(case)} is flaky (passes and fails in one run); say why it shall decide nothing,"
                " or run it with repeats first"
            )
        run, flake = flaky
        reason = f"flaky: {flake.passed} of {flake.ran} attempts passed in run {run.id}"
    made = Quarantine(id=case, until_us=until_us, by=by, why=reason, at_us=now_us)
    ledger.put(made, now_us=now_us, by=by)
    return made


def quarantined(ledger: Ledger, now_us: int) -> dict[str, Quarantine]:
    """The quarantines that hold now, by case: those cases decide nothing.

    Raises:
        StoreError: the ledger failed.
    """
    return {q.id: q for q in ledger.all(Quarantine) if q.until_us > now_us}


def _runs_with(ledger: Ledger, case: str) -> Iterator[EvalRun]:
    return (r for r in newest_runs(ledger) if any(x.case_id == case for x in r.results))


def _flake(case: str, runs: Iterable[EvalRun]) -> tuple[EvalRun, Flake] | None:
    """The first of the runs in which the case both passed and failed."""
    for run in runs:
        flake = flakes_of(r for r in run.results if r.case_id == case)[0]
        if flake.word == "flaky":
            return run, flake
    return None
