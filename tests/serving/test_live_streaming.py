"""The whole way: the real stream command publishes to a real server; viewers, the page in a browser, a server that restarts."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from chromium import Browser, in_a_browser
from live_server import LiveServer, live_server, parts_of, until
from PIL import Image

import pocketvision
from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.serving.keys import new_key
from pocketvision.serving.live import LiveSettings
from pocketvision.streaming.pattern import number_of


def picture_number(picture: bytes) -> int:
    return number_of(np.asarray(Image.open(io.BytesIO(picture))))


@contextmanager
def streaming(bundle: Bundle, url: str, **options: Any) -> Iterator[Callable[[], Any]]:
    """A stream of the test pattern in a thread; the function ends it and gives its summary, or raises its error."""
    stop, ended = threading.Event(), []

    def run() -> None:
        try:
            ended.append(pocketvision.stream(bundle.folder, "test-pattern", out=url, stop=stop, **options))
        except Exception as error:
            ended.append(error)

    def end() -> Any:
        stop.set()
        thread.join(20)
        assert ended, "the stream did not end"
        if isinstance(ended[0], Exception):
            raise ended[0]
        return ended[0]

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield end
    finally:
        stop.set()
        thread.join(20)


def test_the_commands_show_a_stream(start, tiny_bundle: Bundle, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    running = start("--live")
    server = LiveServer(running.port, None)  # type: ignore[arg-type]
    command = [
        sys.executable,
        "-m",
        "pocketvision",
        "stream",
        str(tiny_bundle.folder),
        "--source",
        "test-pattern",
        "--out",
        f"{server.url}/live/door",
        "--jsonl",
        str(tmp_path / "door.jsonl"),
        "--seconds",
        "20",
    ]
    paths = {"PYTHONPATH": str(Path(pocketvision.__file__).parents[1])}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env={**os.environ, **paths})
    try:
        until(lambda: server.streams() and server.streams()[0]["frames"] > 3)
        with server.viewer() as viewer:
            seen = [(json.loads(viewer.recv(timeout=10)), viewer.recv(timeout=10)) for _ in range(5)]
        with httpx.Client() as client, client.stream("GET", f"{server.url}/live/door.mjpeg") as answer:
            parts = parts_of(answer.iter_raw(), "pocketvision-frame")
            numbers = [picture_number(next(parts)[1]) for _ in range(5)]
    finally:
        process.terminate()
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"frames read" in said
    for answer, picture in seen:
        assert isinstance(picture, bytes)
        assert answer["frame"] == picture_number(picture)
        assert answer["label"] in ("red", "green", "파랑")
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= seen[-1][0]["frame"]
    assert running.stop()[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "door.jsonl").read_text(encoding="utf-8").splitlines()]
    by_frame = {line["frame"]: line for line in lines}
    assert all(by_frame[answer["frame"]] == answer for answer, _ in seen)  # the same answers as in the file


def test_a_viewer_switches_the_tasks_of_a_running_stream(tiny_bundle: Bundle) -> None:
    with live_server(tiny_bundle) as running, ExitStack() as opened:
        opened.enter_context(streaming(tiny_bundle, f"{running.url}/live/door", fps=20, top_k=3))
        until(lambda: running.streams())
        viewer = opened.enter_context(running.viewer(origin=running.url))

        def tops() -> int:
            while isinstance(message := viewer.recv(timeout=10), bytes):
                pass
            return len(json.loads(message)["answers"]["classification"]["top"])

        assert tops() == 3
        viewer.send(json.dumps({"type": "options", "details": {"classification": {"top_k": 1}}}))
        until(lambda: tops() == 1)
        viewer.send(json.dumps({"type": "options"}))
        until(lambda: tops() == 3)


def test_a_server_that_restarts_is_published_to_again_and_the_stream_goes_on(tiny_bundle: Bundle) -> None:
    frames: list[int] = []
    with ExitStack() as opened:
        with live_server(tiny_bundle) as first:
            url = f"{first.url}/live/door"
            end = opened.enter_context(
                streaming(tiny_bundle, url, fps=50, on_answer=lambda shown: frames.append(shown.answer.frame.index))
            )
            until(lambda: first.streams() and first.streams()[0]["frames"] > 3)
        answered = len(frames)
        until(lambda: len(frames) > answered + 20)  # nobody is there, and it answers on
        with live_server(tiny_bundle, port=first.port) as second:
            until(lambda: second.streams() and second.streams()[0]["frames"] > 3)
            summary = end()
    assert 0 < summary.unpublished < summary.answered
    assert frames == sorted(set(frames))
    assert len(frames) == summary.answered


def test_a_server_without_the_switch_ends_the_command(tiny_bundle: Bundle, start) -> None:  # type: ignore[no-untyped-def]
    running = start()
    with pytest.raises(UsageError, match="pocketvision serve --live"):
        pocketvision.stream(tiny_bundle.folder, "test-pattern", out=f"{running.url}/live/door", seconds=30)


# In a browser ----------------------------------------------------------------------------------------------------------


@in_a_browser
@pytest.mark.parametrize("with_key", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_page_shows_streams_while_there_are_any(
    tiny_bundle: Bundle, browser: Browser, with_key: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, kept = new_key("camera")
    monkeypatch.setenv("POCKETVISION_API_KEY", key)
    keys = (kept,) if with_key else ()
    with live_server(tiny_bundle, LiveSettings(idle_timeout=1.0), keys=keys) as server:
        browser.call("Page.navigate", url=server.url)
        browser.until("document.readyState === 'complete'")
        if with_key:
            browser.run(f"document.getElementById('key').value = '{key}'")
        assert browser.run("document.getElementById('live')") is None
        with streaming(tiny_bundle, f"{server.url}/live/door", fps=10) as end:
            browser.until("document.querySelector('#live img')?.naturalWidth === 640")
            assert browser.run("document.querySelector('#live figcaption').textContent").startswith("door")
            assert browser.run("document.querySelector('#live img').src").startswith(
                "blob:" if with_key else server.url
            )
            first = pixels_of(browser)
            until(lambda: pixels_of(browser) != first)  # it moves
            browser.run("document.getElementById('language').onchange({target: {value: 'ko'}})")
            browser.until("document.querySelector('#live h2').textContent === '실시간'")
            browser.run("document.getElementById('live').scrollIntoView()")
            browser.screenshots("live")
            end()
        browser.until("document.getElementById('live') === null")


@pytest.mark.slow
@in_a_browser
def test_the_page_shows_a_stream_again_after_a_restart_and_asks_no_server_that_has_none(
    tiny_bundle: Bundle, browser: Browser
) -> None:
    key, kept = new_key("camera")
    with ExitStack() as opened:
        with live_server(tiny_bundle) as first:
            opened.enter_context(streaming(tiny_bundle, f"{first.url}/live/door", fps=10))
            browser.call("Page.navigate", url=first.url)
            browser.until("document.querySelector('#live img')?.naturalWidth === 640")
        with live_server(tiny_bundle, port=first.port):
            browser.until("document.querySelector('#live img')?.naturalWidth === 640")
            before = pixels_of(browser)
            until(lambda: pixels_of(browser) != before)
    with live_server(tiny_bundle, keys=(kept,)) as closed:
        # Without the key it is asked once, and not every other second.
        refused = closed.service.telemetry.rejected.labels("unauthorized")._value
        browser.call("Page.navigate", url=closed.url)
        until(lambda: refused.get() == 2)  # for the models, and for the streams
        browser.run("new Promise((resolve) => setTimeout(resolve, 2500))")
        assert refused.get() == 2
        browser.run(f"document.getElementById('key').value = '{key}'")
        until(lambda: closed.service.telemetry.requests.labels("/live", "GET", "200")._value.get() > 0)


def pixels_of(browser: Browser) -> str:
    """The picture that is shown now, as text."""
    script = (
        "(() => { const canvas = document.createElement('canvas'); canvas.width = 64; canvas.height = 48;"
        "canvas.getContext('2d').drawImage(document.querySelector('#live img'), 0, 0, 64, 48); return canvas.toDataURL() })()"
    )
    return str(browser.run(script))
