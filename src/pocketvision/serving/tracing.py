"""OpenTelemetry traces, off by default: a span a request, and in it what its images waited for and were worked on."""

import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send

from pocketvision.errors import MissingExtraError
from pocketvision.serving.batching import Timing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

UNTRACED = ("/health", "/ready", "/metrics", "/v2/health/live", "/v2/health/ready")
REQUEST_ID = "pocketvision.request_id"
_QUERY = "pocketvision.query"
_SECRET_HEADERS = ["authorization", "x-api-key", "cookie", "set-cookie"]


class Tracing:
    """One process's spans, on their way to where its `processor` sends them. No span has a key, a query or a body."""

    def __init__(self, processor: "SpanProcessor") -> None:
        """Raises MissingExtraError. The sampler, the attributes of the service and their like are OpenTelemetry's environment
        variables' (OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME …)."""
        try:
            from opentelemetry import trace
            from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
        except ModuleNotFoundError as error:
            raise missing(error) from error
        self._trace = trace
        self._middleware = OpenTelemetryMiddleware
        self._processor = processor
        named = Resource.create()
        if str(named.attributes.get("service.name", "")).startswith("unknown_service"):
            named = named.merge(Resource({"service.name": "pocketvision"}))
        self._provider = TracerProvider(resource=named, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("pocketvision")

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application with a span for every HTTP request, whose parent is the one that the client names (W3C)."""

        async def with_query(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "query_string": scope[_QUERY]}, receive, send)

        instrumented = self._middleware(
            with_query,
            tracer_provider=self._provider,
            exclude_spans=["receive", "send"],
            http_capture_headers_sanitize_fields=_SECRET_HEADERS,
        )

        async def traced(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] in UNTRACED:
                await app(scope, receive, send)
            else:  # the query may hold anything, so the spans' maker never sees it
                await instrumented({**scope, "query_string": b"", _QUERY: scope["query_string"]}, receive, send)

        return traced

    def note_request(self, method: str, route: str, request_id: str) -> None:
        """Name the request's span by its route, where there is one."""
        span = self._trace.get_current_span()
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.route": route, REQUEST_ID: request_id})

    @contextmanager
    def message(self, kind: str, request_id: str) -> Iterator[None]:
        """A span for a message of a WebSocket: a trace of its own, for connections last for days."""
        attributes = {REQUEST_ID: request_id}
        with self._tracer.start_as_current_span(
            f"WEBSOCKET {kind}", kind=self._trace.SpanKind.SERVER, attributes=attributes
        ):
            yield

    def note_image(self, model: str, version: str, timing: Timing) -> None:
        """Spans for an image that was just answered: queue, decode and inference, from what was measured. Between the last two it
        waited for its batch."""
        attributes: dict[str, str | int] = {
            "pocketvision.model": model,
            "pocketvision.version": version,
            "pocketvision.batch": timing.batch,
        }
        epoch = time.time_ns() - time.monotonic_ns()
        decoded = timing.prepared_from + timing.prepare
        for name, begins, ends in (
            ("queue", timing.submitted, timing.prepared_from),
            ("decode", timing.prepared_from, decoded),
            ("inference", timing.run_from, timing.finished),
        ):
            span = self._tracer.start_span(name, start_time=epoch + int(begins * 1e9), attributes=attributes)
            span.end(epoch + int(ends * 1e9))

    def shutdown(self, seconds: float) -> None:
        """Send what is left within `seconds`. Blocks: call it in a thread."""
        # The processor's own limit is 30 s; a thread of the daemon kind does not keep the process.
        flushing = threading.Thread(target=self._processor.shutdown, name="traces", daemon=True)
        flushing.start()
        flushing.join(seconds)


def start_tracing() -> Tracing:
    """Spans to the collector that OpenTelemetry's environment variables name (OTEL_EXPORTER_OTLP_ENDPOINT …), in the background.

    Every process that serves calls it once. Raises MissingExtraError.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise missing(error) from error
    return Tracing(BatchSpanProcessor(OTLPSpanExporter()))


def missing(error: ModuleNotFoundError) -> MissingExtraError:
    """What to install."""
    return MissingExtraError(f"Traces (they use {error.name})", "otel")
