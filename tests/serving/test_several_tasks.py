"""A bundle with two tasks through everything that tells answers. One of them, tests/contracts/halves.py, comes from an installed
package and makes two inputs of an image."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import halves
import httpx
import jsonschema
import numpy as np
import pytest
from chromium import Browser, in_a_browser
from fastapi.testclient import TestClient
from halves import HALVES, reading_halves
from PIL import Image
from served import picture, serving, starting

import pocketvision
from pocketvision.baseline import baseline_of
from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.client import Client
from pocketvision.client.values import prediction_from
from pocketvision.errors import UsageError
from pocketvision.runtime.onnx_backend import OnnxBackend
from pocketvision.runtime.predictor import Predictor
from pocketvision.serving.drift import MIN_WINDOW
from pocketvision.tasks.catalog import TASKS
from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.task import Detail
from pocketvision.tasks.wire import UnknownAnswer, answers_to_json
from pocketvision.workflows.client import predict_remotely
from pocketvision.workflows.predict import predict
from pocketvision.workflows.stream import stream

LABELS = ("red", "green", "파랑")


@pytest.fixture(autouse=True)
def _halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, HALVES.kind, HALVES)


@pytest.fixture
def two_tasks(tiny_bundle: Bundle) -> Bundle:
    """Colours: of the whole image, and of its halves."""
    tasks = {**tiny_bundle.tasks, "sides": reading_halves(tiny_bundle.labels)}
    return rewrite_bundle(tiny_bundle, replace(tiny_bundle.manifest, tasks=tasks))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Red on the left, green on the right."""
    image = Image.new("RGB", (80, 40), (250, 0, 0))
    image.paste((0, 250, 0), (40, 0, 80, 40))
    image.save(path := tmp_path / "photo.png")
    return path


SIDES = [("red", [0, 0, 40, 40]), ("green", [40, 0, 80, 40])]


def sides_of(answers: dict[str, Any]) -> list[tuple[str, list[float]]]:
    assert list(answers) == ["classification", "sides"]
    assert (answers["classification"]["kind"], answers["sides"]["kind"]) == ("classification", "halves")
    return [(each["name"], [round(number, 6) for number in each["box"]]) for each in answers["sides"]["finds"]]


@pytest.fixture
def client(two_tasks: Bundle) -> Iterator[TestClient]:
    with serving(two_tasks.folder) as served:
        yield served


def test_one_form_over_http_websockets_and_in_lines(
    client: TestClient, two_tasks: Bundle, photo: Path, tmp_path: Path
) -> None:
    sent = {"content": photo.read_bytes(), "headers": {"content-type": "image/png"}}
    (predicted,) = client.post("/predict", **sent).json()["predictions"]
    assert list(predicted) == ["answers", "timings"]
    assert sides_of(predicted["answers"]) == SIDES
    with client.websocket_connect("/ws") as socket:
        socket.send_json({"type": "image_analysis", "request_id": "1"})
        socket.send_bytes(photo.read_bytes())
        assert socket.receive_json()["predictions"][0]["answers"] == predicted["answers"]
        socket.send_json({"type": "image_analysis", "tasks": ["sides"], "min_score": 1})
        socket.send_bytes(photo.read_bytes())
        told = socket.receive_json()["predictions"][0]["answers"]
        assert told == {"sides": {"kind": "halves", "headline": "nothing", "finds": []}}
        socket.send_json({"type": "image_analysis", "tasks": ["halves"]})
        socket.send_bytes(photo.read_bytes())
        assert socket.receive_json()["detail"] == "Unknown task 'halves'. Known: classification, sides."
    predict(two_tasks.folder, [photo], out=tmp_path / "rows.jsonl", top_k=5)
    stream(two_tasks.folder, photo, jsonl=tmp_path / "frames.jsonl", top_k=5)
    for name in ("rows", "frames"):
        row = json.loads((tmp_path / f"{name}.jsonl").read_text(encoding="utf-8"))
        assert row["answers"] == predicted["answers"] and "label" not in row
    predictor = Predictor(two_tasks)
    assert answers_to_json(predictor.answers(photo), Detail()) == predicted["answers"]


def test_several_images_and_details_share_batches(client: TestClient, photo: Path) -> None:
    files = [("file", photo.read_bytes()), ("file", picture("red")), ("file", b"no image")] * 3
    for query, most in (("", 2), ("?min_score=0.99", 0), ("?most=1&masks=false", 2)):
        predictions = client.post(f"/predict{query}", files=files).json()["predictions"]
        assert [len(each["answers"]["sides"]["finds"]) if "answers" in each else None for each in predictions] == [
            most,
            most,
            None,
        ] * 3


