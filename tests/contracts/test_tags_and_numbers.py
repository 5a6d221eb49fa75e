"""Tags and numbers through the whole house: one run of each serves all verbs."""

import asyncio
import csv
import importlib.util
import json
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from served import starting
from tagged_pictures import COLOURS, write_tables

import pocketvision
from pocketvision.bundle import Bundle, read_bundle
from pocketvision.cli.main import main
from pocketvision.client import AsyncClient, Client
from pocketvision.compression.budget import Budget
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.compression.settings import Settings
from pocketvision.errors import AgreementError, BundleError, UsageError
from pocketvision.export.targets import TARGETS
from pocketvision.tasks.number.answer import Number
from pocketvision.tasks.number.metrics import NumberMetrics
from pocketvision.tasks.tags.answer import Tags
from pocketvision.tasks.tags.metrics import TagMetrics
from pocketvision.tasks.task import Smoothing
from pocketvision.workflows.export import export
from pocketvision.workflows.fit import fit
from pocketvision.workflows.prune import prune
from pocketvision.workflows.quantize import quantize
from pocketvision.workflows.stream import stream
from pocketvision.workflows.training_run import TrainResult

IMAGES = 60
SETTINGS: dict[str, Any] = {
    "size": 64,
    "epochs1": 8,
    "epochs2": 2,
    "lr1": 3e-2,
    "lr2": 1e-3,
    "views": 2,
    "batch": 8,
    "seed": 3,
    "workers": 1,
    "unfreeze": 1,
    "test_share": 0.25,
}
COLUMN = {"tags": "tags", "number": "brightness (%)"}
UNTIL = {"tags": 0.8, "number": 0.5}
"""The mean average precision, and R², that a test split reaches: 0.4 and 0 without learning."""


@dataclass(frozen=True)
class Made:
    kind: str
    table: Path
    trained: TrainResult

    @property
    def bundle(self) -> Path:
        return self.trained.bundle.folder

    @property
    def pictures(self) -> list[Path]:
        return [self.table.parent / f"{number}.png" for number in range(6)]


@pytest.fixture(scope="module", params=["tags", pytest.param("number", marks=pytest.mark.slow)])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, small_network: dict[str, str]
) -> Made:
    kind: str = request.param
    folder = tmp_path_factory.mktemp(kind)
    table = write_tables(folder / "pictures", IMAGES)[kind]
    out = folder / "run"
    trained = pocketvision.train(table, task=kind, label_column=COLUMN[kind], out=out, **SETTINGS, **small_network)
    return Made(kind, table, trained)


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """The run, to be changed."""
    return Path(shutil.copytree(made.trained.run, tmp_path / "run"))


def test_it_learns_and_is_calibrated(made: Made) -> None:
    assert not made.trained.unreported
    validation, test = (each.tasks[made.kind].metrics for each in made.trained.evaluations)
    assert min(validation.headline.value, test.headline.value) > UNTIL[made.kind]
    assert made.trained.bundle.preprocessing.fit == "stretch"  # nothing is cut away
    kept = made.trained.bundle.tasks[made.kind].postprocessing
    if made.kind == "tags":
        assert isinstance(test, TagMetrics) and set(kept["thresholds"]) == set(COLOURS)
        assert len(kept["scales"]) == len(kept["offsets"]) == 3 and 0 < test.f1_macro <= 1
    else:
        assert isinstance(test, NumberMetrics) and (test.unit, kept["unit"]) == ("%", "%")
        assert test.mae < test.mae_of_mean and kept["interval"]["coverage"] == 0.9
        assert test.covered is not None and test.covered >= 0.6


def test_its_run_is_reported_in_both_languages(made: Made, tmp_path: Path) -> None:
    page = (made.trained.run / "report.html").read_text(encoding="utf-8")
    words = {
        "tags": ("Mean average precision", "Co-occurrence"),
        "number": ("Mean absolute error", "Answered against true"),
    }
    assert all(word in page for word in words[made.kind])
    curve = {"tags": "Mean average precision of the validation", "number": "R² of the validation"}[made.kind]
    assert curve in page and "Training accuracy" not in page and ">Accuracy<" not in page
    chart = {"tags": "together", "number": "scatter"}[made.kind]
    assert (made.trained.run / f"plots/{chart}.png").is_file()
    pocketvision.evaluate(made.bundle, made.table, label_column=COLUMN[made.kind], out=tmp_path / "out", lang="ko")
    korean = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert {"tags": "함께 나오는 태그", "number": "평균 절대 오차"}[made.kind] in korean


def test_the_bundle_is_verified(made: Made) -> None:
    assert pocketvision.verify(made.bundle).max_probability_difference < 1e-3


