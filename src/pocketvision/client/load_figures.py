"""What a load on a server shows: throughput, goodput, latencies, and what was not answered."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pocketvision.client.load import ANSWERED, FAILED, REJECTED, Seen
from pocketvision.client.load_plan import JOINT, SEPARATE, TOGETHER


@dataclass(frozen=True)
class LoadFigures:
    """One load: pictures answered one way over one transport.

    way: how the answers of a picture were asked for. clients: of a closed loop, else None; rate: requests to be sent a second,
    of an open loop, else None. seconds: from its beginning to the last answer. per_second: pictures answered; goodput: those
    answered within `within_ms`. p50_ms, p95_ms, p99_ms: latencies of what was answered, None where nothing was. rejected: for
    want of room; failed: for any other reason. server_cpu_ms: of the server's processor for a picture that was answered, None
    where it does not tell; client_cpu_share: of one core, by the sender.
    """

    way: str
    transport: str
    clients: int | None
    rate: float | None
    seconds: float
    pictures: int
    per_second: float
    goodput: float
    within_ms: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    rejected: int
    failed: int
    server_cpu_ms: float | None
    client_cpu_share: float

    @property
    def load(self) -> str:
        """In words."""
        if self.rate is not None:
            return f"open, {self.rate:.1f} a second"
        return "closed, 1 client" if self.clients == 1 else f"closed, {self.clients} clients"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "load": self.load}


@dataclass(frozen=True)
class Spent:
    """While a load ran: wall time, the sender's processor time, and the server's (None: it does not tell), in seconds."""

    seconds: float
    client: float
    server: float | None


def figures_of(
    way: str,
    transport: str,
    seen: Sequence[Seen],
    spent: Spent,
    *,
    within_ms: float,
    clients: int | None = None,
    rate: float | None = None,
) -> LoadFigures:
    """Of what was seen of one load."""
    latencies = np.array([each.latency_ms for each in seen if each.became == ANSWERED])
    ends = [each.sent + each.latency_ms / 1000 for each in seen]
    seconds = max(ends, default=spent.seconds)
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99]).tolist() if len(latencies) else (None, None, None)
    return LoadFigures(
        way=way,
        transport=transport,
        clients=clients,
        rate=rate,
        seconds=seconds,
        pictures=len(seen),
        per_second=len(latencies) / seconds,
        goodput=int((latencies <= within_ms).sum()) / seconds,
        within_ms=within_ms,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        rejected=sum(each.became == REJECTED for each in seen),
        failed=sum(each.became == FAILED for each in seen),
        server_cpu_ms=None if spent.server is None or not len(latencies) else 1000 * spent.server / len(latencies),
        client_cpu_share=spent.client / spent.seconds,
    )


def capacity(found: Sequence[LoadFigures], way: str, transport: str) -> float:
    """The most pictures a second that were answered in closed loops; 0 where none were."""
    own = (each for each in found if each.way == way and each.transport == transport and each.rate is None)
    return max((each.per_second for each in own), default=0.0)


@dataclass(frozen=True)
class ServiceBenchmark:
    """loads: in the order in which they were run. gains: by way (joint, together) and transport, how many times as many pictures
    a second one request for all answers got as a request for each; none where either was not measured."""

    loads: tuple[LoadFigures, ...]
    gains: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"loads": [each.to_dict() for each in self.loads], "gains": self.gains}


def service_benchmark(found: Sequence[LoadFigures]) -> ServiceBenchmark:
    """What all loads show."""
    separate = {each.transport: capacity(found, SEPARATE, each.transport) for each in found}
    gains: dict[str, dict[str, float]] = {}
    for way in (JOINT, TOGETHER):
        for transport, other in separate.items():
            own = capacity(found, way, transport)
            if own > 0 and other > 0:
                gains.setdefault(way, {})[transport] = own / other
    return ServiceBenchmark(tuple(found), gains)
