"""Every row with other channels than three and with other classes, on weights that were trained for three and for ten.

With one block a stage: the stem and the classifier, which alone depend on these numbers, are the row's own.
"""

import copy

import pytest
import torch
from networks import calibrated, each_row, randomised, shallow
from torch import Tensor

from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.loading import load_weights
from pocketvision.models.network import Network

CLASSES = 10
SIDE = 96
FACTOR = 1.5  # by which activations may grow or shrink on channels that have nothing to do with each other


@pytest.fixture(scope="module", params=each_row())
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(1)
    network = randomised(build(shallow(ARCHITECTURES[request.param]), num_classes=CLASSES))
    found = calibrated(network, noise(8, 3))
    assert isinstance(found, Network)
    return found


def noise(count: int, channels: int, seed: int = 5) -> Tensor:
    """Images of `SIDE` x `SIDE` pixels whose channels are independent."""
    return torch.randn(count, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3, 4, 6])
def test_activations_keep_their_size_with_other_input_channels(network: Network, channels: int) -> None:
    """What is asserted:

    - The stem's weights have the same sum over the input channels as before. So a grey image, the same numbers in all channels,
      gives the same activations after the stem (norm, activation and pooling included), of the same standard deviation.
    - On independent channels the standard deviation there stays within FACTOR of that on three. Two copies that share a channel
      give 0.71 of it at the least; the mean of all gives about 1 for weights as independent as these, up to 1.73 for equal ones.
    - All answers are finite, and a network that is built with so many channels takes the weights and gives the same ones.
    """
    adapted, _ = load_weights(network.architecture, network.state_dict(), "x", in_channels=channels)
    before, after = network.stem.conv.weight, adapted.stem.conv.weight
    assert after.shape == (before.shape[0], channels, *before.shape[2:])
    torch.testing.assert_close(after.sum(1), before.sum(1), rtol=1e-5, atol=1e-6)

    grey = noise(4, 1)
    with torch.no_grad():
        expected = network.trunk(grey.expand(-1, 3, -1, -1), 0)
        found = adapted.trunk(grey.expand(-1, channels, -1, -1), 0)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.std(), expected.std(), rtol=1e-5, atol=0)
        assert expected.std() > 0.01

        ratio = adapted.trunk(noise(4, channels), 0).std() / network.trunk(noise(4, 3), 0).std()
        assert 1 / FACTOR < ratio < FACTOR

        answers = adapted(noise(2, channels))
        assert answers.shape == (2, CLASSES) and answers.isfinite().all()
        built = build(network.architecture, num_classes=CLASSES, in_channels=channels).eval()
        built.load_state_dict(adapted.state_dict())
        assert torch.equal(built(noise(2, channels)), answers)


@pytest.mark.parametrize("classes", [1, 2, 1001])
def test_other_classes_leave_the_features_as_they_are(network: Network, classes: int) -> None:
    other, images = copy.deepcopy(network), noise(2, 3)
    other.set_heads({"classification": HeadSpec("linear", classes)})
    with torch.no_grad():
        answers = other.eval()(images)
        assert answers.shape == (2, classes) and answers.isfinite().all() and other.num_classes == classes
        assert torch.equal(other.tail(other.trunk(images, 0), 0), network.tail(network.trunk(images, 0), 0))
    again, _ = load_weights(network.architecture, other.state_dict(), "x")  # a file tells its own number of classes
    with torch.no_grad():
        assert torch.equal(again(images), answers)
