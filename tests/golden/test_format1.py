"""What PocketVision 0.1.0 wrote (manifests and runs of format 1) is still read, answers the same, and goes on where it can."""

from pathlib import Path

import numpy as np
import pytest

import pocketvision
from pocketvision.bundle import FORMAT_VERSION, read_bundle, rewrite_bundle
from pocketvision.runtime.backends import open_backend
from pocketvision.runtime.golden_check import OTHER_CPU_TOLERANCE, TOLERANCE
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


def test_an_unfinished_run_goes_on(format1: Path) -> None:
    result = pocketvision.train(resume=format1 / "unfinished")
    assert not result.interrupted
    assert [(record.stage, record.epoch) for record in result.history] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert pocketvision.verify(result.bundle.folder).images == 4
