"""/predict and /predict_base64: answers, and every wrong way to ask."""

import base64
import io
import json
import re
import struct
import zlib

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from served import Running, Start, picture, serving

import pocketvision
from pocketvision.bundle import Bundle
from pocketvision.serving.batching import BatchSettings
from pocketvision.serving.settings import ServerSettings


def problem(response, status: int, kind: str) -> dict:  # type: ignore[no-untyped-def, type-arg]
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == f"urn:pocketvision:problem:{kind}"
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return document


def test_the_three_ways_to_ask_answer_as_the_predictor(client: TestClient, tiny_bundle: Bundle) -> None:
    content = picture("green")
    expected = pocketvision.load(tiny_bundle.folder)(content)
    answers = [
        client.post("/predict", content=content, headers={"content-type": "image/jpeg"}),
        client.post("/predict", files={"file": ("green.jpg", content)}),
        client.post("/predict_base64", json={"image": base64.b64encode(content).decode()}),
        client.post("/predict_base64", json={"image": "data:image/jpeg;base64," + base64.b64encode(content).decode()}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        document = answer.json()
        (prediction,) = document["predictions"]
        assert prediction["label"] == expected.label == "green"
        assert prediction["probability"] == pytest.approx(expected.probability, abs=1e-5)
        assert [each["label"] for each in prediction["top"]] == [label for label, _ in expected.top(5)]
        assert document["model"]["name"] == "tiny"
        assert len(document["model"]["version"]) == 12
        assert set(prediction["timings"]) == {"decode_ms", "queue_ms", "inference_ms", "batch", "answer_ms", "total_ms"}
        assert document["request_id"] == answer.headers["x-request-id"]


def test_several_images_keep_their_order_and_errors_their_place(client: TestClient) -> None:
    contents = [picture("red"), b"no image", picture("파랑", "PNG"), picture("green", "WEBP")]
    answer = client.post("/predict?top_k=1", files=[("file", (f"{n}", each)) for n, each in enumerate(contents)])
    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    assert [each.get("label") for each in predictions] == ["red", None, "파랑", "green"]
    assert predictions[1]["problem"]["type"].endswith("unreadable-image")
    assert len(predictions[0]["top"]) == 1


def test_a_request_keeps_its_own_id_and_bad_ids_are_replaced(client: TestClient) -> None:
    assert client.get("/health", headers={"x-request-id": "a-1"}).headers["x-request-id"] == "a-1"
    assert client.get("/health", headers={"x-request-id": "a b\tc"}).headers["x-request-id"] != "a b\tc"


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is of that size and has nothing more."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def gif_bomb() -> bytes:
    file = io.BytesIO()
    Image.new("P", (9000, 9000)).save(file, "GIF")
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"not an image", picture("red")[:200], png_header(60_000, 60_000), gif_bomb(), b"\x00" * 5000],
    ids=["empty", "text", "truncated", "decompression bomb", "GIF bomb", "zeros"],
)
def test_what_is_no_image_is_distinguished(client: TestClient, content: bytes) -> None:
    for answer in (
        client.post("/predict", content=content, headers={"content-type": "image/png"}),
        client.post("/predict", files={"file": ("x", content)}),
    ):
        problem(answer, 422, "unreadable-image")


def test_formats_can_be_narrowed(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.folder, settings=ServerSettings(formats=("JPEG",))) as client:
        assert client.post("/predict", files={"file": ("x", picture("red"))}).status_code == 200
        refused = client.post("/predict", files={"file": ("x", picture("red", "PNG"))})
        assert "allowed formats" in problem(refused, 422, "unreadable-image")["detail"]


def test_wrong_requests_are_answered_with_what_is_wrong(client: TestClient) -> None:
    jpeg = {"content-type": "image/jpeg"}
    image = picture("red")
    assert "'image'" in problem(client.post("/predict", files={"image": ("x", image)}), 422, "wrong-field")["detail"]
    problem(client.post("/predict", data={"file": "text"}, files={"file": ("", b"")}), 422, "wrong-field")
    problem(client.post("/predict", json={"image": ""}), 415, "unsupported-media-type")
    problem(
        client.post("/predict", content=image, headers={**jpeg, "content-encoding": "gzip"}), 415, "compressed-body"
    )
    form = {"content-type": "multipart/form-data"}
    problem(client.post("/predict", content=b"--x", headers=form), 422, "invalid-form")
    problem(client.post("/predict?model=other", content=image, headers=jpeg), 404, "unknown-model")
    problem(client.post("/predict?version=1", content=image, headers=jpeg), 404, "unknown-model")
    problem(client.post("/predict?top_k=0", content=image, headers=jpeg), 422, "invalid-request")
    problem(client.get("/predict"), 405, "method-not-allowed")
    problem(client.get("/../../etc/passwd"), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "invalid-json"),
        (b"[]", "invalid-json"),
        (b"\xff", "invalid-json"),
        (b'{"image": NaN}', "invalid-json"),
        (b'{"a":' * 100_000, "invalid-json"),
        (b'{"image": "", "x": ' + b"[" * 20 + b"]" * 20 + b"}", "invalid-json"),
        (b"{}", "invalid-request"),
        (b'{"image": 3}', "invalid-request"),
        (b'{"image": "%%%"}', "invalid-base64"),
        (b'{"image": "QUJ"}', "invalid-base64"),
        (b'{"image": "QUJD", "top_k": true}', "invalid-request"),
        (b'{"image": "QUJD", "model": 1}', "invalid-request"),
        (b'{"image": "QUJD"}', "unreadable-image"),
    ],
)
def test_wrong_json_is_reported_what_is_wrong(client: TestClient, body: bytes, kind: str) -> None:
    answer = client.post("/predict_base64", content=body, headers={"content-type": "application/json"})
    problem(answer, 422, kind)


