"""Heat maps against captum's, of a small network with random weights: to 1e-5."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
from seeing import LABELS, SIZE, seeing_network

from pocketvision.explain.choice import Choice
from pocketvision.explain.gradient_maps import STEPS, grad_cam, integrated_gradients
from pocketvision.explain.perturbed_maps import WINDOWS, occlusion
from pocketvision.explain.watched import Watched
from pocketvision.tasks.manifest import TaskManifest

TASK = TaskManifest("classification", LABELS, {"logits": "logits", "probabilities": "probabilities"})
CLOSE = 1e-5


@dataclass(frozen=True)
class Scored:
    """What occlusion asks of a Subject."""

    watched: Watched

    def scores(self, images: np.ndarray, choice: Choice) -> np.ndarray:  # type: ignore[type-arg]
        with torch.no_grad():
            return self.watched.score(torch.from_numpy(images), choice).numpy()


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched.of_network(seeing_network(), {"classification": TASK})


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5)) * 2 - 1


@pytest.mark.parametrize("place", range(len(LABELS)))
def test_gradients_are_captums(watched: Watched, image: torch.Tensor, place: int) -> None:
    choice = Choice("classification", "classification", place, LABELS[place])

    def score(images: torch.Tensor) -> torch.Tensor:
        return watched.score(images, choice)

    wanted = IntegratedGradients(score).attribute(image, n_steps=STEPS, method="riemann_middle")
    found = integrated_gradients(watched, image, choice)
    assert np.abs(found - wanted[0].sum(dim=0).detach().numpy()).max() <= CLOSE and np.abs(found).max() > 100 * CLOSE
    for layer, module in (("stage0", watched.network.stages[0]), ("stem", watched.network.stem)):
        cam = LayerGradCam(score, module).attribute(image)[0, 0].detach().numpy()
        own = grad_cam(watched, image, choice, layer)
        assert np.abs(own - cam).max() <= CLOSE and np.abs(own).max() > 100 * CLOSE


def test_occlusion_is_captums(watched: Watched, image: torch.Tensor) -> None:
    choice = Choice("classification", "classification", 1, LABELS[1])
    # Beyond the last whole step captum cuts the square, and we move it back: a size where no such place is.
    side = SIZE // WINDOWS
    size = side + (side // 2) * ((SIZE - side) // (side // 2))
    image = image[..., :size, :size].contiguous()
    assert size // WINDOWS == side
    subject: Any = Scored(watched)
    wanted = Occlusion(lambda images: watched.score(images, choice)).attribute(
        image, sliding_window_shapes=(3, side, side), strides=(3, side // 2, side // 2), baselines=0
    )
    found = occlusion(subject, image.numpy(), choice)
    assert np.abs(found - wanted[0, 0].detach().numpy()).max() <= CLOSE and np.abs(found).max() > 100 * CLOSE
