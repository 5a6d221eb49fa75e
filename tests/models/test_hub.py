"""The Hugging Face hub, played by a server on this machine, and everything that can go wrong with it.

Each case runs in its own process, because huggingface_hub reads its environment when it is imported.
"""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save

from pocketvision.models.hub import REACH_SECONDS

CONFIG = {
    "architecture": "tf_mobilenet",
    "num_classes": 1000,
    "pretrained_cfg": {
        "input_size": [3, 96, 128],
        "crop_pct": 0.9,
        "interpolation": "bilinear",
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
    },
}


class Hub(ThreadingHTTPServer):
    """Serves `files` by "repository/filename" as the hub does; `status` other than 200 is its answer to everything."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files: dict[str, bytes] = {}
        self.status = 200
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        if not self.path.startswith("/api/"):  # huggingface_hub's own business
            self.server.requests.append(f"{self.command} {self.path}")
        repository, _, filename = self.path.lstrip("/").partition("/resolve/main/")
        content = self.server.files.get(f"{repository}/{filename}")
        known = any(name.startswith(f"{repository}/") for name in self.server.files)
        status = self.server.status if self.server.status != 200 or content is not None else 404
        body = content or b""
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("ETag", f'"{hash(self.path) & 0xFFFFFFFF:x}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            with contextlib.suppress(ConnectionError):  # who only wanted a byte hangs up
                self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[Hub]:
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    yield hub
    hub.shutdown()
    hub.server_close()


@pytest.fixture(scope="module")
def mobilenet() -> bytes:
    torch.manual_seed(0)
    return save(timm.create_model("mobilenetv2_100").state_dict())


def run(code: str, endpoint: str, home: Path, **environment: str) -> tuple[str, float]:
    """Standard output of `code` with the hub at `endpoint`, and the seconds that its call of `timed` took."""
    prelude = """
        import time
        from pocketvision.errors import PocketVisionError
        def timed(function, *arguments):
            start = time.monotonic()
            try:
                print(function(*arguments))
            except PocketVisionError as error:
                print(type(error).__name__, error)
            print("seconds", time.monotonic() - start)
    """
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(code)],
        env={**inherited, **settings, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    output, _, seconds = done.stdout.rpartition("seconds ")
    return output, float(seconds)


FETCH = """
    from pocketvision.models.hub import fetch
    timed(fetch, "timm/some.in1k", "config.json")
"""
LOAD = """
    from pocketvision.models.weights import load_pretrained
    timed(load_pretrained, "mobilenet_v2")
