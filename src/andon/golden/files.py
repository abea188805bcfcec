"""Golden sets and labels as files: JSONL that a team keeps in git, and sheets that people fill in.

A golden set is one JSON object per line: `COMMON` first and in this order, then what Andon adds. A line that was read is
written back as it stood, with its unknown keys and its very bytes.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from andon.errors import InputError, StoreError
from andon.golden.cases import case_id, is_erased
from andon.golden.records import Case, Failure, LabelRow
from andon.traffic.quoting import quoted

__all__ = [
    "COMMON",
    "OURS",
    "TESTED",
    "case_of_row",
    "label_lines",
    "label_sheet",
    "merge_cases",
    "parse_cases",
    "parse_labels",
    "places_of",
    "read_set",
    "read_text",
    "render_cases",
    "row_of_case",
]

COMMON = ("question", "answer", "contexts", "ground_truth", "source", "failure_reason", "added_date")
"""The seven fields that golden sets have in common, in their order."""

OURS = (
    "id", "app", "metric", "direction", "cut", "risk_category", "incident", "label_author", "embedder", "nearest",
    "expect", "variant_of", "cluster", "retired", "retired_why",
)  # fmt: skip
"""What Andon adds, in this order; what is None or empty is left out."""

TESTED = ("contexts", "metric", "direction", "cut", "expect")
"""What two lines of one case have to say alike: a case is asked with one set of passages and has one measure."""

SHEET = (
    "id", "question", "answer", "reason", "app", "incident", "versions", "suggestion", "verdict", "ground_truth", "author",
    "note",
)  # fmt: skip
"""Columns of a sheet of labels to fill in."""

_APP = "default"
_OUR_ID = re.compile(r"G-[0-9a-f]{16}")
_FORMULA = r"^{0}(?='*[\t\r\n=+\-@＝＋－＠])|(?<=[;\t\r\n]){0}(?='*[=+\-@＝＋－＠])"
"""Where a spreadsheet would run a cell's text: at its start, and behind what ends a cell or a row with another separator."""
_NAMED = 5
_HUGE = 1e300


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a file that says something: its number, its text without the line feed, and what it holds."""

    number: int
    text: str
    row: dict[str, Any]


def parse_cases(text: str, *, app: str = _APP, name: str = "the golden set") -> tuple[Case, ...]:
    """The cases of a golden set in JSONL; `app` where a line names none, `name` for messages.

    A line needs `question` and `ground_truth`. The content names the case: an `id` of the file's own stays in its line, and
    an edited case is a new case.

    Raises:
        InputError: at least one line is no case; names the lines. Nothing is left out silently.
    """
    cases: list[Case] = []
    seen: dict[str, tuple[int, Case]] = {}

    def take(line: _Line) -> None:
        case = case_of_row(line.row, app=app, line=line.text)
        number, twin = seen.setdefault(case.id, (line.number, case))
        if other := [k for k in TESTED if getattr(twin, k) != getattr(case, k)]:
            raise InputError(f"it is the case of line {number}, and differs in {' and '.join(other)}; keep one of them")
        cases.append(case)

    _each_line(text, name, take)
    return tuple(cases)


def places_of(text: str, cases: Iterable[Case]) -> dict[str, str]:
    """Where cases stand in the golden set that they were read from, by their ids: ``line 3``; the id where that was no JSONL."""
    first = {raw: number for number, raw in reversed([*enumerate(text.removeprefix("\ufeff").split("\n"), 1)])}
    return {c.id: f"line {first[c.line]}" if c.line in first else c.id for c in cases}


def read_set(path: Path, *, app: str = _APP) -> tuple[Case, ...]:
    """The cases of a golden set on disk.

    Raises:
        InputError: the file cannot be read, or a line is no case.
    """
    return parse_cases(read_text(path), app=app, name=str(path))


def render_cases(cases: Iterable[Case]) -> str:
    """A golden set in JSONL, one line for each case, each ended by a line feed; unchanged lines as they were read.

    Cases that were erased are left out: read back, such a line would be another case.
    """
    return "".join(f"{_line(c)}\n" for c in cases if not is_erased(c))


def merge_cases(text: str, cases: Sequence[Case], *, app: str = _APP, name: str = "the golden set") -> str:
    """A golden set's text with the cases that it does not hold yet appended, but erased ones; what is there stays to the byte.

    The one exception: the line of a case that was retired, or brought back, says so. A line that names no app is that of the
    first case with its question and right answer, whichever app it was imported for. New lines end as the first one does.

    Raises:
        InputError: a line of the text is no case.
    """
    present = iter(parse_cases(text, app=app, name=name))
    of_id = {c.id: c for c in cases}
    of_text = {(c.question, c.ground_truth): c for c in reversed(cases)}
    there: set[str] = set()
    lines: list[str] = []
    for raw in text.split("\n"):
        before = next(present) if raw.removeprefix("\ufeff").strip() else None
        case = of_id.get(before.id) if before else None
        if before is not None and case is None and not _text(_object(before.line or "{}"), "app"):
            case = of_text.get((before.question, before.ground_truth))
        there |= {c.id for c in (before, case) if c}
        lines.append(raw if before is None or case is None else _restated(raw, before, case))
    after = "\n".join(lines)
    end = "\r\n" if lines[0].endswith("\r") else "\n"
    new = "".join(f"{_line(c).removesuffix(chr(13))}{end}" for c in cases if c.id not in there and not is_erased(c))
    return f"{after}{end}{new}" if new and after and not after.endswith("\n") else after + new


def _restated(raw: str, before: Case, case: Case) -> str:
    """A line of a file, with its retirement as the case has it; as it is where the case was never retired."""
    if case.retired_why is None or (case.retired, case.retired_why) == (before.retired, before.retired_why):
        return raw
    row = _object(raw.removeprefix("\ufeff")) | {"retired": case.retired, "retired_why": case.retired_why}
    row |= {} if before.id == case.id else {"app": case.app}
    mark, end = "\ufeff" * raw.startswith("\ufeff"), "\r" * raw.endswith("\r")
    return mark + _dump({k: v for k, v in row.items() if k != "retired" or v is not None}) + end


def parse_labels(text: str, *, name: str = "the labels") -> tuple[LabelRow, ...]:
    """The rows of a label file, JSONL or CSV with a header: `id` or `question`, and `ground_truth` or `verdict`.

    `author` and `note` are read if given. The verdict ``dismiss`` needs a `note` that says why, and no right answer.

    Raises:
        InputError: at least one row is no label; names the lines.
    """
    if text.removeprefix("\ufeff").lstrip().startswith("{"):
        rows: list[LabelRow] = []
        _each_line(text, name, lambda line: rows.append(_label(line.number, line.row)))
        return tuple(rows)
    return _labels_in_csv(text, name)


def label_sheet(failures: Iterable[Failure], *, author: str = "") -> str:
    """A CSV for people to fill in: one row for each failure, `verdict` and `ground_truth` empty. `parse_labels` reads it back.

    What a spreadsheet would run as a formula gets an apostrophe in front (OWASP, "CSV Injection").
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(SHEET)
    writer.writerows([re.sub(_FORMULA.format(""), "'", v) for v in _to_fill_in(f, author).values()] for f in failures)
    return out.getvalue()


