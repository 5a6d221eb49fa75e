"""Arguments for httpx, and what its errors mean: for both clients."""

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import httpx

from pocketvision.client.errors import ConnectionFailedError
from pocketvision.client.requests import Reply, Request
from pocketvision.client.settings import CONNECT_TIMEOUT, ClientSettings

# No more is waiting for a connection than asks at once: `concurrency` is the bound, not httpx's pool.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64)
# Before anything of the request was sent.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_CLIENT_ERRORS = (httpx.LocalProtocolError, httpx.UnsupportedProtocol)


def sending(request: Request[Any], settings: ClientSettings, timeout: float) -> dict[str, Any]:
    """The arguments of httpx's `request` for one attempt of at most `timeout` seconds."""
    return {
        "method": request.method,
        "url": settings.base + request.path,
        "params": dict(request.query) or None,
        "headers": request.headers,
        "content": request.content,
        "timeout": httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
    }


def reply_from(response: httpx.Response) -> Reply:
    """A response without its library."""
    return Reply(response.status_code, response.headers, response.content)


def connection_failed(error: httpx.RequestError, base: str, timeout: float) -> ConnectionFailedError:
    """What became of an attempt that was not answered."""
    sent = not isinstance(error, _NOT_SENT)
    return ConnectionFailedError(
        base, _reason(error, sent, timeout), sent, permanent=isinstance(error, _CLIENT_ERRORS) or is_permanent(error)
    )


def _reason(error: httpx.RequestError, sent: bool, timeout: float) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {timeout:.3g} s" if sent else "no connection in time"
    said = os_error_text(error) or str(error) or type(error).__name__
    return f"the connection was lost ({said})" if sent else f"no connection ({said})"


def is_permanent(error: BaseException) -> bool:
    """Whether another attempt meets it too: an unknown host, a certificate that is not trusted, https:// where http:// is."""
    return any(
        isinstance(each, ssl.SSLCertVerificationError)
        or (isinstance(each, ssl.SSLError) and each.reason == "WRONG_VERSION_NUMBER")
        or (isinstance(each, socket.gaierror) and each.errno == socket.EAI_NONAME)
        for each in causes(error)
    )


def os_error_text(error: BaseException) -> str:
    """What the operating system or OpenSSL said at the bottom of it ("Connection refused"); empty if it said nothing."""
    for each in reversed(list(causes(error))):
        if isinstance(each, ssl.SSLError):  # its number is OpenSSL's
            return str(each)
        if isinstance(each, OSError) and each.errno is not None:
            # asyncio puts words of its own beside the number; those of a name that is not found have no other.
            return os.strerror(each.errno) if each.errno > 0 else str(each.strerror)
    return ""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it came from; of a group (one host has several addresses) the first."""
    while error is not None:
        yield error
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__
