"""Which layer of the network a node of its ONNX graph belongs to."""

import re
from collections.abc import Iterable
from pathlib import Path

ELSEWHERE = ""
"""Not a layer: data moved between layouts, and what comes before the first weight."""

_ADDED = re.compile(r"(_kernel_time|_nchwc|_token_\d+|/[^/]*|_original|_fused.*)$")
"""What runtimes put behind a node's name when they change it."""


class GraphLayers:
    """By the names of nodes and of what they put out. A node with weights belongs to the layer that holds them, any other to the
    one before it: an activation, a norm, an addition."""

    def __init__(self, path: Path, layers: Iterable[str]) -> None:
        """path: of an ONNX file whose weights bear the names of the network's parameters. layers: paths of the network's."""
        import onnx

        graph, names = onnx.load(path, load_external_data=False).graph, sorted(layers, key=len, reverse=True)
        self._layers: dict[str, str] = {}
        held = {each.name for each in graph.initializer}
        for node in graph.node:
            weights = [layer for each in node.input if each in held and (layer := _holder(each, names))]
            before = [self._layers[each] for each in node.input if each in self._layers]
            layer = weights[0] if weights else before[-1] if before else ELSEWHERE
            for name in (node.name, *node.output):
                if name:
                    self._layers[name] = layer

    def of(self, node: str) -> str:
        """The layer of a node by the name that a runtime gives it; ELSEWHERE where that tells none."""
        while node not in self._layers and (shorter := _ADDED.sub("", node)) != node:
            node = shorter
        return self._layers.get(node, ELSEWHERE)

    @property
    def names_weights(self) -> bool:
        """Whether any node could be put down to a layer."""
        return any(self._layers.values())


def _holder(weight: str, layers: list[str]) -> str | None:
    """The layer among `layers`, the longest first, that a parameter is inside of."""
    path = weight.removeprefix("network.")
    return next((layer for layer in layers if path.startswith(f"{layer}.")), None)
