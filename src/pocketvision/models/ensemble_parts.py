"""An ensemble's network: its members side by side, and the mean of what their heads say."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

from torch import Tensor, nn

from pocketvision.models.ensemble import MEAN, Ensemble, Member
from pocketvision.models.heads.catalog import MEANS


class _MemberNetwork(Protocol):
    """What a member is asked (network.py)."""

    features_read: tuple[str, ...]

    def features(self, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]: ...

    def on_features(self, features: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]: ...


class Members(nn.Module):
    """From preprocessed images (N, 3, H, W) to the features that the ensemble's heads read, by name."""

    def __init__(self, spec: Ensemble, network_of: Callable[[Member], nn.Module]) -> None:
        super().__init__()
        self.spec = spec
        self.networks = nn.ModuleList(network_of(member) for member in spec.members)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        networks = [cast(_MemberNetwork, network) for network in self.networks]
        said = [network.on_features(network.features(images, network.features_read)) for network in networks]
        found = {}
        for task, kind in self.spec.kinds.items():
            heads = [member.heads[task] for member in self.spec.members]
            found[MEAN + task] = MEANS[kind].of(
                [each[task] for each in said],
                [head.postprocessing for head in heads],
                [head.places for head in heads],
                self.spec.mean,
            )
        return found


def ensemble_parts(
    spec: Ensemble, in_channels: int, network_of: Callable[[Member], nn.Module]
) -> tuple[nn.Module, list[nn.Module], nn.Module]:
    """Nothing below the cut, and the members in the head's place."""
    if in_channels != 3:
        raise ValueError("the members of an ensemble see three channels")
    return nn.Identity(), [], Members(spec, network_of)
