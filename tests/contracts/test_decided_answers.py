"""A bundle with thresholds and a lowest score gives one answer on every path: files, HTTP, WebSocket, client, stream and page.

The pictures: one that is answered with another class than the most probable, one that is so and unsure, and a plain one.
"""

import asyncio
import base64
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Browser, in_a_browser
from PIL import Image
from served import Running, starting

from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.cli.main import main
from pocketvision.client import AsyncClient, Client
from pocketvision.errors import BundleError
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.task import Smoothing
from pocketvision.workflows.client import predict_remotely
from pocketvision.workflows.evaluate import evaluate
from pocketvision.workflows.load import load
from pocketvision.workflows.predict import predict
from pocketvision.workflows.stream import stream

COLOURS = {"decided": (200, 170, 0), "unsure": (200, 150, 0), "plain": (250, 0, 0)}
THRESHOLDS = {"red": 0.9, "green": 0.3, "파랑": 0.5}
BELOW = 0.6
EXPECTED = {"decided": ("green", False), "unsure": ("green", True), "plain": ("red", False)}


def picture(name: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), COLOURS[name]).save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Told:
    """What a path says of a picture."""

    label: str
    probability: float
    unsure: bool


@dataclass(frozen=True)
class Case:
    """The bundle, a folder of the pictures, and what is to be said of each, by its name."""

    bundle: Bundle
    folder: Path
    expected: dict[str, Told]

    @property
    def files(self) -> list[Path]:
        return [self.folder / f"{name}.png" for name in COLOURS]

    def check(self, found: dict[str, Told]) -> None:
        assert found.keys() == self.expected.keys()
        for name, told in found.items():
            expected = self.expected[name]
            assert (told.label, told.unsure) == (expected.label, expected.unsure), name
            assert told.probability == pytest.approx(expected.probability, abs=2e-6), name


def with_postprocessing(bundle: Bundle, folder: Path | None = None, **more: Any) -> Bundle:
    task = bundle.task
    changed = replace(task, postprocessing={**task.postprocessing, **more})
    return rewrite_bundle(bundle, replace(bundle.manifest, tasks={bundle.task_name: changed}), folder=folder)


