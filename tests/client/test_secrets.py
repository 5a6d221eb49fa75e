"""A secret in a server's address is shown nowhere: not in errors, nor in their representation, rows and tracebacks."""

import pickle
import traceback

import httpx
import pytest
from typer.testing import CliRunner

from pocketvision.cli.verbs import app
from pocketvision.client import Client, ConnectionFailedError, RequestFailedError, ServerProblemError
from pocketvision.errors import UsageError

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{SECRET}@host",
        f"http://me:{SECRET}@host:port",
        f"http:/me:{SECRET}@host",
        f"htp://me:{SECRET}@host:8000",
        f"http://me:p@ss{SECRET}@host",
        f"http://me:{SECRET}/x@host",
        f"http://host?password={SECRET}",
        f"http://host:99999?token={SECRET}",
        f"http://host/#key={SECRET}",
        f"me:{SECRET}@host",
        f"http://ho st/?token={SECRET}",
    ],
)
def test_an_address_that_is_refused_is_not_repeated_with_its_secret(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Client(url)
    assert SECRET not in str(caught.value)
    shown = CliRunner().invoke(app, ["client", "models", url])
    assert SECRET not in shown.output + str(shown.exception)


def test_a_secret_in_the_path_is_hidden_in_every_error() -> None:
    def failing(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"no way to {request.url}")

    client = Client(f"http://127.0.0.1:1/token={SECRET}", retries=0, transport=httpx.MockTransport(failing))
    with client, pytest.raises(ConnectionFailedError) as caught:
        client.predict(b"image")
    error = caught.value
    for shown in (str(error), repr(error), error.url, error.reason, repr(pickle.loads(pickle.dumps(error)))):
        assert SECRET not in shown
    assert "127.0.0.1:1" in str(error)
    assert SECRET not in "".join(traceback.format_exception_only(error))


def test_a_redirect_is_shown_without_its_secret() -> None:
    def moved(_: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": f"https://login.example/?token={SECRET}"})

    with (
        Client("http://127.0.0.1:1", transport=httpx.MockTransport(moved)) as client,
        pytest.raises(ServerProblemError) as caught,
    ):
        client.models()
    assert "login.example" in str(caught.value)
    assert SECRET not in repr(caught.value) + caught.value.detail


def test_plain_addresses_and_words_stay_as_they_are() -> None:
    error = RequestFailedError("http://127.0.0.1:8000/vision", "no connection (Connection refused)")
    assert str(error) == "http://127.0.0.1:8000/vision: no connection (Connection refused)"
