"""Every row against its published figures and against the other libraries' networks of the same name."""

from dataclasses import replace
from functools import cache

import pytest
import timm
import torch
import torchvision
from networks import REPRESENTATIVES, assert_equal, each_row, randomised
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.cost import cost
from pocketvision.models.key_layouts import LAYOUTS, KeyLayout, from_ours, recognise, to_ours
from pocketvision.models.loading import load_weights
from pocketvision.models.spec import Architecture, ModelSpec
from pocketvision.models.summary import summaries

ROWS = sorted(ARCHITECTURES)
LIBRARIES = {"timm": timm.create_model, "torchvision": torchvision.models.get_model}

# Published figures: exact parameters at 1000 classes, multiply-accumulates in millions, and the input size of the latter.
# (torchvision's documentation; the MobileNet, MnasNet, EfficientNetV2, Lite and DeiT authors' tables.)
PUBLISHED: dict[str, tuple[int, int, int]] = {
    "efficientnet_b0": (5_288_548, 386, 224),
    "efficientnet_b1": (7_794_184, 687, 240),
    "efficientnet_b2": (9_109_994, 1_088, 288),
    "efficientnet_b3": (12_233_232, 1_827, 300),
    "efficientnet_b4": (19_341_616, 4_394, 380),
    "efficientnet_b5": (30_389_784, 10_266, 456),
    "efficientnet_b6": (43_040_704, 19_068, 528),
    "efficientnet_b7": (66_347_960, 37_746, 600),
    "efficientnet_lite0": (4_652_008, 407, 224),
    "efficientnet_lite1": (5_416_680, 631, 240),
    "efficientnet_lite2": (6_092_072, 899, 260),
    "efficientnet_lite3": (8_197_096, 1_440, 280),
    "efficientnet_lite4": (13_006_568, 2_640, 300),
    "efficientnet_v2_s": (21_458_488, 8_366, 384),
    "efficientnet_v2_m": (54_139_356, 24_582, 480),
    "efficientnet_v2_l": (118_515_272, 56_080, 480),
    "efficientnet_v2_b0": (7_139_704, 720, 224),
    "mobilenet_v1": (4_231_976, 569, 224),
    "mobilenet_v2": (3_504_872, 301, 224),
    "mobilenet_v3_large": (5_483_032, 217, 224),
    "mobilenet_v3_small": (2_542_856, 57, 224),
    "mnasnet_a1": (3_887_038, 312, 224),
    "mnasnet_b1": (4_383_312, 315, 224),
    "resnet18": (11_689_512, 1_814, 224),
    "resnet34": (21_797_672, 3_664, 224),
    "resnet50": (25_557_032, 4_089, 224),
    "vit_tiny_16": (5_717_416, 1_258, 224),
    "vit_small_16": (22_050_664, 4_608, 224),
    "vit_base_16": (86_567_656, 17_564, 224),
}
PUBLISHED |= {f"tf_{name}": figures for name, figures in PUBLISHED.items() if name.startswith("efficientnet_b")}

# Our row, their library, their name.
REFERENCES = [
    *((f"efficientnet_b{size}", "timm", f"efficientnet_b{size}") for size in range(8)),
    *((f"efficientnet_b{size}", "torchvision", f"efficientnet_b{size}") for size in range(8)),
    *((f"tf_efficientnet_b{size}", "timm", f"tf_efficientnet_b{size}") for size in range(8)),
    *((f"efficientnet_lite{size}", "timm", f"tf_efficientnet_lite{size}") for size in range(5)),
    *((f"efficientnet_lite{size}", "timm", f"efficientnet_lite{size}") for size in range(5)),
    *((f"efficientnet_v2_{size}", "timm", f"tf_efficientnetv2_{size}") for size in "sml"),
    *((f"efficientnet_v2_{size}", "torchvision", f"efficientnet_v2_{size}") for size in "sml"),
    *((f"efficientnet_v2_b{size}", "timm", f"tf_efficientnetv2_b{size}") for size in range(4)),
    ("mobilenet_v1", "timm", "mobilenetv1_100"),
    ("mobilenet_v2", "timm", "mobilenetv2_100"),
    ("mobilenet_v2", "torchvision", "mobilenet_v2"),
    *((f"mobilenet_v3_{size}", "timm", f"mobilenetv3_{size}_100") for size in ("large", "small")),
    *((f"mobilenet_v3_{size}", "timm", f"tf_mobilenetv3_{size}_100") for size in ("large", "small")),
    *((f"mobilenet_v3_{size}", "torchvision", f"mobilenet_v3_{size}") for size in ("large", "small")),
    *(
        (f"mobilenet_v3_{size}_minimalistic", "timm", f"tf_mobilenetv3_{size}_minimal_100")
        for size in ("large", "small")
    ),
    ("mnasnet_a1", "timm", "semnasnet_100"),
    ("mnasnet_b1", "timm", "mnasnet_100"),
    ("mnasnet_b1", "torchvision", "mnasnet1_0"),
    *((f"resnet{depth}", library, f"resnet{depth}") for depth in (18, 34, 50) for library in ("timm", "torchvision")),
    *((f"vit_{size}_16", "timm", f"vit_{size}_patch16_224") for size in ("tiny", "small", "base")),
    ("vit_base_16", "torchvision", "vit_b_16"),
]

each_reference = pytest.mark.parametrize(
    ("name", "library", "theirs"),
    [each if each[0] in REPRESENTATIVES else pytest.param(*each, marks=pytest.mark.slow) for each in REFERENCES],
)

