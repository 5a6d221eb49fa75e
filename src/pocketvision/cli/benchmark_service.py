"""`pocketvision benchmark-service`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.client import KeyFile
from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import stderr, stdout

if TYPE_CHECKING:
    from pocketvision.client.load_figures import LoadFigures


def benchmark_service(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The server: http://HOST:PORT or https://HOST.")
    ] = "http://127.0.0.1:8000",
    joint: Annotated[
        str | None, typer.Option(help="The model that one request asks for all answers.  [default: the server's first]")
    ] = None,
    separate: Annotated[
        str | None,
        typer.Option(
            help="Models that are asked by a request each, one after the other: a,b,c.  [default: all others]"
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Pictures to send: a file or folder.  [default: drawn, 640 x 480 pixels]")
    ] = None,
    transports: Annotated[str | None, typer.Option(help="http, websocket or both.  [default: both]")] = None,
    clients: Annotated[
        str | None,
        typer.Option(help="Of closed loops: how many ask at once, each as soon as it was answered.  [default: 1,8]"),
    ] = None,
    shares: Annotated[
        str | None,
        typer.Option(help="Of open loops: the rate, as shares of the most that closed loops reached.  [default: 0.8]"),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.05, max=300, help="Of a load.")] = 3.0,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="Pictures of a load.")] = 2000,
    within: Annotated[float, typer.Option(min=1, help="Milliseconds within which an answer counts as good.")] = 250.0,
    host: Annotated[
        str | None, typer.Option(help="Its host again, for a server on another machine: load is for your own servers.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw latency over throughput (.png or .svg).")] = None,
    key_file: KeyFile = None,
    json: JsonFile = None,
) -> None:
    """Put load on a server of yours and measure it: throughput, latencies, what was refused, processor time.

    Asked are one model for all answers, others for theirs, and all of these a picture, one request after the other. Closed loops
    show what a server can do; open loops, at times of their own, how long a client waits while it does.

    Examples:

        pocketvision benchmark-service http://127.0.0.1:8000 --plot load.png

        pocketvision benchmark-service --joint scenes --separate behind,faces,masks --clients 1,4,16
    """
    from pocketvision.client.load_plan import LoadPlan
    from pocketvision.workflows.benchmark_service import benchmark_service as run_benchmark
    from pocketvision.workflows.client import read_key

    plan = LoadPlan(
        (),
        transports=LoadPlan.transports if transports is None else _names(transports),
        clients=LoadPlan.clients if clients is None else tuple(map(int, _numbers("--clients", clients))),
        shares=LoadPlan.shares if shares is None else _numbers("--shares", shares),
        seconds=seconds,
        most=most,
        within_ms=within,
    )
    found = run_benchmark(
        url,
        plan,
        host=host,
        joint=joint,
        separate=None if separate is None else _names(separate),
        images=images,
        key=read_key(key_file),
        plot=plot,
        on_load=lambda each: stderr().print(
            f"{each.way}, {each.transport}, {each.load}: {each.per_second:.1f} a second"
        ),
    )
    write_json_option(json, found.to_dict())
    if str(json) == "-":
        return
    _print(found.loads)
    for way, gains in found.gains.items():
        for transport, gain in gains.items():
            stdout().print(
                f"One request for all answers ({way}), {transport}: {gain:.2f} times the pictures of a request each."
            )
    if plot is not None:
        stdout().print(f"Plot: {plot}", soft_wrap=True)


def _print(found: "tuple[LoadFigures, ...]") -> None:
    from rich.table import Table

    good = f"Within {found[0].within_ms:g} ms" if found else ""
    columns = (
        "Way",
        "Over",
        "Load",
        "A second",
        good,
        "p50",
        "p95",
        "p99 ms",
        "Rejected",
        "Failed",
        "CPU ms",
        "Sender",
    )
    table = Table(*columns, box=None, header_style="bold")
    for each in found:
        table.add_row(
            each.way,
            each.transport,
            each.load,
            f"{each.per_second:.1f}",
            f"{each.goodput:.1f}",
            *("" if value is None else f"{value:.1f}" for value in (each.p50_ms, each.p95_ms, each.p99_ms)),
            str(each.rejected),
            str(each.failed),
            "" if each.server_cpu_ms is None else f"{each.server_cpu_ms:.1f}",
            f"{each.client_cpu_share:.0%}",
        )
    stdout().print(table)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(option: str, text: str) -> tuple[float, ...]:
    from pocketvision.errors import UsageError

    try:
        return tuple(float(part) for part in _names(text))
    except ValueError:
        raise UsageError(f"{option} {text}: expected numbers with commas between them, as in 1,8.") from None
