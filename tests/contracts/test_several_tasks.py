"""Five tasks in one network through the whole house: one run serves all verbs, and then heads are added to its bundle."""

import csv
import json
import re
import shutil
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from composed_pictures import COLOURS, write_pictures, write_tasks
from served import serving

import pocketvision
from pocketvision.bundle import Bundle, read_bundle
from pocketvision.compression.budget import Budget
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.compression.settings import Settings
from pocketvision.data.learned_from import SAME, known_to
from pocketvision.errors import BundleError, TrainingError, UsageError
from pocketvision.models.rebuild import WEIGHTS_FILE
from pocketvision.runtime.backends import open_onnx
from pocketvision.runtime.onnx_backend import OnnxBackend
from pocketvision.tasks.comparing import SeveralComparisons, lost_points
from pocketvision.tasks.measuring import Comparison
from pocketvision.tasks.task import Detail
from pocketvision.training.best_epoch import best_of
from pocketvision.workflows.export import export
from pocketvision.workflows.fit import fit
from pocketvision.workflows.prune import prune
from pocketvision.workflows.quantize import quantize
from pocketvision.workflows.training_run import TrainResult

IMAGES = 40
SETS = {
    "linear": ("classification", "tags", "number"),
    "all": ("classification", "tags", "number", "detection", "segmentation"),
}
"""Heads in closed form, and with two that learn from maps, which takes longer."""
LEAST = {"classification": 0.5, "tags": 0.5, "number": 0.1, "detection": 0.2, "segmentation": 0.6}
"""What is learned at least, by each task's own figure."""
SETTINGS: dict[str, Any] = {
    "size": 64,
    "epochs2": 1,
    "lr2": 2e-3,
    "views": 1,
    "batch": 8,
    "seed": 3,
    "workers": 1,
    "unfreeze": 1,
    "cache": False,
}
BY_GRADIENTS = {"epochs1": 6, "lr1": 1e-2}


@dataclass(frozen=True)
class Made:
    tasks: tuple[str, ...]
    data: Path
    trained: TrainResult

    @property
    def bundle(self) -> Bundle:
        return self.trained.bundle


@pytest.fixture(scope="module", params=["linear", pytest.param("all", marks=pytest.mark.slow)])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, small_network: dict[str, str]
) -> Made:
    tasks = SETS[request.param]
    folder = tmp_path_factory.mktemp(request.param) / "pictures"
    sources = write_pictures(folder, IMAGES)
    data = write_tasks(folder, {task: sources[task] for task in tasks})
    options = SETTINGS | small_network | (BY_GRADIENTS if "detection" in tasks else {})
    return Made(tasks, data, pocketvision.train(data, out=folder.parent / "run", **options))


def test_all_tasks_learn_in_one_network(made: Made) -> None:
    assert {name: task.kind for name, task in made.bundle.tasks.items()} == {task: task for task in made.tasks}
    assert {*made.trained.history[0].figures} == {*made.tasks}
    (validation,) = made.trained.evaluations
    found = {task: each.metrics.headline.value for task, each in validation.tasks.items()}
    assert set(found) == set(made.tasks) and all(found[task] > LEAST[task] for task in made.tasks), found


def test_the_best_epoch_is_that_of_the_best_mean_rank(made: Made) -> None:
    assert made.trained.best == best_of(made.trained.history)