def label_lines(failures: Iterable[Failure], *, author: str = "") -> str:
    """As `label_sheet`, in JSONL, with the contexts."""
    return "".join(f"{_dump({**_to_fill_in(f, author), 'contexts': list(f.contexts)})}\n" for f in failures)


def _to_fill_in(f: Failure, author: str) -> dict[str, str]:
    versions = ", ".join(f"{k} {v}" for k, v in sorted(f.versions.items()))
    shown = (
        f.id, f.question, f.answer or "", f.reason, f.app, f.incident or "", versions, f.suggestion or "", "", "", author, ""
    )  # fmt: skip
    return dict(zip(SHEET, shown, strict=True))


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with its line ends as they are.

    Raises:
        InputError: there is no such file, or it is not UTF-8.
        StoreError: the disk failed.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path} is not UTF-8 at line {line}; save it as UTF-8") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError, NotADirectoryError) as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give the path of a file") from None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", retryable=True) from error


def _each_line(text: str, name: str, take: Callable[[_Line], None]) -> None:
    bad: list[str] = []
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if not raw.strip():
            continue
        try:
            take(_Line(number, raw, _object(raw)))
        except InputError as error:
            bad.append(f"line {number}: {error}")
    _refuse(bad, name)


def _refuse(bad: Sequence[str], name: str) -> None:
    if bad:
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise InputError(f"{name}: {'; '.join(bad[:_NAMED])}{more}. Nothing was read; correct these lines")


def _object(raw: str) -> dict[str, Any]:
    try:
        row = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{quoted(raw)} is not JSON ({quoted(str(error), 80)})") from None
    if not isinstance(row, dict):
        raise InputError(f"{quoted(row)} is not an object; one JSON object per line is allowed")
    return row


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def case_of_row(row: Mapping[str, Any], *, app: str = _APP, line: str | None = None) -> Case:
    """The case of one JSON object with `COMMON` and `OURS` keys; `app` where it names none, `line` to be written back.

    Raises:
        InputError: question or right answer are missing, or a value is of another type.
    """
    question, truth = _needed(row, "question"), _needed(row, "ground_truth")
    app = _text(row, "app") or app
    direction = _text(row, "direction") or "down"
    if direction not in ("up", "down"):
        raise InputError(f"direction is {quoted(direction)}; up or down is allowed")
    return Case(
        question=question,
        answer=_text(row, "answer"),
        contexts=_contexts(row.get("contexts")),
        ground_truth=truth,
        source=_text(row, "source") or "",
        failure_reason=_text(row, "failure_reason") or "",
        added_date=_text(row, "added_date") or "",
        id=case_id(app, question, truth),
        app=app,
        metric=_text(row, "metric") or "normalised_match",
        direction=direction,
        cut=_number(row, "cut"),
        risk_category=_text(row, "risk_category"),
        incident=_text(row, "incident"),
        label_author=_text(row, "label_author"),
        embedder=_text(row, "embedder"),
        nearest=_number(row, "nearest"),
        expect=_expected(row.get("expect")),
        variant_of=_text(row, "variant_of"),
        cluster=_text(row, "cluster"),
        retired=_text(row, "retired"),
        retired_why=_text(row, "retired_why"),
        line=line,
    )


