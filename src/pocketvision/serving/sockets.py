"""The sockets that a server listens on."""

import errno
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from pocketvision.errors import PocketVisionError

LOCALHOST = ("127.0.0.1", "::1")
"""What `localhost` is, whatever the system's table says: browsers and other programs try both."""

FREE_PORT_ATTEMPTS = 20
_MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def listening_sockets(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """TCP sockets bound to every address of a host, all on one port (0: any free one).

    shared: others of this user that are shared may have it too; Linux only. Raises PocketVisionError that says why an address can
    not be had. Addresses of a kind that the machine does not have (IPv6) are left out as long as there is another.
    """
    addresses = _addresses_of(host)
    for attempt in range(1, FREE_PORT_ATTEMPTS + 1):
        try:
            return _bind_all(host, addresses, port, shared)
        except PocketVisionError as error:
            cause = error.__cause__
            in_use = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
            if port != 0 or not in_use or attempt == FREE_PORT_ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def shared_listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets that keep a port for workers. Raises PocketVisionError when it can not be had, or the system shares no ports."""
    if sys.platform != "linux":
        raise PocketVisionError(
            "--workers needs Linux, which shares a port's connections among processes; use --threads here"
        )
    # Processes of one user may share a port unasked, another server of ours included; so it must be free for one alone first.
    with ExitStack() as closing:
        alone = listening_sockets(host, port)
        for each in alone:
            closing.enter_context(each)
        port = alone[0].getsockname()[1]
    return listening_sockets(host, port, shared=True)


def bind_error(host: str, port: int, error: Exception) -> PocketVisionError:
    """The error for an address that can not be had."""
    hint = {
        errno.EADDRINUSE: "another program listens there already; choose another --port, or 0 for any free one",
        errno.EACCES: "no permission for that port; those below 1024 belong to the system, choose a higher --port",
        errno.EADDRNOTAVAIL: "this machine has no such address; choose another --host",
    }.get(getattr(error, "errno", None) or 0, str(error))
    shown = f"[{host}]" if ":" in host else host
    return PocketVisionError(f"{shown}:{port} can not be served on: {hint}")


def _addresses_of(host: str) -> list[tuple[int, str]]:
    """Family and address of each, without doubles. Raises PocketVisionError for a host that is unknown."""
    if host.lower() == "localhost":
        return [(socket.AF_INET, LOCALHOST[0]), (socket.AF_INET6, LOCALHOST[1])]
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise PocketVisionError(f"{host} is no address of this machine ({said})") from error
    # A scope (fe80::1%eth0) is not in the address alone.
    addresses = [
        (family, host if family == socket.AF_INET6 and "%" in host else str(at[0])) for family, *_, at in found
    ]
    return list(dict.fromkeys((int(family), address) for family, address in addresses))


def _bind_all(host: str, addresses: Sequence[tuple[int, str]], port: int, shared: bool) -> list[socket.socket]:
    bound: list[socket.socket] = []
    missing: OSError | None = None
    with ExitStack() as closing:
        for family, address in addresses:
            try:
                made = _bind(family, address, port, shared, alone=len(addresses) == 1)
            except OSError as error:
                if error.errno not in _MISSING:
                    raise bind_error(address if len(addresses) > 1 else host, port, error) from error
                missing = error
                continue
            except OverflowError as error:
                raise bind_error(host, port, error) from error
            closing.enter_context(made)
            bound.append(made)
            port = made.getsockname()[1]
        if not bound:
            raise bind_error(host, port, missing or OSError("no address")) from missing
        closing.pop_all()
    return bound


def _bind(family: int, address: str, port: int, shared: bool, *, alone: bool) -> socket.socket:
    # asyncio turns off the wait for more to send (TCP_NODELAY) only where the protocol is named: 40 ms an answer.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not alone:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(socket.getaddrinfo(address, port, family, socket.SOCK_STREAM)[0][4])
        made.set_inheritable(False)
    except BaseException:
        made.close()
        raise
    return made
