"""Several processes on one port: started, started again when one dies, told of reloads, and stopped together. For Linux, whose
kernel hands the connections of a port (SO_REUSEPORT) to all who listen on it."""

import itertools
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from pocketvision.errors import PocketVisionError
from pocketvision.serving.models import BundleSource, Reload
from pocketvision.serving.server import listening_socket
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.shared_figures import keep_figures_of_ended
from pocketvision.serving.telemetry import SHARED_FOLDER
from pocketvision.serving.worker import (
    Alive,
    Failed,
    Ready,
    ReloadAnswer,
    ReloadAsked,
    ReloadDone,
    ReloadOrder,
    WorkerPlan,
    work,
)

logger = logging.getLogger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before a worker that died is replaced; they double
WELL = 60.0  # seconds of service after which a death is the first one again
ASKED_EVERY = 5.0  # seconds between asking a worker whether it is alive
SILENT = 60.0  # seconds without an answer after which it is killed
GRACE = 5.0  # seconds beyond the drain after which a worker is killed


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    deaths: int  # of its predecessors, one soon after another
    ready: float | None = None
    asked: float = 0.0  # when it was last asked whether it is alive
    silent: bool = False  # since then


@dataclass
class _Order:
    """A reload at work. awaited: the workers that have not answered."""

    asker: _Worker
    ticket: int
    awaited: set[_Worker]
    reloads: list[list[Reload]] = field(default_factory=list)


def serve_with_workers(
    sources: Sequence[BundleSource],
    settings: ServerSettings,
    bound: socket.socket,
    host: str,
    on_ready: Callable[[list[str]], None],
) -> None:
    """Serve in `settings.workers` processes on the port of `bound` until SIGINT or SIGTERM.

    bound: a socket that keeps the port for us; made by `listening_socket(…, shared=True)`, and not listened on. on_ready: called
    with a line about each model when every worker answers. Raises PocketVisionError when one can not start; once all have, one
    that dies is replaced, however often.
    """
    with bound, tempfile.TemporaryDirectory(prefix="pocketvision-") as folder:
        plan = WorkerPlan(tuple(sources), settings, host, bound.getsockname()[1], Path(folder))
        group = _Group(plan, on_ready)
        with _signals(group.stop):
            try:
                group.start(settings.workers)
                group.watch()
            finally:
                group.end()


