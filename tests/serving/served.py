"""Shared by the server's tests: pictures, an application in this process, a server in another."""

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi.testclient import TestClient
from PIL import Image

import pocketvision
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
        return self.end()

    def end(self) -> tuple[int, str]:
        """The same for one that was asked already: a second signal would end it at once."""
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, log


Start = Callable[..., Running]


@contextmanager
def starting(bundle: Path, folder: Path, name: str = "tiny") -> Iterator[Start]:
    """A function that starts `pocketvision serve` with a bundle of this name and further arguments; all are ended after it."""
    running: list[subprocess.Popen[str]] = []

    def starter(*arguments: str, **environment: str) -> Running:
        command = [sys.executable, "-m", "pocketvision", "serve", f"{name}={bundle}", "--port", "0", *arguments]
        paths = {"PYTHONPATH": str(Path(pocketvision.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, **paths, **environment},
            cwd=folder,
        )
        running.append(process)
        assert process.stderr is not None
        seen = ""
        for line in process.stderr:
            seen += line
            if found := re.search(r"(http://127\.0\.0\.1:(\d+))", line):
                return Running(found[1], int(found[2]), process)
        raise AssertionError(f"the server did not start: {seen}")

    try:
        yield starter
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.communicate()


def memory(process: int) -> int:
    """Resident KiB of a process."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
