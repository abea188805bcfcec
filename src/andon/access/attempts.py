"""How often somebody may be wrong: a limit on wrong passwords, in the memory of one process."""

import threading
from collections import OrderedDict, deque
from ipaddress import ip_address, ip_network

from andon.access.names import typed_letters

__all__ = ["PER_ADDRESS", "PER_NAME", "WITHIN_US", "Attempts"]

PER_NAME, PER_ADDRESS = 5, 30
"""Wrong passwords that are allowed of one name and from one address, within `WITHIN_US`."""

WITHIN_US = 15 * 60 * 1_000_000

_MOST = 10_000
"""Names and addresses that are remembered; of more, those are forgotten that were wrong longest ago."""


class Attempts:
    """Wrong passwords by name and by address; threads may share it.

    An attempt counts as wrong from its begin, so that many at once are counted too, until `right` takes it back. An address of IPv6 is
    its network of 64 bits, all of which one machine has to choose from.
    """

    def __init__(self) -> None:
        """Nobody was wrong yet."""
        self._turn = threading.Lock()
        self._wrong: OrderedDict[tuple[str, str], deque[int]] = OrderedDict()

    def begin(self, name: str, address: str, now_us: int) -> int:
        """Count an attempt, unless there were too many; returns the seconds to wait, 0 where it may be made.

        Args:
            name: as typed; its spellings are one.
            address: of the client.
            now_us: the clock.
        """
        with self._turn:
            waits = [self._wait_us(key, most, now_us) for key, most in _keys(name, address)]
            if any(waits):
                return -(-max(waits) // 1_000_000)
            for key, most in _keys(name, address):
                self._wrong.setdefault(key, deque(maxlen=most)).append(now_us)
                self._wrong.move_to_end(key)
            while len(self._wrong) > _MOST:
                self._wrong.popitem(last=False)
            return 0

    def right(self, name: str, address: str) -> None:
        """Take the last attempt back: the password was right. What was wrong before is forgotten of the name, not of the address."""
        with self._turn:
            (of_name, _), (of_address, _) = _keys(name, address)
            self._wrong.pop(of_name, None)
            if times := self._wrong.get(of_address):
                times.pop()

    def _wait_us(self, key: tuple[str, str], most: int, now_us: int) -> int:
        """How long until there is room for one more, in microseconds."""
        times = self._wrong.get(key)
        if times is None:
            return 0
        while times and times[0] <= now_us - WITHIN_US:
            times.popleft()
        if not times:
            del self._wrong[key]
            return 0
        return max(0, times[0] + WITHIN_US - now_us) if len(times) >= most else 0


def _keys(name: str, address: str) -> tuple[tuple[tuple[str, str], int], tuple[tuple[str, str], int]]:
    return (("name", typed_letters(name)), PER_NAME), (("address", _network(address)), PER_ADDRESS)


def _network(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return address[:200]
    mapped = getattr(found, "ipv4_mapped", None)
    if found.version == 4 or mapped is not None:
        return str(mapped or found)
    return str(ip_network(f"{found}/64", strict=False))
