"""Store failures, each once."""

from collections.abc import Iterable

from andon.errors import InputError, StateError
from andon.golden.records import CaptureResult, Failure, Refusal
from andon.store import Ledger

__all__ = ["capture"]


def capture(ledger: Ledger, failures: Iterable[Failure], *, now_us: int, by: str = "andon") -> CaptureResult:
    """Store failures (`to_failure` makes them), each once: its id is a digest of app, question and answer.

    Raises:
        StoreError: the ledger failed; what was captured before stays, and calling again is safe.
    """
    captured: list[str] = []
    known: list[str] = []
    refused: list[Refusal] = []
    for failure in failures:
        try:
            ledger.put(failure, now_us=now_us, by=by, expect=0)
            captured.append(failure.id)
        except StateError:
            known.append(failure.id)
        except InputError as error:
            refused.append(Refusal(id=failure.id, reason=str(error)))
    return CaptureResult(captured=tuple(captured), known=tuple(known), refused=tuple(refused))
