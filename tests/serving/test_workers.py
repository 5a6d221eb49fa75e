"""Several processes on one port: their figures are added up, one that dies is replaced, a reload and a rate hold in all."""

import asyncio
import fcntl
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from served import Running, picture

from pocketvision.bundle import Bundle, read_bundle, rewrite_bundle
from pocketvision.errors import PocketVisionError
from pocketvision.serving.keys import TokenBuckets, new_key
from pocketvision.serving.models import Reload
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.shared_metrics import merge_dead_process, shared_exposition
from pocketvision.serving.shared_rate_limit import SharedTokenBuckets
from pocketvision.serving.sockets import listening_sockets, shared_listening_sockets
from pocketvision.serving.status_routes import STUCK
from pocketvision.serving.worker import (
    Ready,
    ReloadCommand,
    ReloadRequest,
    ReloadResponse,
    ReloadResult,
    WorkerPlan,
    _end_when_stuck,
    _WorkerProcess,
)
from pocketvision.serving.workers import _Supervisor, _Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares a port's connections")

JPEG = {"content-type": "image/jpeg"}


def answered(server: Running, **options: Any) -> httpx.Response:
    """A request over a connection of its own, so that any worker may get it."""
    return httpx.post(f"{server.url}/predict", content=picture("red"), headers=JPEG, timeout=20, **options)


def metric(server: Running, line: str, headers: dict[str, str] | None = None) -> float:
    text = httpx.get(f"{server.url}/metrics", headers=headers, timeout=20).text
    return sum(float(found) for found in re.findall(rf"^{re.escape(line)}[^ ]* (.*)$", text, flags=re.MULTILINE))


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


def workers_of(server: Running) -> list[int]:
    """The processes that serve; multiprocessing has one more, which is not ours."""
    children = (
        Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text(encoding="ascii").split()
    )
    commands = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [child for child, command in commands.items() if b"spawn_main" in command]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_figures_are_those_of_all_and_a_dead_worker_is_replaced(start) -> None:  # type: ignore[no-untyped-def]
    server: Running = start("--workers", "2")
    both = workers_of(server)
    assert len(both) == 2
    assert [answered(server).status_code for _ in range(24)] == [200] * 24
    predicted = 'pocketvision_requests_total{method="POST",route="/predict",status="200"'
    until(lambda: metric(server, predicted) == 24)
    assert metric(server, "pocketvision_batch_images_count") == 24
    assert metric(server, 'pocketvision_queue_images{model="tiny"') == 0
    assert metric(server, "pocketvision_workers") == 2
    os.kill(both[0], signal.SIGKILL)
    until(lambda: not alive(both[0]))
    until(lambda: len(workers_of(server)) == 2 and metric(server, "pocketvision_workers") == 2)
    assert workers_of(server) != both
    assert answered(server).status_code == 200
    until(lambda: metric(server, predicted) == 25)  # what the dead one counted is still counted
    code, log = server.stop()
    assert code == 0
    assert f"worker {both[0]} ended by itself (exit code -9); another starts in 0.5 s" in log
    assert "Traceback" not in log


COUNTS = """
import sys
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
registry = CollectorRegistry()
Counter("asked", "x", ["who"], registry=registry).labels("a").inc(float(sys.argv[1]))
Histogram("took", "x", buckets=(1, 2), registry=registry).observe(float(sys.argv[1]))
Gauge("open", "x", registry=registry, multiprocess_mode="livesum").set(1)
"""


def test_what_many_that_ended_had_counted_is_kept_in_two_files(tmp_path: Path) -> None:
    for number in range(1, 4):
        child = subprocess.Popen(
            [sys.executable, "-c", COUNTS, str(number)], env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        )
        assert child.wait(30) == 0
        merge_dead_process(child.pid, tmp_path)
    lines = shared_exposition(tmp_path).decode().splitlines()
    assert 'asked_total{who="a"} 6.0' in lines
    assert {'took_bucket{le="1.0"} 1.0', 'took_bucket{le="2.0"} 2.0', "took_count 3.0", "took_sum 6.0"} <= set(lines)
    assert not any(line.startswith("open ") for line in lines)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "counter_ended.db",
        "figures.lock",
        "histogram_ended.db",
    ]
    (tmp_path / "counter_1.db").write_bytes(b"\xff\xff\xff\x00" * 9)  # as one that died in the middle of writing
    merge_dead_process(1, tmp_path)
    assert shared_exposition(tmp_path).decode().splitlines() == lines