class _Group:
    """The workers and what is between them. Signals call `stop`; everything else happens in one thread."""

    def __init__(self, plan: WorkerPlan, on_ready: Callable[[list[str]], None]) -> None:
        self._plan = plan
        self._on_ready = on_ready
        self._workers: list[_Worker] = []
        self._due: list[tuple[float, int]] = []  # when the next ones are to be started, and after how many deaths
        self._orders: dict[int, _Order] = {}
        self._numbers = itertools.count()
        self._told = False
        self._stopping: float | None = None

    def start(self, count: int) -> None:
        """Start so many."""
        for _ in range(count):
            self._start_one(0)

    def stop(self, number: int) -> None:
        """Ask every worker to stop: with a second signal at once."""
        again = self._stopping is not None
        self._stopping = self._stopping or time.monotonic()
        for worker in self._workers:
            _send_signal(worker, number if again else signal.SIGTERM)

    def watch(self) -> None:
        """Do what there is to do until the last worker has ended after a stop."""
        while self._workers or (self._due and self._stopping is None):
            pipes = {worker.pipe: worker for worker in self._workers}
            sentinels = {worker.process.sentinel: worker for worker in self._workers}
            for found in wait([*pipes, *sentinels], timeout=self._patience()):
                if isinstance(found, Connection) and pipes[found] in self._workers:
                    self._hear(pipes[found])
                elif isinstance(found, int) and sentinels[found] in self._workers:
                    self._bury(sentinels[found])
            self._ask_whether_alive()
            now = time.monotonic()
            for each in [due for due in self._due if due[0] <= now and self._stopping is None]:
                self._due.remove(each)
                self._start_one(each[1])
            if self._stopping is not None and now - self._stopping > self._plan.settings.drain + GRACE:
                self.end()

    def end(self) -> None:
        """Leave no process behind."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
        self._workers.clear()

    def _start_one(self, deaths: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(self._plan, theirs), name="pocketvision-worker")
        resource_tracker.ensure_running()  # which lets Ctrl-C through when it starts
        with _environment(SHARED_FOLDER, str(self._plan.folder)), _deaf_to_ctrl_c():
            process.start()
        theirs.close()
        worker = _Worker(process, ours, deaths)
        self._workers.append(worker)
        if self._stopping is not None:  # meanwhile
            _send_signal(worker, signal.SIGTERM)

    def _ask_whether_alive(self) -> None:
        """Kill those whose event loop does not turn: nobody else can tell, and they keep the connections they are given."""
        now = time.monotonic()
        for worker in [each for each in self._workers if each.ready and self._stopping is None]:
            if not worker.silent and now - worker.asked > ASKED_EVERY:
                worker.asked, worker.silent = now, True
                _tell(worker, Alive())
            elif worker.silent and now - worker.asked > SILENT:
                logger.error(
                    "worker %s has not answered for %.0f s, and is killed", worker.process.pid, now - worker.asked
                )
                worker.asked = now
                worker.process.kill()

    def _patience(self) -> float:
        """Seconds to the next thing that happens by itself."""
        now = time.monotonic()
        times = [due for due, _ in self._due]
        if self._stopping is not None:
            times.append(self._stopping + self._plan.settings.drain + GRACE + 0.1)
        return min(max(min(times, default=now + 1) - now, 0.0), 1.0)  # a signal alone does not end the wait

    def _hear(self, worker: _Worker) -> None:
        try:
            message: Any = worker.pipe.recv()
        except (EOFError, OSError):  # it is ending; its sentinel will tell
            self._bury(worker)
            return
        match message:
            case Ready():
                worker.ready = time.monotonic()
                if not self._told and all(each.ready for each in self._workers):
                    self._told = True
                    self._on_ready(message.models)
            case Alive():
                worker.silent = False
            case Failed():
                if not self._told:
                    raise PocketVisionError(message.reason)
                logger.error("a worker can not start: %s", message.reason)
            case ReloadAsked():
                order = next(self._numbers)
                ready = [each for each in self._workers if each.ready or each is worker]
                self._orders[order] = _Order(worker, message.ticket, set(ready))
                for each in self._workers:  # one that is starting reloads too, when it can, and is not waited for
                    _tell(each, ReloadOrder(order, message.name))
            case ReloadDone():
                known = self._orders.get(message.order)
                if known is not None and worker in known.awaited:
                    known.reloads.append(message.reloads)
                    self._without(worker, message.order)

    def _without(self, worker: _Worker, number: int) -> None:
        """An order no longer waits for a worker; when it waits for none, who asked is answered."""
        order = self._orders[number]
        order.awaited.discard(worker)
        if not order.awaited:
            del self._orders[number]
            _tell(order.asker, ReloadAnswer(order.ticket, order.reloads))

    def _bury(self, worker: _Worker) -> None:
        """A worker ended: what it left is taken away, and another takes its place unless all are to end."""
        worker.process.join(GRACE)
        if worker.process.exitcode is None:  # a thread of it hangs
            worker.process.kill()
            worker.process.join()
        self._workers.remove(worker)
        worker.pipe.close()
        pid, code = worker.process.pid, worker.process.exitcode
        try:
            keep_figures_of_ended(pid or 0, self._plan.folder)
        except OSError as error:  # figures are no reason to stop serving
            logger.warning("the figures of worker %s are left as they are: %s", pid, error)
        for number in list(self._orders):
            self._without(worker, number)
        if self._stopping is not None:
            return
        if not self._told:
            raise PocketVisionError(f"a worker ended before it could serve (exit code {code})")
        well = worker.ready is not None and time.monotonic() - worker.ready > WELL
        deaths = 1 if well else worker.deaths + 1
        pause = min(SHORTEST_PAUSE * 2 ** (deaths - 1), LONGEST_PAUSE)
        logger.error("worker %s ended by itself (exit code %s); another starts in %.1f s", pid, code, pause)
        self._due.append((time.monotonic() + pause, deaths))


def _tell(worker: _Worker, message: object) -> None:
    with suppress(OSError):  # it has just died; its sentinel will tell
        worker.pipe.send(message)


def _send_signal(worker: _Worker, number: int) -> None:
    if worker.process.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(worker.process.pid, number)


@contextmanager
def _environment(name: str, value: str) -> Generator[None, None, None]:
    """A variable for the processes that are started meanwhile."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _deaf_to_ctrl_c() -> Generator[None, None, None]:
    """A terminal's Ctrl-C is not heard by the processes that are started meanwhile until they say so, and by this one a little
    later: it is ours to pass on, and they would end in the middle of an import."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _signals(stop: Callable[[int], None]) -> Generator[None, None, None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {each: signal.signal(each, lambda number, _: stop(number)) for each in numbers}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def listening_everywhere(host: str, port: int) -> socket.socket:
    """A socket that keeps a port for workers. Raises PocketVisionError when it can not be had, or the system shares no ports."""
    if sys.platform != "linux":
        raise PocketVisionError(
            "--workers needs Linux, which shares a port's connections among processes; use --threads here"
        )
    # Processes of one user may share a port unasked, another server of ours included; so it must be free for one alone first.
    with listening_socket(host, port) as alone:
        port = alone.getsockname()[1]
    return listening_socket(host, port, shared=True)
