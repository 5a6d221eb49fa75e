"""Reading what a client sends: never more than the limits, never longer, and noticing when it leaves."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from pocketvision.serving.problems import ProblemError, refused
from pocketvision.serving.service import Reservation, Service

Result = TypeVar("Result")


async def chunks(request: Request, service: Service, reservation: Reservation) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises problems: 413 as soon as it is known to be too long, 408 when it takes too long, 415 when it
    is compressed, 429 when all bodies together take too much memory. ClientDisconnect when the client leaves."""
    settings = service.settings
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise refused(415, "compressed-body", "Compressed bodies are not taken; send it as it is.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > settings.max_body:
        raise _too_long(settings.max_body)
    ends = asyncio.get_running_loop().time() + settings.body_timeout
    more = True
    while more:
        try:
            async with asyncio.timeout_at(ends):
                message = await request.receive()
        except TimeoutError:
            raise refused(
                408,
                "body-timeout",
                f"The body did not come within {settings.body_timeout:g} s.",
                {"Connection": "close"},
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if reservation.taken + len(chunk) > settings.max_body:
            raise _too_long(settings.max_body)
        reservation.take(len(chunk))
        if chunk:
            yield chunk


def _too_long(most: int) -> ProblemError:
    return refused(413, "body-too-large", f"The body is larger than {most:,} bytes.")


async def whole_body(request: Request, service: Service, reservation: Reservation) -> bytes:
    """All of the body; see `chunks`."""
    parts = [chunk async for chunk in chunks(request, service, reservation)]
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled when the client closes its connection; ClientDisconnect is raised then.

    The body must have been read.
    """
    this, gone = asyncio.current_task(), False
    assert this is not None

    async def watch() -> None:
        nonlocal gone
        await _until_disconnected(request)
        gone = True
        this.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if gone and this.uncancel() == 0:  # cancelled by `watch` alone
            raise ClientDisconnect from None
        raise
    finally:
        watching.cancel()


async def _until_disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
