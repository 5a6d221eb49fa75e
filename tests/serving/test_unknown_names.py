"""No name that a client sends is passed over: the wrong model would answer 200. And what `model` means on every path."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import picture
from starlette.testclient import WebSocketDenialResponse

from pocketvision.bundle import Bundle
from pocketvision.serving.app import create_app
from pocketvision.serving.keys import new_key
from pocketvision.serving.models import BundleSource
from pocketvision.serving.settings import ServerSettings

RED = picture("red")
TEXT = base64.b64encode(RED).decode()
JPEG = {"content-type": "image/jpeg"}
TENSOR = {"name": "images", "datatype": "BYTES", "shape": [1], "data": [TEXT]}


@pytest.fixture
def two(tiny_bundle: Bundle) -> Iterator[TestClient]:
    """A server with the models `first` and `second`."""
    sources = [BundleSource(name, tiny_bundle.folder) for name in ("first", "second")]
    with TestClient(create_app(sources, ServerSettings())) as client:
        yield client


def refusal(answer: Any, kind: str = "unknown-name") -> str:
    """The sentence of a 422 problem of this kind."""
    document = answer.json()
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["type"] == f"urn:pocketvision:problem:{kind}"
    return str(document["detail"])


def test_the_model_may_be_named_in_the_query_the_form_and_the_json(two: TestClient) -> None:
    answers = [
        two.post("/predict?model=second", content=RED, headers=JPEG),
        two.post("/predict?model=second", files={"file": RED}),
        two.post("/predict", files={"file": RED}, data={"model": "second"}),
        two.post("/predict?model=second", files={"file": RED}, data={"model": "second", "top_k": "1"}),
        two.post("/predict_base64", json={"image": TEXT, "model": "second"}),
        two.post("/predict_base64?model=second", json={"image": TEXT}),
        two.post("/predict_base64?model=second", json={"image": TEXT, "model": "second", "version": None}),
    ]
    assert [answer.json()["model"]["name"] for answer in answers] == ["second"] * 7
    assert len(answers[3].json()["predictions"][0]["top"]) == 1


def test_two_places_that_name_different_models_are_refused(two: TestClient) -> None:
    form = two.post("/predict?model=first", files={"file": RED}, data={"model": "second"})
    body = two.post("/predict_base64?top_k=2", json={"image": TEXT, "top_k": 3})
    assert "different values of model" in refusal(form, "invalid-request")
    assert "different values of top_k" in refusal(body, "invalid-request")


def test_wrong_values_in_a_form_are_refused_as_in_the_query(two: TestClient) -> None:
    assert two.post("/predict", files={"file": RED}, data={"model": "third"}).status_code == 404
    refusal(two.post("/predict", files={"file": RED}, data={"top_k": "many"}), "invalid-request")


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("modell=second", "did you mean model"),
        ("Model=second", "did you mean model"),
        ("topk=1", "did you mean top_k?"),
        ("top-k=1", "did you mean top_k?"),
        ("versoin=1", "did you mean version?"),
        ("network=second", "It may have top_k, model, version"),
        ("model=first&model=second", "more than once"),
        ("model=first&" + "&".join(f"x{n}=1" for n in range(500)), "and 492 more"),
        ("%0A%1b[31m=1", r"\n\x1b[31m"),
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/predict_base64"])
def test_unknown_names_of_a_query(two: TestClient, path: str, query: str, hint: str) -> None:
    kind = {"content": RED, "headers": JPEG} if path == "/predict" else {"json": {"image": TEXT}}
    detail = refusal(two.post(f"{path}?{query}", **kind))  # type: ignore[arg-type]
    assert hint in detail
    assert len(detail) < 1000


@pytest.mark.parametrize(("name", "hint"), [("modle", "did you mean model"), ("threshold", "It may have top_k")])
def test_unknown_names_of_a_form_and_of_json(two: TestClient, name: str, hint: str) -> None:
    assert hint in refusal(two.post("/predict", files={"file": RED}, data={name: "second"}))
    assert name in refusal(two.post("/predict_base64", json={"image": TEXT, name: "second"}))


def test_a_name_twice_is_refused(two: TestClient) -> None:
    form = two.post("/predict", files={"file": RED}, data={"model": ["first", "second"]})
    twice = f'{{"image": "{TEXT}", "model": "first", "model": "second"}}'
    assert "more than once" in refusal(form)
    body = two.post("/predict_base64", content=twice, headers={"content-type": "application/json"})
    assert "'model' more than once" in refusal(body)
    nested = '{"inputs": [{"name": "images", "shape": [1], "shape": [2], "datatype": "BYTES", "data": []}]}'
    assert "'shape'" in refusal(two.post("/v2/models/first/infer", content=nested))


@pytest.mark.parametrize(
    "path", ["/models", "/health", "/ready", "/metrics", "/live", "/v2", "/v2/models/first", "/v2/health/live"]
)
def test_paths_without_parameters_take_none(two: TestClient, path: str) -> None:
    assert two.get(path).status_code == 200
    assert "model" in refusal(two.get(f"{path}?model=second"))
    for query in ("Model=second", "x=1&top-k=3"):  # what means something on other paths, in any spelling
        assert "It takes none here" in refusal(two.get(f"{path}?{query}"))
    for query in ("x=1", "1700000000", "_=1&_=2", "&".join(f"a{n}" for n in range(9000))):  # to get past caches
        assert two.get(f"{path}?{query}").status_code == 200
        assert two.head(f"{path}?{query}").status_code in (200, 405)


def test_the_page_may_be_linked_with_any_query(two: TestClient) -> None:
    assert [two.get(path).status_code for path in ("/?utm_source=x", "/page/page.css?v=1")] == [200, 200]


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ({"model_name": "second"}, "it stands in the path: …/models/NAME/infer"),
        ({"version": "2"}, "…/models/NAME/versions/VERSION/infer"),
        ({"output": []}, "did you mean outputs?"),
        ({"parameters": {"binary_output": True}}, "binary_data_output"),
        ({"parameters": 3}, "must be an object"),
        ({"outputs": [{"name": "label", "param": {}}]}, "did you mean parameters?"),
        ({"outputs": [{"name": "label", "parameters": {"classification": 3}}]}, "It may have binary_data"),
        ({"inputs": [{**TENSOR, "dtype": "FP32"}]}, "did you mean datatype?"),
        ({"inputs": [{**TENSOR, "parameters": {"content_type": "base64"}}]}, "It may have binary_data_size"),
    ],
)
def test_unknown_names_of_the_open_inference_protocol(two: TestClient, asked: dict[str, Any], hint: str) -> None:
    answer = two.post("/v2/models/first/infer", json={"inputs": [TENSOR], **asked})
    assert answer.status_code == 422
    assert hint in answer.json()["error"]


def test_the_protocols_path_is_where_its_model_is_named(two: TestClient) -> None:
    assert "in the path" in refusal(two.post("/v2/models/first/infer?model=second", json={"inputs": [TENSOR]}))
    assert two.post("/v2/models/second/infer", json={"inputs": [TENSOR]}).json()["model_name"] == "second"
    length = {"Inference-Header-Content-Length": str(len(json.dumps({"inputs": [TENSOR]})))}
    more = two.post("/v2/models/first/infer", content=json.dumps({"inputs": [TENSOR]}) + "more", headers=length)
    assert "no binary_data_size" in more.json()["error"]


def test_a_reload_takes_neither_a_query_nor_a_body(tiny_bundle: Bundle) -> None:
    key, kept = new_key("operator")
    sources, asked = [BundleSource("first", tiny_bundle.folder)], {"headers": {"x-api-key": key}}
    with TestClient(create_app(sources, ServerSettings(keys=(kept,)))) as client:
        assert "version" in refusal(client.post("/models/first/reload?version=2", **asked))  # type: ignore[arg-type]
        assert "'version'" in refusal(client.post("/models/first/reload", json={"version": "2"}, **asked))  # type: ignore[arg-type]
        for body in (b"", b"{}"):
            assert client.post("/models/first/reload", content=body, **asked).status_code == 200  # type: ignore[arg-type]


def test_unknown_names_of_messages(two: TestClient) -> None:
    with two.websocket_connect("/ws") as socket:
        socket.send_json({"type": "image_analysis", "request_id": "a", "image": TEXT, "model": "second"})
        assert socket.receive_json()["model"]["name"] == "second"
        for message, hint in (
            ({"type": "image_analysis", "image": TEXT, "modell": "second"}, "did you mean model"),
            ({"type": "image_analysis", "imgae": TEXT}, "did you mean image?"),
            ({"type": "health_check", "model": "second"}, "It may have type, request_id"),
            ({"type": "image-analysis", "image": TEXT}, "did you mean image_analysis?"),
            ({"type": ["image_analysis"]}, "must be one of"),
        ):
            socket.send_json({**message, "request_id": "7"})
            error = socket.receive_json()
            assert (error["type"], error["status"], error["request_id"]) == ("error", 422, "7")
            assert hint in error["detail"]


@pytest.mark.parametrize(
    "text", ['{"type": "image_analysis", "modell": "second"}', '{"type": "image_analysis", "model": ']
)
def test_an_image_after_a_refused_text_is_not_answered_by_another_model(two: TestClient, text: str) -> None:
    with two.websocket_connect("/ws") as socket:
        socket.send_text(text)
        assert socket.receive_json()["status"] == 422
        socket.send_bytes(RED)
        assert socket.receive_json()["problem"] == "urn:pocketvision:problem:announcement-refused"
        socket.send_bytes(RED)  # one that comes alone goes to the first model, as it is written
        assert socket.receive_json()["model"]["name"] == "first"


@pytest.mark.parametrize("path", ["/ws?model=second", "/live/x?key=secret", "/live/x/publish?token=secret"])
def test_websockets_take_no_query(two: TestClient, path: str) -> None:
    with pytest.raises(WebSocketDenialResponse) as denied, two.websocket_connect(path):
        pass
    assert "takes none" in refusal(denied.value)
    assert "secret" not in denied.value.text
