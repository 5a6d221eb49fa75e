"""Reload a bundle when its folder changes."""

import asyncio
from pathlib import Path

from pocketvision.errors import BundleError
from pocketvision.serving.models import ServedModels
from pocketvision.serving.served_model import manifest_version

Signature = tuple[tuple[str, int, int, int], ...]


async def watch_folders(models: ServedModels, seconds: float) -> None:
    """Look at every folder each `seconds` and reload one that changed and has then been still for that long.

    A folder that is gone, or that holds no good bundle, leaves the old one at work. Ends only by being cancelled.
    """
    last = {source: await asyncio.to_thread(signature, source.folder) for source in models.sources}
    # A bundle that was replaced since it was loaded counts as changed.
    served = {
        source: last[source] if await asyncio.to_thread(_holds, source.folder, model.version) else ()
        for source, model in zip(models.sources, models.all, strict=True)
    }
    while True:
        await asyncio.sleep(seconds)
        for source in models.sources:
            now = await asyncio.to_thread(signature, source.folder)
            still = now == last[source]
            last[source] = now
            if now and still and now != served[source]:
                served[source] = now  # tried once, whatever comes of it; the next change is the next try
                await models.reload_source(source)


def _holds(folder: Path, version: str) -> bool:
    """Whether it is the bundle of this version that a folder holds. If there is none, there is nothing to be loaded either."""
    try:
        return manifest_version(folder) == version
    except BundleError:
        return True


def signature(folder: Path) -> Signature:
    """Name, size, time of change and inode of a folder's files; empty when it can not be read."""
    try:
        found = []
        for path in sorted(folder.iterdir()):
            about = path.stat()
            found.append((path.name, about.st_size, about.st_mtime_ns, about.st_ino))
        return tuple(found)
    except OSError:  # gone, or changing meanwhile
        return ()