@pytest.mark.parametrize(
    "query",
    ["min_score=2", "min_score=nan", "min_score=-0.1", "min_score=x", "most=0", "most=1.5", "most=5000", "masks=maybe"],
)
def test_a_detail_that_is_none_is_refused(client: TestClient, photo: Path, query: str) -> None:
    name = query.partition("=")[0]
    for path, sent in (
        ("/predict", {"content": photo.read_bytes(), "headers": {"content-type": "image/png"}}),
        ("/predict_base64", {"json": {"image": "QUJD"}}),
    ):
        refused = client.post(f"{path}?{query}", **sent)  # type: ignore[arg-type]
        assert refused.status_code == 422 and f"The field {name} must be" in refused.json()["detail"]
    form = client.post("/predict", files=[("file", photo.read_bytes())], data=dict([query.split("=")]))
    assert form.status_code == 422 and f"The field {name} must be" in form.json()["detail"]
    for value in ("text", [1], {"a": 1}):
        refused = client.post("/predict_base64", json={"image": "QUJD", name: value})
        assert refused.status_code == 422 and f"The field {name} must be" in refused.json()["detail"]


def test_models_metrics_and_the_description_name_the_tasks(client: TestClient, photo: Path) -> None:
    (model,) = client.get("/models").json()["models"]
    assert {name: (task["kind"], task["page"]) for name, task in model["tasks"].items()} == {
        "classification": ("classification", "page/tasks/classification.js"),
        "sides": ("halves", None),
    }
    assert model["labels"] == model["tasks"]["sides"]["labels"] == list(LABELS)
    assert client.get("/page/tasks/halves.js").status_code == 404
    told = client.get("/openapi.json").json()["components"]["schemas"]["ImagePrediction"]["properties"]["answers"]
    sent = {"content": photo.read_bytes(), "headers": {"content-type": "image/png"}}
    (predicted,) = client.post("/predict", **sent).json()["predictions"]
    jsonschema.validate(predicted["answers"], told)
    assert {each["title"] for each in told["additionalProperties"]["anyOf"]} == {*TASKS, "halves"}
    lines = client.get("/metrics").text.splitlines()
    counted = [each for each in lines if each.startswith("pocketvision_confidence_count")]
    assert sorted(counted) == [
        f'pocketvision_confidence_count{{model="tiny",task="{task}"}} 1.0' for task in ("classification", "sides")
    ]


