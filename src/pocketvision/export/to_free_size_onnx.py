"""ONNX for images of any size: `model_free_size.onnx`, with batch, height and width free. Its input is preprocessed pixels."""

import tempfile
from pathlib import Path

from torch import nn

from pocketvision.atomic_files import replacing
from pocketvision.errors import UsageError
from pocketvision.export import to_onnx
from pocketvision.export.exportable import Answers, Exportable
from pocketvision.export.onnx_versions import lower_versions
from pocketvision.models.blocks import PaddedConv2d
from pocketvision.models.spec import Architecture

FILE = "model_free_size.onnx"


def write_free_size_onnx(source: Exportable, folder: Path) -> None:
    """Write `model_free_size.onnx`: input `images`, float32 (batch, 3, height, width), all but the 3 free.

    UsageError for a network that is not made of convolutional rows, or whose head reads a grid: its size is fixed.
    """
    import onnx

    rows, own = source.network.architecture, source.preprocessing
    if not isinstance(rows, Architecture) or rows.head_grid:
        raise UsageError(
            f"{rows.name} can not be exported with a free size: that takes convolutional rows and a mean over the map, which "
            f"answer images of any size. --to onnx writes it for {own.width} x {own.height} pixels."
        )
    graph = _padded_alike(source.graph())
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / FILE
        to_onnx.write_graph(
            graph,
            path,
            example=source.example(),
            outputs=source.outputs,
            metadata=to_onnx.metadata(source),
            free_size=True,
        )
        model = onnx.load(path)
    if rows.padding == "same":
        _pad_as_tensorflow(model)
    lower_versions(model)
    with replacing(folder / FILE) as written:
        onnx.save(model, written)


def open_free_size_answers(folder: Path, source: Exportable) -> Answers:
    """What the written file answers to preprocessed images of any one size, in ONNX Runtime."""
    del source
    run = to_onnx.session_of(folder / FILE)
    return lambda images: run({"images": images})


def _padded_alike(graph: nn.Module) -> nn.Module:
    """The graph (a copy of the network) with TensorFlow's padding turned symmetric: other answers, the same shapes.

    TensorFlow's depends on the size. Traced with a free one it becomes arithmetic on shapes that took torch 2.14 five minutes for
    EfficientNet-Lite0, and came out wrong at odd sizes; ONNX has a word for it, put in afterwards.
    """
    for module in graph.modules():
        if isinstance(module, PaddedConv2d):
            module.pads_same = False
    return graph


def _pad_as_tensorflow(model: object) -> None:
    """Let every convolution that strides pad as its input's size asks: ONNX's SAME_UPPER is TensorFlow's "same"."""
    import onnx

    for node in model.graph.node:  # type: ignore[attr-defined]
        own = {each.name: each for each in node.attribute}
        if node.op_type != "Conv" or max(own["strides"].ints) == 1:
            continue
        for name in ("pads", "auto_pad"):
            if name in own:
                node.attribute.remove(own[name])
        node.attribute.append(onnx.helper.make_attribute("auto_pad", "SAME_UPPER"))
