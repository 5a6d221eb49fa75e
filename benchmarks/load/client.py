"""The load: clients in a process of their own, closed loop or open loop, whose processor time is told apart. Prints JSON."""

import argparse
import asyncio
import base64
import io
import json
import resource
import time
from typing import Any

import numpy as np

LONGEST_WAIT = 30.0  # seconds after the last scheduled request


def jpegs(count: int = 16) -> list[bytes]:
    """Pictures of 640 x 480 pixels, smooth enough to be as large as photographs are."""
    from PIL import Image

    random = np.random.default_rng(0)
    found = []
    for _ in range(count):
        rough = Image.fromarray(random.integers(0, 255, (30, 40, 3), dtype=np.uint8)).resize(
            (640, 480), Image.Resampling.BICUBIC
        )
        file = io.BytesIO()
        rough.save(file, "JPEG", quality=90)
        found.append(file.getvalue())
    return found


def poisson_times(rate: float, seconds: float, seed: int) -> np.ndarray[Any, Any]:
    """When requests are to be sent, in seconds, at `rate` a second on average."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds * 1.5) + 50)
    times = np.cumsum(gaps)
    return times[times < seconds]


class Load:
    """Sends pictures to one server, and keeps what became of each request: (when it was sent, latency in ms, status)."""

    def __init__(self, url: str, path: str, *, as_base64: bool) -> None:
        self._url = f"{url}{path}"
        self._headers = {"content-type": "application/json" if as_base64 else "image/jpeg"}
        self._bodies = jpegs()
        if as_base64:
            self._bodies = [json.dumps({"image": base64.b64encode(each).decode()}).encode() for each in self._bodies]
        self.seen: list[tuple[float, float, int]] = []

    async def ask(self, session: Any, number: int, scheduled: float) -> int:
        """One request; its latency counts from the time it was to be sent at."""
        import aiohttp

        try:
            body = self._bodies[number % len(self._bodies)]
            async with session.post(self._url, data=body, headers=self._headers) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        self.seen.append((scheduled, (time.perf_counter() - scheduled) * 1000, status))
        return status

    async def closed(self, session: Any, clients: int, seconds: float) -> None:
        """Each client asks as soon as it was answered."""
        ends = time.perf_counter() + seconds

        async def client(number: int) -> None:
            while (now := time.perf_counter()) < ends:
                if await self.ask(session, number, now) != 200:
                    await asyncio.sleep(0.1)
                number += 1

        await asyncio.gather(*map(client, range(clients)))

    async def opened(self, session: Any, rate: float, seconds: float, seed: int) -> None:
        """Requests at times of their own, whether or not earlier ones were answered."""
        began = time.perf_counter() + 0.05
        tasks = []
        for number, offset in enumerate(poisson_times(rate, seconds, seed)):
            await asyncio.sleep(max(began + offset - time.perf_counter(), 0))
            tasks.append(asyncio.create_task(self.ask(session, number, began + offset)))
        await asyncio.wait(tasks, timeout=LONGEST_WAIT)
        for task in tasks:
            task.cancel()


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """One load, and what was seen of it."""
    import aiohttp

    load = Load(options.url, options.path, as_base64=options.base64)
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    timeout = aiohttp.ClientTimeout(total=LONGEST_WAIT)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        if options.rate:
            await load.opened(session, options.rate, options.seconds, options.seed)
        else:
            await load.closed(session, options.clients, options.seconds)
    taken, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answered = [(sent - started, ms) for sent, ms, status in load.seen if status == 200]
    return {
        "seconds": taken,
        "latencies_ms": [round(ms, 3) for _, ms in answered],
        "sent_s": [round(sent, 3) for sent, _ in answered],
        "refused": sum(status == 429 for _, _, status in load.seen),
        "failed": sum(status not in (200, 429) for _, _, status in load.seen),
        "client_cpu_share": used / taken,
    }


def main() -> None:
    """One load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--path", default="/predict")
    parser.add_argument("--base64", action="store_true")
    parser.add_argument("--clients", type=int, default=1, help="closed loop")
    parser.add_argument("--rate", type=float, default=0, help="open loop: requests a second")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
