"""A published detector by its name, and a file of its kind, through the shell and the server: the weights are random ones."""

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from fastapi.testclient import TestClient
from random_weights import with_random_weights
from served import serving
from small_detectors import SMALL, small
from torchvision.models.detection import ssdlite320_mobilenet_v3_large

import pocketvision
from pocketvision.bundle import Bundle, read_bundle
from pocketvision.cli.main import main
from pocketvision.data.demo_faces import some_pictures
from pocketvision.errors import UsageError
from pocketvision.models import weights as weights_module
from pocketvision.models.detector_keys import KEYS
from pocketvision.models.named_networks import torchvision_categories
from pocketvision.models.published_networks import NETWORKS
from pocketvision.workflows.serve import source_of

NAME = "ssdlite320_mobilenet_v3_large"
WEIGHTS = "torchvision, SSDLite320_MobileNet_V3_Large_Weights.COCO_V1"
LICENCE = f"{NAME}: weights of {WEIGHTS}, trained on COCO 2017. Licence: BSD-3-Clause."


def weights_file(path: Path, outputs: int) -> Path:
    """Random weights that see one class in everything: the last one."""
    torch.manual_seed(0)
    detector: Any = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=outputs)
    for predictor in detector.head.classification_head.module_list:
        predictor[1].bias.detach().view(-1, outputs)[:, -1] = 5
    torch.save(detector.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache after the name was used once."""
    folder = tmp_path_factory.mktemp("named")
    file = weights_file(folder / "plain.pth", 91)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    file = file.rename(folder / f"{NAME}-{digest[:8]}.pth")
    location = NETWORKS[NAME].weights.location
    weights = SimpleNamespace(url=file.as_uri(), meta={"categories": torchvision_categories(location)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.models, "get_weight", lambda wanted: {location: weights}[wanted])
        patch.setattr(weights_module, "user_cache_path", lambda _: folder / "cache")
        pocketvision.load(NAME)
    file.unlink()  # from here on it is in the cache or nowhere
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("converted")
def test_a_name_stands_for_a_bundle(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = some_pictures(1)[0]
    with pytest.raises(SystemExit) as ended:
        main(["predict", NAME, str(picture), "--out", str(tmp_path / "answers.jsonl")])
    told = capsys.readouterr()
    assert ended.value.code == 0 and LICENCE in told.err
    answer = json.loads((tmp_path / "answers.jsonl").read_text(encoding="utf-8"))["answers"]["detection"]
    assert {each["label"] for each in answer["objects"]} == {"toothbrush"}
    source = source_of(NAME)
    assert source.name == NAME
    with serving(source.folder) as client:
        assert posted(client, picture)["objects"] == answer["objects"]
    bundle = read_bundle(source.folder)
    assert bundle.credit == LICENCE and len(bundle.labels) == 80 and bundle.manifest.origin["sha256"]
    assert pocketvision.verify(source.folder).images > 0


def posted(client: TestClient, picture: Path) -> dict[str, Any]:
    headers = {"content-type": "image/png"}
    answer = client.post("/predict", content=picture.read_bytes(), headers=headers).json()
    return answer["predictions"][0]["answers"]["detection"]  # type: ignore[no-any-return]


@pytest.mark.slow
def test_a_fine_tuned_one_is_imported(tmp_path: Path) -> None:
    bundle: Bundle = pocketvision.import_weights(
        weights_file(tmp_path / "best.pth", 3), model=NAME, labels=["crack", "stain"], out=tmp_path / "bundle"
    )
    assert bundle.labels == ("crack", "stain") and bundle.task.head == "ssd_lite" and bundle.credit == ""
    found = pocketvision.load(tmp_path / "bundle")(some_pictures(1)[0])
    assert set(found.names) == {"stain"}


def test_the_number_of_labels_has_to_fit(tmp_path: Path) -> None:
    file = weights_file(tmp_path / "best.pth", 3)
    for labels in (["crack"], []):
        with pytest.raises(UsageError, match=r"3 outputs.* names were given .*expected 2, in index order"):
            pocketvision.import_weights(file, model=NAME, labels=labels)


@pytest.mark.slow
def test_a_network_of_a_pyramid_stands_for_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a smaller backbone and input than the published ones; asked by `predict` and through the server, and verified."""
    name, side = "retinanet_resnet50_fpn", 128
    row = NETWORKS[name]
    monkeypatch.setitem(KEYS, name, SMALL[name])
    theirs = with_random_weights(partial(small, name, 91))
    theirs.head.regression_head.bbox_reg.weight.detach().mul_(0.05)  # boxes near their anchors, as after training
    theirs.head.classification_head.cls_logits.bias.detach().view(9, 91)[:, -1] = 9
    torch.save(theirs.state_dict(), tmp_path / "plain.pth")
    digest = hashlib.sha256((tmp_path / "plain.pth").read_bytes()).hexdigest()
    file = (tmp_path / "plain.pth").rename(tmp_path / f"{name}-{digest[:8]}.pth")
    weights = SimpleNamespace(url=file.as_uri(), meta={"categories": torchvision_categories(row.weights.location)})
    monkeypatch.setattr(torchvision.models, "get_weight", lambda wanted: {row.weights.location: weights}[wanted])
    monkeypatch.setattr(weights_module, "user_cache_path", lambda _: tmp_path / "cache")
    resized = replace(row.weights, preprocessing=row.weights.preprocessing.with_size(side))
    monkeypatch.setitem(NETWORKS, name, replace(row, weights=resized))

    picture, out = some_pictures(1)[0], tmp_path / "answers.jsonl"
    with pytest.raises(SystemExit) as ended:
        main(["predict", name, str(picture), "--out", str(out)])
    told = capsys.readouterr().err
    assert ended.value.code == 0 and "trained on COCO 2017. Licence: BSD-3-Clause." in told, told
    answer = json.loads(out.read_text(encoding="utf-8"))["answers"]["detection"]
    assert "toothbrush" in {each["label"] for each in answer["objects"]}
    source = source_of(name)
    with serving(source.folder) as client:
        assert posted(client, picture)["objects"] == answer["objects"]
    bundle = read_bundle(source.folder)
    assert bundle.manifest.preprocessing.fit == "pad" and len(bundle.labels) == 80 and bundle.task.head == "retinanet"
    assert pocketvision.verify(source.folder).images > 0


@pytest.mark.slow
def test_a_fine_tuned_one_of_two_stages_is_imported(tmp_path: Path) -> None:
    name, file = "fasterrcnn_mobilenet_v3_large_320_fpn", tmp_path / "best.pth"
    theirs = with_random_weights(partial(torchvision.models.get_model, name, weights_backbone=None, num_classes=3))
    theirs.rpn.head.bbox_pred.weight.detach().mul_(0.05)  # boxes near their anchors, as after training
    theirs.roi_heads.box_predictor.cls_score.bias.detach()[1] = 4
    torch.save(theirs.state_dict(), file)
    pocketvision.import_weights(file, model=name, labels=["crack", "stain"], out=tmp_path / "bundle", size=96)
    assert pocketvision.verify(tmp_path / "bundle").images > 0
    found = pocketvision.load(tmp_path / "bundle")(some_pictures(1)[0])
    assert "crack" in found.names
    with serving(tmp_path / "bundle") as client:
        assert len(posted(client, some_pictures(1)[0])["objects"]) == len(found)


@pytest.mark.slow
def test_a_fine_tuned_pyramid_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, file = "fcos_resnet50_fpn", tmp_path / "best.pth"
    monkeypatch.setitem(KEYS, name, SMALL[name])
    torch.save(with_random_weights(partial(small, name, 3)).state_dict(), file)
    bundle = pocketvision.import_weights(file, model=name, labels=["crack", "stain"], out=tmp_path / "bundle", size=96)
    assert bundle.labels == ("crack", "stain") and bundle.task.head == "fcos"
    assert set(pocketvision.load(tmp_path / "bundle")(some_pictures(1)[0]).names) <= {"crack", "stain"}
