"""/ws: the messages, their errors, many in flight, bounds."""

import asyncio
import base64
import json
import re
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import memory, picture, serving
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from pocketvision.bundle import Bundle
from pocketvision.serving.app import create_app
from pocketvision.serving.keys import TokenBuckets, new_key
from pocketvision.serving.models import BundleSource
from pocketvision.serving.served_model import ServedModel
from pocketvision.serving.settings import ServerSettings


def encoded(label: str) -> str:
    return base64.b64encode(picture(label)).decode()


def test_text_and_binary_images_are_answered_by_their_ids(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        for number in range(20):
            label = ("red", "green")[number % 2]
            asked = {"type": "image_analysis", "request_id": f"r{number}", "top_k": 1, "tasks": ["classification"]}
            if number % 3:
                socket.send_json({**asked, "image": encoded(label)})
            else:
                socket.send_json(asked)
                socket.send_bytes(picture(label))
        answers = {answer["request_id"]: answer for answer in (socket.receive_json() for _ in range(20))}
        assert len(answers) == 20
        for number in range(20):
            answer = answers[f"r{number}"]
            assert answer["type"] == "analysis_result"
            assert answer["predictions"][0]["label"] == ("red", "green")[number % 2]
            assert len(answer["predictions"][0]["top"]) == 1
        socket.send_bytes(picture("red"))
        assert socket.receive_json()["predictions"][0]["label"] == "red"
        socket.send_json({"type": "health_check", "request_id": 5})
        assert socket.receive_json() == {"type": "health_response", "request_id": "5", "status": "ready"}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("{", "invalid-json"),
        ("[]", "invalid-json"),
        ("[" * 100_000, "invalid-json"),
        ("{}", "unknown-type"),
        ('{"type": "x"}', "unknown-type"),
        ('{"type": "image_analysis", "image": "%"}', "invalid-base64"),
        ('{"type": "image_analysis", "image": 3}', "invalid-request"),
        ('{"type": "image_analysis", "image": "QUJD", "tasks": ["detection"]}', "unknown-task"),
        ('{"type": "image_analysis", "image": "QUJD", "tasks": [{}]}', "invalid-request"),
        ('{"type": "image_analysis", "image": "QUJD", "model": "x"}', "unknown-model"),
        ('{"type": "image_analysis", "image": "QUJD", "top_k": 0}', "invalid-request"),
        ('{"type": "image_analysis", "image": "QUJD"}', "unreadable-image"),
        (b"no image", "unreadable-image"),
    ],
)
def test_a_wrong_message_is_an_error_and_the_connection_goes_on(
    client: TestClient, message: str | bytes, kind: str
) -> None:
    with client.websocket_connect("/ws") as socket:
        socket.send_bytes(message) if isinstance(message, bytes) else socket.send_text(message)
        answer = socket.receive_json()
        assert (answer["type"], answer["problem"]) == ("error", f"urn:pocketvision:problem:{kind}")
        image = base64.b64encode(picture("green")).decode()
        socket.send_json({"type": "image_analysis", "image": image})
        assert socket.receive_json()["type"] == "analysis_result"


