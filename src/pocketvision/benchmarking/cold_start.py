"""A model in a process of its own: how long the first answer takes, and how much memory.

`python -m pocketvision.benchmarking.cold_start FOLDER BACKEND THREADS BATCH` prints one line of JSON.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from pocketvision.benchmarking.contenders import Contender
from pocketvision.benchmarking.figures import ColdStart
from pocketvision.errors import PocketVisionError

LONGEST = 600
"""Seconds."""


def cold_start(contender: Contender, backend: str, threads: int, batch: int) -> ColdStart:
    """Measured in a new process. Raises PocketVisionError with what it said where it failed."""
    from pocketvision.runtime.backends import file_size

    given = [str(contender.bundle.folder), backend, str(threads), str(batch)]
    done = subprocess.run(
        [sys.executable, "-m", __name__, *given],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=LONGEST,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise PocketVisionError(f"{contender.name} in {backend} failed in a process of its own: {said[0]}")
    found = json.loads(lines[-1])
    size = file_size(contender.bundle, backend) / 1e6
    return ColdStart(contender.name, contender.size, backend, threads, **found, file_megabytes=size)


def answer_first(folder: Path, backend: str, threads: int, batch: int) -> dict[str, float]:
    """Milliseconds until the first answer; megabytes then, and after a batch."""
    import numpy as np

    from pocketvision.bundle import read_bundle
    from pocketvision.runtime.backends import open_backend
    from pocketvision.training.peak_memory import peak_memory

    started = time.perf_counter()
    opened = open_backend(read_bundle(folder, check_hashes=False), backend, threads=threads)
    images = np.zeros((batch, 3, *opened.size), np.float32)
    opened.run(images[:1])
    seconds, one = time.perf_counter() - started, peak_memory()
    opened.run(images)
    return {"first_answer": 1e3 * seconds, "memory_of_one": one, "peak_memory": peak_memory()}


if __name__ == "__main__":
    folder, backend, threads, batch = sys.argv[1:]
    sys.stdout.write(json.dumps(answer_first(Path(folder), backend, int(threads), int(batch))))
