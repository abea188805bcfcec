"""Request bodies: read up to a limit, decompress up to a limit, and split into rows."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import orjson
from fastapi import Request

from andon.api.errors import Refused
from andon.traffic.intake import BadRow
from andon.traffic.quoting import quoted

__all__ = ["MAX_BODY", "MAX_UNPACKED", "media_type", "read_body", "rows_of", "unpack"]

MAX_BODY = 16 * 2**20
"""Most bytes of a body as it travels; of a JSON array or object also when unpacked (JSON lines may be longer)."""

MAX_UNPACKED = 64 * 2**20
"""Most bytes of a body after decompression."""

_STEP = 2**20
_MEMBERS = 100
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


def media_type(request: Request) -> str:
    """The content type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, limit: int = MAX_BODY) -> bytes:
    """The body as it travelled.

    Raises:
        Refused: it is longer than `limit` (413); reading stops there.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def unpack(body: bytes, encoding: str, limit: int = MAX_UNPACKED) -> bytes:
    """The body without its content encoding; memory stays below `limit` (and one step), whatever the body claims.

    Raises:
        Refused: it unpacks to more than `limit` (413), is not gzip (400), or the encoding is unknown (415).
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise Refused(415, "UnsupportedMediaType", f"content encoding {quoted(encoding)} is not read; gzip or none is")
    out = bytearray()
    rest, members = body, 0
    while rest:  # a gzip body may be several members, one after the other
        members += 1
        if members > _MEMBERS:
            raise Refused(400, "InputError", f"the gzip body has more than {_MEMBERS} members; send it as one")
        stream = zlib.decompressobj(wbits=31)
        while not stream.eof:
            try:
                piece = stream.decompress(rest, _STEP)
            except zlib.error as error:
                raise Refused(400, "InputError", f"the body is not gzip: {error}") from error
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
            out += piece
            if len(out) > limit:
                raise _too_large(limit)
            if not piece and not rest and not stream.eof:
                raise Refused(400, "InputError", "the gzip body ends too early; send all of it")
    return bytes(out)


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
    return read((orjson.dumps(item),), number)


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
