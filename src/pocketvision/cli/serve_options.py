"""The options of `pocketvision serve`, one type each, by the panels of its help."""

from pathlib import Path
from typing import Annotated

import typer

_LIMITS = "Limits"
_KEYS = "Keys"
_ADDRESSES = "Addresses"

Bundles = Annotated[
    list[str],
    typer.Argument(
        help="Bundles' folders or names of pre-trained models, each alone or as NAME=BUNDLE.", metavar="BUNDLE..."
    ),
]
Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads that decode and run the network, one core each.  [default: one a core]"),
]
Processes = Annotated[
    int, typer.Option(min=1, help="Processes that share the port and the cores; each opens the bundles (Linux).")
]
MaxBatch = Annotated[int, typer.Option(min=1, help="Images a run of the network.")]
MaxDelay = Annotated[float, typer.Option(min=0, help="Milliseconds that an image waits for others to join it.")]
Queue = Annotated[int, typer.Option(min=1, help="Images in work or waiting; more are answered with 429.")]
MaxWait = Annotated[
    float | None,
    typer.Option(
        min=0.001, help="Seconds that an answer may probably take; others are refused with 429.  [default: deadline]"
    ),
]
Watch = Annotated[float, typer.Option(min=0, help="Seconds between looks for changed bundles; 0: never.")]
Drain = Annotated[float, typer.Option(min=0, help="Seconds to finish what is in flight when stopped.")]
Live = Annotated[
    bool, typer.Option("--live", help="Take and show live streams (`pocketvision stream --out URL/live/NAME`).")
]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log requests as JSON Lines.")]
Traces = Annotated[bool, typer.Option("--traces", help="Send OpenTelemetry spans to OTEL_EXPORTER_OTLP_ENDPOINT.")]

Deadline = Annotated[float, typer.Option(min=0.01, help="Seconds for an answer.", rich_help_panel=_LIMITS)]
MaxBody = Annotated[int, typer.Option(min=1, help="MiB of a request.", rich_help_panel=_LIMITS)]
MaxImages = Annotated[int, typer.Option(min=1, help="Images of a request.", rich_help_panel=_LIMITS)]
KeepAlive = Annotated[
    float, typer.Option(min=0.01, help="Seconds an idle connection is kept open.", rich_help_panel=_LIMITS)
]

PublicUrl = Annotated[
    str, typer.Option(metavar="URL", help="Address users see, where a proxy changes it.", rich_help_panel=_ADDRESSES)
]
RootPath = Annotated[
    str, typer.Option(metavar="/NAME", help="Prefix a proxy serves this below.", rich_help_panel=_ADDRESSES)
]
AllowOrigin = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ORIGIN",
        help="A site whose pages may ask (CORS), or *; may be repeated.  [default: none]",
        rich_help_panel=_ADDRESSES,
    ),
]

Keys = Annotated[
    Path | None, typer.Option(help="File of NAME:SHA256 lines; only their keys may ask.", rich_help_panel=_KEYS)
]
Rate = Annotated[float | None, typer.Option(help="Requests a second and key.", rich_help_panel=_KEYS)]
