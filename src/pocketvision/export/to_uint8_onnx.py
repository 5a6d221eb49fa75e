"""ONNX with the preprocessing inside: `model_uint8.onnx` takes one image of any size as bytes, resizes, crops (or pads) and
normalises it.

The resizing is ONNX's, antialiased as Pillow's is, but Pillow rounds to whole grey levels after each of its two passes: resized
pixels differ by up to about one level. So this target is not lossless; what it costs is measured on the user's images.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.atomic_files import replacing
from pocketvision.export import to_onnx
from pocketvision.export.exportable import Answers, Exportable
from pocketvision.export.onnx_versions import lower_versions
from pocketvision.preprocessing import SAMPLED, Preprocessing
from pocketvision.runtime.batches import Outputs

FILE = "model_uint8.onnx"

# Preprocessing.resized_size, by fit, in ONNX's own notation. fit: the height and width that the crop fills of the resized image,
# or that padding fills up; size: those of the input. Sizes are whole numbers, so that no rounding differs from Python's.
_SHAPE_KEPT = """
  fit = Constant<value_ints = [{fit_height}, {fit_width}]>()
  sides_height = Gather(shape, zero)
  sides_width = Gather(shape, one)
  fit_height = Gather(fit, zero)
  fit_width = Gather(fit, one)
  across = Mul(fit_width, sides_height)
  down = Mul(fit_height, sides_width)
"""
_RESIZED = {
    "crop": _SHAPE_KEPT
    + """
  width_is_tighter = GreaterOrEqual(across, down)
  height_from_width = Div(across, sides_width)
  width_from_height = Div(down, sides_height)
  resized_height_free = Where(width_is_tighter, height_from_width, fit_height)
  resized_width_free = Where(width_is_tighter, fit_width, width_from_height)
  resized_free = Concat<axis = 0>(resized_height_free, resized_width_free)
  resized_of_any_length = Max(resized_free, size)
""",
    "pad": _SHAPE_KEPT
    + """
  width_is_tighter = LessOrEqual(across, down)
  twice = Constant<value_ints = [2]>()
  twice_across = Mul(across, twice)
  twice_down = Mul(down, twice)
  twice_width = Mul(sides_width, twice)
  twice_height = Mul(sides_height, twice)
  across_rounded = Add(twice_across, sides_width)
  down_rounded = Add(twice_down, sides_height)
  height_from_width = Div(across_rounded, twice_width)
  width_from_height = Div(down_rounded, twice_height)
  resized_height_free = Where(width_is_tighter, height_from_width, fit_height)
  resized_width_free = Where(width_is_tighter, fit_width, width_from_height)
  resized_free = Concat<axis = 0>(resized_height_free, resized_width_free)
  resized_of_any_length = Max(resized_free, one)
""",
    "stretch": """
  resized_of_any_length = Identity(size)
""",
}

# The middle, or padding. Pad knows one value for all channels, so theirs are taken off before and added after.
_CUT = """
  end = Add(begin, size)
  fitted = Slice(whole, begin, end, axes)
"""
_FITTED = {
    "crop": _CUT,
    "stretch": _CUT,
    "pad": """
  before = Neg(begin)
  after = Sub(begin, surplus)
  pads = Concat<axis = 0>(before, after)
  fill = Constant<value_floats = [{fill}]>()
  fill_shaped = Reshape(fill, by_channel)
  above_fill = Sub(whole, fill_shaped)
  padded = Pad(above_fill, pads, black, axes)
  fitted = Add(padded, fill_shaped)
