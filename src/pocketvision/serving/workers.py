"""Supervisor of several processes on one port: starts them, restarts one that ends with back-off, checks heartbeats, passes
reloads on and stops all. For Linux, whose kernel spreads the connections of a port over all listeners (SO_REUSEPORT)."""

import itertools
import logging
import multiprocessing
import os
import signal
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
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.shared_metrics import merge_dead_process
from pocketvision.serving.telemetry import MULTIPROCESS_FOLDER
from pocketvision.serving.worker import (
    Failed,
    Heartbeat,
    Ready,
    ReloadCommand,
    ReloadRequest,
    ReloadResponse,
    ReloadResult,
    WorkerPlan,
    work,
)

logger = logging.getLogger(__name__)

MIN_BACKOFF, MAX_BACKOFF = 0.5, 30.0  # seconds before a worker that ended is replaced; they double
HEALTHY_AFTER = 60.0  # seconds of service after which the back-off starts anew
HEARTBEAT_INTERVAL = 5.0  # seconds between heartbeats
HEARTBEAT_TIMEOUT = 60.0  # seconds without an answer after which it is killed
KILL_GRACE = 5.0  # seconds beyond the drain after which a worker is killed


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    failures: int  # in a row, of its predecessors
    ready: float | None = None
    heartbeat_sent: float = 0.0  # when the last one was sent
    awaiting_heartbeat: bool = False  # since then


@dataclass
class _Reload:
    """A reload at work. awaited: the workers that have not answered."""

    requester: _Worker
    ticket: int
    awaited: set[_Worker]
    reloads: list[list[Reload]] = field(default_factory=list)


def serve_with_workers(
    sources: Sequence[BundleSource],
    settings: ServerSettings,
    host: str,
    port: int,
    on_ready: Callable[[list[str]], None],
) -> None:
    """Serve in `settings.workers` processes on a port until SIGINT or SIGTERM.

    port: kept by the caller with `shared_listening_sockets`. on_ready: called with a line about each model when every worker
    answers. Raises PocketVisionError when one can not start; once all have, one that ends is replaced, however often.
    """
    with tempfile.TemporaryDirectory(prefix="pocketvision-") as folder:
        plan = WorkerPlan(tuple(sources), settings, host, port, Path(folder))
        group = _Supervisor(plan, on_ready)
        with _signals(group.stop):
            try:
                group.start(settings.workers)
                group.watch()
            finally:
                group.end()