"""


def test_weights_come_from_the_hub_once_and_then_from_its_cache(server: Hub, mobilenet: bytes, tmp_path: Path) -> None:
    server.files["timm/mobilenetv2_100.ra_in1k/model.safetensors"] = mobilenet
    code = """
        from pocketvision.models.weights import load_pretrained
        def load():
            found = load_pretrained("mobilenet_v2")
            return found.origin, found.sha256, found.labels[0], found.network.num_classes
        timed(load)
    """
    path = "/timm/mobilenetv2_100.ra_in1k/resolve/main/model.safetensors"
    origin = "Hugging Face hub, timm/mobilenetv2_100.ra_in1k"
    expected = str((origin, hashlib.sha256(mobilenet).hexdigest(), "tench", 1000))
    assert run(code, server.url, tmp_path)[0].strip() == expected
    assert server.requests == [f"GET {path}", f"HEAD {path}", f"GET {path}"]
    assert run(code, server.url, tmp_path, HF_HUB_OFFLINE="1")[0].strip() == expected
    assert len(server.requests) == 3


def test_what_is_in_the_cache_is_not_asked_for_again(server: Hub, tmp_path: Path) -> None:
    server.files["timm/some.in1k/config.json"] = b"{}"
    first, _ = run(FETCH, server.url, tmp_path)
    asked = len(server.requests)
    assert run(FETCH, server.url, tmp_path)[0] == first and first.strip().endswith("config.json")
    assert len(server.requests) == asked


def test_a_repository_outside_the_table_brings_its_own_conventions(
    server: Hub, mobilenet: bytes, tmp_path: Path
) -> None:
    server.files["me/tf_mobile.in1k/model.safetensors"] = mobilenet
    server.files["me/tf_mobile.in1k/config.json"] = json.dumps(CONFIG).encode()
    server.files["me/bare/model.safetensors"] = mobilenet
    code = """
        from pocketvision.models.weights import load_pretrained
        def load():
            for repository in ("me/tf_mobile.in1k", "me/bare"):
                found = load_pretrained("mobilenet_v2", repository)
                rows = found.network.architecture
                print(rows.padding, rows.norm_epsilon, found.preprocessing, (found.labels or [None])[0])
        timed(load)
    """
    output, _ = run(code, server.url, tmp_path)
    first, second = output.splitlines()[:2]
    assert first == (
        "same 0.001 Preprocessing(height=96, width=128, crop_share=0.9, interpolation='bilinear', "
        "mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), white_level=65535, fit='crop') tench"
    )
    assert second.startswith("symmetric 1e-05 Preprocessing(height=224") and second.endswith("None")


def assert_says_what_works(message: str) -> None:
    assert "the model efficientnet_lite0, whose weights are installed" in message
    assert "a local .safetensors or .pth file" in message
    assert message.strip().count("\n") == 0


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up_within_ten_seconds(tmp_path: Path) -> None:
    assert REACH_SECONDS < 9
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        message, seconds = run(LOAD, endpoint, tmp_path)
    assert seconds < 10
    assert message.startswith("WeightsError Can not fetch model.safetensors of timm/mobilenetv2_100.ra_in1k")
    assert f"from {endpoint}: no answer within 7 seconds" in message
    assert_says_what_works(message)


def test_a_server_that_trickles_is_given_up_too(tmp_path: Path) -> None:
    """One byte a time, each before any socket's time limit."""
    with socket.create_server(("127.0.0.1", 0)) as slow:

        def trickle() -> None:
            connection, _ = slow.accept()
            with connection:
                for _ in range(40):
                    time.sleep(0.25)
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        threading.Thread(target=trickle, daemon=True).start()
        code = """
            from pocketvision.models.hub import fetch
            timed(lambda: fetch("timm/some.in1k", "config.json", reach_seconds=1.0))
        """
        message, seconds = run(code, f"http://127.0.0.1:{slow.getsockname()[1]}", tmp_path)
    assert "no answer within 1 seconds" in message and seconds < 3


def test_a_closed_port_an_unknown_host_and_offline_mode_each_name_their_cause(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    message, seconds = run(FETCH, f"http://127.0.0.1:{port}", tmp_path)
    assert "no connection (" in message and "refused" in message.lower() and seconds < 5
    message, seconds = run(FETCH, "http://hub.invalid", tmp_path)
    assert "HubUnreachableError Can not fetch config.json of timm/some.in1k from http://hub.invalid: no " in message
    assert seconds < 10
    message, _ = run(FETCH, "http://hub.invalid", tmp_path, HF_HUB_OFFLINE="1")
    assert "it is not in the cache and HF_HUB_OFFLINE is set" in message


def test_a_hub_that_is_down_or_lacks_the_file_says_so(server: Hub, tmp_path: Path) -> None:
    server.status = 503
    message, seconds = run(FETCH, server.url, tmp_path)
    assert "the server answers 503 Service Unavailable" in message and seconds < 10
    server.status = 200
    message, seconds = run(FETCH, server.url, tmp_path)
    assert "HubFileAbsentError There is no repository timm/some.in1k" in message and seconds < 10
    server.files["timm/some.in1k/other"] = b"x"
    message, seconds = run(FETCH, server.url, tmp_path)
    assert "has no file config.json" in message and seconds < 10
    message, _ = run(FETCH, server.url, tmp_path, HF_HUB_OFFLINE="1")
    assert "has no file config.json, by the cache" in message