@pytest.fixture(scope="module")
def case(shared_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Case:
    root = tmp_path_factory.mktemp("decided")
    bundle = with_postprocessing(shared_bundle, root / "bundle", thresholds=THRESHOLDS, abstain_below=BELOW)
    (root / "pictures").mkdir()
    expected = {}
    plain = Predictor(shared_bundle)
    for name in COLOURS:
        (root / "pictures" / f"{name}.png").write_bytes(picture(name))
        # By hand, from what the network says alone: the label is the argmax of p / t.
        answer = plain(root / "pictures" / f"{name}.png")
        ratios = answer.probabilities.astype(np.float64) / np.array([*THRESHOLDS.values()])
        place = int(ratios.argmax())
        label, unsure = answer.labels[place], bool(ratios[place] / ratios.sum() < BELOW)
        assert (label, unsure) == EXPECTED[name]
        assert (label != answer.label) == (name != "plain")
        expected[name] = Told(label, float(answer.probabilities[place]), unsure)
    return Case(bundle, root / "pictures", expected)


@pytest.fixture(scope="module")
def server(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with starting(case.bundle.folder, tmp_path_factory.mktemp("server")) as start:
        yield start()


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return [*csv.DictReader(text)]


def of_cells(rows: list[dict[str, str]]) -> dict[str, Told]:
    assert {row["unsure"] for row in rows} <= {"true", "false"}
    return {
        Path(row["path"]).stem: Told(row["label"], float(row["probability"]), row["unsure"] == "true") for row in rows
    }


def of_json(document: dict[str, Any]) -> Told:
    answer = document["answers"]["classification"]
    told = Told(answer["label"], answer["probability"], answer["unsure"])
    assert answer["headline"] == f"{told.label} {told.probability:.0%}" + (", unsure" if told.unsure else "")
    assert document["label"] == told.label and document["unsure"] == told.unsure
    assert document["probability"] == pytest.approx(told.probability, abs=1e-6)
    return told


def test_python(case: Case) -> None:
    found = {}
    for file in case.files:
        answer = load(case.bundle.folder)(file)
        found[file.stem] = Told(answer.label, answer.probability, bool(answer.unsure))
    case.check(found)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_csv_and_json_lines(case: Case, top_k: int, tmp_path: Path) -> None:
    predict(case.bundle.folder, case.files, out=tmp_path / "rows.csv", top_k=top_k)
    rows = read_csv(tmp_path / "rows.csv")
    case.check(of_cells(rows))
    for row in rows:
        told = [row["label"], *(row[f"label_{place}"] for place in range(2, top_k + 1))]
        assert len(set(told)) == top_k, "a class is told once"
    predict(case.bundle.folder, case.files, out=tmp_path / "rows.jsonl", top_k=top_k)
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    case.check({Path(line["path"]).stem: of_json(line) for line in lines})
    for line in lines if top_k > 1 else []:
        assert line["top"][0][0] == "red", "the most probable class is first there"


def test_the_command_line_says_unsure(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", str(case.bundle.folder), *map(str, case.files)])
    lines = {line.split("\t")[0]: line.split("\t")[1:] for line in capsys.readouterr().out.splitlines()}
    for file in case.files:
        label, unsure = EXPECTED[file.stem]
        told = lines[str(file)]
        assert told[0] == label and told[2:] == (["unsure"] if unsure else [])


@pytest.mark.parametrize("smoothing", [None, Smoothing("ema", 0.0, 0.0), Smoothing("majority", 0.0, 0.0)], ids=str)
def test_stream(case: Case, smoothing: Smoothing | None, tmp_path: Path) -> None:
    """Smoothing over no time and without a margin shows each frame's own answer."""
    stream(case.bundle.folder, case.folder, jsonl=tmp_path / "lines.jsonl", smoothing=smoothing)
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text(encoding="utf-8").splitlines()]
    case.check({Path(line["path"]).stem: of_json(line) for line in lines})
    if smoothing is None:
        return
    for line in lines:
        expected = case.expected[Path(line["path"]).stem]
        assert (line["smooth_label"], line["smooth_unsure"]) == (expected.label, expected.unsure)
        score = expected.probability if smoothing.kind == "ema" else 1.0
        assert line["smooth_score"] == pytest.approx(score, abs=2e-6)


def test_http_and_client(case: Case, server: Running, tmp_path: Path) -> None:
    with Client(server.url) as client:
        (model,) = client.models()
        assert model.says_unsure
        for top_k in (1, 3):
            found = {}
            for name in COLOURS:
                answer = client.predict(picture(name), top_k=top_k)
                assert len(answer.top) >= top_k and answer.label in [each.label for each in answer.top]
                found[name] = Told(answer.label, answer.probability, bool(answer.unsure))
            case.check(found)
    predict_remotely(server.url, case.files, out=tmp_path / "rows.csv", top_k=2)
    case.check(of_cells(read_csv(tmp_path / "rows.csv")))
    predict_remotely(server.url, case.files, out=tmp_path / "rows.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    case.check({Path(line["path"]).stem: of_json(line) for line in lines})


def test_websocket(case: Case, server: Running) -> None:
    from websockets.sync.client import connect

    found = {}
    with connect(server.url.replace("http", "ws") + "/ws") as socket:
        for name in COLOURS:
            encoded = base64.b64encode(picture(name)).decode()
            socket.send(json.dumps({"type": "image_analysis", "request_id": name, "image": encoded}))
            found[name] = of_json(json.loads(socket.recv(timeout=30))["predictions"][0])
    case.check(found)

    async def session() -> dict[str, Told]:
        async with AsyncClient(server.url) as client, client.session() as opened:
            answers = {name: await opened.predict(picture(name)) for name in COLOURS}
        return {name: Told(each.label, each.probability, bool(each.unsure)) for name, each in answers.items()}

    case.check(asyncio.run(session()))


@in_a_browser
def test_page(case: Case, server: Running, browser: Browser) -> None:
    browser.open(server.url)
    browser.until("document.querySelectorAll('#models option').length === 1")
    for name in COLOURS:
        content = base64.b64encode(picture(name)).decode()
        browser.run(
            "(() => { const data = new DataTransfer();"
            f"data.items.add(new File([Uint8Array.from(atob('{content}'), c => c.charCodeAt(0))], '{name}.png', "
            "{type: 'image/png'})); document.getElementById('files').onchange({target: {files: data.files}}); return 1 })()"
        )
        browser.until(f"document.body.innerText.includes('{name}.png')")
    browser.until("document.querySelectorAll('#answers li').length === 3")
    found = {}
    for name, looks, said in browser.run(
        "[...document.querySelectorAll('#answers li')].map(each => [each.querySelector('.name').textContent, each.className, "
        "each.querySelector('figcaption').innerText])"
    ):
        place = name.removesuffix(".png")
        label, unsure = EXPECTED[place]
        assert (label + "?" in said) == unsure and label in said
        assert ("not sure" in said) == unsure
        found[place] = Told(label, case.expected[place].probability, "unsure" in looks)
        assert f"{case.expected[place].probability * 100:.1f} %" in said
    case.check(found)
    cells = browser.run("rows.map(({ image, cells }) => [image, cells])")
    assert {image: (each["label"], each["unsure"]) for image, each in cells} == {
        f"{name}.png": expected for name, expected in EXPECTED.items()
    }


def test_evaluation(case: Case) -> None:
    """green, green, red are said; the true classes are green, red, red."""
    labels = ["green", "red", "red"]
    evaluation = evaluate(case.bundle.folder, paths=case.files, labels=labels)
    metrics = evaluation.metrics
    assert metrics.confusion_matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert metrics.accuracy == pytest.approx(2 / 3)
    assert [(each.true, each.predicted) for each in evaluation.mistakes] == [("red", "green")]
    assert metrics.abstaining is not None
    assert (metrics.abstaining.answered, metrics.abstaining.right, metrics.abstaining.threshold) == (2, 2, BELOW)
    told = evaluation.to_dict()
    assert told["abstaining"]["coverage"] == pytest.approx(2 / 3) and told["abstaining"]["accuracy"] == 1.0
    assert told["decided_by"] == {"thresholds": THRESHOLDS, "abstain_below": BELOW}
    assert "sure of 66.7% (threshold 0.6), and right in 100.0%" in metrics.text


def test_a_bundle_without_thresholds_says_nothing_of_that(shared_bundle: Bundle, case: Case, tmp_path: Path) -> None:
    """What was there before thresholds is as it was, to the last column."""
    predict(shared_bundle.folder, case.files, out=tmp_path / "rows.csv")
    assert [*read_csv(tmp_path / "rows.csv")[0]] == ["path", "label", "probability", "error"]
    predict(shared_bundle.folder, case.files, out=tmp_path / "rows.jsonl")
    assert '"unsure"' not in (tmp_path / "rows.jsonl").read_text(encoding="utf-8")
    found = evaluate(shared_bundle.folder, paths=case.files, labels=["green", "red", "red"]).to_dict()
    assert "abstaining" not in found and "decided_by" not in found


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"thresholds": {**THRESHOLDS, "red": 1.2}}, r"\{'red': 1.2\}; expected numbers from 0 to 1"),
        ({"thresholds": {**THRESHOLDS, "rot": 0.5}}, r"differ in \['rot'\]; expected one of each class"),
        ({"abstain_below": 60}, "abstain_below is 60; expected a number from 0 to 1"),
    ],
)
def test_a_manifest_that_says_nonsense_is_not_read(tiny_bundle: Bundle, more: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        with_postprocessing(tiny_bundle, **more)
    assert load(tiny_bundle.folder), "the bundle is as it was"
