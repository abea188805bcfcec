"""What a remembering ledger holds in memory: of each kind its records in their latest version, and a shelf for the large ones.

No database here: rows are handed in.
"""

import threading
from bisect import bisect_left, insort
from collections import OrderedDict
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

from andon.store.schema import beyond

__all__ = ["LARGE", "ROOM", "Head", "Kind", "Memory", "Shelf"]

T = TypeVar("T")
_first = attrgetter("first")

LARGE = 8_192
"""A record whose JSON text has more characters is held on the shelf, as long as there is room; smaller ones stay."""

ROOM = 32_000_000
"""Characters of JSON text whose records the shelf holds; the objects take up a few times that."""


@dataclass(slots=True, kw_only=True)
class Head:
    """The latest version of one record. Only `held` ever changes, from the text to the record that it says."""

    id: str
    first: int
    """Entry of its first version, by which `all` is ordered; its own entry while that is not known."""
    entry: int
    version: int
    at_us: int
    by: str
    held: Any
    """JSON text, the record once it was parsed, or None: too large to be held here."""


class Shelf:
    """Large records by use: when room is needed, the one that was not asked for longest goes."""

    def __init__(self, room: int) -> None:
        self._room, self._taken = room, 0
        self._held: OrderedDict[tuple[type, str], tuple[int, Any, int]] = OrderedDict()
        self._turn = threading.Lock()

    def take(self, key: tuple[type, str], entry: int) -> Any:
        """The text or record of that very entry; None where it is not held."""
        with self._turn:
            found = self._held.get(key)
            if found is None or found[0] != entry:
                return None
            self._held.move_to_end(key)
            return found[1]

    def put(self, key: tuple[type, str], entry: int, held: Any, size: int, *, push: bool) -> None:
        """Hold a text or record.

        Args:
            key: its kind and id.
            entry: which version it is; one that is older than what is held is left out.
            held: what to hold.
            size: characters of its text.
            push: whether others may have to go. Who reads a whole kind pushes nothing out: else each such reading of a kind
                that is larger than the room would empty the shelf and find nothing the next time.
        """
        with self._turn:
            old = self._held.get(key)
            if old and old[0] > entry:
                return
            if old:
                del self._held[key]
                self._taken -= old[2]
            if size > (self._room if push else self._room - self._taken):
                return
            self._held[key] = (entry, held, size)
            self._taken += size
            while self._taken > self._room:
                _, (_, _, gone) = self._held.popitem(last=False)
                self._taken -= gone


class Kind(Generic[T]):
    """The records of one kind that are remembered. `turn` is held to read or change anything but `news` and `answer`."""

    def __init__(self, kind: type[T], shelf: Shelf) -> None:
        self.kind, self.shelf = kind, shelf
        self.turn, self.parsing = threading.Lock(), threading.Lock()
        self.heads: dict[str, Head] = {}
        self.whole = False
        """Whether all records of the kind are in `heads`."""
        self.news: dict[str, tuple[int, int]] = {}
        """Id -> (first, last) entry that was written and is not in `heads` yet; changed by the ledger while it asks."""
        self.changes = 0
        """How often `heads` changed."""
        self.answer: tuple[int, list[T]] = (-1, [])
        """After which number of changes `all` gave which answer; none where some records are large."""
        self._ordered: list[Head] | None = None
        self._names: list[str] | None = None

    def keep(self, row: Any, first: int | None = None) -> Head:
        """Remember a row as the latest version of its record."""
        known = self.heads.get(row.id)
        large, key = len(row.body) > LARGE, (self.kind, row.id)
        if large and self.shelf.take(key, row.entry) is None:
            self.shelf.put(key, row.entry, row.body, len(row.body), push=False)
        head = Head(
            id=row.id,
            first=known.first if known else row.entry if first is None else first,
            entry=row.entry,
            version=row.version,
            at_us=row.at_us,
            by=row.author,
            held=None if large else row.body,
        )
        self.heads[row.id] = head
        self.changes += 1
        if known is None and self._names is not None:
            insort(self._names, row.id)
        if self._ordered is not None:
            self._order(head, known)
        return head

    def _order(self, head: Head, known: Head | None) -> None:
        assert self._ordered is not None
        if known is not None:
            self._ordered[bisect_left(self._ordered, known.first, key=_first)] = head
        elif not self._ordered or self._ordered[-1].first < head.first:
            self._ordered.append(head)
        else:  # several came at once
            self._ordered = None

    def drop(self, name: str) -> None:
        """Forget one record; only of a kind that is not held as a whole."""
        del self.heads[name]
        self.changes += 1

    def is_news(self, name: str, entry: int) -> bool:
        """Whether an entry is newer than what is remembered of the record; of one that nobody asked for nothing is news."""
        known = self.heads.get(name)
        return self.whole if known is None else known.entry < entry

    def ordered(self) -> list[Head]:
        """All heads of a kind that is held as a whole, in the order of first writing."""
        if self._ordered is None:
            self._ordered = sorted(self.heads.values(), key=_first)
        return list(self._ordered)

    def begin(self, begins: str) -> list[Head]:
        """Those heads of a kind that is held as a whole whose id begins so, by code points, in the order of first writing."""
        if self._names is None:
            self._names = sorted(self.heads)
        low, end = bisect_left(self._names, begins), beyond(begins)
        high = len(self._names) if end is None else bisect_left(self._names, end, low)
        return sorted((self.heads[name] for name in self._names[low:high]), key=_first)


class Memory:
    """All that is remembered; only the ledger's thread that asks for news touches it."""

    def __init__(self) -> None:
        self.kinds: dict[type, Kind[Any]] = {}
        self._shelf = Shelf(ROOM)

    def kind(self, kind: type[T]) -> Kind[T]:
        """What is remembered of a kind; by the class, as two classes of one name read the same records differently."""
        if kind not in self.kinds:
            self.kinds[kind] = Kind(kind, self._shelf)
        return self.kinds[kind]

    def tell(self, written: list[tuple[int, str, str]]) -> None:
        """Tell the kinds what was written: (entry, name of the kind, id)."""
        by_name: dict[str, list[Kind[Any]]] = {}
        for known in self.kinds.values():
            by_name.setdefault(known.kind.__name__, []).append(known)
        for entry, name, record_id in written:
            for known in by_name.get(name, ()):
                first, last = known.news.get(record_id, (entry, entry))
                known.news[record_id] = (min(first, entry), max(last, entry))
