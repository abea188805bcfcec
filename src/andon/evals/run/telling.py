"""Tell incidents what became of their golden cases."""

from andon.evals.records import EvalRun
from andon.evals.shown import outcomes
from andon.golden import Case
from andon.incidents import Incident, TimelineEvent
from andon.incidents.run.timeline import event
from andon.store import Ledger
from andon.traffic.quoting import quoted

__all__ = ["tell_incidents"]


def tell_incidents(ledger: Ledger, run: EvalRun) -> list[TimelineEvent]:
    """Write into the timeline of each incident how many of its cases pass in a run; nothing where that is as it was told last.

    A case passes where all its attempts did; one that could not be run is counted apart.

    Raises:
        StoreError: the ledger failed.
    """
    of: dict[str, list[str]] = {}
    for name, outcome in outcomes(run).items():  # the whole golden set may be a hundred times larger
        case = ledger.get(Case, name)
        if case is not None and case.incident:
            of.setdefault(case.incident, []).append(outcome)
    if not of:
        return []
    last: dict[tuple[str, str], str] = {}
    theirs = [name for _, name in ledger.ids(TimelineEvent) if name.rpartition("-")[0] in of]
    events = [e for name in theirs if (e := ledger.get(TimelineEvent, name)) is not None]
    for e in sorted(events, key=lambda e: e.learned_us):
        if e.kind == "evaluation":
            last[e.incident, e.text.rpartition(" on ")[2]] = e.text
    told = []
    for incident, seen in of.items():
        known, target = ledger.get(Incident, incident), quoted(run.target, 120)
        text = f"{seen.count('pass')} of {len(seen)} golden cases of this incident pass"
        text += f", {n} could not be run" if (n := seen.count("error")) else ""
        text += f" on {target}"
        if known is not None and last.get((incident, target)) != text:
            told.append(event(ledger, known, run.at_us, run.at_us, "evaluation", text))
    return told
