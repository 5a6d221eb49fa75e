"""A network of ours with the weights of another library's, by a table from its module paths to ours."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.spec import Architecture

Paths = dict[str, str]
"""{our module path: theirs}."""


def network_from(
    name: str, architecture: Architecture, heads: Mapping[str, HeadSpec], state: Mapping[str, Tensor]
) -> Network:
    """The network of those rows with that state, whose keys are ours by now. name: of theirs, for messages.

    It keeps the state's tensors, in float32. Raises WeightsError that names what is missing, unknown or of another shape.
    """
    with torch.device("meta"):  # no random start, which would be overwritten
        network = Network(architecture, heads)
    try:
        whole = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        network.load_state_dict(whole, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"They are not torchvision's {name}: {error}") from error
    return network


def renamed(paths: Mapping[str, str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with our keys. paths: {their module path or key: ours}. Keys of no path stay as they are, for load_state_dict
    to name."""
    found = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        found[paths.get(key) or f"{paths.get(module, module)}.{tensor}"] = value
    return found


def regrouped(paths: Paths, plain: Architecture, grouped: Architecture) -> Paths:
    """Paths of the blocks of `plain` as those of `grouped`, which has the same blocks in other stages."""
    places = dict(zip(_blocks(plain), _blocks(grouped), strict=True))
    found = {}
    for ours, theirs in paths.items():
        parts = ours.split(".")
        if parts[0] == "stages":
            parts[1:3] = places[parts[1], parts[2]]
        found[".".join(parts)] = theirs
    return found


def _blocks(architecture: Architecture) -> Iterator[tuple[str, str]]:
    """Stage and place in it of every block, in order, as in a path."""
    for stage, row in enumerate(architecture.scaled_stages()):
        for block in range(row.repeats):
            yield str(stage), str(block)
