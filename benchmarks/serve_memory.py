"""The server's memory over many requests: 16 clients that ask as soon as they were answered. Prints JSON.

Resident memory is read every so many requests while they are answered, so what a server keeps of each would be seen as a slope.
"""

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pocketvision.client.load_pictures import drawn_jpegs

CLIENTS = 16


def resident_mib(process: int) -> float:
    """Resident memory of a process."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


async def asked(url: str, process: int, requests: int, every: int) -> dict[str, Any]:
    """What was seen while so many requests were answered."""
    import aiohttp

    pictures, memory = drawn_jpegs(), {}
    sent = failed = 0
    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def client() -> None:
            nonlocal sent, failed
            while sent < requests:
                sent += 1
                if sent % every == 0 or sent == 1000:
                    memory[sent] = round(resident_mib(process), 1)
                body = pictures[sent % len(pictures)]
                async with session.post(f"{url}/predict", data=body, headers={"content-type": "image/jpeg"}) as answer:
                    await answer.read()
                    failed += answer.status != 200

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return {"requests": sent, "failed": failed, "seconds": round(time.perf_counter() - began, 1), "memory_mib": memory}


def main() -> None:
    """Serve, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--every", type=int, default=5_000)
    options = parser.parse_args()
    process = subprocess.Popen(
        [sys.executable, "-m", "pocketvision", "serve", str(options.bundle), "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    try:
        url = next(found[0] for line in process.stderr if (found := re.search(r"http://127[\d.]+:\d+", line)))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        print(json.dumps(asyncio.run(asked(url, process.pid, options.requests, options.every)), indent=2))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


if __name__ == "__main__":
    main()
