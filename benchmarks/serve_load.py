"""The server under load beside its peers, in turns: closed loop of 1 to 64 clients, open loop (Poisson) at shares of capacity.

All servers run the same ONNX file, opened by the same backend on the same number of threads, prepare the same JPEGs by the
same code and put at most four in a batch. They have one core, the clients another. First, what decoding, preprocessing and
running reach in one process without HTTP. Open loop: latency counts from the time a request was to be sent; shares are of
each server's own capacity, its best throughput of the round's closed loops. `ideal` is the queue that wastes nothing
(load/queueing.py), given the same arrivals and the times of the round's one-client requests, scaled so that their mean is 1
/ capacity; `single` the same, scaled to the processor time that those requests took: more, where requests that come together cost
less. Prints JSON.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LOAD = Path(__file__).parent / "load"
sys.path.insert(0, str(LOAD))

from queueing import ideal_latencies  # noqa: E402

from pocketvision.client.load import poisson_times  # noqa: E402

SHARES = (0.5, 0.8, 0.95, 1.2)


@dataclass(frozen=True)
class Peer:
    """How a server is started, and how it is asked. BUNDLE and THREADS are replaced."""

    command: tuple[str, ...]
    as_base64: bool = False
    path: str = "/predict"


OURS = ("-m", "pocketvision", "serve", "BUNDLE", "--port", "0", "--threads", "THREADS")
PEERS = {
    # The queue is that of the one core that it has; the closed loop of 64 clients is to be answered, not refused.
    "pocketvision": Peer((*OURS, "--queue", "128")),
    "pocketvision, batch of 1": Peer((*OURS, "--queue", "128", "--max-batch", "1")),
    "pocketvision, at most 0.3 s": Peer((*OURS, "--max-wait", "0.3")),
    "pocketvision, base64": Peer((*OURS, "--queue", "128"), as_base64=True, path="/predict_base64"),
    "plain FastAPI": Peer((str(LOAD / "plain_fastapi.py"), "BUNDLE", "THREADS")),
    "LitServe": Peer((str(LOAD / "litserve_app.py"), "BUNDLE", "THREADS"), as_base64=True),
    "LitServe, fast queue": Peer((str(LOAD / "litserve_app.py"), "BUNDLE", "THREADS", "--fast-queue"), as_base64=True),
    "Ray Serve": Peer((str(LOAD / "ray_app.py"), "BUNDLE", "THREADS")),
}


def on_core(core: str, *arguments: str) -> list[str]:
    """A Python command on one core, or on every one."""
    return [*(["taskset", "-c", core] if core else []), sys.executable, *arguments]


def busy_seconds(core: str) -> float:
    """Processor time that a core, or all of them, have spent on anything so far (/proc/stat)."""
    name = f"cpu{core}" if core else "cpu"
    line = next(each for each in Path("/proc/stat").read_text(encoding="ascii").splitlines() if each.split()[0] == name)
    user, nice, system, _idle, _wait, irq, softirq = map(int, line.split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def tree_mib(root: int) -> float:
    """Resident memory of a process and all below it, shared pages counted once for each (PSS)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:  # ended meanwhile
            continue
    tree = {root}
    while more := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= more
    total = 0
    for process in tree:
        try:
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii"), re.M)
        except OSError:
            continue
        total += int(found[1]) if found else 0
    return total / 1024


@contextmanager
def running(peer: Peer, options: argparse.Namespace, threads: int) -> Iterator[tuple[int, str, float]]:
    """A server: its process, its URL, and the seconds until it answered a picture."""
    words = {"BUNDLE": str(options.bundle), "THREADS": str(threads)}
    began = time.perf_counter()
    process = subprocess.Popen(
        on_core(options.core, *(words.get(word, word) for word in peer.command)),
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    try:
        url = next(found[0] for line in process.stderr if (found := re.search(r"http://127[\d.]+:\d+", line)))
        threading.Thread(target=process.stderr.read, daemon=True).start()
        while not asked(url, peer, options, seconds=0.01)["latencies_ms"]:
            if time.perf_counter() - began > 90:
                raise SystemExit(f"{peer.command[0]} did not start")
        ready = time.perf_counter() - began
        asked(url, peer, options, clients=8, seconds=2)
        yield process.pid, url, ready
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):  # LitServe's and Ray's children outlive their parent
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def asked(url: str, peer: Peer, options: argparse.Namespace, **load: float) -> dict[str, Any]:
    """What clients on their core saw."""
    words = [word for name, value in load.items() for word in (f"--{name}", str(value))]
    command = [str(LOAD / "client.py"), url, "--path", peer.path, *(["--base64"] if peer.as_base64 else []), *words]
    child = subprocess.run(on_core(options.client_core, *command), stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(child.stdout))


