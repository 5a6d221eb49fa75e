"""A server below a path prefix: behind a proxy that takes it off, and behind one that leaves it on."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient
from served import picture
from starlette.types import ASGIApp, Receive, Scope, Send

from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.serving.app import create_app
from pocketvision.serving.models import BundleSource
from pocketvision.serving.settings import ServerSettings

JPEG = {"content-type": "image/jpeg"}


def stripping(app: ASGIApp, prefix: str) -> ASGIApp:
    """A proxy that takes the prefix off, and knows nothing outside of it."""

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            assert scope["path"].startswith(prefix), scope["path"]
            scope = {**scope, "path": scope["path"].removeprefix(prefix) or "/"}
        await app(scope, receive, send)

    return proxy


def keeping(app: ASGIApp, _: str) -> ASGIApp:
    """A proxy that leaves the prefix on."""
    return app


Proxy = Callable[[ASGIApp, str], ASGIApp]


@contextmanager
def below(bundle: Bundle, proxy: Proxy, prefix: str = "/vision") -> Iterator[TestClient]:
    """A client of the proxy, as a browser is that was given https://testserver/vision/."""
    app = create_app([BundleSource("tiny", bundle.folder)], ServerSettings(root_path=prefix))
    with TestClient(proxy(app, prefix), base_url=f"http://testserver{prefix}/") as client:
        yield client


@pytest.mark.parametrize("proxy", [stripping, keeping])
def test_every_address_works_below_the_prefix(tiny_bundle: Bundle, proxy: Proxy) -> None:
    with below(tiny_bundle, proxy) as client:
        page = client.get("")
        assert page.status_code == 200
        assert '<base href="/vision/">' in page.text
        assert client.get("http://testserver/vision").text == page.text
        links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        files = [link for link in links if link.startswith("page/")]
        assert len(files) >= 3
        assert not [link for link in links if link.startswith("/") and not link.startswith("/vision/")]
        assert [client.get(file).status_code for file in files] == [200] * len(files)
        assert [client.get(path).status_code for path in ("health", "ready", "models", "live", "v2", "metrics")] == [
            200
        ] * 6
        answer = client.post("predict", content=picture("red"), headers=JPEG)
        assert answer.json()["predictions"][0]["label"] == "red"
        with client.websocket_connect("/vision/ws") as socket:
            socket.send_bytes(picture("green"))
            assert socket.receive_json()["predictions"][0]["label"] == "green"
        assert client.get("no-such-page").status_code == 404


@pytest.mark.parametrize("proxy", [stripping, keeping])
def test_the_documentation_names_the_prefix(tiny_bundle: Bundle, proxy: Proxy) -> None:
    with below(tiny_bundle, proxy) as client:
        docs = client.get("docs").text
        assert "/vision/predict" in docs
        assert not [link for link in re.findall(r"""(?:src|href)="([^"]+)""", docs) if link.startswith("/")]
        described = client.get("openapi.json").json()
        assert described["servers"] == [{"url": "/vision"}]
        assert "/predict" in described["paths"]


def test_no_script_or_page_has_an_absolute_address(tiny_bundle: Bundle) -> None:
    app = create_app([BundleSource("tiny", tiny_bundle.folder)], ServerSettings())
    with TestClient(app) as client:
        for path in ("/", "/page/page.js", "/page/live.js", "/page/page.css", "/docs"):
            text = client.get(path).text
            found = re.findall(r"""(?:href|src|fetch|ask|WebSocket|url)\s*[=(]\s*["'`](/[^"'`]*)""", text)
            assert found == [], path


def test_a_prefix_that_begins_like_one_of_our_paths_is_the_proxys_alone(tiny_bundle: Bundle) -> None:
    with below(tiny_bundle, stripping, "/live") as client:
        assert client.get("live").json() == {"enabled": False, "streams": []}
        assert client.get("live/x.mjpeg").status_code == 403


def test_a_prefix_of_several_parts_and_its_spellings(tiny_bundle: Bundle) -> None:
    for spelt in ("a/b", "/a/b", "/a/b/"):
        assert ServerSettings(root_path=spelt).root_path == "/a/b"
    with below(tiny_bundle, keeping, "/a/b") as client:
        assert client.get("health").status_code == 200
        assert client.get("http://testserver/a/bhealth").status_code == 404
    for wrong in ("/a b", '/"><script>', "/../x", "/a//b", "https://x/y"):
        with pytest.raises(UsageError, match="path prefix"):
            ServerSettings(root_path=wrong)


def test_the_public_addresss_path_is_the_prefix() -> None:
    assert ServerSettings(public_url="https://Example.org/vision/").root_path == "/vision"
    assert ServerSettings(public_url="https://example.org").root_path == ""
    with pytest.raises(UsageError, match="give the prefix once"):
        ServerSettings(public_url="https://example.org/a", root_path="/b")
