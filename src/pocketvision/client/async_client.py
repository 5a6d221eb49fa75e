"""The client for asyncio."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING

import httpx

from pocketvision.client.errors import ConnectionFailedError, RequestFailedError, ServerProblemError
from pocketvision.client.http import LIMITS, connection_failed, reply_from, sending
from pocketvision.client.images import image_content
from pocketvision.client.in_order import CONCURRENCY, check_many, in_order
from pocketvision.client.requests import (
    Request,
    Value,
    answer_of,
    models_request,
    predict_request,
    reload_request,
    status_request,
)
from pocketvision.client.retries import Backoff
from pocketvision.client.settings import DEADLINE, RETRIES, TIMEOUT, ClientSettings, OnRetry, client_settings
from pocketvision.client.values import ModelState, Outcome, Prediction, ReloadState
from pocketvision.client.wanted import Wanted
from pocketvision.preprocessing import ImageSource

if TYPE_CHECKING:
    from pocketvision.client.session import AsyncSession


class AsyncClient:
    """A server of ours, asked within an event loop: `async with AsyncClient("http://host:8000") as client`. Tasks may
    share it.

    Every method raises RequestFailedError's family. Everything but `reload` is asked again when that can help; see
    Client.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        deadline: float = DEADLINE,
        headers: Mapping[str, str] | None = None,
        ssl_context: SSLContext | None = None,
        backoff: Backoff | None = None,
        on_retry: OnRetry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """The options of Client."""
        settings = client_settings(url, key, timeout, retries, deadline, headers, ssl_context, backoff, on_retry)
        self._open(settings, transport)

    @classmethod
    def of(cls, settings: ClientSettings, transport: httpx.AsyncBaseTransport | None = None) -> "AsyncClient":
        """A client with settings that were checked before."""
        client = cls.__new__(cls)
        client._open(settings, transport)
        return client

    def _open(self, settings: ClientSettings, transport: httpx.AsyncBaseTransport | None) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(
            headers=dict(settings.headers), verify=settings.ssl_context or True, limits=LIMITS, transport=transport
        )

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

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
        read = await asyncio.to_thread(image_content, image)
        return await self._ask(predict_request(read.content, read.media_type, top_k, model, version, wanted))

    def predict_many(
        self,
        images: Iterable[ImageSource] | AsyncIterable[ImageSource],
        *,
        top_k: int | None = None,
        model: str | None = None,
        version: str | None = None,
        wanted: Wanted | None = None,
        concurrency: int = CONCURRENCY,
    ) -> AsyncIterator[Outcome]:
        """An outcome for every image, in order; `concurrency` of them in flight, and at most twice as many read ahead.

        Something to iterate over that makes others wait (a camera, a slow disk) should be asynchronous.
        """
        check_many(images, concurrency)
        return in_order(
            lambda image: self.predict(image, top_k=top_k, model=model, version=version, wanted=wanted),
            images,
            concurrency,
        )

    async def models(self) -> tuple[ModelState, ...]:
        """The models that are served; the first one's last version answers when none is named."""
        return await self._ask(models_request())

    async def reload(self, name: str) -> tuple[ReloadState, ...]:
        """Have the server read a model's folder anew: one state for each version. Raises when the new bundle is refused
        (409)."""
        return await self._ask(reload_request(name))

    async def health(self) -> str:
        """How the process is: "alive", or an error."""
        return await self._ask(status_request("/health"))

    async def ready(self) -> bool:
        """Whether the models are ready, asked once. False also where nothing answers."""
        try:
            await self._send(status_request("/ready"), self._settings.timeout, 1)
        except (ConnectionFailedError, ServerProblemError) as error:
            if is_not_ready(error):
                return False
            raise
        return True

    def session(self, *, in_flight: int = CONCURRENCY) -> "AsyncSession":
        """A WebSocket, for `async with`: many images over one connection, `in_flight` of them at once."""
        from pocketvision.client.session import AsyncSession

        return AsyncSession(self._settings, in_flight)

    async def _ask(self, request: Request[Value]) -> Value:
        attempts = self._settings.attempts()
        while True:
            try:
                return await self._send(request, attempts.timeout(self._settings.timeout), attempts.count)
            except RequestFailedError as error:
                if self._http.is_closed:  # by whoever leaves (Ctrl-C): nothing is lost that could be had again
                    raise
                pause = self._settings.pause_after(attempts, error, repeatable=request.repeatable)
            await self._settings.backoff.sleep_async(pause)

    async def _send(self, request: Request[Value], timeout: float, attempt: int) -> Value:
        try:
            async with asyncio.timeout(timeout):  # of the whole attempt; httpx's own is of each read and write
                reply = reply_from(await self._http.request(**sending(request, self._settings, timeout)))
        except TimeoutError as error:
            late = ConnectionFailedError(self._settings.base, f"no answer within {timeout:.3g} s", True)
            late.request_id = request.request_id
            raise late from error
        except httpx.RequestError as error:
            failed = connection_failed(error, self._settings.base, timeout)
            failed.request_id = request.request_id
            raise failed from error
        return answer_of(request, reply, self._settings.base, attempt, self._settings.backoff.today())


def is_not_ready(error: ConnectionFailedError | ServerProblemError) -> bool:
    """Whether an error only says that the server is not there yet, or is on its way out."""
    if isinstance(error, ServerProblemError):
        return error.status in (502, 503)
    return not error.permanent