def test_an_image_that_does_not_come_after_it_was_announced_is_an_error(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        for number in (1, 2):
            socket.send_json({"type": "image_analysis", "request_id": number})
        answer = socket.receive_json()
        assert (answer["type"], answer["request_id"]) == ("error", "1")
        assert answer["problem"] == "urn:pocketvision:problem:image-missing"
        socket.send_bytes(picture("green"))
        answer = socket.receive_json()
        assert (answer["type"], answer["request_id"]) == ("analysis_result", "2")


def test_a_client_that_leaves_with_all_places_taken_leaves_nothing(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most that may be in work: whether it has left is then still seen."""
    hold, begun, prepare, prepared = threading.Event(), threading.Event(), ServedModel._prepare, []

    def slow(self: ServedModel, raw: Any) -> Any:
        prepared.append(None)
        begun.set()
        assert hold.wait(20)
        return prepare(self, raw)

    monkeypatch.setattr(ServedModel, "_prepare", slow)
    with serving(tiny_bundle.folder, settings=ServerSettings(threads=1, socket_in_flight=4)) as client:
        (model,) = client.app.state.service.models.all  # type: ignore[attr-defined]
        ends = time.monotonic() + 20

        def until_no_more_than(depth: int) -> None:
            while model.batcher.depth > depth:
                assert time.monotonic() < ends
                time.sleep(0.01)

        with client.websocket_connect("/ws") as socket:
            for _ in range(4):
                socket.send_bytes(picture("red"))
            assert begun.wait(20)
        until_no_more_than(1)  # the one that is being decoded can not be stopped
        hold.set()
        until_no_more_than(0)
        assert len(prepared) == 1
        assert re.search(r'websocket_messages_total\{outcome="answered"', client.get("/metrics").text) is None


def test_keys_origins_and_the_number_of_sockets(tiny_bundle: Bundle) -> None:
    key, kept = new_key("a")
    with serving(tiny_bundle.folder, settings=ServerSettings(keys=(kept,), max_sockets=1)) as client:
        good = {"x-api-key": key}
        with client.websocket_connect("/ws", headers=good) as socket:
            socket.send_json({"type": "health_check"})
            assert socket.receive_json()["type"] == "health_response"
            with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws", headers=good):
                pass
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("/ws", headers={**good, "origin": "https://x.org"}),
        ):
            pass


def test_a_key_may_be_the_first_message(tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    key, kept = new_key("page")
    with serving(tiny_bundle.folder, settings=ServerSettings(keys=(kept,))) as client:
        with client.websocket_connect("/ws") as socket:
            socket.send_json({"type": "authenticate", "key": key, "request_id": "k"})
            assert socket.receive_json() == {"type": "authenticated", "request_id": "k"}
            socket.send_bytes(picture("green"))
            assert socket.receive_json()["predictions"][0]["label"] == "green"
        with client.websocket_connect("/ws", headers={"x-api-key": key}) as socket:
            socket.send_json({"type": "authenticate", "key": key})  # not needed, and no mistake
            assert socket.receive_json()["type"] == "authenticated"
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws", headers={"x-api-key": "wrong"}):
            pass
    assert key not in caplog.text + repr(caplog.records)


@pytest.mark.parametrize(
    "first",
    [
        '{"type": "authenticate", "key": "wrong"}',
        '{"type": "authenticate"}',
        '{"type": "authenticate", "key": ["KEY"]}',
        '{"type": "authenticate", "key": "KEY", "more": "' + "x" * 1024 + '"}',
        '{"type": "image_analysis", "key": "KEY"}',
        '{"type": "health_check"}',
        "{",
        b"an image",
        None,
    ],
)
def test_who_brings_no_key_may_send_nothing(tiny_bundle: Bundle, first: str | bytes | None) -> None:
    key, kept = new_key("page")
    with (
        serving(tiny_bundle.folder, settings=ServerSettings(keys=(kept,), header_timeout=0.2)) as client,
        client.websocket_connect("/ws") as socket,
    ):
        if isinstance(first, bytes):
            socket.send_bytes(first)
        elif first is not None:
            socket.send_text(first.replace("KEY", key))
        socket.send_bytes(picture("red"))
        answer = socket.receive_json()
        expected = "invalid-json" if first == "{" else "unauthorized"
        assert (answer["type"], answer["problem"]) == ("error", f"urn:pocketvision:problem:{expected}")
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1008


def test_sockets_are_logged_and_counted(tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    key, kept = new_key("page")
    caplog.set_level("INFO", logger="pocketvision.access")
    with serving(tiny_bundle.folder, settings=ServerSettings(keys=(kept,), max_sockets=1)) as client:
        with client.websocket_connect("/ws", headers={"x-request-id": "one"}) as socket:
            socket.send_json({"type": "authenticate", "key": key})
            socket.send_json({"type": "health_check"})
            socket.send_bytes(picture("red"))
            socket.send_bytes(b"no image")
            assert {socket.receive_json()["type"] for _ in range(4)} > {"authenticated", "error"}
            with pytest.raises(WebSocketDenialResponse) as full, client.websocket_connect("/ws"):
                pass
            assert (full.value.status_code, full.value.json()["type"].rpartition(":")[2]) == (
                503,
                "too-many-websockets",
            )
        with (
            pytest.raises(WebSocketDenialResponse) as wrong,
            client.websocket_connect("/ws", headers={"x-api-key": "x"}),
        ):
            pass
        assert (wrong.value.status_code, wrong.value.json()["type"].rpartition(":")[2]) == (401, "unauthorized")
        other = {"x-api-key": key, "origin": "https://x.org"}
        with pytest.raises(WebSocketDenialResponse) as foreign, client.websocket_connect("/ws", headers=other):
            pass
        assert (foreign.value.status_code, foreign.value.json()["type"].rpartition(":")[2]) == (403, "foreign-origin")
        figures = client.get("/metrics", headers={"x-api-key": key}).text
    lines = [record.request for record in caplog.records if record.name == "pocketvision.access"]  # type: ignore[attr-defined]
    sockets = [line for line in lines if line["method"] == "WEBSOCKET"]
    assert [(line["status"], line["problem"]) for line in sockets] == [
        (101, ""),
        (503, "too-many-websockets"),
        (1000, ""),
        (401, "unauthorized"),
        (403, "foreign-origin"),
    ]
    opened, closed = sockets[0], sockets[2]
    assert opened["request_id"] == closed["request_id"] == "one"
    assert (closed["key"], closed["messages"], closed["answers"], closed["path"]) == ("page", 4, 4, "/ws")
    assert closed["ms"] >= opened["ms"] > 0
    assert key not in repr(lines)
    counted = {
        found[1]: float(found[2]) for found in re.finditer(r"pocketvision_websocket_messages_total{(.*)} (.*)", figures)
    }
    assert counted == {
        'outcome="answered",type="authenticate"': 1.0,
        'outcome="answered",type="health_check"': 1.0,
        'outcome="answered",type="image_analysis"': 1.0,
        'outcome="unreadable-image",type="image_analysis"': 1.0,
    }


def test_a_client_that_does_not_read_loses_its_place(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketvision.serving.websocket.SEND_TIMEOUT", 0.1)

    async def scene() -> int:
        app = create_app([BundleSource("tiny", tiny_bundle.folder)])
        messages: list[dict[str, object]] = [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": '{"type": "health_check"}'},
        ]

        async def receive() -> dict[str, object]:
            return messages.pop(0) if messages else await asyncio.Event().wait()  # type: ignore[return-value]

        async def send(message: Any) -> None:
            if message["type"] != "websocket.accept":
                await asyncio.Event().wait()  # as uvicorn does while its buffer is full

        async with app.router.lifespan_context(app):
            scope = {"type": "websocket", "path": "/ws", "headers": [], "query_string": b"", "extensions": {}}
            await asyncio.wait_for(app(scope, receive, send), 10)
            return int(app.state.service.sockets._value)

    assert asyncio.run(scene()) == ServerSettings().max_sockets


def test_unauthenticated_sockets_do_not_take_all_places(tiny_bundle: Bundle) -> None:
    key, kept = new_key("page")
    with (
        serving(tiny_bundle.folder, settings=ServerSettings(keys=(kept,), max_sockets=8)) as client,
        client.websocket_connect("/ws") as first,
        client.websocket_connect("/ws"),
    ):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws"):
            pass
        with client.websocket_connect("/ws", headers={"x-api-key": key}) as known:
            known.send_json({"type": "health_check"})
            assert known.receive_json()["status"] == "ready"
        first.send_json({"type": "authenticate", "key": key})
        assert first.receive_json()["type"] == "authenticated"
        with client.websocket_connect("/ws") as other:  # the first one is authenticated now
            other.send_json({"type": "authenticate", "key": key})
            assert other.receive_json()["type"] == "authenticated"


def test_a_keys_rate_holds_for_messages_too(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    key, kept = new_key("page")
    names: list[str] = []

    def try_acquire(_: TokenBuckets, name: str) -> float:
        names.append(name)
        return 0.0

    monkeypatch.setattr(TokenBuckets, "try_acquire", try_acquire)
    with (
        serving(tiny_bundle.folder, settings=ServerSettings(keys=(kept,), rate=100)) as client,
        client.websocket_connect("/ws") as socket,
    ):
        socket.send_json({"type": "authenticate", "key": key})
        assert socket.receive_json()["type"] == "authenticated"
        for _ in range(2):
            socket.send_json({"type": "image_analysis"})  # with the image that follows, one request
            socket.send_bytes(picture("red"))
            assert socket.receive_json()["type"] == "analysis_result"
    assert [name for name in names if name] == ["page"] * 3


@pytest.mark.slow
def test_a_reader_that_stops_does_not_fill_the_memory(start) -> None:  # type: ignore[no-untyped-def]
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    server = start()
    url = f"ws://127.0.0.1:{server.port}/ws"
    with suppress(ConnectionClosed), connect(url, max_size=None, compression=None, close_timeout=0.1) as socket:
        socket.socket.settimeout(2)
        sent, text = (
            0,
            json.dumps({"type": "image_analysis", "top_k": 3, "image": encoded("red"), "request_id": "x" * 128}),
        )
        resident = memory(server.process.pid)
        ends = time.monotonic() + 8
        try:
            while time.monotonic() < ends and sent < 20_000:
                socket.send(text)  # answers are not read
                sent += 1
        except (TimeoutError, OSError):
            pass  # the server reads no more: as wanted
        assert memory(server.process.pid) - resident < 60 * 1024


@pytest.mark.parametrize("in_flight", [0, 3])
def test_a_stopping_server_answers_what_it_has_read_and_closes_with_the_code_of_a_restart(  # type: ignore[no-untyped-def]
    start, in_flight: int
) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    server = start("--max-delay", "1500", "--max-batch", "8")
    with connect(f"ws://127.0.0.1:{server.port}/ws") as socket:
        for _ in range(in_flight):
            socket.send(picture("red"))
        socket.send(json.dumps({"type": "health_check"}))  # messages are read in their order: the images are in work
        assert json.loads(socket.recv(timeout=5))["status"] == "ready"
        server.process.send_signal(signal.SIGTERM)
        answers = [json.loads(socket.recv(timeout=10)) for _ in range(in_flight)]
        assert [answer["type"] for answer in answers] == ["analysis_result"] * in_flight
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    code, log = server.end()
    assert code == 0
    assert "Traceback" not in log


def test_what_is_not_done_when_draining_ends_is_given_up(start) -> None:  # type: ignore[no-untyped-def]
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    server = start("--max-delay", "60000", "--deadline", "100", "--drain", "1")
    with connect(f"ws://127.0.0.1:{server.port}/ws") as socket:
        socket.send(picture("red"))
        socket.send(json.dumps({"type": "health_check"}))
        assert json.loads(socket.recv(timeout=5))["status"] == "ready"
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    code, log = server.end()
    assert code == 0
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_client_that_reads_nothing_does_not_keep_a_stopping_server(start) -> None:  # type: ignore[no-untyped-def]
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    server = start("--drain", "2")
    url = f"ws://127.0.0.1:{server.port}/ws"
    with (
        suppress(ConnectionClosed),
        connect(url, max_size=None, compression=None, max_queue=1, close_timeout=0.1) as socket,
    ):
        socket.socket.settimeout(1)
        text = json.dumps({"type": "image_analysis", "top_k": 3, "image": encoded("red"), "request_id": "x" * 128})
        with suppress(TimeoutError, OSError, ConnectionClosed):
            while True:
                socket.send(text)
        code, log = server.stop()
        assert code == 0
        assert "Traceback" not in log


def test_a_message_that_is_too_long_ends_the_connection_and_the_client_hears_why(start) -> None:  # type: ignore[no-untyped-def]
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    server = start()
    for _ in range(5):
        with connect(f"ws://127.0.0.1:{server.port}/ws") as socket, pytest.raises(ConnectionClosed) as closed:
            socket.send(b"x" * 5_000_000)
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
