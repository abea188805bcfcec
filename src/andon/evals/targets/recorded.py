"""Answers that were recorded before, as a target."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from andon.errors import InputError, SeamError
from andon.evals.records import Output
from andon.evals.targets.reading import json_of, output_of
from andon.golden import Case
from andon.traffic.quoting import quoted

__all__ = ["RecordedTarget", "recorded_target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTarget:
    """Answers that were recorded before: several lines of one question are its attempts 0, 1, 2, in this order."""

    name: str
    outputs: Mapping[str, Sequence[Output]] = field(repr=False)
    settings: str = ""
    """Digest of the file: other answers are another version."""

    def ask(self, case: Case) -> Output:
        """The first recorded answer to the question of a case.

        Raises:
            SeamError: the question was not recorded.
        """
        return self.attempt(case, 0)

    def attempt(self, case: Case, repeat: int) -> Output:
        """The recorded answer of one attempt, counted from 0.

        Raises:
            SeamError: the question was not recorded, or not so often.
        """
        outputs = self.outputs.get(case.question.strip(), ())
        if not outputs:
            raise SeamError(f"{self.name} holds no answer to {quoted(case.question)}; record it, or ask a live target")
        if repeat >= len(outputs):
            many = f"{len(outputs)} answer{'' if len(outputs) == 1 else 's'}"
            raise SeamError(
                f"{self.name} holds {many} to {quoted(case.question)}, not {repeat + 1}; record more, or ask less often"
            )
        return outputs[repeat]


def recorded_target(spec: str, path: Path, allowed: str) -> RecordedTarget:
    """The answers in a JSONL file.

    Raises:
        InputError: it cannot be read, or a line is no recorded answer.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{quoted(spec)} cannot be read: {error.strerror}; allowed: {allowed}") from None
    outputs: dict[str, list[Output]] = {}
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not raw.strip():
            continue
        where = f"{path.name} line {number}"
        try:
            row = json_of(raw, where)
            output = output_of(row, where)
        except SeamError as error:
            raise InputError(str(error)) from None
        question = row.get("question") if isinstance(row, dict) else None
        if not isinstance(question, str):
            raise InputError(f"{where} has no `question`; allowed: {allowed}")
        outputs.setdefault(question.strip(), []).append(output)
    digest = hashlib.sha256(content).hexdigest()
    return RecordedTarget(name=f"recorded:{path.name}", outputs=outputs, settings=digest)
