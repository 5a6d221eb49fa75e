"""The server under load, beside a plain FastAPI application without batching, in turns: closed loop of 1, 4, 16 and 64 clients.

Both run the same ONNX file on the same threads and get the same JPEGs; the clients are a process of their own, whose CPU time is
told apart. First, what decoding, preprocessing and running reach in one process without any HTTP. Prints JSON.
"""

import argparse
import asyncio
import io
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

PLAIN = """
import os, sys
import onnxruntime, uvicorn
from fastapi import FastAPI, Request
from pathlib import Path
from pocketvision.bundle import read_bundle
from pocketvision.runtime.backends import open_backend

bundle = read_bundle(Path(sys.argv[1]))
backend = open_backend(bundle, "onnxruntime", threads=int(sys.argv[2]))
app = FastAPI()

def classify(content):
    probabilities = backend.run(bundle.preprocessing(content)[None])["probabilities"][0]
    return {"label": bundle.labels[int(probabilities.argmax())], "probability": float(probabilities.max())}

@app.post("/predict")
async def predict(request: Request):
    from starlette.concurrency import run_in_threadpool
    return await run_in_threadpool(classify, await request.body())

import socket
listening = socket.socket(); listening.bind(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run([listening])
"""


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


async def closed_loop(url: str, clients: int, seconds: float) -> dict[str, Any]:
    """Each client asks as soon as it was answered. Latencies in milliseconds; what was refused is counted apart."""
    import aiohttp

    pictures, latencies, refused = jpegs(), [], 0
    ends = time.perf_counter() + seconds
    before = time.process_time()

    async def client(number: int, session: aiohttp.ClientSession) -> None:
        nonlocal refused
        while (started := time.perf_counter()) < ends:
            content = pictures[number % len(pictures)]
            number += 1
            async with session.post(f"{url}/predict", data=content, headers={"content-type": "image/jpeg"}) as answer:
                await answer.read()
                if answer.status == 200:
                    latencies.append((time.perf_counter() - started) * 1000)
                else:
                    refused += 1
                    await asyncio.sleep(0.1)

    started = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(number, session) for number in range(clients)))
    taken = time.perf_counter() - started
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99]) if latencies else (0, 0, 0)
    return {
        "images": len(latencies),
        "images_per_second": len(latencies) / taken, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "refused": refused,
        "client_cpu_share": (time.process_time() - before) / taken,
    }  # fmt: skip


def cpu_seconds(process: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def in_process(bundle: str, threads: int, seconds: float, batch: int) -> tuple[float, float]:
    """Images a second, and milliseconds of processor time an image, of Predictor.stream, which has no HTTP to do."""
    from pocketvision.bundle import read_bundle
    from pocketvision.runtime.predictor import Predictor

    predictor, pictures, done = Predictor(read_bundle(Path(bundle)), threads=threads), jpegs(), 0
    list(predictor.stream(pictures, batch=batch))
    started, before = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        done += len(list(predictor.stream(pictures * 4, batch=batch)))
    return done / (time.perf_counter() - started), (time.process_time() - before) * 1000 / done


def server(kind: str, bundle: str, threads: int, core: str) -> tuple["subprocess.Popen[str]", str]:
    """A server process and its URL."""
    ours = ["-m", "pocketvision", "serve", bundle, "--port", "0", "--threads", str(threads), "--queue", "128"]
    command = [sys.executable, *(ours if kind == "pocketvision" else ["-c", PLAIN, bundle, str(threads)])]
    pinned = ["taskset", "-c", core, *command] if core else command
    process = subprocess.Popen(pinned, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://[\d.]+:\d+", line):
            import threading

            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, found[0]
    raise SystemExit(f"{kind} did not start")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--core", default="0", help="the servers' core; empty: not pinned")
    parser.add_argument("--client-core", default="1")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps(asyncio.run(closed_loop(options.ask, options.clients[0], options.seconds))))
        return
    if options.inside:
        print(json.dumps(max(in_process(options.bundle, 1, options.seconds, batch) for batch in (4, 8))))
        return
    print(json.dumps(measured(options), indent=2))


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds, the kinds in turns; medians over the rounds."""
    threads = 1 if options.core else 2
    found: dict[str, list[dict[str, Any]]] = {}
    inside, resident = [], {}
    for _ in range(options.rounds):
        inside.append(child(["--inside"], options, options.core))
        for kind in ("pocketvision", "plain"):
            process, url = server(kind, options.bundle, threads, options.core)
            for clients in options.clients:
                before = cpu_seconds(process.pid)
                one = child(["--ask", url, "--clients", str(clients)], options, options.client_core)
                one["server_cpu_ms_an_image"] = (cpu_seconds(process.pid) - before) * 1000 / max(one.pop("images"), 1)
                found.setdefault(f"{kind}, {clients} clients", []).append(one)
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            resident[kind] = int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) // 1024
            process.terminate()
            process.wait()
    medians = {
        name: {field: round(statistics.median(each[field] for each in rounds), 3) for field in rounds[0]}
        for name, rounds in found.items()
    }
    speeds, costs = zip(*inside, strict=True)
    alone = {"images_per_second": statistics.median(speeds), "cpu_ms_an_image": statistics.median(costs)}
    return {"in process": alone, **medians, "peak_resident_mib": resident}


def child(arguments: list[str], options: argparse.Namespace, core: str) -> Any:
    """This script in another process, on its core."""
    command = [sys.executable, __file__, options.bundle, "--seconds", str(options.seconds), *arguments]
    pinned = ["taskset", "-c", core, *command] if core else command
    return json.loads(subprocess.run(pinned, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
