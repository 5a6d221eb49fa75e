"""Downloads from a local server: whole or not at all, resumed, verified."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from pocketvision.errors import WeightsError
from pocketvision.models.download import download

CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; understands ranges; breaks off after `limit` bytes when that is set."""

    limit: int | None = None
    ranges: ClassVar[list[str | None]] = []
    knows_ranges = True

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        Server.ranges.append(wanted)
        if self.path != "/weights.pth":
            self.send_error(404)
            return
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and Server.knows_ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: Server.limit])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Server.limit, Server.ranges, Server.knows_ranges = None, [], True
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_file_is_fetched_once(address: str, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "weights.pth"
    for _ in range(2):
        assert download(f"{address}/weights.pth", target, sha256_prefix=DIGEST[:8]) == target
    assert target.read_bytes() == CONTENT and len(Server.ranges) == 1
    assert [path for path in target.parent.iterdir() if path.suffix != ".lock"] == [target]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_broken_download_is_gone_on_with(address: str, tmp_path: Path, knows_ranges: bool) -> None:
    target, Server.limit, Server.knows_ranges = tmp_path / "weights.pth", 1000, knows_ranges
    with pytest.raises(
        WeightsError, match=r"the connection broke after 1,000 of 1,048,576 bytes.*1,000 bytes are kept"
    ):
        download(f"{address}/weights.pth", target, sha256_prefix=DIGEST[:8])
    assert not target.exists()
    Server.limit = None
    download(f"{address}/weights.pth", target, sha256_prefix=DIGEST[:8])
    assert target.read_bytes() == CONTENT and Server.ranges == [None, "bytes=1000-"]


def test_a_whole_part_is_only_verified(address: str, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.part").write_bytes(CONTENT)
    target = download(f"{address}/weights.pth", tmp_path / "weights.pth", sha256_prefix=DIGEST)
    assert target.read_bytes() == CONTENT


def test_another_hash_throws_the_file_away(address: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not have the hash it should have"):
        download(f"{address}/weights.pth", tmp_path / "weights.pth", sha256_prefix="0123abcd")
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_a_missing_file_and_a_silent_port_are_errors(address: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="the server answers 404"):
        download(f"{address}/other.pth", tmp_path / "other.pth", sha256_prefix=DIGEST)
    with pytest.raises(WeightsError, match=r"Can not fetch http://127\.0\.0\.1:1/"):
        download("http://127.0.0.1:1/weights.pth", tmp_path / "weights.pth", sha256_prefix=DIGEST)
