"""`--backend auto`: which backend is fastest for a bundle on this machine; measured once, then remembered."""

import contextlib
import hashlib
import json
import platform
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from platformdirs import user_cache_path

from pocketvision.atomic_files import write_json
from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, PocketVisionError
from pocketvision.runtime.backends import BACKENDS, answers_as_measured, open_backend, usable_threads

AUTO = "auto"
SECONDS = 1.0


@dataclass(frozen=True)
class Choice:
    """The fastest backend, and the images a second of every one that ran; `failed` says why others did not."""

    backend: str
    images_per_second: dict[str, float]
    failed: dict[str, str]


def choose(bundle: Bundle, *, threads: int | None = None, batch: int = 4, seconds: float = SECONDS) -> Choice:
    """Run every installed backend that has a file in the bundle for `seconds` on batches of `batch` images, in turn.

    Compiling (torch-compiled's first call) is not counted, and it is not tried: it takes longer than all the others together.
    The choice is kept in the user's cache for this bundle, machine, number of threads and these versions. Raises BundleError
    when none runs it.
    """
    threads = usable_threads(threads)
    remembered = user_cache_path("pocketvision") / "backends" / f"{_key(bundle, threads, batch)}.json"
    try:
        return Choice(**json.loads(remembered.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        pass  # never measured, or written by another version
    rates: dict[str, float] = {}
    failed: dict[str, str] = {}
    for name, row in BACKENDS.items():
        if row.installed and row.file(bundle) and name != "torch-compiled" and answers_as_measured(bundle, name):
            try:
                rates[name] = _rate(bundle, name, threads, batch, seconds)
            except (
                PocketVisionError,
                RuntimeError,
                OSError,
            ) as error:  # a runtime's own error says that it does not run it
                failed[name] = str(error)
    if not rates:
        raise BundleError(f"{bundle.folder}: no installed backend runs it: {failed or 'it has no file for any'}")
    choice = Choice(max(rates, key=lambda name: rates[name]), rates, failed)
    with contextlib.suppress(OSError):  # a cache that can not be written costs the next start a second
        write_json(remembered, asdict(choice))
    return choice


def _rate(bundle: Bundle, name: str, threads: int, batch: int, seconds: float) -> float:
    """Images a second, the first call left out."""
    backend = open_backend(bundle, name, threads=threads)
    images = np.resize(bundle.golden()["images"], (batch, 3, *backend.size))
    backend.run(images)
    started, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - started < seconds:
        backend.run(images)
        done += batch
    return done / (time.perf_counter() - started)


def _key(bundle: Bundle, threads: int, batch: int) -> str:
    """Names what the figures depend on."""
    versions = []
    for row in BACKENDS.values():
        try:
            versions.append(f"{row.module} {version(row.module)}")
        except PackageNotFoundError:
            continue
    files = sorted((name, file.sha256) for name, file in bundle.manifest.files.items())
    machine = (platform.node(), platform.machine(), platform.processor(), threads, batch)
    return hashlib.sha256(repr((files, machine, versions)).encode()).hexdigest()[:32]
