"""What Prometheus is told. One registry an application, so that several in a process (tests) do not mix.

With several worker processes, prometheus_client keeps every value in files that all of them read (its multiprocess mode), so the
figures are those of all workers whichever is asked. There, gauges say how they are put together and can not be functions.
"""

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pocketvision.baseline import BRIGHTNESS_EDGES, CONFIDENCE_EDGES, EDGES, Distribution
from pocketvision.serving.tracing import Tracing

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that prometheus_client looks at when it is imported."""

# Seconds. From a small network on a fast core to a request that waited for its deadline.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
# A gauge can not be taken back where several processes tell one, and the greatest counts there: any other is told before this.
_UNKNOWN = float("-inf")
_UNKNOWN_END = b" -Inf"


class DriftFigures:
    """A model's baseline, and how far its last images are from it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.baseline = Gauge(
            "pocketvision_baseline_share",
            "Share of the bundle's baseline images up to this edge.",
            ["model", "feature", "le"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.index = Gauge(
            "pocketvision_drift_psi",
            "Population stability index of the last images against the baseline.",
            ["model", "feature"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._shown: set[tuple[str, str]] = set()

    def show(self, model: str, feature: str, baseline: Distribution) -> None:
        """Show a baseline's shares as a histogram's buckets are: cumulative, by upper edge."""
        self._shown.add((model, feature))
        for edge, share in zip(baseline.edges, baseline.cumulative_shares(), strict=True):
            self.baseline.labels(model, feature, str(edge)).set(share)

    def forget(self, model: str, feature: str) -> None:
        """What was told of a bundle that serves no more is not told until it is known again."""
        if (model, feature) not in self._shown:
            return
        self.index.labels(model, feature).set(_UNKNOWN)
        for edge in EDGES[feature]:
            self.baseline.labels(model, feature, str(edge)).set(_UNKNOWN)


class LiveTelemetry:
    """The metrics of live streams. They are not told apart by name: names are their publishers' choice."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.frames = Counter("pocketvision_live_frames", "Frames that live streams published.", registry=registry)
        self.skipped = Counter(
            "pocketvision_live_skipped", "Frames that viewers were too slow for, counted for each.", registry=registry
        )
        self.viewers = Gauge(
            "pocketvision_live_viewers", "Viewers of live streams.", registry=registry, multiprocess_mode="livesum"
        )


class SocketFigures:
    """WebSockets that are open, and what came of their messages."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge("pocketvision_websockets", "Open WebSockets.", registry=registry, multiprocess_mode="livesum")
        self.messages = Counter(
            "pocketvision_websocket_messages",
            "Messages of WebSockets, by type, and `answered` or the problem's kind.",
            ["type", "outcome"],
            registry=registry,
        )


class ModelFigures:
    """What is told of a model's images, looked up once: by name it costs as much again as telling it."""

    def __init__(self, telemetry: "Telemetry", model: str) -> None:
        self.queue = telemetry.queue.labels(model)
        self.lingering = telemetry.lingering.labels(model)
        self.decode_seconds = telemetry.decode_seconds.labels(model)
        self.queue_seconds = telemetry.queue_seconds.labels(model)
        self.batch_images = telemetry.batch_images.labels(model)
        self.batch_seconds = telemetry.batch_seconds.labels(model)
        self.confidence = telemetry.confidence.labels(model)
        self.brightness = telemetry.brightness.labels(model)

    def tell_batch(self, size: int, seconds: float) -> None:
        """A run of the network, of `size` images."""
        self.batch_images.observe(size)
        self.batch_seconds.observe(seconds)


class Telemetry:
    """The metrics of one server. Labels are routes, models and reasons of our own: no client can make new ones."""

    def __init__(self, tracing: Tracing | None = None) -> None:
        """tracing: where spans go, None for nowhere."""
        self.tracing = tracing
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "pocketvision_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "pocketvision_request_seconds",
            "From a request's headers to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.rejected = Counter(
            "pocketvision_rejected", "Requests refused, by the problem's kind.", ["kind"], registry=self.registry
        )
        self.decode_seconds = Histogram(
            "pocketvision_decode_seconds",
            "Decoding and cropping an image.",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.queue_seconds = Histogram(
            "pocketvision_queue_seconds",
            "An image's wait for a thread, and for its batch.",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_images = Histogram(
            "pocketvision_batch_images",
            "Images a run of the network.",
            ["model"],
            buckets=_SIZES,
            registry=self.registry,
        )
        self.batch_seconds = Histogram(
            "pocketvision_batch_seconds", "A run of the network.", ["model"], buckets=_SECONDS, registry=self.registry
        )
        self.lingering = Gauge(
            "pocketvision_lingering_decodes",
            "Decodes that run on though nobody waits for them any more.",
            ["model"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.queue = Gauge(
            "pocketvision_queue_images",
            "Images in work or waiting.",
            ["model"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.confidence = Histogram(
            "pocketvision_confidence",
            "Probability of the most probable class.",
            ["model"],
            buckets=CONFIDENCE_EDGES,
            registry=self.registry,
        )
        self.brightness = Histogram(
            "pocketvision_brightness",
            "Mean luma of an image's crop, from 0 to 1.",
            ["model"],
            buckets=BRIGHTNESS_EDGES,
            registry=self.registry,
        )
        self.drift = DriftFigures(self.registry)
        self.model = Gauge(
            "pocketvision_model_info",
            "1 for every model that is served, 0 for one that was.",
            ["model", "version"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.reloads = Counter(
            "pocketvision_reloads", "Reloads, by outcome.", ["model", "outcome"], registry=self.registry
        )
        self.live = LiveTelemetry(self.registry)
        self.sockets = SocketFigures(self.registry)
        self.workers = Gauge(
            "pocketvision_workers", "Processes that serve.", registry=self.registry, multiprocess_mode="livesum"
        )
        self.workers.set(1)

    def expect_reloads(self, model: str) -> None:
        """Tell a model's counters from zero on: a series that begins at 1 has not increased for Prometheus."""
        for outcome in ("reloaded", "unchanged", "failed"):
            self.reloads.labels(model, outcome)
        for kind in ("queue-full", "unauthorized"):
            self.rejected.labels(kind)

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes."""
        if SHARED_FOLDER in os.environ:
            from pocketvision.serving.shared_figures import shared_exposition  # not every system has what it needs

            text = shared_exposition(Path(os.environ[SHARED_FOLDER]))
        else:
            text = generate_latest(self.registry)
        lines = text.splitlines(keepends=True)
        return b"".join(line for line in lines if not line.rstrip().endswith(_UNKNOWN_END))
