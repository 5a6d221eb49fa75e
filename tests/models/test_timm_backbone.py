"""timm's networks as backbones: the same answers, the declared cuts, and what is refused with which words."""

import copy
import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import onnxruntime
import pytest
import timm
import torch
from networks import assert_equal, calibrated, randomised
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pocketvision.bundle import Bundle
from pocketvision.errors import MissingExtraError, UsageError, WeightsError
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import write_onnx
from pocketvision.models.architecture_file import spec_from_dict
from pocketvision.models.catalog import architecture, build
from pocketvision.models.cost import cost
from pocketvision.models.key_layouts import LAYOUTS, from_ours, recognise, to_ours
from pocketvision.models.loading import load_weights
from pocketvision.models.network import Network
from pocketvision.models.rebuild import WEIGHTS_FILE, rebuilt
from pocketvision.models.timm_backbone import TimmBackbone, timm_backbone, timm_weights
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.classification.task import classifying
from pocketvision.training.recipe import Recipe
from pocketvision.training.setting_aliases import given_flat
from pocketvision.training.setting_values import applied

CLASSES = 7
TRANSFORMER = "deit_tiny_patch16_224"
# Channels and strides at the cuts, as the papers' tables have them. The transformer with a class token has one cut.
CUTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "resnet26": ((64, 256, 512, 1024, 2048), (2, 4, 8, 16, 32)),
    "efficientnet_b0": ((16, 24, 40, 112, 320), (2, 4, 8, 16, 32)),
    "convnext_atto": ((40, 80, 160, 320), (4, 8, 16, 32)),
    "mobilenetv4_conv_small": ((32, 32, 64, 96, 960), (2, 4, 8, 16, 32)),
    "regnetx_002": ((32, 24, 56, 152, 368), (2, 4, 8, 16, 32)),
    TRANSFORMER: ((192,), (16,)),
}
QUICK = ("efficientnet_b0", "convnext_atto", TRANSFORMER)
EACH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CUTS]
SPLIT = [name for name in EACH if name != TRANSFORMER]


@dataclass(frozen=True)
class Pair:
    """timm's network and ours with its weights, both in eval mode; neither may be changed."""

    theirs: nn.Module
    ours: Network
    layout: str

    @property
    def spec(self) -> TimmBackbone:
        assert isinstance(self.ours.architecture, TimmBackbone)
        return self.ours.architecture


@cache
def pair(name: str) -> Pair:
    torch.manual_seed(7)
    theirs = randomised(timm.create_model(name, num_classes=CLASSES))
    side = 224 if name == TRANSFORMER else 96
    theirs = calibrated(theirs, torch.randn(8, 3, side, side))
    ours, layout = load_weights(architecture(f"timm:{name}"), theirs.state_dict(), "x")
    return Pair(theirs, ours, layout.name)


def images_for(name: str, count: int = 2) -> torch.Tensor:
    side = 224 if name == TRANSFORMER else 64
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", EACH)
def test_outputs_equal_timms(name: str) -> None:
    both = pair(name)
    assert both.layout == "timm" and both.ours.num_classes == CLASSES
    sizes = [(224, 224)] if name == TRANSFORMER else [(128, 128), (97, 130)]
    for size in sizes:
        images = torch.randn(2, 3, *size)
        with torch.no_grad():
            assert_equal(both.ours(images), both.theirs(images))


@pytest.mark.parametrize("name", EACH)
def test_activations_at_every_cut_are_as_declared(name: str) -> None:
    network, images = pair(name).ours, images_for(name)
    assert (network.channels, network.strides) == CUTS[name]
    assert len(network.cuts) == len(network.channels) == len(network.stages) + 1
    with torch.no_grad():
        expected = network(images)
        for cut in network.cuts:
            activations = network.trunk(images, cut)
            side = images.shape[2] // network.strides[cut]
            if name == TRANSFORMER:  # tokens, the class token before them
                assert activations.shape == (2, 1 + side * side, network.channels[cut])
            else:
                assert activations.shape == (2, network.channels[cut], side, side)
            features = network.tail(activations, cut)
            assert features.shape == (2, network.feature_channels)
            assert torch.equal(network.on_features({"pooled": features})["classification"]["logits"], expected)


