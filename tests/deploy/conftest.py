"""Fixtures of the deployment's tests: a command line as a deploy file has it, read by the real parser."""

from collections.abc import Callable
from typing import Any

import pytest
import typer.main

from pocketvision.cli.verbs import app

Parse = Callable[[list[str]], dict[str, Any]]


@pytest.fixture(scope="session")
def serve_options() -> Parse:
    """The values of `pocketvision serve`'s options for its arguments; fails where it would not take them."""
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]

    def parsed(arguments: list[str]) -> dict[str, Any]:
        with command.make_context("serve", list(arguments)) as context:
            return dict(context.params)

    return parsed
