"""What a server could reach at best: decoding, preprocessing and running the same pictures in one process, without HTTP."""

import argparse
import json
import time
from pathlib import Path

from pocketvision.bundle import read_bundle
from pocketvision.client.load_pictures import drawn_jpegs
from pocketvision.runtime.backends import open_backend
from pocketvision.runtime.predictor import Predictor


def main() -> None:
    """Print images a second, processor time an image, and single images' times. Pin it to the servers' core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    bundle, pictures = read_bundle(options.bundle), drawn_jpegs()
    best = (0.0, 0.0)
    for batch in (4, 8):
        predictor, done = Predictor(bundle, threads=1), 0
        list(predictor.stream(pictures, batch=batch))
        started, before = time.perf_counter(), time.process_time()
        while time.perf_counter() - started < options.seconds:
            done += len(list(predictor.stream(pictures * 4, batch=batch)))
        found = done / (time.perf_counter() - started), (time.process_time() - before) * 1000 / done
        best = max(best, found)
    backend, singles = open_backend(bundle, threads=1), []
    started, before = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < options.seconds:
        began = time.perf_counter()
        backend.run(bundle.preprocessing(pictures[len(singles) % len(pictures)])[None])
        singles.append(round((time.perf_counter() - began) * 1000, 3))
    one_by_one = len(singles) / (time.perf_counter() - started), (time.process_time() - before) * 1000 / len(singles)
    best = max(best, one_by_one)
    print(json.dumps({"images_per_second": best[0], "cpu_ms_an_image": best[1], "single_ms": singles}))


if __name__ == "__main__":
    main()
