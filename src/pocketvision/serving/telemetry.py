"""Metrics for Prometheus. One registry an application, so that several in a process (tests) do not mix.

With several worker processes, prometheus_client keeps every value in files that all of them read (its multiprocess mode), so any
worker exposes those of all. There, gauges say how they are merged and can not be functions.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from pocketvision.baseline import Distribution, edges_of
from pocketvision.serving.metric_table import counter, gauge, histogram
from pocketvision.serving.tracing import Tracing

MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that prometheus_client looks at when it is imported."""

# A gauge can not be removed where several processes set it, and the greatest counts there: -Inf stands for no value.
_UNKNOWN = float("-inf")
_UNKNOWN_END = b" -Inf"


class DriftMetrics:
    """A model's baseline, and how far its last images are from it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.baseline = gauge(registry, "pocketvision_baseline_share")
        self.index = gauge(registry, "pocketvision_drift_psi")
        self._shown: set[tuple[str, str]] = set()

    def set_baseline(self, model: str, feature: str, baseline: Distribution) -> None:
        """Set a baseline's shares as a histogram's buckets are: cumulative, by upper edge."""
        self._shown.add((model, feature))
        for edge, share in zip(baseline.edges, baseline.cumulative_shares(), strict=True):
            self.baseline.labels(model, feature, str(edge)).set(share)

    def clear(self, model: str) -> None:
        """Remove the values of a bundle that serves no more."""
        for shown, feature in self._shown:
            if shown == model:
                self.index.labels(model, feature).set(_UNKNOWN)
                for edge in edges_of(feature):
                    self.baseline.labels(model, feature, str(edge)).set(_UNKNOWN)


class LiveMetrics:
    """The metrics of live streams. Without labels: stream names are their publishers' choice."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.frames = counter(registry, "pocketvision_live_frames")
        self.skipped = counter(registry, "pocketvision_live_skipped")
        self.viewers = gauge(registry, "pocketvision_live_viewers")


class WebSocketMetrics:
    """WebSockets that are open, and what came of their messages."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = gauge(registry, "pocketvision_websockets")
        self.messages = counter(registry, "pocketvision_websocket_messages")


class ModelMetrics:
    """The metrics of one model, looked up once: a look-up by label costs as much as an observation."""

    def __init__(self, telemetry: "Telemetry", model: str, tasks: Iterable[str]) -> None:
        self.queue = telemetry.queue.labels(model)
        self.abandoned = telemetry.abandoned.labels(model)
        self.decode_seconds = telemetry.decode_seconds.labels(model)
        self.queue_seconds = telemetry.queue_seconds.labels(model)
        self.batch_images = telemetry.batch_images.labels(model)
        self.batch_seconds = telemetry.batch_seconds.labels(model)
        self.confidences = {task: telemetry.confidence.labels(model, task) for task in tasks}
        self.brightness = telemetry.brightness.labels(model)

    def observe_batch(self, size: int, seconds: float) -> None:
        """A run of the network, of `size` images."""
        self.batch_images.observe(size)
        self.batch_seconds.observe(seconds)


class Telemetry:
    """The metrics of one server. Labels are routes, models and reasons of our own: no client can make new ones."""

    def __init__(self, tracing: Tracing | None = None) -> None:
        """tracing: where spans go, None for nowhere."""
        self.tracing = tracing
        self.registry = CollectorRegistry()
        self.requests = counter(self.registry, "pocketvision_requests")
        self.seconds = histogram(self.registry, "pocketvision_request_seconds")
        self.rejected = counter(self.registry, "pocketvision_rejected")
        self.decode_seconds = histogram(self.registry, "pocketvision_decode_seconds")
        self.queue_seconds = histogram(self.registry, "pocketvision_queue_seconds")
        self.batch_images = histogram(self.registry, "pocketvision_batch_images")
        self.batch_seconds = histogram(self.registry, "pocketvision_batch_seconds")
        self.abandoned = gauge(self.registry, "pocketvision_abandoned_decodes")
        self.queue = gauge(self.registry, "pocketvision_queue_images")
        self.confidence = histogram(self.registry, "pocketvision_confidence")
        self.brightness = histogram(self.registry, "pocketvision_brightness")
        self.drift = DriftMetrics(self.registry)
        self.model = gauge(self.registry, "pocketvision_model_info")
        self.reloads = counter(self.registry, "pocketvision_reloads")
        self.live = LiveMetrics(self.registry)
        self.sockets = WebSocketMetrics(self.registry)
        self.workers = gauge(self.registry, "pocketvision_workers")
        self.workers.set(1)
        ProcessCollector(registry=self.registry)  # processor time, memory and open files of this process, on Linux

    def expect_reloads(self, model: str) -> None:
        """Create a model's counters at zero: a series that begins at 1 has not increased for Prometheus."""
        for outcome in ("reloaded", "unchanged", "failed"):
            self.reloads.labels(model, outcome)
        for kind in ("queue-full", "unauthorized"):
            self.rejected.labels(kind)

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes."""
        if MULTIPROCESS_FOLDER in os.environ:
            from pocketvision.serving.shared_metrics import shared_exposition  # not every system has what it needs

            text = shared_exposition(Path(os.environ[MULTIPROCESS_FOLDER]))
        else:
            text = generate_latest(self.registry)
        lines = text.splitlines(keepends=True)
        return b"".join(line for line in lines if not line.rstrip().endswith(_UNKNOWN_END))
