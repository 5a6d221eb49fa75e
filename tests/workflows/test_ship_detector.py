"""A trained detector through the verbs that ship it: every target, 8 bits, fewer channels, a budget, thresholds, a broken run."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn_objects import Trained, drawn, trained_detector  # noqa: F401 (a fixture)
from typer.testing import CliRunner, Result

import pocketvision
from pocketvision.bundle import read_bundle
from pocketvision.cli.verbs import app
from pocketvision.compression.budget import Budget
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.compression.settings import Settings
from pocketvision.errors import UsageError
from pocketvision.export.targets import TARGETS
from pocketvision.progress import EpochEnded, Event
from pocketvision.runtime.backends import BACKENDS, open_backend
from pocketvision.workflows.export import export
from pocketvision.workflows.fit import fit
from pocketvision.workflows.prune import prune
from pocketvision.workflows.quantize import quantize

pytestmark = pytest.mark.slow  # it is trained once

OF_CLASSIFIERS = re.compile(r"accura|probab|most probable|confusion|top-1", re.IGNORECASE)
EXPORTED = ("onnx", "onnx-free-size", "onnx-uint8", "program", "torchscript", "executorch")


def shell(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert not OF_CLASSIFIERS.search(result.output), result.output
    return result


def test_every_target_gives_its_boxes_and_scores(trained_detector: Trained, tmp_path: Path) -> None:  # noqa: F811
    """Decoding is in the graph: a fixed number of boxes an image, any number of images where the format has one."""
    targets = [*EXPORTED, *(["openvino"] if BACKENDS["openvino"].installed else [])]
    out, told = tmp_path / "out", tmp_path / "told.json"
    result = shell(
        "export",
        trained_detector.result.run,
        "--to",
        ",".join(targets),
        "--out",
        out,
        "--json",
        told,
        "--max-accuracy-drop",
        5,
    )
    assert result.exit_code == 0, result.output
    assert "AP" in result.output and "100.00%" in result.output
    for each in json.loads(told.read_text(encoding="utf-8"))["exported"]:
        compared, agreed = each["comparison"], each["agreement"]
        assert abs(compared["drop"]) < (5 if each["target"] == "onnx-uint8" else 1e-6), each["target"]
        assert compared["reference_AP"] > 0.6 and agreed["boxes"] > 15
        if TARGETS[each["target"]].lossless:
            assert agreed["min_iou"] >= 0.99 and agreed["max_score_difference"] <= 1e-3, each["target"]
    bundle = read_bundle(out)
    for graph in bundle.manifest.graphs:
        shapes = {output.name: output.shape[1:] for output in graph.outputs}
        assert shapes == {"detection.boxes": (336, 4), "detection.scores": (336, 2)}
        file = next(name for name in graph.files if name in bundle.manifest.agreement)
        assert bundle.manifest.agreement[file]["AP"] > 0.6
    images, run = bundle.golden()["images"], open_backend(bundle).run
    together = run(images)
    for row in range(len(images)):
        np.testing.assert_allclose(run(images[[row]])["detection.boxes"], together["detection.boxes"][[row]], atol=1e-3)
    verified = shell("verify", out)
    assert verified.exit_code == 0 and "largest difference" in verified.output


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_layouts_of_classifiers_are_refused(trained_detector: Trained, tmp_path: Path, library: str) -> None:  # noqa: F811
    with pytest.raises(UsageError, match=r"networks classify; this one answers detection\. Export to onnx instead"):
        export(
            trained_detector.result.bundle.folder,
            [library],
            data=trained_detector.data,
            out=tmp_path / "out",
            seconds=0.02,
        )


def test_8_bits_lose_little(trained_detector: Trained, tmp_path: Path) -> None:  # noqa: F811
    """Boxes are computed in float: in steps of half a pixel none of them would overlap by 0.95."""
    found = quantize(
        trained_detector.result.run,
        out=tmp_path / "q",
        candidates=[Settings("onnxruntime")],
        max_accuracy_drop=10,
        seconds=0.02,
    )
    compared = found.chosen.comparison
    assert compared.headline is not None and compared.headline.name == "AP"
    assert compared.headline.value > 0.5 and compared.drop is not None and compared.drop < 10 and compared.kept > 0.9
    assert found.chosen.bytes < 0.45 * found.float_bytes
    assert found.search.float_latency.latency_ms > 0 and pocketvision.verify(tmp_path / "q").images
    assert set(found.bundle.tasks["detection"].postprocessing["thresholds"]) == {"square", "disc"}


def test_fewer_channels_are_tuned_by_its_own_loss(trained_detector: Trained, tmp_path: Path) -> None:  # noqa: F811
    settings = PruneSettings(keep_macs=0.85, rounds=1, epochs=0, batch=16, max_accuracy_drop=100)
    found = {}
    for epochs in (0, 2):
        tuned = PruneSettings(**{**vars(settings), "epochs": epochs})
        found[epochs] = prune(trained_detector.result.run, tuned, out=tmp_path / str(epochs))
        assert found[epochs].after.macs <= 0.85 * found[epochs].before.macs
    one, other = (found[epochs].comparison.drop for epochs in (0, 2))
    assert one is not None and other is not None and other < one
    assert found[2].bundle.tasks["detection"].head == "grid" and pocketvision.verify(tmp_path / "2").images


def test_it_is_fitted_to_a_budget(trained_detector: Trained, tmp_path: Path) -> None:  # noqa: F811
    found = fit(
        trained_detector.result.run,
        Budget(None, 1e9, 100),
        kinds=["size"],
        backends=["onnxruntime"],
        out=tmp_path / "f",
        seconds=0.02,
    )
    assert not found.failed and {each.trial for each in found.trials} == {"as-it-is", "size-96", "size-64"}
    assert found.chosen is not None and found.chosen.trial == "as-it-is"
    assert all(each.comparison.headline is not None and each.comparison.headline.name == "AP" for each in found.trials)


def test_thresholds_are_chosen_and_taken_away(trained_detector: Trained, tmp_path: Path) -> None:  # noqa: F811
    run = shutil.copytree(trained_detector.result.run, tmp_path / "run")
    chosen = shell("threshold", run, run / "split.csv", "--class", "disc", "--recall", "0.9")
    assert chosen.exit_code == 0 and re.search(r"disc +0\.\d+", chosen.output), chosen.output
    assert read_bundle(run / "bundle").tasks["detection"].postprocessing["thresholds"]["disc"] > 0
    reset = shell("threshold", run, "--reset")
    assert "Now: objects with a score of 0.3 and more." in reset.output


class BrokenOffError(Exception):
    """The run ends here."""


def test_a_run_that_was_broken_off_ends_equal(tmp_path: Path) -> None:
    data = drawn(tmp_path / "shapes", 24)
    settings = ["phases.1.epochs=2", "phases.2.epochs=2", "batch=8", "data.size=64", "cache.views=2"]
    hashes = []
    for broken in (False, True):
        out = tmp_path / f"run{broken}"

        def heard(event: Event, broken: bool = broken) -> None:
            if broken and isinstance(event, EpochEnded) and (event.record.stage, event.record.epoch) == (2, 1):
                raise BrokenOffError

        try:
            result = pocketvision.train(data, out=out, settings=settings, on_event=heard)
        except BrokenOffError:
            result = pocketvision.train(resume=out)
        files = [result.bundle.path(name).read_bytes() for name in ("model.safetensors", "model.onnx")]
        hashes.append([hashlib.sha256(content).hexdigest() for content in files])
    assert hashes[0] == hashes[1]
