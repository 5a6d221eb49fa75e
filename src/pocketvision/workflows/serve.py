"""serve: bundles behind HTTP until the process is stopped."""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from pocketvision.bundle import resolve
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.runtime.backends import usable_cores
from pocketvision.workflows.pretrained import open_bundle

try:
    from pocketvision.serving.access_log import log_to_stderr
    from pocketvision.serving.address_lock import address_lock
    from pocketvision.serving.batching import BatchSettings
    from pocketvision.serving.keys import ApiKey, parse_keys, read_keys
    from pocketvision.serving.live import LiveSettings
    from pocketvision.serving.models import BundleSource
    from pocketvision.serving.server import leave_hung_threads
    from pocketvision.serving.server import serve as serve_until_stopped
    from pocketvision.serving.service import service_for
    from pocketvision.serving.settings import ServerSettings
    from pocketvision.serving.sockets import bind_error, listening_sockets, shared_listening_sockets
except ModuleNotFoundError as error:
    if (error.name or "").startswith("pocketvision"):
        raise
    raise MissingExtraError(f"Serving (it uses {error.name})", "serve") from error

__all__ = ["BatchSettings", "LiveSettings", "ServerSettings", "keys_from", "leave_hung_threads", "serve", "source_of"]

KEYS_VARIABLE = "POCKETVISION_API_KEYS"


def serve(
    bundles: Sequence[str],
    *,
    settings: ServerSettings | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    on_ready: Callable[[str, list[str]], None] | None = None,
) -> None:
    """Serve bundles' folders, or pre-trained networks by name, each as itself or as NAME=BUNDLE, until SIGINT or SIGTERM.

    on_ready: called with the server's URL and a line about each model. Raises BundleError, UsageError, and PocketVisionError
    when host and port can not be had. Live streams need keys unless the host is this machine alone.
    """
    settings = settings or ServerSettings()
    _check_live(settings, host)
    sources = [source_of(bundle) for bundle in bundles]
    log_to_stderr(as_json=settings.log_json)

    def ready(port: int, models: list[str]) -> None:
        shown_host = f"[{host}]" if ":" in host else host
        if on_ready is not None:
            on_ready(f"http://{shown_host}:{port}", models)

    if settings.workers == 1:
        with _locked(listening_sockets(host, port)) as sockets:
            service = service_for(sources, settings)
            bound_port = sockets[0].getsockname()[1]
            asyncio.run(serve_until_stopped(service, sockets, lambda: ready(bound_port, service.models.described())))
    else:
        _serve_with_workers(sources, settings, host, port, ready)


@contextmanager
def _locked(sockets: Sequence[socket.socket]) -> Iterator[Sequence[socket.socket]]:
    """Sockets whose addresses no other server of ours has; closed in the end. Raises PocketVisionError otherwise."""
    with ExitStack() as kept:
        for bound in sockets:
            kept.enter_context(bound)
        for bound in sockets:
            try:
                kept.enter_context(address_lock(bound))
            except OSError as error:
                host, port = bound.getsockname()[:2]
                raise bind_error(host, port, error) from error
        yield sockets


def _serve_with_workers(
    sources: Sequence[BundleSource],
    settings: ServerSettings,
    host: str,
    port: int,
    ready: Callable[[int, list[str]], None],
) -> None:
    """Serve in several processes, which share the cores."""
    from pocketvision.serving.workers import serve_with_workers  # not every system has what it needs

    each = max(usable_cores() // settings.workers, 1)
    settings = replace(settings, threads=settings.threads or each)
    with _locked(shared_listening_sockets(host, port)) as sockets:
        bound_port = sockets[0].getsockname()[1]
        serve_with_workers(sources, settings, host, bound_port, lambda models: ready(bound_port, models))


def _check_live(settings: ServerSettings, host: str) -> None:
    """Raise UsageError for live streams without keys on an address that others reach: anybody could watch."""
    if settings.live is not None and not settings.keys and not _is_local(host):
        raise UsageError(
            f"--live on {host} without keys would let anybody who reaches it watch, and the pictures are often private. "
            "Give --keys FILE (`pocketvision new-key NAME >> FILE` makes one), or listen on 127.0.0.1."
        )


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def source_of(text: str) -> BundleSource:
    """The name and folder of BUNDLE or NAME=BUNDLE. A folder called `bundle` goes by the name of its run, the folder above it."""
    name, sign, bundle = text.partition("=")
    if not sign or Path(text).exists():
        name, bundle = "", text
    if sign and not Path(text).exists() and not (name and bundle):
        raise UsageError(f"{text!r} is neither BUNDLE nor NAME=BUNDLE")
    folder = resolve(bundle)
    if not folder.is_dir():
        folder = open_bundle(bundle).folder
    real = folder.resolve()
    name = name or (real.parent.name if real.name == "bundle" and real.parent.name else real.name)
    if "/" in name or len(name) > 100:
        raise UsageError(f"{name!r} can not be a model's name: it may have no slash and at most 100 characters")
    return BundleSource(name, real)


def keys_from(file: Path | None) -> tuple[ApiKey, ...]:
    """The keys in a file and in the environment variable POCKETVISION_API_KEYS (NAME:SHA256, with commas between them)."""
    keys = () if file is None else read_keys(file)
    variable = os.environ.get(KEYS_VARIABLE, "")
    more = parse_keys(variable.split(","), KEYS_VARIABLE)
    if twice := {key.name for key in keys} & {key.name for key in more}:
        raise UsageError(f"{', '.join(sorted(twice))}: the key stands in the file and in {KEYS_VARIABLE}")
    return (*keys, *more)
