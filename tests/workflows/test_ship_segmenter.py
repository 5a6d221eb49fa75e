"""A trained segmenter through the verbs that ship it: targets, 8 bits, fewer channels, a budget, thresholds, a server."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from drawn_masks import LABELS, SIZE, Trained, trained_segmenter  # noqa: F401 (a fixture)
from served import serving
from typer.testing import CliRunner, Result

import pocketvision
from pocketvision.bundle import read_bundle
from pocketvision.cli.verbs import app
from pocketvision.compression.budget import Budget
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.compression.settings import Settings
from pocketvision.errors import UsageError
from pocketvision.export.targets import TARGETS
from pocketvision.runtime.backends import BACKENDS
from pocketvision.workflows.export import export
from pocketvision.workflows.fit import fit
from pocketvision.workflows.prune import prune
from pocketvision.workflows.quantize import quantize

pytestmark = pytest.mark.slow  # it is trained once

OF_CLASSIFIERS = re.compile(r"accuracy|most probable class|confusion|top-1", re.IGNORECASE)
EXPORTED = ("onnx", "onnx-uint8", "program")
"""Of the others each was tried by hand: docs/segmentation.md."""


def shell(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_targets_give_its_masks(trained_segmenter: Trained, tmp_path: Path) -> None:  # noqa: F811
    targets = [*EXPORTED, *(["openvino-fp16"] if BACKENDS["openvino"].installed else [])]
    out, told = tmp_path / "out", tmp_path / "told.json"
    result = shell("export", trained_segmenter.result.run, "--to", ",".join(targets), "--out", out, "--json", told)
    assert result.exit_code == 0, result.output
    assert "mIoU" in result.output and not OF_CLASSIFIERS.search(result.output.replace("pixel accuracy", ""))
    for each in json.loads(told.read_text(encoding="utf-8"))["exported"]:
        compared, agreed = each["comparison"], each["agreement"]
        assert compared["reference_mIoU"] > 0.6 and abs(compared["drop"]) < 1, each["target"]
        assert agreed["differing_pixels"] <= 0.01 and compared["same"] >= 0.99
        if TARGETS[each["target"]].lossless:
            assert agreed["differing_pixels"] == 0 and agreed["max_probability_difference"] <= 1e-4, each["target"]
    bundle = read_bundle(out)
    for graph in bundle.manifest.graphs:
        shapes = {output.name: output.shape[1:] for output in graph.outputs}
        assert shapes == {"segmentation.logits": (len(LABELS), SIZE // 4, SIZE // 4)}
    verified = shell("verify", out)
    assert verified.exit_code == 0 and "largest difference" in verified.output


def test_layouts_of_classifiers_are_refused(trained_segmenter: Trained, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(UsageError, match=r"networks classify; this one answers segmentation\. Export to onnx instead"):
        export(trained_segmenter.result.bundle.folder, ["timm"], data=trained_segmenter.data, out=tmp_path / "out")


def test_8_bits_lose_little(trained_segmenter: Trained, tmp_path: Path) -> None:  # noqa: F811
    found = quantize(
        trained_segmenter.result.run,
        out=tmp_path / "q",
        candidates=[Settings("onnxruntime")],
        max_accuracy_drop=5,
        seconds=0.02,
    )
    compared = found.chosen.comparison
    assert compared.headline is not None and compared.headline.name == "mIoU"
    assert compared.drop is not None and compared.drop < 5 and compared.kept > 0.97
    assert found.chosen.bytes < 0.4 * found.float_bytes and pocketvision.verify(tmp_path / "q").images


def test_fewer_channels_are_tuned_by_its_own_loss(trained_segmenter: Trained, tmp_path: Path) -> None:  # noqa: F811
    found = {}
    for epochs in (0, 2):
        settings = PruneSettings(keep_macs=0.9, rounds=1, epochs=epochs, batch=8, max_accuracy_drop=100)
        found[epochs] = prune(trained_segmenter.result.run, settings, out=tmp_path / str(epochs))
        assert found[epochs].after.macs <= 0.9 * found[epochs].before.macs
    one, other = (found[epochs].comparison.drop for epochs in (0, 2))
    assert one is not None and other is not None and other < one
    assert found[2].bundle.tasks["segmentation"].head == "u_net" and pocketvision.verify(tmp_path / "2").images


def test_it_is_fitted_to_a_budget(trained_segmenter: Trained, tmp_path: Path) -> None:  # noqa: F811
    found = fit(
        trained_segmenter.result.run,
        Budget(None, 1e9, 100),
        kinds=["size"],
        backends=["onnxruntime"],
        out=tmp_path / "f",
        seconds=0.02,
    )
    assert not found.failed and {each.trial for each in found.trials} == {"as-it-is", "size-32"}
    assert all(
        each.comparison.headline is not None and each.comparison.headline.name == "mIoU" for each in found.trials
    )


def test_a_threshold_is_for_two_classes(trained_segmenter: Trained) -> None:  # noqa: F811
    run = trained_segmenter.result.run
    told = shell("threshold", run, run / "split.csv", "--class", "disc", "--recall", "0.9")
    assert told.exit_code != 0 and "is for masks of two classes; this model has 3" in f"{told.output}{told.exception}"


def test_open_inference_and_drift(trained_segmenter: Trained) -> None:  # noqa: F811
    picture = next((trained_segmenter.data / "images").iterdir()).read_bytes()
    with serving(trained_segmenter.result.bundle.folder) as client:
        name = client.get("/models").json()["models"][0]["name"]
        outputs = client.get(f"/v2/models/{name}").json()["outputs"]
        assert outputs == [{"name": "segmentation.logits", "datatype": "FP32", "shape": [-1, 3, SIZE // 4, SIZE // 4]}]
        data = np.random.default_rng(0).random(3 * SIZE * SIZE).tolist()
        asked = {"inputs": [{"name": "images", "shape": [1, 3, SIZE, SIZE], "datatype": "FP32", "data": data}]}
        (answered,) = client.post(f"/v2/models/{name}/infer", json=asked).json()["outputs"]
        assert answered["shape"] == [1, 3, SIZE // 4, SIZE // 4] and len(answered["data"]) == 3 * (SIZE // 4) ** 2
        client.post("/predict", content=picture, headers={"content-type": "image/png"})
        lines = client.get("/metrics").text.splitlines()
    counted = f'pocketvision_confidence_bucket{{le="+Inf",model="{name}",task="segmentation"}} 2.0'
    assert counted in lines, "both answers"
