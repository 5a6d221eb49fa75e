"""The anchor-free head: where its cells lie, what its numbers mean, how the levels are chosen."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from plain_backbone import PLAIN

from pocketvision.errors import UsageError
from pocketvision.export.to_onnx import write_graph
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.features import Feature
from pocketvision.models.heads.catalog import head_named
from pocketvision.models.heads.detection.grid import PRIOR, SIDE, GridHead, levels_of
from pocketvision.models.heads.detection.pan import PathAggregation
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Decoded, Network, fold_norms

LEVELS = (Feature("fine", 8, 8, 1), Feature("coarse", 16, 16, 2))


def maps(height: int = 24, width: int = 40) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        each.name: torch.randn(2, each.channels, -(-height // s), -(-width // s))
        for each in LEVELS
        if (s := each.stride)
    }


def test_cells_lie_on_the_input_the_fine_ones_first() -> None:
    cells = GridHead(LEVELS, 3, width=8)(maps())["cells"]
    assert cells.shape == (2, 3 * 5 + 2 * 3, 3) and torch.equal(cells[0], cells[1])
    assert cells[0, :6].tolist() == [[4, 4, 8], [12, 4, 8], [20, 4, 8], [28, 4, 8], [36, 4, 8], [4, 12, 8]]
    assert cells[0, 15:].tolist() == [[8, 8, 16], [24, 8, 16], [40, 8, 16], [8, 24, 16], [24, 24, 16], [40, 24, 16]]


def test_it_begins_unsure_with_boxes_around_its_cells() -> None:
    head = GridHead(LEVELS, 3, width=8)
    for layer in (*head.branch.distances, *head.branch.logits):
        torch.nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
    outputs = head(maps())
    shipped = head.decode(outputs, {})
    torch.testing.assert_close(shipped["scores"], torch.full((2, 21, 3), PRIOR))
    centres, sides = outputs["cells"][..., :2], outputs["cells"][..., 2:]
    expected = torch.cat([centres - SIDE * sides, centres + SIDE * sides], dim=-1)
    torch.testing.assert_close(shipped["boxes"], expected)


def test_what_one_level_sees_reaches_the_others() -> None:
    neck = PathAggregation([8, 16], [8, 16], 8, extra=1).eval()
    assert neck.strides == (8, 16, 32)
    given = [each.requires_grad_() for each in maps().values()]
    for level in neck(given):
        found = torch.autograd.grad(level.sum(), given, retain_graph=True)
        assert all(each.abs().sum() > 0 for each in found)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("grid", [8, 16, 32]),
        ("grid_shared", [8, 16, 32]),
        ("grid_p2", [4, 8, 16, 32]),
        ("grid_p6", [8, 16, 32, 64]),
        ("grid_one_to_one", [8, 16, 32]),
    ],
)
def test_rows_differ_in_their_levels(name: str, sides: list[int]) -> None:
    network = Network(ARCHITECTURES["efficientnet_lite0"], {"detection": HeadSpec(name, 2)}).eval()
    with torch.no_grad():
        outputs = network.on_features(network.features(torch.zeros(1, 3, 128, 128), network.features_read))["detection"]
    assert outputs["cells"][0, :, 2].unique().tolist() == sides
    assert outputs["logits"].shape[1] == sum((128 // side) ** 2 for side in sides)


def test_the_branch_that_says_each_object_once_ships_alone_and_does_not_move_the_neck() -> None:
    torch.manual_seed(0)
    head = GridHead(LEVELS, 3, width=8, one_to_one=True).eval()
    outputs = head(maps())
    assert outputs["single_logits"].shape == outputs["logits"].shape == (2, 21, 3)
    shipped = head.decode(outputs, {})
    assert torch.equal(shipped["boxes"], outputs["single_boxes"])
    assert torch.equal(shipped["scores"], torch.sigmoid(outputs["single_logits"]))
    assert not torch.equal(shipped["scores"], torch.sigmoid(outputs["logits"]))
    (outputs["single_logits"].square().sum() + outputs["single_boxes"].square().sum()).backward()
    learned = {name.split(".")[0] for name, each in head.named_parameters() if each.grad is not None}
    assert learned == {"single"}


@pytest.mark.slow  # the exporter, twice
@torch.no_grad()
def test_what_only_learns_is_not_in_the_graph_that_ships(tmp_path: Path) -> None:
    """It has as many weights as without a second branch, and gives the same in ONNX Runtime."""
    sizes = {}
    for name in ("grid", "grid_one_to_one"):
        network = Network(PLAIN, {"detection": HeadSpec(name, 3)}).eval()
        graph = Decoded(fold_norms(network), {}).eval()
        images = torch.randn(3, 3, 64, 64)
        write_graph(graph, tmp_path / f"{name}.onnx", example=images[:2], outputs=graph.names)
        session = onnxruntime.InferenceSession(tmp_path / f"{name}.onnx", providers=["CPUExecutionProvider"])
        said = session.run(list(graph.names), {"images": images.numpy()})
        for found, wanted in zip(said, graph(images), strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-3)
        initializers = onnx.load(tmp_path / f"{name}.onnx").graph.initializer
        sizes[name] = sum(int(np.prod(each.dims)) for each in initializers if len(each.dims) == 4)
    assert sizes["grid"] == sizes["grid_one_to_one"] > 100_000


def test_one_tower_is_smaller() -> None:
    both, one = (GridHead(LEVELS, 3, shared=shared) for shared in (False, True))
    assert sum(p.numel() for p in one.parameters()) < 0.8 * sum(p.numel() for p in both.parameters())


def test_levels_are_those_that_the_backbone_has() -> None:
    assert levels_of(ARCHITECTURES["vit_tiny_16"]) == ("stride16",)
    assert head_named("grid_p2").chosen(ARCHITECTURES["efficientnet_lite0"])[0] == "stride4"
    with pytest.raises(UsageError, match="vit_tiny_16 has no map of a stride of 8, 32"):
        levels_of(ARCHITECTURES["vit_tiny_16"], (8, 32))


def test_pooled_features_and_no_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="pooled is pooled"):
        GridHead((Feature("pooled", 8, None, None),), 2)
    with pytest.raises(UsageError, match="at least 1 class"):
        GridHead(LEVELS, 0)