def test_limits_of_size_and_count(tiny_bundle: Bundle) -> None:
    limits = ServerSettings(max_body=5000, max_images=2)
    with serving(tiny_bundle.folder, settings=limits) as client:
        image = picture("red")
        problem(
            client.post("/predict", content=b"x" * 5001, headers={"content-type": "image/png"}), 413, "body-too-large"
        )
        three = [("file", ("x", image))] * 3
        problem(client.post("/predict", files=three), 413, "too-many-images")
        problem(client.post("/predict", files=[("file", ("x", b"x"))] * 9), 413, "too-many-images")
        assert client.post("/predict", files=three[:2]).status_code == 200

        def streamed():  # type: ignore[no-untyped-def]
            for _ in range(100):
                yield b"x" * 1000

        answer = client.post("/predict", content=streamed(), headers={"content-type": "image/png"})
        problem(answer, 413, "body-too-large")
        assert client.app.state.service.bodies.used == 0  # type: ignore[attr-defined]


def test_more_images_than_the_queue_holds_are_refused_with_a_time_to_return(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.folder, settings=ServerSettings(BatchSettings(queue=2), max_images=2)) as client:
        batcher = client.app.state.service.models.get().batcher  # type: ignore[attr-defined]
        batcher._jobs.update(object() for _ in range(2))
        answer = client.post("/predict", content=picture("red"), headers={"content-type": "image/jpeg"})
        problem(answer, 429, "queue-full")
        assert int(answer.headers["retry-after"]) >= 1
        batcher._jobs.clear()


def test_an_error_nobody_foresaw_shows_nothing_of_the_inside(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr("pocketvision.serving.asking.prediction_answer", broken)
    answer = client.post("/predict", content=picture("red"), headers={"content-type": "image/jpeg"})
    document = problem(answer, 500, "internal-error")
    assert "secret" not in answer.text
    assert document["request_id"]


def test_a_models_measured_figures_are_reported(tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.folder / "manifest.json"
    values = json.loads(manifest.read_text(encoding="utf-8"))
    measured = {"name": "test", "images": 40, "accuracy": 0.9, "macro_f1": None, "per_class": {"red": {}}}
    chosen_by = {"name": "validation", "images": 30, "accuracy": 1.0}
    values["tasks"]["classification"]["metrics"] = {"selection": chosen_by, "test": measured}
    manifest.write_text(json.dumps(values), encoding="utf-8")
    with serving(tiny_bundle.folder) as client:
        state = client.get("/models").json()["models"][0]
    assert state["metrics"] == {"set": "test", "images": 40, "accuracy": 0.9}
    assert state["headline"] == "Accuracy 90.0 %, test, 40 images"
    assert [(each["set"], each["value"], each["images"]) for each in state["figures"]] == [
        ("test", 0.9, 40),
        ("selection", 1.0, 30),
    ]
    assert state["bytes"] == (tiny_bundle.folder / "model.onnx").stat().st_size


def test_a_model_without_figures_reports_none(client: TestClient) -> None:
    assert client.get("/models").json()["models"][0]["metrics"] == {}


@pytest.mark.parametrize("charset", ["undefined", "punycode", "idna", "utf-16", "nonsense"])
def test_a_forms_charset_is_no_fault_of_the_server(client: TestClient, charset: str) -> None:
    body = (
        b'--X\r\ncontent-disposition: form-data; name="xn--a-"; filename="a.jpg"\r\n\r\n'
        + picture("red")
        + b"\r\n--X--\r\n"
    )
    answer = client.post(
        "/predict", content=body, headers={"content-type": f"multipart/form-data; boundary=X; charset={charset}"}
    )
    assert answer.status_code == 422
    assert answer.json()["type"].rpartition(":")[2] in ("invalid-form", "wrong-field")


@pytest.mark.parametrize(
    "path", ["/", "/health", "/ready", "/models", "/metrics", "/docs", "/openapi.json", "/page/page.css"]
)
def test_what_can_be_got_can_be_asked_for_without_its_body(server: Running, path: str) -> None:
    url = server.url + path
    got, asked = httpx.get(url), httpx.head(url)
    assert asked.status_code == got.status_code == 200
    assert asked.content == b"" and asked.headers["content-type"] == got.headers["content-type"]
    assert httpx.head(url).headers["x-request-id"]


def test_what_can_not_be_got_has_no_head_either(start: Start) -> None:
    server = start("--live")
    assert [httpx.head(server.url + path).status_code for path in ("/predict", "/nothing", "/live/door.mjpeg")] == [
        405,
        404,
        405,
    ]
    httpx.head(f"{server.url}/health")
    found = httpx.get(f"{server.url}/metrics").text
    assert re.search(r'requests_total{method="HEAD",route="/health",status="200"} 1.0', found)


def test_a_slash_too_many_is_not_sent_elsewhere(client: TestClient) -> None:
    """The framework would send on to where the client's Host header says."""
    for path in ("/health/", "/predict/", "/v2/models/tiny/"):
        answer = client.get(path, follow_redirects=False)
        assert answer.status_code == 404 and "location" not in answer.headers
