"""Several models in one request: one decode, answers side by side, tasks on and off, and a second look at what was found."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_segmenter import segmenter
from fastapi.testclient import TestClient
from PIL import Image
from square_detector import detector, write_pictures

from pocketvision.bundle import Bundle
from pocketvision.client import Client, Wanted
from pocketvision.client.values import prediction_from
from pocketvision.errors import ImageError
from pocketvision.preprocessing import decode_image
from pocketvision.runtime.onnx_backend import OnnxBackend
from pocketvision.runtime.predictor import Predictor
from pocketvision.serving import shared_picture
from pocketvision.serving.app import create_app
from pocketvision.serving.batching import BatchSettings
from pocketvision.serving.models import BundleSource
from pocketvision.serving.served_model import ServedModel
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.shared_picture import PictureMemory, Reading, SharedPicture
from pocketvision.tasks.task import Detail
from pocketvision.tasks.wire import answers_to_json

PNG = {"content-type": "image/png"}


@dataclass(frozen=True)
class Served:
    bundles: dict[str, Bundle]
    picture: Path

    def app(self, **settings: Any) -> Any:
        names = {"colours": "cls", "hues": "cls", "squares": "det", "pixels": "seg"}
        sources = [BundleSource(name, self.bundles[bundle].folder) for name, bundle in names.items()]
        return create_app(sources, ServerSettings(threads=1, **settings))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, shared_bundle: Bundle) -> Served:
    folder = tmp_path_factory.mktemp("several")
    bundles = {"cls": shared_bundle, "det": detector(folder / "det"), "seg": segmenter(folder / "seg")}
    write_pictures(folder / "pictures", [[(0, 0, 1), (1, 2, 2), (0, 3, 1)]])
    return Served(bundles, folder / "pictures/0.png")


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[TestClient]:
    with TestClient(served.app()) as client:
        yield client


def asked(client: TestClient, served: Served, status: int = 200, **query: Any) -> dict[str, Any]:
    answer = client.post("/predict", params=query, content=served.picture.read_bytes(), headers=PNG)
    assert answer.status_code == status, answer.text
    document: dict[str, Any] = answer.json()
    return document


def predicted(client: TestClient, served: Served, **query: Any) -> dict[str, Any]:
    (found,) = asked(client, served, **query)["predictions"]
    assert isinstance(found, dict)
    return found


def test_each_model_answers_as_it_does_alone(client: TestClient, served: Served) -> None:
    document = asked(client, served, models="squares,pixels,colours")
    (found,) = document["predictions"]
    assert [each["name"] for each in document["models"]] == ["squares", "pixels", "colours"]
    assert document["model"] == document["models"][0]
    expected: dict[str, Any] = {}
    for name in ("det", "seg", "cls"):
        expected |= answers_to_json(Predictor(served.bundles[name]).answers(served.picture), Detail())
    assert found["answers"] == expected and "problems" not in found


def test_times_are_told_by_part(client: TestClient, served: Served) -> None:
    times = predicted(client, served, models="squares,pixels")["timings"]
    assert set(times["parts"]) == {"squares", "pixels"}
    assert set(times["parts"]["squares"]["answer_ms"]) == {"detection"}
    assert times["inference_ms"] == max(part["inference_ms"] for part in times["parts"].values())
    assert 0 < times["decode_ms"] < times["total_ms"] and times["inference_ms"] < times["total_ms"]


def test_a_picture_is_decoded_once(client: TestClient, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    def counting(content: bytes, **options: Any) -> Any:
        decoded.append(content)
        return decode_image(content, **options)

    monkeypatch.setattr(shared_picture, "decode_image", counting)
    predicted(client, served, models="squares,pixels,colours", then="hues", margin=0.1)
    assert len(decoded) == 1


def test_names_that_collide_have_the_models_before_them(client: TestClient, served: Served) -> None:
    answers = predicted(client, served, models="colours,squares,hues")["answers"]
    assert list(answers) == ["colours.classification", "detection", "hues.classification"]
    told = predicted(client, served, models="colours,hues", tasks="hues.classification")["answers"]
    assert list(told) == ["hues.classification"]
    assert list(predicted(client, served, models="colours,hues", tasks="classification")["answers"]) == [
        "colours.classification",
        "hues.classification",
    ]
    version = asked(client, served, model="hues")["model"]["version"]
    assert asked(client, served, models=f"hues@{version}")["model"] == {"name": "hues", "version": version}


def test_details_go_by_task(client: TestClient, served: Served) -> None:
    details = {"detection": {"most": 1}, "segmentation": {"masks": False}, "colours.classification": {"top_k": 1}}
    answers = predicted(client, served, models="squares,pixels,colours,hues", top_k=2, details=json.dumps(details))[
        "answers"
    ]
    assert len(answers["detection"]["objects"]) == 1 and "mask" not in answers["segmentation"]
    tops = {name: len(answers[f"{name}.classification"]["top"]) for name in ("colours", "hues")}
    assert tops == {"colours": 1, "hues": 2}
    alone = predicted(client, served, model="squares", details=json.dumps({"detection": {"min_score": 0.98}}))
    assert [each["label"] for each in alone["answers"]["detection"]["objects"]] == ["red", "red"]


def test_tasks_that_are_off_cost_nothing(client: TestClient, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    run = OnnxBackend.run

    def counting(self: OnnxBackend, images: Any) -> Any:
        ran.append(list(self.outputs))
        return run(self, images)

    monkeypatch.setattr(OnnxBackend, "run", counting)
    answers = predicted(client, served, models="squares,pixels,colours", tasks="detection")["answers"]
    assert list(answers) == ["detection"] and ran == [["boxes", "scores"]]


def broken(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    run = OnnxBackend.run

    def running(self: OnnxBackend, images: Any) -> Any:
        found = run(self, images)
        return {name: np.full_like(each, np.nan) if name == output else each for name, each in found.items()}

    monkeypatch.setattr(OnnxBackend, "run", running)


def test_an_error_of_one_part_does_not_lose_the_others(
    client: TestClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, "boxes")
    found = predicted(client, served, models="squares,pixels,colours", then="hues")
    assert list(found["answers"]) == ["segmentation", "classification"]
    assert {name: each["status"] for name, each in found["problems"].items()} == {"detection": 500}
    assert set(found["timings"]["parts"]) == {"pixels", "colours"}
    assert asked(client, served, 500, models="squares", then="hues")["title"] == "Model failed"


def test_a_full_queue_of_one_model_is_its_own(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with TestClient(served.app(batches=BatchSettings(queue=2), max_images=2)) as client:
        predict = ServedModel.predict

        async def filled(self: ServedModel, images: Any, *arguments: Any, **options: Any) -> Any:
            return await predict(self, images * 3 if self.name == "pixels" else images, *arguments, **options)

        monkeypatch.setattr(ServedModel, "predict", filled)
        found = predicted(client, served, models="pixels,colours")
    assert list(found["answers"]) == ["classification"] and found["problems"]["segmentation"]["status"] == 422


def test_several_images_keep_their_order_and_errors_their_place(client: TestClient, served: Served) -> None:
    files = [("file", served.picture.read_bytes()), ("file", b"no image")] * 2
    found = client.post("/predict?models=squares,colours", files=files).json()["predictions"]
    assert [list(each.get("answers", [])) for each in found] == [["detection", "classification"], []] * 2
    assert found[1]["problem"]["title"] == "Unreadable image"
    assert client.post("/predict?models=squares,colours", files=files[1:2]).status_code == 422


def test_what_is_found_is_looked_at_again(client: TestClient, served: Served) -> None:
    found = predicted(client, served, model="squares", then="colours", of="red", top_k=1)
    objects = found["answers"]["detection"]["objects"]
    said = [each.get("then", {}).get("classification", {}).get("label") for each in objects]
    assert [each["label"] for each in objects] == ["red", "red", "blue"] and said == ["red", "red", None]
    assert all(len(each["then"]["classification"]["top"]) == 1 for each in objects[:2])
    assert found["timings"]["then"]["things"] == 2 and found["timings"]["then"]["batch"] == 1
    left, top, right, bottom = map(int, objects[1]["box"])
    with Image.open(served.picture) as picture:
        expected = Predictor(served.bundles["cls"])(picture.convert("RGB").crop((left, top, right, bottom)))
    assert objects[1]["then"]["classification"]["probability"] == pytest.approx(expected.probability, abs=1e-6)
    grown = predicted(client, served, models="squares,pixels", then="colours", margin=1)
    less = grown["answers"]["detection"]["objects"][0]["then"]["classification"]["probability"]
    assert less < objects[0]["then"]["classification"]["probability"], "more of the black around it"
    nothing = predicted(client, served, model="squares", then="colours", min_score=1)
    assert nothing["answers"]["detection"]["objects"] == [] and "then" not in nothing["timings"]


def test_a_second_look_that_fails_leaves_what_was_found(
    client: TestClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, "probabilities")
    found = predicted(client, served, model="squares", then="colours")
    assert [each["label"] for each in found["answers"]["detection"]["objects"]] == ["red", "red", "blue"]
    assert list(found["problems"]) == ["detection.then"]


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"models": "squares,nothing"}, 404, "There is no model 'nothing'"),
        ({"models": "squares,squares"}, 422, "a name twice"),
        ({"models": "squares", "model": "squares"}, 422, "models and model can not stand together"),
        ({"models": "squares,colours", "tasks": "clasification"}, 422, "Did you mean classification?"),
        ({"model": "squares", "tasks": "boxes"}, 422, "Unknown task 'boxes'. Known: detection."),
        ({"models": "squares", "tasks": ","}, 422, "names with commas between them"),
        ({"model": "squares", "details": '{"detection": {"minscore": 1}}'}, 422, "Did you mean min_score"),
        ({"model": "squares", "details": '{"detection": {"min_score": 2}}'}, 422, "from 0 to 1"),
        ({"model": "squares", "details": '{"boxes": {}}'}, 422, "Unknown task 'boxes'"),
        ({"model": "squares", "details": "{"}, 422, "details is no JSON"),
        ({"model": "squares", "details": "[1]"}, 422, "must be an object of objects"),
        ({"model": "squares", "then": "colours", "of": "rod"}, 422, "Did you mean red?"),
        ({"model": "colours", "then": "hues"}, 422, "Only what finds objects"),
        ({"models": "squares,colours", "then": "hues", "tasks": "classification"}, 422, "Only what finds objects"),
        ({"model": "squares", "then": "pixels"}, 422, "answers segmentation in pixels"),
        ({"model": "squares", "then": "nothing"}, 404, "There is no model 'nothing'"),
        ({"model": "squares", "then": "colours", "margin": 1.5}, 422, "a number from 0 to 1"),
        ({"model": "squares", "of": "red"}, 422, "give `then` as well"),
        ({"model": "squares", "margin": 0.5}, 422, "give `then` as well"),
    ],
)
def test_what_can_not_be_asked(
    client: TestClient, served: Served, query: dict[str, str], status: int, said: str
) -> None:
    assert said in asked(client, served, status, **query)["detail"]


def test_tasks_are_switched_in_mid_stream(client: TestClient, served: Served) -> None:
    content = served.picture.read_bytes()

    def answers(socket: Any, **message: Any) -> list[str]:
        if message:
            socket.send_json({"type": "image_analysis", **message})
        socket.send_bytes(content)
        return list(socket.receive_json()["predictions"][0]["answers"])

    with client.websocket_connect("/ws") as socket:
        assert answers(socket) == ["classification"]
        socket.send_json({"type": "options", "request_id": "1", "models": ["squares", "pixels", "colours"]})
        told = socket.receive_json()
        assert told == {
            "type": "options_set",
            "request_id": "1",
            "options": {"models": ["squares", "pixels", "colours"]},
        }
        assert answers(socket) == ["detection", "segmentation", "classification"]
        socket.send_json({"type": "options", "models": ["squares", "pixels"], "tasks": ["detection"]})
        assert socket.receive_json()["options"]["tasks"] == ["detection"]
        assert answers(socket) == ["detection"]
        assert answers(socket, tasks=["segmentation"]) == ["segmentation"], "a message's own go over them"
        assert answers(socket, model="hues", tasks=["classification"]) == ["classification"]
        socket.send_json({"type": "options", "tasks": ["nothing"], "models": ["squares"]})
        assert "Unknown task 'nothing'" in socket.receive_json()["detail"]
        socket.send_bytes(content)
        assert "refused" in socket.receive_json()["detail"], "it was meant for what was refused"
        assert answers(socket) == ["detection"], "wrong ones change nothing"
        text = base64.b64encode(content).decode()
        socket.send_json({"type": "image_analysis", "image": text, "then": "colours", "of": ["blue"]})
        (found,) = socket.receive_json()["predictions"]
        assert [("then" in each) for each in found["answers"]["detection"]["objects"]] == [False, False, True]
        socket.send_json({"type": "options"})
        assert socket.receive_json()["options"] == {}
        assert answers(socket) == ["classification"]


def test_json_and_forms_take_the_same(client: TestClient, served: Served) -> None:
    content = served.picture.read_bytes()
    expected = predicted(client, served, models="squares,colours", tasks="detection", then="hues", of="red", margin=0.2)
    options = {"models": ["squares", "colours"], "tasks": ["detection"], "then": "hues", "of": ["red"], "margin": 0.2}
    sent = client.post("/predict_base64", json={"image": base64.b64encode(content).decode(), **options})
    assert sent.json()["predictions"][0]["answers"] == expected["answers"]
    texts = {name: json.dumps(value) if isinstance(value, list) else value for name, value in options.items()}
    form = client.post("/predict", files={"file": content}, data=texts)
    assert form.json()["predictions"][0]["answers"] == expected["answers"]


def test_the_client_has_all_of_it(client: TestClient, served: Served) -> None:
    wanted = Wanted(models=("squares", "pixels", "colours"), masks=False, then="hues", of=("red",), margin=0.1)
    query = wanted.to_query(2, None, None)
    (found,) = asked(client, served, **query)["predictions"]
    document = asked(client, served, **query)
    prediction = prediction_from(document, 1)
    assert (
        answers_to_json(prediction.answers, Detail())["detection"]["objects"]
        == found["answers"]["detection"]["objects"]
    )
    assert [model.name for model in prediction.models] == ["squares", "pixels", "colours"]
    assert prediction.timings.parts["pixels"].inference_ms > 0 and prediction.timings.then is not None
    assert prediction.timings.then.things == 2 and prediction.answers["detection"].said[2] == ""
    assert prediction.answers["detection"].said[0].startswith("red")
    assert Wanted().to_json(None, "a", None) == {"model": "a"} and issubclass(Client, object)


# A shared picture by itself. ------------------------------------------------------------------------------------------------


def jpeg(size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(file, "JPEG")
    return file.getvalue()


def reading(bundle: Bundle, whole: bool = False) -> tuple[Reading, list[tuple[int, int]]]:
    sizes: list[tuple[int, int]] = []
    return Reading(bundle.preprocessing, lambda decoded: sizes.append(decoded.image.size) or (), whole), sizes  # type: ignore[func-returns-value]


def shared(content: bytes, readings: list[Reading], keep: PictureMemory | None = None) -> SharedPicture:
    return SharedPicture(content, readings, max_pixels=10**6, formats=("JPEG",), keep=keep)


def test_a_jpeg_is_decoded_as_small_as_all_allow(served: Served) -> None:
    small, seen = reading(served.bundles["cls"])
    large, _ = reading(served.bundles["det"])
    whole, _ = reading(served.bundles["cls"], whole=True)
    for others, size in (([], (50, 50)), ([large], (200, 200)), ([whole], (400, 400))):
        shared(jpeg((400, 400)), [small, *others]).read(0)
        assert seen[-1] == size


def test_pixels_are_kept_where_there_is_room_and_decoded_again_where_not(served: Served) -> None:
    one, _ = reading(served.bundles["det"])
    size = 3 * 100 * 80
    memory = PictureMemory(size)
    first, second = (shared(jpeg((100, 80)), [one], memory) for _ in range(2))
    first.read(0)
    second.read(0)
    assert memory.used == size and first.whole() is first.whole() and second.whole() is not second.whole()
    assert second.whole().image.size == (100, 80)
    first.close()
    second.close()
    assert memory.used == 0
    late = shared(jpeg((100, 80)), [one], memory)
    late.close()  # its request has gone
    late.read(0)
    assert memory.used == 0


def test_each_reader_has_an_error_of_its_own(served: Served) -> None:
    one, _ = reading(served.bundles["det"])
    picture = shared(b"no image", [one, one])
    errors = []
    for place in range(2):
        with pytest.raises(ImageError) as error:
            picture.read(place)
        errors.append(error.value)
    assert errors[0] is not errors[1] and errors[0].reason == errors[1].reason
