"""`pocketvision serve` and `pocketvision new-key`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.options import BackendName, MaxPixels
from pocketvision.cli.terminal import stderr, stdout

_LIMITS = "Limits"
_KEYS = "Keys"
_ADDRESSES = "Addresses"
_MEBIBYTE = 1024 * 1024


def serve(
    bundles: Annotated[
        list[str],
        typer.Argument(
            help="Bundles' folders or names of pre-trained models, each alone or as NAME=BUNDLE.", metavar="BUNDLE..."
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8000,
    backend: BackendName = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads that decode and run the network, one core each.  [default: one a core]"),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that share the port and the cores; each opens the bundles (Linux).")
    ] = 1,
    max_batch: Annotated[int, typer.Option(min=1, help="Images a run of the network.")] = 4,
    max_delay: Annotated[
        float, typer.Option(min=0, help="Milliseconds that an image waits for others to join it.")
    ] = 0.0,
    queue: Annotated[int, typer.Option(min=1, help="Images in work or waiting; more are answered with 429.")] = 64,
    max_wait: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Seconds that an answer may probably take; others are refused with 429.  [default: deadline]",
        ),
    ] = None,
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds for an answer.", rich_help_panel=_LIMITS)] = 10.0,
    max_body: Annotated[int, typer.Option(min=1, help="MiB of a request.", rich_help_panel=_LIMITS)] = 20,
    max_images: Annotated[int, typer.Option(min=1, help="Images of a request.", rich_help_panel=_LIMITS)] = 32,
    max_pixels: MaxPixels = 50_000_000,
    keep_alive: Annotated[
        float, typer.Option(min=0.01, help="Seconds an idle connection is kept open.", rich_help_panel=_LIMITS)
    ] = 5.0,
    public_url: Annotated[
        str,
        typer.Option(metavar="URL", help="Address users see, where a proxy changes it.", rich_help_panel=_ADDRESSES),
    ] = "",
    root_path: Annotated[
        str, typer.Option(metavar="/NAME", help="Prefix a proxy serves this below.", rich_help_panel=_ADDRESSES)
    ] = "",
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="A site whose pages may ask (CORS), or *; may be repeated.  [default: none]",
            rich_help_panel=_ADDRESSES,
        ),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="File of NAME:SHA256 lines; only their keys may ask.", rich_help_panel=_KEYS)
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second and key.", rich_help_panel=_KEYS)] = None,
    watch: Annotated[float, typer.Option(min=0, help="Seconds between looks for changed bundles; 0: never.")] = 0.0,
    drain: Annotated[float, typer.Option(min=0, help="Seconds to finish what is in flight when stopped.")] = 20.0,
    live: Annotated[
        bool, typer.Option("--live", help="Take and show live streams (`pocketvision stream --out URL/live/NAME`).")
    ] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log requests as JSON Lines.")] = False,
    traces: Annotated[
        bool, typer.Option("--traces", help="Send OpenTelemetry spans to OTEL_EXPORTER_OTLP_ENDPOINT.")
    ] = False,
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
