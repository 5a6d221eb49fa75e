"""Shared by the server's tests: pictures, an application in this process, a server in another."""

import io
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi.testclient import TestClient
from PIL import Image

from pocketvision.serving.app import create_app
from pocketvision.serving.models import BundleSource
from pocketvision.serving.settings import ServerSettings

COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0), "파랑": (0, 0, 250)}


def picture(label: str, kind: str = "JPEG", size: tuple[int, int] = (40, 30)) -> bytes:
    """An image file that `tiny_bundle` calls `label`."""
    file = io.BytesIO()
    Image.new("RGB", size, COLOURS[label]).save(file, kind)
    return file.getvalue()


@contextmanager
def serving(*folders: Path, settings: ServerSettings | None = None) -> Iterator[TestClient]:
    """The application in this process; every folder under the name `tiny`."""
    sources = [BundleSource("tiny", folder) for folder in folders]
    with TestClient(create_app(sources, settings)) as client:
        yield client


@dataclass(frozen=True)
class Running:
    """A server process: where it listens."""

    url: str
    port: int
    process: "subprocess.Popen[str]"

    def stop(self, by: int = signal.SIGTERM) -> tuple[int, str]:
        """Ask it to stop: its exit code, and what it had written since it was ready."""
        self.process.send_signal(by)
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, log


def memory(process: int) -> int:
    """Resident KiB of a process."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
