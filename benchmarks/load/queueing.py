"""The queue that a server is measured against: one server, first come first served, that wastes no time between two requests."""

from typing import Any

import numpy as np


def ideal_latencies(
    arrivals: np.ndarray[Any, Any], service: np.ndarray[Any, Any], seed: int = 0
) -> np.ndarray[Any, Any]:
    """Latency of each request, in the unit of `service`, if they come at `arrivals` and each takes one of the measured `service`
    times, drawn at random. Lindley's recursion (Lindley 1952): each waits for what the one before it had left."""
    times = np.random.default_rng(seed).choice(service, len(arrivals))
    finished, latencies = -np.inf, np.empty(len(arrivals))
    for place, (arrival, time) in enumerate(zip(arrivals, times, strict=True)):
        finished = max(arrival, finished) + time
        latencies[place] = finished - arrival
    return latencies
