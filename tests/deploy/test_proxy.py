"""deploy/Caddyfile before a real server: TLS, limits, WebSocket, what is not shown, and a server that is away for a moment."""

import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import caddy
import httpx
import pytest
import websockets
from containerfile import DEPLOY
from served import Running, picture

import pocketvision
from pocketvision.bundle import Bundle
from pocketvision.serving.http_protocol import MAX_HEADERS
from pocketvision.serving.keys import new_key
from pocketvision.serving.settings import ServerSettings

CADDYFILE = DEPLOY / "Caddyfile"
TEXT = CADDYFILE.read_text(encoding="utf-8")
JPEG = {"content-type": "image/jpeg"}


@dataclass
class Behind:
    """A server behind the proxy. key: one that it takes. stop, start: the server, on its port."""

    url: str
    plain: str
    key: str
    log: Path
    stop: Callable[[], tuple[int, str]]
    start: Callable[[], None]

    def client(self, **options: object) -> httpx.Client:
        """A client that has the key, and takes the proxy's own certificate."""
        return httpx.Client(base_url=self.url, verify=False, headers={"x-api-key": self.key}, timeout=30, **options)  # type: ignore[arg-type]


@pytest.fixture
def behind(tiny_bundle: Bundle, tmp_path: Path) -> Iterator[Behind]:
    program = caddy.installed()
    upstream, http, https = caddy.free_ports(3)
    key, kept = new_key("tester")
    (tmp_path / "keys").write_text(f"{kept.name}:{kept.sha256}\n", encoding="utf-8")
    servers: list[subprocess.Popen[str]] = []

    def start() -> None:
        arguments = [
            f"tiny={tiny_bundle.folder}",
            "--port",
            str(upstream),
            "--keys",
            str(tmp_path / "keys"),
            "--log-json",
        ]
        servers.append(
            subprocess.Popen(
                [sys.executable, "-m", "pocketvision", "serve", *arguments],
                env={**os.environ, "PYTHONPATH": str(Path(pocketvision.__file__).parents[1])},
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
        )

    def stop() -> tuple[int, str]:
        return Running("", upstream, servers[-1]).stop()

    start()
    places = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    site = {"SITE": "localhost", "UPSTREAM": f"127.0.0.1:{upstream}", "HTTP_PORT": str(http), "HTTPS_PORT": str(https)}
    log = tmp_path / "caddy.log"
    with log.open("w", encoding="utf-8") as written:
        proxy = subprocess.Popen(
            [program, "run", "--config", str(CADDYFILE), "--adapter", "caddyfile"],
            env={**os.environ, **places, **site},
            stderr=written,
            stdout=subprocess.DEVNULL,
        )
    answered = Behind(f"https://localhost:{https}", f"http://localhost:{http}", key, log, stop, start)
    try:
        wait_until_ready(answered, proxy)
        yield answered
    finally:
        proxy.terminate()
        proxy.wait(30)
        for server in servers:
            if server.poll() is None:
                server.kill()
                server.communicate()


def wait_until_ready(behind: Behind, proxy: "subprocess.Popen[bytes]") -> None:
    """Until the server answers through the proxy, which itself waits for the server."""
    ends = time.monotonic() + 60
    while True:
        assert proxy.poll() is None, behind.log.read_text(encoding="utf-8")
        assert time.monotonic() < ends, behind.log.read_text(encoding="utf-8")
        try:
            with behind.client() as client:
                if client.get("/ready").status_code == 200:
                    return
        except httpx.TransportError:
            time.sleep(0.1)


METRICS = (
    "/metrics",
    "/metrics/",
    "//metrics",
    "/%6Detrics",
    "/x/../metrics",
    "/./metrics",
    "/METRICS",
    "/metrics?a=b",
)


def test_what_passes_and_what_does_not(behind: Behind) -> None:
    with behind.client() as client:
        answer = client.post("/predict", content=picture("green"), headers={**JPEG, "x-request-id": "mine-7"})
        assert answer.json()["predictions"][0]["label"] == "green"
        assert answer.headers["x-request-id"] == "mine-7"
        assert "max-age" in answer.headers["strict-transport-security"]
        assert (
            client.get("/models", headers={"x-api-key": "wrong-secret-key"}, params={"token": "in-a-query"}).status_code
            == 401
        )
        for path in METRICS:
            found = client.get(
                httpx.URL(behind.url).copy_with(raw_path=path.encode()), headers={"x-forwarded-for": "1.2.3.4"}
            )
            assert found.status_code == 404, path
            assert "pocketvision_" not in found.text, path
        too_large = b"x" * (ServerSettings().max_body + 1)
        assert client.post("/predict", content=too_large, headers=JPEG).status_code == 413
        assert client.post("/predict", content=iter([too_large]), headers=JPEG).status_code == 413
        as_large_as_can_be = client.post("/predict", content=too_large[:-1], headers=JPEG)
        assert as_large_as_can_be.status_code == 422, "it reached the server, which says that it is no image"
        assert httpx.get(f"{behind.plain}/ready").headers["location"].startswith("https://localhost")
    _, log = behind.stop()
    requests = [line for line in map(json.loads, re.findall(r"^{.*", log, flags=re.MULTILINE)) if "path" in line]
    assert {line["client"] for line in requests} <= {"127.0.0.1", "::1"}, "a client can not choose its address"
    assert "mine-7" in [line["request_id"] for line in requests]
    written = behind.log.read_text(encoding="utf-8")
    assert '"uri":"/models"' in written
    for secret in (behind.key, "wrong-secret-key", "in-a-query"):
        assert secret not in written
        assert secret not in log


def test_websockets_pass_with_the_pages_own_origin_only(behind: Behind) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    url = f"{behind.url.replace('https', 'wss')}/ws"

    async def exchange(origin: str) -> dict[str, object]:
        keys = {"x-api-key": behind.key}
        async with websockets.connect(url, ssl=trusting, additional_headers=keys, origin=origin) as socket:  # type: ignore[arg-type]
            await socket.send(picture("red"))
            answer: dict[str, object] = json.loads(await asyncio.wait_for(socket.recv(), 20))
            return answer

    assert asyncio.run(exchange(behind.url))["type"] == "analysis_result"
    with pytest.raises(websockets.InvalidStatus):
        asyncio.run(exchange("https://elsewhere.example"))


def test_requests_that_come_while_the_server_is_restarted_wait_for_it(behind: Behind) -> None:
    code, _ = behind.stop()
    assert code == 0
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(classified, behind) for _ in range(4)]
        time.sleep(1)  # the proxy tries in vain; the answers are right however long it takes
        assert not [each for each in asked if each.done()]
        behind.start()
        assert [each.result() for each in asked] == [200] * 4


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a connection may come in while the server's door is being shut"
)
def test_a_restart_under_load_costs_no_request(behind: Behind) -> None:
    seen: Counter[int] = Counter()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            seen[classified(behind)] += 1

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for each in asking:
        each.start()
    try:
        for _ in range(2):
            wait_for_more(seen, 10)
            assert behind.stop()[0] == 0
            behind.start()
        wait_for_more(seen, 10)
    finally:
        over.set()
        for each in asking:
            each.join()
    assert set(seen) == {200}, [line for line in behind.log.read_text("utf-8").splitlines() if '"error"' in line]


