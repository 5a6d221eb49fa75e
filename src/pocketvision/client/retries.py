"""When to ask again, and after which pause. It only decides: who sends and sleeps is elsewhere.

Not tenacity or stamina: what they would take over is the loop, four lines of each caller. The decision, Retry-After,
the deadline and a clock that tests can set would be ours with them too.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from pocketvision.client.errors import ConnectionFailedError, RequestFailedError, ServerProblemError
from pocketvision.errors import UsageError

# Refused before any work was done on it.
RETRYABLE = (429, 503)
# A proxy without a server behind it. 504 is not among them: what took too long once would only add to the load.
BAD_GATEWAY = 502


def full_jitter(most: float) -> float:
    """Seconds between 0 and `most`, all equally likely: clients that failed together do not come back together."""
    return random.uniform(0, most)


@dataclass(frozen=True)
class Backoff:
    """The pauses between attempts. Before attempt n+1 it is jitter(min(most, first * 2^(n-1))) seconds, on top of what
    the server's Retry-After asks for. Tests set the clocks and sleep otherwise: `clock` counts seconds, `today` is the
    seconds since 1970."""

    first: float = 0.25
    most: float = 8.0
    jitter: Callable[[float], float] = full_jitter
    clock: Callable[[], float] = time.monotonic
    today: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = asyncio.sleep


class Attempts:
    """The attempts of one request: at most `retries` after the first, none later than `deadline` seconds after it was
    made."""

    def __init__(self, retries: int, deadline: float, backoff: Backoff) -> None:
        self._retries = retries
        self._backoff = backoff
        self._ends = backoff.clock() + deadline
        self.count = 1

    def timeout(self, timeout: float) -> float:
        """Seconds that the present attempt may take."""
        return max(0.001, min(timeout, self._ends - self._backoff.clock()))

    def pause_after(self, error: RequestFailedError, *, repeatable: bool) -> float:
        """Seconds to wait before the next attempt; counts it. Raises the error when there is to be none.

        repeatable: the request may be worked on twice without harm.
        """
        error.attempts = self.count
        if self.count > self._retries or not is_retryable(error, repeatable=repeatable):
            raise error
        asked = error.retry_after if isinstance(error, ServerProblemError) else None
        pause = (asked or 0.0) + self._backoff.jitter(
            min(self._backoff.most, self._backoff.first * 2.0 ** (self.count - 1))
        )
        if pause >= self._ends - self._backoff.clock():
            raise error
        self.count += 1
        return pause


def is_retryable(error: RequestFailedError, *, repeatable: bool) -> bool:
    """Whether the same request may get an answer later. What may have been begun is only asked again if `repeatable`."""
    if isinstance(error, ServerProblemError):
        return error.status in RETRYABLE or (repeatable and error.status == BAD_GATEWAY)
    if isinstance(error, ConnectionFailedError):
        return not error.permanent and (repeatable or not error.sent)
    return False


def retry_after(headers: Mapping[str, str], today: float) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or as a date; None without one, or with one that is
    neither.

    A date is measured from the answer's own Date, if it has one: the two clocks need not agree. today: seconds since
    1970.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:12])
    until = _seconds(text)
    if until is None:
        return None
    now = _seconds(headers.get("date", ""))
    return max(0.0, until - (today if now is None else now))


def _seconds(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def check_retries(retries: int, deadline: float) -> None:
    """Raise UsageError for numbers that make no sense."""
    if retries < 0:
        raise UsageError(f"retries is {retries}; expected 0 or more")
    if not deadline > 0:
        raise UsageError(f"deadline is {deadline}; expected more than 0 seconds")
