"""A WebSocket session: many images over one connection, matched to their answers by their ids; a lost connection is
opened anew."""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any

from pocketvision.client.errors import ConnectionFailedError, RequestFailedError, ServerProblemError
from pocketvision.client.http import is_permanent, os_error_text
from pocketvision.client.images import image_content
from pocketvision.client.in_order import CONCURRENCY, check_many, in_order
from pocketvision.client.requests import Parse, Reply, Value, parsed_answer, problem_from, problem_of
from pocketvision.client.settings import CONNECT_TIMEOUT, ClientSettings
from pocketvision.client.values import Outcome, Prediction, prediction_from, status_from
from pocketvision.client.wanted import Wanted
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.preprocessing import ImageSource
from pocketvision.redaction import redacted_url

try:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
except ModuleNotFoundError as error:
    raise MissingExtraError("A session (it uses websockets)", "client") from error

TOO_LARGE = 1009
MAX_ANSWER = 16 * 1024 * 1024  # bytes: a thousand classes with long names are some hundred thousand

logger = logging.getLogger(__name__)


class AsyncSession:
    """`async with client.session() as session`: `predict` from as many tasks as you like; `in_flight` of them are sent
    at once.

    A request whose connection is lost is sent again over a new one, as Client does over HTTP.
    """

    def __init__(self, settings: ClientSettings, in_flight: int = CONCURRENCY) -> None:
        check_many((), in_flight)
        self._settings = settings
        self._free = asyncio.Semaphore(in_flight)
        self._in_flight = in_flight
        self._is_open = False
        self._opening: asyncio.Task[_Connection] | None = None

    async def __aenter__(self) -> "AsyncSession":
        """Connect and ask how the server is, so that a wrong address or key is an error here."""
        self._is_open = True
        try:
            await self.health()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. What is not answered yet fails."""
        self._is_open = False
        if self._opening is not None:
            self._opening.cancel()  # of no effect if it is done
            (connection,) = await asyncio.gather(self._opening, return_exceptions=True)
            if isinstance(connection, _Connection):
                await connection.close()

    async def predict(
        self,
        image: ImageSource,
        *,
        top_k: int | None = None,
        model: str | None = None,
        version: str | None = None,
        wanted: Wanted | None = None,
    ) -> Prediction:
        """Answer about one image. Raises ImageError when it can not be read here."""
        async with self._free:
            read = await asyncio.to_thread(image_content, image)
            asked = (wanted or Wanted()).to_json(top_k, model, version)
            return await self._ask({"type": "image_analysis", **asked}, read.content, prediction_from)

    def predict_many(
        self,
        images: Iterable[ImageSource] | AsyncIterable[ImageSource],
        *,
        top_k: int | None = None,
        model: str | None = None,
        version: str | None = None,
        wanted: Wanted | None = None,
    ) -> AsyncIterator[Outcome]:
        """An outcome for every image, in order; see AsyncClient.predict_many."""
        check_many(images, self._in_flight)
        return in_order(
            lambda image: self.predict(image, top_k=top_k, model=model, version=version, wanted=wanted),
            images,
            self._in_flight,
        )

    async def health(self) -> str:
        """How the server is: "ready" or "not-ready"."""
        async with self._free:
            return await self._ask({"type": "health_check"}, None, status_from)

    async def _ask(self, message: Mapping[str, Any], content: bytes | None, parse: Parse[Value]) -> Value:
        request_id = secrets.token_hex(8)
        settings, attempts = self._settings, self._settings.attempts()
        while True:
            try:
                connection = await self._connected()
                answer = await connection.ask(
                    {**message, "request_id": request_id}, content, attempts.timeout(settings.timeout)
                )
                if answer.get("type") == "error":
                    raise problem_from(answer, settings.base, request_id, member="problem")
                return parsed_answer(parse, answer, attempts.count, settings.base, "a message on /ws")
            except RequestFailedError as error:
                if not self._is_open:  # closed meanwhile
                    raise self._closed() from error
                if not isinstance(error, ConnectionFailedError) or error.sent:  # others are those of every request
                    error.request_id = error.request_id or request_id
                pause = settings.pause_after(attempts, error)
            await settings.backoff.sleep_async(pause)

    def _closed(self) -> ConnectionFailedError:
        return ConnectionFailedError(self._settings.base, "the session was closed", sent=True, permanent=True)

    async def _connected(self) -> "_Connection":
        """The connection, opened if there is none; callers meanwhile wait for the same attempt."""
        if not self._is_open:
            raise UsageError("The session is not open; use it within `with client.session() as session:`.")
        if self._opening is None or (self._opening.done() and _has_failed(self._opening)):
            self._opening = asyncio.ensure_future(_open_connection(self._settings))
        try:
            # Shielded: one request that is given up must not take the connection from the others.
            return await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if self._is_open or (this is not None and this.cancelling()):
                raise
            raise self._closed() from None


def _has_failed(opening: "asyncio.Task[_Connection]") -> bool:
    return opening.cancelled() or opening.exception() is not None or opening.result().lost


class _ConnectWithoutRedirects(connect):
    """Without following redirects: the key would go along to wherever they lead."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """The refusal itself."""
        return exc


async def _open_connection(settings: ClientSettings) -> "_Connection":
    timeout = min(settings.timeout, CONNECT_TIMEOUT)
    secure: dict[str, Any] = {"ssl": settings.ssl_context} if settings.ssl_context else {}
    if settings.base.startswith("http://"):
        secure = {}  # websockets refuses a context that it has no use for
    try:
        connection = await _ConnectWithoutRedirects(
            settings.socket_url,
            additional_headers=dict(settings.headers),
            open_timeout=timeout,
            max_size=MAX_ANSWER,
            compression=None,
            **secure,
        )
    except InvalidStatus as refusal:
        said = refusal.response
        headers = {name.lower(): value for name, value in said.headers.raw_items()}
        raise problem_of(
            Reply(said.status_code, headers, bytes(said.body or b"")), settings.base, "", settings.backoff.today()
        ) from refusal
    except TimeoutError as late:
        raise ConnectionFailedError(settings.base, "no connection in time", False) from late
    except (OSError, EOFError, WebSocketException) as error:
        reason = f"no WebSocket ({os_error_text(error) or error or type(error).__name__})"
        raise ConnectionFailedError(settings.base, reason, False, is_permanent(error)) from error
    return _Connection(connection, settings.base)


class _Connection:
    """One connection, from its opening to its loss, and what waits for answers over it."""

    def __init__(self, connection: ClientConnection, base: str) -> None:
        self.lost = False
        self._connection = connection
        self._base = base
        self._waiting: dict[str, tuple[asyncio.Future[dict[str, Any]], int]] = {}
        self._sending = asyncio.Lock()
        self._reading = asyncio.ensure_future(self._read())

    async def ask(self, message: Mapping[str, Any], content: bytes | None, timeout: float) -> dict[str, Any]:
        """The answer to a message, with the image that follows it. Raises ConnectionFailedError and ServerProblemError."""
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[message["request_id"]] = (answered, len(content or b""))
        try:
            async with asyncio.timeout(timeout):
                async with self._sending:  # nothing comes between an image and what announces it
                    if self.lost and not answered.done():
                        raise ConnectionFailedError(self._base, "the WebSocket was lost", False)
                    await self._connection.send(json.dumps(message))
                    if content is not None:
                        await self._connection.send(content)
                return await answered
        except TimeoutError:
            raise ConnectionFailedError(self._base, f"no answer within {timeout:.3g} s", True) from None
        # AttributeError: websockets aborts a transport that asyncio has closed already, which Python 3.11 does not expect.
        except (ConnectionClosed, AttributeError):
            await self._reading  # it fails every pending request with the cause
            return await answered
        finally:
            if self._waiting.get(message["request_id"], (None,))[0] is answered:
                del self._waiting[message["request_id"]]
            answered.cancel()

    async def close(self) -> None:
        """End it."""
        self.lost = True
        await self._connection.close()
        await self._reading

    async def _read(self) -> None:
        try:
            async for message in self._connection:
                self._take(message)
        except ConnectionClosed:
            pass
        finally:
            self._fail_pending()

    def _fail_pending(self) -> None:
        """Fail every pending request."""
        self.lost = True
        code, why = self._connection.close_code, self._connection.close_reason
        # The largest one that waits is at least as large as the one that was too large.
        largest = max((size for _, size in self._waiting.values()), default=0)
        for request_id, (answered, size) in list(self._waiting.items()):
            if answered.done():
                continue
            if code == TOO_LARGE and size == largest:
                detail = (
                    f"The image of {size:,} bytes is larger than a message to this server may be; use Client.predict."
                )
                answered.set_exception(ServerProblemError(self._base, detail, 413, "message-too-large", request_id))
            else:
                closed = f"closed with {code}{f' ({why})' if why else ''}"
                answered.set_exception(ConnectionFailedError(self._base, f"the WebSocket was lost ({closed})", True))

    def _take(self, message: str | bytes) -> None:
        try:
            answer = json.loads(message)
            waiting = self._waiting[answer["request_id"]][0]
        except (ValueError, KeyError, TypeError, RecursionError):
            logger.warning("%s: a message that answers no request of this session", redacted_url(self._base))
            return
        if not waiting.done():
            waiting.set_result(answer)
