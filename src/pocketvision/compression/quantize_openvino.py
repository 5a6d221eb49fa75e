"""A float32 ONNX file to OpenVINO's 8-bit files, by NNCF."""

from pathlib import Path

from pocketvision.compression.quantize_onnx import Batches
from pocketvision.compression.settings import Settings
from pocketvision.errors import MissingExtraError
from pocketvision.export.quiet import quiet


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
        model = nncf.quantize(
            openvino.Core().read_model(path),
            nncf.Dataset(images),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            fast_bias_correction=not settings.bias_correction,
            ignored_scope=nncf.IgnoredScope(names=list(settings.float_layers)) if settings.float_layers else None,
        )
        openvino.save_model(model, out)
