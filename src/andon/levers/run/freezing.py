"""Freeze evidence before a lever moves, but never for so long that the harm goes on meanwhile."""

import threading
from collections.abc import Callable, Sequence

from andon.incidents import Incident
from andon.levers.records import Lever
from andon.store import Ledger
from andon.traffic import quoted

__all__ = ["FREEZE_S", "NOTHING_OPEN", "app_of", "freeze_before", "freeze_within", "not_frozen", "open_incidents"]

FREEZE_S = 3.0
"""How long a pull waits for evidence, in seconds: levers are to be effective within 5."""


NOTHING_OPEN = "no incident was open"


def freeze_within(freeze: Callable[[], Sequence[str]], seconds: float = FREEZE_S) -> Sequence[str] | None:
    """What `freeze` returns, or None where it takes longer; then it goes on in a thread of its own, and is not waited for.

    Ledger and warehouse may be shared by threads. Evidence that comes late is still that of the moment which `freeze` was
    given. The thread ends with the process.

    Args:
        freeze: freezes evidence; returns ids of incidents.
        seconds: how long it is waited for.

    Raises:
        Exception: what `freeze` raised within that time, whatever it is.
    """
    frozen: list[Sequence[str]] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            frozen.append(freeze())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="andon-freeze", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        error = failed[0]
        raise error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
    return frozen[0] if frozen else None


def freeze_before(
    ledger: Ledger, lever: Lever, freeze: Callable[[Sequence[str]], Sequence[str] | None]
) -> tuple[list[str], bool]:
    """Freeze what must not be lost by what a lever changes; whatever goes wrong keeps nobody from stopping the harm.

    Args:
        ledger: has the incidents.
        lever: what is about to move.
        freeze: is given the ids of the incidents that are open, and returns those whose evidence it froze; None where that takes
            too long and goes on.

    Returns:
        What was done or why nothing was, a sentence each, for the record of the pull; and whether it goes on.
    """
    try:
        known = open_incidents(ledger, lever)
        frozen = freeze(known) if known else []
    except Exception as error:
        return [not_frozen(error)], False
    if not known:
        return [NOTHING_OPEN], False
    if frozen is None:
        return [
            f"freezing evidence of {', '.join(known)} takes longer than {FREEZE_S:g} s; it was held without waiting"
        ], True
    fresh = [i for i in known if i not in frozen]
    parts = [f"evidence of {', '.join(frozen)} is frozen"] if frozen else []
    return parts + ([f"evidence of {', '.join(fresh)} is frozen already"] if fresh else []), False


def not_frozen(error: BaseException) -> str:
    """What to say of evidence that could not be frozen."""
    return f"evidence of an open incident could not be frozen before: {quoted(f'{type(error).__name__}: {error}', 500)}"


def open_incidents(ledger: Ledger, lever: Lever) -> list[str]:
    """The incidents of what reads a lever that are not closed, whose evidence a pull would change."""
    mine = (i for i in ledger.all(Incident) if app_of(lever) in (None, i.app))
    return sorted(i.id for i in mine if i.state != "closed")


def app_of(lever: Lever) -> str | None:
    """The application that reads a lever; None: any may."""
    return None if lever.app == "default" else lever.app
