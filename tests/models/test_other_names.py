"""What timm and torchvision call our networks: a name only where theirs computes the same."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from networks import assert_equal, calibrated, randomised

from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES, architecture, build
from pocketvision.models.key_layouts import LAYOUTS, from_ours
from pocketvision.models.other_names import name_in
from pocketvision.models.spec import Architecture, ModelSpec

LIBRARIES = {
    "timm": (timm.is_model, timm.create_model),
    "torchvision": (torchvision.models.list_models().__contains__, torchvision.models.get_model),
}
# Rows that neither library has.
OWN = {
    "efficientnet_b0_small",
    "mobilenet_v1_small",
    "mobile_efficientnet_small",
    "mobile_efficientnet_medium",
    "mobile_efficientnet_large",
    "small_cnn",
    "small_resnet",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Short calls: threads that wait for each other take longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def named(library: str, row: ModelSpec) -> str | None:
    try:
        return name_in(library, row)
    except UsageError:
        return None


def edited(row_name: str, **changes: object) -> Architecture:
    row = ARCHITECTURES[row_name]
    assert isinstance(row, Architecture)
    return replace(row, **changes)  # type: ignore[arg-type]


def test_every_row_of_a_known_paper_has_a_name_that_a_library_knows() -> None:
    names = {row: [named(library, ARCHITECTURES[row]) for library in LIBRARIES] for row in ARCHITECTURES}
    assert {row for row, found in names.items() if not any(found)} == OWN
    unknown = [
        (row, library, name)
        for row, found in names.items()
        for (library, (knows, _)), name in zip(LIBRARIES.items(), found, strict=True)
        if name is not None and not knows(name)
    ]
    assert unknown == []


@pytest.mark.parametrize(
    ("row", "library", "name"),
    [
        ("efficientnet_b0", "timm", "efficientnet_b0"),
        ("efficientnet_b0", "torchvision", "efficientnet_b0"),
        ("tf_efficientnet_b0", "timm", "tf_efficientnet_b0"),
        ("efficientnet_lite0", "timm", "tf_efficientnet_lite0"),
        ("efficientnet_v2_b0", "timm", "tf_efficientnetv2_b0"),
        ("mobilenet_v1", "timm", "mobilenetv1_100"),
        ("mobilenet_v2_035", "timm", "mobilenetv2_035"),
        ("mobilenet_v2_140", "timm", "mobilenetv2_140"),
        ("mobilenet_v3_small", "torchvision", "mobilenet_v3_small"),
        ("mobilenet_v3_small_minimalistic", "timm", "tf_mobilenetv3_small_minimal_100"),
        ("mnasnet_a1", "timm", "semnasnet_100"),
        ("mnasnet_b1", "timm", "mnasnet_100"),
    ],
)
def test_the_network_of_that_name_computes_the_same(row: str, library: str, name: str) -> None:
    spec = architecture(row)
    assert name_in(library, spec) == name
    torch.manual_seed(1)
    ours = calibrated(randomised(build(spec, num_classes=5)), torch.randn(8, 3, 64, 64))
    theirs = LIBRARIES[library][1](name, num_classes=5).eval()
    theirs.load_state_dict(from_ours(LAYOUTS[library], spec, ours.state_dict()))
    images = torch.randn(2, 3, 75, 98)  # odd: where paddings differ most
    with torch.no_grad():
        assert_equal(theirs(images), ours(images))


@pytest.mark.parametrize("row", ["vit_tiny_16", "vit_small_16", "vit_base_16"])
def test_transformers_have_timm_names(row: str) -> None:
    name = name_in("timm", ARCHITECTURES[row])
    with torch.device("meta"):
        theirs = timm.create_model(name, num_classes=5).state_dict()
        ours = from_ours(LAYOUTS["timm"], ARCHITECTURES[row], build(row, num_classes=5).state_dict())
    assert {key: value.shape for key, value in theirs.items()} == {key: value.shape for key, value in ours.items()}


@pytest.mark.parametrize("alpha", [25, 35, 50, 75, 90, 100, 130, 140])
@pytest.mark.parametrize("row", ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v1"])
def test_a_width_has_a_name_only_where_the_library_has_it(row: str, alpha: int) -> None:
    spec = architecture(f"{row}_{alpha:03}")
    found = {library: named(library, spec) for library in LIBRARIES}
    assert {library: name for library, name in found.items() if name and not LIBRARIES[library][0](name)} == {}


@pytest.mark.parametrize("library", list(LIBRARIES))
@pytest.mark.parametrize(
    "changes", [{"padding": "same"}, {"norm_epsilon": 1e-3}, {"padding": "same", "norm_epsilon": 1e-5}], ids=str
)
def test_other_paddings_and_epsilons_are_refused(changes: dict[str, object], library: str) -> None:
    """Their weights would load, and the answers would differ."""
    with pytest.raises(UsageError, match=f"{library} has no network that computes what mobilenet_v2 does"):
        name_in(library, edited("mobilenet_v2", **changes))


@pytest.mark.parametrize("library", list(LIBRARIES))
@pytest.mark.parametrize(
    "changes",
    [{"activation": "silu"}, {"width": 0.5}, {"depth": 1.5}, {"head_channels": 640}, {"stem_stride": 1}],
    ids=str,
)
def test_other_rows_under_a_known_name_are_refused(changes: dict[str, object], library: str) -> None:
    """A file of rows, and a pruned network, may be called as what they were made from."""
    with pytest.raises(UsageError, match=f"{library} has no network that computes what mobilenet_v2 does"):
        name_in(library, edited("mobilenet_v2", **changes))


@pytest.mark.parametrize("library", list(LIBRARIES))
def test_dropout_and_the_usual_size_make_no_other_network(library: str) -> None:
    changed = edited("mobilenet_v2", dropout=0.5, input_size=96)
    assert name_in(library, changed) == name_in(library, ARCHITECTURES["mobilenet_v2"])


def test_a_name_of_no_paper_is_refused() -> None:
    for library in LIBRARIES:
        with pytest.raises(UsageError, match="so it can not load its weights"):
            name_in(library, edited("mobilenet_v2", name="mine"))


def test_a_backbone_of_timms_keeps_its_name_there_alone() -> None:
    spec = architecture("timm:resnet18")
    assert name_in("timm", spec) == "resnet18"
    tagged = replace(spec, name="timm:resnet18.a1_in1k")  # type: ignore[type-var]
    assert name_in("timm", tagged) == "resnet18"
    with pytest.raises(UsageError, match="torchvision has no network"):
        name_in("torchvision", spec)
