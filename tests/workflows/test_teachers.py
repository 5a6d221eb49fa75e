"""A teacher in a training, several bundles as one, and the weights of several trainings averaged, each through its verb."""

import csv
import filecmp
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import serving

from pocketvision.bundle import read_bundle, rewrite_bundle
from pocketvision.cli.main import main
from pocketvision.compression.settings import Settings
from pocketvision.errors import AgreementError, UsageError
from pocketvision.progress import EpochEnded, Event
from pocketvision.runtime.backends import open_backend
from pocketvision.workflows.ensemble import ensemble
from pocketvision.workflows.load import load
from pocketvision.workflows.quantize import quantize
from pocketvision.workflows.soup import soup
from pocketvision.workflows.train import train
from pocketvision.workflows.training_run import TrainResult
from pocketvision.workflows.verify import verify

WEIGHTS = "stage2/best.safetensors"


@pytest.fixture(scope="module")
def options(tiny_training: dict[str, Any]) -> dict[str, Any]:
    return tiny_training | {"epochs1": 0, "epochs2": 2, "views": 1, "batch": 32, "settings": {"phases.2.unfreeze": 1}}


@pytest.fixture(scope="module")
def teaching(trained: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A teacher, and pictures of noise without labels."""
    folder, random = tmp_path_factory.mktemp("unlabelled"), np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return {"teacher": str(trained.run), "unlabelled": str(folder), "test_share": 0.2}


@pytest.fixture(scope="module")
def taught(
    photos: Path, teaching: dict[str, Any], options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> TrainResult:
    return train(photos, out=tmp_path_factory.mktemp("taught") / "run", **teaching, **options)


def test_pictures_without_labels_are_learned_from_and_written_down(
    taught: TrainResult, teaching: dict[str, Any]
) -> None:
    assert "Without labels, learned from by what the teacher says of them: 5 images." in taught.notes
    with (taught.run / "split.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == ""]
    assert [row["split"] for row in rows] == ["train"] * 5
    assert teaching["unlabelled"] in (taught.run / "recipe.toml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_taught_run_that_was_broken_off_ends_as_an_unbroken_one(
    photos: Path, teaching: dict[str, Any], taught: TrainResult, options: dict[str, Any], tmp_path: Path
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnded):
            raise KeyboardInterrupt

    broken = tmp_path / "run"
    train(photos, out=broken, on_event=interrupt, **teaching, **options)
    late = Path(teaching["unlabelled"]) / "late.png"  # what has come since is left alone
    Image.fromarray(np.random.default_rng(9).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(late)
    train(resume=broken)
    late.unlink()
    assert filecmp.cmp(broken / WEIGHTS, taught.run / WEIGHTS, shallow=False)
    assert json.loads((broken / "teachers.json").read_text()) != {}


@pytest.mark.slow
def test_what_a_teacher_says_is_learned(
    photos: Path, taught: TrainResult, options: dict[str, Any], tmp_path: Path
) -> None:
    """Alone, the same run comes to other weights."""
    alone = train(photos, out=tmp_path / "alone", test_share=0.2, **options)
    assert not filecmp.cmp(alone.run / WEIGHTS, taught.run / WEIGHTS, shallow=False)
    assert not (alone.run / "teachers.json").exists()


def test_teachers_and_minutes_contradict_each_other(photos: Path, trained: TrainResult, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(UsageError, match="--minutes does not know how long teachers take"):
        train(photos, out=out, teacher=str(trained.run), minutes=1)
    assert not out.exists()


@pytest.mark.slow
def test_a_teacher_needs_a_phase_of_gradients(
    photos: Path, trained: TrainResult, tmp_path: Path, options: dict[str, Any]
) -> None:
    out = tmp_path / "run"
    with pytest.raises(UsageError, match="all phases here are solved in closed form"):
        train(photos, out=out, effort="quick", teacher=str(trained.run), size=64, workers=2, model=options["model"],
              weights=options["weights"])  # fmt: skip
    assert not out.exists()


def test_an_ensemble_answers_the_mean_and_ships_as_one(
    trained: TrainResult, taught: TrainResult, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "ensemble", next(photos.glob("*/*.png"))
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["ensemble", str(trained.run), str(taught.run), "--out", str(out)])
    assert "The ensemble: accuracy" in capsys.readouterr().out
    written = read_bundle(out)
    images = written.golden()["images"]
    members = [open_backend(each.bundle).run(images)["probabilities"] for each in (trained, taught)]
    found = open_backend(written).run(images)
    logits = np.log(np.mean(members, axis=0)) / written.task.postprocessing["temperature"]
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-5)
    assert verify(out).images == len(images)
    torch_answers = open_backend(written, "torch").run(images)
    np.testing.assert_allclose(torch_answers["probabilities"], found["probabilities"], atol=1e-5)
    with pytest.raises(UsageError, match="expected two or more"):
        ensemble([out], out=tmp_path / "again")
    with serving(out) as client:
        sent = client.post("/predict", content=picture.read_bytes(), headers={"content-type": "image/png"})
        (answer,) = sent.json()["predictions"]
    assert answer["label"] == load(out)(picture).label
    small = quantize(
        out, data=trained.run / "split.csv", out=tmp_path / "small", candidates=[Settings("onnxruntime")], calibration=8,
        max_accuracy_drop=100, seconds=0.02,
    ).bundle  # fmt: skip
    assert small.manifest.files["model.onnx"].size < 0.6 * written.manifest.files["model.onnx"].size
    apart = np.abs(open_backend(small).run(images)["probabilities"] - found["probabilities"])
    assert apart.max() < 0.2 and verify(small.folder).images == len(images)


def test_bundles_that_do_not_fit_are_refused_with_the_difference(trained: TrainResult, tmp_path: Path) -> None:
    one = trained.bundle
    smaller = rewrite_bundle(
        one,
        replace(one.manifest, preprocessing=replace(one.preprocessing, crop_share=0.5)),
        folder=tmp_path / "smaller",
    )
    with pytest.raises(UsageError, match=r"do not see images alike: crop_share 0\.875 and 0\.5"):
        ensemble([one.folder, smaller.folder], out=tmp_path / "out")
    tasks = {"classification": replace(one.task, labels=("cat", one.task.labels[1]))}
    other = rewrite_bundle(one, replace(one.manifest, tasks=tasks), folder=tmp_path / "other")
    with pytest.raises(UsageError, match=r"knows .*'teasing'.* 'cat', 'teasing'\. Expected the same classes"):
        soup([one.folder, other.folder], out=tmp_path / "out")
    with pytest.raises(UsageError, match="expected two or more"):
        soup([one.folder], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_soup_of_equals_is_written_and_a_bad_one_is_not(trained: TrainResult, tmp_path: Path) -> None:
    """Twice the same network is no worse than once; with one whose head says the opposite, no average is as good."""
    import safetensors.torch

    from pocketvision.models.rebuild import WEIGHTS_FILE

    one = trained.bundle
    same = rewrite_bundle(one, one.manifest, folder=tmp_path / "same")
    found = soup([trained.run, same.folder], out=tmp_path / "soup")
    assert [taste.added for _, taste in found.tastes] == [True, True]
    assert found.figures == found.best
    state = safetensors.torch.load_file(one.path(WEIGHTS_FILE))
    turned = {name: -3 * each if name.startswith("heads.") else each for name, each in state.items()}
    opposite = rewrite_bundle(
        one, one.manifest, {WEIGHTS_FILE: safetensors.torch.save(turned)}, folder=tmp_path / "opposite"
    )
    with pytest.raises(AgreementError, match="no average comes to as little"):
        soup([trained.run, opposite.folder], out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