@pytest.mark.parametrize("name", [*SPLIT, "inception_v3"])  # which does not pad its convolutions
def test_a_stride_is_how_many_more_pixels_make_one_more_activation(name: str) -> None:
    network = pair(name).ours if name in CUTS else build(f"timm:{name}").eval()
    with torch.no_grad():
        for cut, stride in enumerate(network.strides):
            small, large = (network.trunk(torch.zeros(1, 3, side, side), cut).shape[2] for side in (128, 192))
            assert (large - small) * stride == 64


@pytest.mark.parametrize("name", EACH)
def test_keys_are_complete_both_ways(name: str) -> None:
    both = pair(name)
    state, layout = both.theirs.state_dict(), LAYOUTS["timm"]
    assert recognise(both.spec, state) == layout
    ours = to_ours(layout, both.spec, state)
    assert set(ours) == set(both.ours.state_dict())
    assert all(torch.equal(value, ours[key]) for key, value in both.ours.state_dict().items())
    back = from_ours(layout, both.spec, ours)
    assert set(back) == set(state) and all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize("name", EACH)
def test_its_own_weights_load_again(name: str) -> None:
    both = pair(name)
    again, layout = load_weights(both.spec, both.ours.state_dict(), "x")
    assert layout.name == "pocketvision"
    with torch.no_grad():
        assert torch.equal(again(images_for(name)), both.ours(images_for(name)))


@pytest.mark.parametrize("name", EACH)
def test_parameters_are_counted_right(name: str) -> None:
    both = pair(name)
    counted = sum(parameter.numel() for parameter in both.theirs.parameters())
    assert cost(both.spec, num_classes=CLASSES).parameters == counted
    assert sum(parameter.numel() for parameter in both.ours.parameters()) == counted


@pytest.mark.parametrize("name", [*SPLIT, "inception_next_atto"])  # whose kernels are not all square
def test_multiply_accumulates_are_those_that_run(name: str) -> None:
    spec = architecture(f"timm:{name}")
    with torch.device("meta"):
        network = build(spec).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, 160, 160))
    assert cost(spec, size=160).macs == counter.get_total_flops() // 2


@pytest.mark.parametrize("name", EACH)
def test_the_spec_is_plain_data(name: str, tmp_path: Path) -> None:
    spec = pair(name).spec
    text = json.dumps(spec.to_dict())
    assert spec_from_dict(json.loads(text)) == spec
    file = tmp_path / "spec.json"
    file.write_text(text)
    read = architecture(str(file))
    assert read == spec and set(build(read).state_dict()) == set(pair(name).ours.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": None}, "no backbone of timm's"),
        ({"colour": "red"}, "no backbone of timm's.*colour"),
        ({"channels": [8, "16"]}, r"'channels' is \[8, '16'\], expected a list of whole numbers above 0"),
        ({"channels": []}, "'channels' and 'strides' are one number a cut, and there is at least one"),
        ({"strides": [4, 8]}, "'channels' and 'strides' are one number a cut"),
        ({"strides": [True]}, r"'strides' is \[True\], expected a list"),
        ({"features": "8"}, "'features' is '8', expected int"),
        ({"features": 0}, "'features' is 0, expected 1 to"),
        ({"input_size": 64.0}, "'input_size' is 64.0, expected int"),
        ({"input_size": 5000}, "'input_size' is 5000, expected 1 to 4096"),
        ({"dropout": 1.0}, "'dropout' is 1.0, expected 0 to 0.95"),
        ({"family": None}, "'family' is None, expected str"),
    ],
)
def test_a_spec_with_wrong_fields_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec_from_dict({**TimmBackbone("timm:x", (8,), (4,), 8, 64).to_dict(), **change})
    with pytest.raises(UsageError, match=r"no backbone of timm's.*strides"):
        spec_from_dict({"name": "timm:x", "channels": [8]})


@pytest.mark.parametrize("name", SPLIT)
def test_tails_take_bfloat16_and_stay_close(name: str) -> None:
    network, images = pair(name).ours, images_for(name, 4)
    with torch.no_grad():
        for cut in network.cuts:
            activations = network.trunk(images, cut)
            exact = network.tail(activations, cut)
            found = network.tail(activations.to(torch.bfloat16), cut)
            assert found.dtype == torch.bfloat16 and not torch.equal(found.float(), exact)
            assert (found.float() - exact).square().mean().sqrt() < 0.1 * exact.std()


