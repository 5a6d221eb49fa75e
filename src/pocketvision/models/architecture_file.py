"""An architecture from a JSON or TOML file: what a search found is data, not code."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.models.ensemble import Ensemble
from pocketvision.models.spec import Architecture, ModelSpec
from pocketvision.models.timm_backbone import TimmBackbone
from pocketvision.models.timm_names import PREFIX
from pocketvision.models.vit import VisionTransformer

SUFFIXES = (".json", ".toml")


def spec_from_dict(content: Mapping[str, Any]) -> ModelSpec:
    """What `to_dict` of any kind of spec wrote. UsageError that names a missing, unknown or wrong field."""
    if str(content.get("name")).startswith(PREFIX):
        return TimmBackbone.from_dict(content)
    if "members" in content:
        return Ensemble.from_dict(content, spec_from_dict)
    if not content.keys().isdisjoint(("patch", "heads", "mlp_ratio")):
        return VisionTransformer.from_dict(content)
    return Architecture.from_dict(content)


def read_architecture(path: Path) -> ModelSpec:
    """The architecture whose fields and `stages` rows the file holds; fields with a default may be left out.

    Raises UsageError that names the file, and the row and field that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.") from None
    except (
        OSError,
        UnicodeDecodeError,
        ValueError,
    ) as error:  # both parsers raise ValueErrors that name line and column
        raise UsageError(f"{path} can not be read: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no table of an architecture's fields.")
    try:
        return spec_from_dict(content)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
