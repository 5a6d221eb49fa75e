"""What PocketVision 0.1.0 wrote (manifests and runs of format 1) is still read, answers the same, and goes on where it can."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import pocketvision
from pocketvision.bundle import FORMAT_VERSION, read_bundle, rewrite_bundle
from pocketvision.errors import TrainingError, UsageError
from pocketvision.models.rebuild import rebuilt
from pocketvision.models.weights import load_pretrained
from pocketvision.runtime.backends import open_backend
from pocketvision.runtime.golden_check import OTHER_CPU_TOLERANCE, TOLERANCE
from pocketvision.training.checkpoint import read_checkpoint
from pocketvision.training.recipe_file import read_recipe
from pocketvision.workflows.predict import predict


@pytest.mark.parametrize("name", ["finished/bundle", "quantized"])
def test_a_bundle_is_read_and_answers_its_golden_images(format1: Path, name: str) -> None:
    bundle = read_bundle(format1 / name)
    assert bundle.labels == ("disc", "ring", "stripes")
    golden = bundle.golden()
    answers = open_backend(bundle).run(golden["images"])["probabilities"]
    allowed = OTHER_CPU_TOLERANCE if name == "quantized" else TOLERANCE
    assert np.abs(answers - golden["probabilities"]).max() <= allowed
    assert pocketvision.verify(bundle.folder).images == 4


def test_its_weights_are_loaded_bit_equal_under_the_names_of_today(format1: Path) -> None:
    bundle = read_bundle(format1 / "finished/bundle")
    network = rebuilt(bundle)
    stored = load_file(bundle.path("model.safetensors"))
    found = network.state_dict()
    assert stored.keys() != found.keys()
    assert all(torch.equal(found[todays(name)], value) for name, value in stored.items())
    golden = bundle.golden()
    with torch.no_grad():
        logits = network(torch.from_numpy(golden["images"])).numpy()
    assert np.abs(logits - golden["logits"]).max() <= TOLERANCE


def test_its_weights_are_loaded_bit_equal_and_its_checkpoints_refused(format1: Path) -> None:
    pretrained = load_pretrained(str(format1 / "tiny.json"), format1 / "start.safetensors")
    assert (pretrained.network.num_classes, pretrained.untrained_classifier) == (10, False)
    for name, value in load_file(format1 / "start.safetensors").items():
        assert torch.equal(pretrained.network.state_dict()[todays(name)], value)
    with pytest.raises(TrainingError, match="not a checkpoint of this version"):
        read_checkpoint(format1 / "finished/stage2/checkpoint.safetensors")


def todays(name: str) -> str:
    return name.replace("classifier.1.", "heads.classification.linear.")


@pytest.mark.parametrize(("name", "compressed"), [("finished/bundle", False), ("quantized", True)])
def test_its_flat_figures_are_those_of_the_selection(format1: Path, name: str, compressed: bool) -> None:
    bundle = read_bundle(format1 / name)
    (figure,) = bundle.figures
    assert (figure.word, figure.value, figure.images, figure.compressed) == ("selection", 1.0, 6, compressed)
    assert bundle.measured["macro_f1"] == 1.0


def test_it_is_written_again_in_the_format_of_today(format1: Path) -> None:
    bundle = read_bundle(format1 / "finished")
    again = rewrite_bundle(bundle, bundle.manifest)
    assert again.manifest.format_version == FORMAT_VERSION
    assert read_bundle(again.folder).figures == bundle.figures


def test_a_bundle_predicts(format1: Path, tmp_path: Path) -> None:
    done = predict(format1 / "finished/bundle", [str(format1 / "pictures")], out=tmp_path / "answers.csv")
    assert (done.images, done.failed) == (30, 0)


def test_a_bundle_is_measured_as_it_was_then(format1: Path) -> None:
    found = pocketvision.evaluate(format1 / "finished/bundle", format1 / "finished/split.csv", split="test")
    assert found.metrics.accuracy == pytest.approx(5 / 6)


def test_a_finished_run_is_left_as_it_is(format1: Path) -> None:
    run = format1 / "finished"
    (run / "report.html").write_text("kept")  # left out of the golden files
    (run / "bundle/model.xml").write_text("an export")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = pocketvision.train(resume=run)
    assert result.unchanged and any("Nothing to do" in note for note in result.notes)
    assert [(record.stage, record.epoch) for record in result.history[:3]] == [(1, 1), (1, 2), (2, 1)]
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["unfinished", "from_scratch"])
def test_an_unfinished_run_names_the_version_that_can_finish_it(format1: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"by PocketVision 0\.1\.0.*Finish it with that version") as refused:
        pocketvision.train(resume=format1 / name)
    assert f"--recipe {format1 / name}" in str(refused.value)


def test_a_finished_run_is_given_no_more_epochs(format1: Path) -> None:
    with pytest.raises(UsageError, match=r"Finish it with that version"):
        pocketvision.train(resume=format1 / "finished", epochs2=13)


def test_its_flat_settings_are_a_recipe(format1: Path) -> None:
    for place in (format1 / "finished", format1 / "finished/run.json"):
        found = read_recipe(place)
        assert (found.batch, found.seed, found.precision, found.data.test_share) == (4, 1, "float32", 0.2)
        assert [(each.unfreeze, each.epochs, each.lr, each.patience) for each in found.phases] == [
            (0, 2, 0.001, 7),
            (2, 12, 0.03, 7),
        ]
        assert (found.cache.views, found.cache.limit, found.model.weights_key) == (2, 20.0, None)
        assert found.model.name == str(format1.resolve() / "finished/architecture.json")


def test_flat_settings_of_no_version_are_named(format1: Path) -> None:
    path = format1 / "finished/run.json"
    path.write_text(path.read_text().replace('"lr1"', '"lr7"'))
    with pytest.raises(UsageError, match=r"run\.json has settings this version does not know: lr7"):
        read_recipe(path)
    path.write_text("[]")
    with pytest.raises(UsageError, match=r"run\.json holds no recipe"):
        read_recipe(path)
