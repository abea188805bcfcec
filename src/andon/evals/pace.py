"""How fast a target is asked: a rate that is kept, and how long to wait before a question is asked again. Pure."""

import hashlib
from dataclasses import dataclass, replace

from andon.errors import InputError, SeamError
from andon.scores.posting import LONGEST_WAIT_S

__all__ = ["Bucket", "BusyError", "back_off", "bucket_of", "pause", "reserve"]

_FIRST_S, _MOST_S = 0.5, 30.0


class BusyError(SeamError):
    """The target asks to be left alone for a while (HTTP 429 or 503 with Retry-After)."""

    def __init__(self, message: str, *, wait_s: float) -> None:
        super().__init__(message, retryable=True)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A token bucket that holds one token: every question takes it, and it comes back after `turn_s`."""

    turn_s: float
    """Seconds between two questions; 0: no limit."""
    next_s: float = float("-inf")
    """When the next question may be asked, on a steady clock; others have reserved the turns before."""
    not_before_s: float = float("-inf")
    """The target asked for a pause until then."""


def bucket_of(per_minute: float | None) -> Bucket:
    """A bucket that gives so many questions a minute, evenly: no window holds more than its share and one.

    Raises:
        InputError: it is not more than 0.
    """
    if per_minute is not None and not per_minute > 0:
        raise InputError(f"per_minute is {per_minute}; more than 0 is allowed, and no value means no limit")
    return Bucket(turn_s=0.0 if per_minute is None else 60 / per_minute)


def reserve(bucket: Bucket, now_s: float) -> tuple[Bucket, float]:
    """Take the next turn; gives the bucket and how many seconds to wait for it."""
    at_s = max(now_s, bucket.next_s, bucket.not_before_s)
    return replace(bucket, next_s=at_s + bucket.turn_s), at_s - now_s


def pause(bucket: Bucket, until_s: float) -> Bucket:
    """Ask nothing before a time: all workers share the pause that one of them was asked for."""
    return replace(bucket, not_before_s=max(bucket.not_before_s, until_s))


def back_off(key: str, tries: int, wait_s: float | None = None) -> float:
    """Seconds to wait after so many tries of one question (1 after the first).

    ``min(30, 0.5 * 2**(tries - 1))`` times a jitter of 0.5 to 1 that is the digest of `key` and `tries`, so that a run can be
    repeated; at least what the target asked for (`wait_s`), and never more than `LONGEST_WAIT_S`.
    """
    digest = hashlib.sha256(f"{key} {tries}".encode()).digest()
    jitter = 0.5 + int.from_bytes(digest[:8], "big") / 2**65
    own = min(_FIRST_S * 2.0 ** min(tries - 1, 10), _MOST_S) * jitter
    return min(max(own, wait_s or 0.0), LONGEST_WAIT_S)