def wait_for_more(seen: "Counter[int]", more: int) -> None:
    """Until so many more answers have come."""
    ends, target = time.monotonic() + 60, seen.total() + more
    while seen.total() < target:
        assert time.monotonic() < ends, seen
        time.sleep(0.02)


def classified(behind: Behind) -> int:
    """The status of a request with a body."""
    with behind.client() as client:
        return client.post("/predict", content=picture("red"), headers=JPEG).status_code


# Its numbers beside the server's ----------------------------------------------------------------------------------------


def number(setting: str) -> float:
    """Seconds, or bytes, of a setting of the Caddyfile."""
    (found,) = re.findall(rf"^\s*{setting} (\d+)(s|m|MiB|KiB)$", TEXT, flags=re.MULTILINE)
    return int(found[0]) * {"s": 1, "m": 60, "MiB": 1024**2, "KiB": 1024}[found[1]]


def test_the_proxys_limits_are_the_servers_and_its_patience_is_longer() -> None:
    settings = ServerSettings()
    assert number("max_size") == settings.max_body
    assert f"> {settings.max_body}`" in TEXT
    assert number("max_header_size") == MAX_HEADERS
    assert number("read_header") == settings.header_timeout
    assert number("read_body") == settings.body_timeout
    assert number("response_header_timeout") > settings.body_timeout + settings.deadline
