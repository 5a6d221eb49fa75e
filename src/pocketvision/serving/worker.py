"""One of several processes that serve on a port: its settings, its messages to the supervisor, and its run."""

import asyncio
import itertools
import logging
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from pocketvision.errors import PocketVisionError
from pocketvision.serving.access_log import log_to_stderr
from pocketvision.serving.models import BundleSource, Reload
from pocketvision.serving.problems import refused
from pocketvision.serving.server import leave_hung_threads, serve
from pocketvision.serving.service import Service, service_for
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.shared_rate_limit import SharedTokenBuckets
from pocketvision.serving.sockets import listening_sockets
from pocketvision.serving.status_routes import STUCK

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerPlan:
    """What every worker is given. folder: what they share for as long as they live: metrics and rates."""

    sources: tuple[BundleSource, ...]
    settings: ServerSettings
    host: str
    port: int
    folder: Path


@dataclass(frozen=True)
class Ready:
    """The worker answers. models: a line about each."""

    models: list[str]


@dataclass(frozen=True)
class Failed:
    """The worker can not serve, for a reason that is the user's to mend."""

    reason: str


@dataclass(frozen=True)
class ReloadRequest:
    """A client's reload, to be done in all workers. ticket: the worker's number for it."""

    ticket: int
    name: str


@dataclass(frozen=True)
class ReloadCommand:
    """Reload this model; the supervisor's `order` is to be repeated in the answer."""

    order: int
    name: str


@dataclass(frozen=True)
class ReloadResult:
    """What became of an order in one worker: a state for each of the name's folders."""

    order: int
    reloads: list[Reload]


@dataclass(frozen=True)
class ReloadResponse:
    """What became of a `ReloadRequest` in every worker."""

    ticket: int
    reloads: list[list[Reload]]


@dataclass(frozen=True)
class Heartbeat:
    """From the supervisor, and back from the worker when its event loop turns."""


def work(plan: WorkerPlan, pipe: Connection) -> None:
    """A worker's whole life: serve until SIGTERM, or until the process at the other end of `pipe` is gone."""
    os.setpgrp()  # the supervisor passes a terminal's Ctrl-C on
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # drop a pending one; uvicorn installs its own handler
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    log_to_stderr(as_json=plan.settings.log_json)
    try:
        asyncio.run(_WorkerProcess(plan, pipe).run())
    except PocketVisionError as error:
        pipe.send(Failed(str(error)))
        return
    leave_hung_threads()


class _WorkerProcess:
    """The worker's side of the pipe. All of it happens in the event loop."""

    def __init__(self, plan: WorkerPlan, pipe: Connection) -> None:
        self._plan = plan
        self._pipe = pipe
        self._tickets = itertools.count()
        self._waiting: dict[int, asyncio.Future[list[list[Reload]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving = asyncio.Event()

    async def run(self) -> None:
        settings = self._plan.settings
        sockets = listening_sockets(self._plan.host, self._plan.port, shared=True)
        rates = None
        if settings.rate is not None and settings.keys:
            names = [key.name for key in settings.keys]
            rates = SharedTokenBuckets(self._plan.folder / "rates", names, settings.rate)
        service = service_for(self._plan.sources, settings, rates=rates, reload=self._reload_everywhere)
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._receive, service)
        watching = asyncio.create_task(_end_when_stuck(service))
        try:
            await serve(service, sockets, lambda: self._ready(service))
        finally:
            watching.cancel()

    def _ready(self, service: Service) -> None:
        self._serving.set()
        self._pipe.send(Ready(service.models.described()))

    async def _reload_everywhere(self, name: str) -> list[Reload]:
        """One state for each folder: the least good of all workers', so that `reloaded` means everywhere."""
        ticket = next(self._tickets)
        answer = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        try:
            self._pipe.send(ReloadRequest(ticket, name))
            everywhere = await answer
        except OSError as error:
            raise refused(503, "shutting-down", "The server is shutting down.") from error
        finally:
            del self._waiting[ticket]
        if not everywhere:  # all of them ended
            raise refused(503, "workers-lost", "The processes that were to reload are gone; try again.")
        rank = {"failed": 0, "reloaded": 1, "unchanged": 2}
        return [min(states, key=lambda state: rank[state.outcome]) for states in zip(*everywhere, strict=True)]

    def _receive(self, service: Service) -> None:
        try:
            message = self._pipe.recv()
        except (EOFError, OSError):  # the supervisor is gone
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if isinstance(message, Heartbeat):
            with suppress(OSError):  # the supervisor is gone, which the next read shows
                self._pipe.send(message)
        elif isinstance(message, ReloadCommand):
            task = asyncio.get_running_loop().create_task(self._run_reload(service, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif isinstance(message, ReloadResponse) and message.ticket in self._waiting:
            self._waiting[message.ticket].set_result(message.reloads)

    async def _run_reload(self, service: Service, order: ReloadCommand) -> None:
        await self._serving.wait()  # what a worker that is starting has read may be the old bundle
        self._pipe.send(ReloadResult(order.order, await service.models.reload(order.name)))


async def _end_when_stuck(service: Service) -> None:
    """End the process when every decode hangs: who asks /health may reach another worker, so each checks itself."""
    while service.models.stuck_for <= STUCK:
        await asyncio.sleep(1)
    logger.error("every decode hangs; this worker ends, and another takes its place")
    os.kill(os.getpid(), signal.SIGTERM)
