"""OpenTelemetry traces: what spans hold, and that they reach a collector or, where there is none, disturb nobody."""

import gzip
import http.server
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from served import picture

from pocketvision.bundle import Bundle
from pocketvision.errors import MissingExtraError
from pocketvision.serving.app import create_app
from pocketvision.serving.keys import new_key
from pocketvision.serving.models import BundleSource
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.tracing import Tracing, start_tracing

JPEG = {"content-type": "image/jpeg"}
TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_a_request_has_a_span_with_its_parts(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, (key, known) = InMemorySpanExporter(), new_key("a")
    monkeypatch.setattr("pocketvision.serving.service.start_tracing", lambda: Tracing(SimpleSpanProcessor(kept)))
    app = create_app([BundleSource("tiny", tiny_bundle.folder)], ServerSettings(keys=(known,), traces=True))
    with TestClient(app) as client:
        headers = {**JPEG, "x-api-key": key, "x-request-id": "one", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        assert client.post("/predict?top_k=1", content=picture("red"), headers=headers).status_code == 200
        for path in ("/health", "/ready", "/metrics"):
            client.get(path, headers={"x-api-key": key})
        spans = {span.name: span for span in kept.get_finished_spans()}
        assert set(spans) == {"POST /predict", "decode", "queue", "inference"}
        request = spans["POST /predict"]
        assert request.parent is not None
        assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, "b7ad6b7169203331")
        assert request.attributes is not None
        assert request.attributes["pocketvision.request_id"] == "one"
        version = client.get("/models", headers={"x-api-key": key}).json()["models"][0]["version"]
        for name in ("decode", "queue", "inference"):
            assert spans[name].parent == request.context
            assert spans[name].attributes == {
                "pocketvision.model": "tiny",
                "pocketvision.version": version,
                "pocketvision.batch": 1,
            }
        assert request.start_time <= spans["queue"].start_time + 10_000_000  # type: ignore[operator]
        assert spans["queue"].end_time == spans["decode"].start_time
        assert spans["decode"].end_time <= spans["inference"].start_time  # type: ignore[operator]
        kept.clear()
        with client.websocket_connect("/ws", headers={"x-api-key": key}) as socket:
            socket.send_bytes(picture("red"))
            socket.receive_json()
        names = [span.name for span in kept.get_finished_spans()]
        assert sorted(names) == ["WEBSOCKET image_analysis", "decode", "inference", "queue"]
        client.get("/models?token=secret", headers={"x-api-key": key})
        exported = "".join(span.to_json() for span in kept.get_finished_spans())
        assert "GET /models" in exported
        assert "secret" not in exported
        assert key not in exported


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """A collector's URL, and the spans that it got."""
    spans: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                spans.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", spans
        server.shutdown()


def test_spans_reach_a_collector_before_the_server_has_ended(start) -> None:  # type: ignore[no-untyped-def]
    with collector() as (url, spans):
        server = start("--traces", OTEL_EXPORTER_OTLP_ENDPOINT=url)
        assert httpx.post(f"{server.url}/predict", content=picture("red"), headers=JPEG).status_code == 200
        code, log = server.stop()
        assert (code, "Traceback" in log) == (0, False)
        assert sorted(span.name for span in spans) == ["POST /predict", "decode", "inference", "queue"]


def test_a_collector_that_is_not_there_neither_blocks_nor_floods(start) -> None:  # type: ignore[no-untyped-def]
    server = start("--traces", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_BSP_SCHEDULE_DELAY="50")
    for _ in range(20):
        assert httpx.post(f"{server.url}/predict", content=picture("red"), headers=JPEG).status_code == 200
    started = time.monotonic()
    code, log = server.stop()
    assert code == 0
    assert time.monotonic() - started < 10
    assert "Traceback" not in log
    assert len([line for line in log.splitlines() if "opentelemetry" in line]) <= 1


def test_without_the_extra_the_install_line_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingExtraError, match=r"pocketvision\[otel\]"):
        start_tracing()