def test_predictions_are_rows_and_lines(made: Made, tmp_path: Path) -> None:
    pocketvision.predict(made.bundle, made.pictures, out=tmp_path / "rows.csv")
    pocketvision.predict(made.bundle, made.pictures, out=tmp_path / "rows.jsonl")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    told = [
        json.loads(line)["answers"][made.kind]
        for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    if made.kind == "tags":
        assert [row["tags"] for row in rows] == [";".join(tag["label"] for tag in each["tags"]) for each in told]
        assert any(row["tags"] for row in rows)
    else:
        assert [float(row["value"]) for row in rows] == pytest.approx([each["value"] for each in told], abs=1e-5)
        assert all(float(row["low"]) < float(row["value"]) < float(row["high"]) for row in rows)
        assert rows[0]["unit"] == "%"


def test_it_is_served(made: Made, tmp_path: Path) -> None:
    picture = made.pictures[0]
    expected = pocketvision.load(made.bundle).answers(picture)[made.kind]
    with starting(made.bundle, tmp_path, made.kind) as start:
        server = start()
        content = {"content": picture.read_bytes(), "headers": {"content-type": "image/png"}}
        told = httpx.post(f"{server.url}/predict", **content).json()["predictions"][0]["answers"][made.kind]
        assert told["headline"] == expected.headline
        with Client(server.url) as client:
            answer = client.predict(picture).answers[made.kind]
        assert isinstance(answer, Tags if made.kind == "tags" else Number) and answer.headline == expected.headline
        assert asyncio.run(_over_a_websocket(server.url, picture))[made.kind].headline == expected.headline
        page = httpx.get(f"{server.url}/models").json()["models"][0]["tasks"][made.kind]["page"]
        assert "export const cells" in httpx.get(f"{server.url}/{page.lstrip('/')}").text


async def _over_a_websocket(url: str, picture: Path) -> Any:
    async with AsyncClient(url) as client, client.session() as session:
        return (await session.predict(picture)).answers


def test_a_folder_is_streamed(made: Made, tmp_path: Path) -> None:
    (folder := tmp_path / "frames").mkdir()
    for picture in made.pictures[:3]:
        shutil.copy(picture, folder)
    smoothing, out = Smoothing("ema", 0.2), tmp_path / "drawn.mp4"
    assert stream(made.bundle, folder, smoothing=smoothing, jsonl=tmp_path / "lines.jsonl", out=out).answered == 3
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(line["smooth_answers"][made.kind]["headline"] for line in lines) and out.stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_it_is_exported(made: Made, copy: Path, target: str) -> None:
    if target == "openvino" and importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    try:
        (exported,) = export(copy / "bundle", [target], seconds=0.05).exported
    except UsageError as error:  # layouts of other libraries hold classifiers alone; what is not installed says so
        assert target not in ("onnx", "openvino", "torchscript", "pt2")
        assert str(error)
        return
    except (
        AgreementError
    ) as error:  # on so few images 8 bits of a random start may cost more than is allowed, and that is said
        assert target.endswith("int8") and "are allowed" in str(error)
        return
    if target == "coreml" and sys.platform != "darwin":  # measured on Apple's machines alone
        assert exported.comparison is None
        return
    assert ("mAP" if made.kind == "tags" else "R2") in json.dumps(exported.to_dict())
    assert (exported.comparison is None) == (not TARGETS[target].runs_here)
    assert pocketvision.verify(copy / "bundle")


@pytest.mark.slow
def test_it_is_quantized(made: Made, copy: Path, tmp_path: Path) -> None:
    found = quantize(
        copy, out=tmp_path / "small", candidates=[Settings("onnxruntime")], max_accuracy_drop=60, seconds=0.05
    )
    assert read_bundle(found.bundle.folder).tasks.keys() == {made.kind}
    _same_decisions(made, found.bundle)


@pytest.mark.slow
def test_it_is_fitted_to_a_budget(made: Made, copy: Path, tmp_path: Path) -> None:
    budget = Budget(None, 1e9, 90)
    found = fit(copy, budget, kinds=["int8"], backends=["onnxruntime"], out=tmp_path / "fit", seconds=0.05)
    assert found.bundle is not None and set(found.bundle.tasks) == {made.kind}
    _same_decisions(made, found.bundle)


@pytest.mark.slow
def test_it_is_pruned(made: Made, copy: Path, tmp_path: Path) -> None:
    settings = PruneSettings(unstructured=0.2, epochs=0, max_accuracy_drop=90)
    if made.kind == "tags":
        pocketvision.threshold(copy / "bundle", wishes=["red:0.25"])
    before = read_bundle(copy / "bundle").tasks[made.kind].postprocessing
    tuned = prune(copy, replace(settings, epochs=1, batch=8), out=tmp_path / "tuned")
    found = prune(copy, settings, out=tmp_path / "small")
    assert (tuned.comparison.drop or 0) < (found.comparison.drop or 0) + 5 and tuned.nonzero == found.nonzero
    assert found.nonzero < 0.9 * found.weights
    after = found.bundle.tasks[made.kind].postprocessing
    if made.kind == "tags":
        assert after["thresholds"] == before["thresholds"] and after["thresholds"]["red"] == 0.25  # somebody chose it
        assert after["scales"] != before["scales"]  # it is another network
    else:
        assert after["unit"] == before["unit"] and after["interval"]["half_width"] > 0


def _same_decisions(made: Made, bundle: Bundle) -> None:
    """Thresholds, or the interval and the unit, are those of the bundle that it was made from."""
    was, now = (each.tasks[made.kind].postprocessing for each in (made.trained.bundle, bundle))
    for name in ("thresholds",) if made.kind == "tags" else ("interval", "unit"):
        assert now[name] == was[name]


def test_the_command_line_tells_of_it(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words)])
        assert ended.value.code == 0
        return capsys.readouterr().out

    options = ("--label-column", COLUMN[made.kind])
    in_tags = " in 3 classes" if made.kind == "tags" else ""
    assert f"{IMAGES} images{in_tags}" in said("check", made.table, "--task", made.kind, *options)
    assert ("mAP" if made.kind == "tags" else "MAE") in said("evaluate", made.bundle, made.table, *options)


