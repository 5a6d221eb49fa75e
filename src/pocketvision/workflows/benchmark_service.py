"""benchmark-service: load on a server of ours, by single models and jointly; throughput, latencies and what was not answered."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pocketvision.client import Client
from pocketvision.client.load_figures import LoadFigures, ServiceBenchmark, service_benchmark
from pocketvision.client.load_pictures import drawn_jpegs, read_pictures
from pocketvision.client.load_plan import LoadPlan, require_own_server, ways_of
from pocketvision.client.load_plot import write_load_plot
from pocketvision.client.load_run import measured
from pocketvision.client.settings import TIMEOUT, client_settings
from pocketvision.evaluation.pareto import check_plot


def benchmark_service(
    url: str,
    plan: LoadPlan | None = None,
    *,
    host: str | None = None,
    joint: str | None = None,
    separate: Sequence[str] | None = None,
    images: str | Path | None = None,
    key: str | None = None,
    plot: str | Path | None = None,
    on_load: Callable[[LoadFigures], None] = lambda _: None,
) -> ServiceBenchmark:
    """Put load on the server at `url` and measure it; the plan's `ways` are found here.

    joint: the model that one request asks for all answers (None: the server's first). separate: those that a request each asks,
    alone and one after the other (None: all others). host: of a server on another machine, to say that it is one's own. images: a
    folder or file (None: drawn ones of 640 x 480 pixels). plot: a .png or .svg.
    Raises UsageError, and RequestFailedError where the server does not answer at all.
    """
    settings = client_settings(url, key, TIMEOUT, 0, TIMEOUT, None, None, None, None)
    require_own_server(settings.base, host)
    if plot is not None:
        check_plot(Path(plot))
    pictures = drawn_jpegs() if images is None else read_pictures(images)
    with Client(url, key=key, retries=0) as client:
        served = list(dict.fromkeys(each.name for each in client.models()))
    ways = ways_of(served, joint, separate)
    wanted = LoadPlan(ways) if plan is None else replace(plan, ways=ways)
    found = asyncio.run(measured(wanted, settings, pictures, on_load))
    if plot is not None:
        write_load_plot(Path(plot), found)
    return service_benchmark(found)