def measured(
    url: str, peer: Peer, options: argparse.Namespace, process: int, **load: float
) -> tuple[dict[str, float], list[float]]:
    """One load on one server: figures, and the latencies in milliseconds."""
    before = busy_seconds(options.core)
    seen = asked(url, peer, options, **load)
    used, latencies = busy_seconds(options.core) - before, seen["latencies_ms"]
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99]) if latencies else (0, 0, 0)
    sent, slope = np.array(seen["sent_s"]), 0.0
    if load.get("rate") and len(sent) > 20:
        slope = float(np.polyfit(sent, latencies, 1)[0])
    return {
        "images_per_second": len(latencies) / seen["seconds"],
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        "latency_slope_ms_a_second": slope,
        "refused": seen["refused"],
        "failed": seen["failed"],
        "server_cpu_ms_an_image": used * 1000 / max(len(latencies), 1),
        "client_cpu_share": seen["client_cpu_share"],
        "memory_mib": tree_mib(process),
    }, latencies


def one_round(name: str, options: argparse.Namespace, threads: int, seed: int) -> dict[str, dict[str, float]]:
    """Every load on one server, closed loops first."""
    peer, found = PEERS[name], {}
    with running(peer, options, threads) as (process, url, ready):
        service: dict[int, np.ndarray[Any, Any]] = {}
        for clients in options.clients:
            figures, latencies = measured(url, peer, options, process, clients=clients, seconds=options.seconds)
            found[f"closed, {clients} clients"], service[clients] = figures, np.array(latencies)
        capacity = max(figures["images_per_second"] for figures in found.values())
        singles = service[min(service)]
        alone = singles * (found[f"closed, {min(service)} clients"]["server_cpu_ms_an_image"] / singles.mean())
        singles = singles * (1000 / capacity / singles.mean())
        for share in options.shares:
            rate = share * capacity
            figures, _ = measured(url, peer, options, process, rate=rate, seconds=options.open_seconds, seed=seed)
            arrivals = poisson_times(rate, options.open_seconds, seed) * 1000
            figures["ideal_p99_ms"] = float(np.percentile(ideal_latencies(arrivals, singles, seed), 99))
            figures["p99_to_ideal"] = figures["p99_ms"] / figures["ideal_p99_ms"]
            figures["p99_to_single"] = figures["p99_ms"] / float(
                np.percentile(ideal_latencies(arrivals, alone, seed), 99)
            )
            found[f"open, {share:.0%}"] = figures
        found["start"] = {"ready_seconds": ready}
    return found


def in_process(options: argparse.Namespace) -> dict[str, Any]:
    """The limit without HTTP, on the servers' core."""
    command = on_core(
        options.core or "0", str(LOAD / "in_process.py"), str(options.bundle), "--seconds", str(options.seconds)
    )
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))


def median_figures(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Medians over rounds; of the p99's ratio and the throughput also the lowest and highest."""
    found = {field: round(statistics.median(each[field] for each in rounds), 3) for field in rounds[0]}
    for field in ("images_per_second", "p99_to_ideal", "p99_to_single"):
        if field in rounds[0]:
            values = [each[field] for each in rounds]
            found |= {f"{field}_lowest": round(min(values), 3), f"{field}_highest": round(max(values), 3)}
    return found


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of a closed loop")
    parser.add_argument("--open-seconds", type=float, default=10, help="of an open loop")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--shares", type=float, nargs="*", default=list(SHARES))
    parser.add_argument("--peers", nargs="+", default=["pocketvision", "plain FastAPI"], choices=list(PEERS))
    parser.add_argument("--core", default="0", help="the servers' core; empty: all of them")
    parser.add_argument("--client-core", default="1")
    parser.add_argument("--out", type=Path, help="keep every round's figures")
    options = parser.parse_args()
    threads = 1 if options.core else len(os.sched_getaffinity(0))
    inside: list[dict[str, Any]] = []
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for number in range(options.rounds):
        inside.append(in_process(options))
        order = options.peers[number % len(options.peers) :] + options.peers[: number % len(options.peers)]
        for name in order:
            for load, figures in one_round(name, options, threads, number).items():
                found.setdefault(name, {}).setdefault(load, []).append(figures)
            print(f"round {number + 1}: {name}", file=sys.stderr)
        if options.out:
            options.out.write_text(json.dumps({"in process": inside, **found}), encoding="utf-8")
    alone = {key: statistics.median(each[key] for each in inside) for key in ("images_per_second", "cpu_ms_an_image")}
    alone["single_ms"] = statistics.median(statistics.median(each["single_ms"]) for each in inside)
    medians = {name: {load: median_figures(rounds) for load, rounds in loads.items()} for name, loads in found.items()}
    print(json.dumps({"in process": alone, **medians}, indent=2))


if __name__ == "__main__":
    main()