def test_another_kinds_data_does_not_measure_it(made: Made, photos: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown class|no column|Expected a table"):
        pocketvision.evaluate(made.bundle, photos)


def test_thresholds_of_tags_are_chosen_anew(made: Made, copy: Path) -> None:
    if made.kind != "tags":
        with pytest.raises(UsageError, match="threshold"):
            pocketvision.threshold(copy / "bundle", made.table, ["f1"], label_column=COLUMN["number"])
        return
    before = read_bundle(copy / "bundle").tasks["tags"].postprocessing["thresholds"]
    pocketvision.threshold(copy / "bundle", made.table, ["red:recall=1", "blue:0.25"])
    after = read_bundle(copy / "bundle").tasks["tags"].postprocessing["thresholds"]
    assert after["blue"] == 0.25 and after["green"] == before["green"]
    found = pocketvision.evaluate(copy / "bundle", made.table).tasks["tags"].metrics
    assert isinstance(found, TagMetrics)
    assert next(each for each in found.per_tag if each.name == "red").recall == 1
    with pytest.raises(UsageError, match=r"Unknown .*'rd'\. Did you mean red"):
        pocketvision.threshold(copy / "bundle", made.table, ["rd:recall=1"])


def test_no_answer_of_several_tags_is_unsure(made: Made, copy: Path) -> None:
    if made.kind == "tags":
        with pytest.raises(UsageError, match=r"--abstain-below .* answers of the kind tags are many"):
            pocketvision.threshold(copy / "bundle", abstain_below=0.6)
        assert "abstain_below" not in read_bundle(copy / "bundle").tasks["tags"].postprocessing
    with pytest.raises(UsageError, match=r"--abstain-below|No threshold decides"):
        pocketvision.train(
            made.table, task=made.kind, label_column=COLUMN[made.kind], out=copy / "x", abstain_below=0.6
        )


def test_a_bundle_with_wrong_settings_is_refused(made: Made, copy: Path) -> None:
    file = copy / "bundle/manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    wrong: dict[str, Any] = {"thresholds": {"purple": 2}} if made.kind == "tags" else {"interval": {"half_width": -1}}
    manifest["tasks"][made.kind]["postprocessing"] |= wrong
    file.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match=r"thresholds is|interval is"):
        read_bundle(copy / "bundle")


@pytest.mark.slow
def test_lists_and_numbers_from_python_are_learned(tmp_path: Path, small_network: dict[str, str]) -> None:
    """As tags and as numbers, whatever the type is called; and the run can be repeated from what it kept."""
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 255, (40, 40, 3)).astype(np.uint8) for _ in range(12)]
    tags = [["a", "b"] if number % 3 == 0 else ["b"] if number % 3 == 1 else [] for number in range(12)]
    checked = pocketvision.check(paths=pictures, labels=tags)
    assert checked.samples.class_counts().tolist() == [4, 8]
    settings = SETTINGS | {"epochs1": 1, "epochs2": 0}
    found = pocketvision.train(
        paths=pictures,
        labels=[float(number) for number in range(12)],
        out=tmp_path / "run",
        **settings,
        **small_network,
    )
    assert [*found.bundle.tasks] == ["number"]
    (kept,) = found.run.glob("**/pictures.csv")
    assert kept.read_text(encoding="utf-8").splitlines()[1].endswith(",0.0")
