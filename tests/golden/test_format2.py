"""The first bundles of format 2 are read, answer the same, and are written again as those of today."""

import json
from pathlib import Path

import numpy as np

import pocketvision
from pocketvision.bundle import read_bundle, rewrite_bundle
from pocketvision.runtime.backends import open_backend
from pocketvision.tasks.task import TOLERANCE


def test_it_answers_its_golden_images(format2: Path) -> None:
    bundle = read_bundle(format2)
    golden = bundle.golden()
    answers = open_backend(bundle).run(golden["images"])["probabilities"]
    assert np.abs(answers - golden["probabilities"]).max() <= TOLERANCE
    assert pocketvision.verify(format2).images == 4


def test_what_it_did_not_say_is_what_was_so(format2: Path) -> None:
    bundle = read_bundle(format2)
    assert bundle.task.outputs == {"logits": "logits", "probabilities": "probabilities"}
    assert (bundle.task.head, bundle.preprocessing.fit) == ("linear", "crop")
    assert bundle.headline.startswith("Accuracy ")


def test_it_is_written_again_as_today(format2: Path) -> None:
    bundle = read_bundle(format2)
    again = rewrite_bundle(bundle, bundle.manifest)
    written = json.loads((again.folder / "manifest.json").read_text(encoding="utf-8"))
    assert written["tasks"]["classification"]["outputs"] == bundle.task.outputs
    assert read_bundle(again.folder).figures == bundle.figures
