"""The load: clients in a process of their own, closed loop or open loop, whose processor time is told apart. Prints JSON."""

import argparse
import asyncio
import base64
import json
import resource
import time
from collections.abc import Awaitable
from typing import Any

from pocketvision.client.load import ANSWERED, FAILED, LONGEST_WAIT, REJECTED, closed_loop, open_loop, poisson_times
from pocketvision.client.load_pictures import drawn_jpegs

MOST = 1_000_000  # requests of a closed loop: its seconds end it


class Load:
    """Sends pictures to one server."""

    def __init__(self, url: str, path: str, *, as_base64: bool) -> None:
        self._url = f"{url}{path}"
        self._headers = {"content-type": "application/json" if as_base64 else "image/jpeg"}
        self._bodies = drawn_jpegs()
        if as_base64:
            self._bodies = [json.dumps({"image": base64.b64encode(each).decode()}).encode() for each in self._bodies]

    async def ask(self, session: Any, number: int) -> str:
        """One request, and what became of it."""
        import aiohttp

        try:
            body = self._bodies[number % len(self._bodies)]
            async with session.post(self._url, data=body, headers=self._headers) as answer:
                await answer.read()
                return {200: ANSWERED, 429: REJECTED}.get(answer.status, FAILED)
        except (aiohttp.ClientError, TimeoutError):
            return FAILED


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """One load, and what was seen of it."""
    import aiohttp

    load = Load(options.url, options.path, as_base64=options.base64)
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    timeout = aiohttp.ClientTimeout(total=LONGEST_WAIT)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        def ask(client: int, number: int) -> Awaitable[str]:
            return load.ask(session, client + number)

        if options.rate:
            seen = await open_loop(ask, poisson_times(options.rate, options.seconds, options.seed), 1)
        else:
            seen = await closed_loop(ask, options.clients, options.seconds, MOST)
    taken, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answered = [each for each in seen if each.became == ANSWERED]
    return {
        "seconds": taken,
        "latencies_ms": [round(each.latency_ms, 3) for each in answered],
        "sent_s": [round(each.sent, 3) for each in answered],
        "refused": sum(each.became == REJECTED for each in seen),
        "failed": sum(each.became == FAILED for each in seen),
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
