"""threshold: the verb and the function, on pictures whose probabilities overlap."""

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import serving

import pocketvision
from pocketvision.bundle import Bundle, read_bundle, rewrite_bundle, write_bundle
from pocketvision.cli.main import main
from pocketvision.errors import BundleError, UsageError
from pocketvision.evaluation.deciding import ThresholdResult, decided_by_validation, wanted_after_training
from pocketvision.runtime.averaged_predictor import AveragedPredictor
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.task import classifying
from pocketvision.workflows.evaluate import evaluate
from pocketvision.workflows.threshold import threshold
from pocketvision.workflows.verify import verify

SPLITS = {"train": 4, "val": 60, "test": 40}


def reddish_graph() -> bytes:
    """dog against cat: the more red than green, the more cat. Probabilities of two classes in the place of three."""
    from onnx import TensorProto, checker, helper, numpy_helper

    def tensor(name: str, shape: list[str | int]) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "reddish",
        [tensor("images", ["batch", 3, 16, 16])],
        [tensor("logits", ["batch", 2]), tensor("probabilities", ["batch", 2])],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return model.SerializeToString()  # type: ignore[no-any-return]


WEIGHTS = np.array([[0, 3], [3, 0], [0, 0]], np.float32)


@pytest.fixture(scope="module")
def two(shared_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of two classes."""
    manifest = shared_bundle.manifest
    graph = manifest.graphs[0]
    outputs = tuple(replace(each, shape=("batch", 2)) for each in graph.outputs)
    images = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)
    logits = images.mean(axis=(2, 3)) @ WEIGHTS
    return write_bundle(
        tmp_path_factory.mktemp("two") / "bundle",
        replace(
            manifest,
            tasks=classifying(("dog", "cat")),
            graphs=(replace(graph, outputs=outputs),),
            files={},
            versions={},
        ),
        {"model.onnx": reddish_graph()},
        images,
        {"logits": logits, "probabilities": softmax(logits)},
    )


@pytest.fixture
def bundle(two: Bundle, tmp_path: Path) -> Bundle:
    """One of the test's own."""
    return replace(two, folder=shutil.copytree(two.folder, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of cats and dogs, more red than green and the other way round, as a table with splits."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(5)
    lines = ["path,label,split"]
    for split, count in SPLITS.items():
        for number in range(count):
            is_cat = generator.random() < 0.4
            shift = generator.normal(18 if is_cat else -18, 30)
            colour = tuple(int(np.clip(each, 0, 255)) for each in (128 + shift, 128 - shift, generator.integers(256)))
            name = f"{split}-{number}.png"
            Image.new("RGB", (20, 20), colour).save(folder / name)
            lines.append(f"{name},{('dog', 'cat')[is_cat]},{split}")
    file = folder / "pictures.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def postprocessing(bundle: Bundle) -> dict[str, object]:
    return read_bundle(bundle.folder).task.postprocessing


def cat_figures(bundle: Bundle, table: Path, split: str) -> tuple[float, float]:
    """Precision and recall of the cats, by another way than the verb's."""
    metrics = evaluate(bundle.folder, table, split=split, positive="cat").metrics
    assert metrics.precision is not None and metrics.recall is not None
    return metrics.precision, metrics.recall


def test_a_wish_is_met_and_written(bundle: Bundle, table: Path) -> None:
    before = cat_figures(bundle, table, "val")
    assert before[1] < 0.95
    unchanged = {name: (bundle.folder / name).read_bytes() for name in bundle.manifest.files}
    found = threshold(bundle.folder, table, ["recall=0.95"])
    assert found.before is not None and found.after is not None
    assert found.after.name == "val" and len(found.after.paths) == SPLITS["val"], "the validation split chooses"
    precision, recall = cat_figures(bundle, table, "val")
    assert recall >= 0.95 and precision < before[0]
    point = found.points(found.after)["cat"]
    assert (point.precision, point.recall) == (pytest.approx(precision), pytest.approx(recall))
    assert (found.points(found.before)["cat"].precision, found.points(found.before)["cat"].recall) == before
    told = postprocessing(bundle)
    assert told["thresholds"] == found.now["thresholds"] and sum(found.now["thresholds"].values()) == pytest.approx(1)
    assert told["thresholds_for"] == {"wishes": ["recall=0.95"], "images": SPLITS["val"]}
    assert {name: (bundle.folder / name).read_bytes() for name in bundle.manifest.files} == unchanged
    assert verify(bundle.folder).files, "hashes and golden outputs are as they were"
    document = found.to_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["after"]["points"]["cat"]["intervals"]["recall"][0] < recall


def test_wishes_in_turn_and_back(bundle: Bundle, table: Path) -> None:
    was = postprocessing(bundle)
    threshold(bundle.folder, table, ["precision=0.9"])
    assert cat_figures(bundle, table, "val")[0] >= 0.9
    costly = threshold(bundle.folder, table, ["cost=5:1"]).now["thresholds"]["cat"]
    cheap = threshold(bundle.folder, table, ["cost=1:5"]).now["thresholds"]["cat"]
    assert costly < 0.5 < cheap, "a miss that costs more is avoided by a lower threshold"
    assert threshold(bundle.folder, table, ["dog:f1"]).was["thresholds"]["cat"] == cheap
    given = threshold(bundle.folder, wishes=["0.3"], abstain_below=0.6)
    assert given.now == {"thresholds": {"dog": 0.7, "cat": 0.3}, "abstain_below": 0.6}
    assert given.before is given.after is None
    back = threshold(bundle.folder, reset=True)
    assert back.now == {} and back.was["abstain_below"] == 0.6
    assert postprocessing(bundle) == was


def test_unsure_answers_are_counted(bundle: Bundle, table: Path) -> None:
    found = threshold(bundle.folder, table, abstain_below=0.8)
    assert found.after is not None and found.after.metrics.abstaining is not None
    every = [Predictor(found.bundle)(table.parent / path) for path in found.after.paths]
    sure = [answer.unsure is False for answer in every]
    right = [
        answer.label == found.after.class_names[true] for answer, true in zip(every, found.after.labels, strict=True)
    ]
    coverage = found.after.metrics.abstaining
    assert coverage.answered == sum(sure) < len(sure)
    assert coverage.right == sum(known and hit for known, hit in zip(sure, right, strict=True))
    assert coverage.accuracy is not None and coverage.accuracy > found.after.metrics.accuracy
    assert [answer.unsure for answer in every] == [bool(answer.probability < 0.8) for answer in every]


def test_figures_that_were_measured_before_say_so(bundle: Bundle, table: Path) -> None:
    def measured(split: str) -> Bundle:
        found = read_bundle(bundle.folder)
        summary = evaluate(bundle.folder, table, split=split).summary()
        task = replace(found.task, metrics={"test": summary})
        return rewrite_bundle(found, replace(found.manifest, tasks={"classification": task}))

    plain = measured("test").headline
    assert "thresholds" not in plain
    changed = threshold(bundle.folder, wishes=["0.3"]).bundle
    assert changed.headline == f"{plain}, before its settings were changed"
    assert changed.figures[0].to_dict()["before_thresholds"] is True
    assert "thresholds" not in threshold(bundle.folder, reset=True).bundle.headline
    threshold(bundle.folder, wishes=["0.3"])
    again = measured("test")
    assert "thresholds" not in again.headline, "measured with them"
    assert "before its" in threshold(bundle.folder, reset=True).bundle.headline


def test_a_training_is_not_lost_over_a_wish(bundle: Bundle, table: Path, swapped: Path) -> None:
    """What `train --threshold` does in its end: the bundle stays as good as it was, and what can be met is said."""
    task = bundle.task
    wanted = wanted_after_training(task, "cat:precision=0.9", None, 0.55)
    assert wanted is not None and wanted_after_training(task, None, None, None) is None
    kept, note = decided_by_validation(bundle, bundle.task_name, wanted, evaluate(bundle.folder, swapped))
    assert "No threshold was chosen. cat:precision=0.9 can not be met: the highest precision for 'cat'" in note
    assert kept.task.postprocessing == {**task.postprocessing, "abstain_below": 0.55} == postprocessing(bundle)
    met, note = decided_by_validation(bundle, bundle.task_name, wanted, evaluate(bundle.folder, table, split="val"))
    assert not note and met.task.postprocessing["thresholds_for"]["images"] == SPLITS["val"]


def test_the_command_line(bundle: Bundle, table: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    arguments = ("threshold", bundle.folder, table, "--class", "cat", "--recall", "0.95", "--abstain-below", "0.6")
    assert run(*arguments, "--json", file) == 0
    told = capsys.readouterr().out
    lines = told.splitlines()
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["wishes"] == ["cat:recall=0.95"]
    point = document["after"]["points"]["cat"]
    now = next(line for line in lines if line.strip().startswith("now"))
    low, high = point["intervals"]["recall"]
    assert f"{point['threshold']:.3f}" in now and f"{point['recall']:.3f} ({low:.2f} to {high:.2f})" in now
    assert "dog" not in told.split("Before:")[0], "only what was wished for stands in the table"
    assert "Before: accuracy" in told and "Now: accuracy" in told and "sure of" in told
    assert "On 60 images" in told and "new images will do somewhat worse" in told
    assert run("threshold", bundle.folder, "--at", "0.25") == 0
    assert "thresholds: dog 0.75, cat 0.25; abstain below: 0.6" in capsys.readouterr().out
    assert run("threshold", bundle.folder, "--reset", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["now"] == {}
    assert run("threshold", bundle.folder, table, "--f1", "--split", "test") == 0
    assert "These images are no untouched test any more" in capsys.readouterr().out


def test_sets_of_classes(bundle: Bundle, table: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("threshold", bundle.folder, table, "--coverage", "0.9") == 0
    told = capsys.readouterr().out
    assert "Prediction sets: the classes with a probability of" in told and "sets hold the true class in" in told
    sets = postprocessing(bundle)["conformal"]
    assert sets["coverage"] == 0.9 and sets["images"] == SPLITS["val"]
    picture = next(table.parent.rglob("*.png"))
    assert run("predict", bundle.folder, picture, "--out", tmp_path / "answers.csv") == 0
    with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert set(row["prediction_set"].split("; ")) <= {"dog", "cat", ""}
    assert row["unsure"] == str(row["prediction_set"] not in ("dog", "cat")).lower()
    test = evaluate(bundle.folder, table).to_dict()["prediction_sets"]
    assert test["asked"] == 0.9 and 0.7 < test["covered"] <= 1
    assert threshold(bundle.folder, reset=True).now == {}
    for arguments, complaint in (
        (["--coverage", "0.9"], "coverage=0.9 is chosen on labelled images, and there are none"),
        ([table, "--coverage", "1"], "--coverage is 1; expected a share between 0 and 1"),
        ([table, "--coverage", "0.99"], "takes at least 99 labelled images to calibrate on; there are 60"),
    ):
        assert run("threshold", bundle.folder, *arguments) == 2
        assert complaint in " ".join(capsys.readouterr().err.split())


def test_none_of_these(
    bundle: Bundle, table: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Told from the features that the graph's last product reads; of another file's features nothing is said."""
    assert run("threshold", bundle.folder, table, "--none-of-these", "0.05") == 0
    assert "None of these: what is more novel than 95% of ordinary images." in capsys.readouterr().out
    told = read_bundle(bundle.folder)
    assert postprocessing(told)["novel_from"] == 0.95 and verify(bundle.folder)
    Image.new("RGB", (20, 20), (255, 0, 0)).save(tmp_path / "red.png")
    ordinary = table.parent / next(csv.DictReader(table.open(encoding="utf-8")))["path"]
    assert run("predict", bundle.folder, tmp_path / "red.png", ordinary, "--out", tmp_path / "answers.jsonl") == 0
    red, usual = map(json.loads, (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines())
    assert (red["none_of_these"], red["unsure"], red["novelty"]) == (True, True, 1)
    assert (usual["none_of_these"], usual["unsure"]) == (False, False) and usual["novelty"] < 0.95
    capsys.readouterr()
    assert run("predict", bundle.folder, tmp_path / "red.png") == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("none of these")
    with serving(bundle.folder) as client, (tmp_path / "red.png").open("rb") as opened:
        (served,) = client.post("/predict", files={"file": opened}).json()["predictions"]
    assert (served["none_of_these"], served["novelty"]) == (True, 1)
    assert served["answers"]["classification"]["headline"].startswith("none of these (")
    changed = told.path("model.onnx").read_bytes() + b"\x12\x01x"  # as who made it: another file, the same graph
    other = rewrite_bundle(told, told.manifest, {"model.onnx": changed}, folder=tmp_path / "other")
    answer = Predictor(other)(tmp_path / "red.png")
    assert answer.none_of_these is None and answer.unsure is None
    assert "its answers were to say none of these" in caplog.text
    assert threshold(bundle.folder, reset=True).now == {}
    assert Predictor(read_bundle(bundle.folder))(tmp_path / "red.png").none_of_these is None


def test_views_are_averaged_with_their_novelty(bundle: Bundle, table: Path, tmp_path: Path) -> None:
    threshold(bundle.folder, table, none_of_these=0.05)
    Image.new("RGB", (20, 20), (255, 0, 0)).save(tmp_path / "red.png")
    averaged = AveragedPredictor(Predictor(read_bundle(bundle.folder)), ["hflip", "rot90"])
    assert averaged.answers(tmp_path / "red.png")["classification"].none_of_these


def test_what_can_not_be_told_leaves_the_bundle_as_it_was(untouched: Bundle, table: Path) -> None:
    """Thresholds that were wished for beside it too."""
    with pytest.raises(UsageError, match="takes at least 100 ordinary pictures"):
        threshold(untouched.folder, table, ["f1"], none_of_these=0.01)


def test_none_of_these_is_refused(bundle: Bundle, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = table.read_text(encoding="utf-8").splitlines()
    alone = table.parent / "alone.csv"
    alone.write_text("\n".join(row for row in rows if "train" not in row), encoding="utf-8")
    for arguments, complaint in (
        (["--none-of-these", "0.05"], "none-of-these=0.05 is chosen on labelled images, and there are none"),
        ([table, "--none-of-these", "1"], "--none-of-these is 1; expected a share between 0 and 1"),
        (
            [table, "--none-of-these", "0.01"],
            "takes at least 100 ordinary pictures that were not learned from; there are 60",
        ),
        ([alone, "--none-of-these", "0.05"], "there is no training split in"),
    ):
        assert run("threshold", bundle.folder, *arguments) == 2
        assert complaint in " ".join(capsys.readouterr().err.split())


def test_it_is_a_function_of_the_package(bundle: Bundle, table: Path) -> None:
    found = pocketvision.threshold(bundle.folder, table, ["f1"], positive="dog")
    assert isinstance(found, ThresholdResult)


@pytest.fixture
def swapped(tmp_path: Path) -> Path:
    """The reddest is a dog: no threshold has only cats above it."""
    for red in (100, 150, 200):
        Image.new("RGB", (20, 20), (red, 100, 0)).save(tmp_path / f"{red}.png")
    file = tmp_path / "swapped.csv"
    file.write_text("path,label\n100.png,cat\n150.png,cat\n200.png,dog\n", encoding="utf-8")
    return file


@pytest.fixture
def untouched(bundle: Bundle) -> Iterator[Bundle]:
    """A bundle that a refusal leaves as it is."""
    before = {file: file.read_bytes() for file in bundle.folder.iterdir()}
    yield bundle
    assert {file: file.read_bytes() for file in bundle.folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--at", "1.5"], "The threshold 1.5 is outside [0, 1]"),
        (["--at", "nan"], "outside [0, 1]"),
        (["--class", "cats", "--at", "0.5"], "Unknown class 'cats'. Did you mean cat?"),
        (["--class", "cat"], "Nothing is wished for the class 'cat'"),
        (["SWAPPED", "--precision", "0.9"], "the highest precision for 'cat' on these 3 images is 0.67, at threshold"),
        (["TABLE", "--recall", "1.2"], "A recall of 1.2 is wished for"),
        (["TABLE", "--cost", "much"], "'much' is no number"),
        (["TABLE", "--abstain-below", "1.5"], "--abstain-below is 1.5; expected a score from 0 to 1"),
        (["TABLE", "--f1", "--recall", "0.9"], "--f1, --recall are wishes for one threshold; keep one"),
        (["TABLE"], "Nothing is wished for. Wish for one of f1, precision=0.95"),
        (["--recall", "0.9"], "recall=0.9 is chosen on labelled images, and there are none: give DATA"),
        (["TABLE", "--f1", "--task", "clasification"], "Unknown task 'clasification'. Did you mean classification?"),
        (["OTHER", "--f1"], "Unknown class 'cow'. Known: dog, cat."),
        (["DOGS", "--recall", "0.9"], "cat:recall=0.9: none of 1 image is of 'cat'"),
        (["nowhere", "--f1"], "nowhere"),
    ],
)
def test_what_can_not_be_done_is_said(
    untouched: Bundle,
    table: Path,
    swapped: Path,
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    places = {name: tmp_path / f"{name}.csv" for name in ("OTHER", "DOGS")}
    for name, label in (("OTHER", "cow"), ("DOGS", "dog")):
        places[name].write_text(f"path,label\n{table.parent / 'val-0.png'},{label}\n", encoding="utf-8")
    places |= {"TABLE": table, "SWAPPED": swapped}
    assert run("threshold", untouched.folder, *(places.get(each, each) for each in arguments)) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert complaint in told and "Traceback" not in told


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no manifest"):
        threshold(tmp_path, wishes=["0.5"])
    with pytest.raises(UsageError, match="is no bundle's folder, so there is no manifest to write thresholds into"):
        threshold("lite0", wishes=["0.5"])
