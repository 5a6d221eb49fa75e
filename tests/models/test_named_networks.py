"""Published networks by name: the table beside torchvision's, weights from a server here, and torchvision's own answers."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from random_weights import on_no_device
from torch import nn
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.image_list import ImageList

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models import weights as weights_module
from pocketvision.models.named_networks import load_named, no_objects, torchvision_categories
from pocketvision.models.published_networks import NETWORKS, NOT_HERE, published_network
from pocketvision.tasks.detection.decode import decode
from pocketvision.tasks.detection.task import detecting
from pocketvision.tasks.task import Detail

NAME = "ssdlite320_mobilenet_v3_large"
ROW = NETWORKS[NAME]
CATEGORIES = torchvision_categories(ROW.weights.location)
SCORE = 0.7


class Files(SimpleHTTPRequestHandler):
    """Counts what is asked for."""

    asked: list[str] = []  # noqa: RUF012 (one server a test)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def theirs() -> Any:
    """torchvision's with random weights that tell pictures apart: norms as after training, and some scores near 1."""
    torch.manual_seed(0)
    detector: Any = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, score_thresh=SCORE).eval()
    norms = [each for each in detector.modules() if isinstance(each, nn.BatchNorm2d)]
    images = nn.functional.interpolate(2 * torch.rand(2, 3, 40, 40) - 1, size=(320, 320), mode="bilinear")
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        levels = list(detector.backbone(images).values())
        for head, spread in ((detector.head.classification_head, 0.48), (detector.head.regression_head, 0.5)):
            for predictor, level in zip(head.module_list, levels, strict=True):
                predictor[1].weight *= spread / predictor(level).std()
    return detector.eval()


@pytest.fixture
def published(theirs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of `theirs`, served on this machine where torchvision's would be; nothing of it in the cache."""
    torch.save(theirs.state_dict(), tmp_path / "plain.pth")
    digest = hashlib.sha256((tmp_path / "plain.pth").read_bytes()).hexdigest()
    served = (tmp_path / "plain.pth").rename(tmp_path / f"{NAME}-{digest[:8]}.pth")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/{served.name}"
        weights = SimpleNamespace(url=url, meta={"categories": CATEGORIES})
        monkeypatch.setattr(torchvision.models, "get_weight", lambda wanted: {ROW.weights.location: weights}[wanted])
        monkeypatch.setattr(weights_module, "user_cache_path", lambda _: tmp_path / "cache")
        Files.asked.clear()
        yield served
        server.shutdown()


@torch.no_grad()
def test_answers_are_torchvisions(theirs: Any, published: Path) -> None:
    """Of one photograph, from its pixels to boxes in them: all that torchvision finds within it, and nothing else."""
    detector = load_named(NAME)
    assert detector.origin["licence"] == "BSD-3-Clause" and detector.origin["sha256"].startswith(published.stem[-8:])
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)).resize((500, 333))
    tensor = torch.from_numpy(np.array(photo)).permute(2, 0, 1) / 255
    preprocessing, network = ROW.weights.preprocessing, detector.network
    pixels, placement = preprocessing.place(photo)
    wanted_pixels = theirs.transform([tensor])[0].tensors[0]
    np.testing.assert_allclose(pixels, wanted_pixels.numpy(), rtol=0, atol=1e-5)
    images = torch.from_numpy(pixels)[None]
    levels = list(theirs.backbone(images).values())
    anchors = theirs.anchor_generator(ImageList(images, [(320, 320)]), levels)
    raw = theirs.postprocess_detections(theirs.head(levels), anchors, [(320, 320)])
    (wanted,) = theirs.transform.postprocess(raw, [(320, 320)], [(333, 500)])
    categories = np.array([CATEGORIES[label] for label in wanted["labels"].tolist()])
    shipped = network.decoded(network.on_features(network.features(images, network.features_read)), {})["detection"]
    (task,) = detecting(detector.labels, ROW.postprocessing).values()
    detail = Detail(min_score=SCORE, most=300)
    (found,) = decode({role: value.numpy() for role, value in shipped.items()}, [placement], task, detail)

    boxes, scores = wanted["boxes"].numpy(), wanted["scores"].numpy()
    seen = (categories != "N/A") & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # torchvision keeps what is cut to nothing
    theirs_sorted = [place for place in _sorted(categories, boxes) if seen[place]]
    ours_sorted = _sorted(np.array(found.names), found.boxes)
    assert 20 < len(found) < 300 and len(set(found.names)) > 20
    assert np.array(found.names)[ours_sorted].tolist() == categories[theirs_sorted].tolist()
    np.testing.assert_allclose(found.scores[ours_sorted], scores[theirs_sorted], rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.boxes[ours_sorted], boxes[theirs_sorted], rtol=0, atol=1e-3)


