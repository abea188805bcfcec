"""Somebody says that an answer failed: it is captured by hand."""

from andon.errors import InputError
from andon.golden.cases import to_failure
from andon.golden.records import Failure
from andon.golden.run.keeping import capture
from andon.store import Ledger
from andon.traffic import VERSIONS, Interaction
from andon.traffic.quoting import quoted

__all__ = ["BY_HAND", "capture_by_hand"]

BY_HAND = "by hand"
"""The `source` of a failure that somebody captured."""


def capture_by_hand(
    ledger: Ledger, interaction: Interaction, why: str, *, right: str | None = None, by: str, now_us: int
) -> tuple[Failure, bool]:
    """Capture one interaction as a failure that waits for a label, and say whether it is new.

    Args:
        ledger: where failures are kept.
        interaction: what was asked and answered.
        why: why it is a failure, in words.
        right: what would have been right, where somebody knows it: a suggestion, that reviewers take or not.
        by: who says so.
        now_us: the clock.

    Raises:
        InputError: there is no reason, or no question that could be asked again.
        StoreError: the ledger failed.
    """
    if not why.strip():
        raise InputError("say in a few words why this answer is a failure: who labels it reads that first")
    failure = to_failure(
        interaction,
        reason=f"{by}: {why.strip()}",
        source=BY_HAND,
        captured_us=now_us,
        correction=right,
        versions=VERSIONS,
    )
    result = capture(ledger, [failure], now_us=now_us, by=by)
    if result.refused:
        raise InputError(f"{quoted(interaction.id)} cannot be captured: {result.refused[0].reason}")
    return ledger.get(Failure, failure.id) or failure, bool(result.captured)