def test_figures_that_can_not_be_kept_are_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketvision.serving.shared_metrics.LOCK_TIMEOUT", 0.05)
    with (tmp_path / "figures.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            merge_dead_process(1, tmp_path)
    group = _Supervisor(WorkerPlan((), ServerSettings(), "127.0.0.1", 0, tmp_path / "gone"), lambda _: None)
    process = SimpleNamespace(join=lambda _: None, exitcode=1, pid=1)
    worker = _Worker(process, SimpleNamespace(close=lambda: None), 0)  # type: ignore[arg-type]
    group._workers, group._started = [worker], True
    group._handle_exit(worker)
    assert len(group._due) == 1


def test_a_reload_is_one_of_all_workers(start, tiny_bundle: Bundle) -> None:  # type: ignore[no-untyped-def]
    key, kept = new_key("a")
    server: Running = start("--workers", "2", POCKETVISION_API_KEYS=f"{kept.name}:{kept.sha256}")
    headers = {"x-api-key": key}

    def labels() -> set[str]:
        found = [httpx.get(f"{server.url}/models", headers=headers).json()["models"][0]["labels"][0] for _ in range(20)]
        return set(found)

    def reload() -> httpx.Response:
        return httpx.post(f"{server.url}/models/tiny/reload", headers=headers, timeout=30)

    assert labels() == {"red"}
    task = replace(tiny_bundle.task, labels=("x", "y", "z"))
    rewrite_bundle(tiny_bundle, replace(tiny_bundle.manifest, tasks={"classification": task}))
    assert labels() == {"red"}
    assert [each["outcome"] for each in reload().json()["reloads"]] == ["reloaded"]
    assert labels() == {"x"}
    assert [each["outcome"] for each in reload().json()["reloads"]] == ["unchanged"]
    (read_bundle(tiny_bundle.folder).folder / "model.onnx").write_bytes(b"x")
    assert reload().status_code == 409
    assert labels() == {"x"}
    assert httpx.post(f"{server.url}/models/none/reload", headers=headers).status_code == 404
    assert metric(server, 'pocketvision_reloads_total{model="tiny",outcome="reloaded"', headers) == 2  # one a worker


class Pipe:
    """One end of a worker's pipe: what is to be heard, and what was said."""

    def __init__(self, *messages: object) -> None:
        self.messages, self.sent = list(messages), []  # type: ignore[var-annotated]

    def recv(self) -> object:
        return self.messages.pop(0)

    def send(self, message: object) -> None:
        self.sent.append(message)


def test_a_worker_that_is_starting_reloads_too_and_is_not_waited_for(tmp_path: Path) -> None:
    plan = WorkerPlan((), ServerSettings(), "127.0.0.1", 0, tmp_path)
    group = _Supervisor(plan, lambda _: None)
    asker, starting = (_Worker(None, Pipe(), 0) for _ in range(2))  # type: ignore[arg-type]
    asker.ready = 1.0
    group._workers = [asker, starting]
    done = [Reload("tiny", "reloaded", "1")]
    asker.pipe.messages = [ReloadRequest(7, "tiny"), ReloadResult(0, done)]  # type: ignore[attr-defined]
    starting.pipe.messages = [ReloadResult(0, [Reload("tiny", "unchanged", "1")])]  # type: ignore[attr-defined]
    for worker in (asker, asker, starting):
        group._receive(worker)
    order = ReloadCommand(0, "tiny")
    assert asker.pipe.sent == [order, ReloadResponse(7, [done])]  # type: ignore[attr-defined]
    assert starting.pipe.sent == [order]  # type: ignore[attr-defined]

    async def scene() -> None:
        reloaded: list[str] = []

        async def reload(name: str) -> list[Reload]:
            reloaded.append(name)
            return done

        models = SimpleNamespace(reload=reload, described=lambda: ["tiny"])
        working, service = _WorkerProcess(plan, Pipe(order)), SimpleNamespace(models=models)  # type: ignore[arg-type]
        working._receive(service)  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert reloaded == []
        working._ready(service)  # type: ignore[arg-type]
        await asyncio.gather(*working._tasks)
        assert working._pipe.sent == [Ready(["tiny"]), ReloadResult(0, done)]  # type: ignore[attr-defined]

    asyncio.run(scene())


def test_a_rate_counts_in_all_workers_together(start) -> None:  # type: ignore[no-untyped-def]
    key, kept = new_key("a")
    environment = {"POCKETVISION_API_KEYS": f"{kept.name}:{kept.sha256}"}
    server: Running = start("--workers", "3", "--rate", "2", **environment)
    started = time.monotonic()
    statuses = [
        httpx.get(f"{server.url}/models", headers={"x-api-key": key}, timeout=20).status_code for _ in range(30)
    ]
    taken = time.monotonic() - started
    assert set(statuses) == {200, 429}
    assert 2 <= statuses.count(200) <= 2 + 2 * taken


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT])
def test_what_is_in_flight_is_finished_and_nobody_stays(start, number: int) -> None:  # type: ignore[no-untyped-def]
    server: Running = start("--workers", "2", "--max-delay", "1500")
    both, answers = workers_of(server), []
    asking = [threading.Thread(target=lambda: answers.append(answered(server).status_code)) for _ in range(3)]
    for each in asking:
        each.start()
    until(lambda: metric(server, 'pocketvision_queue_images{model="tiny"') == 3)
    code, log = server.stop(number)
    for each in asking:
        each.join()
    assert (answers, code) == ([200] * 3, 0)
    assert not any(map(alive, both))
    assert "Traceback" not in log


