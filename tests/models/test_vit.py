"""The Vision Transformer beyond what every row promises: where tokens stand, sizes, wrong fields, stochastic depth, bfloat16."""

import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.models.architecture_file import spec_from_dict
from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.cost import cost
from pocketvision.models.drawing import draw
from pocketvision.models.network import Network
from pocketvision.models.transformer import Patches
from pocketvision.models.vit import VisionTransformer
from pocketvision.training.recipe import Recipe
from pocketvision.training.setting_values import changed

SMALL = VisionTransformer("small", width=48, depth=4, heads=3, input_size=64)


def network_of(spec: VisionTransformer, seed: int = 1) -> Network:
    """In eval mode, with weights large enough that every block changes its tokens."""
    torch.manual_seed(seed)
    network = build(spec, num_classes=5)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
    return network.eval()


def places(stem: Patches, height: int, width: int) -> torch.Tensor:
    """What the stem adds to patches that hold nothing: (1 + h * w, width)."""
    with torch.no_grad():
        torch.nn.init.zeros_(stem.conv.bias)
        tokens: torch.Tensor = stem(torch.zeros(1, 3, height, width))[0]
    return tokens


def test_positions_are_the_learned_ones_at_the_size_they_were_learned_for() -> None:
    stem = Patches(SMALL, 3)
    expected = stem.positions[0].detach().clone()
    expected[0] += stem.class_token[0, 0].detach()
    assert torch.equal(places(stem, 64, 64), expected)


