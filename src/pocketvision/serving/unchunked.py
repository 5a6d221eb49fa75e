"""Answers of unknown length for clients of HTTP/1.0, which know no chunks: they end with the connection (RFC 9112, 6.3).

A proxy may be such a client: nginx was one by default for long.
"""

import asyncio

_CHUNKED = b"transfer-encoding: chunked\r\n"


class Unchunked:
    """A connection as uvicorn's answer uses it, which would write chunks whatever the version: it takes them off again.

    What is written first is the head, and then whole chunks, one or several at a time.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._chunked: bool | None = None

    def write(self, data: bytes) -> None:
        """Pass a head, or a part of a body, on."""
        if self._chunked is None:
            self._chunked = _CHUNKED in data
            data = data.replace(_CHUNKED, b"")
        elif self._chunked:
            data = _contents(data)
        if data:
            self._transport.write(data)

    def close(self) -> None:
        """Close it once all is sent."""
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is being closed."""
        return self._transport.is_closing()


def _contents(chunks: bytes) -> bytes:
    found = []
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        found.append(rest[: int(size, 16)])
        chunks = rest[int(size, 16) + 2 :]
    return b"".join(found)
