"""From an image in whatever form to the network's input: the only decode, resize, crop and normalise of the project.

Training, evaluation, prediction, serving and streaming all come through here, so a model sees at work what it saw while
it was measured. Pillow and numpy only; safe to call from many threads at once (no global state of Pillow is set).
"""

from pocketvision.preprocessing.decoding import (
    MAX_PIXELS,
    DecodedImage,
    ImageSource,
    count_pictures,
    decode,
    decode_image,
    read_image,
)
from pocketvision.preprocessing.formats import FORMATS, open_image_file
from pocketvision.preprocessing.placement import Placement
from pocketvision.preprocessing.preprocessing import SAMPLED, Fit, Interpolation, Preprocessing
from pocketvision.preprocessing.white_level import FULL_RANGE, WHITE_LEVELS

__all__ = [
    "FORMATS",
    "FULL_RANGE",
    "MAX_PIXELS",
    "SAMPLED",
    "WHITE_LEVELS",
    "DecodedImage",
    "Fit",
    "ImageSource",
    "Interpolation",
    "Placement",
    "Preprocessing",
    "count_pictures",
    "decode",
    "decode_image",
    "open_image_file",
    "read_image",
]
