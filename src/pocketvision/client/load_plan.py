"""What load is put on a server: how the answers of a picture are asked for, over what, by how many, and how long."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pocketvision.errors import UsageError, unknown_name

JOINT, SEPARATE, TOGETHER = "joint", "separate", "together"
"""Of the same picture: all answers of one model, a request for each model, and one request for several models."""

HTTP, WEBSOCKET = "http", "websocket"
TRANSPORTS = (HTTP, WEBSOCKET)

MOST_SECONDS = 900.0
"""Of all loads together."""


@dataclass(frozen=True)
class Way:
    """How the answers of a picture are asked for. requests: the models of each, one request after the other."""

    name: str
    requests: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class LoadPlan:
    """What is measured: every way over every transport, closed loops of so many clients each, and open loops at shares of what
    the way's closed loops reached. seconds: of a load. most: requests of a load. within_ms: of an answer that is good.
    Raises UsageError for what is out of bounds."""

    ways: tuple[Way, ...]
    transports: tuple[str, ...] = TRANSPORTS
    clients: tuple[int, ...] = (1, 8)
    shares: tuple[float, ...] = (0.8,)
    seconds: float = 3.0
    most: int = 2000
    within_ms: float = 250.0
    seed: int = 0

    def __post_init__(self) -> None:
        for transport in self.transports:
            if transport not in TRANSPORTS:
                raise unknown_name("transport", transport, TRANSPORTS)
        limits = (
            (bool(self.clients) and all(1 <= each <= 64 for each in self.clients), "--clients", "1 to 64 each"),
            (all(0 < each <= 2 for each in self.shares), "--shares", "more than 0 and at most 2 each"),
            (self.seconds > 0, "--seconds", "more than 0"),
            (self.most >= 1, "--most", "at least 1"),
            (self.within_ms > 0, "--within", "more than 0 milliseconds"),
        )
        for fits, option, expected in limits:
            if not fits:
                raise UsageError(f"{option} is out of bounds; expected {expected}.")
        if self.count * self.seconds > MOST_SECONDS:
            raise UsageError(
                f"{self.count} loads of {self.seconds:g} s are {self.count * self.seconds:,.0f} s; at most "
                f"{MOST_SECONDS:g} s are allowed. Name fewer ways, transports, clients or shares, or fewer --seconds."
            )

    @property
    def count(self) -> int:
        """Of loads."""
        return len(self.ways) * len(self.transports) * (len(self.clients) + len(self.shares))


def ways_of(served: Sequence[str], joint: str | None, separate: Sequence[str] | None) -> tuple[Way, ...]:
    """joint, then each of the others alone, then all those one after the other, and in one request where no two are the same.
    Raises UsageError for an unknown model."""
    together = served[0] if joint is None else joint
    alone = [each for each in served if each != together] if separate is None else [*separate]
    for name in (together, *alone):
        if name not in served:
            raise unknown_name("model of the server", name, served)
    ways = [Way(JOINT, ((together,),)), *(Way(each, ((each,),)) for each in alone)]
    if len(alone) > 1:
        ways.append(Way(SEPARATE, tuple((each,) for each in alone)))
    if len(set(alone)) == len(alone) > 1:
        ways.append(Way(TOGETHER, (tuple(alone),)))
    return tuple(ways)


def require_own_server(url: str, named: str | None) -> None:
    """Raise UsageError for a server on another machine, unless its host was `named` beside the address: load is put on what one
    answers for."""
    host = urlsplit(url).hostname or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    if is_here or (named or "").casefold() == host.casefold():
        return
    raise UsageError(
        f"{host} is not this machine, and a benchmark is load that only a server of one's own should get. If it is yours, say "
        f"so: --host {host}."
    )
