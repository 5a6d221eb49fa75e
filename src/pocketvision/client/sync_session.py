"""A WebSocket session for ordinary code: the asynchronous one, on an event loop in a thread of its own."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from types import TracebackType

from anyio.from_thread import BlockingPortal, start_blocking_portal

from pocketvision.client.in_order import CONCURRENCY, check_many, in_order_through
from pocketvision.client.session import AsyncSession
from pocketvision.client.settings import ClientSettings
from pocketvision.client.values import Outcome, Prediction
from pocketvision.client.wanted import Wanted
from pocketvision.errors import UsageError
from pocketvision.preprocessing import ImageSource


class Session:
    """`with client.session() as session`: `predict` from as many threads as you like, or `predict_many` from one."""

    def __init__(self, settings: ClientSettings, in_flight: int = CONCURRENCY) -> None:
        check_many((), in_flight)
        self._settings = settings
        self._in_flight = in_flight
        self._opened = ExitStack()
        self._running: tuple[BlockingPortal, AsyncSession] | None = None

    def __enter__(self) -> "Session":
        with ExitStack() as opened:
            portal = opened.enter_context(start_blocking_portal(name="pocketvision-session"))
            session = AsyncSession(self._settings, self._in_flight)
            opened.enter_context(portal.wrap_async_context_manager(session))
            self._running = (portal, session)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = None
        self._opened.__exit__(kind, error, trace)

    def predict(
        self,
        image: ImageSource,
        *,
        top_k: int | None = None,
        model: str | None = None,
        version: str | None = None,
        wanted: Wanted | None = None,
    ) -> Prediction:
        """Answer about one image. Raises ImageError when it can not be read here."""
        portal, session = self._at_work()
        return portal.call(partial(session.predict, image, top_k=top_k, model=model, version=version, wanted=wanted))

    def predict_many(
        self,
        images: Iterable[ImageSource],
        *,
        top_k: int | None = None,
        model: str | None = None,
        version: str | None = None,
        wanted: Wanted | None = None,
    ) -> Iterator[Outcome]:
        """An outcome for every image, in order; see Client.predict_many."""
        check_many(images, self._in_flight)
        portal, session = self._at_work()
        return in_order_through(
            portal,
            lambda image: session.predict(image, top_k=top_k, model=model, version=version, wanted=wanted),
            images,
            self._in_flight,
        )

    def health(self) -> str:
        """How the server is: "ready" or "not-ready"."""
        portal, session = self._at_work()
        return portal.call(session.health)

    def _at_work(self) -> tuple[BlockingPortal, AsyncSession]:
        if self._running is None:
            raise UsageError("The session is not open; use it within `with client.session() as session:`.")
        return self._running
