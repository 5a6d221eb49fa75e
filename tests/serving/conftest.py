"""Fixtures of the server's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from served import Start, serving, starting

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
