"""Request bodies: read up to a limit, decompress up to a limit, and split into rows."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import orjson
import pyarrow as pa
from fastapi import Request
from isal import isal_zlib

from andon.api.errors import Refused
from andon.traffic.intake import BadRow
from andon.traffic.quoting import quoted

__all__ = ["MAX_BODY", "MAX_UNPACKED", "MOST_HELD", "Room", "media_type", "read_body", "rows_of", "unpack"]

MAX_BODY = 16 * 2**20
"""Most bytes of a body as it travels; of a JSON array or object also when unpacked (JSON lines may be longer)."""

MAX_UNPACKED = 64 * 2**20
"""Most bytes of a body after decompression."""

MOST_HELD = 64 * 2**20
"""Most bytes of bodies, as they travelled, that wait or are worked on at the same time."""

_STEP = 2**18
_MEMBERS = 100
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


def media_type(request: Request) -> str:
    """The content type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class Room:
    """Bounds how many bytes of bodies are held at a time; who does not fit is asked to send again later."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most, self._held = most, 0

    async def read(self, request: Request, limit: int = MAX_BODY) -> bytes:
        """The body as it travelled; it counts as held until `leave`.

        Raises:
            Refused: it is longer than `limit` (413), or there is no room (503); reading stops there.
        """
        announced = request.headers.get("content-length", "")
        size = int(announced[:20]) if announced.isdigit() else 0
        if size > limit:
            raise _too_large(limit)
        body = bytearray()
        held = 0
        try:
            held = self._take(max(size, 1))
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
                if len(body) > held:
                    held += self._take(len(body) - held)
        except BaseException:
            self._held -= held
            raise
        request.state.held = held
        return bytes(body)

    def leave(self, request: Request) -> None:
        """Say that the body of a request is held no more."""
        self._held -= getattr(request.state, "held", 0)
        request.state.held = 0

    def _take(self, size: int) -> int:
        if self._held and self._held + size > self._most:
            raise Refused(
                503, "Busy", "more arrives than can be stored now; nothing of this was kept: send it again later"
            )
        self._held += size
        return size


async def read_body(request: Request, limit: int = MAX_BODY) -> bytes:
    """The body as it travelled, of a small request.

    Raises:
        Refused: it is longer than `limit` (413); reading stops there.
    """
    return await Room().read(request, limit)


def unpack(body: bytes, encoding: str, limit: int = MAX_UNPACKED) -> bytes:
    """The body without its content encoding; memory stays below `limit` (and one step), whatever the body claims.

    Raises:
        Refused: it unpacks to more than `limit` (413), is not what it says (400), or the encoding is unknown (415).
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if encoding in ("gzip", "x-gzip"):
        return _inflated(body, limit, "gzip", 31)
    if encoding == "deflate":  # by the standard in zlib's wrapper; some senders leave it out
        return _inflated(body, limit, "deflate", 15 if body[:1] and body[0] & 0x0F == 8 and _is_zlib(body) else -15)
    if encoding == "zstd":
        return _zstd(body, limit)
    raise Refused(
        415, "UnsupportedMediaType", f"content encoding {quoted(encoding)} is not read; gzip, deflate, zstd or none is"
    )


def _is_zlib(body: bytes) -> bool:
    return len(body) > 1 and int.from_bytes(body[:2], "big") % 31 == 0


def _inflated(body: bytes, limit: int, name: str, wbits: int) -> bytes:
    out: list[bytes] = []
    size, rest, members = 0, body, 0
    while rest:  # a gzip body may be several members, one after the other
        members += 1
        if members > (_MEMBERS if name == "gzip" else 1):
            raise Refused(400, "InputError", f"the {name} body has more than {members - 1} members; send it as one")
        stream = isal_zlib.decompressobj(wbits=wbits)
        while not stream.eof:
            try:
                piece = stream.decompress(rest, _STEP)
            except isal_zlib.error as error:  # type: ignore[misc]
                raise Refused(400, "InputError", f"the body is not {name}: {error}") from error
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
            out.append(piece)
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            if not piece and not rest and not stream.eof:
                raise Refused(400, "InputError", f"the {name} body ends too early; send all of it")
    return b"".join(out)


def _zstd(body: bytes, limit: int) -> bytes:
    out: list[bytes] = []
    size = 0
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
            while piece := stream.read(_STEP):
                out.append(piece)
                size += len(piece)
                if size > limit:
                    raise _too_large(limit)
    except (OSError, pa.ArrowException) as error:
        raise Refused(
            400, "InputError", f"the body is not zstd, or ends too early: {quoted(str(error), 80)}"
        ) from error
    return b"".join(out)


def rows_of(body: bytes, kind: str, read: Callable[[Iterable[bytes]], Iterator[Any]]) -> Iterator[Any | BadRow]:
    """Every row of a body by `read`, which takes JSON lines: of JSON lines themselves, or of a JSON array or object.

    Raises:
        Refused: the content type is not read (415), or the body is no JSON (400) or too long for it (413).
    """
    if kind in _LINES:
        return read(_lines(body))
    if kind != "application/json":
        raise Refused(
            415,
            "UnsupportedMediaType",
            f"content type {quoted(kind)} is not read; application/x-ndjson and application/json are",
        )
    if len(body) > MAX_BODY:
        raise _too_large(MAX_BODY)
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "InputError", f"the body is not JSON: {error.msg} at character {error.pos + 1}") from error
    items = content if isinstance(content, list) else [content]
    return chain.from_iterable(read_one(read, item, number) for number, item in enumerate(items, 1))


def read_one(read: Callable[..., Iterator[Any]], item: Any, number: int) -> Iterator[Any]:
    """One item of a JSON array, read like line `number`."""
    return read((orjson.dumps(item),), first=number)


def _lines(body: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        yield body[start:end]
        start = end + 1


def _too_large(limit: int) -> Refused:
    return Refused(
        413, "TooLarge", f"the body is longer than {limit} bytes ({limit // 2**20} MiB); send less at a time"
    )
