"""Fixtures of the server's tests."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from served import Running, Start, serving, starting

from pocketvision.bundle import Bundle


@pytest.fixture
def client(tiny_bundle: Bundle) -> Iterator[TestClient]:
    """`tiny_bundle` served with the default settings."""
    with serving(tiny_bundle.folder) as served:
        yield served


@pytest.fixture
def start(tiny_bundle: Bundle, tmp_path: Path) -> Iterator[Start]:
    """Start `pocketvision serve` with further arguments; ended after the test."""
    with starting(tiny_bundle.folder, tmp_path) as starter:
        yield starter


@pytest.fixture(scope="module")
def server(shared_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server process with the default settings, for all tests of a file: none stops it or needs its log alone."""
    with starting(shared_bundle.folder, tmp_path_factory.mktemp("server")) as start:
        running = start()
        assert running.process.stderr is not None
        reading = threading.Thread(target=running.process.stderr.read, daemon=True)  # or its log fills the pipe
        reading.start()
        yield running
        running.process.terminate()
        reading.join(30)
        assert running.process.wait(30) == 0
