"""The Open Inference Protocol, by hand and by Triton's public client."""

import base64
import json

import numpy as np
import pytest
from fastapi.testclient import TestClient
from served import picture

from pocketvision.bundle import Bundle


def test_metadata_and_health(client: TestClient) -> None:
    assert client.get("/v2/health/live").status_code == client.get("/v2/health/ready").status_code == 200
    assert client.get("/v2").json()["name"] == "pocketvision"
    described = client.get("/v2/models/tiny").json()
    assert described["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 3, 16, 16]}]
    (version,) = described["versions"]
    assert client.get(f"/v2/models/tiny/versions/{version}").json() == described
    assert client.get(f"/v2/models/tiny/versions/{version}/ready").json()["ready"] is True
    for path in ("/v2/models/other", "/v2/models/tiny/versions/1", "/v2/models/other/ready"):
        assert client.get(path).status_code == 404
        assert client.get(path).json()["error"]


def test_tensors_and_files_in_json(client: TestClient, tiny_bundle: Bundle) -> None:
    golden = tiny_bundle.golden()
    tensor = {"name": "images", "datatype": "FP32", "shape": [3, 3, 16, 16], "data": golden["images"].ravel().tolist()}
    answer = client.post("/v2/models/tiny/infer", json={"id": "7", "inputs": [tensor]}).json()
    assert (answer["id"], answer["model_name"]) == ("7", "tiny")
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["probabilities"]["shape"] == [3, 3]
    np.testing.assert_allclose(np.reshape(outputs["logits"]["data"], (3, 3)), golden["logits"], atol=1e-5)
    files = [base64.b64encode(picture(label)).decode() for label in ("파랑", "red")]
    asked = {
        "inputs": [{"name": "images", "datatype": "BYTES", "shape": [2], "data": files}],
        "outputs": [{"name": "label"}],
    }
    (label,) = client.post("/v2/models/tiny/infer", json=asked).json()["outputs"]
    assert label == {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["파랑", "red"]}


WRONG = [
    {},
    {"inputs": []},
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": []}]},
    {"inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": [1, 2]}]},
    {"inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": "x"}]},
    {"inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": [1e300] * 768}]},
    {"inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 3, 17, 16], "data": []}]},
    {"inputs": [{"name": "images", "datatype": "FP32", "shape": [10**12, 3, 16, 16], "data": []}]},
    {"inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, 3, 16, 16], "data": []}]},
    {"inputs": [{"name": "images", "datatype": "FP64", "shape": [1, 3, 16, 16], "data": []}]},
    {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["%"]}]},
    {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [2], "data": ["QUJD"]}]},
    {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["QUJD"]}]},
    {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}]},
    {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["QUJD"]}], "outputs": [{"name": "x"}]},
    {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["QUJD"]}], "outputs": [3]},
    {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["QUJD"]}], "outputs": [{"name": []}]},
]


@pytest.mark.parametrize("asked", WRONG)
def test_wrong_tensors_are_answered_with_what_is_wrong(client: TestClient, asked: dict[str, object]) -> None:
    answer = client.post("/v2/models/tiny/infer", content=json.dumps(asked))
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]


@pytest.mark.parametrize("length", ["x", "-1", "99999"])
def test_a_wrong_header_length_is_refused(client: TestClient, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length}
    assert client.post("/v2/models/tiny/infer", content=b"{}", headers=headers).status_code == 422


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_understands_us(start, tiny_bundle: Bundle, binary: bool) -> None:  # type: ignore[no-untyped-def]
    from tritonclient import http as triton
    from tritonclient.utils import InferenceServerException

    with triton.InferenceServerClient(start().url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("tiny")
        assert client.get_model_metadata("tiny")["inputs"][0]["name"] == "images"
        golden = tiny_bundle.golden()
        tensor = triton.InferInput("images", [3, 3, 16, 16], "FP32")
        tensor.set_data_from_numpy(golden["images"], binary_data=binary)
        wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "label")]
        answer = client.infer("tiny", [tensor], outputs=wanted, request_id="9")
        np.testing.assert_allclose(answer.as_numpy("probabilities"), golden["probabilities"], atol=1e-5)
        assert answer.get_response()["id"] == "9"
        if binary:
            files = triton.InferInput("images", [2], "BYTES")
            files.set_data_from_numpy(np.array([picture("green"), picture("red")], dtype=np.object_))
            answer = client.infer("tiny", [files])
            assert [label.decode() for label in answer.as_numpy("label")] == ["green", "red"]
            assert answer.as_numpy("logits").shape == (2, 3)
        with pytest.raises(InferenceServerException, match="no model"):
            client.infer("other", [tensor])