# Rows of our own, which no library has, held by their golden outputs: exact parameters at so many classes, and
# multiply-accumulates in millions. Of those that the project's reference gives figures for, these are within 6 % of them.
OWN: dict[str, tuple[int, int, float]] = {
    "efficientnet_b0_small": (4_112_644, 1000, 82.3),
    "mobilenet_v1_small": (811_850, 10, 27.2),
    "mobile_efficientnet_small": (218_072, 1000, 19.6),
    "mobile_efficientnet_medium": (369_428, 1000, 35.4),
    "mobile_efficientnet_large": (698_842, 1000, 71.2),
    "small_cnn": (1_147_690, 10, 11.4),
    "small_resnet": (1_941_546, 10, 71.7),
}
REFERENCE_FIGURES = {
    "efficientnet_b0_small": (4.0, 83),
    "mobilenet_v1_small": (0.81, 27),
    "mobile_efficientnet_medium": (0.37, 35),
    "small_cnn": (1.15, None),
}


def reference(library: str, name: str) -> nn.Module:
    """Their network with random weights and randomised norm statistics, so that no output is near zero."""
    torch.manual_seed(7)
    return randomised(LIBRARIES[library](name))


def as_built_by(row: ModelSpec, library: str, name: str) -> ModelSpec:
    """The row with the conventions of that library's network of that name."""
    if not isinstance(row, Architecture):
        return row
    if library == "timm" and name.startswith("tf_"):
        return replace(row, padding="same", norm_epsilon=1e-3)
    if library == "timm":
        return replace(row, padding="symmetric", norm_epsilon=1e-5)
    return row


def test_every_row_is_in_the_tables_of_figures() -> None:
    assert {row for row, _, _ in REFERENCES} | set(OWN) == set(ARCHITECTURES)
    assert set(PUBLISHED) <= set(ARCHITECTURES) - set(OWN)
    assert [summary.name for summary in summaries()] == list(ARCHITECTURES)


def counted(network: nn.Module, size: int) -> tuple[int, int]:
    """Parameters, and multiply-accumulates for one image; on the meta device nothing is computed."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, size, size, device="meta"))
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops() // 2


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_macs_are_the_published_ones(name: str) -> None:
    parameters, million_macs, size = PUBLISHED[name]
    found = cost(ARCHITECTURES[name], size=size)
    assert found.parameters == parameters
    assert found.macs == pytest.approx(million_macs * 1e6, rel=0.06)


@pytest.mark.parametrize("name", each_row(quick=("mobilenet_v2", "small_cnn", "vit_tiny_16")))
def test_the_network_costs_what_is_counted_from_its_rows_and_what_the_libraries_does(name: str) -> None:
    row = ARCHITECTURES[name]
    with torch.device("meta"):
        network = build(name).eval()
        assert counted(network, row.input_size) == (cost(row).parameters, cost(row).macs)
        for _, library, theirs in (each for each in REFERENCES if each[0] == name):
            assert counted(LIBRARIES[library](theirs).eval(), row.input_size) == counted(network, row.input_size)


@pytest.mark.parametrize("name", OWN)
def test_small_networks_are_the_small_ones(name: str) -> None:
    parameters, classes, million_macs = OWN[name]
    found = cost(ARCHITECTURES[name], num_classes=classes)
    assert (found.parameters, round(found.macs / 1e6, 1)) == (parameters, million_macs)
    millions, macs = REFERENCE_FIGURES.get(name, (None, None))
    assert millions is None or parameters / 1e6 == pytest.approx(millions, rel=0.06)
    assert macs is None or million_macs == pytest.approx(macs, rel=0.06)


@each_reference
def test_outputs_equal_the_reference(name: str, library: str, theirs: str) -> None:
    expected = reference(library, theirs)
    row = as_built_by(ARCHITECTURES[name], library, theirs)
    network, layout = load_weights(row, expected.state_dict(), theirs)
    assert layout.module_paths(row) == LAYOUTS[library].module_paths(row)
    # One even size, and one with odd and even sides, where the paddings differ most; theirs of a transformer take one size only.
    sizes = ((64, 64), (75, 98)) if isinstance(row, Architecture) else ((224, 224),)
    for height, width in sizes:
        images = torch.randn(2, 3, height, width)
        with torch.no_grad():
            assert_equal(network(images), expected(images))


@pytest.mark.parametrize("size", [(96, 160), (384, 384)])
def test_a_transformer_at_other_sizes_equals_timms_which_resamples_as_well(size: tuple[int, int]) -> None:
    torch.manual_seed(7)
    expected = randomised(timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True))
    network, _ = load_weights(ARCHITECTURES["vit_tiny_16"], expected.state_dict(), "timm")
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        assert_equal(network(images), expected(images))


@each_reference
def test_key_layouts_are_complete_both_ways(name: str, library: str, theirs: str) -> None:
    row, state = ARCHITECTURES[name], reference(library, theirs).state_dict()
    layout = recognise(row, state)
    ours = to_ours(layout, row, state)
    assert set(ours) == set(build(name).state_dict())
    back = from_ours(layout, row, ours)
    assert set(back) == set(state) and all(torch.equal(back[key], state[key]) for key in state)


@cache
def keys_of(name: str) -> list[str]:
    with torch.device("meta"):
        return list(build(name).state_dict())


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_layouts_name_every_module_once(name: str, layout: KeyLayout) -> None:
    paths = layout.module_paths(ARCHITECTURES[name])
    if not paths:  # that library has no such network, which the table of references confirms
        assert not any(row == name and library == layout.name for row, library, _ in REFERENCES)
        return
    keys = keys_of(name)
    # A tensor goes by its own key where the layout has it, else by its module's.
    assert set(paths) == {key if key in paths else key.rpartition(".")[0] for key in keys}
    assert len(set(paths.values())) == len(paths)
