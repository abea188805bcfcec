"""Freeze evidence before a lever moves, but never for so long that the harm goes on meanwhile."""

import threading
from collections.abc import Callable, Sequence

__all__ = ["FREEZE_S", "freeze_within"]

FREEZE_S = 3.0
"""How long a pull waits for evidence, in seconds: levers are to be effective within 5."""


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
