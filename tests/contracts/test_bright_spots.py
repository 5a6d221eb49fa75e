"""A task that no file of the product knows goes through all of them: alone, and in one bundle with classification."""

import asyncio
import csv
import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from bright_spots.answer import BrightSpots
from bright_spots.installed import install
from bright_spots.measuring import SpotMetrics
from bright_spots.pictures import write_pictures
from bright_spots.show import COLOUR
from bright_spots.source import FILE, SPOTS, read_spots, write_spots
from served import starting

import pocketvision
from pocketvision.bundle import read_bundle
from pocketvision.cli.main import main
from pocketvision.client import AsyncClient, Client
from pocketvision.compression.budget import Budget
from pocketvision.compression.bundle_images import measuring_images
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.compression.settings import Settings
from pocketvision.data.sources.catalog import SOURCES
from pocketvision.errors import UsageError
from pocketvision.streaming.lines import StreamAnswer
from pocketvision.streaming.overlay import Overlay
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.task import Smoothing
from pocketvision.workflows.export import export
from pocketvision.workflows.fit import fit
from pocketvision.workflows.prune import prune
from pocketvision.workflows.quantize import quantize
from pocketvision.workflows.stream import stream
from pocketvision.workflows.training_run import TrainResult

IMAGES = 64
SETTINGS: dict[str, Any] = {
    "size": 64,
    "epochs1": 9,
    "epochs2": 4,
    "lr1": 3e-2,
    "lr2": 3e-3,
    "views": 2,
    "batch": 8,
    "seed": 3,
    "workers": 1,
    "unfreeze": 2,
    "test_share": 0.2,
}
CHANCE = 0.1
"""More than the F1 of points thrown at random, as each spot takes a hundredth of a picture."""
BUNDLES = {"alone": ("spots",), "together": ("spots", "classification")}


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The rows, as those of a package that is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site := install(tmp_path_factory.mktemp("site")))
        yield site


@dataclass(frozen=True)
class Made:
    """tasks: by name, what the bundle answers. data: what it was trained on."""

    tasks: tuple[str, ...]
    data: Path
    trained: TrainResult

    @property
    def bundle(self) -> Path:
        return self.trained.bundle.folder


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name == "alone" else ()) for name in BUNDLES]
)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, small_network: dict[str, str]
) -> Made:
    tasks = BUNDLES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    data = write_pictures(folder / "pictures", IMAGES, classes="classification" in tasks)
    return Made(tasks, data, pocketvision.train(data, out=folder / "run", **SETTINGS, **small_network))


def metrics_of(evaluation: Any) -> SpotMetrics:
    metrics = evaluation.tasks["spots"].metrics
    assert isinstance(metrics, SpotMetrics)
    return metrics


def test_it_learns_in_both_stages(made: Made) -> None:
    history = made.trained.history
    assert {each.stage for each in history} == {1, 2} and not made.trained.unreported
    assert history[-1].train_loss < 0.6 * history[0].train_loss
    assert set(made.trained.bundle.tasks) == set(made.tasks)
    assert 0 < made.trained.bundle.tasks["spots"].postprocessing["threshold"] < 1
    validation, test = made.trained.evaluations
    assert min(metrics_of(validation).headline.value, metrics_of(test).headline.value) > CHANCE + 0.3


def test_its_run_is_reported(made: Made) -> None:
    page = (made.trained.run / "report.html").read_text(encoding="utf-8")
    prefix = "spots-" if len(made.tasks) > 1 else ""
    assert ("2 classes: blue, red" if "classification" in made.tasks else "</code></p>") in page
    assert f'id="{prefix}spots"' in page and "Bright spots" in page and "spots were found" in page
    assert (made.trained.run / f"plots/{prefix}counts.png").is_file()
    kept = json.loads((made.trained.run / "metrics.json").read_text(encoding="utf-8"))
    assert "F1" in json.dumps(kept)


