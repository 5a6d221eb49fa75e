"""Many images at once, answered in their order: read as there is room, a bounded number in flight.

Each is a request of its own. Four in one would save 0.8 of the server's 12.2 ms of processor time an image
(EfficientNet-Lite0, 256 x 256) and 1.1 of the client's 1.9, and be refused, lost and sent again together.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future

from anyio.from_thread import BlockingPortal

from pocketvision.client.images import path_of
from pocketvision.client.values import Outcome, Prediction
from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.preprocessing import ImageSource

CONCURRENCY = 8
READ_AHEAD = 2
"""Images that are taken from their source, for each that is in flight: one that is asked for again holds up fewer
others."""

Ask = Callable[[ImageSource], Awaitable[Prediction]]
Bounded = Callable[[ImageSource], Awaitable[Outcome]]


async def bounded(ask: Ask, concurrency: int) -> Bounded:
    """`ask` with at most `concurrency` calls at once, its errors being outcomes."""
    free = asyncio.Semaphore(concurrency)

    async def outcome(image: ImageSource) -> Outcome:
        async with free:
            try:
                return Outcome(path_of(image), await ask(image), None)
            except PocketVisionError as error:
                return Outcome(path_of(image), None, error)

    return outcome


async def in_order(
    ask: Ask, images: Iterable[ImageSource] | AsyncIterable[ImageSource], concurrency: int
) -> AsyncIterator[Outcome]:
    """An outcome for every image, in order. Leaving it early cancels what is in flight."""
    outcome = await bounded(ask, concurrency)
    waiting: deque[asyncio.Task[Outcome]] = deque()
    try:
        async for image in _each(images):
            waiting.append(asyncio.ensure_future(outcome(image)))
            await asyncio.sleep(0)  # lets it begin, and others end, before the next image is read
            while waiting and (len(waiting) >= READ_AHEAD * concurrency or waiting[0].done()):
                yield await waiting[0]
                waiting.popleft()
        while waiting:
            yield await waiting[0]
            waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def in_order_through(
    portal: BlockingPortal, ask: Ask, images: Iterable[ImageSource], concurrency: int
) -> Iterator[Outcome]:
    """The same for a caller outside of the event loop, who reads the images and waits in its own thread."""
    outcome = portal.call(bounded, ask, concurrency)
    waiting: deque[Future[Outcome]] = deque()
    try:
        for image in images:
            waiting.append(portal.start_task_soon(outcome, image))
            while waiting and (len(waiting) >= READ_AHEAD * concurrency or waiting[0].done()):
                yield waiting[0].result()
                waiting.popleft()
        while waiting:
            yield waiting[0].result()
            waiting.popleft()
    finally:
        for each in waiting:
            each.cancel()


async def _each(images: Iterable[ImageSource] | AsyncIterable[ImageSource]) -> AsyncIterator[ImageSource]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
        return
    for image in images:
        yield image


def check_many(images: object, concurrency: int) -> None:
    """Raise UsageError for one image instead of many, and for a bound below one."""
    if isinstance(images, str | bytes):
        raise UsageError("predict_many takes an iterable of images; this is one. Use predict, or put it in a list.")
    if concurrency < 1:
        raise UsageError(f"concurrency is {concurrency}; expected 1 or more")
