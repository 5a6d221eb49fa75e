"""`pocketvision benchmark`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import JsonFile, parse_names
from pocketvision.cli.terminal import stdout

if TYPE_CHECKING:
    from pocketvision.benchmarking.figures import Benchmark
    from pocketvision.workflows.benchmark import BenchmarkResult


def benchmark(
    models: Annotated[
        list[str], typer.Argument(metavar="BUNDLE|ARCHITECTURE…", help="Bundles' folders, and architectures by name.")
    ],
    width: Annotated[
        str | None,
        typer.Option(help="Of architectures: multipliers of the channels, as 0.5,0.75,1.", metavar="NUMBERS"),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Of architectures: input sizes in pixels, as 128,160,224.", metavar="NUMBERS")
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option(
            help="onnxruntime, openvino, torch, torch-compiled, executorch.  [default: installed, but compiled]"
        ),
    ] = None,
    batches: Annotated[str | None, typer.Option(help="Images at once.  [default: 1,4,8,32]", metavar="NUMBERS")] = None,
    threads: Annotated[
        str | None, typer.Option(help="Cores that a network may use, as 1,2.  [default: all]", metavar="NUMBERS")
    ] = None,
    seconds: Annotated[float, typer.Option(help="For each figure.")] = 10.0,
    cold: Annotated[
        bool, typer.Option("--cold/--no-cold", help="Start a process for the first answer and memory of each.")
    ] = True,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="An earlier run's --json: what changed. Of this machine only."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw throughput over latency (.png or .svg).")] = None,
    json: JsonFile = None,
) -> None:
    """Time networks on this machine, in turns: latency and its percentiles, images a second, memory, the first answer.

    SingleStream and Offline are MLPerf Inference's scenarios: the 90th percentile of one image after the other, and the most
    images a second when all are there. An official run takes a minute and 1,024 queries at least: --seconds 60.

    Examples:

        pocketvision benchmark runs/leaves/bundle --json before.json

        pocketvision benchmark runs/leaves/bundle --against before.json

        pocketvision benchmark mobilenet_v2 --width 0.5,1 --size 128,224 --seconds 2 --plot speed.png
    """
    from pocketvision.benchmarking.settings import BenchmarkSettings
    from pocketvision.workflows.benchmark import benchmark as run_benchmark

    settings = BenchmarkSettings(
        tuple(parse_names(backends)),
        BenchmarkSettings.batches if batches is None else _whole("--batches", batches),
        _whole("--threads", threads),
        seconds,
        cold,
    )
    with TrainingDisplay() as display:
        found = run_benchmark(
            models,
            settings,
            width=_numbers("--width", width),
            size=_whole("--size", size),
            against=against,
            plot=plot,
            on_event=display,
        )
    write_json_option(json, found.to_dict())
    if str(json) == "-":
        return
    _print_timings(found.benchmark)
    _print_cold(found.benchmark)
    for each in found.benchmark.scenarios:
        short = "" if each.official else " (shorter than an official run)"
        batch = "" if each.batch == 1 else f", batches of {each.batch}"
        where = f"{each.model} {each.size}, {each.backend}, {each.threads} thread(s){batch}"
        stdout().print(f"{each.name}: {where}: {each.value:.2f} {each.unit}{short}", soft_wrap=True)
    _print_changes(found)
    machine = found.benchmark.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    stdout().print(f"On {machine.cpu}, {machine.cores} core(s), {machine.system}; {versions}", soft_wrap=True)


def _print_timings(found: "Benchmark") -> None:
    from rich.table import Table

    columns = ("Model", "Input", "Backend", "Threads", "Batch", "Mean ± sd ms", "p50", "p90", "p95", "p99", "Images/s")
    table = Table(*columns, box=None, header_style="bold")
    for column in table.columns[3:]:
        column.justify = "right"
    for each in found.timings:
        table.add_row(
            *(each.model, each.size, each.backend, str(each.threads), str(each.batch)),
            f"{each.mean:.2f} ± {each.sd:.2f}",
            *(f"{value:.2f}" for value in (each.p50, each.p90, each.p95, each.p99)),
            f"{each.images_per_second:.1f}",
        )
    stdout().print(table)


def _print_cold(found: "Benchmark") -> None:
    from rich.table import Table

    if not found.cold:
        return
    columns = ("In a new process", "Input", "Backend", "Threads", "First answer", "Memory", "In batches", "File")
    table = Table(*columns, box=None, header_style="bold")
    for column in table.columns[3:]:
        column.justify = "right"
    for each in found.cold:
        table.add_row(
            *(each.model, each.size, each.backend, str(each.threads)),
            f"{each.first_answer:.0f} ms",
            f"{each.memory_of_one:.0f} MB",
            f"{each.peak_memory:.0f} MB",
            f"{each.file_megabytes:.1f} MB",
        )
    stdout().print(table)


def _print_changes(found: "BenchmarkResult") -> None:
    for each in found.changes:
        what = "within the machine's noise" if not each.clear else "faster" if each.ratio < 1 else "slower"
        stdout().print(
            f"{each.now.model} {each.now.size}, {each.now.backend}, {each.now.threads} thread(s), batch {each.now.batch}: "
            f"{each.before.p50:.2f} → {each.now.p50:.2f} ms ({each.ratio - 1:+.1%}, {what})",
            soft_wrap=True,
        )


def _numbers(option: str, text: str | None) -> tuple[float, ...]:
    from pocketvision.errors import UsageError

    try:
        return tuple(float(part) for part in parse_names(text))
    except ValueError:
        raise UsageError(f"{option} {text}: expected numbers with commas between them, as in 1,4.") from None


def _whole(option: str, text: str | None) -> tuple[int, ...]:
    from pocketvision.errors import UsageError

    found = _numbers(option, text)
    if any(value != int(value) for value in found if abs(value) < 1e9) or any(abs(value) >= 1e9 for value in found):
        raise UsageError(f"{option} {text}: expected whole numbers with commas between them, as in 1,4.")
    return tuple(map(int, found))