def test_what_pools_a_network_in_one_piece_takes_bfloat16_too() -> None:
    network = build("timm:test_vit3", num_classes=CLASSES).eval()  # its pooling is attention, with weights
    assert len(network.cuts) == 1
    with torch.no_grad():
        activations = network.trunk(torch.randn(2, 3, 160, 160), 0)
        exact = network.tail(activations, 0)
        found = network.tail(activations.to(torch.bfloat16), 0)
    assert (found.float() - exact).square().mean().sqrt() < 0.1 * exact.std()


@pytest.mark.parametrize("name", EACH)
def test_gradients_reach_every_parameter(name: str) -> None:
    network = copy.deepcopy(pair(name).ours).train()
    nn.functional.cross_entropy(network(images_for(name, 4)), torch.arange(4)).backward()
    assert [key for key, each in network.named_parameters() if each.grad is None or not each.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", SPLIT)
def test_gradients_of_a_tail_reach_all_of_it_and_nothing_below(name: str, precision: torch.dtype) -> None:
    network = copy.deepcopy(pair(name).ours).train()
    for cut in network.cuts:
        network.zero_grad()
        with torch.no_grad():
            activations = network.trunk(images_for(name, 4), cut).to(precision)
        features = network.tail(activations, cut)
        logits = network.on_features({"pooled": features})["classification"]["logits"]
        nn.functional.cross_entropy(logits, torch.arange(4)).backward()
        above = ("head.", "heads.", *(f"stages.{stage}." for stage in range(cut, len(network.stages))))
        reached = {key for key, each in network.named_parameters() if each.grad is not None and each.grad.any()}
        assert reached == {key for key, _ in network.named_parameters() if key.startswith(above)}
        assert all(each.grad.isfinite().all() for key, each in network.named_parameters() if key in reached)


def trains(**flat: Any) -> None:
    applied(Recipe(), given_flat(flat)).require_model()


def test_a_size_that_timm_refuses_names_the_one_that_works() -> None:
    spec = pair(TRANSFORMER).spec
    spec.check_size(224, 224)
    for refused in (
        lambda: spec.check_size(225, 225),
        lambda: spec.check_size(224, 160),
        lambda: cost(spec, size=225),
        lambda: trains(model=f"timm:{TRANSFORMER}", size=225, unfreeze=0),
    ):
        with pytest.raises(UsageError, match=rf"timm:{TRANSFORMER} can not take .*[^.]\)\. 224 x 224 works\.$"):
            refused()
    trains(model="timm:convnext_atto", size=97, unfreeze=2)


def test_a_network_in_one_piece_has_no_stages_to_unfreeze() -> None:
    with pytest.raises(UsageError, match=r"phases\.2\.unfreeze is 2: .* has 0 stages"):
        trains(model=f"timm:{TRANSFORMER}", unfreeze=2)


def test_an_unknown_name_lists_near_matches() -> None:
    with pytest.raises(UsageError, match=r"Unknown network of timm's 'convnext_ato'. Did you mean convnext_atto"):
        architecture("timm:convnext_ato")
    with pytest.raises(UsageError, match="Unknown network of timm's ''"):
        architecture("timm:")


def test_an_unknown_tag_of_weights_is_refused() -> None:
    assert architecture("timm:convnext_atto.d2_in1k").channels == CUTS["convnext_atto"][0]
    with pytest.raises(UsageError, match=r"'nonsense' of the weights of timm:convnext_atto\. Known: d2_in1k\."):
        architecture("timm:convnext_atto.nonsense")
    spec = TimmBackbone("timm:convnext_atto.nonsense", *CUTS["convnext_atto"], 320, 224)
    for needing in (build, cost, timm_weights):
        with pytest.raises(UsageError, match="nonsense"):
            needing(spec)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    timm_backbone.cache_clear()
    with pytest.raises(MissingExtraError, match=r'timm:resnet26.*pip install "pocketvision\[timm\]"') as caught:
        architecture("timm:resnet26")
    assert caught.value.extra == "timm"


def test_without_timm_a_spec_from_a_file_names_the_extra_when_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = pair("convnext_atto").spec
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "pocketvision.models.timm_parts")
    for needing in (
        build,
        cost,
        timm_weights,
        lambda spec: spec.check_size(97, 97),
        lambda spec: recognise(spec, ["x"]),
    ):
        with pytest.raises(MissingExtraError, match=r"timm:convnext_atto.*pocketvision\[timm\]"):
            needing(spec)


