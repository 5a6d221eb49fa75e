"""The client for ordinary code."""

from collections.abc import Iterable, Iterator, Mapping
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING

import httpx
from anyio.from_thread import start_blocking_portal

from pocketvision.client.async_client import AsyncClient, is_not_ready
from pocketvision.client.errors import ConnectionFailedError, RequestFailedError, ServerProblemError
from pocketvision.client.http import LIMITS, connection_failed, reply_from, sending
from pocketvision.client.images import image_content
from pocketvision.client.in_order import CONCURRENCY, check_many, in_order_through
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
from pocketvision.client.settings import DEADLINE, RETRIES, TIMEOUT, OnRetry, client_settings
from pocketvision.client.values import ModelState, Outcome, Prediction, ReloadState
from pocketvision.client.wanted import Wanted
from pocketvision.preprocessing import ImageSource

if TYPE_CHECKING:
    from pocketvision.client.sync_session import Session


class Client:
    """A server of ours: `with Client("http://host:8000") as client: client.predict("photo.jpg").label`. Threads may
    share it.

    Every method raises RequestFailedError's family. What the server refused for now (429, 503), a connection that could
    not be had or broke, a proxy's 502 and an answer that did not come are asked again, after pauses that grow; `reload`
    only where it was not begun.
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
        transport: httpx.MockTransport | None = None,
    ) -> None:
        """url: http://HOST:PORT or https://HOST, with a path where a proxy adds one. key: sent as `Authorization:
        Bearer KEY`.

        timeout: seconds of an attempt (here: without a byte sent or come; in `predict_many`, a session and AsyncClient: in all);
        deadline: of a request with all its attempts, so counted; retries: attempts after the first.
        headers: further ones. ssl_context: for a certificate authority of one's own. on_retry: called with the error
        and the seconds until the next attempt, by several threads at once. pace, transport: the clocks and the
        network, for tests. Raises UsageError.
        """
        self._settings = client_settings(url, key, timeout, retries, deadline, headers, ssl_context, backoff, on_retry)
        self._transport = transport
        self._http = httpx.Client(
            headers=dict(self._settings.headers), verify=ssl_context or True, limits=LIMITS, transport=transport
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def predict(
        self,
        image: ImageSource,
        *,
        top_k: int | None = None,
        model: str | None = None,
        version: str | None = None,
        wanted: Wanted | None = None,
    ) -> Prediction:
        """Answer about one image: a path, a file's bytes, an array or a Pillow image. Raises ImageError when it can not be
        read here."""
        read = image_content(image)
        return self._ask(predict_request(read.content, read.media_type, top_k, model, version, wanted))

    def predict_many(
        self,
        images: Iterable[ImageSource],
        *,
        top_k: int | None = None,
        model: str | None = None,
        version: str | None = None,
        wanted: Wanted | None = None,
        concurrency: int = CONCURRENCY,
    ) -> Iterator[Outcome]:
        """An outcome for every image, in order; `concurrency` of them in flight, and at most twice as many read ahead.

        Its requests run on an event loop in a thread that lives until the last outcome was taken: unlike threads that
        wait for sockets, they can be abandoned at once, by Ctrl-C or by leaving the loop.
        """
        check_many(images, concurrency)
        return self._many(images, top_k, model, version, wanted, concurrency)

    def _many(
        self,
        images: Iterable[ImageSource],
        top_k: int | None,
        model: str | None,
        version: str | None,
        wanted: Wanted | None,
        concurrency: int,
    ) -> Iterator[Outcome]:
        client = AsyncClient.of(self._settings, self._transport)
        with start_blocking_portal(name="pocketvision-client") as portal, portal.wrap_async_context_manager(client):
            yield from in_order_through(
                portal,
                lambda image: client.predict(image, top_k=top_k, model=model, version=version, wanted=wanted),
                images,
                concurrency,
            )

    def models(self) -> tuple[ModelState, ...]:
        """The models that are served; the first one's last version answers when none is named."""
        return self._ask(models_request())

    def reload(self, name: str) -> tuple[ReloadState, ...]:
        """Have the server read a model's folder anew: one state for each version. Raises when the new bundle is refused
        (409)."""
        return self._ask(reload_request(name))

    def health(self) -> str:
        """How the process is: "alive", or an error."""
        return self._ask(status_request("/health"))

    def ready(self) -> bool:
        """Whether the models are ready, asked once. False also where nothing answers."""
        try:
            self._send(status_request("/ready"), self._settings.timeout, 1)
        except (ConnectionFailedError, ServerProblemError) as error:
            if is_not_ready(error):
                return False
            raise
        return True

    def session(self, *, in_flight: int = CONCURRENCY) -> "Session":
        """A WebSocket, for `with`: many images over one connection, `in_flight` of them at once."""
        from pocketvision.client.sync_session import Session

        return Session(self._settings, in_flight)

    def _ask(self, request: Request[Value]) -> Value:
        attempts = self._settings.attempts()
        while True:
            try:
                return self._send(request, attempts.timeout(self._settings.timeout), attempts.count)
            except RequestFailedError as error:
                if self._http.is_closed:  # by whoever leaves (Ctrl-C): nothing is lost that could be had again
                    raise
                pause = self._settings.pause_after(attempts, error, repeatable=request.repeatable)
            self._settings.backoff.sleep(pause)

    def _send(self, request: Request[Value], timeout: float, attempt: int) -> Value:
        try:
            reply = reply_from(self._http.request(**sending(request, self._settings, timeout)))
        except httpx.RequestError as error:
            failed = connection_failed(error, self._settings.base, timeout)
            failed.request_id = request.request_id
            raise failed from error
        return answer_of(request, reply, self._settings.base, attempt, self._settings.backoff.today())
