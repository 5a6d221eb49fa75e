"""API keys: kept as SHA-256, compared in constant time, each with a name; and how often each may ask."""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pocketvision.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_LINE = "NAME:SHA256, 64 hexadecimal digits; `pocketvision new-key NAME` makes one"


@dataclass(frozen=True)
class ApiKey:
    """A key's name, which logs may hold, and its SHA-256 in lower-case hexadecimal. The key itself is kept nowhere.

    A plain hash is enough because a key is 256 random bits: there is nothing to guess, as there is with a password.
    """

    name: str
    sha256: str


def new_key(name: str) -> tuple[str, ApiKey]:
    """A new random key, to be handed to its user, and what the server keeps of it. Raises UsageError for a bad name."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a name for a key; expected letters, digits, dots, dashes and underscores")
    key = secrets.token_urlsafe(32)
    return key, ApiKey(name, _hashed(key))


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Keys from a file with one NAME:SHA256 a line; empty lines and those that begin with # are passed over.

    Raises UsageError that names the line. The line's content is not repeated: it may be a key by mistake.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: the keys can not be read ({error})") from error
    keys = parse_keys(lines, str(path))
    if not keys:
        raise UsageError(f"{path}: it holds no key; expected lines of {_LINE}")
    return keys


def parse_keys(lines: Iterable[str], where: str) -> tuple[ApiKey, ...]:
    """Keys from lines as `read_keys` takes them. Raises UsageError that names `where` and the line's number."""
    keys: list[ApiKey] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, _, digest = text.partition(":")
        if not _NAME.fullmatch(name) or not _HASH.fullmatch(digest):
            raise UsageError(f"{where}, line {number}: it is no key; expected {_LINE}")
        if name in [key.name for key in keys]:
            raise UsageError(f"{where}, line {number}: the name {name} stands there twice")
        keys.append(ApiKey(name, digest.lower()))
    return tuple(keys)


def name_of(presented: str, keys: Sequence[ApiKey]) -> str | None:
    """The name of the key that was presented, None when it is not one of ours. Takes as long whichever it is."""
    digest = _hashed(presented)
    found = None
    for key in keys:
        if hmac.compare_digest(digest, key.sha256):
            found = key.name
    return found


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class RateLimiter(Protocol):
    """How often each key may ask."""

    def try_acquire(self, name: str) -> float:
        """Take a token: 0 when there was one, otherwise the seconds until there is."""
        ...


class TokenBuckets:
    """A bucket of `rate` tokens a second (at most a second's worth, at least one) for every name. For use in one event loop."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(rate, 1.0)
        self._buckets: dict[str, tuple[float, float]] = {}

    def try_acquire(self, name: str, now: float | None = None) -> float:
        """Take a token: 0 when there was one, otherwise the seconds until there is. Names are a bounded set, as keys are."""
        now = time.monotonic() if now is None else now
        tokens, since = self._buckets.get(name, (self._most, now))
        tokens = min(self._most, tokens + (now - since) * self._rate)
        if tokens < 1:
            self._buckets[name] = (tokens, now)
            return (1 - tokens) / self._rate
        self._buckets[name] = (tokens - 1, now)
        return 0.0


async def acquire(rates: RateLimiter, name: str = "") -> None:
    """Wait until there is a token, and take it."""
    while (wait := rates.try_acquire(name)) > 0:
        await asyncio.sleep(wait)
