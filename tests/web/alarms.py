"""A signal and its incident, as the loop writes them, for what pages do with them."""

from andon.incidents import Incident
from andon.monitors import Signal
from andon.store import Ledger

__all__ = ["alarm"]

MINUTE = 60_000_000


def alarm(ledger: Ledger, number: int, now_us: int, app: str = "shop") -> Incident:
    """Write one of refusals that rose."""
    monitor = f"{app}/production/refusal.up/all"
    signal = Signal(
        id=f"{monitor}@{now_us}", monitor=monitor, app=app, environment="production", metric="refusal", direction="up", at_us=now_us,
        window_us=5 * MINUTE, x=5, n=10, baseline_x=10, baseline_n=100, baseline_from_us=now_us - 90 * MINUTE,
        baseline_to_us=now_us - 30 * MINUTE, statistic=9.0, threshold=8.0, onset_us=now_us - 6 * MINUTE, onset_low_us=now_us - 7 * MINUTE,
        onset_high_us=now_us - 5 * MINUTE,
    )  # fmt: skip
    ledger.put(signal, now_us=now_us, by="andon")
    incident = Incident(
        id=f"INC-{number:04d}", title=f"Refusals of {app} rose to 50 %", app=app, environment="production", metric="refusal",
        lead=signal.id, onset_us=signal.onset_us, onset_low_us=signal.onset_low_us, onset_high_us=signal.onset_high_us,
        alarmed_us=now_us, last_signal_us=now_us,
    )  # fmt: skip
    ledger.put(incident, now_us=now_us, by="andon")
    return incident