def test_workers_do_not_outlive_the_one_that_started_them(start) -> None:  # type: ignore[no-untyped-def]
    server: Running = start("--workers", "2")
    both = workers_of(server)
    server.process.kill()
    until(lambda: not any(map(alive, both)))


def test_what_can_not_start_says_why_once(tiny_bundle: Bundle) -> None:
    def refusal(*arguments: str) -> str:
        command = [sys.executable, "-m", "pocketvision", "serve", *arguments, "--workers", "2"]
        child = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)
        assert child.returncode == 1
        assert "Traceback" not in child.stderr
        return " ".join(child.stderr.split())

    with shared_listening_sockets("127.0.0.1", 0)[0] as taken:  # as another server with workers has it
        taken.listen()
        assert "another program listens" in refusal(str(tiny_bundle.folder), "--port", str(taken.getsockname()[1]))
    with listening_sockets("127.0.0.1", 0)[0] as taken:
        taken.listen()
        with pytest.raises(PocketVisionError, match="another program listens"):
            shared_listening_sockets("127.0.0.1", taken.getsockname()[1])
    (tiny_bundle.folder / "model.onnx").write_bytes(b"x")
    assert refusal(str(tiny_bundle.folder), "--port", "0").count("damaged") == 1


def test_a_shared_bucket_is_an_ordinary_one(tmp_path: Path) -> None:
    one, other = (SharedTokenBuckets(tmp_path / "rates", ["a", "b"], 2.0) for _ in range(2))
    alone = TokenBuckets(2.0)
    for place, now in enumerate((10.0, 10.0, 10.0, 10.4, 10.6, 30.0, 30.0, 30.0)):
        expected = alone.try_acquire("a", now)
        assert (one if place % 2 else other).try_acquire("a", now) == pytest.approx(expected)
    assert other.try_acquire("b", 10.0) == 0


def take(path: Path, granted: "multiprocessing.Queue[int]") -> None:
    limit = SharedTokenBuckets(path, ["a"], 50.0)
    granted.put(sum(limit.try_acquire("a", 1.0) == 0 for _ in range(2000)))


def test_no_token_is_given_twice(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    granted: multiprocessing.Queue[int] = context.Queue()  # type: ignore[assignment]
    processes = [context.Process(target=take, args=(tmp_path / "rates", granted)) for _ in range(4)]
    for each in processes:
        each.start()
    total = sum(granted.get(timeout=30) for _ in processes)
    for each in processes:
        each.join()
    assert total == 50


@pytest.mark.slow
def test_a_worker_that_sends_no_heartbeat_is_killed_and_replaced(tiny_bundle: Bundle) -> None:
    """It is stopped in the middle: what hangs so deep, no thread of its own can tell."""
    code = (
        "from pocketvision.serving import workers\nfrom pocketvision.cli.main import main\n"
        "workers.HEARTBEAT_INTERVAL, workers.HEARTBEAT_TIMEOUT = 0.2, 8.0\nmain()"
    )
    command = [sys.executable, "-c", code, "serve", f"tiny={tiny_bundle.folder}", "--port", "0", "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8") as process:
        try:
            assert process.stderr is not None
            found = next(match for line in process.stderr if (match := re.search(r"http://127\.0\.0\.1:(\d+)", line)))
            server = Running(found[0], int(found[1]), process)
            first, second = workers_of(server)
            os.kill(first, signal.SIGSTOP)
            until(lambda: first not in workers_of(server) and len(workers_of(server)) == 2)
            assert second in workers_of(server)  # whose answers are heard
            code_, log = server.stop()
            assert code_ == 0
            assert f"worker {first} has not answered for" in log
        finally:
            process.kill()


def test_a_worker_whose_decoders_all_hang_ends_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, number: sent.append((process, number)))
    stuck = SimpleNamespace(models=SimpleNamespace(stuck_for=STUCK + 1))
    asyncio.run(asyncio.wait_for(_end_when_stuck(stuck), 5))  # type: ignore[arg-type]
    assert sent == [(os.getpid(), signal.SIGTERM)]
    free = SimpleNamespace(models=SimpleNamespace(stuck_for=0.0))
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(_end_when_stuck(free), 0.1))  # type: ignore[arg-type]
    assert len(sent) == 1
