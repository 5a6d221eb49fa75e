"""A float32 ONNX file to an 8-bit one, by ONNX Runtime's own tools."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.atomic_files import replacing
from pocketvision.compression.settings import OPERATORS, Settings
from pocketvision.errors import UsageError
from pocketvision.export.onnx_versions import lower_versions
from pocketvision.export.quiet import quiet

Batches = Iterable[NDArray[np.float32]]


def quantize_onnx(
    path: Path, out: Path, settings: Settings, calibration: Batches, *, only: tuple[str, ...] | None = None
) -> None:
    """Write the graph of `path`, which prepare_onnx has been over, to `out`, quantized as `settings` say; ranges are found on
    `calibration`, batches (N, 3, H, W).

    only: quantize just these nodes (for measuring how much one of them costs).
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_dynamic, quantize_static

    with quiet(), replacing(out) as written:
        if settings.tool == "onnxruntime-dynamic":
            quantize_dynamic(
                path,
                written,
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=settings.per_channel,
                reduce_range=settings.reduce_range,
                nodes_to_exclude=list(settings.float_layers),
            )
            _lower_versions_of(written)
            return
        quantize_static(
            path,
            written,
            _CalibrationReader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            per_channel=settings.per_channel,
            reduce_range=settings.reduce_range,
            activation_type=QuantType.QUInt8 if settings.activations == "uint8" else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=None if only is None else list(only),
            nodes_to_exclude=[*settings.float_layers, *decoding(path)],
            calibrate_method={
                "minmax": CalibrationMethod.MinMax,
                "entropy": CalibrationMethod.Entropy,
                "percentile": CalibrationMethod.Percentile,
            }[settings.calibration],
        )
        _lower_versions_of(written)


def _lower_versions_of(path: Path) -> None:
    import onnx

    model = onnx.load(path)
    lower_versions(model)
    onnx.save(model, path)


def prepare_onnx(path: Path, out: Path) -> None:
    """Write the ONNX file `path` as the quantizer wants it: shapes inferred, constants folded, every node with a name.

    Done once for all candidates and for the sensitivities of all layers: a layer of EfficientNet-Lite0 at 224 pixels then takes
    1.48 s of CPU in place of 1.57 (8 images of calibration, 16 that are answered).

    Raises UsageError when the file holds a layer that it can not go through.
    """
    with replacing(out) as written:
        try:
            with quiet():
                _pre_process(path, written)
        except OSError:
            raise
        except Exception as error:  # it raises plain Exceptions
            raise UsageError(f"{path} can not be quantized: {error}") from error


def _pre_process(path: Path, out: Path) -> None:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        quant_pre_process(str(path), str(out))
    except (
        TypeError
    ):  # its symbolic inference knows no ReduceMax, which ONNX's own does; that one is enough without symbols
        quant_pre_process(str(path), str(out), skip_symbolic_shape=True)


def weighted_layers(path: Path) -> dict[str, int]:
    """The convolutions and linear layers of a prepared graph (prepare_onnx), by their names, with their numbers of weights."""
    import onnx

    graph = onnx.load(path).graph
    sizes = {each.name: int(np.prod(each.dims)) for each in graph.initializer}
    return {
        node.name: max(sizes.get(name, 0) for name in node.input)
        for node in graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul")
    }


def decoding(path: Path) -> tuple[str, ...]:
    """The nodes of a prepared graph that stay in float, by name: what follows its last weighted layers, which makes boxes and
    probabilities of what these put out, and of those layers the convolutions. 256 steps over the width of an input are several
    pixels a step; and such a layer, which answers for every place of a map, costs next to nothing."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    weighted = weighted_layers(path)
    followed: set[str] = set()  # tensors that a weighted layer is still made of
    found = []
    for node in reversed(graph.node):
        last = followed.isdisjoint(node.output)
        if last and (node.name not in weighted or node.op_type == "Conv"):
            found.append(node.name)
        if not last or node.name in weighted:
            followed.update(node.input)
    return tuple(found)


class _CalibrationReader:
    """Calibration batches in the form the quantizer asks for them."""

    def __init__(self, batches: Batches) -> None:
        self._batches: Iterator[NDArray[np.float32]] = iter(batches)

    def get_next(self) -> Mapping[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}