class _Supervisor:
    """The workers and their pipes. Signals call `stop`; everything else happens in one thread."""

    def __init__(self, plan: WorkerPlan, on_ready: Callable[[list[str]], None]) -> None:
        self._plan = plan
        self._on_ready = on_ready
        self._workers: list[_Worker] = []
        self._due: list[tuple[float, int]] = []  # when the next ones start, and after how many failures
        self._reloads_running: dict[int, _Reload] = {}
        self._numbers = itertools.count()
        self._started = False
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
            for found in wait([*pipes, *sentinels], timeout=self._wait_timeout()):
                if isinstance(found, Connection) and pipes[found] in self._workers:
                    self._receive(pipes[found])
                elif isinstance(found, int) and sentinels[found] in self._workers:
                    self._handle_exit(sentinels[found])
            self._check_heartbeats()
            now = time.monotonic()
            for each in [due for due in self._due if due[0] <= now and self._stopping is None]:
                self._due.remove(each)
                self._start_one(each[1])
            if self._stopping is not None and now - self._stopping > self._plan.settings.drain + KILL_GRACE:
                self.end()

    def end(self) -> None:
        """Leave no process behind."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
        self._workers.clear()

    def _start_one(self, failures: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(self._plan, theirs), name="pocketvision-worker")
        resource_tracker.ensure_running()  # which lets Ctrl-C through when it starts
        with _environment(MULTIPROCESS_FOLDER, str(self._plan.folder)), _sigint_blocked():
            process.start()
        theirs.close()
        worker = _Worker(process, ours, failures)
        self._workers.append(worker)
        if self._stopping is not None:  # meanwhile
            _send_signal(worker, signal.SIGTERM)

    def _check_heartbeats(self) -> None:
        """Kill workers whose event loop does not turn: the kernel still gives them connections."""
        now = time.monotonic()
        for worker in [each for each in self._workers if each.ready and self._stopping is None]:
            if not worker.awaiting_heartbeat and now - worker.heartbeat_sent > HEARTBEAT_INTERVAL:
                worker.heartbeat_sent, worker.awaiting_heartbeat = now, True
                _send(worker, Heartbeat())
            elif worker.awaiting_heartbeat and now - worker.heartbeat_sent > HEARTBEAT_TIMEOUT:
                logger.error(
                    "worker %s has not answered for %.0f s, and is killed",
                    worker.process.pid,
                    now - worker.heartbeat_sent,
                )
                worker.heartbeat_sent = now
                worker.process.kill()

    def _wait_timeout(self) -> float:
        """Seconds to the next thing that happens by itself."""
        now = time.monotonic()
        times = [due for due, _ in self._due]
        if self._stopping is not None:
            times.append(self._stopping + self._plan.settings.drain + KILL_GRACE + 0.1)
        return min(max(min(times, default=now + 1) - now, 0.0), 1.0)  # a signal alone does not end the wait

    def _receive(self, worker: _Worker) -> None:
        try:
            message: Any = worker.pipe.recv()
        except (EOFError, OSError):  # it is ending
            self._handle_exit(worker)
            return
        match message:
            case Ready():
                worker.ready = time.monotonic()
                if not self._started and all(each.ready for each in self._workers):
                    self._started = True
                    self._on_ready(message.models)
            case Heartbeat():
                worker.awaiting_heartbeat = False
            case Failed():
                if not self._started:
                    raise PocketVisionError(message.reason)
                logger.error("a worker can not start: %s", message.reason)
            case ReloadRequest():
                order = next(self._numbers)
                ready = [each for each in self._workers if each.ready or each is worker]
                self._reloads_running[order] = _Reload(worker, message.ticket, set(ready))
                for each in self._workers:  # one that is starting reloads too, when it can, and is not waited for
                    _send(each, ReloadCommand(order, message.name))
            case ReloadResult():
                known = self._reloads_running.get(message.order)
                if known is not None and worker in known.awaited:
                    known.reloads.append(message.reloads)
                    self._without(worker, message.order)

    def _without(self, worker: _Worker, number: int) -> None:
        """An order no longer waits for a worker; when it waits for none, who asked is answered."""
        order = self._reloads_running[number]
        order.awaited.discard(worker)
        if not order.awaited:
            del self._reloads_running[number]
            _send(order.requester, ReloadResponse(order.ticket, order.reloads))

    def _handle_exit(self, worker: _Worker) -> None:
        """A worker ended: clean up, and schedule another unless all are to end."""
        worker.process.join(KILL_GRACE)
        if worker.process.exitcode is None:  # a thread of it hangs
            worker.process.kill()
            worker.process.join()
        self._workers.remove(worker)
        worker.pipe.close()
        pid, code = worker.process.pid, worker.process.exitcode
        try:
            merge_dead_process(pid or 0, self._plan.folder)
        except OSError as error:  # figures are no reason to stop serving
            logger.warning("the figures of worker %s are left as they are: %s", pid, error)
        for number in list(self._reloads_running):
            self._without(worker, number)
        if self._stopping is not None:
            return
        if not self._started:
            raise PocketVisionError(f"a worker ended before it could serve (exit code {code})")
        well = worker.ready is not None and time.monotonic() - worker.ready > HEALTHY_AFTER
        failures = 1 if well else worker.failures + 1
        pause = min(MIN_BACKOFF * 2 ** (failures - 1), MAX_BACKOFF)
        logger.error("worker %s ended by itself (exit code %s); another starts in %.1f s", pid, code, pause)
        self._due.append((time.monotonic() + pause, failures))


def _send(worker: _Worker, message: object) -> None:
    with suppress(OSError):  # it has just ended; its sentinel reports that
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
def _sigint_blocked() -> Generator[None, None, None]:
    """Block SIGINT in the processes that are started meanwhile, until they unblock it: a terminal sends it to the whole group,
    and they would end in the middle of an import."""
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
