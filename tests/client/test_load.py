"""Load on a server: closed and open loops with a server that answers as is wanted, figures by hand, and what is refused."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from served import Start
from test_with_a_server import run

from pocketvision.bundle import Bundle
from pocketvision.client import ConnectionFailedError
from pocketvision.client.load import ANSWERED, FAILED, REJECTED, Seen, closed_loop, open_loop, poisson_times
from pocketvision.client.load_figures import Spent, capacity, figures_of
from pocketvision.client.load_plan import (
    HTTP,
    JOINT,
    SEPARATE,
    TOGETHER,
    WEBSOCKET,
    LoadPlan,
    Way,
    require_own_server,
    ways_of,
)
from pocketvision.client.load_plot import write_load_plot
from pocketvision.errors import UsageError
from pocketvision.workflows.benchmark_service import benchmark_service


def test_a_closed_loop_asks_again_once_it_was_answered() -> None:
    asking, most_at_once, by_client = 0, 0, [0, 0, 0]

    async def ask(client: int, _number: int) -> str:
        nonlocal asking, most_at_once
        asking += 1
        most_at_once = max(most_at_once, asking)
        by_client[client] += 1
        await asyncio.sleep(0.001)
        asking -= 1
        return ANSWERED

    seen = asyncio.run(closed_loop(ask, clients=3, seconds=30, most=12))
    assert len(seen) == sum(by_client) == 12 and most_at_once == 3 and min(by_client) >= 2
    assert all(each.latency_ms >= 1 and each.became == ANSWERED for each in seen)
    assert len(asyncio.run(closed_loop(ask, clients=2, seconds=0.02, most=10_000))) < 1000, "its seconds end it"


def test_who_is_rejected_waits_before_asking_again() -> None:
    async def ask(_client: int, _number: int) -> str:
        return REJECTED

    seen = asyncio.run(closed_loop(ask, clients=1, seconds=0.15, most=1000))
    assert [each.became for each in seen] == 2 * [REJECTED]


def test_an_open_loop_counts_the_wait_for_its_own_turn() -> None:
    """One server that takes 20 ms: of four requests that are to be sent at once the last waits for three others."""
    free = asyncio.Semaphore(1)

    async def ask(_client: int, _number: int) -> str:
        async with free:
            await asyncio.sleep(0.02)
        return ANSWERED

    seen = asyncio.run(open_loop(ask, np.zeros(4), clients=2))
    assert len(seen) == 4 and sorted(each.latency_ms for each in seen)[-1] >= 80
    assert all(each.sent == 0 for each in seen)


def test_what_is_never_answered_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketvision.client.load.LONGEST_WAIT", 0.05)

    async def ask(_client: int, number: int) -> str:
        await asyncio.sleep(30 * number)
        return ANSWERED

    seen = asyncio.run(open_loop(ask, np.zeros(2), clients=1))
    assert [each.became for each in sorted(seen, key=lambda each: each.latency_ms)] == [ANSWERED, FAILED]


def test_arrivals_are_those_of_their_rate() -> None:
    times = poisson_times(200, 20, seed=3)
    assert abs(len(times) - 4000) < 4 * 4000**0.5 and (np.diff(times) > 0).all() and times[-1] < 20
    assert abs(np.diff(times).std() * 200 - 1) < 0.1, "as irregular as independent requests are"


def test_figures_by_hand() -> None:
    seen = [Seen(0.01 * each, 10.0 * (each + 1), ANSWERED) for each in range(100)]
    seen += [Seen(0.5, 1.0, REJECTED), Seen(0.5, 30_000.0, FAILED)]
    found = figures_of("joint", HTTP, seen, Spent(2.5, 0.5, 4.0), within_ms=500, clients=4)
    assert (found.pictures, found.rejected, found.failed, found.load) == (102, 1, 1, "closed, 4 clients")
    assert found.seconds == 30.5 and found.per_second == pytest.approx(100 / 30.5)
    assert found.goodput == pytest.approx(50 / 30.5)
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == pytest.approx((505, 950.5, 990.1))
    assert found.server_cpu_ms == 40 and found.client_cpu_share == 0.2
    nothing = figures_of("joint", HTTP, [Seen(0, 1, REJECTED)], Spent(1, 0, None), within_ms=1, rate=9.5)
    assert (nothing.p50_ms, nothing.per_second, nothing.server_cpu_ms) == (None, 0, None)
    assert nothing.load == "open, 9.5 a second" and json.dumps(nothing.to_dict())
    assert capacity([found, nothing], "joint", HTTP) == found.per_second and capacity([found], "joint", WEBSOCKET) == 0


def test_load_is_for_a_server_of_ones_own() -> None:
    for own in ("http://127.0.0.1:8000", "http://127.9.9.9", "http://[::1]:1", "http://localhost:8000"):
        require_own_server(own, None)
    require_own_server("https://vision.example.org", "Vision.example.org")
    for url, named in (
        ("https://vision.example.org", None),
        ("https://vision.example.org", "example.org"),
        ("http://10.0.0.1:8000", "10.0.0.2"),
        ("http://127.0.0.1.example.org", None),
        ("http://localhost.example.org", None),
    ):
        with pytest.raises(UsageError, match="only a server of one's own should get"):
            require_own_server(url, named)
    with pytest.raises(UsageError, match=r"say so: --host 192\.0\.2\.1"):
        benchmark_service("http://192.0.2.1:8000")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"transports": ("htp",)}, "Did you mean http"),
        ({"clients": (1, 65)}, "--clients is out of bounds; expected 1 to 64"),
        ({"clients": ()}, "--clients"),
        ({"shares": (0.0,)}, "--shares"),
        ({"seconds": 0.0}, "--seconds"),
        ({"most": 0}, "--most"),
        ({"within_ms": 0.0}, "--within"),
        ({"seconds": 300.0}, r"6 loads of 300 s are 1,800 s; at most 900 s are allowed"),
    ],
)
def test_a_plan_has_bounds(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        LoadPlan((Way("joint", (("a",),)),), **options)  # type: ignore[arg-type]


def test_ways_of_asking() -> None:
    served = ["scenes", "behind", "faces"]
    assert ways_of(served, None, None) == (
        Way(JOINT, (("scenes",),)),
        Way("behind", (("behind",),)),
        Way("faces", (("faces",),)),
        Way(SEPARATE, (("behind",), ("faces",))),
        Way(TOGETHER, (("behind", "faces"),)),
    )
    assert ways_of(served, "faces", ["behind"]) == (Way(JOINT, (("faces",),)), Way("behind", (("behind",),)))
    assert ways_of(["alone"], None, None) == (Way(JOINT, (("alone",),)),)
    assert ways_of(["a"], "a", ["a", "a"])[-1] == Way(SEPARATE, (("a",), ("a",))), "a request names a model once"
    with pytest.raises(UsageError, match="Did you mean faces"):
        ways_of(served, "face", None)


@pytest.mark.slow
def test_a_server_is_measured(
    start: Start, tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start(f"other={tiny_bundle.folder}")
    plan = LoadPlan((), clients=(2,), shares=(0.5,), seconds=0.15, most=40)
    found = benchmark_service(server.url, plan, separate=["tiny", "other"])
    assert [(each.way, each.transport, each.rate is None) for each in found.loads] == [
        (way, transport, closed)
        for transport in (HTTP, WEBSOCKET)
        for way in (JOINT, "tiny", "other", SEPARATE, TOGETHER)
        for closed in (True, False)
    ]
    assert all(each.failed == each.rejected == 0 and 0 < each.pictures <= 40 for each in found.loads)
    assert all((each.p50_ms or 0) <= (each.p99_ms or 0) for each in found.loads)
    assert all(each.server_cpu_ms is not None for each in found.loads), "a server says its processor time, on Linux"
    assert found.gains.keys() == {JOINT, TOGETHER}
    assert all(set(gains) == {HTTP, WEBSOCKET} and min(gains.values()) > 0 for gains in found.gains.values())
    write_load_plot(tmp_path / "load.svg", found.loads)
    assert "joint, websocket" in (tmp_path / "load.svg").read_text("utf-8")
    options = ["--seconds", 0.1, "--most", 4, "--clients", 1, "--shares", "", "--transports", "http"]
    assert run("benchmark-service", server.url, *options, "--json", tmp_path / "load.json") == 0
    shown = capsys.readouterr().out
    assert "closed, 1 client" in shown and "p50" in shown
    loads = json.loads((tmp_path / "load.json").read_text("utf-8"))["loads"]
    assert [load["way"] for load in loads] == ["joint", "other"] and all(load["pictures"] <= 4 for load in loads)
    assert run("benchmark-service", server.url, "--joint", "tinny") == 2
    assert run("benchmark-service", server.url, "--clients", "one") == 2
    server.stop()
    with pytest.raises(ConnectionFailedError):
        benchmark_service(server.url, plan)
