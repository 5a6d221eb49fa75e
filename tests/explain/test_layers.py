"""What layers hold and see."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from seeing import LABELS, ROWS, SIZE, run, seeing_network

from pocketvision.bundle import Bundle
from pocketvision.explain.feature_maps import feature_maps, first_filters, sheet
from pocketvision.explain.layer_statistics import BINS, layer_statistics, spread_of_weights
from pocketvision.explain.watched import Watched
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.tasks.manifest import TaskManifest


def test_weights_by_hand() -> None:
    found = spread_of_weights(torch.tensor([[0.0, 0.0], [1.0, 3.0], [float("nan"), 4.0]]))
    assert (found.count, found.not_numbers, found.least, found.largest) == (5, 1, 0.0, 4.0)
    assert found.mean == pytest.approx(1.6)
    assert found.sd == pytest.approx(np.std([0, 0, 1, 3, 4]))
    assert found.zeros == pytest.approx(0.4)
    assert (found.dead, found.channels) == (1, 3)
    assert len(found.histogram) == BINS and sum(found.histogram) == 5 and found.histogram[0] == 2


def test_a_dead_channel_is_found_where_it_dies() -> None:
    network = seeing_network()
    with torch.no_grad():
        conv = network.head.conv
        conv.norm.weight[3] = 0  # this channel is the norm's shift everywhere
    task = TaskManifest("classification", LABELS, {"logits": "logits", "probabilities": "probabilities"})
    images = np.random.default_rng(0).uniform(-1, 1, (5, 3, SIZE, SIZE)).astype(np.float32)
    watched = Watched.of_network(network, {"classification": task})
    found = {each.name: each for each in layer_statistics(watched, [images[:3], images[3:]])}
    own = found["head.conv.conv"]
    assert own.weights is not None and own.outputs is not None
    assert own.weights.dead == 1 and own.outputs.dead == 1 and own.outputs.channels == 24
    assert own.outputs.count == 5 * 24 * 4 * 4 == sum(own.outputs.histogram)
    assert found["stem.conv"].outputs is not None and found["stem.conv"].outputs.dead == 0


def test_one_number_a_channel_tells_nothing_of_dead_ones() -> None:
    """What pools over one image: with a second image it does."""
    network = seeing_network()
    task = TaskManifest("classification", LABELS, {"logits": "logits", "probabilities": "probabilities"})
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, SIZE, SIZE)).astype(np.float32)
    watched = Watched.of_network(network, {"classification": task})
    one, two = (layer_statistics(watched, [images[:count]]) for count in (1, 2))
    pools = [place for place, each in enumerate(one) if each.outputs is not None and each.outputs.channels == 0]
    assert pools
    for place in pools:
        found, whole = one[place].outputs, two[place].outputs
        assert found is not None and whole is not None
        assert (found.dead, found.count) == (0, whole.channels) and whole.channels > 0


def test_without_names_the_layers_that_run_are_taken() -> None:
    spec = HeadSpec("grid_linear", len(LABELS), features=("grid:stage0",))
    task = TaskManifest("classification", LABELS, {"logits": "logits", "probabilities": "probabilities"})
    watched = Watched.of_network(Network(ROWS, {"classification": spec}).eval(), {"classification": task})
    assert list(feature_maps(watched, np.zeros((1, 3, SIZE, SIZE), np.float32), None)) == ["stem", "stage0"]


def test_sheets_of_channels() -> None:
    level = np.zeros((3, 2, 2), np.float32)
    level[1, 0, 0] = 5
    picture, kept = sheet(level)
    assert kept[0] == 1 and picture.shape == (104, 304, 3)
    assert picture[5, 5].tolist() == [252, 255, 164] and picture[5, 150].tolist() == [20, 11, 52]
    task = TaskManifest("classification", LABELS, {"logits": "logits", "probabilities": "probabilities"})
    assert first_filters(Watched.of_network(seeing_network(), {"classification": task})).shape == (104, 804, 3)


def test_the_verbs(plain: Bundle, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "layers.json"
    assert run("explain", "layers", plain.folder, picture, "--out", tmp_path / "layers", "--json", result) == 0
    told = json.loads(result.read_text())
    assert told[0]["name"] == "stem.conv" and told[0]["outputs"]["channels"] == 8
    assert "Outputs for 1 pictures" in (tmp_path / "layers" / "index.html").read_text()
    out = tmp_path / "seen"
    assert run("explain", "features", plain.folder, picture, "--layers", "stage1,head_conv", "--out", out) == 0
    assert sorted(each.name for each in out.iterdir()) == ["filters.jpg", "head_conv.jpg", "index.html", "stage1.jpg"]
    with Image.open(out / "head_conv.jpg") as drawn:
        assert drawn.size == (804, 304)
    capsys.readouterr()
    assert run("explain", "features", plain.folder, picture, "--layers", "stag1", "--out", tmp_path / "no") == 2
    assert "Did you mean stage1" in " ".join(capsys.readouterr().err.split())
