"""Base64 as clients write it: what is unambiguous is taken, and for everything else the cause is named."""

import base64
import random

import pytest
from fastapi.testclient import TestClient
from served import picture

from pocketvision.serving.base64_text import base64_bytes

CONTENT = bytes(range(256)) + b"\xfb\xff\xfe"  # has + and / in its text
TEXT = base64.b64encode(CONTENT).decode()
SAFE = base64.urlsafe_b64encode(CONTENT).decode()


@pytest.mark.parametrize("size", range(1, 10))
def test_both_alphabets_with_and_without_padding(size: int) -> None:
    for content in (random.Random(size).randbytes(size), b"\xff" * size, b"\xfb\xef" * size):
        for text in (base64.b64encode(content).decode(), base64.urlsafe_b64encode(content).decode()):
            assert base64_bytes(text) == base64_bytes(text.rstrip("=")) == content


@pytest.mark.parametrize(
    "text",
    [
        f"data:image/png;base64,{TEXT}",
        f"DATA:IMAGE/PNG;BASE64,{TEXT}",
        f"Data:;Base64,{SAFE}",
        f"data:image/jpeg;charset=utf-8;base64, {TEXT}",
        f"  {TEXT}\n",
        "\r\n".join(TEXT[at : at + 76] for at in range(0, len(TEXT), 76)) + "\r\n",
        f"\ufeff{TEXT}",
    ],
)
def test_forms_that_are_unambiguous(text: str) -> None:
    assert base64_bytes(text) == CONTENT


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "empty"),
        ("data:image/png;base64,", "empty"),
        ("====", "empty|expected"),
        ("QUJ", "middle of a byte"),
        ("QUJDR", "no whole number of bytes"),
        ("QUJDRA=", "ends with 1 =; expected 2"),
        ("QUJD====", "ends with 4 =; expected 0"),
        ("QUI=QUI=", "character 4 is an =.*several texts"),
        ("+-AA", "mixes"),
        ("QUJD RUZH", "character 5 is ' '; a form's decoding"),
        ("QUI%3D", "percent-encoded"),
        ("QUJD%", "character 5 is '%'"),
        ("QUJDé", "character 5"),
        ("QUJD\x00", r"character 5 is '\\x00'"),
        ("data:image/png;base64", "without a comma"),
        ("data:image/svg+xml,<svg/>", "without `;base64`"),
        ("https://example.org/photo.jpg", "fetches nothing"),
        ("FILE:///etc/passwd", "fetches nothing"),
        ("b'QUJD'", "character 2"),
    ],
)
def test_what_is_no_base64_is_refused_with_the_cause(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        base64_bytes(text)


def test_the_server_takes_them_in_json_in_tensors_and_in_messages(client: TestClient) -> None:
    image = base64.urlsafe_b64encode(picture("red")).decode().rstrip("=")
    assert client.post("/predict_base64", json={"image": image}).json()["predictions"][0]["label"] == "red"
    assert client.post("/predict_base64", json={"image": f"DATA:image/jpeg;BASE64,{image}"}).status_code == 200
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "data": [image]}
    asked = {"inputs": [tensor], "outputs": [{"name": "label"}]}
    assert client.post("/v2/models/tiny/infer", json=asked).json()["outputs"][0]["data"] == ["red"]
    with client.websocket_connect("/ws") as socket:
        socket.send_json({"type": "image_analysis", "image": image})
        assert socket.receive_json()["predictions"][0]["label"] == "red"
    wrong = client.post("/predict_base64", json={"image": "https://example.org/a.jpg"}).json()
    assert "fetches nothing" in wrong["detail"]
    tensor["data"] = ["QUJDR"]
    assert "cut off" in client.post("/v2/models/tiny/infer", json=asked).json()["error"]
