"""Where the server is and how it is asked: what both clients and the sessions share."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ssl import SSLContext
from urllib.parse import urlsplit

from pocketvision.client.errors import RequestFailedError
from pocketvision.client.retries import Attempts, Backoff, check_retries
from pocketvision.errors import UsageError
from pocketvision.printable import shortened
from pocketvision.redaction import redacted_url

TIMEOUT = 30.0
RETRIES = 8
DEADLINE = 60.0
CONNECT_TIMEOUT = 10.0  # seconds at most: a host that is there answers in less

OnRetry = Callable[[RequestFailedError, float], None]
_KEY = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class ClientSettings:
    """base: the server's URL without a slash at its end. headers: sent with every request. timeout: seconds of one
    attempt. retries, deadline, pace: see Attempts. on_retry: called with the error and the seconds until the next attempt.
    """

    base: str
    headers: Mapping[str, str]
    timeout: float
    retries: int
    deadline: float
    backoff: Backoff
    on_retry: OnRetry | None
    ssl_context: SSLContext | None

    @property
    def socket_url(self) -> str:
        """The WebSocket's address."""
        return "ws" + self.base.removeprefix("http") + "/ws"

    def attempts(self) -> Attempts:
        """For a request that is made now."""
        return Attempts(self.retries, self.deadline, self.backoff)

    def pause_after(self, attempts: Attempts, error: RequestFailedError, *, repeatable: bool = True) -> float:
        """See Attempts.pause_after; `on_retry` is called with the pause."""
        pause = attempts.pause_after(error, repeatable=repeatable)
        if self.on_retry is not None:
            self.on_retry(error, pause)
        return pause


def client_settings(
    url: str,
    key: str | None,
    timeout: float,
    retries: int,
    deadline: float,
    headers: Mapping[str, str] | None,
    ssl_context: SSLContext | None,
    backoff: Backoff | None,
    on_retry: OnRetry | None,
) -> ClientSettings:
    """Checked settings. Raises UsageError; the key is never repeated."""
    if not timeout > 0:
        raise UsageError(f"timeout is {timeout}; expected more than 0 seconds")
    check_retries(retries, deadline)
    sent = dict(headers or {})
    if key is not None:
        if not _KEY.fullmatch(key):
            raise UsageError(
                "The key holds characters that no key has (spaces, line breaks, other scripts), or is empty."
            )
        sent["Authorization"] = f"Bearer {key}"
    return ClientSettings(base_url(url), sent, timeout, retries, deadline, backoff or Backoff(), on_retry, ssl_context)


def base_url(url: str) -> str:
    """A server's address, checked, without a slash at its end. Raises UsageError."""
    shown = shortened(redacted_url(url))
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        # Not the error's own words: they repeat a part of the address, which may be a password.
        raise UsageError(f"'{shown}' is no server's address; expected http://HOST:PORT") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "The address has a user or password in it, which logs would show. Give a key in a file (--key-file; in Python "
            "`key`), and what a proxy wants as `headers` (in Python)."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits or re.search(r"[\s\x00-\x1f]", url):
        raise UsageError(f"'{shown}' is no server's address; expected http://HOST:PORT or https://HOST")
    if parts.query or parts.fragment:
        raise UsageError(f"'{shown}' has a query or a fragment; expected the server's address alone, http://HOST:PORT")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
