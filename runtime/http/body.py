"""The body of a request, read no further than it may be long, compressed or not."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from http import HTTPStatus

from .refusal import RefusalError, refused

__all__ = ["inflated", "joined"]

WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


async def joined(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """The pieces as one. Raises RefusalError as soon as they are longer than `limit` bytes."""
    found, size = [], 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise _too_long(limit)
        found.append(chunk)
    return b"".join(found)


def inflated(body: bytes, encoding: str, limit: int) -> bytes:
    """A body as it was before it was compressed, by the name that HTTP gives to how; empty for not at all.

    Raises RefusalError where it is longer than `limit` bytes, damaged, or compressed in another way.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in WINDOWS:
        raise RefusalError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a body in {encoding[:40]!r} is not read; gzip and deflate are"
        )
    unpacker = zlib.decompressobj(WINDOWS[encoding])
    try:
        found = unpacker.decompress(body, limit + 1)
    except zlib.error:
        raise refused(f"the body is not in {encoding}") from None
    if len(found) > limit:
        raise _too_long(limit)
    if not unpacker.eof or unpacker.unused_data:
        raise refused(f"the body is not one whole piece in {encoding}")
    return found


def _too_long(limit: int) -> RefusalError:
    return RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {limit} bytes")
