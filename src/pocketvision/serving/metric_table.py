"""Every metric that the server exposes, as a table, and how a row becomes prometheus_client's object."""

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pocketvision.baseline import BRIGHTNESS_EDGES, CONFIDENCE_EDGES

# From a small network on a fast core to a request that waited for its deadline.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


@dataclass(frozen=True)
class MetricRow:
    """help, labels: as Prometheus shows them. buckets: upper edges of a histogram. merge: of a gauge, how the values of several
    processes become one."""

    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Literal["livesum", "livemax"] = "livesum"


COUNTERS = {
    "pocketvision_requests": MetricRow("Requests answered.", ("route", "method", "status")),
    "pocketvision_rejected": MetricRow("Requests refused, by the problem's kind.", ("kind",)),
    "pocketvision_reloads": MetricRow("Reloads, by outcome.", ("model", "outcome")),
    "pocketvision_websocket_messages": MetricRow(
        "Messages of WebSockets, by type, and `answered` or the problem's kind.", ("type", "outcome")
    ),
    "pocketvision_live_frames": MetricRow("Frames that live streams published."),
    "pocketvision_live_skipped": MetricRow("Frames that viewers were too slow for, counted for each."),
}

HISTOGRAMS = {
    "pocketvision_request_seconds": MetricRow(
        "From a request's headers to the end of its answer.", ("route",), _SECONDS
    ),
    "pocketvision_decode_seconds": MetricRow("Decoding and cropping an image.", ("model",), _SECONDS),
    "pocketvision_queue_seconds": MetricRow("An image's wait for a thread, and for its batch.", ("model",), _SECONDS),
    "pocketvision_batch_images": MetricRow("Images a run of the network.", ("model",), _SIZES),
    "pocketvision_batch_seconds": MetricRow("A run of the network.", ("model",), _SECONDS),
    "pocketvision_confidence": MetricRow(
        "How sure a task is of its answer; of classification the most probable class's probability.",
        ("model", "task"),
        CONFIDENCE_EDGES,
    ),
    "pocketvision_brightness": MetricRow("Mean luma of an image's crop, from 0 to 1.", ("model",), BRIGHTNESS_EDGES),
}

GAUGES = {
    "pocketvision_abandoned_decodes": MetricRow("Decodes that run on after their request has ended.", ("model",)),
    "pocketvision_queue_images": MetricRow("Images in work or waiting.", ("model",)),
    "pocketvision_websockets": MetricRow("Open WebSockets."),
    "pocketvision_live_viewers": MetricRow("Viewers of live streams."),
    "pocketvision_workers": MetricRow("Processes that serve."),
    "pocketvision_model_info": MetricRow(
        "1 for every model that is served, 0 for one that was.", ("model", "version"), merge="livemax"
    ),
    "pocketvision_baseline_share": MetricRow(
        "Share of the bundle's baseline images up to this edge.", ("model", "feature", "le"), merge="livemax"
    ),
    "pocketvision_drift_psi": MetricRow(
        "Population stability index of the last images against the baseline.", ("model", "feature"), merge="livemax"
    ),
}


def counter(registry: CollectorRegistry, name: str) -> Counter:
    """The counter of a row of COUNTERS."""
    row = COUNTERS[name]
    return Counter(name, row.help, row.labels, registry=registry)


def histogram(registry: CollectorRegistry, name: str) -> Histogram:
    """The histogram of a row of HISTOGRAMS."""
    row = HISTOGRAMS[name]
    return Histogram(name, row.help, row.labels, buckets=row.buckets, registry=registry)


def gauge(registry: CollectorRegistry, name: str) -> Gauge:
    """The gauge of a row of GAUGES."""
    row = GAUGES[name]
    return Gauge(name, row.help, row.labels, registry=registry, multiprocess_mode=row.merge)
