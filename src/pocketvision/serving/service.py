"""What the routes share: settings, models, metrics and the memory that bodies may take."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from pocketvision.serving.keys import RateLimiter, TokenBuckets
from pocketvision.serving.live import LiveStreams
from pocketvision.serving.models import BundleSource, Reload, ServedModels
from pocketvision.serving.problems import refused, retry_after
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.shared_picture import PictureMemory
from pocketvision.serving.telemetry import Telemetry
from pocketvision.serving.tracing import start_tracing


class Reservation:
    """The part of a budget that one request has taken so far, in bytes."""

    def __init__(self, budget: "BodyBudget") -> None:
        self._budget = budget
        self.taken = 0

    def take(self, size: int) -> None:
        """Take `size` bytes more. Raises a 429 problem when the budget has none left."""
        if self._budget.used + size > self._budget.most:
            raise refused(429, "out-of-memory", "Too many large requests at once; try again later.", retry_after(1))
        self._budget.used += size
        self.taken += size


class BodyBudget:
    """Bytes that the bodies of all requests may take together. One event loop's, so nothing is locked."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Give back at its end what was taken from the reservation."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self.used -= reservation.taken


@dataclass(frozen=True)
class Service:
    """One server's parts. `service_of` finds it from a request.

    sockets: limits WebSockets; unauthenticated_sockets: limits those that have not sent their key yet. stopping: set when the
    server stops; WebSockets end by themselves then. pictures: that are kept for a second look. rates: how often each key may ask,
    None without a limit. reload: as ServedModels.reload, in every process that serves."""

    settings: ServerSettings
    models: ServedModels
    telemetry: Telemetry
    bodies: BodyBudget
    sockets: asyncio.Semaphore
    unauthenticated_sockets: asyncio.Semaphore
    stopping: asyncio.Event
    live: LiveStreams
    pictures: PictureMemory
    rates: RateLimiter | None
    reload: Callable[[str], Awaitable[list[Reload]]]


def service_for(
    sources: Sequence[BundleSource],
    settings: ServerSettings,
    *,
    rates: RateLimiter | None = None,
    reload: Callable[[str], Awaitable[list[Reload]]] | None = None,
) -> Service:
    """A service whose models are not loaded yet. rates, reload: where several processes serve; otherwise its own."""
    telemetry = Telemetry(start_tracing() if settings.traces else None)
    models = ServedModels(sources, settings, telemetry)
    if rates is None and settings.rate is not None:
        rates = TokenBuckets(settings.rate)
    return Service(
        settings=settings,
        models=models,
        telemetry=telemetry,
        bodies=BodyBudget(settings.max_bodies),
        sockets=asyncio.Semaphore(settings.max_sockets),
        # A quarter, so that clients without a key can not shut out those with one.
        unauthenticated_sockets=asyncio.Semaphore(max(1, settings.max_sockets // 4)),
        stopping=asyncio.Event(),
        live=LiveStreams(settings.live),
        pictures=PictureMemory(),
        rates=rates,
        reload=reload or models.reload,
    )


def service_of(connection: HTTPConnection) -> Service:
    """The service that the application was made with."""
    return cast(Service, connection.app.state.service)


def request_id_of(connection: HTTPConnection) -> str:
    """The id that the middleware gave to the request."""
    return cast(str, connection.scope["state"]["request_id"])
