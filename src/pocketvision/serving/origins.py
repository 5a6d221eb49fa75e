"""Web pages that ask: those of this server's own address, and those of origins that were allowed (CORS).

A browser names the page's origin (RFC 6454). It is this server's own when it has the host and port that the request was sent to,
or those of the public address, which a proxy may hide.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from pocketvision.errors import UsageError
from pocketvision.printable import quoted
from pocketvision.serving.problems import Problem

ANY = "*"
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_ORIGIN = "SCHEME://HOST or SCHEME://HOST:PORT, such as https://example.org"
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")

METHODS = "GET, HEAD, POST"
HEADERS = (
    "Authorization, X-API-Key, Content-Type, X-Request-ID, Inference-Header-Content-Length, Traceparent, Tracestate"
)
"""What pages of other origins may send. Content-Type because it names the image's format; the keys' two headers."""
EXPOSED = "X-Request-ID, Retry-After, Inference-Header-Content-Length"
MAX_AGE = "600"  # seconds that a browser keeps the answer to a preflight


def checked_origin(text: str) -> str:
    """An origin, or `*` for all, in lower case. Raises UsageError."""
    if text == ANY:
        return text
    try:
        parts = urlsplit(text)
        fits = parts.scheme and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if (
        not fits
        or "*" in text
        or not text.isascii()
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise UsageError(
            f"the origin {quoted(_without_userinfo(text))} can not be read; expected {_ORIGIN}, or * for all"
        )
    return _without_default_port(f"{parts.scheme}://{parts.netloc}".lower())


def checked_public_url(text: str) -> str:
    """The address under which users reach the server, without a slash at its end. Raises UsageError."""
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or "@" in parts.netloc:
        shown = quoted(_without_userinfo(text))
        raise UsageError(f"the public address {shown} can not be read; expected https://HOST, https://HOST:PORT/PATH …")
    return f"{parts.scheme}://{parts.netloc}".lower() + checked_root_path(parts.path)


def checked_root_path(text: str) -> str:
    """A path prefix with a slash at its beginning and none at its end; empty for none. Raises UsageError."""
    path = "/" + text.strip("/") if text.strip("/") else ""
    if not _PREFIX.fullmatch(path) or any(each in (".", "..") for each in path.split("/")):
        raise UsageError(f"the path prefix {quoted(text)} can not be read; expected /NAME or /NAME/NAME")
    return path


def is_allowed(origin: str, allowed: Sequence[str]) -> bool:
    """Whether pages of another origin may ask."""
    return ANY in allowed or origin.lower() in allowed


def foreign_origin(headers: Headers, allowed: Sequence[str], public_url: str) -> Problem | None:
    """Why a page may not open a WebSocket or stream: it is of another origin. None for programs, which name no origin."""
    origin = headers.get("origin")
    if origin is None or is_allowed(origin, allowed):
        return None
    host = headers.get("host", "")
    if _is_same(origin, host) or (public_url and _is_same(origin, urlsplit(public_url).netloc)):
        return None
    own = f"{quoted(host)} (Host)" + (f" and {quoted(public_url)} (--public-url)" if public_url else "")
    detail = (
        f"The page is of {quoted(origin)}, and this server was asked as {own}. Where that is the same site behind a proxy, "
        "start the server with --public-url; for another site, with --allow-origin."
    )
    return Problem(403, "foreign-origin", detail)


def preflight(headers: Headers, allowed: Sequence[str]) -> dict[str, str] | None:
    """Headers of the answer to a CORS preflight, besides `response_headers`. None: it is none, or its origin is not allowed."""
    if "access-control-request-method" not in headers or not is_allowed(headers.get("origin", ""), allowed):
        return None
    return {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": HEADERS,
        "Access-Control-Max-Age": MAX_AGE,
    }


def response_headers(headers: Headers, allowed: Sequence[str]) -> dict[str, str]:
    """The CORS headers of any response. Keys are sent by the page itself, so no credentials of the browser are allowed."""
    if not allowed:
        return {}
    origin = headers.get("origin")
    if ANY in allowed:
        return {"Access-Control-Allow-Origin": ANY, "Access-Control-Expose-Headers": EXPOSED}
    if origin is None or not is_allowed(origin, allowed):
        return {"Vary": "Origin"}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


def _is_same(origin: str, host: str) -> bool:
    """Whether an origin has this host and port; either may leave out the port of its scheme."""
    try:
        parts, own = urlsplit(origin), urlsplit(f"//{host}")
        port = _PORTS.get(parts.scheme)
        return parts.hostname is not None and (parts.hostname, parts.port or port) == (own.hostname, own.port or port)
    except ValueError:
        return False


def _without_default_port(origin: str) -> str:
    """As browsers send it."""
    scheme, _, host = origin.partition("://")
    return f"{scheme}://{host.removesuffix(f':{_PORTS.get(scheme)}').removesuffix(':')}"


def _without_userinfo(text: str) -> str:
    return text.rpartition("@")[2]
