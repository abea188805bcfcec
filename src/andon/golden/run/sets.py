"""The golden set: from the ledger, to a file, from a file, and what became of it."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from andon.errors import InputError, StateError
from andon.golden.cases import case_id, check_label, is_erased
from andon.golden.files import merge_cases, places_of, read_text, render_cases
from andon.golden.formats import OWN, read_as, recognise, write_as
from andon.golden.history import Entry, Moved, State, Step, case_history, set_changes, set_states
from andon.golden.records import Case, Failure, ImportResult, Label, NearDuplicate, Refusal
from andon.golden.run.cases import conflicts
from andon.store import Ledger, write_whole
from andon.traffic.clock import format_time
from andon.traffic.erasure import ERASED
from andon.traffic.quoting import quoted

__all__ = [
    "chronicle",
    "export",
    "export_as",
    "export_text",
    "history_of",
    "import_set",
    "import_text",
    "load_set",
    "retire",
    "states_of",
]

_MEASURE = ("contexts", "metric", "direction", "cut", "expect", "risk_category", "cluster")
"""What a file can say anew of a case that is there: how an answer to it is measured, and how much hangs on it."""


def load_set(
    ledger: Ledger,
    app: str | None = None,
    *,
    retired: bool = False,
    incident: str | None = None,
    at_us: int | None = None,
) -> list[Case]:
    """The golden set (of one app, of one incident), in the order in which cases were added.

    Retired cases are left out unless `retired`. `at_us` gives the set as it was at that time.

    Raises:
        StoreError: the ledger failed.
    """
    if at_us is None:
        cases = ledger.all(Case)
    else:
        cases = list({v.record.id: v.record for v in ledger.history(Case) if v.at_us <= at_us}.values())
    return [
        c for c in cases if app in (None, c.app) and incident in (None, c.incident) and (retired or c.retired is None)
    ]


def export(ledger: Ledger, path: Path, *, app: str | None = None) -> int:
    """Write the golden set (of one app) as JSONL; returns how many lines were written.

    A file that is there keeps its lines to the byte, and new cases are appended: a test is never removed by an export. The
    line of a case that was retired or brought back is the only one that is rewritten. An erased case is in no new line.

    Raises:
        InputError: the file that is there is no golden set.
        StoreError: the ledger or the disk failed; the file is as it was.
    """
    cases = load_set(ledger, app, retired=True)
    before = read_text(path) if path.exists() else ""
    after = merge_cases(before, cases, app=app or "default", name=str(path)) if before else render_cases(cases)
    if after != before or not path.exists():
        write_whole(path, after)
    return (Counter(after.split("\n")) - Counter([*before.split("\n"), ""])).total()


def export_text(ledger: Ledger, form: str = OWN, *, app: str | None = None) -> tuple[str, tuple[Refusal, ...]]:
    """The golden set (of one app) as a text in a format, retired cases included, and what the format cannot say.

    Raises:
        InputError: there is no such format.
        StoreError: the ledger failed.
    """
    cases = load_set(ledger, app, retired=True)
    if form == OWN:
        return render_cases(cases), ()
    return write_as([c for c in cases if not is_erased(c)], form)


def export_as(ledger: Ledger, path: Path, form: str, *, app: str | None = None) -> tuple[int, tuple[Refusal, ...]]:
    """Write the golden set (of one app) in the format of another tool; returns how many cases, and which it cannot say.

    Raises:
        InputError: there is such a file already, or no such format.
        StoreError: the ledger or the disk failed.
    """
    if form == OWN:
        return export(ledger, path, app=app), ()
    if path.exists():
        raise InputError(f"{path} is there already; an export to {form} writes a whole file, so name one that is not")
    cases = [c for c in load_set(ledger, app, retired=True) if not is_erased(c)]
    text, left_out = write_as(cases, form)
    write_whole(path, text)
    return len(cases) - len(left_out), left_out


def import_set(
    ledger: Ledger, path: Path, *, now_us: int, by: str, app: str = "default", form: str | None = None
) -> ImportResult:
    """Take in the cases of a file: see `import_text`.

    Raises:
        InputError: the file cannot be read, or, of our own format, a line is no case; nothing was written.
        StoreError: the ledger failed; calling again is safe.
    """
    return import_text(ledger, read_text(path), name=str(path), now_us=now_us, by=by, app=app, form=form)


def import_text(
    ledger: Ledger, text: str, *, name: str, now_us: int, by: str, app: str = "default", form: str | None = None
) -> ImportResult:
    """Take in the cases of a text, in the format `form` or in the one that is recognised; `name` is how messages call it.

    The team's own choice stands, so near-duplicates are kept. A case whose ground truth is the failing answer itself is
    refused. `app` holds where the file names none. Of a case that is there already, the file's measure, contexts, risk
    category and cluster hold from now on where they are others (a file without metrics says nothing of them that it does not name). It
    is retired where the file says so and nobody ever retired it here, and brought back where the file says why. Of a case in
    which a text was erased nothing is taken, where the file still has that text.

    Raises:
        InputError: there is no such format, none is recognised, or, of our own format, a line is no case; nothing was written.
        StoreError: the ledger failed; calling again is safe.
    """
    form = form or recognise(text, name)
    reading = read_as(text, form, name, app=app)
    places = places_of(text, reading.cases)
    before = ledger.all(Case)
    there = {c.id: c for c in before}
    added: list[Case] = []
    become: dict[str, list[str]] = {}
    doubts: list[Refusal] = []
    refused = list(reading.refused)
    for case in reading.cases:
        mine = there.get(case.id)
        if mine is not None:
            there[case.id], what = _as_filed(mine, case)
            if there[case.id] != mine:
                ledger.put(there[case.id], now_us=now_us, by=by)
            elif (doubt := _doubt(mine, case, places[case.id])) is not None:
                doubts.append(doubt)
            become.setdefault(what, []).append(case.id)
            continue
        try:
            check_label(case.answer, case.ground_truth)
            ledger.put(case, now_us=now_us, by=by)
        except InputError as error:
            refused.append(Refusal(id=places[case.id], reason=f"{quoted(case.question)}: {error}"))
            continue
        there[case.id] = case
        added.append(case)
    return ImportResult(
        form=form,
        added=tuple(added),
        known=tuple(become.get("known", ())),
        changed=tuple(become.get("changed", ())),
        retired=tuple(become.get("retired", ())),
        back=tuple(become.get("back", ())),
        doubts=tuple(doubts),
        refused=tuple(refused),
        conflicts=conflicts(before, [c for c in added if c.variant_of is None]),
    )


def _as_filed(mine: Case, filed: Case) -> tuple[Case, str]:
    """A case as a file has it, and what became of it: ``known``, ``changed``, ``retired`` or ``back``.

    A line that names a metric, as those of Andon do, or that is of another tool, says all of `_MEASURE`; another one says what
    it names. A line without `retired` may be an old one: it brings back only where it has a `retired_why`.
    """
    if _was_erased(mine, filed):
        return mine, "known"
    row = {} if filed.line is None else json.loads(filed.line.removeprefix("\ufeff"))
    named = [k for k in _MEASURE if filed.line is None or "metric" in row or k in row]
    case = replace(mine, **{k: getattr(filed, k) for k in named})
    if case != mine:
        case = replace(case, line=filed.line or mine.line)
    if filed.retired is not None and mine.retired_why is None:
        return replace(case, retired=filed.retired, retired_why=filed.retired_why or "retired in the file"), "retired"
    if filed.retired is None and filed.retired_why is not None and mine.retired is not None:
        return replace(case, retired=None, retired_why=filed.retired_why), "back"
    return case, "known" if case == mine else "changed"


def _was_erased(mine: Case, filed: Case) -> bool:
    """Whether a text that was erased from a case stands in its file."""
    return any(
        ERASED in str(getattr(mine, k)) and getattr(mine, k) != getattr(filed, k)
        for k in ("question", "answer", "contexts", "ground_truth", "line")
    )


def _doubt(mine: Case, filed: Case, place: str) -> Refusal | None:
    """What to do where a file has an erased text, or differs from the ledger on whether a case is tested; None for neither."""
    if _was_erased(mine, filed):
        return Refusal(
            id=mine.id, reason=f"a text of it was erased here, and {place} of the file has it; delete it there"
        )
    if (mine.retired is None) == (filed.retired is None):
        return None
    if mine.retired is not None:
        said = f"it is retired here since {mine.retired} ({mine.retired_why}), and not in the file"
        return Refusal(id=mine.id, reason=f"{said}; `andon golden retire {mine.id} --back` tests it again")
    said = f"it is retired in the file, and was brought back here ({mine.retired_why})"
    return Refusal(id=mine.id, reason=f"{said}; `andon golden retire {mine.id}` retires it again")


def retire(ledger: Ledger, case: str, *, why: str, now_us: int, by: str, back: bool = False) -> Case:
    """Take a case out of what is tested, or bring it `back`; it stays in the files and in the history, with the reason.

    Raises:
        InputError: there is no such case, or no reason is given.
        StateError: it is retired already, or not at all; says when and why.
        StoreError: the ledger failed.
    """
    found = ledger.latest(Case, case)
    if found is None:
        raise InputError(f"there is no case {quoted(case)}; `andon golden list` shows their ids")
    if not why.strip():
        raise InputError("say why: a test that goes without a reason is missed by nobody until it is needed")
    before = found.record
    if back and before.retired is None:
        raise StateError(f"{case} is not retired, so there is nothing to bring back")
    if not back and before.retired is not None:
        raise StateError(
            f"{case} is retired since {before.retired}, by {found.by}: {before.retired_why}; `--back` brings it back"
        )
    after = replace(before, retired=None if back else format_time(now_us)[:10], retired_why=why.strip())
    ledger.put(after, now_us=now_us, by=by, expect=found.version)
    return after


def history_of(ledger: Ledger, case: str) -> list[Entry]:
    """What happened to a case, oldest first: its failures, their labels and near-duplicate decisions, and its own versions.

    Raises:
        InputError: there is no such case.
        StoreError: the ledger failed.
    """
    versions = ledger.history(Case, case)
    if not versions:
        raise InputError(f"there is no case {quoted(case)}; `andon golden list --retired` shows their ids")
    last = versions[-1].record
    asked = [f for f in ledger.all(Failure) if (f.app, f.question) == (last.app, last.question)]
    names = [x.id for f in asked for x in ledger.all(Label, f"{f.id}/")]
    labels = [v for name in names for v in ledger.history(Label, name)]
    own = {v.record.failure for v in labels if case_id(last.app, last.question, v.record.ground_truth) == case}
    steps: list[Step] = [(v.at_us, v.by, v.record) for v in versions]
    steps += [(v.record.at_us, v.record.author, v.record) for v in labels if v.record.failure in own]
    for failure in sorted(own):
        steps += [(v.at_us, v.by, v.record) for v in ledger.history(Failure, failure)[:1]]
        steps += [(v.at_us, v.record.by, v.record) for v in ledger.history(NearDuplicate, failure)]
    return case_history(steps)


def states_of(ledger: Ledger, app: str | None = None) -> list[State]:
    """The states of the golden set (of one app), one for each day on which it changed.

    Raises:
        StoreError: the ledger failed.
    """
    return set_states([(v.at_us, v.record) for v in ledger.history(Case) if app in (None, v.record.app)])


def chronicle(ledger: Ledger, app: str | None = None) -> tuple[list[State], list[Moved]]:
    """The states of the golden set (of one app) by day, and everything that was done to its cases; both oldest first.

    Raises:
        StoreError: the ledger failed.
    """
    versions = [v for v in ledger.history(Case) if app in (None, v.record.app)]
    return set_states([(v.at_us, v.record) for v in versions]), set_changes((v.at_us, v.by, v.record) for v in versions)
