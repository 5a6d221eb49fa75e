"""The map in the shipped graph against Grad-CAM in PyTorch, and what predict makes of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from seeing import LABELS, SIZE, run, seeing_network

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, UsageError
from pocketvision.explain.choice import Choice
from pocketvision.explain.gradient_maps import grad_cam
from pocketvision.explain.shipped_map import require_maps, shipped_map
from pocketvision.explain.watched import Watched
from pocketvision.models.class_map import FIRST, Mapped, class_map_of
from pocketvision.models.network import Decoded
from pocketvision.runtime.backends import open_backend
from pocketvision.tasks.classification.answer import Classification


def test_the_map_of_the_file_is_grad_cam(mapped: Bundle) -> None:
    own = require_maps(mapped, "onnxruntime")["classification"]
    assert (own.feature, own.output, own.shape) == ("head_conv", "map", (3, 4, 4))
    assert own.leaves_out == ("pool:stage0", "max:stage0", "pool:stage1", "max:stage1")
    images = np.random.default_rng(2).uniform(-1, 1, (3, 3, SIZE, SIZE)).astype(np.float32)
    found = open_backend(mapped).run(images)["map"]
    watched = Watched.of(mapped)
    for row, place in ((0, 0), (1, 1), (2, 2)):
        choice = Choice("classification", "classification", place, LABELS[place])
        wanted = grad_cam(watched, torch.from_numpy(images[row : row + 1]), choice, "head_conv")
        assert np.abs(wanted).max() > 1e-3
        assert np.allclose(found[row, place], wanted, atol=1e-5)


def test_of_many_classes_the_first_have_maps() -> None:
    network = seeing_network(classes=40)
    decoded = Decoded(network, {"classification": {}}).eval()
    graph = Mapped(decoded, {"classification": class_map_of(network, "classification")}).eval()
    images = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        logits, probabilities, maps = graph(images)
    assert maps.shape == (2, FIRST, 4, 4)
    watched = Watched.of_network(network, {})
    labels = tuple(map(str, range(40)))
    for row in range(2):
        for rank in (0, FIRST - 1):
            place = int(logits[row].argsort(descending=True)[rank])
            level, slope = _gradient(watched, images[row : row + 1], place)
            assert torch.allclose(maps[row, rank], torch.einsum("chw,c->hw", level, slope.mean((1, 2))), atol=1e-5)
    from pocketvision.bundle import MapManifest
    from pocketvision.tasks.manifest import TaskManifest

    own = MapManifest("map", (FIRST, 4, 4), "head_conv")
    task = TaskManifest("classification", labels, {"logits": "logits", "probabilities": "probabilities"})
    answer = Classification(labels, probabilities[0].numpy())
    outputs = {"logits": logits.numpy(), "probabilities": probabilities.numpy(), "map": maps.numpy()}
    heat = shipped_map(outputs, own, task, answer)
    assert heat is not None
    assert np.array_equal(heat.values, maps[0, 0].numpy())
    assert shipped_map(outputs, own, task, answer, class_name=str(int(logits[0].argmin()))) is None
    with pytest.raises(UsageError, match="Unknown class"):
        shipped_map(outputs, own, task, answer, class_name="forty")


def _gradient(watched: Watched, image: torch.Tensor, place: int) -> tuple[torch.Tensor, torch.Tensor]:
    with watched.seen(["head_conv"]) as seen, torch.enable_grad():
        logit = watched.network(image.clone().requires_grad_())[0, place]
        (slope,) = torch.autograd.grad(logit, seen["head_conv"])
    return seen["head_conv"][0].detach(), slope[0]


def test_a_head_that_is_not_linear_on_a_map_says_why() -> None:
    with pytest.raises(UsageError, match=r"reads grid:.*no mean or maximum of a map"):
        class_map_of(seeing_network("grid_linear"), "classification")


def test_predict_lays_the_map_over_copies(mapped: Bundle, picture: Path, tmp_path: Path) -> None:
    assert run("predict", mapped.folder, picture, "--map", tmp_path / "maps") == 0
    with Image.open(tmp_path / "maps" / "wide.jpg") as drawn:
        assert drawn.size == (90, 60)
    with Image.open(picture) as own:
        before = np.asarray(own)
    with Image.open(tmp_path / "maps" / "wide.jpg") as drawn:
        assert np.abs(np.asarray(drawn).astype(int) - before).mean() > 5


def test_a_bundle_without_a_map_says_how_to_add_it(plain: Bundle, picture: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    assert run("predict", plain.folder, picture, "--map", tmp_path / "maps") == 1
    assert f"pocketvision export {plain.folder} --with-map" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "maps").exists()


def test_another_runtime_s_file_has_none(mapped: Bundle) -> None:
    with pytest.raises(BundleError, match="--backend onnxruntime"):
        require_maps(mapped, "torch")


def test_with_map_needs_the_file_that_has_it(plain: Bundle, capsys) -> None:  # type: ignore[no-untyped-def]
    assert run("export", plain.folder, "--to", "program", "--with-map") == 2
    assert "Give --to onnx too" in capsys.readouterr().err


def test_a_file_without_maps_has_none_in_its_manifest(mapped: Bundle) -> None:
    """What changes the network writes its own graph: the map of the old one is not promised for it."""
    (graph,) = mapped.manifest.graphs
    assert "map" not in {each.name for each in graph.outputs}
    assert replace(graph, maps={}).maps == {}
    assert mapped.manifest.agreement["model.onnx"]["max_map_difference"] < 1e-5
