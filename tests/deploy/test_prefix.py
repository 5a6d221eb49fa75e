"""A server below a path prefix of a real proxy, as it is taken off: with curl's eyes, with a browser's, and over a WebSocket."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import caddy
import httpx
import pytest
from chromium import Browser, in_a_browser
from served import picture, starting
from websockets.sync.client import connect

from pocketvision.bundle import Bundle

SITE = """
{{
	admin off
	auto_https off
}}
http://:{port} {{
	handle_path /vision/* {{
		reverse_proxy 127.0.0.1:{upstream} {{
			header_up Host inside.example
		}}
	}}
	respond 418
}}
"""


@pytest.fixture
def site(tiny_bundle: Bundle, tmp_path: Path) -> Iterator[str]:
    """The address of the page: http://localhost:PORT/vision. The proxy changes Host, and knows nothing outside of the prefix."""
    program, (port,) = caddy.installed(), caddy.free_ports(1)
    with starting(tiny_bundle.folder, tmp_path) as start:
        url = f"http://localhost:{port}/vision"
        server = start("--public-url", url, "--live")
        file = tmp_path / "Caddyfile"
        file.write_text(SITE.format(port=port, upstream=server.port), encoding="utf-8")
        places = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        proxy = subprocess.Popen(
            [program, "run", "--config", str(file), "--adapter", "caddyfile"],
            env={**os.environ, **places},
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(f"{url}/ready")
            yield url
        finally:
            proxy.terminate()
            proxy.wait(30)


def _wait_for(url: str) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def test_programs_ask_below_the_prefix(site: str, tmp_path: Path) -> None:
    from pocketvision.client import Client

    assert httpx.get(site.removesuffix("/vision") + "/health").status_code == 418
    (tmp_path / "red.jpg").write_bytes(picture("red"))
    with Client(site) as client:
        assert client.predict(tmp_path / "red.jpg").label == "red"
        with client.session() as session:
            assert session.predict(tmp_path / "red.jpg").label == "red"
    origin = site.removesuffix("/vision")
    with connect(f"{site.replace('http', 'ws', 1)}/ws", origin=origin) as socket:  # type: ignore[arg-type]
        socket.send(json.dumps({"type": "health_check"}))
        assert json.loads(socket.recv(timeout=20))["status"] == "ready"
    foreign = httpx.get(f"{site}/ws", headers={"origin": "https://elsewhere.example"} | _HANDSHAKE)
    assert foreign.status_code == 403
    assert all(each in foreign.json()["detail"] for each in ("https://elsewhere.example", "inside.example", site))


_HANDSHAKE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@in_a_browser
def test_pages_below_the_prefix_load_everything(site: str, browser: Browser) -> None:
    browser.open(f"{site}/docs")
    check_loaded(browser, site)
    browser.open(f"{site}/")
    names = "performance.getEntriesByType('resource').map(e => e.name.split('/').pop())"
    browser.until(f"['models', 'live'].every(name => {names}.includes(name))")  # what its scripts ask for
    assert {"page.css", "page.js", "live.js"} <= check_loaded(browser, site)
    address = "new URL('ws', document.baseURI).href.replace(/^http/, 'ws')"
    opened = f"new Promise(done => {{ const s = new WebSocket({address}); s.onopen = s.onclose = e => done(e.type) }})"
    assert browser.run(opened) == "open"


def check_loaded(browser: Browser, site: str) -> set[str]:
    """The names of what a page has loaded, all of it from below the prefix, and with success."""
    loaded: list[dict[str, Any]] = browser.run(
        "performance.getEntriesByType('resource').map(e => ({name: e.name, status: e.responseStatus}))"
    )
    assert {each["status"] for each in loaded} == {200}, loaded
    assert all(each["name"].startswith(f"{site}/") for each in loaded), loaded
    return {each["name"].rsplit("/", 1)[1] for each in loaded}
