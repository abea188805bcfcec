"""Which arm of an experiment a targeting key belongs to: a stable hash, the same in every process and for ever.

One function for the server and for the provider that allocates in the application: both must agree for every user.
"""

from collections.abc import Sequence
from hashlib import blake2b

__all__ = ["UNALLOCATED", "allocate", "position"]

UNALLOCATED = -1
"""Instead of the index of an arm: the key lies in none, where shares sum to less than one."""

_SPAN = float(1 << 64)


def position(key: str, salt: str) -> float:
    """Where a key stands between 0 and 1: uniform over keys, and independent between salts.

    ``blake2b(key, key=salt)`` read as 64 bits. Two experiments have two salts, so that the arms of one say nothing about those
    of the other; the same salt gives the same users again (a canary that grows keeps the users that it has).
    """
    mark = blake2b(
        key.encode("utf-8", "surrogatepass"), digest_size=8, key=blake2b(salt.encode(), digest_size=32).digest()
    )
    return int.from_bytes(mark.digest(), "big") / _SPAN


def allocate(key: str, salt: str, shares: Sequence[float]) -> int:
    """The index of the arm that a key belongs to.

    Arms lie one after the other from 0 on, each as wide as its share. So a key never changes its arm while the shares of the
    arms before its own stay: put the treatment first, and a canary that grows from 5 % to 20 % keeps the users that it has.

    Args:
        key: the targeting key, of a user say.
        salt: of the experiment.
        shares: of the arms, 0..1 each and at most 1 together.

    Returns:
        The index, or `UNALLOCATED`.
    """
    at, end = position(key, salt), 0.0
    for index, share in enumerate(shares):
        end += share
        if at < end:
            return index
    return UNALLOCATED if end < 1 - 1e-9 else len(shares) - 1
