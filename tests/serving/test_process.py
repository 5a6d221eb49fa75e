"""A real server process: rude clients, overload, its port, and how it stops."""

import asyncio
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from served import Running, memory, picture

from pocketvision.bundle import Bundle
from pocketvision.errors import PocketVisionError
from pocketvision.serving.keys import new_key
from pocketvision.serving.sockets import listening_sockets

JPEG = {"content-type": "image/jpeg"}


def exchange(server: Running, content: bytes, *, timeout: float = 20) -> bytes:
    """Everything the server says to raw bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as connection:
        connection.sendall(content)
        said = b""
        while chunk := connection.recv(65536):
            said += chunk
        return said


def classify(server: Running, label: str = "red") -> httpx.Response:
    return httpx.post(f"{server.url}/predict", content=picture(label), headers=JPEG, timeout=20)


def test_it_serves_logs_and_stops_with_the_code_of_success(start) -> None:  # type: ignore[no-untyped-def]
    server = start("--log-json")
    assert classify(server, "green").json()["predictions"][0]["label"] == "green"
    httpx.get(f"{server.url}/x%0aforged", params={"token": "secret"})
    code, log = server.stop()
    assert code == 0
    lines = [json.loads(line) for line in log.splitlines()]
    requests = [line for line in lines if "path" in line]
    assert [(line["method"], line["status"]) for line in requests] == [("POST", 200), ("GET", 404)]
    assert all(line["request_id"] for line in requests)
    assert "secret" not in log


def test_sockets_have_lines_in_the_log(start) -> None:  # type: ignore[no-untyped-def]
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    key, kept = new_key("a")
    server = start(POCKETVISION_API_KEYS=f"{kept.name}:{kept.sha256}")
    address = f"ws://127.0.0.1:{server.port}/ws"
    with connect(address, additional_headers={"x-request-id": "one"}) as socket:
        socket.send(json.dumps({"type": "authenticate", "key": key}))
        assert json.loads(socket.recv(timeout=5))["type"] == "authenticated"
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(address, additional_headers={"x-api-key": "x", "x-request-id": "two"}),
    ):
        pass
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["x-request-id"] == "two"
    _, log = server.stop()
    lines = [line.partition(" ")[2] for line in log.splitlines()]
    assert re.fullmatch(r"127\.0\.0\.1 - WEBSOCKET '/ws' 101 [\d.]+ ms one", lines[0])
    assert re.fullmatch(r"127\.0\.0\.1 a WEBSOCKET '/ws' 1000 [\d.]+ ms one messages=1 answers=1", lines[1])
    assert re.fullmatch(r"127\.0\.0\.1 - WEBSOCKET '/ws' 401 [\d.]+ ms two unauthorized", lines[2])
    assert len(lines) == 3


def test_a_body_of_100_megabytes_is_refused_without_being_kept(server: Running) -> None:
    classify(server)
    before = memory(server.process.pid)

    def body():  # type: ignore[no-untyped-def]
        for _ in range(100):
            yield b"x" * 1_000_000

    for headers in ({}, {"content-length": "100000000"}):
        answer = httpx.post(f"{server.url}/predict", content=body(), headers={**JPEG, **headers}, timeout=30)
        assert answer.status_code == 413
    assert memory(server.process.pid) - before < 80 * 1024
    assert classify(server).status_code == 200


@pytest.mark.slow
def test_slow_headers_end(server: Running) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        ended = False
        while not ended and time.monotonic() - started < 18:
            try:
                connection.sendall(b"x: y\r\n")
                connection.settimeout(0.5)
                ended = connection.recv(100) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
        assert ended
    assert 8 < time.monotonic() - started < 14
    assert classify(server).status_code == 200


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
TOO_LARGE = {
    "a little": b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: " + b"z" * 33_000 + b"\r\n\r\n",
    "one": b"GET /health HTTP/1.1\r\nhost: x\r\nx: " + b"z" * 3_000_000 + b"\r\n\r\n",
    "many": b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"x: z\r\n" * 50_000 + b"\r\n",
    "path": b"GET /" + b"z" * 300_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "WebSocket, one": UPGRADE + b"x: " + b"z" * 9_000 + b"\r\n\r\n",
    "WebSocket, many": UPGRADE + b"x: z\r\n" * 130 + b"\r\n",
}


def test_huge_headers_are_reported_every_time(start) -> None:  # type: ignore[no-untyped-def]
    server = start()
    for name, content in TOO_LARGE.items():
        status, kind = (414, "target-too-long") if name == "path" else (431, "headers-too-large")
        for _ in range(25):  # the answer is never lost to a reset, which closing with something unread would send
            head, _, body = exchange(server, content).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d" % status)
            assert b"application/problem+json" in head
            problem = json.loads(body)
            assert problem["type"] == f"urn:pocketvision:problem:{kind}"
            assert problem["request_id"].encode() in head
    assert classify(server).status_code == 200
    code, log = server.stop()
    assert code == 0
    assert log.count("headers-too-large") + log.count("target-too-long") == 25 * len(TOO_LARGE)
    assert problem["request_id"] in log
    assert "Traceback" not in log


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(server: Running) -> None:
    request = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: %d\r\n\r\n"
    image = picture("red", size=(2000, 2000))
    for part in (image[:100], image):
        for _ in range(30):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(request % len(image) + part)
    ends = time.monotonic() + 10
    while 'pocketvision_queue_images{model="tiny"} 0.0' not in httpx.get(f"{server.url}/metrics").text:
        assert time.monotonic() < ends
        time.sleep(0.1)
    assert classify(server).status_code == 200


def test_under_overload_some_are_answered_and_the_rest_refused_with_retry_after(start) -> None:  # type: ignore[no-untyped-def]
    server = start("--queue", "4", "--max-batch", "2", "--max-images", "1", "--max-delay", "20")
    image = picture("red", size=(1500, 1500))
    statuses: list[int] = []

    def client(_: int) -> None:
        with httpx.Client(timeout=30) as session:
            for _ in range(6):
                answer = session.post(f"{server.url}/predict", content=image, headers=JPEG)
                statuses.append(answer.status_code)
                if answer.status_code == 429:
                    assert int(answer.headers["retry-after"]) >= 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(client, range(16)))
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 6
    rejected = next(
        line for line in httpx.get(f"{server.url}/metrics").text.splitlines() if 'kind="queue-full"' in line
    )
    assert float(rejected.rsplit(" ", 1)[1]) == statuses.count(429)


def test_what_is_in_flight_is_finished_when_it_is_stopped(start) -> None:  # type: ignore[no-untyped-def]
    server = start("--max-delay", "1500")
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(classify(server).status_code))
    asking.start()
    time.sleep(0.5)
    code, _ = server.stop()
    asking.join()
    assert (answers, code) == ([200], 0)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.url}/health")


def test_draining_ends_when_its_time_is_over(start) -> None:  # type: ignore[no-untyped-def]
    server = start("--drain", "1")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 99\r\n\r\nx"
        )
        time.sleep(0.3)
        started = time.monotonic()
        code, log = server.stop()
        assert code == 0
        assert time.monotonic() - started < 5
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")  # a time to come back, for who is still there
    assert head.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in head
    assert json.loads(body)["type"] == "urn:pocketvision:problem:shutting-down"
    assert "Traceback" not in log and " 503 " in log


def test_a_decode_that_hangs_does_not_keep_the_process(tiny_bundle: Bundle) -> None:
    code = (
        "import threading\nfrom pocketvision.serving.served_model import ServedModel\n"
        "ServedModel._prepare = lambda *_: threading.Event().wait()\n"
        "from pocketvision.cli.main import main\nmain()"
    )
    command = [sys.executable, "-c", code, "serve", str(tiny_bundle.folder), "--port", "0", "--deadline", "0.2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8") as process:
        try:
            assert process.stderr is not None
            url = next(found[0] for line in process.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            assert httpx.post(f"{url}/predict", content=picture("red"), headers=JPEG).status_code == 504
            process.terminate()
            assert process.wait(timeout=20) == 0
            assert "/predict" in process.stderr.read()
        finally:
            process.kill()


def test_a_bundle_deleted_while_it_is_served_goes_on(start, tiny_bundle: Bundle) -> None:  # type: ignore[no-untyped-def]
    import shutil

    server = start("--watch", "0.1")
    shutil.rmtree(tiny_bundle.folder)
    time.sleep(0.5)
    assert classify(server).status_code == httpx.get(f"{server.url}/ready").status_code == 200


def test_keys_come_from_file_and_environment(start, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (first, kept), (second, other) = new_key("a"), new_key("b")
    (tmp_path / "keys.txt").write_text(f"{kept.name}:{kept.sha256}\n", encoding="utf-8")
    server = start("--keys", str(tmp_path / "keys.txt"), POCKETVISION_API_KEYS=f"{other.name}:{other.sha256}")
    statuses = [
        httpx.get(f"{server.url}/models", headers={"x-api-key": key}).status_code for key in ("", first, second)
    ]
    assert statuses == [401, 200, 200]
    _, log = server.stop()
    assert first not in log
    assert second not in log


def test_answers_are_sent_without_waiting_for_more_to_send() -> None:
    async def scene() -> int:
        seen: asyncio.Queue[socket.socket] = asyncio.Queue()
        async with await asyncio.start_server(
            lambda _, writer: seen.put_nowait(writer.get_extra_info("socket")),
            sock=listening_sockets("127.0.0.1", 0)[0],
        ) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            no_delay = (await seen.get()).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.close()
            return no_delay

    assert asyncio.run(scene()) == 1


def test_a_server_that_is_still_loading_ends_at_once(tiny_bundle: Bundle) -> None:
    script = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from pocketvision.serving import server\nfrom pocketvision.serving.models import BundleSource, ServedModels\n"
        "from pocketvision.serving.service import service_for\nfrom pocketvision.serving.settings import ServerSettings\n"
        "from pocketvision.serving.sockets import listening_sockets\n"
        "async def load(self):\n    print('loading', flush=True)\n    await asyncio.sleep(60)\n"
        "ServedModels.load = load\n"
        "service = service_for([BundleSource('tiny', Path(sys.argv[1]))], ServerSettings())\n"
        "asyncio.run(server.serve(service, listening_sockets('127.0.0.1', 0), print))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tiny_bundle.folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "loading\n"
    child.terminate()
    assert child.wait(20) == 0


# What can not be served ------------------------------------------------------------------------------------------------


def refusal(*arguments: str, code: str = "from pocketvision.cli.main import main\nmain()") -> str:
    """What `pocketvision serve` says when it does not start."""
    child = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert child.returncode in (1, 2)
    assert "Traceback" not in child.stderr
    return " ".join(child.stderr.split())


def test_a_port_in_use_and_a_bad_bundle_are_reported(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with listening_sockets("127.0.0.1", 0)[0] as taken:
        taken.listen()
        said = refusal("serve", str(tiny_bundle.folder), "--port", str(taken.getsockname()[1]))
        assert "another program listens there" in said
    (tiny_bundle.folder / "model.onnx").write_bytes(b"x")
    assert "damaged" in refusal("serve", str(tiny_bundle.folder), "--port", "0")
    assert "no manifest.json" in refusal("serve", str(tmp_path), "--port", "0")
    with pytest.raises(PocketVisionError, match="no address"):
        listening_sockets("no.such.host.invalid", 0)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="drops the rights of root")
def test_a_port_without_permission_is_reported() -> None:
    script = (
        "import os\nfrom pathlib import Path\n"
        "from pocketvision.serving.sockets import listening_sockets\n"
        "start = Path('/proc/sys/net/ipv4/ip_unprivileged_port_start')\n"
        "if start.exists() and int(start.read_text()) == 0: print('open'); raise SystemExit(1)\n"
        "'x'.encode('idna')\n"  # loaded while its file can still be read
        "os.setgid(65534); os.setuid(65534)\n"
        "from pocketvision.errors import PocketVisionError\n"
        "import sys\n"
        "try: listening_sockets('127.0.0.1', 81)\nexcept PocketVisionError as e: print(e, file=sys.stderr); sys.exit(1)\n"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    if "open" in child.stdout:
        pytest.skip("this system lets everybody have every port")
    assert "no permission for that port" in child.stderr


def test_without_the_extra_the_install_line_is_reported(tiny_bundle: Bundle) -> None:
    code = (
        "import sys\nclass Absent:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('fastapi', 'uvicorn', 'starlette', 'prometheus_client'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\nfrom pocketvision.cli.main import main\nmain()"
    )
    assert 'pip install "pocketvision[serve]"' in refusal("serve", str(tiny_bundle.folder), code=code)


def test_early_and_broken_requests_do_not_disturb_others(server: Running) -> None:
    two = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    received = exchange(server, two)
    assert received.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in received
    negative = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n"
    for broken in (b"\x16\x03\x01\x00garbage\r\n\r\n", b"GET / HTTP/9\r\n\r\n", negative):
        assert exchange(server, broken)[:12] == b"HTTP/1.1 400"
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()


def test_it_serves_without_torch(tiny_bundle: Bundle) -> None:
    script = (
        "import sys\nclass Absent:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'torchvision', 'onnx', 'sklearn', 'matplotlib', 'jinja2'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from pathlib import Path\nfrom fastapi.testclient import TestClient\n"
        "from pocketvision.serving.app import create_app\nfrom pocketvision.serving.models import BundleSource\n"
        "import pocketvision.workflows.serve\n"
        "with TestClient(create_app([BundleSource('tiny', Path(sys.argv[1]))])) as client:\n"
        "    answer = client.post('/predict', files={'file': sys.stdin.buffer.read()})\n"
        "    print(answer.json()['predictions'][0]['label'])\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bundle.folder)],
        input=picture("red"),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert child.stdout.decode().strip() == "red", child.stderr.decode()