def test_it_is_measured_anew_with_its_section_in_the_report(made: Made, tmp_path: Path) -> None:
    new = write_pictures(tmp_path / "new", 24, classes="classification" in made.tasks, seed=7)
    found = pocketvision.evaluate(made.bundle, new, out=tmp_path / "out")
    assert set(found.tasks) == set(made.tasks) and metrics_of(found).headline.value > CHANCE + 0.3
    looked_at = 24 if made.tasks == ("spots",) else 21
    assert metrics_of(found).images == looked_at
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "Bright spots" in page and f"{metrics_of(found).hits} of {metrics_of(found).there} spots were found" in page


def test_data_that_lacks_the_truth_of_one_task_measures_the_other(made: Made, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "new", 12, classes=False, seed=9)
    found = pocketvision.evaluate(made.bundle, data)
    assert set(found.tasks) == {"spots"} and metrics_of(found).images == 12
    judging = measuring_images(read_bundle(made.bundle), data, lambda _: None)
    assert set(judging.truth) == {"spots"}


def test_the_bundle_is_verified(made: Made) -> None:
    assert pocketvision.verify(made.bundle).max_probability_difference < 1e-3


def answers_of(line: str) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads(line)["answers"]
    return answers


def test_predictions_are_rows_and_lines(made: Made, tmp_path: Path) -> None:
    pictures = sorted(made.data.glob("*.png"))[:6]
    pocketvision.predict(made.bundle, pictures, out=tmp_path / "rows.csv")
    pocketvision.predict(made.bundle, pictures, out=tmp_path / "rows.jsonl")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    told = [answers_of(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    column = "count" if len(made.tasks) == 1 else "spots.count"
    assert [int(row[column]) for row in rows] == [len(each["spots"]["spots"]) for each in told]
    assert all(set(each) == set(made.tasks) and each["spots"]["kind"] == "spots" for each in told)
    points = [spot for each in told for spot in each["spots"]["spots"]]
    assert points and all(0 <= each["x"] <= 64 and 0 <= each["y"] <= 48 for each in points)


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """The run, to be changed."""
    return Path(shutil.copytree(made.trained.run, tmp_path / "run"))


@pytest.mark.parametrize("target", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def test_it_is_exported(copy: Path, target: str) -> None:
    if target == "openvino" and importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    found = export(copy / "bundle", [target], seconds=0.05)
    (exported,) = found.exported
    assert "F1" in json.dumps(exported.to_dict())
    assert pocketvision.verify(copy / "bundle")


def test_it_is_quantized(copy: Path, tmp_path: Path) -> None:
    found = quantize(
        copy / "bundle",
        out=tmp_path / "small",
        candidates=[Settings("onnxruntime")],
        max_accuracy_drop=60,
        seconds=0.05,
    )
    small = read_bundle(found.bundle.folder)
    assert small.tasks.keys() == read_bundle(copy / "bundle").tasks.keys()
    assert found.float_bytes > sum(file.size for name, file in small.manifest.files.items() if name.endswith(".onnx"))


def test_worker_processes_serve_it(made: Made, package: Path, tmp_path: Path) -> None:
    paths = os.pathsep.join(map(str, (package, Path(pocketvision.__file__).parents[1])))
    picture = made.data / "6.png"
    content = {"content": picture.read_bytes(), "headers": {"content-type": "image/png"}}
    expected = pocketvision.load(made.bundle).answers(picture)["spots"]
    with starting(made.bundle, tmp_path, "spots") as start:
        server = start("--workers", "2", PYTHONPATH=paths)
        for _ in range(6):  # each on a connection of its own: both workers are asked
            told = httpx.post(f"{server.url}/predict", **content).json()["predictions"][0]["answers"]
            assert set(told) == set(made.tasks) and len(told["spots"]["spots"]) == len(expected.spots)
        with Client(server.url) as client:
            answer = client.predict(picture).answers["spots"]
            assert isinstance(answer, BrightSpots) and answer.headline == expected.headline
            assert client.models()[0].tasks["spots"] == "spots"
        told = asyncio.run(over_a_websocket(server.url, picture))
        assert told == answer


async def over_a_websocket(url: str, picture: Path) -> Any:
    async with AsyncClient(url) as client, client.session() as session:
        return (await session.predict(picture)).answers["spots"]


def test_a_folder_is_streamed_with_the_answers_drawn_on_it(made: Made, tmp_path: Path) -> None:
    (folder := tmp_path / "frames").mkdir()
    for number in (2, 3, 6, 7):
        shutil.copy(made.data / f"{number}.png", folder)
    overlay, drawn = Overlay([]), 0

    def look(shown: StreamAnswer) -> None:
        nonlocal drawn
        before = shown.answer.pixels
        assert before is not None
        after = overlay.draw(before, shown.shown, "figures")
        dark = tuple(each // 3 for each in COLOUR)  # below the lines of text
        rings = ((after == COLOUR) | (after == dark)).all(axis=2).sum()
        assert (rings > 0) == (len(shown.shown["spots"].spots) > 0)
        drawn += int(rings > 0)

    summary = stream(
        made.bundle,
        folder,
        smoothing=Smoothing("majority", 0.2),
        jsonl=tmp_path / "lines.jsonl",
        out=tmp_path / "drawn.mp4",
        on_answer=look,
    )
    assert summary.answered == 4 and drawn >= 2 and (tmp_path / "drawn.mp4").stat().st_size > 1000
    told = [answers_of(line) for line in (tmp_path / "lines.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [set(each) for each in told] == [set(made.tasks)] * 4


def test_the_command_line_tells_of_it(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words)])
        assert ended.value.code == 0
        return capsys.readouterr().out

    in_classes = " in 2 classes" if "classification" in made.tasks else ""
    assert f"{IMAGES} images{in_classes}, {IMAGES} readable" in said("check", made.data)
    assert "spots found" in said("evaluate", made.bundle, made.data)


def test_a_sample_without_any_truth_is_refused(made: Made, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "new", 8, classes=False)
    known = json.loads((data / FILE).read_text(encoding="utf-8"))
    known["5.png"]["points"] = None
    write_spots(data, known)
    with pytest.raises(UsageError, match=r"1 of 8 images have no truth for any task, such as '5\.png'"):
        pocketvision.evaluate(made.bundle, data)


def test_truth_that_does_not_fit_is_refused(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_pictures(tmp_path / "new", 8, classes=False)
    labels = ClassLabels(np.zeros(8, np.int32), ("a",))
    wrong = replace(SPOTS, read=lambda path, options: replace(read_spots(path, options), truth={"spots": labels}))
    monkeypatch.setitem(SOURCES, "spots", wrong)
    for use in (partial(pocketvision.evaluate, made.bundle), pocketvision.check):
        with pytest.raises(UsageError, match=r"spots read ClassLabels for spots; expected Points"):
            use(data)


def test_a_classifiers_pictures_do_not_measure_it(made: Made, photos: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"as image-folder, which says nothing of spots\. Expected a folder with spots\.json|Unknown class",
    ):
        pocketvision.evaluate(made.bundle, photos)


@pytest.mark.slow
def test_it_is_pruned_and_fitted_to_a_budget(copy: Path, tmp_path: Path) -> None:
    """Untuned, and tuned by its own learner."""
    for number, settings in enumerate(
        (
            PruneSettings(unstructured=0.05, epochs=0, max_accuracy_drop=80),
            PruneSettings(keep_macs=0.9, epochs=0, rounds=1, max_accuracy_drop=100),
            PruneSettings(keep_macs=0.9, importance="taylor", epochs=1, rounds=1, batch=8, max_accuracy_drop=100),
        )
    ):
        made = prune(copy, settings, out=tmp_path / f"pruned{number}")
        assert "spots" in made.bundle.tasks and "F1" in json.dumps(made.comparison.to_dict())
        assert pocketvision.verify(made.bundle.folder).images
    found = fit(
        copy, Budget(None, 1e9, 90), kinds=["int8"], backends=["onnxruntime"], out=tmp_path / "fit", seconds=0.05
    )
    assert found.bundle is not None and "spots" in found.bundle.tasks
