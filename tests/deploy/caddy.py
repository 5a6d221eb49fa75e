"""The proxy that deploy/Caddyfile is for, where it is installed, and ports for it."""

import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

# The oldest whose requests with a body survive that the server is not there for a moment.
OLDEST = (2, 11, 2)


def installed() -> str:
    """The proxy, beside this Python or on the path; the test is skipped where there is none, or an old one."""
    found = shutil.which("caddy", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip("caddy is not installed")
    said = subprocess.run([found, "version"], capture_output=True, text=True, timeout=30, check=True).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:3]))
    if version < OLDEST:
        pytest.skip(f"caddy is {'.'.join(map(str, version))}, older than {'.'.join(map(str, OLDEST))}")
    return found


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listened on a moment ago."""
    with ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]
