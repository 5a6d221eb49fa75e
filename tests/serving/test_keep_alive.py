"""How long a connection stays open between requests, and that a request which has begun has its own time."""

import socket
import time

import pytest
from live_server import LiveServer, live_server

from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.serving.settings import ServerSettings

REQUEST = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


def connected(server: LiveServer) -> socket.socket:
    """A connection to it."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def answered(connection: socket.socket) -> None:
    """Ask once, and read the whole answer."""
    connection.sendall(REQUEST)
    received = b""
    while not received.endswith(b'"alive"}'):
        chunk = connection.recv(4096)
        assert chunk, received
        received += chunk


def closed_after(connection: socket.socket) -> float:
    """Seconds until the server closes an open connection."""
    started = time.monotonic()
    assert connection.recv(4096) == b""
    return time.monotonic() - started


def test_an_idle_connection_is_closed_after_its_time(tiny_bundle: Bundle) -> None:
    with live_server(tiny_bundle, keep_alive=0.5, header_timeout=30.0) as server, connected(server) as connection:
        answered(connection)
        answered(connection)
        assert closed_after(connection) >= 0.4


def test_a_long_keep_alive_outlives_the_time_for_headers_which_a_begun_request_has(tiny_bundle: Bundle) -> None:
    with live_server(tiny_bundle, keep_alive=30.0, header_timeout=0.5) as server, connected(server) as connection:
        answered(connection)
        connection.settimeout(1.0)
        with pytest.raises(TimeoutError):  # still open after twice the time for headers
            connection.recv(1)
        connection.settimeout(20)
        answered(connection)
        connection.sendall(REQUEST[:10])
        assert 0.4 <= closed_after(connection) < 15


def test_no_time_is_refused() -> None:
    with pytest.raises(UsageError, match="keep_alive is 0"):
        ServerSettings(keep_alive=0)