def _sorted(names: np.ndarray, boxes: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Of answers whose order by score says nothing here."""
    return np.lexsort((boxes[:, 1], boxes[:, 0], names))


def test_weights_are_fetched_once_and_verified(published: Path, tmp_path: Path) -> None:
    labels = load_named(NAME).labels
    assert load_named(NAME).labels == labels and Files.asked == [f"/{published.name}"]
    kept = tmp_path / "cache" / "torchvision" / published.name
    kept.unlink()
    published.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="does not have the hash"):
        load_named(NAME)
    torch.save({"features.0.0.weight": torch.zeros(1)}, kept)
    with pytest.raises(WeightsError, match="not of torchvision's ssdlite320_mobilenet_v3_large"):
        load_named(NAME)


@pytest.mark.usefixtures("published")
def test_cocos_numbers_without_a_category_are_no_classes() -> None:
    without = no_objects(CATEGORIES)
    assert (len(CATEGORIES), len(without), without[:3]) == (91, 11, (0, 12, 26))
    labels = load_named(NAME).labels
    assert len(labels) == len(set(labels)) == 80 and labels[0] == "person" and labels[-1] == "toothbrush"
    assert labels[11:13] == ("stop sign", "parking meter")  # COCO's 13 and 14, after the gap at 12


def test_rows_are_torchvisions() -> None:
    for name, row in NETWORKS.items():
        if row.weights.kind != "torchvision" or row.task != "detection":
            continue
        weights = torchvision.models.get_weight(row.weights.location)
        measured = weights.meta["_metrics"]["COCO-val2017"]["box_map"]
        assert row.figure == f"COCO AP {measured} %"
        assert weights_module._hash_of(weights.url.rpartition("/")[2])
        model = on_no_device(partial(torchvision.models.get_model, name, weights=None, weights_backbone=None))
        preprocessing, transform = row.weights.preprocessing, model.transform
        if transform.fixed_size is None:
            assert (preprocessing.fit, transform.min_size) == ("pad", (preprocessing.width,))
            assert preprocessing.width % transform.size_divisible == 0
        else:
            assert (preprocessing.fit, transform.fixed_size) == ("stretch", (preprocessing.width, preprocessing.height))
        assert (preprocessing.mean, preprocessing.std) == (tuple(transform.image_mean), tuple(transform.image_std))
        last = getattr(model, "roi_heads", model)
        assert (row.postprocessing["iou"], row.postprocessing["most"]) == (last.nms_thresh, last.detections_per_img)


def test_every_detector_and_segmenter_of_torchvisions_is_had_or_refused_with_a_reason() -> None:
    models = torchvision.models
    known = models.list_models(module=models.detection) + models.list_models(module=models.segmentation)
    assert {*NETWORKS, *NOT_HERE} >= set(known) and set(NOT_HERE) <= set(known)
    assert not set(NETWORKS) & set(NOT_HERE)
    with pytest.raises(
        UsageError, match=r"maskrcnn_resnet50_fpn can not be .* a mask an object.*Networks by name: ssdlite320"
    ):
        published_network("maskrcnn_resnet50_fpn")
    with pytest.raises(UsageError, match=r"keypointrcnn_resnet50_fpn can not be .* the joints of people"):
        published_network("keypointrcnn_resnet50_fpn")
    with pytest.raises(UsageError, match="Did you mean ssdlite320_mobilenet_v3_large"):
        published_network("ssdlite320_mobilenet_v3")
    assert published_network("efficientnet_lite0") is None and published_network("timm:resnet18") is None