def test_drift_is_watched_for_each_task(two_tasks: Bundle) -> None:
    chance = np.random.default_rng(0)
    spread = baseline_of({"classification": chance.uniform(0.4, 1, 400)}, chance.normal(0.5, 0.1, 400), "val")
    names = ("classification.confidence", "sides.confidence")
    measured = {**dict.fromkeys(names, spread["confidence"]), "brightness": spread["brightness"]}
    rewrite_bundle(two_tasks, replace(two_tasks.manifest, baseline=measured))
    with serving(two_tasks.folder) as client:
        for _ in range(MIN_WINDOW // 25):
            assert client.post("/predict", files=[("file", picture("red"))] * 25).status_code == 200
        lines = client.get("/metrics").text.splitlines()
    found = {each.split('feature="')[1].split('"')[0] for each in lines if each.startswith("pocketvision_drift_psi{")}
    assert found == {*names, "brightness"}


def test_no_number_of_any_output_may_be_none(two_tasks: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(two_tasks.folder) as client:
        run = OnnxBackend.run

        def broken(self: OnnxBackend, images: Any) -> Any:
            found = run(self, images)
            return {**found, "logits": np.full_like(found["logits"], np.inf)}

        monkeypatch.setattr(OnnxBackend, "run", broken)
        answer = client.post("/predict", content=picture("red"), headers={"content-type": "image/jpeg"})
        (predicted,) = answer.json()["predictions"]
        assert list(predicted["answers"]) == ["sides"], "the other task is not to blame"
        assert predicted["problems"]["classification"]["type"].endswith("model-failed")
        tensor = {"name": "images", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": [0.0] * 768}
        assert client.post("/v2/models/tiny/infer", json={"inputs": [tensor]}).status_code == 500


def test_open_inference_has_the_graphs_outputs(client: TestClient, photo: Path) -> None:
    described = client.get("/v2/models/tiny").json()["outputs"]
    assert [(each["name"], each["shape"]) for each in described] == [("logits", [-1, 3]), ("probabilities", [-1, 3])]
    files = {"name": "images", "datatype": "BYTES", "shape": [1]}
    asked = {"inputs": [{**files, "data": [base64.b64encode(photo.read_bytes()).decode()]}]}
    outputs = {each["name"]: each for each in client.post("/v2/models/tiny/infer", json=asked).json()["outputs"]}
    assert outputs["probabilities"]["shape"] == [3, 3]  # a row for the whole, and for each half
    tensor = {"name": "images", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": [0.0] * 768}
    outputs = client.post("/v2/models/tiny/infer", json={"inputs": [tensor]}).json()["outputs"]
    assert [each["shape"] for each in outputs] == [[1, 3]] * 2
    wrong = client.post("/v2/models/tiny/infer", json={"inputs": [tensor], "outputs": [{"name": "label"}]})
    assert "there are logits, probabilities" in wrong.json()["detail"]


def test_the_client_has_the_answers_of_each_kind(client: TestClient, photo: Path) -> None:
    sent = {"content": photo.read_bytes(), "headers": {"content-type": "image/png"}}
    found = prediction_from(client.post("/predict?top_k=1", **sent).json(), 1)
    assert found.answers["sides"].headline == "red, green"
    assert isinstance(found.answers["classification"], Classification)
    with pytest.raises(UsageError, match="the model answers classification, sides"):
        _ = found.label


def test_a_table_of_several_tasks_has_their_names_before_its_columns(
    two_tasks: Bundle, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_text("no image")
    predict(two_tasks.folder, [photo, tmp_path / "broken.png"], out=tmp_path / "rows.csv")
    header, row, broken = (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert header == "path,classification.label,classification.probability,sides.found,sides.count,error"
    assert row.startswith(f"{photo},red,0.") and row.endswith(',"red, green",2,')
    assert broken.startswith(f"{tmp_path / 'broken.png'},,,,,") and "not an image" in broken


def installed(folder: Path) -> str:
    """What pip leaves of a package with the kind `halves`; the value of PYTHONPATH that finds it."""
    (folder / "halves.py").write_text(Path(halves.__file__).read_text(encoding="utf-8"))
    about = folder / "halves-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: halves\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[pocketvision.tasks]\nhalves = halves:HALVES\n")
    return os.pathsep.join(map(str, (folder, Path(pocketvision.__file__).parents[1])))


@pytest.mark.skipif(sys.platform != "linux", reason="worker processes need Linux")
def test_workers_find_a_kind_of_an_installed_package(two_tasks: Bundle, photo: Path, tmp_path: Path) -> None:
    (package := tmp_path / "package").mkdir()
    with starting(two_tasks.folder, tmp_path) as start:
        server = start("--workers", "2", PYTHONPATH=installed(package))
        for _ in range(8):  # each on a connection of its own: both workers are asked
            answer = httpx.post(
                f"{server.url}/predict", content=photo.read_bytes(), headers={"content-type": "image/png"}
            )
            assert sides_of(answer.json()["predictions"][0]["answers"]) == SIDES
        out = tmp_path / "rows.csv"
        predict_remotely(server.url, [photo], out=out)
        header, row = out.read_text(encoding="utf-8").splitlines()
        assert header == "path,classification.label,classification.probability,sides.found,sides.count,error"
        assert row.endswith(',"red, green",2,')
        with Client(server.url) as asking:
            assert asking.models()[0].tasks == {"classification": "classification", "sides": "halves"}
            del TASKS["halves"]  # a client without the package
            told = asking.predict(photo).answers["sides"]
        assert isinstance(told, UnknownAnswer) and told.headline == "red, green"


@in_a_browser
def test_the_page_shows_every_task(two_tasks: Bundle, photo: Path, tmp_path: Path, browser: Browser) -> None:
    """A kind without a module of its own by its headline."""
    (package := tmp_path / "package").mkdir()
    with starting(two_tasks.folder, tmp_path) as start:
        browser.open(start(PYTHONPATH=installed(package)).url)
        browser.until("document.querySelectorAll('#models option').length === 1")
        content = base64.b64encode(photo.read_bytes()).decode()
        file = (
            f"new File([Uint8Array.from(atob('{content}'), c => c.charCodeAt(0))], 'photo.png', {{type: 'image/png'}})"
        )
        browser.run(f"classify([{file}])")
        browser.until("document.querySelectorAll('#answers li').length === 1")
        said = browser.run("[...document.querySelectorAll('#answers .said')].map(each => each.textContent)")
        assert said == ["red?", "red, green"]  # half of it is green
        assert browser.run("document.querySelectorAll('#answers meter').length") == 3
        columns = "columnsOf(models[0].tasks)"
        assert browser.run(columns) == ["classification.label", "classification.probability", "sides.answer"]
        assert browser.run("Object.values(rows[0].cells)")[::2] == ["red", "red, green"]
        browser.screenshots("several-tasks")


def test_the_client_needs_no_server() -> None:
    """`pip install "pocketvision[client]"` has neither the server's packages nor torch."""
    absent = ("fastapi", "starlette", "uvicorn", "prometheus_client", "pydantic", "torch", "onnxruntime", "onnx", "av")
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r})); import pocketvision.client as c; "
        "import pocketvision.workflows.client; print(c.Client.__name__)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(pocketvision.__file__).parents[1])}
    ran = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "Client\n"), ran.stderr
