"""YOLO's first head: what its numbers mean, and what can be no head."""

import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.features import Feature
from pocketvision.models.heads.detection.yolo_v1 import ROW
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network

MAP = (Feature("map", 8, 50, 1),)


def test_decoding_by_hand() -> None:
    """A grid of 2 x 3 cells in an input of 150 x 100."""
    head = ROW.build(MAP, 2, 0.0)
    cells = torch.zeros(1, 2, 3, 12)
    cells[0, 1, 2, 5:10] = torch.tensor([0.5, 0.2, 0.6, 0.5, 0.8])  # the second box of the last cell
    cells[0, 1, 2, 10:] = torch.tensor([0.25, 1.5])
    decoded = head.decode({"predictions": cells, "sides": torch.tensor([[150.0, 100.0]])}, {})  # type: ignore[operator]
    assert (
        tuple(decoded) == ROW.roles and decoded["boxes"].shape == (1, 12, 4) and decoded["scores"].shape == (1, 12, 2)
    )
    # Its centre is at 125, 60; it is 0.36 * 150 wide and 0.25 * 100 high.
    assert decoded["boxes"][0, -1].tolist() == pytest.approx([125 - 27, 60 - 12.5, 125 + 27, 60 + 12.5])
    assert decoded["scores"][0, -1].tolist() == pytest.approx([0.2, 1.0])  # 1.2, cut
    assert decoded["scores"][0, :-1].abs().max() == 0


@torch.no_grad()
def test_the_grid_is_the_deepest_map() -> None:
    network = Network(ARCHITECTURES["mobilenet_v3_small"], {"detection": HeadSpec("yolo_v1", 20)}).eval()
    outputs = network.outputs(torch.zeros(1, 3, 224, 224))
    assert network.features_read == ("stride32",)
    assert outputs["detection.predictions"].shape == (1, 7, 7, 30)  # the paper's own shape, section 2
    assert outputs["detection.sides"].tolist() == [[224, 224]]


def test_a_new_head_says_boxes_of_a_quarter_of_the_picture() -> None:
    head = ROW.build(MAP, 4, 0.0)
    decoded = head.decode(head({"map": torch.zeros(1, 8, 2, 2)}), {})  # type: ignore[operator]
    sides = decoded["boxes"][0, :, 2:] - decoded["boxes"][0, :, :2]
    assert sides.flatten().tolist() == pytest.approx([50.0] * 16, rel=0.05)
    assert decoded["boxes"][0, 0].tolist() == pytest.approx([0, 0, 50, 50], abs=2)


def test_what_is_not_one_map_is_refused() -> None:
    with pytest.raises(UsageError, match=r"reads one map; it was given pooled"):
        ROW.build((Feature("pooled", 8, None, None),), 2, 0.0)
    with pytest.raises(UsageError, match="reads one map"):
        ROW.build(MAP * 2, 2, 0.0)
    with pytest.raises(UsageError, match="at least 1 class"):
        ROW.build(MAP, 0, 0.0)
