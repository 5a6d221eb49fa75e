"""What Prometheus is told. One registry an application, so that several in a process (tests) do not mix."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pocketvision.serving.tracing import Tracing

# Seconds. From a small network on a fast core to a request that waited for its deadline.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_SHARES = tuple(share / 10 for share in range(1, 11))


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
            "pocketvision_request_seconds", "From a request's headers to the end of its answer.", ["route"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.rejected = Counter(
            "pocketvision_rejected", "Requests refused, by the problem's kind.", ["kind"], registry=self.registry
        )
        self.decode_seconds = Histogram(
            "pocketvision_decode_seconds", "Decoding an image, with the wait for a thread.", ["model"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.queue_seconds = Histogram(
            "pocketvision_queue_seconds", "A decoded image's wait for its batch.", ["model"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
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
        self.queue = Gauge("pocketvision_queue_images", "Images in work or waiting.", ["model"], registry=self.registry)
        self.lingering = Gauge(
            "pocketvision_lingering_decodes", "Decodes that run on though nobody waits for them any more.", ["model"],
            registry=self.registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self.confidence = Histogram(
            "pocketvision_confidence", "Probability of the most probable class.", ["model"],
            buckets=_SHARES, registry=self.registry,
        )  # fmt: skip
        self.model = Gauge(
            "pocketvision_model_info", "1 for every model that is served.", ["model", "version"], registry=self.registry
        )
        self.reloads = Counter(
            "pocketvision_reloads", "Reloads, by outcome.", ["model", "outcome"], registry=self.registry
        )
        self.sockets = Gauge("pocketvision_websockets", "Open WebSockets.", registry=self.registry)

        self.messages = Counter(
            "pocketvision_websocket_messages", "Messages of WebSockets, by type, and `answered` or the problem's kind.",
            ["type", "outcome"], registry=self.registry,
        )  # fmt: skip

    def watch_queue(self, model: str, depth: Callable[[], float]) -> None:
        """Ask `depth` for a model's queue whenever the metrics are read."""
        self.queue.labels(model).set_function(depth)

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self.registry)
