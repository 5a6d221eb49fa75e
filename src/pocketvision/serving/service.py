"""What the routes share: settings, models, metrics and the memory that bodies may take."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from pocketvision.serving.keys import RateLimit
from pocketvision.serving.models import BundleSource, ServedModels
from pocketvision.serving.problems import refused, retry_after
from pocketvision.serving.settings import ServerSettings
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

    rates: how often each key may ask, None without a limit. sockets: places for WebSockets; strangers: those of them that may be
    taken by connections that have yet to bring their key. stopping: set when the server stops; what lasts as long as its client
    wishes ends by itself then.
    """

    settings: ServerSettings
    models: ServedModels
    telemetry: Telemetry
    bodies: BodyBudget
    rates: RateLimit | None
    sockets: asyncio.Semaphore
    strangers: asyncio.Semaphore
    stopping: asyncio.Event


def service_for(sources: Sequence[BundleSource], settings: ServerSettings) -> Service:
    """A service whose models are not loaded yet."""
    telemetry = Telemetry(start_tracing() if settings.traces else None)
    models = ServedModels(sources, settings, telemetry)
    return Service(
        settings=settings,
        models=models,
        telemetry=telemetry,
        bodies=BodyBudget(settings.max_bodies),
        rates=None if settings.rate is None else RateLimit(settings.rate),
        sockets=asyncio.Semaphore(settings.max_sockets),
        # A quarter: those who have no key can not shut out those who have one.
        strangers=asyncio.Semaphore(max(1, settings.max_sockets // 4)),
        stopping=asyncio.Event(),
    )


def service_of(connection: HTTPConnection) -> Service:
    """The service that the application was made with."""
    return cast(Service, connection.app.state.service)


def request_id_of(connection: HTTPConnection) -> str:
    """The id that the gate gave to the request."""
    return cast(str, connection.scope["state"]["request_id"])
