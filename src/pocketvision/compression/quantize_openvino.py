"""A float32 ONNX file to OpenVINO's 8-bit files, by NNCF."""

from pathlib import Path
from typing import Any

from pocketvision.compression.quantize_onnx import Batches
from pocketvision.compression.settings import Settings
from pocketvision.errors import MissingExtraError
from pocketvision.export.quiet import quiet

_WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")


def quantize_openvino(path: Path, out: Path, settings: Settings, calibration: Batches) -> None:
    """Write `out` (.xml) and its .bin, quantized as `settings` say; ranges are found on `calibration`, batches (N, 3, H, W).

    Raises MissingExtraError.
    """
    with quiet():
        try:
            import nncf
            import openvino
        except ImportError:
            raise MissingExtraError("Quantizing for OpenVINO", "openvino") from None
        images = [image[None] for batch in calibration for image in batch]
        network = openvino.Core().read_model(path)
        left = [*settings.float_layers, *_decoding(network)]
        model = nncf.quantize(
            network,
            nncf.Dataset(images),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            fast_bias_correction=not settings.bias_correction,
            ignored_scope=nncf.IgnoredScope(names=left, validate=False),
        )
        openvino.save_model(model, out)


def _decoding(network: Any) -> list[str]:
    """As quantize_onnx.decoding."""
    followed: set[str] = set()  # operations that a weighted layer is still made of
    found = []
    for each in reversed(network.get_ordered_ops()):
        name, kind = each.get_friendly_name(), each.get_type_name()
        last, weighted = name not in followed, kind in _WEIGHTED
        if last and (not weighted or kind != "MatMul"):
            found.append(name)
        if not last or weighted:
            followed.update(value.get_node().get_friendly_name() for value in each.input_values())
    return found
