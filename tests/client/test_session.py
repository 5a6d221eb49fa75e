"""Sessions against a WebSocket server of the test's making: ids, losses, bounds, refusals."""
# ruff: noqa: SIM117 (a server, a client and a session do not fit one line)

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from stopped_clock import Clock
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from pocketvision.client import (
    AsyncClient,
    Client,
    ConnectionFailedError,
    Prediction,
    ServerProblemError,
    UnexpectedAnswerError,
)
from pocketvision.errors import UsageError

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def served(handler: Handler, **options: Any) -> AsyncIterator[str]:
    """A WebSocket server on a free port of this machine; its address for clients."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def analysis(request_id: str, label: str) -> str:
    predicted = {
        "label": label,
        "probability": 0.5,
        "top": [{"label": label, "probability": 0.5}],
        "timings": {"decode_ms": 1, "queue_ms": 2, "inference_ms": 3, "batch": 1},
    }
    model = {"name": "m", "version": "v"}
    return json.dumps({"type": "analysis_result", "request_id": request_id, "model": model, "predictions": [predicted]})


async def next_request(connection: ServerConnection) -> tuple[dict[str, Any], bytes]:
    """A message and the image that follows it; who asks how the server is is answered."""
    while (message := json.loads(await connection.recv()))["type"] == "health_check":
        answer = {"type": "health_response", "request_id": message["request_id"], "status": "ready"}
        await connection.send(json.dumps(answer))
    content = await connection.recv()
    assert isinstance(content, bytes)
    return message, content


async def echo(connection: ServerConnection) -> None:
    """Answers with the content as the label."""
    while True:
        message, content = await next_request(connection)
        await connection.send(analysis(message["request_id"], content.decode()))


def test_answers_find_their_requests_in_whatever_order_they_come() -> None:
    async def backwards(connection: ServerConnection) -> None:
        while True:
            asked = [await next_request(connection) for _ in range(4)]
            await connection.send("no json")
            await connection.send(analysis("of somebody else", "?"))
            for message, content in reversed(asked):
                await connection.send(analysis(message["request_id"], f"{content.decode()} {message.get('top_k')}"))

    async def work() -> None:
        async with served(backwards) as url, AsyncClient(url) as client, client.session(in_flight=4) as session:
            answers = await asyncio.gather(*[session.predict(str(n).encode(), top_k=n + 1) for n in range(40)])
            assert [each.label for each in answers] == [f"{n} {n + 1}" for n in range(40)]
            assert len({each.request_id for each in answers}) == 40

    asyncio.run(work())


def test_no_more_are_in_flight_than_were_wanted() -> None:
    most = 0

    async def counting(connection: ServerConnection) -> None:
        nonlocal most
        asked: list[str] = []
        while True:
            # Everything that comes by itself; nothing more does while three are unanswered.
            try:
                message, _ = await asyncio.wait_for(next_request(connection), 0.05 if asked else 5)
                asked.append(message["request_id"])
                most = max(most, len(asked))
            except TimeoutError:
                await connection.send(analysis(asked.pop(), "x"))

    async def work() -> list[Prediction | None]:
        async with served(counting) as url, AsyncClient(url) as client, client.session(in_flight=3) as session:
            return [each.prediction async for each in session.predict_many([b"x"] * 9)]

    assert all(asyncio.run(work()))
    assert most == 3


def test_a_lost_connection_loses_nothing(clock: Clock) -> None:
    connections = 0

    async def breaking(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        for number in range(7):
            message, content = await next_request(connection)
            if number == 3 and connections % 2:
                connection.transport.abort()
                return
            await connection.send(analysis(message["request_id"], content.decode()))
        await connection.close(1012, "restart")

    async def work() -> None:
        async with served(breaking) as url, AsyncClient(url, backoff=clock.backoff(0), retries=30) as client:
            async with client.session(in_flight=4) as session:
                images = [str(number).encode() for number in range(60)]
                outcomes = [each async for each in session.predict_many(images)]
        assert [each.prediction.label for each in outcomes if each.prediction] == [str(n) for n in range(60)]
        assert max(each.prediction.attempts for each in outcomes if each.prediction) > 1

    asyncio.run(work())
    assert connections > 6


def test_an_image_that_is_too_large_fails_alone(clock: Clock) -> None:
    async def work() -> None:
        async with served(echo, max_size=1000) as url, AsyncClient(url, backoff=clock.backoff(0)) as client:
            async with client.session(in_flight=4) as session:
                images = [b"a", b"b", b"x" * 2000, b"c", b"y" * 3000, b"d"]
                outcomes = [each async for each in session.predict_many(images)]
        labels = [each.prediction.label if each.prediction else None for each in outcomes]
        assert labels == ["a", "b", None, "c", None, "d"]
        for each in (outcomes[2], outcomes[4]):
            assert isinstance(each.error, ServerProblemError)
            assert (each.error.status, each.error.kind) == (413, "message-too-large")

    asyncio.run(work())


def test_a_busy_server_is_retried_and_a_refusal_reported(clock: Clock) -> None:
    seen: list[bytes] = []

    async def refusing(connection: ServerConnection) -> None:
        while True:
            message, content = await next_request(connection)
            status, kind = (422, "unreadable-image") if content == b"bad" else (429, "queue-full")
            seen.append(content)
            if seen.count(content) < 3:
                problem = {"status": status, "detail": "No.", "problem": f"urn:pocketvision:problem:{kind}"}
                await connection.send(json.dumps({**problem, "type": "error", "request_id": message["request_id"]}))
            else:
                await connection.send(analysis(message["request_id"], "at last"))

    async def work() -> None:
        async with served(refusing) as url, AsyncClient(url, backoff=clock.backoff()) as client:
            async with client.session() as session:
                assert (await session.predict(b"good")).attempts == 3
                assert clock.pauses == [0.125, 0.25]
                with pytest.raises(ServerProblemError, match="unreadable-image") as raised:
                    await session.predict(b"bad")
        assert (raised.value.status, raised.value.attempts) == (422, 1)

    asyncio.run(work())


def test_no_answer_in_time_is_retried_and_a_late_answer_is_ignored(clock: Clock) -> None:
    async def late(connection: ServerConnection) -> None:
        first, content = await next_request(connection)
        message, again = await next_request(connection)
        assert (first, content) == (message, again)
        await connection.send(analysis(first["request_id"], "1"))
        await connection.send(analysis(first["request_id"], "2"))
        await echo(connection)

    async def work() -> None:
        async with served(late) as url, AsyncClient(url, timeout=0.1, backoff=clock.backoff()) as client:
            async with client.session() as session:
                answer = await session.predict(b"x")
                assert (answer.label, answer.attempts) == ("1", 2)
                assert (await session.predict(b"next")).label == "next"

    asyncio.run(work())


def test_the_key_is_sent_and_refusals_of_the_handshake_are_reported(clock: Clock) -> None:
    keys: list[str | None] = []

    def refuse(status: int, **headers: str) -> Any:
        def process(connection: ServerConnection, request: Request) -> Response | None:
            keys.append(request.headers.get("authorization"))
            if len(keys) > 1 and status == 503:
                return None
            response = connection.respond(status, "no")
            for name, value in headers.items():
                response.headers[name.replace("_", "-")] = value
            return response

        return process

    async def opened(process: Any) -> None:
        async with served(echo, process_request=process) as url:
            async with AsyncClient(url, key="secret", backoff=clock.backoff(0)) as client, client.session() as session:
                assert (await session.predict(b"x")).label == "x"

    asyncio.run(opened(refuse(503, Retry_After="7")))
    assert clock.pauses == [7]
    assert keys == ["Bearer secret"] * 2
    for status in (401, 403, 404, 302):
        keys.clear()
        with pytest.raises(ServerProblemError) as raised:
            asyncio.run(opened(refuse(status, Location="http://127.0.0.1:1/elsewhere")))
        assert raised.value.status == status
        assert keys == ["Bearer secret"]  # once, and not at the place that a redirect leads to


def test_a_key_that_is_refused_after_the_handshake_is_reported_when_the_session_opens(clock: Clock) -> None:
    asked = 0

    async def other_program(connection: ServerConnection) -> None:
        nonlocal asked
        asked += 1
        message = json.loads(await connection.recv())
        problem = {"status": 401, "detail": "No key.", "problem": "urn:pocketvision:problem:unauthorized"}
        await connection.send(json.dumps({**problem, "type": "error", "request_id": message["request_id"]}))
        await connection.close(1008, "unauthorized")

    async def work() -> None:
        async with served(other_program) as url, AsyncClient(url, backoff=clock.backoff()) as client:
            with pytest.raises(ServerProblemError, match="401 unauthorized"):
                async with client.session():
                    pass

    asyncio.run(work())
    assert asked == 1


def test_a_message_that_is_too_deep_harms_nobody(clock: Clock) -> None:
    async def deep(connection: ServerConnection) -> None:
        while True:
            message, _ = await next_request(connection)
            await connection.send("[" * 200_000)
            await connection.send(analysis(message["request_id"], "red"))

    async def work() -> None:
        async with (
            served(deep) as url,
            AsyncClient(url, backoff=clock.backoff()) as client,
            client.session() as session,
        ):
            found = await session.predict(b"x")
            assert (found.label, found.attempts) == ("red", 1)

    asyncio.run(work())


def test_another_programs_answers_are_reported(clock: Clock) -> None:
    async def foreign(connection: ServerConnection) -> None:
        while True:
            message, _ = await next_request(connection)
            await connection.send(json.dumps({"request_id": message["request_id"], "hello": 1}))

    async def work() -> None:
        async with served(foreign) as url, AsyncClient(url) as client, client.session() as session:
            with pytest.raises(UnexpectedAnswerError):
                await session.predict(b"x")
        # No server any more: each of these shares the attempts of the others.
        async with AsyncClient(url, retries=2, backoff=clock.backoff()) as client:
            with pytest.raises(ConnectionFailedError, match=r"no WebSocket .*after 3 attempts"):
                async with client.session():
                    pass

    asyncio.run(work())


def test_closing_fails_what_waits_and_leaves_nothing_running() -> None:
    async def silent(connection: ServerConnection) -> None:
        await next_request(connection)
        await connection.wait_closed()

    async def work() -> None:
        async with served(silent) as url, AsyncClient(url, retries=0) as client:
            async with client.session() as session:
                waiting = asyncio.ensure_future(session.predict(b"x"))
                cancelled = asyncio.ensure_future(session.predict(b"y"))
                await asyncio.sleep(0.05)
                cancelled.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await cancelled
            with pytest.raises(ConnectionFailedError, match="the session was closed"):
                await waiting
            with pytest.raises(UsageError, match="not open"):
                await session.predict(b"z")

    asyncio.run(work())


def test_closing_while_it_connects_again_is_no_cancellation(clock: Clock) -> None:
    async def breaking(connection: ServerConnection) -> None:
        await next_request(connection)
        await connection.close()

    async def work() -> None:
        opened = 0
        silence = asyncio.Event()

        async def once(_: ServerConnection, __: Request) -> None:
            nonlocal opened
            opened += 1
            if opened > 1:
                await silence.wait()

        async with served(breaking, process_request=once) as url, AsyncClient(url, backoff=clock.backoff()) as client:
            async with client.session() as session:
                waiting = asyncio.ensure_future(session.predict(b"x"))
                while opened < 2:
                    await asyncio.sleep(0.01)
            with pytest.raises(ConnectionFailedError, match="the session was closed"):
                await waiting
            silence.set()

    asyncio.run(work())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_certificate_of_ones_own_is_trusted_when_it_is_named_and_otherwise_refused_at_once(
    tmp_path: Path, clock: Clock
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
    )
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))

    def health(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(200, '{"status": "alive"}') if request.path == "/health" else None

    async def work() -> None:
        async with served(echo, ssl=own, process_request=health) as url:
            address = url.replace("http://", "https://")
            async with AsyncClient(address, ssl_context=trusting) as client, client.session() as session:
                assert (await client.health(), await session.health()) == ("alive", "ready")
                assert (await session.predict(b"x")).label == "x"
            async with AsyncClient(address, backoff=clock.backoff()) as client:
                for refused in (client.health, client.ready, client.session().__aenter__):
                    with pytest.raises(ConnectionFailedError, match="CERTIFICATE_VERIFY_FAILED") as raised:
                        await refused()
                    assert (raised.value.permanent, raised.value.attempts) == (True, 1)

    asyncio.run(work())


def test_https_where_the_server_speaks_http_is_reported_at_once(clock: Clock) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def work() -> None:
        async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with AsyncClient(url, backoff=clock.backoff()) as client:
                for refused in (client.health, client.session().__aenter__):
                    with pytest.raises(ConnectionFailedError, match="WRONG_VERSION_NUMBER") as raised:
                        await refused()
                    assert raised.value.attempts == 1

    asyncio.run(work())


def test_a_session_is_used_while_it_is_open() -> None:
    with Client("http://127.0.0.1:1") as client:
        session = client.session()
        with pytest.raises(UsageError, match="not open"):
            session.predict(b"x")
        with pytest.raises(UsageError, match="concurrency is 0"):
            client.session(in_flight=0)
