"""Two checkouts of PocketVision side by side: CPU of an image predicted and served, the server's slowest answers, training time.

    python benchmarks/two_versions.py OLD NEW --bundle BUNDLE --images FOLDER [--train FOLDER] [--rounds 9]

OLD and NEW are folders with a `src/`; the interpreter's packages serve both. BUNDLE has to be readable by both. Each round runs
both sides, in an order that changes; the figure is the median over rounds of NEW / OLD. CPU is the process's own, so that other
work on the machine matters less.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

JPEG = {"content-type": "image/jpeg"}

PREDICT = """
import json, sys, time
from pathlib import Path
import pocketvision
from pocketvision.runtime.predictor import Predictor
from pocketvision.bundle import read_bundle
predictor = Predictor(read_bundle(Path(sys.argv[1])), threads=1)
files = [Path(line) for line in sys.stdin.read().splitlines()]
list(predictor.stream(files[:16]))
began = time.process_time()
rows = list(predictor.stream(files))
assert all(row.error is None for row in rows)
print(json.dumps((time.process_time() - began) / len(files)))
"""

TRAIN = """
import json, sys, time
import pocketvision
began, cpu = time.perf_counter(), time.process_time()
pocketvision.train(sys.argv[1], out=sys.argv[2], epochs1=2, epochs2=1, size=96, seed=0, workers=2)
print(json.dumps([time.perf_counter() - began, time.process_time() - cpu]))
"""


def main() -> None:
    """Print the ratios as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="a folder of JPEG files")
    parser.add_argument("--train", type=Path, help="a folder of labelled images to train on")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=300)
    given = parser.parse_args()
    files = sorted(given.images.rglob("*.jpg"))[:200]
    measures: dict[str, Callable[[Path], list[float]]] = {
        "predict: CPU an image": lambda side: predicted(side, given.bundle, files),
        "serve: CPU an image, p99": lambda side: served(side, given.bundle, files, given.requests),
    }
    if given.train is not None:
        measures["train: seconds, CPU"] = lambda side: trained(side, given.train)
    print(json.dumps({name: compared(measure, given) for name, measure in measures.items()}, indent=2))


def compared(measure: Callable[[Path], list[float]], given: argparse.Namespace) -> list[dict[str, object]]:
    """For each of the measure's figures the median of NEW / OLD, its range, and both medians."""
    rounds: list[tuple[list[float], list[float]]] = []
    for number in range(given.rounds):
        sides = [given.old, given.new]
        found = {side: measure(side) for side in (sides if number % 2 else sides[::-1])}
        rounds.append((found[given.old], found[given.new]))
        print(number, *rounds[-1], file=sys.stderr)
    figures = []
    for index in range(len(rounds[0][0])):
        ratios = sorted(new[index] / old[index] for old, new in rounds)
        figures.append(
            {
                "new / old": round(statistics.median(ratios), 4),
                "range": [round(ratios[0], 4), round(ratios[-1], 4)],
                "old": statistics.median(old[index] for old, _ in rounds),
                "new": statistics.median(new[index] for _, new in rounds),
            }
        )
    return figures


def environment(side: Path) -> dict[str, str]:
    """Where that side's package is found; one thread for everything that would take more."""
    return {**os.environ, "PYTHONPATH": str(side / "src"), "OMP_NUM_THREADS": "1"}


def run(side: Path, script: str, *arguments: str, text: str = "") -> list[float]:
    """What a script prints as JSON, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment(side),
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return found if isinstance(found, list) else [found]


def predicted(side: Path, bundle: Path, files: list[Path]) -> list[float]:
    """CPU seconds an image of a stream of files."""
    return run(side, PREDICT, str(bundle), text="\n".join(map(str, files)))


def trained(side: Path, data: Path) -> list[float]:
    """Seconds and CPU seconds of a short training."""
    with tempfile.TemporaryDirectory() as folder:
        return run(side, TRAIN, str(data), f"{folder}/run")


def served(side: Path, bundle: Path, files: list[Path], requests: int) -> list[float]:
    """CPU seconds an image of a server that is asked one image after another, and the 99th percentile of its answers' seconds."""
    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["-m", "pocketvision", "serve", str(bundle), "--port", str(port), "--threads", "1"]
    server = subprocess.Popen(
        [sys.executable, *arguments], env=environment(side), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_until_ready(client)
            contents = [file.read_bytes() for file in files]
            seconds: list[float] = []
            for number in range(20 + requests):
                if number == 20:  # warm by now
                    before, seconds = cpu_of(server.pid), []
                began = time.perf_counter()
                answer = client.post("/predict", content=contents[number % len(contents)], headers=JPEG)
                answer.raise_for_status()
                seconds.append(time.perf_counter() - began)
            spent = cpu_of(server.pid) - before
    finally:
        server.terminate()
        server.wait()
    return [spent / requests, statistics.quantiles(seconds, n=100)[98]]


def wait_until_ready(client: "httpx.Client") -> None:  # type: ignore[name-defined]  # noqa: F821 (imported where it is used)
    """Until the server answers."""
    import httpx

    for _ in range(300):
        try:
            if client.get("/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the server is not ready after 30 s")


def cpu_of(process: int) -> float:
    """CPU seconds that a process has spent (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
