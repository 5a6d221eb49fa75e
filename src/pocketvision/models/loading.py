"""A state of weights into a network: the key layout recognised, every mismatch named, nothing left to chance."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.cost import cost
from pocketvision.models.key_layouts import KeyLayout, recognise, to_ours
from pocketvision.models.layer import CLASSIFIER
from pocketvision.models.network import Network
from pocketvision.models.spec import Architecture, ModelSpec
from pocketvision.models.weight_sets import State

_CLASSIFIER = (f"{CLASSIFIER}.weight", f"{CLASSIFIER}.bias")


def load_weights(
    architecture: ModelSpec, state: State, origin: str, *, in_channels: int | None = None
) -> tuple[Network, KeyLayout]:
    """A network with the state's weights and its number of classes, in eval mode, and the layout that was recognised.

    in_channels: other channels than the weights were trained for (None: theirs); see `adapted_stem`.

    Weights that lack the classifier's keys and nothing else (timm's image encoders) are loaded too: the network's classifier is
    then a new one, random, of one class. Training replaces it anyway (`Network.set_heads`); there is nothing else to use it for.

    The network is built with the padding and epsilon of the library the layout belongs to, where that is known.
    `origin` names the weights in errors. Raises WeightsError listing missing, unknown and differently shaped keys.
    """
    layout, network, ours = _matched(architecture, state)
    expected = network.state_dict()
    without = not _holds_classifier(ours)
    if without:
        ours |= {key: expected[key] for key in _CLASSIFIER}
    mismatch = _mismatch(expected, ours)
    if mismatch:
        mismatch += " It has no classifier." if without else ""
        raise WeightsError(
            f"{origin} does not fit {architecture.name} (read in {layout.name}'s key layout): {mismatch}"
            + _better_fit(architecture.name, state)
        )
    broken = next((key for key, value in ours.items() if not _sound(value, expected[key])), None)
    if broken is not None:
        raise WeightsError(f"{origin}: {broken} holds values that are not finite numbers; the file is damaged.")
    network.load_state_dict(ours)
    stem = getattr(network.stem, "conv", None)
    if in_channels is not None and not isinstance(stem, nn.Conv2d):
        raise UsageError(
            f"{architecture.name}: timm's weights can not be had here for other than their own input channels."
        )
    if in_channels is not None and isinstance(stem, nn.Conv2d):
        stem.weight = nn.Parameter(adapted_stem(stem.weight.detach(), in_channels))
        stem.in_channels = in_channels
    return network.eval(), layout


def recognised(architecture: ModelSpec, state: State, origin: str) -> KeyLayout:
    """The key layout of the state. Raises WeightsError that names `origin`, and the architectures that do fit it."""
    try:
        return recognise(architecture, state)
    except WeightsError as error:
        raise WeightsError(
            f"{origin} does not fit {architecture.name}: {error}{_better_fit(architecture.name, state)}"
        ) from error


def has_classifier(architecture: ModelSpec, state: State) -> bool:
    """Whether the state holds a classifier, whole or in part. Raises WeightsError for a key layout that is not known."""
    return _holds_classifier(_of_one_head(to_ours(recognise(architecture, state), architecture, state), architecture))


def _holds_classifier(ours: State) -> bool:
    return any(key in ours for key in _CLASSIFIER)


def _sound(value: Tensor, built: Tensor) -> bool:
    """Whether all numbers are finite, or infinite where a newly built network's are: limits that limit nothing (Gemma 4's)."""
    return bool((value.isfinite() | (value == built)).all())


def adapted_stem(weight: Tensor, channels: int) -> Tensor:
    """The stem's weight (out, in, k, k) for `channels` input channels: (out, channels, k, k).

    Channels are repeated in their order, each shared among its copies; fewer channels than before get the mean of all, times in /
    channels. So activations keep their size: where all channels are alike, the answer stays what it was.
    """
    if channels < 1:
        raise UsageError(f"A network needs at least 1 input channel, not {channels}.")
    before = weight.shape[1]
    if channels < before:
        return weight.mean(1, keepdim=True).expand(-1, channels, -1, -1) * (before / channels)
    sources = [index % before for index in range(channels)]
    shares = torch.tensor([1 / sources.count(source) for source in sources], dtype=weight.dtype)
    return weight[:, sources] * shares.view(1, -1, 1, 1)


def _matched(architecture: ModelSpec, state: State) -> tuple[KeyLayout, Network, State]:
    """The recognised layout, the network as that layout's library builds it, the state with our keys."""
    layout = recognise(architecture, state)
    ours = _of_one_head(to_ours(layout, architecture, state), architecture)
    if isinstance(architecture, Architecture):
        architecture = replace(
            architecture,
            padding=layout.padding or architecture.padding,
            norm_epsilon=layout.norm_epsilon(architecture) or architecture.norm_epsilon,
        )
    classifier = ours.get(_CLASSIFIER[0])
    # Its own random weights are overwritten; drawing them must not move the caller's random state.
    with torch.random.fork_rng(devices=[]):
        classes = 1 if classifier is None else classifier.shape[0]
        stem = ours.get("stem.conv.weight")
        channels = 3 if stem is None or stem.ndim != 4 else stem.shape[1]
        network = build(architecture, num_classes=classes, in_channels=channels)
    for key in network.state_dict().keys() - ours.keys():
        if key.endswith(".num_batches_tracked"):  # Some files leave these counters out; no answer depends on them.
            ours[key] = torch.zeros((), dtype=torch.int64)
    return layout, network, ours


def _of_one_head(ours: State, architecture: ModelSpec) -> State:
    """Without the heads for other tasks than classification, which have no outputs for labels, and without a classifier that
    reads several stages: its features are in the bundle's manifest, not in the weights."""
    classifier = ours.get(_CLASSIFIER[0])
    wider = classifier is not None and classifier.ndim == 2 and classifier.shape[1] > architecture.feature_channels()
    kept = () if wider else (CLASSIFIER,)
    return {key: value for key, value in ours.items() if not key.startswith("heads.") or key.startswith(kept)}


def _mismatch(expected: State, found: State) -> str:
    """In words: which keys are missing, unknown or of another shape. Empty when all fit."""
    missing = [key for key in expected if key not in found]
    unknown = [key for key in found if key not in expected]
    reshaped = [
        f"{key} {tuple(found[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    lists = [("missing", missing), ("unknown", unknown), ("of another shape", reshaped)]
    return " ".join(f"{len(keys)} key{'s'[: len(keys) - 1]} {what}: {_some(keys)}." for what, keys in lists if keys)


def _some(keys: list[str], shown: int = 5) -> str:
    return ", ".join(keys[:shown]) + (", ..." if len(keys) > shown else "")


def _better_fit(name: str, state: State) -> str:
    """A hint at the catalogue's architectures that the state does fit."""
    fitting = [other for other in ARCHITECTURES if other != name and _fits(ARCHITECTURES[other], state)]
    return f" The weights fit {' or '.join(fitting)}." if fitting else ""


def _fits(architecture: ModelSpec, state: State) -> bool:
    """Whether all keys and shapes do. On the meta device, and only where the number of parameters can be right: the catalogue is
    long, and its large networks take seconds to build."""
    learned = sum(value.numel() for key, value in state.items() if "running_" not in key and "num_batches" not in key)
    surplus = learned - cost(architecture, num_classes=0).parameters
    if surplus <= 0 or surplus % (architecture.feature_channels() + 1):  # what is left over is the classifier's
        return False
    try:
        with torch.device("meta"):
            _, network, ours = _matched(architecture, state)
    except UsageError:
        return False
    return not _mismatch(network.state_dict(), ours)
