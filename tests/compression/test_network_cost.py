"""Costs of networks with heads: published ones, and nothing for what does not run."""

import pytest
import torch

from pocketvision.compression.network_cost import cost_of_rows, network_cost
from pocketvision.models.catalog import architecture, build
from pocketvision.models.cost import cost
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.mobilenet_v3 import LARGE_REDUCED
from pocketvision.models.network import Network


@pytest.mark.parametrize("name", ["small_cnn", "mobilenet_v3_small", "resnet18", "vit_tiny_16"])
def test_a_classifier_costs_what_its_rows_say(name: str) -> None:
    rows = architecture(name)
    found = cost_of_rows(rows, {"classification": HeadSpec("linear", 7)}, size=224)
    assert found == cost(rows, size=224, num_classes=7)
    if name == "small_cnn":
        assert network_cost(build(name, num_classes=7), size=224) == found


def test_ssd_lite_costs_what_torchvision_says() -> None:
    """torchvision's documentation: 3,440,060 parameters and 0.583 GFLOPS, multiply-accumulates of convolutions at 320 pixels."""
    found = cost_of_rows(LARGE_REDUCED, {"detection": HeadSpec("ssd_lite", 90)}, size=320)
    assert found.parameters == 3_440_060 and found.macs / 1e9 == pytest.approx(0.583, abs=5e-4)


def test_what_no_head_reads_costs_nothing() -> None:
    """A detector on maps leaves the last convolution out, and the stages behind the deepest map that it reads."""
    rows = architecture("efficientnet_lite0")
    deep = HeadSpec("grid", 2, None, ("stride8", "stride16", "stride32"))
    with torch.device("meta"):
        network = Network(rows, {"detection": deep})
    found = network_cost(network, size=128)
    own = [*network.stem.parameters(), *network.stages.parameters(), *network.heads.parameters()]
    assert found.parameters == sum(each.numel() for each in own)
    shallow = cost_of_rows(rows, {"detection": HeadSpec("grid", 2, None, ("stride8", "stride16"))}, size=128)
    assert shallow.parameters < 0.5 * found.parameters and shallow.macs < found.macs
