"""Headless Chromium, driven over its own protocol, with a camera that is not one."""

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARTEFACTS = Path(os.environ.get("POCKETVISION_TEST_ARTEFACTS", "test-artefacts"))
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


class Browser:
    """One tab."""

    def __init__(self, socket: "ClientConnection") -> None:
        self._socket = socket
        self._number = 0

    def call(self, method: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol, and its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=30))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are waited for."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of an expression as soon as it is true."""
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            if value := self.run(script):
                return value
            time.sleep(0.1)
        raise AssertionError(f"never true: {script}\n{self.run('document.body?.innerText')}")

    def open(self, url: str) -> None:
        """Go to a page and wait until its script has run."""
        self.call("Page.navigate", url=url)
        self.until(f"location.href.startsWith({url!r}) && document.readyState === 'complete'")

    def screenshots(self, name: str) -> None:
        """Keep what the page looks like: light and dark, on a desk and on a telephone. In each, nothing sticks out of the screen
        and axe-core finds nothing that shuts somebody out (contrast, names, roles, landmarks, order of headings …)."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        for look, scheme, width in (("light", "light", 1280), ("dark", "dark", 1280), ("phone", "light", 390)):
            self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            self.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=look == "phone",
            )
            assert self.run("document.documentElement.scrollWidth <= innerWidth"), (
                f"{name} is wider than {width} pixels"
            )
            assert self.barriers() == [], f"{name}, {look}"
            content = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            (ARTEFACTS / f"page-{name}-{look}.png").write_bytes(base64.b64decode(content))
        self.call("Emulation.clearDeviceMetricsOverride")

    def barriers(self) -> list[str]:
        """What axe-core finds, a line each: the rule, and the element."""
        if not self.run("typeof axe === 'object'"):
            axe = files("axe_playwright_python") / "axe.min.js"
            self.run(axe.read_text(encoding="utf-8") + "; 1")
        found = self.run(
            "axe.run().then(found => found.violations.flatMap(rule => rule.nodes.map(node => rule.id + ': ' + node.html)))"
        )
        assert isinstance(found, list)
        return found

    def press(self, key: str) -> None:
        """A key, as a keyboard sends it."""
        codes = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " ")}
        code, typed = codes[key]
        sent = (
            {"key": key, "windowsVirtualKeyCode": code, "text": typed}
            if typed
            else {"key": key, "windowsVirtualKeyCode": code}
        )
        self.call("Input.dispatchKeyEvent", type="keyDown", **sent)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def tab_to(self, identity: str) -> None:
        """Go on with Tab until an element has the focus, and can be seen to have it."""
        for _ in range(12):
            self.press("Tab")
            if self.run("document.activeElement.id") == identity:
                assert self.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
                return
        raise AssertionError(f"Tab does not reach {identity}")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A tab of a browser of its own."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-port=0",
        "--lang=en",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--no-first-run",
        "--disable-background-networking",
        "about:blank",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert process.stderr is not None
        port = next(found[1] for line in process.stderr if (found := re.search(r"ws://127\.0\.0\.1:(\d+)/", line)))
        import httpx
        from websockets.sync.client import connect

        tabs = httpx.get(f"http://127.0.0.1:{port}/json").json()
        address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        with connect(address, max_size=None, open_timeout=30) as socket:
            yield Browser(socket)
    finally:
        process.kill()
        process.communicate()
