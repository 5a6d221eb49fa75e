"""Loads on a server of ours, over HTTP and its WebSocket, one after the other."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx

from pocketvision.client.async_client import AsyncClient
from pocketvision.client.errors import RequestFailedError, ServerProblemError
from pocketvision.client.load import ANSWERED, FAILED, REJECTED, Ask, closed_loop, open_loop, poisson_times
from pocketvision.client.load_figures import LoadFigures, Spent, capacity, figures_of
from pocketvision.client.load_plan import WEBSOCKET, LoadPlan, Way
from pocketvision.client.settings import ClientSettings
from pocketvision.client.values import Prediction
from pocketvision.client.wanted import Wanted

_CONNECTIONS = 16
"""WebSockets of an open loop."""

_IN_FLIGHT = 256
"""Requests of one."""

_BUSY = (429, 503)
_CPU = re.compile(rb"^process_cpu_seconds_total\s+(\S+)", re.MULTILINE)

Predict = Callable[[bytes, tuple[str, ...]], Awaitable[Prediction]]


async def measured(
    plan: LoadPlan, settings: ClientSettings, pictures: Sequence[bytes], on_load: Callable[[LoadFigures], None]
) -> list[LoadFigures]:
    """Every load of the plan, each way's closed loops before its open ones. Raises RequestFailedError where the first request of
    a way is not answered: no server, a wrong key, an unknown model."""
    found = list[LoadFigures]()
    for transport in plan.transports:
        for way in plan.ways:
            for clients in plan.clients:
                found.append(await _closed(plan, settings, pictures, way, transport, clients))
                on_load(found[-1])
            for share in plan.shares:
                rate = share * capacity(found, way.name, transport)
                if rate > 0:
                    found.append(await _open(plan, settings, pictures, way, transport, rate))
                    on_load(found[-1])
    return found


async def _closed(
    plan: LoadPlan, settings: ClientSettings, pictures: Sequence[bytes], way: Way, transport: str, clients: int
) -> LoadFigures:
    async with _asking(settings, pictures, way, transport, clients) as ask:
        before = await _Clock.now(settings)
        seen = await closed_loop(ask, clients, plan.seconds, plan.most)
        spent = (await _Clock.now(settings)).since(before)
    return figures_of(way.name, transport, seen, spent, within_ms=plan.within_ms, clients=clients)


async def _open(
    plan: LoadPlan, settings: ClientSettings, pictures: Sequence[bytes], way: Way, transport: str, rate: float
) -> LoadFigures:
    times = poisson_times(rate, plan.seconds, plan.seed)[: plan.most]
    async with _asking(settings, pictures, way, transport, _CONNECTIONS) as ask:
        before = await _Clock.now(settings)
        seen = await open_loop(ask, times, _CONNECTIONS)
        spent = (await _Clock.now(settings)).since(before)
    return figures_of(way.name, transport, seen, spent, within_ms=plan.within_ms, rate=rate)


@asynccontextmanager
async def _asking(
    settings: ClientSettings, pictures: Sequence[bytes], way: Way, transport: str, clients: int
) -> AsyncIterator[Ask]:
    """What each client asks with: over HTTP a pool of connections, over WebSockets one each. Every one has asked once before."""
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(AsyncClient.of(settings))
        asks: list[Predict] = [_of(client.predict)] * clients
        if transport == WEBSOCKET:
            sessions = [await opened.enter_async_context(client.session(in_flight=_IN_FLIGHT)) for _ in range(clients)]
            asks = [_of(each.predict) for each in sessions]
        for models in way.requests:
            await asks[0](pictures[0], models)

        async def ask(number: int, request: int) -> str:
            try:
                for models in way.requests:
                    await asks[number](pictures[request % len(pictures)], models)
            except ServerProblemError as error:
                return REJECTED if error.status in _BUSY else FAILED
            except RequestFailedError:
                return FAILED
            return ANSWERED

        yield ask


def _of(predict: Callable[..., Awaitable[Prediction]]) -> Predict:
    """Of a client's or a session's."""

    def ask(picture: bytes, models: tuple[str, ...]) -> Awaitable[Prediction]:
        if len(models) == 1:
            return predict(picture, model=models[0])
        return predict(picture, wanted=Wanted(models=models))

    return ask


@dataclass(frozen=True)
class _Clock:
    """Wall time, and the processor time of both sides so far, in seconds."""

    wall: float
    client: float
    server: float | None

    @classmethod
    async def now(cls, settings: ClientSettings) -> "_Clock":
        server = await _server_cpu(settings)
        return cls(time.perf_counter(), time.process_time(), server)

    def since(self, before: "_Clock") -> Spent:
        server = None if self.server is None or before.server is None else self.server - before.server
        return Spent(self.wall - before.wall, self.client - before.client, server)


async def _server_cpu(settings: ClientSettings) -> float | None:
    """Processor time of the server's process so far, from its metrics; None where it does not tell (several workers, a proxy that
    keeps them to itself)."""
    try:
        async with httpx.AsyncClient(
            headers=dict(settings.headers), verify=settings.ssl_context or True, timeout=settings.timeout
        ) as client:
            found = _CPU.search((await client.get(f"{settings.base}/metrics")).content)
        return None if found is None else float(found[1])
    except (httpx.HTTPError, ValueError):
        return None