def row_of_case(case: Case) -> dict[str, Any]:
    """A case as one JSON object: `COMMON` first, then what is set of `OURS`."""
    known: dict[str, Any] = {k: getattr(case, k) for k in COMMON}
    return known | {k: v for k in OURS if (v := getattr(case, k)) not in (None, {})}


def _expected(value: Any) -> dict[str, Any]:
    if value is None or isinstance(value, dict):
        return value or {}
    raise InputError(f"expect is {quoted(value)}; an object is allowed")


def _needed(row: Mapping[str, Any], key: str) -> str:
    text = _text(row, key)
    if text is None or not text.strip():
        raise InputError(f"{key} is missing; a case needs `question` and `ground_truth`")
    return text


def _text(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _HUGE:
        return json.dumps(value)
    raise InputError(f"{key} is {quoted(value)}; text is allowed")


def _number(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _HUGE:
        raise InputError(f"{key} is {quoted(value)}; a finite number is allowed")
    return float(value)


def _contexts(value: Any) -> tuple[str, ...]:
    items = [] if value is None else [value] if isinstance(value, str) else value
    texts = [c.get("text") if isinstance(c, dict) else c for c in items] if isinstance(items, list) else [None]
    if not all(isinstance(t, str) for t in texts):
        raise InputError(f"contexts is {quoted(value)}; a list of texts, or of objects with `text`, is allowed")
    return tuple(t for t in texts if isinstance(t, str))


def _line(case: Case) -> str:
    known = row_of_case(case)
    if case.line is None:
        return _dump(known)
    row = _object(case.line)
    if case_of_row(row, line=case.line) == case:
        return case.line
    if not (isinstance(row.get("id"), str) and _OUR_ID.fullmatch(row["id"])) and "id" in row:
        known["id"] = row["id"]  # theirs
    return _dump(known | {k: v for k, v in row.items() if k not in COMMON and k not in OURS})


def _dump(row: dict[str, Any]) -> str:
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: no text, but JSON can spell it
        return json.dumps(row)
    return text


def _label(number: int, row: dict[str, Any]) -> LabelRow:
    identity, question = _text(row, "id") or None, _text(row, "question") or None
    if identity is None and question is None:
        raise InputError("neither `id` nor `question` is given; one of them names the failure")
    if not {"ground_truth", "verdict"} & set(row):
        raise InputError("ground_truth is missing; give the right answer, or an empty text for `not yet`")
    truth, verdict = _text(row, "ground_truth") or "", (_text(row, "verdict") or "answer").strip().casefold()
    if verdict not in ("answer", "dismiss"):
        raise InputError(f"verdict is {quoted(verdict)}; answer, dismiss or an empty text is allowed")
    if verdict == "dismiss" and truth.strip():
        raise InputError("verdict is dismiss, and ground_truth holds an answer; keep one of them")
    return LabelRow(
        line=number,
        id=identity,
        question=question,
        ground_truth=truth,
        verdict="dismiss" if verdict == "dismiss" else "answer",
        author=_text(row, "author") or None,
        note=_text(row, "note") or "",
    )


def _labels_in_csv(text: str, name: str) -> tuple[LabelRow, ...]:
    body = text.removeprefix("\ufeff")
    first = body.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    bad: list[str] = []
    rows: list[LabelRow] = []
    limit = csv.field_size_limit(max(131_072, len(body) + 1))
    try:
        reader = csv.DictReader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True)
        header = reader.fieldnames or ()
        if "ground_truth" not in header or not {"id", "question"} & set(header):
            raise InputError(
                f"{name}: the header is {quoted(first.strip())}; a label file has the columns `id` or `question`, and `ground_truth`"
            )
        for row in reader:
            try:
                if None in row:
                    raise InputError("it has more cells than the header; quote cells that hold the delimiter")
                cells = {k: re.sub(_FORMULA.format("'"), "", v) for k, v in row.items() if v is not None}
                rows.append(_label(reader.line_num, cells))
            except InputError as error:
                bad.append(f"line {reader.line_num}: {error}")
    except csv.Error as error:
        raise InputError(f"{name}: line {reader.line_num} is not CSV: {error}") from None
    finally:
        csv.field_size_limit(limit)
    _refuse(bad, name)
    return tuple(rows)
