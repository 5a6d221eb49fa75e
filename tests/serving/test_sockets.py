"""The addresses that a server listens on."""

import errno
import socket
from contextlib import ExitStack

import pytest

from pocketvision.errors import PocketVisionError
from pocketvision.serving import sockets
from pocketvision.serving.sockets import listening_sockets


def has_ipv6() -> bool:
    """Whether ::1 can be bound here."""
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
        return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def bound(stack: ExitStack, host: str, port: int = 0) -> dict[str, int]:
    """Addresses and ports of the sockets of a host."""
    found = [stack.enter_context(each).getsockname() for each in listening_sockets(host, port)]
    return {address: at for address, at, *_ in found}


@needs_ipv6
def test_localhost_is_both_loopback_addresses_on_one_port() -> None:
    with ExitStack() as stack:
        found = bound(stack, "LocalHost")
        assert set(found) == {"127.0.0.1", "::1"}
        assert len(set(found.values())) == 1


@needs_ipv6
def test_a_port_taken_on_one_of_them_is_taken() -> None:
    with (
        socket.socket(socket.AF_INET6) as taken,
        pytest.raises(PocketVisionError, match=r"\[::1\]:\d+ can not be served on"),
    ):
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("::1", 0))
        taken.listen()
        listening_sockets("localhost", taken.getsockname()[1])


@needs_ipv6
def test_another_free_port_is_tried_when_one_is_free_on_one_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    bind, failures = sockets._bind, [OSError(errno.EADDRINUSE, "in use")] * 2

    def unlucky(family: int, address: str, port: int, shared: bool, *, alone: bool) -> socket.socket:
        if address == "::1" and failures:
            raise failures.pop()
        return bind(family, address, port, shared, alone=alone)

    monkeypatch.setattr(sockets, "_bind", unlucky)
    with ExitStack() as stack:
        assert len(bound(stack, "localhost")) == 2


def test_without_ipv6_localhost_is_the_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bind = sockets._bind

    def without(family: int, address: str, port: int, shared: bool, *, alone: bool) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "no such address")
        return bind(family, address, port, shared, alone=alone)

    monkeypatch.setattr(sockets, "_bind", without)
    with ExitStack() as stack:
        assert set(bound(stack, "localhost")) == {"127.0.0.1"}
    with pytest.raises(PocketVisionError, match="choose another --host"):
        listening_sockets("::1", 0)


def test_one_address_is_one_socket() -> None:
    with ExitStack() as stack:
        assert set(bound(stack, "127.0.0.1")) == {"127.0.0.1"}


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 70 + ".example"])
def test_an_unknown_host_is_an_error(host: str) -> None:
    with pytest.raises(PocketVisionError, match="is no address of this machine"):
        listening_sockets(host, 0)
