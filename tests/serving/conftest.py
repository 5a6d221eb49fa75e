"""Fixtures of the server's tests."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from served import Running, serving

import pocketvision
from pocketvision.bundle import Bundle

Start = Callable[..., Running]


@pytest.fixture
def client(tiny_bundle: Bundle) -> Iterator[TestClient]:
    """`tiny_bundle` served with the default settings."""
    with serving(tiny_bundle.folder) as served:
        yield served


@pytest.fixture
def start(tiny_bundle: Bundle, tmp_path: Path) -> Iterator[Start]:
    """Start `pocketvision serve` with further arguments; ended after the test."""
    running: list[subprocess.Popen[str]] = []

    def starter(*arguments: str, **environment: str) -> Running:
        command = [
            sys.executable,
            "-m",
            "pocketvision",
            "serve",
            f"tiny={tiny_bundle.folder}",
            "--port",
            "0",
            *arguments,
        ]
        paths = {"PYTHONPATH": str(Path(pocketvision.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, encoding="utf-8",
            env={**os.environ, **paths, **environment}, cwd=tmp_path,
        )  # fmt: skip
        running.append(process)
        assert process.stderr is not None
        seen = ""
        for line in process.stderr:
            seen += line
            if found := re.search(r"(http://127\.0\.0\.1:(\d+))", line):
                return Running(found[1], int(found[2]), process)
        raise AssertionError(f"the server did not start: {seen}")

    yield starter
    for process in running:
        if process.poll() is None:
            process.kill()
            process.communicate()