def test_without_timm_a_bundle_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    manifest = SimpleNamespace(files={WEIGHTS_FILE: ""}, architecture=pair("convnext_atto").spec.to_dict())
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"timm:convnext_atto.*pocketvision\[timm\]"):
        rebuilt(cast(Bundle, SimpleNamespace(manifest=manifest, tasks={}, folder=tmp_path)))


def test_networks_of_other_kinds_are_no_backbones() -> None:
    with pytest.raises(UsageError, match="timm:coat_tiny can be no backbone here: it does not pool one tensor"):
        architecture("timm:coat_tiny")
    with pytest.raises(UsageError, match=r"timm:vit_base_patch16_sapiens2 .* made for images of 768 x 1024 pixels"):
        architecture("timm:vit_base_patch16_sapiens2")


# Channels last; more of them than in the last stage; tokens.
@pytest.mark.parametrize("name", ["test_mambaout", "hrnet_w18_small", "test_vit"])
def test_the_pyramid_of_a_network_in_one_piece_has_the_declared_channels(name: str) -> None:
    network = build(f"timm:{name}", num_classes=CLASSES).eval()
    assert len(network.cuts) == 1
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        activations, pyramid = network.trunk(images, 0), network.pyramid(images)
    side = 160 // network.strides[0]
    assert {stride: tuple(level.shape) for stride, level in pyramid.items()} == {
        network.strides[0]: (2, network.channels[0], side, side)
    }
    assert torch.equal(pyramid[network.strides[0]][1, :, 3, 2], located(activations, side)[1, 3, 2])


def located(activations: torch.Tensor, side: int) -> torch.Tensor:
    """(N, side, side, channels) of a map with its channels first or last, or of tokens after the class token."""
    if activations.ndim == 3:
        return activations[:, 1:].unflatten(1, (side, side))
    return activations if activations.shape[1] == side else activations.movedim(1, 3)


def test_a_network_that_keeps_the_class_token_alone_has_no_pyramid() -> None:
    network = build("timm:pit_ti_224", num_classes=CLASSES).eval()
    with torch.no_grad(), pytest.raises(UsageError, match=r"timm:pit_ti_224 has no pyramid: .* no map of 256 channels"):
        network.pyramid(torch.randn(1, 3, 224, 224))


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(
        WeightsError, match=r"x does not fit timm:convnext_atto .*of another shape: stem\.stem\.0\.weight"
    ):
        load_weights(pair("convnext_atto").spec, timm.create_model("convnext_femto").state_dict(), "x")


def test_input_channels_are_for_a_random_start() -> None:
    assert build("timm:resnet26", in_channels=1)(torch.zeros(2, 1, 64, 64)).shape == (2, 1000)
    both = pair("convnext_atto")
    with pytest.raises(UsageError, match="their own input channels"):
        load_weights(both.spec, both.theirs.state_dict(), "x", in_channels=1)


def test_looking_at_a_network_leaves_the_random_state_alone() -> None:
    timm_backbone.cache_clear()
    before = torch.get_rng_state()
    first = architecture("timm:convnext_atto")
    assert torch.equal(torch.get_rng_state(), before)
    timm_backbone.cache_clear()
    torch.manual_seed(99)
    assert architecture("timm:convnext_atto") == first


@pytest.mark.slow
def test_onnx_answers_like_the_network(tmp_path: Path) -> None:
    network = pair("convnext_atto").ours
    preprocessing = Preprocessing(64, 96, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    write_onnx(Exportable(network, classifying(tuple("abcdefg"), 2.0), preprocessing), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for batch in (1, 3):
        images = torch.randn(batch, 3, 64, 96)
        logits, probabilities = session.run(["logits", "probabilities"], {"images": images.numpy()})
        with torch.no_grad():
            expected = network(images)
        assert_equal(torch.from_numpy(logits), expected)
        torch.testing.assert_close(torch.from_numpy(probabilities), (expected / 2).softmax(1), rtol=1e-3, atol=1e-5)
