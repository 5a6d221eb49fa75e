"""`timm:NAME`: any network of timm's as a backbone, with declared channels and strides. The `timm` extra builds it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.models.published_weights import PublishedWeights
from pocketvision.models.spec import StageLine, checked
from pocketvision.models.timm_names import PREFIX, require_timm
from pocketvision.preprocessing import Preprocessing

_RANGES: dict[str, tuple[float, float]] = {"features": (1, 1_000_000), "input_size": (1, 4096), "dropout": (0, 0.95)}


@dataclass(frozen=True)
class TimmBackbone:
    """One of timm's networks, by name, with what was found when it was looked at (timm_parts.py).

    `channels` and `strides` are those at the cuts. A network that does not run as a sequence of its parts (transformers with a
    class token, most hybrids) has the one cut before its pooling: all of it is frozen, or none.
    """

    name: str
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    features: int
    input_size: int
    dropout: float = 0.0
    family: str = "timm"

    @property
    def timm_name(self) -> str:
        """The name without our prefix, its weights' tag included."""
        return self.name.removeprefix(PREFIX)

    def stage_lines(self) -> tuple[StageLine, ...]:
        """One a cut after the first. timm does not state what is in a stage: kernel and expansion are left out."""
        return tuple(
            StageLine("timm", None, after // before, None, channels, 1)
            for channels, before, after in zip(self.channels[1:], self.strides, self.strides[1:], strict=False)
        )

    def trunk_channels(self) -> tuple[int, ...]:
        """As found."""
        return self.channels

    def trunk_strides(self) -> tuple[int, ...]:
        """As found."""
        return self.strides

    def feature_channels(self) -> int:
        """Of what timm's network gives without its classifier."""
        return self.features

    def check_size(self, height: int, width: int) -> None:
        """Tried without numbers: raises UsageError, naming the size that works, when timm's network refuses another one."""
        if (height, width) != (self.input_size, self.input_size):
            require_timm(self.name)
            from pocketvision.models.timm_parts import refusal

            reason = refusal(self, height, width)
            if reason is not None:
                raise UsageError(
                    f"{self.name} can not take {width} x {height} pixels ({reason}). {self.input_size} x {self.input_size} works."
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; `from_dict` gives the same back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "TimmBackbone":
        """Rebuild from `to_dict`'s data. UsageError that names a missing, unknown or wrong field."""
        try:
            own = checked(cls, content, "its fields", _RANGES)
            for name in ("channels", "strides"):
                numbers = own[name]
                if not isinstance(numbers, list | tuple) or not all(type(each) is int and each > 0 for each in numbers):
                    raise UsageError(
                        f"In its fields {name!r} is {numbers!r}, expected a list of whole numbers above 0."
                    )
                own[name] = tuple(numbers)
            if not own["channels"] or len(own["channels"]) != len(own["strides"]):
                raise UsageError("Its 'channels' and 'strides' are one number a cut, and there is at least one cut.")
        except UsageError as error:
            raise UsageError(f"This is no backbone of timm's as it was written. {error}") from None
        return cls(**own)


def timm_weights(spec: TimmBackbone) -> PublishedWeights | None:
    """Where timm publishes the weights of its network of that name and tag; None when it does not. Accuracy is not known."""
    settings: Any = require_timm(spec.name).get_pretrained_cfg(spec.timm_name)
    repository = None if settings is None else settings.hf_hub_id
    if not repository:
        return None
    _, height, width = settings.input_size
    preprocessing = Preprocessing(
        height, width, settings.crop_pct, settings.interpolation, tuple(settings.mean), tuple(settings.std)
    )
    return PublishedWeights("hub", str(repository), None, "timm", settings.license or "unknown", preprocessing)


@lru_cache(maxsize=8)
def timm_backbone(name: str) -> TimmBackbone:
    """Look at timm's network of that name (`timm:resnet26`, `timm:convnext_atto.d2_in1k`).

    Raises MissingExtraError without timm, UsageError for a name that it does not know, listing near matches, and for a network
    that is no backbone.
    """
    require_timm(name)
    from pocketvision.models.timm_parts import inspected

    channels, strides, features, input_size = inspected(name.removeprefix(PREFIX))
    return TimmBackbone(name, channels, strides, features, input_size)
