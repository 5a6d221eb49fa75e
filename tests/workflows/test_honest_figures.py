"""A figure over images that were learned from is never called untouched: said while training, kept in the bundle, asked by every
verb that measures."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from golden_pictures import EACH, SMALL_RUN, write_pictures
from PIL import Image

import pocketvision
from pocketvision.bundle import Bundle, read_bundle
from pocketvision.cli.main import main
from pocketvision.compression.bundle_images import hashes_for, measuring_images
from pocketvision.data.learned_from import FILE
from pocketvision.errors import UsageError
from pocketvision.progress import Event, Note
from pocketvision.workflows.training_run import TrainResult

SETTINGS = {**SMALL_RUN, "epochs2": 3, "lr2": 3e-2, "batch": 4}
# By their numbers in every class; the two after these go to val/, the last three to test/.
IN_TRAIN = 5
LEAKED = 4


def notes_into(notes: list[str]) -> Callable[[Event], None]:
    return lambda event: notes.append(event.text) if isinstance(event, Note) else None


@dataclass(frozen=True)
class Leaking:
    """A data set whose test/ holds three pictures of train/ and one of val/, and one picture in two classes."""

    data: Path
    result: TrainResult


@pytest.fixture(scope="module")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> Leaking:
    folder = tmp_path_factory.mktemp("leaking")
    write_pictures(folder / "all")
    data = folder / "data"
    for file in sorted((folder / "all").glob("*/*.png")):
        split = "train" if int(file.stem) < IN_TRAIN else "val" if int(file.stem) < EACH - 3 else "test"
        target = data / split / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    train, test = data / "train", data / "test"
    shutil.copy(train / "disc/0.png", test / "disc/again.png")
    shutil.copy(data / "val/disc/5.png", test / "disc/chosen-by.png")
    Image.open(train / "ring/1.png").save(test / "ring/encoded.jpg", quality=90)
    Image.open(train / "stripes/2.png").resize((70, 70)).save(test / "stripes/larger.png")
    shutil.copy(train / "ring/3.png", train / "disc/or-a-ring.png")
    return Leaking(data, pocketvision.train(data, out=folder / "run", **SETTINGS))


def test_train_tells_what_the_audit_found_worst_first(leaking: Leaking) -> None:
    notes = [note for note in leaking.result.notes if note.startswith(("error, ", "warning, ", "note, "))]
    assert [note.partition(":")[0] for note in notes[:3]] == [
        "error, leak x 2",
        "error, near leak x 2",
        "error, conflicting labels x 1",
    ]
    assert "again.png" in notes[0]
    severities = [note.partition(",")[0] for note in notes]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


def test_the_test_figure_is_of_the_others_and_both_are_said(leaking: Leaking) -> None:
    test = leaking.result.evaluations[1]
    assert (test.role, test.metrics.images, test.selection) == ("test", 9, False)
    assert test.overlap is not None and test.overlap.with_them is not None
    assert (test.overlap.same, test.overlap.near, test.overlap.images) == (2, 2, 13)
    assert test.overlap.with_them.images == 13
    assert "4 of 13 images took part in the training" in test.overlap_text and "with them accuracy" in test.overlap_text
    kept = json.loads((leaking.result.run / "metrics.json").read_text())["evaluations"]["test"]
    assert kept["images"] == 9 and kept["learned_from"]["with_them"]["images"] == 13
    assert "again.png" in " ".join(kept["learned_from"]["files"])


def test_the_manifest_holds_the_clean_figure_with_the_other_beside_it(leaking: Leaking) -> None:
    bundle = read_bundle(leaking.result.run)
    test = bundle.task.metrics["test"]
    assert (test["images"], test["left_out"], test["learned_from"]["with_them"]["images"]) == (9, LEAKED, 13)
    assert bundle.task.metrics["selection"]["fingerprint"] != test["fingerprint"] != ""
    assert bundle.figures[0].word == "test" and bundle.figures[0].left_out == LEAKED
    assert bundle.headline.endswith(", test, 9 images")
    assert "again.png" not in (bundle.folder / "manifest.json").read_text()


def test_evaluate_says_what_each_split_was_to_the_training(
    leaking: Leaking, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluated(*arguments: str | Path) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *map(str, arguments)])
        assert not ended.value.code
        return " ".join(capsys.readouterr().out.split())

    run, data = leaking.result.run, leaking.data
    assert "learned from: the model has seen these images" in evaluated(run, data, "--split", "train")
    assert "selection: these images chose the epoch" in evaluated(run, run / "split.csv", "--split", "Validation")
    test = evaluated(run, data)
    assert "9 images, untouched by the training" in test and "4 of 13 images took part" in test


def test_evaluate_on_new_images_leaves_out_what_was_learned_from(leaking: Leaking, tmp_path: Path) -> None:
    write_pictures(tmp_path / "more")
    for file in (tmp_path / "more").glob("*/*.png"):
        if int(file.stem) >= EACH - 3:
            Image.open(file).transpose(Image.Transpose.ROTATE_90).save(file)
    found = pocketvision.evaluate(leaking.result.run, tmp_path / "more")
    assert found.role == "given" and found.word == "none of which it learned from"
    assert found.overlap is not None and found.overlap.left_out >= 21
    assert found.metrics.images == 30 - found.overlap.left_out


def test_a_baseline_is_not_measured_on_what_was_learned_from(leaking: Leaking, tmp_path: Path) -> None:
    shutil.copytree(leaking.result.bundle.folder, tmp_path / "bundle")
    with pytest.raises(UsageError, match="learned from"):
        pocketvision.evaluate(tmp_path / "bundle", leaking.data / "train", baseline=True)


def test_what_a_bundle_without_hashes_learned_from_can_not_be_known(leaking: Leaking, tmp_path: Path) -> None:
    result = pocketvision.train(leaking.data, out=tmp_path / "run", ship_hashes=False, **SETTINGS)
    assert FILE not in result.bundle.manifest.files
    found = pocketvision.evaluate(tmp_path / "run", leaking.data)
    assert (found.role, found.overlap, found.metrics.images) == ("given", None, 13)
    assert "can not be known" in found.overlap_text
    assert pocketvision.evaluate(tmp_path / "run", leaking.data, split="train").role == "learned"
    notes: list[str] = []
    assert measuring_images(result.bundle, leaking.data, notes_into(notes)).overlap is None
    assert any("can not be known" in note for note in notes)


def test_what_judges_a_smaller_bundle_is_named_and_not_what_was_learned_from(leaking: Leaking, tmp_path: Path) -> None:
    bundle = leaking.result.bundle
    notes: list[str] = []
    own = measuring_images(bundle, None, notes_into(notes))
    assert own.role == "selection" and len(own) == 6
    assert any("selection" in note for note in notes)
    # The training pictures, named as if they were for validation.
    (tmp_path / "data").mkdir()
    shutil.copytree(leaking.data / "train", tmp_path / "data" / "train")
    shutil.copytree(leaking.data / "test", tmp_path / "data" / "val")
    other = measuring_images(bundle, tmp_path / "data", notes_into(notes))
    assert len(other) == 9 and len(other.truth["classification"]) == 9
    assert any("4 of 13 images took part" in note and "without them" in note and "with them" in note for note in notes)


def test_a_bundle_made_from_one_keeps_the_hashes_and_those_of_what_it_was_tuned_on(
    leaking: Leaking, tmp_path: Path
) -> None:
    from pocketvision.compression.bundle_images import calibration_images
    from pocketvision.workflows.quantize import quantize

    bundle = leaking.result.bundle
    small = quantize(bundle.folder, out=tmp_path / "int8", method="dynamic", max_accuracy_drop=100, seconds=0.05)
    assert isinstance(small.bundle, Bundle) and FILE in small.bundle.manifest.files
    again = pocketvision.evaluate(small.bundle.folder, leaking.data, split="train")
    assert again.role == "learned"
    assert small.bundle.headline.endswith("before compression")
    write_pictures(tmp_path / "more")
    for file in (tmp_path / "more").glob("*/*.png"):
        Image.open(file).transpose(Image.Transpose.ROTATE_90).save(file)
    learning = calibration_images(bundle, tmp_path / "more", lambda _: None)
    ((name, content),) = hashes_for(bundle, learning).items()
    before = bundle.manifest.files[FILE].size
    assert name == FILE and isinstance(content, bytes) and len(content) > before + 32 * (len(learning) - 3)
