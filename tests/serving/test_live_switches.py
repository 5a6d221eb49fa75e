"""The page's switches of a live stream's tasks, in a browser: the stream of the real command answers what is switched on."""

import json
import threading
from dataclasses import replace

import pytest
from chromium import Browser, in_a_browser
from halves import HALVES, reading_halves
from live_server import LiveServer, live_server, until

import pocketvision
from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.tasks.catalog import TASKS


def answered(server: LiveServer) -> list[str]:
    """The tasks of the stream's next answer."""
    with server.viewer(origin=server.url) as viewer:
        return [*json.loads(viewer.recv(timeout=10))["answers"]]


@in_a_browser
def test_tasks_of_a_stream_are_switched_on_its_page(
    tiny_bundle: Bundle, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, HALVES.kind, HALVES)
    tasks = {**tiny_bundle.tasks, "sides": reading_halves(tiny_bundle.labels)}
    bundle, stop = rewrite_bundle(tiny_bundle, replace(tiny_bundle.manifest, tasks=tasks)), threading.Event()
    with live_server(bundle) as server:
        options = {"out": f"{server.url}/live/door", "fps": 10, "stop": stop}
        thread = threading.Thread(
            target=pocketvision.stream, args=(bundle.folder, "test-pattern"), kwargs=options, daemon=True
        )
        thread.start()
        try:
            browser.call("Page.navigate", url=server.url)
            browser.until("document.querySelectorAll('#live .switch input').length === 2")
            names = browser.run(
                "[...document.querySelectorAll('#live .switch')].map((each) => each.textContent).join()"
            )
            assert names == "classification,sides"
            shown = "getComputedStyle(document.getElementById('mapped')).display"
            assert browser.run(shown) == "none", "the bundle has no map"
            for click, expected in ((1, ["classification"]), (0, ["classification"]), (1, ["classification", "sides"])):
                browser.run(f"document.querySelectorAll('#live .switch input')[{click}].click()")
                until(lambda expected=expected: answered(server) == expected)
                assert browser.run("document.querySelector('#live .switch input').checked")  # the last one stays on
            browser.run("document.getElementById('live').scrollIntoView()")
            browser.screenshots("live-switches")
        finally:
            stop.set()
            thread.join(20)
