"""The table of export targets. A new one is a file beside this and a row here."""

from pathlib import Path
from typing import Protocol

from pocketvision.bundle import GraphManifest
from pocketvision.errors import unknown_name
from pocketvision.export.to_onnx import export_onnx
from pocketvision.models.network import Network


class Exporter(Protocol):
    """Writes a network in eval mode to `path` and describes the graph. height, width: the input's size in pixels."""

    def __call__(
        self, network: Network, path: Path, *, temperature: float = 1.0, height: int, width: int
    ) -> GraphManifest: ...


TARGETS: dict[str, Exporter] = {"onnx": export_onnx}


def exporter(name: str) -> Exporter:
    """The exporter called `name`. Raises UsageError that lists near matches."""
    if name not in TARGETS:
        raise unknown_name("export target", name, TARGETS)
    return TARGETS[name]
