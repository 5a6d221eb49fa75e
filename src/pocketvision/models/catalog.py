"""The table of architectures. A new one is a row in its family's file; a new family is a file and a name here.

The table is readable without torch, so that a name can be looked up before anything heavy is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketvision.errors import unknown_name
from pocketvision.models import efficientnet, mobilenet_v2
from pocketvision.models.spec import Architecture

if TYPE_CHECKING:
    from pocketvision.models.network import Network

ARCHITECTURES: dict[str, Architecture] = {row.name: row for row in (*efficientnet.ROWS, *mobilenet_v2.ROWS)}


def architecture(name: str) -> Architecture:
    """The row called `name`. Raises UsageError that lists near matches."""
    if name not in ARCHITECTURES:
        raise unknown_name("model", name, ARCHITECTURES)
    return ARCHITECTURES[name]


def build(model: str | Architecture, *, num_classes: int = 1000, dropout: float | None = None) -> Network:
    """A network with random weights (torch's global random state) from a catalogue name or from an architecture's rows.

    `dropout` None takes the architecture's. Raises UsageError for an unknown name, listing near matches.
    """
    from pocketvision.models.network import Network

    rows = architecture(model) if isinstance(model, str) else model
    return Network(rows, num_classes=num_classes, dropout=dropout)
