"""`pocketvision serve` and `pocketvision new-key`."""

from typing import Annotated

import typer

from pocketvision.cli import serve_options as options
from pocketvision.cli.options import BackendName, MaxPixels
from pocketvision.cli.terminal import stderr, stdout

_MEBIBYTE = 1024 * 1024


def serve(
    bundles: options.Bundles,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8000,
    backend: BackendName = None,
    threads: options.Threads = None,
    workers: options.Processes = 1,
    max_batch: options.MaxBatch = 4,
    max_delay: options.MaxDelay = 0.0,
    queue: options.Queue = 64,
    max_wait: options.MaxWait = None,
    deadline: options.Deadline = 10.0,
    max_body: options.MaxBody = 20,
    max_images: options.MaxImages = 32,
    max_pixels: MaxPixels = 50_000_000,
    keep_alive: options.KeepAlive = 5.0,
    public_url: options.PublicUrl = "",
    root_path: options.RootPath = "",
    allow_origin: options.AllowOrigin = None,
    keys: options.Keys = None,
    rate: options.Rate = None,
    watch: options.Watch = 0.0,
    drain: options.Drain = 20.0,
    live: options.Live = False,
    log_json: options.LogJson = False,
    traces: options.Traces = False,
) -> None:
    """Serve bundles over HTTP and WebSocket, until Ctrl-C or SIGTERM.

    Examples:

        pocketvision serve runs/leaves/bundle

        pocketvision serve leaves=runs/leaves/bundle faces=runs/faces/bundle --port 9000 --keys keys.txt --watch 2
    """
    from pocketvision.workflows.serve import BatchSettings, LiveSettings, ServerSettings, keys_from, leave_hung_threads
    from pocketvision.workflows.serve import serve as run_serve

    settings = ServerSettings(
        batches=BatchSettings(max_batch, max_delay / 1000, queue, max_wait or deadline),
        backend=backend,
        threads=threads,
        deadline=deadline,
        max_body=max_body * _MEBIBYTE,
        max_bodies=max(8 * max_body, 160) * _MEBIBYTE,
        max_images=min(max_images, queue),
        max_pixels=max_pixels,
        keys=keys_from(keys),
        rate=rate,
        watch=watch,
        drain=drain,
        log_json=log_json,
        live=LiveSettings() if live else None,
        workers=workers,
        traces=traces,
        keep_alive=keep_alive,
        public_url=public_url,
        root_path=root_path,
        allow_origins=tuple(allow_origin or ()),
    )

    def ready(url: str, models: list[str]) -> None:
        known = f", known as {settings.public_url}" if settings.public_url else ""
        base = settings.public_url or url
        stderr().print(f"Serving {', '.join(models)} on {url}{known} (API: {base}/docs)", soft_wrap=True)

    run_serve(bundles, settings=settings, host=host, port=port, on_ready=ready)
    leave_hung_threads()


def new_key(
    name: Annotated[str, typer.Argument(help="What logs call the key: letters, digits, dots, dashes.")],
) -> None:
    """Make an API key: the line for the server's file on standard output, the key itself on standard error.

    Example:

        pocketvision new-key camera-7 >> keys.txt
    """
    from pocketvision.serving.keys import new_key as make

    key, kept = make(name)
    stderr().print(f"The key of {name}, shown this once: {key}", soft_wrap=True)
    stdout().print(f"{kept.name}:{kept.sha256}", soft_wrap=True)