@pytest.mark.parametrize(("height", "width"), [(96, 160), (160, 48), (224, 224)])
def test_positions_at_another_multiple_of_the_patch_lie_between_the_learned_ones(height: int, width: int) -> None:
    """The learned ones tell their row and column; resampled, they tell where along the learned grid a patch lies."""
    stem, side = Patches(replace(SMALL, input_size=224), 3), 14
    rows, columns = torch.meshgrid(torch.arange(14.0), torch.arange(14.0), indexing="ij")
    with torch.no_grad():
        stem.positions[0, 1:, 0], stem.positions[0, 1:, 1] = rows.flatten(), columns.flatten()
        stem.positions[0, 1:, 2] = 3.0
    found = places(stem, height, width)
    assert torch.equal(found[0], places(stem, 224, 224)[0])  # the class token stands nowhere
    grid = found[1:].reshape(height // 16, width // 16, -1)
    for axis, count in ((0, height // 16), (1, width // 16)):
        expected = (torch.arange(count) + 0.5) * side / count - 0.5  # of the patches' middles
        along = grid[..., axis].transpose(0, axis)
        assert (along - expected[:, None]).abs().max() < 0.35  # at the borders there is less to take the mean of
        inside = slice(2, -2) if count > 4 else slice(1, -1)
        assert (along - expected[:, None])[inside].abs().max() < 0.1
    assert torch.allclose(grid[..., 2], torch.tensor(3.0), atol=1e-4)


def test_other_multiples_of_the_patch_give_that_many_tokens_and_an_answer() -> None:
    network = network_of(SMALL)
    for height, width in ((16, 16), (48, 96), (128, 32)):
        images = torch.randn(2, 3, height, width)
        with torch.no_grad():
            assert network.trunk(images, 2).shape == (2, 1 + height * width // 256, 48)
            assert network(images).isfinite().all()


@pytest.mark.parametrize(
    ("height", "width", "sizes"), [(225, 225, [224, 240]), (64, 100, [64, 80, 96, 112]), (8, 8, [16])]
)
def test_a_size_that_patches_do_not_fill_is_refused_with_sizes_that_work(
    height: int, width: int, sizes: list[int]
) -> None:
    network = network_of(SMALL)
    with pytest.raises(
        UsageError, match=rf"patches of 16 pixels, which {width} x {height} is no multiple of"
    ) as caught:
        network(torch.zeros(1, 3, height, width))
    assert [int(size) for size in re.findall(r"\d+", str(caught.value).partition("that work: ")[2])] == sizes
    for size in sizes:
        assert network(torch.zeros(1, 3, size, size)).shape == (1, 5)


def test_a_training_at_an_odd_size_is_refused_before_it_begins() -> None:
    with pytest.raises(UsageError, match=r"vit_tiny_16 cuts an image into patches.*that work: 224, 240\."):
        changed(Recipe(), {"data.size": 225, "model.name": "vit_tiny_16"}).require_model()
    changed(Recipe(), {"data.size": 240, "model.name": "vit_tiny_16"}).require_model()
    with pytest.raises(UsageError, match="that work: 96, 112"):
        cost(ARCHITECTURES["vit_tiny_16"], size=100)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "the field 'colour' is unknown. Known: name, width, depth, heads"),
        ({"width": "192"}, "'width' is '192', expected int"),
        ({"depth": 4.0}, "'depth' is 4.0, expected int"),
        ({"depth": True}, "'depth' is True, expected int"),
        ({"mlp_ratio": "4"}, "'mlp_ratio' is '4', expected float"),
        ({"width": 50}, "width 50, depth 4, heads 3, patch 16; .* the width a multiple of the heads"),
        ({"heads": 0}, "heads 0, patch 16; each has to be 1 or more"),
        ({"depth": 0}, "depth 0, heads 3, patch 16; each has to be 1 or more"),
        ({"patch": 0}, "patch 0; each has to be 1 or more"),
        ({"width": -48}, "width -48, depth 4"),
        ({"mlp_ratio": 0.0}, "'mlp_ratio' is 0.0, expected 0.05 to 64"),
        ({"norm_epsilon": 0.0}, "'norm_epsilon' is 0.0, expected 1e-12 to 1"),
        ({"norm_epsilon": float("nan")}, "'norm_epsilon' is nan"),
        ({"input_size": 70}, "'input_size' is 70, expected a multiple of the patch, 16"),
        ({"input_size": 8192}, "'input_size' is 8192, expected 1 to 4096"),
        ({"dropout": 1.0}, "'dropout' is 1.0, expected 0 to 0.95"),
        ({"drop_path": -0.1}, "'drop_path' is -0.1, expected 0 to 0.95"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec_from_dict({**SMALL.to_dict(), **change})


@pytest.mark.parametrize("field", ["width", "depth", "name", "heads"])
def test_a_missing_field_is_named(field: str) -> None:
    content = {name: value for name, value in SMALL.to_dict().items() if name != field}
    with pytest.raises(UsageError, match=f"'{field}'"):
        spec_from_dict(content)


def test_fields_with_a_default_may_be_left_out_and_whole_numbers_stand_for_fractions() -> None:
    found = spec_from_dict({"name": "small", "width": 48, "depth": 4, "heads": 3, "input_size": 64, "mlp_ratio": 4})
    assert found == SMALL


def test_the_drawing_tells_no_kernel_of_a_block() -> None:
    drawn = draw(SMALL)
    assert (
        drawn.count(">1 x transformer<") == 4 and drawn.count(">e4<") == 4 and ">16x16<" in drawn and "1x1" not in drawn
    )


def test_blocks_are_left_out_in_training_only() -> None:
    spec = replace(SMALL, drop_path=0.8)
    network, always = network_of(spec), network_of(SMALL)
    assert [block.drop_path for block in network.stages] == pytest.approx([0, 0.2, 0.4, 0.6])
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        exact = always(images)
        assert torch.equal(network(images), exact) and torch.equal(always.train()(images), exact)
        network.train()
        assert torch.equal(network.trunk(images, 1), always.trunk(images, 1))  # the first block always runs
        assert not torch.equal(network(images), network(images))


def test_a_branch_is_left_out_image_by_image_at_its_rate() -> None:
    block = network_of(replace(SMALL, drop_path=0.8)).stages[3].train()
    tokens = torch.randn(2000, 5, 48)
    with torch.no_grad():
        unchanged = (block(tokens) == tokens).flatten(1).all(1)
    assert float(unchanged.float().mean()) == pytest.approx(0.36, abs=0.05)  # both branches left out: 0.6 squared


def test_a_tail_in_bfloat16_is_close_to_its_float32() -> None:
    network, images = network_of(SMALL), torch.randn(8, 3, 64, 64)
    for cut in network.cuts:
        with torch.no_grad():
            activations = network.trunk(images, cut)
        exact = network.tail(activations, cut)
        found = network.tail(activations.to(torch.bfloat16), cut)
        assert found.dtype == torch.bfloat16
        assert not torch.equal(found.float(), exact) and (found.float() - exact).abs().max() < 0.1 * exact.std()
        gradients = []
        for features in (exact, found.float()):
            network.zero_grad()
            features[:, 0].sum().backward()
            gradients.append(network.head.norm.weight.grad)
        assert gradients[1].dtype == torch.float32
        assert (gradients[1] - gradients[0]).abs().max() < 0.1 * gradients[0].abs().max()