def test_conflict_is_looked_for_where_layers_are_shared(made: Made) -> None:
    cosines = [{name for name in epoch.tasks if name.endswith(".cosine")} for epoch in made.trained.history]
    assert cosines[0] == set(), "heads alone share nothing"
    assert cosines[-1] == {f"{one}+{other}.cosine" for one, other in combinations(made.tasks, 2)}
    page = (made.trained.run / "report.html").read_text(encoding="utf-8")
    assert 'id="conflicts"' in page and "classification · tags" in page
    with (made.trained.run / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["classification+tags.cosine"] == "" != rows[-1]["classification+tags.cosine"]


def test_the_weights_of_the_file_are_the_recipes(made: Made) -> None:
    written = (made.trained.run / "recipe.toml").read_text(encoding="utf-8")
    assert f'weights = {{ "{made.tasks[-1]}" = 2.0 }}' in written
    report = (made.trained.run / "report.html").read_text(encoding="utf-8")
    assert all(f'id="{task}-' in report for task in made.tasks)


def test_each_task_is_measured_where_its_truth_is(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    sources = write_pictures(folder, 20, seed=5)
    found = pocketvision.evaluate(made.bundle.folder, write_tasks(folder, sources), out=tmp_path / "out")
    images = {"classification": 16, "tags": 20, "number": 18, "detection": 20, "segmentation": 17}
    assert {task: each.metrics.images for task, each in found.tasks.items()} == {
        task: images[task] for task in made.tasks
    }
    assert set(found.to_dict()["tasks"]) == set(made.tasks)
    (folder / "pocketvision.toml").unlink()
    last = made.tasks[-1]
    alone = pocketvision.evaluate(made.bundle.folder, sources[last])
    assert set(alone.tasks) == {last}
    assert alone.tasks[last].metrics.headline.value == pytest.approx(found.tasks[last].metrics.headline.value)


def test_its_split_is_a_source(made: Made) -> None:
    """Over all truth; intervals depend on the order of the pictures."""
    found = pocketvision.evaluate(made.bundle.folder, made.trained.run / "split.csv", split="val")
    assert {task: each.metrics.headline.value for task, each in found.tasks.items()} == pytest.approx(
        {task: each.metrics.headline.value for task, each in made.trained.evaluations[0].tasks.items()}
    )


def test_pictures_get_the_answers_of_all_tasks(made: Made, tmp_path: Path) -> None:
    pictures = sorted(made.data.glob("*.png"))[:4]
    pocketvision.predict(made.bundle.folder, pictures, out=tmp_path / "rows.jsonl")
    pocketvision.predict(made.bundle.folder, pictures, out=tmp_path / "rows.csv")
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [tuple(line["answers"]) for line in lines] == 4 * [made.tasks]
    assert all(line["answers"]["classification"]["label"] in COLOURS for line in lines)
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        columns = set(next(csv.reader(file)))
    assert {column.split(".")[0] for column in columns if "." in column} == set(made.tasks)


def test_one_request_gets_them_too(made: Made) -> None:
    picture = made.data / "3.png"
    expected = pocketvision.load(made.bundle.folder).answers(picture)
    with serving(made.bundle.folder) as client:
        sent = client.post("/predict", content=picture.read_bytes(), headers={"content-type": "image/png"})
        (prediction,) = sent.json()["predictions"]
        assert set(prediction["answers"]) == set(made.tasks) and "label" not in prediction
        assert {task: each["headline"] for task, each in prediction["answers"].items()} == {
            task: each.headline for task, each in expected.items()
        }


def test_heads_that_are_off_are_not_run(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, ran, run = made.data / "3.png", list[set[str]](), OnnxBackend.run

    def counting(self: OnnxBackend, images: Any) -> Any:
        ran.append(set(self.outputs))
        return run(self, images)

    predictor = pocketvision.load(made.bundle.folder)
    whole = predictor.answers(picture)
    monkeypatch.setattr(OnnxBackend, "run", counting)
    for task in made.tasks:
        alone = predictor.wanting(Detail(tasks=(task,))).answers(picture)
        assert list(alone) == [task] and alone[task].headline == whole[task].headline
        assert ran[-1] == set(made.bundle.tasks[task].outputs.values())
    with serving(made.bundle.folder) as client:
        sent = {"content": picture.read_bytes(), "headers": {"content-type": "image/png"}}
        ran.clear()
        (told,) = client.post("/predict?tasks=tags", **sent).json()["predictions"]
        assert list(told["answers"]) == ["tags"] and ran == [set(made.bundle.tasks["tags"].outputs.values())]


def test_it_is_verified_and_each_file_agrees_by_task(made: Made) -> None:
    assert pocketvision.verify(made.bundle.folder)
    agreement = made.bundle.manifest.agreement["model.onnx"]
    assert {name.split(".")[0] for name in agreement} == set(made.tasks)


@pytest.mark.slow
def test_it_is_exported_and_quantized(made: Made, tmp_path: Path) -> None:
    copy = shutil.copytree(made.trained.run, tmp_path / "run") / "bundle"
    (exported,) = export(copy, ["openvino"], seconds=0.05).exported
    assert all(task in json.dumps(exported.to_dict()) for task in made.tasks)
    found = quantize(
        copy, out=tmp_path / "small", candidates=[Settings("onnxruntime")], max_accuracy_drop=60, seconds=0.05
    )
    assert read_bundle(found.bundle.folder).tasks.keys() == made.bundle.tasks.keys()
    assert pocketvision.verify(found.bundle.folder)


@pytest.mark.slow
def test_it_is_pruned(made: Made, tmp_path: Path) -> None:
    settings = PruneSettings(keep_macs=0.8, rounds=1, epochs=1, batch=8, max_accuracy_drop=10_000)
    found = prune(made.trained.run, settings, out=tmp_path / "pruned")
    assert found.after.macs <= 0.8 * found.before.macs
    assert found.bundle.tasks.keys() == made.bundle.tasks.keys() == _compared(found.comparison)
    assert pocketvision.verify(tmp_path / "pruned")


@pytest.mark.slow
def test_it_is_fitted_to_a_budget_with_a_weight_a_task(made: Made, tmp_path: Path) -> None:
    options: dict[str, Any] = {"kinds": ["size"], "backends": ["onnxruntime"], "seconds": 0.02}
    one, *others = made.tasks
    found = fit(made.trained.run, Budget(None, 1e9, 100), out=tmp_path / "one", **options)
    assert not found.failed and {each.trial for each in found.trials} == {"as-it-is", "size-32"}
    (smaller,) = (each for each in found.trials if each.trial == "size-32")
    assert isinstance(smaller.comparison, SeveralComparisons) and _compared(smaller.comparison) == {*made.tasks}
    lost = {task: each.drop or 0.0 for task, each in smaller.comparison.tasks.items()}
    assert max(lost.values()) > 0, "half the pixels cost something"
    for weights, worst in (
        ({one: 1.0} | dict.fromkeys(others, 0.0), max(lost[one], 0.0)),
        (dict.fromkeys(made.tasks, 0.5), 0.5 * max(lost.values())),
    ):
        budget = Budget(None, 1e9, worst, weights)
        again = fit(made.trained.run, budget, out=tmp_path / "one", **options)
        (same,) = (each for each in again.trials if each.trial == "size-32")
        assert lost_points(same.comparison) == pytest.approx(worst) and not same.misses
        tight = fit(
            made.trained.run, replace(budget, max_accuracy_drop=max(worst - 0.01, 0.0)), out=tmp_path / "one", **options
        )
        assert worst == 0 or "accuracy" in next(each for each in tight.trials if each.trial == "size-32").misses
    with pytest.raises(UsageError, match="Did you mean"):
        fit(made.trained.run, Budget(None, 1e9, 1, {f"{one}s": 2}), out=tmp_path / "one", **options)


def test_what_is_trained_for_a_budget_has_its_weights(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times those of the run, whose last task has 2; one that is not judged learns as it did."""
    asked = list[dict[str, Any]]()

    def stub(*_: object, **options: Any) -> None:
        asked.append(options)
        raise TrainingError("enough is seen")

    monkeypatch.setattr("pocketvision.workflows.fit.train", stub)
    one, two, *_, last = made.tasks
    options: dict[str, Any] = {"kinds": ["network"], "networks": ["small_cnn"], "backends": ["onnxruntime"]}
    budget = Budget(None, 1000, 100, {one: 0.5, two: 0.0, last: 3.0})
    found = fit(made.trained.run, budget, out=tmp_path / "one", seconds=0.02, **options)
    assert found.failed["small_cnn"] == "enough is seen"
    assert asked[0]["settings"] == {"loss.weights": {one: 0.5, last: 6.0}} and asked[0]["labels"] is None
    with pytest.raises(UsageError, match=f"task in loss.weights '{one}s'"):
        prune(
            made.trained.run, PruneSettings(keep_macs=0.5, epochs=1, loss_weights={f"{one}s": 2}), out=tmp_path / "two"
        )


def _compared(found: Comparison) -> set[str]:
    """The tasks that a comparison judges."""
    return {name.split(".")[0] for name in found.figures()}


def test_a_damaged_file_is_told(made: Made, tmp_path: Path) -> None:
    """Whichever of them it is: nothing of the bundle is answered with then."""
    for name in made.bundle.manifest.files:
        copy = shutil.copytree(made.bundle.folder, tmp_path / name.replace(".", "_"))
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
        with pytest.raises(BundleError, match=re.escape(name)):
            pocketvision.load(copy)


@pytest.fixture(scope="module")
def grown(made: Made, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """The bundle with a head that tells light pictures from dark ones, learned on other pictures."""
    folder = tmp_path_factory.mktemp("grown") / "pictures"
    numbers = write_pictures(folder, 24, seed=11)["number"]
    rows = [line.split(",") for line in numbers.read_text(encoding="utf-8").splitlines()[1:]]
    middle = np.median([float(value) for _, value in rows])
    shades = [f"{name},{'light' if float(value) > middle else 'dark'}" for name, value in rows]
    (folder / "shades.csv").write_text("\n".join(["path,label", *shades]), encoding="utf-8")
    return pocketvision.train(
        tasks={"shade": folder / "shades.csv"},
        add_to=made.trained.run,
        out=folder.parent / "run",
        seed=3,
        workers=1,
        views=1,
    )


@pytest.mark.slow
def test_an_added_head_leaves_the_weights_of_earlier_tasks_as_they_are(made: Made, grown: TrainResult) -> None:
    assert tuple(grown.bundle.tasks) == (*made.tasks, "shade")
    assert grown.bundle.tasks["shade"].kind == "classification" and grown.bundle.tasks["shade"].labels == (
        "dark",
        "light",
    )
    before, after = (safetensors.numpy.load_file(each.bundle.path(WEIGHTS_FILE)) for each in (made, grown))
    assert {name for name in after if name not in before} == {name for name in after if name.startswith("heads.shade.")}
    assert before and all(value.tobytes() == after[name].tobytes() for name, value in before.items())
    for task in made.tasks:
        one, other = made.bundle.tasks[task], grown.bundle.tasks[task]
        assert (one.postprocessing, one.metrics, one.labels, one.head) == (
            other.postprocessing,
            other.metrics,
            other.labels,
            other.head,
        )


@pytest.mark.slow
def test_earlier_tasks_answer_as_before(made: Made, grown: TrainResult) -> None:
    images = made.bundle.golden()["images"]
    one, other = (open_onnx(each.bundle.path("model.onnx")).run(images) for each in (made, grown))
    assert set(one) < set(other)
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_the_added_head_is_measured_and_the_images_of_both_trainings_are_known(grown: TrainResult) -> None:
    (validation,) = grown.evaluations
    assert set(validation.tasks) == {"shade"} and validation.tasks["shade"].metrics.headline.value >= 0.5
    known = known_to(grown.bundle)
    assert known is not None and len(known) == IMAGES + 21 and int((known.kinds == SAME).sum()) == IMAGES + 21
    assert pocketvision.verify(grown.bundle.folder)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unfreeze": 1}, "the backbone stays as it is"),
        ({"size": 96}, r"--size and --add-to contradict each other"),
        ({"model": "mobilenet_v2"}, r"--model and --add-to contradict each other"),
        ({}, r"answers classification, tags, number.* already.*--tasks NAME=SOURCE"),
    ],
)
def test_what_can_not_be_added(made: Made, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        pocketvision.train(made.data, add_to=made.bundle.folder, out=tmp_path / "run", workers=1, **options)
    assert not (tmp_path / "run").exists()
