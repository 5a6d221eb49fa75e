"""One server of ours an address: sockets alone do not see to that.

Linux lets two sockets have one address as long as neither listens, and ours listen only when the models are loaded; those of
workers share it even then with any other process of the same user that shares ports, and clients would reach either server.
"""

import errno
import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

logger = logging.getLogger(__name__)


@contextmanager
def address_lock(bound: socket.socket) -> Iterator[None]:
    """Keep an address to this process while the block lasts. Raises OSError (EADDRINUSE) when another one has it.

    By a name that the system forgets with the process ("abstract" socket), and that each network namespace has for itself, as it
    has the port. Linux only; elsewhere no ports are shared.
    """
    host, port = bound.getsockname()[:2]
    with ExitStack() as kept:
        if sys.platform == "linux":
            try:
                claim = kept.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                claim.bind(f"\0pocketvision-serves-{host}-{port}")
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise
                # A sandbox without such sockets: the port is kept by the system's own rules alone.
                logger.info("%s:%s is not kept while models are loaded: %s", host, port, error)
        yield
