"""Load on a server: clients that ask as soon as they are answered (closed loop), or requests at times of their own (open)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ANSWERED, REJECTED, FAILED = "answered", "rejected", "failed"
"""What becomes of a request. rejected: the server has no room for it now."""

LONGEST_WAIT = 30.0
"""Seconds after the last request was to be sent; what is not answered then has failed."""

_PAUSE = 0.1
"""Seconds that a client of a closed loop waits before it asks again where it got no answer."""

Ask = Callable[[int, int], Awaitable[str]]
"""From the number of a client and of a request to what became of it: one of the three above."""


class Seen(NamedTuple):
    """A request. sent: seconds since the load began, when it was to be sent. latency_ms: from then until it was answered."""

    sent: float
    latency_ms: float
    became: str


def poisson_times(rate: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """When requests are to be sent, in seconds, at `rate` a second on average."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds * 1.5) + 50)
    times = np.cumsum(gaps)
    return times[times < seconds]


async def closed_loop(ask: Ask, clients: int, seconds: float, most: int) -> list[Seen]:
    """So many clients, each of which asks as soon as it was answered, for so many seconds or until `most` requests were sent."""
    began, seen, sent = time.perf_counter(), list[Seen](), 0

    async def client(number: int) -> None:
        nonlocal sent
        while (now := time.perf_counter()) < began + seconds and sent < most:
            sent += 1
            became = await ask(number, sent - 1)
            seen.append(Seen(now - began, (time.perf_counter() - now) * 1000, became))
            if became != ANSWERED:
                await asyncio.sleep(_PAUSE)

    await asyncio.gather(*map(client, range(clients)))
    return seen


async def open_loop(ask: Ask, times: NDArray[np.float64], clients: int) -> list[Seen]:
    """Requests at `times`, whether or not earlier ones were answered, by `clients` in turns. Their latency counts from the time
    they were to be sent at, so a queue at the sender counts too."""
    began, seen, tasks = time.perf_counter() + 0.05, list[Seen](), list[asyncio.Task[None]]()

    async def one(number: int, offset: float) -> None:
        became = FAILED
        try:
            became = await ask(number % clients, number)
        finally:
            seen.append(Seen(offset, (time.perf_counter() - began - offset) * 1000, became))

    for number, offset in enumerate(times.tolist()):
        await asyncio.sleep(max(began + offset - time.perf_counter(), 0))
        tasks.append(asyncio.create_task(one(number, offset)))
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=LONGEST_WAIT)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return seen
