"""Maps from gradients against what can be worked out by hand."""

import numpy as np
import pytest
import torch
from seeing import LABELS, ROWS, SIZE, seeing_network

from pocketvision.errors import UsageError
from pocketvision.explain.choice import Choice
from pocketvision.explain.gradient_maps import attention_rollout, grad_cam, grad_cam_plus_plus, integrated_gradients
from pocketvision.explain.watched import Watched
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.vit import VisionTransformer
from pocketvision.tasks.manifest import TaskManifest

TASK = TaskManifest("classification", LABELS, {"logits": "logits", "probabilities": "probabilities"})
CHOICE = Choice("classification", "classification", 1, "right")


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched.of_network(seeing_network(), {"classification": TASK})


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3)) * 2 - 1


def slopes(watched: Watched, image: torch.Tensor, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """By finite differences: what the layer gives, and the logit's slope there."""
    network = watched.network
    with torch.no_grad():
        level = network.stages[0](network.stem(image)) if layer == "stage0" else None
        assert level is not None

        def logit(values: torch.Tensor) -> float:
            pools = {"pool:stage0": values.mean((2, 3)), "max:stage0": values.amax((2, 3))}
            rest = network.above({"cut": values, **pools}, 1, network.features_read)
            return float(network.on_features(rest)["classification"]["logits"][0, 1])

        found, step = torch.zeros_like(level), 1e-2
        for place in np.ndindex(tuple(level.shape[1:])):
            moved = level.clone()
            moved[(0, *place)] += step
            back = level.clone()
            back[(0, *place)] -= step
            found[(0, *place)] = (logit(moved) - logit(back)) / (2 * step)
    return level[0].numpy(), found[0].numpy()


def test_grad_cam_and_its_sharper_twin_at_an_early_layer(watched: Watched, image: torch.Tensor) -> None:
    level, slope = slopes(watched, image, "stage0")
    found = grad_cam(watched, image, CHOICE, "stage0")
    assert np.allclose(found, np.einsum("chw,c->hw", level, slope.mean((1, 2))), atol=2e-3)
    level, slope = (each[0].double().numpy()[None][0] for each in _exact(watched, image))
    shares = np.zeros_like(slope)
    for place in np.ndindex(slope.shape):  # equation 19 of Grad-CAM++, number by number
        below = 2 * slope[place] ** 2 + level[place[0]].sum() * slope[place] ** 3
        shares[place] = slope[place] ** 2 / below if abs(below) > 1e-12 else 0
    wanted = np.einsum("chw,c->hw", level, (shares * np.maximum(slope, 0)).sum((1, 2)))
    assert np.allclose(grad_cam_plus_plus(watched, image, CHOICE, "stage0"), wanted, rtol=1e-3, atol=1e-4)


def _exact(watched: Watched, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    level, slope = watched.gradient(image, CHOICE, "stage0")
    return level[None], slope[None]


def test_integrated_gradients_add_up_to_what_the_image_changes(watched: Watched, image: torch.Tensor) -> None:
    found = integrated_gradients(watched, image, CHOICE, steps=200)
    with torch.no_grad():
        change = watched.score(image, CHOICE) - watched.score(torch.zeros_like(image), CHOICE)
    assert found.shape == (SIZE, SIZE)
    assert found.sum() == pytest.approx(float(change), rel=0.03)
    with pytest.raises(UsageError, match="steps is 0"):
        integrated_gradients(watched, image, CHOICE, steps=0)


def test_attention_rolled_out_where_all_attend_to_all() -> None:
    spec = VisionTransformer(name="tiny", family="test", width=12, depth=3, heads=2, patch=8, input_size=SIZE)
    network = Network(spec, {"classification": HeadSpec("linear", len(LABELS))})
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "qkv" in name:
                weight.zero_()
    found = attention_rollout(Watched.of_network(network, {"classification": TASK}), torch.rand(1, 3, SIZE, SIZE))
    tokens = 1 + (SIZE // 8) ** 2
    assert found.shape == (SIZE // 8, SIZE // 8)
    assert np.allclose(found, (1 - 0.5**3) / tokens, atol=1e-6)


@pytest.mark.parametrize(
    "features",
    [(), ("grid:stage0",), ("pool:stage0", "max:stage1"), ("max:stem",), ("pool:stage1", "pooled")],
    ids=" ".join,
)
def test_the_layer_that_is_taken_is_the_deepest_that_runs(features: tuple[str, ...], image: torch.Tensor) -> None:
    """Whatever the head reads: nothing above it runs."""
    spec = HeadSpec(
        "grid_linear" if any("grid" in each for each in features) else "multiscale_linear",
        len(LABELS),
        features=features,
    )
    watched = Watched.of_network(Network(ROWS, {"classification": spec}).eval(), {"classification": TASK})
    layer = watched.default_layer("classification")
    deepest = {
        "": "head_conv",
        "grid:stage0": "stage0",
        "max:stage1": "stage1",
        "max:stem": "stem",
        "pooled": "head_conv",
    }
    assert layer == deepest[features[-1] if features else ""]
    assert np.isfinite(grad_cam(watched, image, CHOICE, layer)).all()


def test_what_has_no_map_says_why(watched: Watched, image: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="has no attention to roll out"):
        attention_rollout(watched, image)
    with pytest.raises(UsageError, match=r"layer of seeing 'stge1'.*Did you mean .*stage1"):
        grad_cam(watched, image, CHOICE, "stge1")
    with pytest.raises(UsageError, match="no map: expected channels over places"):
        grad_cam(watched, image, CHOICE, "heads.classification.linear")
