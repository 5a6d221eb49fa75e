"""How old an answer is when it comes, and whether that and the memory stay flat, with a source that is faster than the model.

    python benchmarks/stream_latency.py --seconds 60                     # a 60 fps network stream, a model of 50 ms
    python benchmarks/stream_latency.py --seconds 60 --bundle BUNDLE     # with a real network instead

Another process draws numbered pictures at `--fps`, encodes them (H.264, MPEG-TS) and sends them over TCP; a picture's clock
starts when it is to be drawn, before its encoding ("glass"). Here they are read as `pocketvision stream` reads them; a picture's
number is read off its pixels when its answer comes. Prints JSON: the age of answers, that age beside 2 frame times and the
model's own time, the slope of both age and resident memory over the run, and how long the queues were.
"""

import argparse
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.streaming.answers import Streaming, streaming
from pocketvision.streaming.frame import Pixels
from pocketvision.streaming.pattern import HEIGHT, WIDTH, draw, number_of
from pocketvision.streaming.reader import BackOff
from pocketvision.streaming.source_settings import SourceSettings
from pocketvision.streaming.sources import SOURCES
from pocketvision.tasks.catalog import Answers
from pocketvision.tasks.classification.answer import Classification

Predict = Callable[[Pixels], Answers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--fps", type=int, default=60)
    parser.add_argument("--model-ms", type=float, default=50.0, help="that a made-up model takes (it waits)")
    parser.add_argument("--bundle", type=Path, help="a real one instead")
    parser.add_argument("--low-latency", action="store_true", help="as of `pocketvision stream`")
    arguments = parser.parse_args()
    settings = SourceSettings(low_latency=arguments.low_latency)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    sender = multiprocessing.get_context("spawn").Process(target=send, args=(theirs, arguments.fps), daemon=True)
    sender.start()
    port, started = ours.recv()
    predict = slow_model(arguments.model_ms) if arguments.bundle is None else real_model(arguments.bundle)
    until = time.monotonic() + arguments.seconds
    with streaming(
        lambda events: SOURCES["network"].read(f"tcp://127.0.0.1:{port}", settings, events),
        predict,
        stopped=lambda: time.monotonic() >= until,
        keep_all=False,
        reconnecting=BackOff(enabled=True),
    ) as running:
        rows = watch(running, started, arguments.fps)
        sender.terminate()  # before its reader is gone, which it would complain of
    result = figures(rows, arguments.fps)
    result |= {"read": running.counts.read, "dropped": running.frames.dropped, "reconnects": running.counts.reconnects}
    result |= {"longest_queue": {"frames": running.frames.peak, "answers": running.answers.peak}}
    print(json.dumps({"arguments": vars(arguments) | {"bundle": str(arguments.bundle)}, **result}, indent=2))


def watch(running: Streaming, started: float, fps: int) -> np.ndarray:
    """A row an answer: seconds since the start, age since the glass and since it was read, inference (s), resident megabytes."""
    rows = []
    for answer in running:
        answered = answer.frame.captured + answer.latency
        assert answer.pixels is not None
        age = answered - (started + number_of(answer.pixels) / fps)
        rows.append((answered - started, age, answer.latency, answer.inference, resident_megabytes()))
    return np.array(rows)


def figures(rows: np.ndarray, fps: int) -> dict[str, Any]:
    """The first 3 seconds are apart: opening a stream means to read some of it, and what was sent meanwhile is old."""
    times, age, latency, inference, memory = rows[rows[:, 0] > rows[0, 0] + 3].T
    bar = 2 / fps + inference
    return {
        "answers": len(times),
        "glass_to_answer_ms": percentiles(age),
        "read_to_answer_ms": percentiles(latency),
        "inference_ms": percentiles(inference),
        "within_2_frames_and_inference": {"glass": float((age <= bar).mean()), "read": float((latency <= bar).mean())},
        "age_slope_ms_a_minute": 60e3 * float(np.polyfit(times, age, 1)[0]),
        "memory_slope_mb_a_minute": 60 * float(np.polyfit(times, memory, 1)[0]),
        "memory_mb_by_quarters": [round(float(part.mean()), 1) for part in np.array_split(memory, 4)],
    }


def percentiles(seconds: np.ndarray) -> dict[str, float]:
    names = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    return {name: round(1e3 * float(np.percentile(seconds, percent)), 2) for name, percent in names.items()}


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def slow_model(milliseconds: float) -> Predict:
    """Waits, as a network does that runs on another device: the machine's own load is then the stream's alone."""
    answer: Answers = {"classification": Classification(("something",), np.ones(1, dtype=np.float32))}
    never = threading.Event()

    def predict(_pixels: Pixels) -> Answers:
        never.wait(milliseconds / 1e3)
        return answer

    return predict


def real_model(folder: Path) -> Predict:
    from pocketvision.bundle import read_bundle
    from pocketvision.runtime.predictor import Predictor

    predictor = Predictor(read_bundle(folder))
    predictor(draw(0))
    return predictor.answers


def send(connection: Connection, fps: int) -> None:
    """In the other process: tell a port and the time of picture 0, then send to one client for ever."""
    import socket

    import av

    listener = socket.create_server(("127.0.0.1", 0))
    started = time.monotonic() + 0.5
    connection.send((listener.getsockname()[1], started))
    client, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # With the length of a picture written before it, a receiver need not wait for the next one to know its end.
    options = {"flush_packets": "1", "omit_video_pes_length": "0"}
    with av.open(client.makefile("wb", buffering=0), "w", format="mpegts", options=options) as container:
        stream = container.add_stream(
            "libx264", rate=fps, options={"preset": "ultrafast", "tune": "zerolatency", "g": str(fps)}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        index = max(0, int((time.monotonic() - started) * fps))
        while True:
            time.sleep(max(0.0, started + index / fps - time.monotonic()))
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            for packet in stream.encode(frame):
                container.mux(packet)
            index += 1


if __name__ == "__main__":
    main()
