"""One server an address, from the moment it is bound."""

import errno
import socket
import sys

import pytest
from served import Start

from pocketvision.serving.address_lock import address_lock
from pocketvision.serving.sockets import listening_sockets

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere an address is nobody else's once it is bound"
)


@pytest.mark.parametrize("workers", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_a_server_that_is_still_loading_has_its_port_already(start: Start, workers: str) -> None:
    """Bound and not listened on, as while its models are loaded."""
    shared = workers != "1"
    with listening_sockets("127.0.0.1", 0, shared=shared)[0] as loading, address_lock(loading):
        port = loading.getsockname()[1]
        with pytest.raises(AssertionError, match="another program listens there already"):
            start("--port", str(port), "--workers", workers)
    assert start("--port", str(port), "--workers", workers).stop()[0] == 0


def test_a_program_that_was_faster_is_reported(start: Start) -> None:
    """Another program's, which claims nothing: it listens before the models are loaded."""
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        with pytest.raises(AssertionError, match="another program listens there already"):
            start("--port", str(bound.getsockname()[1]))


def test_a_sandbox_without_such_names_serves_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As that of deploy/pocketvision.service, which has no sockets but those of networks."""
    with listening_sockets("127.0.0.1", 0)[0] as bound:

        def none_of_these(*_: object) -> socket.socket:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

        monkeypatch.setattr("pocketvision.serving.address_lock.socket.socket", none_of_these)
        with caplog.at_level("INFO", "pocketvision"), address_lock(bound):
            assert "is not kept while models are loaded" in caplog.text
