"""An ensemble as data: networks that all look at the same image, and whose heads' mean is what is answered. Needs no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.models.spec import ModelSpec, StageLine

MEAN = "mean:"
"""Before a task's name: the feature (features.py) that the ensemble's head for it reads."""


@dataclass(frozen=True)
class MemberHead:
    """A head of a member: its row of HEADS, its outputs (classes), the features that it reads, what its bundle's postprocessing
    is, and the places of the ensemble's classes among its own; none of a number."""

    head: str
    classes: int
    features: tuple[str, ...]
    postprocessing: Mapping[str, Any]
    places: tuple[int, ...]


@dataclass(frozen=True)
class Member:
    """A network of an ensemble: its rows, and its heads by task."""

    architecture: ModelSpec
    heads: Mapping[str, MemberHead]


@dataclass(frozen=True)
class Ensemble:
    """At least two networks. kinds: of each task. mean: of what it is, one of models/heads/mean.py's MEANS."""

    members: tuple[Member, ...]
    kinds: Mapping[str, str]
    mean: str
    name: str = "ensemble"
    family: str = "ensemble"
    dropout: float = 0.0

    @property
    def input_size(self) -> int:
        """That of the first."""
        return self.members[0].architecture.input_size

    def outputs(self) -> dict[str, int]:
        """Of each task, by the feature that its head reads."""
        return {MEAN + task: head.classes for task, head in self.members[0].heads.items()}

    def stage_lines(self) -> tuple[StageLine, ...]:
        """None: it can not be cut."""
        return ()

    def trunk_channels(self) -> tuple[int, ...]:
        """Those of the image."""
        return (3,)

    def trunk_strides(self) -> tuple[int, ...]:
        return (1,)

    def feature_channels(self) -> int:
        """Of all that its heads read."""
        return sum(self.outputs().values())

    def check_size(self, height: int, width: int) -> None:
        """Raises UsageError for a size that one of its members can not take."""
        for member in self.members:
            member.architecture.check_size(height, width)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; `from_dict` gives the same back."""
        members = [
            {
                "architecture": member.architecture.to_dict(),
                "heads": {
                    task: {**vars(head), "features": [*head.features], "places": [*head.places]}
                    for task, head in member.heads.items()
                },
            }
            for member in self.members
        ]
        return {
            "name": self.name,
            "family": self.family,
            "mean": self.mean,
            "kinds": dict(self.kinds),
            "members": members,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], spec_of: Callable[[Mapping[str, Any]], ModelSpec]) -> "Ensemble":
        """Rebuild from `to_dict`'s data. spec_of: architecture_file.spec_from_dict. UsageError where something is missing."""
        try:
            members = tuple(
                Member(
                    spec_of(member["architecture"]),
                    {
                        task: MemberHead(
                            head["head"],
                            int(head["classes"]),
                            tuple(head["features"]),
                            dict(head["postprocessing"]),
                            tuple(head["places"]),
                        )
                        for task, head in member["heads"].items()
                    },
                )
                for member in content["members"]
            )
            return cls(members, dict(content["kinds"]), content["mean"], content["name"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"The ensemble's members can not be read: {error!r}.") from error
