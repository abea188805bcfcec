"""The values of a JSON file one by one, so that an array of any length is read in bounded memory.

Read are one value, an array (its elements are the values), and values one after another, with or without line breaks.
"""

import re
from collections.abc import Iterator
from typing import IO

from andon.errors import InputError
from andon.traffic.intake import MAX_LINE

__all__ = ["MAX_VALUE", "values_of"]

MAX_VALUE = 4 * MAX_LINE
"""Longest value of a JSON file, in bytes; one exported trace is one value."""
_MAX_DEPTH = 1_000
_CHUNK = 2**20
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+("?)|[\[\]{}]', re.DOTALL)
_SPACE = re.compile(rb"[\s,\x1e]*+")
_SCALAR = re.compile(rb"[^\s,\x1e\[\]{}]*+")


def values_of(stream: IO[bytes], limit: int = MAX_VALUE) -> Iterator[tuple[int, bytes | InputError]]:
    """Each value with its number from 1; at most `limit` bytes are held. What ends the reading is the last one given.

    The values are only told apart here, and may still be no JSON.
    """
    return _Splitter(stream, limit).values()


class _Splitter:
    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._buffer = b""
        self._ended = False

    def values(self) -> Iterator[tuple[int, bytes | InputError]]:
        number, at, in_array = 0, 0, False
        self._more(0)
        at = 3 if self._buffer.startswith(b"\xef\xbb\xbf") else 0
        while True:
            at = self._skip(at)
            first = self._buffer[at : at + 1]
            if not first:
                break
            if first == b"[" and number == 0 and not in_array:
                in_array, at = True, at + 1
                continue
            if first == b"]" and in_array:
                in_array, at = False, at + 1
                continue
            number += 1
            try:
                at, end = self._end_of(at)
                self._check_length(end - at)
            except InputError as error:
                yield number, error
                return
            yield number, self._buffer[at:end]
            at = end
        if in_array:
            yield number + 1, InputError("the file ends within its array; it may have been cut off")

    def _skip(self, at: int) -> int:
        """The position of the next value, or the end of all that there is."""
        while True:
            found = _SPACE.match(self._buffer, at)
            assert found is not None
            if found.end() < len(self._buffer) or self._ended:
                return found.end()
            at = self._more(found.end())

    def _end_of(self, at: int) -> tuple[int, int]:
        """Where the value that begins here begins in the buffer, after reading what it lacked, and where it ends."""
        if self._buffer[at : at + 1] not in (b"{", b"[", b'"'):
            return self._end_of_scalar(at)
        depth, looked = 0, at
        while True:
            token = _TOKEN.search(self._buffer, looked)
            if token is None or token.group(1) == b"":  # the latter is a string of which the end was not read yet
                from_here = token.start() if token is not None else len(self._buffer)
                looked, at = self._longer(at, from_here)
                continue
            looked = token.end()
            character = self._buffer[token.start()]
            depth += 1 if character in b"[{" else -1 if character in b"]}" else 0
            if depth > _MAX_DEPTH:
                raise InputError(f"a value is nested more than {_MAX_DEPTH:,} deep; the file is not read further")
            if depth <= 0:
                return at, looked

    def _end_of_scalar(self, at: int) -> tuple[int, int]:
        while True:
            found = _SCALAR.match(self._buffer, at)
            assert found is not None
            if found.end() < len(self._buffer) or self._ended:
                return at, max(found.end(), at + 1)
            _, at = self._longer(at, at)

    def _longer(self, at: int, looked: int) -> tuple[int, int]:
        """Read on within a value; returns the two positions in the new buffer, the place to look at first."""
        if self._ended:
            raise InputError("the file ends within this value; it may have been cut off")
        self._check_length(len(self._buffer) - at)
        self._more(at)
        return looked - at, 0

    def _check_length(self, length: int) -> None:
        if length > self._limit:
            raise InputError(
                f"a value is longer than {self._limit:,} bytes, and the file is not read further; JSON lines (.jsonl), or an "
                f"array of smaller values, are read whatever their length"
            )

    def _more(self, keep_from: int) -> int:
        """Drop what is before this position and read on; returns the position in the new buffer."""
        kept = self._buffer[keep_from:]
        chunk = self._stream.read(max(_CHUNK, len(kept)))  # as much again, so that long values cost no square
        self._ended = not chunk
        self._buffer = kept + chunk
        return 0