""",
}

# Without the Reshape ONNX Runtime up to 1.17 does not see that Resize is given two sizes, and refuses the file.
_GRAPH = """
<ir_version: 8, opset_import: ["" : 18]>
preprocessing (uint8[height, width, 3] image) => (float[1, 3, {height}, {width}] images) {{
  shape = Shape<end = 2>(image)
  size = Constant<value_ints = [{height}, {width}]>()
  zero = Constant<value_ints = [0]>()
  one = Constant<value_ints = [1]>()
  {resized}
  two = Constant<value_ints = [2]>()
  resized = Reshape(resized_of_any_length, two)
  pixels = Cast<to = 1>(image)
  channels_first = Transpose<perm = [2, 0, 1]>(pixels)
  batch = Unsqueeze(channels_first, zero)
  full = Resize<mode = "{mode}", {antialias}axes = [2, 3]{cubic}>(batch, , , resized)
  black = Constant<value_float = 0.0>()
  white = Constant<value_float = 255.0>()
  grey = Clip(full, black, white)
  whole = {rounded}(grey)
  surplus = Sub(resized, size)
  surplus_float = Cast<to = 1>(surplus)
  half = Constant<value_float = 0.5>()
  offset_float = Mul(surplus_float, half)
  offset_round = Round(offset_float)
  begin = Cast<to = 7>(offset_round)
  axes = Constant<value_ints = [2, 3]>()
  by_channel = Constant<value_ints = [1, 3, 1, 1]>()
  {fitted}
  scale = Constant<value_floats = [{scale}]>()
  shift = Constant<value_floats = [{shift}]>()
  scale_shaped = Reshape(scale, by_channel)
  shift_shaped = Reshape(shift, by_channel)
  scaled = Mul(fitted, scale_shaped)
  images = Sub(scaled, shift_shaped)
}}
"""


def write_uint8_onnx(source: Exportable, folder: Path) -> None:
    """Write `model_uint8.onnx`: input `image`, uint8 (height, width, 3) of any size; outputs as the network's, for one image."""
    import onnx
    from onnx import compose, version_converter

    with tempfile.TemporaryDirectory() as temporary:
        to_onnx.write_onnx(source, Path(temporary))
        network = onnx.load(Path(temporary) / to_onnx.FILE)
    first = onnx.parser.parse_model(_graph(source.preprocessing))
    opset = max(_opset(first), _opset(network))
    first, network = (
        each if _opset(each) == opset else version_converter.convert_version(each, opset) for each in (first, network)
    )
    first.ir_version = network.ir_version = max(first.ir_version, network.ir_version)
    merged = compose.merge_models(
        compose.add_prefix(first, "preprocessing/", rename_inputs=False, rename_outputs=False),
        network,
        io_map=[("images", "images")],
    )
    onnx.helper.set_model_props(merged, {each.key: each.value for each in network.metadata_props})
    lower_versions(merged)
    with replacing(folder / FILE) as temporary_file:
        onnx.save(merged, temporary_file)


def open_uint8_answers(folder: Path, source: Exportable) -> Answers:
    """What the written file answers to whole images, (1, height, width, 3) uint8, in ONNX Runtime."""
    del source
    run = to_onnx.session_of(folder / FILE)

    def answers(images: NDArray[np.float32]) -> Outputs:
        (image,) = images
        return run({"image": image})

    return answers


def _opset(model: Any) -> int:
    return int(next(each.version for each in model.opset_import if each.domain == ""))


def _graph(preprocessing: Preprocessing) -> str:
    """The notation, filled in. (value / 255 - mean) / std is one multiplication and one subtraction."""
    cubic, sampled = preprocessing.interpolation == "bicubic", preprocessing.interpolation == SAMPLED
    return _GRAPH.format(
        height=preprocessing.height,
        width=preprocessing.width,
        resized=_RESIZED[preprocessing.fit].format(
            fit_height=round(preprocessing.height / preprocessing.crop_share),
            fit_width=round(preprocessing.width / preprocessing.crop_share),
        ),
        fitted=_FITTED[preprocessing.fit].format(fill=", ".join(f"{value:.1f}" for value in preprocessing.fill)),
        mode="cubic" if cubic else "linear",
        antialias="" if sampled else "antialias = 1, exclude_outside = 1, ",
        rounded="Identity" if sampled else "Round",
        cubic=", cubic_coeff_a = -0.5" if cubic else "",
        scale=", ".join(repr(1 / (255 * std)) for std in preprocessing.std),
        shift=", ".join(repr(mean / std) for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)),
    )
