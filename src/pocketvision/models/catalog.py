"""The table of architectures. A new one is a row in its family's file; a new family is a file and a name here.

The table is readable without torch, so that a name can be looked up before anything heavy is imported.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pocketvision.errors import unknown_name
from pocketvision.models import (
    efficientnet,
    efficientnet_v2,
    mnasnet,
    mobile_efficientnet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    small_cnn,
    u_net,
    vit,
)
from pocketvision.models.architecture_file import SUFFIXES, read_architecture
from pocketvision.models.spec import Architecture, ModelSpec
from pocketvision.models.timm_backbone import timm_backbone
from pocketvision.models.timm_names import PREFIX

if TYPE_CHECKING:
    from pocketvision.models.network import Network

ARCHITECTURES: dict[str, ModelSpec] = {
    row.name: row
    for family in (
        efficientnet,
        efficientnet_v2,
        mobilenet_v1,
        mobilenet_v2,
        mobilenet_v3,
        mobile_efficientnet,
        mnasnet,
        small_cnn,
        resnet,
        vit,
    )
    for row in family.ROWS
}

WHOLE: dict[str, ModelSpec] = {row.name: row for row in u_net.ROWS}
"""Backbones of masks that have a head of the same name and no published weights: they are learned whole, from a random start."""

# MobileNets of any width: `mobilenet_v2_075` is mobilenet_v2 with alpha 0.75.
_ALPHA = re.compile(r"(mobilenet_v\w+)_(\d{3})")


def architecture(name: str) -> ModelSpec:
    """The spec called `name`.

    A MobileNet's name may end in its alpha times 100, as `mobilenet_v2_075`; a name that ends in .json or .toml is a file of rows
    (architecture_file.py); `timm:NAME` is any network of timm's.

    Raises UsageError that lists near matches, or says what is wrong in the file.
    """
    if name.startswith(PREFIX):
        return timm_backbone(name)
    if name.lower().endswith(SUFFIXES):
        return read_architecture(Path(name))
    scaled = _ALPHA.fullmatch(name)
    base = None if scaled is None else ARCHITECTURES.get(scaled[1])
    if scaled is not None and isinstance(base, Architecture) and int(scaled[2]) > 0:
        return replace(base, name=name, width=int(scaled[2]) / 100)
    known = ARCHITECTURES | WHOLE
    if name not in known:
        raise unknown_name("model", name, known)
    return known[name]


def build(
    model: str | ModelSpec, *, num_classes: int = 1000, in_channels: int = 3, dropout: float | None = None
) -> Network:
    """A classifier with random weights (torch's global random state) from a catalogue name or from an architecture's rows.

    `dropout` None takes the architecture's. Raises UsageError for an unknown name, listing near matches.
    """
    from pocketvision.models.heads.head import HeadSpec
    from pocketvision.models.network import CLASSIFICATION, Network

    rows = architecture(model) if isinstance(model, str) else model
    return Network(rows, {CLASSIFICATION: HeadSpec("linear", num_classes, dropout)}, in_channels=in_channels)
